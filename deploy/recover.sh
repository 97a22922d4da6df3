#!/usr/bin/env bash
# Looks whether the server is healthy, and restarts it when it is not: three tries, 30
# seconds apart. Before each restart it keeps what an engineer will ask for; after it the
# server has 10 seconds to settle. When all tries failed it tells a webhook and exits with
# 1. Run it from a timer; one at a time, a second one leaves at once.
#
#   RECOVER_URL       health probe            http://127.0.0.1:8080/health
#   RECOVER_PPROF     debug listener, if any  (empty; --debug-listen)
#   RECOVER_RESTART   how to restart          systemctl restart chopmark
#   RECOVER_UNIT      whose journal to keep   chopmark
#   RECOVER_DIR       where diagnostics go    /var/log/chopmark-recover; the last 20 stay
#   RECOVER_TRIES, RECOVER_PAUSE, RECOVER_SETTLE   3, 30, 10
#   ALERT_WEBHOOK_URL {"text": …} goes there when recovery failed; empty = nowhere
set -euo pipefail
umask 077

url=${RECOVER_URL:-http://127.0.0.1:8080/health}
pprof=${RECOVER_PPROF:-}
restart=${RECOVER_RESTART:-systemctl restart chopmark}
unit=${RECOVER_UNIT:-chopmark}
dir=${RECOVER_DIR:-/var/log/chopmark-recover}
tries=${RECOVER_TRIES:-3}
pause=${RECOVER_PAUSE:-30}
settle=${RECOVER_SETTLE:-10}

say() { printf '%s %s\n' "$(date -u +%FT%TZ)" "$*" >&2; }

healthy() { curl --silent --fail --output /dev/null --max-time 10 "$url"; }

# keep runs a diagnostic for 20 seconds at most; none may stop the recovery.
keep() {
  local name=$1
  shift
  timeout 20 "$@" >"$at/$name" 2>&1 || true
}

diagnose() {
  at=$dir/$(date -u +%Y%m%dT%H%M%S)-$1
  mkdir -p "$at"
  keep health curl --silent --show-error --include --max-time 10 "$url"
  keep processes ps aux --sort=-%mem
  keep sockets ss -tanp
  keep sockets-summary ss -s
  keep memory cat /proc/meminfo
  keep disk df -h
  keep load cat /proc/loadavg
  keep kernel dmesg --ctime
  keep journal journalctl --unit "$unit" --lines 2000 --no-pager
  if [ -n "$pprof" ]; then
    keep goroutines curl --silent --max-time 15 "$pprof/debug/pprof/goroutine?debug=2"
    keep heap curl --silent --max-time 15 "$pprof/debug/pprof/heap"
  fi
  say "diagnostics are in $at"
  find "$dir" -mindepth 1 -maxdepth 1 -type d | sort -r | tail -n +21 | xargs -r rm -r --
}

alert() {
  say "$1"
  [ -n "${ALERT_WEBHOOK_URL:-}" ] || return 0
  # the address may hold a token, so it is not an argument that ps shows
  printf 'url = "%s"\n' "$ALERT_WEBHOOK_URL" | curl --silent --fail --max-time 15 --output /dev/null --config - \
    --header 'Content-Type: application/json' --data "{\"text\": \"$1\"}" || say "the webhook did not take the alert"
}

mkdir -p "$dir"
exec 9>"$dir/lock"
flock --nonblock 9 || exit 0

if healthy; then
  exit 0
fi
for ((try = 1; try <= tries; try++)); do
  say "unhealthy; restart $try of $tries"
  diagnose "$try"
  bash -c "$restart" 9>&- || say "the restart failed"
  sleep "$settle"
  if healthy; then
    say "healthy again"
    exit 0
  fi
  if [ "$try" -lt "$tries" ]; then
    sleep "$pause"
  fi
done
alert "chopmark on $(hostname) is not healthy after $tries restarts; diagnostics: $dir"
exit 1
