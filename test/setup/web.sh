#!/usr/bin/env bash
# Builds the console's pages into internal/console/dist and the scanner's into internal/scanner/dist, when something
# of them is newer than what was built. With `check` it also holds the types, the tests of web/, console and scanner in a
# browser, and that the generated client is what docs/openapi.yaml gives.
set -euo pipefail
cd "$(dirname "$0")/../.."

stamp=web/node_modules/.installed
built=internal/console/dist/index.html

if ! command -v npm >/dev/null; then
  echo "web: Node 20 and npm are missing; the program is built without its console and its scanner" >&2
  [ "${CI:-}" = true ] && exit 1
  exit 0
fi
if [ ! -e $stamp ] || [ web/package-lock.json -nt $stamp ]; then
  echo "web: installing packages"
  (cd web && npm ci --no-progress --loglevel=error)
  touch $stamp
fi
if [ ! -e $built ] || [ -n "$(find web/console web/sdk/src web/package-lock.json docs/openapi.yaml -newer $built -not -path '*/node_modules/*' -print -quit)" ]; then
  echo "web: building the console"
  (cd web && npm run --silent build -w console -- --logLevel warn)
fi
scanner=internal/scanner/dist/verify.html
if [ ! -e $scanner ] || [ -n "$(find web/scan web/package-lock.json -newer $scanner -not -path '*/node_modules/*' -print -quit)" ]; then
  echo "web: building the scanner"
  (cd web && npm run --silent build -w scan)
fi
touch internal/console/dist/.keep internal/scanner/dist/.keep # emptied before each build

if [ "${1:-}" = check ]; then
  echo "web: generated client, types, tests"
  before=$(sha256sum web/sdk/src/schema.ts)
  (cd web && npm run --silent generate >/dev/null)
  if [ "$before" != "$(sha256sum web/sdk/src/schema.ts)" ]; then
    echo "web/sdk/src/schema.ts was stale and has been rebuilt: look at it and commit it" >&2
    exit 1
  fi
  (cd web && npm run --silent check && npm test --silent)
  echo "web: the console in Chromium, against the real program"
  (cd web && npm run --silent browser -w console)
  echo "web: the scanner in Chromium, with a camera that sees a label"
  (cd web && npm run --silent browser -w scan)
fi
