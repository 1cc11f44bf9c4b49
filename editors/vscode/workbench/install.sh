#!/usr/bin/env bash
# A real VS Code for the tests: code-server (VS Code 1.100.3 behind a web page) and Chromium.
#
#   editors/vscode/workbench/install.sh      prints the folder where it lies, and nothing else
#
# It takes a minute or two the first time and a moment after that. What Debian packages are missing
# it installs as root; elsewhere it says which. The folder is ~/.cache/tandem-dev/code-server-VERSION,
# or TANDEM_CODE_SERVER if that is set.
set -euo pipefail

VERSION=4.100.3
FOLDER=${TANDEM_CODE_SERVER:-${XDG_CACHE_HOME:-$HOME/.cache}/tandem-dev/code-server-$VERSION}
STAMP=$FOLDER/.installed
PACKAGES=()

say() { echo "workbench: $*" >&2; }
fail() { say "$*"; exit 1; }
needs() { [ -e "$1" ] || command -v "$1" >/dev/null || PACKAGES+=("$2"); }

command -v node >/dev/null && command -v npm >/dev/null || fail 'node 20 and npm are needed'
case $(node --version) in
  v20.*) ;;
  *) fail "node 20 is needed, as this code-server was made for it; here is $(node --version)" ;;
esac

needs chromium chromium
needs rg ripgrep
needs flock util-linux
needs /usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf fonts-dejavu-core
if [ ! -e "$STAMP" ]; then
  needs make make
  needs g++ g++
  needs python3 python3
  needs /usr/include/gssapi/gssapi.h libkrb5-dev
fi
if [ "${#PACKAGES[@]}" -gt 0 ]; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "install these first: ${PACKAGES[*]}"
  say "installing ${PACKAGES[*]}"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}"; } >&2
fi

mkdir -p "$FOLDER"
exec 9>"$FOLDER/.lock" && flock 9 # one of two processes installs, the other waits
if [ ! -e "$STAMP" ]; then
  say "installing code-server $VERSION into $FOLDER"
  rm -rf "$FOLDER/node_modules"
  cd "$FOLDER"
  echo '{"private": true}' >package.json
  export npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
  # The headers that native modules are compiled with: those beside node, else npm fetches them.
  headers=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
  [ ! -e "$headers/include/node/node.h" ] || export npm_config_nodedir=$headers
  quiet() { "$@" >>"$FOLDER/install.log" 2>&1; }
  : >install.log
  # Its own install script asks for tools of a desktop, so its steps are here one by one.
  quiet npm install --ignore-scripts "code-server@$VERSION" || fail "see $FOLDER/install.log"
  quiet npm rebuild argon2 --foreground-scripts || fail "see $FOLDER/install.log"
  cd node_modules/code-server/lib/vscode
  quiet npm install --ignore-scripts --omit=dev || fail "see $FOLDER/install.log"
  (cd extensions && quiet npm install --ignore-scripts --omit=dev) || fail "see $FOLDER/install.log"
  ln -sfn node_modules node_modules.asar
  ln -sf code-linux.sh bin/remote-cli/code-server
  ln -sf browser-linux.sh bin/helpers/browser.sh
  # npm ends with 1 after it has built what is needed: node-pty wants a tool for its authors.
  quiet npm rebuild node-pty @vscode/spdlog native-watchdog kerberos @parcel/watcher \
    @vscode/deviceid || true
  for built in node-pty/build/Release/pty @vscode/spdlog/build/Release/spdlog \
    native-watchdog/build/Release/watchdog @parcel/watcher-linux-*-glibc/watcher; do
    [ -e "$(echo node_modules/$built.node)" ] || fail "not built: $built; see $FOLDER/install.log"
  done
  mkdir -p node_modules/@vscode/ripgrep/bin
  ln -sf "$(command -v rg)" node_modules/@vscode/ripgrep/bin/rg
  cd "$FOLDER"
  quiet node node_modules/code-server/out/node/entry.js --version || fail "see $FOLDER/install.log"
  touch "$STAMP"
fi
echo "$FOLDER"
