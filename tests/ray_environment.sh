#!/usr/bin/env bash
# Make an environment with Ray Serve for `make test-ray`:
#     tests/ray_environment.sh ~/.cache/tandem-test/ray .venv
# About half a minute, once. What Tandem needs (torch among it) is taken from the second folder, so
# that Ray stays out of it; a user has both in one: pip install "ray[serve]".
set -euo pipefail
RAY=2.60.0
folder=${1:?usage: tests/ray_environment.sh FOLDER VENV}
venv=$(cd "${2:?usage: tests/ray_environment.sh FOLDER VENV}" && pwd)
here=$(cd "$(dirname "$0")/.." && pwd)
made=$folder/.made-$RAY
site() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
if [ ! -e "$made" ]; then
  echo "making an environment with Ray $RAY in $folder" >&2
  rm -rf "$folder"
  mkdir -p "$folder"
  "$venv/bin/python" -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint "$here/requirements.lock" "ray[serve]==$RAY"
  touch "$made"
fi
site "$venv" >"$(site "$folder")/zz-tandem.pth"
