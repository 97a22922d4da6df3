#!/usr/bin/env bash
# The programs that tests call as independent judges of our zip files, a checker of
# shell scripts, a C compiler for the race detector, and the servers that stores are
# tested on. As root on Debian they are installed; elsewhere the missing ones are named, and CI fails on them,
# because a test that cannot run must not look like one that passed.
set -euo pipefail

# package:how to see that it is there
needs=(
  unzip:"command -v unzip"
  python3:"command -v python3"
  shellcheck:"command -v shellcheck"
  kcat:"command -v kcat"
  ngtcp2-client:"command -v gtlsclient"
  prometheus:"command -v promtool"
  chromium:"command -v chromium"
  nginx-light:"ls /usr/sbin/nginx"
  gcc:"command -v gcc"
  libc6-dev:"ls /usr/include/stdlib.h"
  mariadb-server:"ls /usr/sbin/mariadbd || command -v mariadbd"
  slapd:"ls /usr/sbin/slapd"
  redis-server:"command -v redis-server"
  redis-tools:"command -v redis-cli"
)

missing() {
  local need
  for need in "${needs[@]}"; do
    bash -c "${need#*:}" >/dev/null 2>&1 || echo "${need%%:*}"
  done
}

mapfile -t absent < <(missing)
[ ${#absent[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  echo "test set-up: installing ${absent[*]}"
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  {
    apt-get update -q && apt-get install -y -q --no-install-recommends "${absent[@]}"
  } >"$log" 2>&1 || tail -n 20 "$log" >&2
  mapfile -t absent < <(missing)
  [ ${#absent[@]} -eq 0 ] && exit 0
fi

echo "test set-up: missing ${absent[*]}" >&2
if [ "${CI:-}" = true ]; then
  echo "CI must have them; without them some tests would prove nothing." >&2
  exit 1
fi
echo "Tests that need them will say so. On Debian or Ubuntu:" >&2
echo "  sudo apt-get install ${absent[*]}" >&2
