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

# Two things are not watched for races, because watching is most of what they cost and finds nothing: SQLite's own
# code, translated from C, whose memory the detector does not know, and arithmetic on points of a curve, all on values
# of its own. What holds state that goroutines could share (drivers, hashes, ciphers) is watched. QUIC is not: a client
# that opens a stream in early data reads the peer's parameters while they arrive (quic-go 0.65), as our tests do.
[ ${#race[@]} -eq 0 ] || race+=(-gcflags=modernc.org/sqlite/lib=-race=false -gcflags=crypto/internal/fips140/edwards25519/...=-race=false
  -gcflags=github.com/quic-go/quic-go=-race=false)

# In CI every test runs, also where another clone has left the result of the same binary.
fresh=()
[ "${CI:-}" != true ] || fresh=(-count=1)

# Packages that take longest come first, so that no core waits for one of them at the end.
slow=(internal/batch/batchfile internal/app test/scripts internal/batch/batchsql internal/scan/scansql internal/batch
  internal/platform/stream/streamkv internal/batch/batchhttp cmd/hammer)

# Vet has run in lint. The time limit is for each package. What brings about faults judges how soon a whole
# installation works again, so it has the machine for itself.
module=github.com/chopmark/chopmark
mapfile -t packages < <(go list "${@:-./...}")
alone=$module/test/faults
first=() beside=()
for s in "${slow[@]}"; do
  for p in "${packages[@]}"; do [ "$p" != "$module/$s" ] || first+=("$p"); done
done
for p in "${packages[@]}"; do
  [ "$p" = "$alone" ] || [[ " ${first[*]} " = *" $p "* ]] || beside+=("$p")
done
beside=("${first[@]}" "${beside[@]}")
tests() { go test "${race[@]}" "${fresh[@]}" -vet=off -timeout 12m "$@"; }
[ ${#beside[@]} -eq 0 ] || tests "${beside[@]}"
[ ${#beside[@]} -eq ${#packages[@]} ] || tests "$alone"

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
