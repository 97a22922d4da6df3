#!/usr/bin/env bash
# Runs every Go test of the packages given (default: all), then the scripts that
# drive the real program. The race detector needs cgo; CI insists on it.
set -euo pipefail
cd "$(dirname "$0")/../.."

race=(-race)
if ! command -v gcc >/dev/null; then
  if [ "${CI:-}" = true ]; then
    echo "no gcc: CI does not test without the race detector" >&2
    exit 1
  fi
  echo "no gcc: testing without the race detector" >&2
  race=()
fi

# Vet has run in lint. The time limit is for each package. What brings about faults judges how soon a whole
# installation works again, so it has the machine for itself.
mapfile -t packages < <(go list "${@:-./...}")
alone=github.com/chopmark/chopmark/test/faults
beside=()
for p in "${packages[@]}"; do [ "$p" = "$alone" ] || beside+=("$p"); done
[ ${#beside[@]} -eq 0 ] || go test "${race[@]}" -vet=off -timeout 12m "${beside[@]}"
[ ${#beside[@]} -eq ${#packages[@]} ] || go test "${race[@]}" -vet=off -timeout 12m "$alone"

# The power fails ten thousand times on a file system of memory. The race detector has
# seen the same code above, on fewer.
go test -vet=off -timeout 12m ./internal/verify/verifykv -run 'TestCrash$' -count=1 -rounds=10000

# What is in deploy/ for Kubernetes and Compose, by their own schemas: a module of its own.
(cd test/deploy && go vet ./... && go test -vet=off ./...)

shopt -s nullglob
for script in test/scripts/*.sh; do
  echo "script $script"
  "$script"
  echo "ok  	$script"
done
