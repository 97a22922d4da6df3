#!/usr/bin/env bash
# All checks that read the source; each failure says what to do. LINT is the
# golangci-lint program (make lint gives it).
set -euo pipefail
cd "$(dirname "$0")/../.."

sources() { find . \( -name node_modules -o -name bin -o -name data -o -name .git \) -prune -o -name "$1" -print; }

echo "lint: gofmt"
mapfile -t unformatted < <(sources '*.go' | xargs gofmt -l)
if [ ${#unformatted[@]} -gt 0 ]; then
  printf 'not formatted, run gofmt -w on: %s\n' "${unformatted[@]}" >&2
  exit 1
fi

echo "lint: go vet"
go vet ./...

echo "lint: golangci-lint"
"${LINT:-golangci-lint}" run ./...

if command -v shellcheck >/dev/null; then
  echo "lint: shellcheck"
  { sources '*.sh'; echo .ci/run; } | xargs shellcheck
elif [ "${CI:-}" = true ]; then
  echo "lint: shellcheck is missing" >&2
  exit 1
fi

if [ -d proto ]; then
  echo "lint: generated code"
  test/setup/generate.sh --check
fi
