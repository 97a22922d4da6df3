#!/usr/bin/env bash
# Servers for tests that Debian does not have, built once into bin/tools. Where one
# cannot be built the tests that need it say so; CI fails.
set -euo pipefail
cd "$(dirname "$0")/../.."

VERSITYGW_VERSION=v1.8.0 # an S3 server over a directory

tools=$PWD/bin/tools
program=$tools/versitygw-$VERSITYGW_VERSION
[ -x "$program" ] && exit 0

echo "test set-up: building versitygw $VERSITYGW_VERSION once, about two minutes on two cores"
mkdir -p "$tools"
if GOBIN=$tools GOFLAGS='' go install "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW_VERSION"; then
  mv "$tools/versitygw" "$program"
elif [ "${CI:-}" = true ]; then
  echo "CI must have versitygw; without it the S3 tests would prove nothing." >&2
  exit 1
fi
