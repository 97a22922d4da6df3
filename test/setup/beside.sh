#!/usr/bin/env bash
# Runs two commands side by side: linters keep the cores busy while a browser waits. What
# the second prints comes when both have ended. Exits with 2 when the second failed, with
# 1 when only the first did.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2

said=$(mktemp)
setsid bash -c "$2" >"$said" 2>&1 &
second=$!
trap 'kill -- -$second 2>/dev/null; rm -f "$said"' EXIT
trap 'exit 130' INT TERM
bash -c "$1"
first=$?
wait $second
failed=$?
cat "$said"
[ $failed -eq 0 ] || exit 2
[ $first -eq 0 ] || exit 1
