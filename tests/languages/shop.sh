#!/usr/bin/env bash
set -euo pipefail
source ./lib.sh
. "$HOME/common.sh"

LIMIT=10
readonly NAME="shop"
export PATH_TO=/srv

# Sums the lines. All of them.
total() {
  local sum=0
  echo "$sum"
}

function load {
  total "$1"
}
