#!/usr/bin/env bash
# Chopmark past one machine, on this one: MariaDB, Redis, and four processes that share
# them, the API, a worker and two edges. Needs the packages mariadb-server and
# redis-server. Everything is under one directory and ends with Ctrl-C.
#
#   make cluster                 or: deploy/cluster.sh [DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(realpath -m "${1:-./data/cluster}")
bin=$PWD/bin/chopmark
sql_port=${SQL_PORT:-13306} redis_port=${REDIS_PORT:-16379}

for program in mariadbd mariadb-install-db mariadb redis-server; do
  PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || {
    echo "$program is missing: apt-get install mariadb-server redis-server" >&2
    exit 1
  }
done
export PATH="$PATH:/usr/sbin"
[ -x "$bin" ] || make --no-print-directory build
mkdir -p "$dir/redis" "$dir/certs"

pids=()
# shellcheck disable=SC2317 # the trap calls it
stop() {
  trap - EXIT INT TERM
  local i
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do # what was started last ends first
    kill "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
}
trap stop EXIT INT TERM

user=$(id -un)
if [ ! -d "$dir/sql/mysql" ]; then
  mariadb-install-db --no-defaults --user="$user" --datadir="$dir/sql" --auth-root-authentication-method=normal --skip-test-db >/dev/null
fi
mariadbd --no-defaults --user="$user" --datadir="$dir/sql" --bind-address=127.0.0.1 --port="$sql_port" \
  --socket="$dir/sql.sock" --log-error="$dir/sql.log" &
pids+=($!)
redis-server --bind 127.0.0.1 --port "$redis_port" --dir "$dir/redis" --appendonly yes --save '' >"$dir/redis.log" &
pids+=($!)
for _ in $(seq 300); do # half a minute
  mariadb --no-defaults --socket="$dir/sql.sock" -u root -e 'SELECT 1' >/dev/null 2>&1 && break
  read -rt 0.1 <> <(:) || true
done

# One password and one key for as long as the directory lives.
umask 077
[ -e "$dir/password" ] || head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$dir/password"
[ -e "$dir/kek" ] || head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$dir/kek"
password=$(cat "$dir/password")
mariadb --no-defaults --socket="$dir/sql.sock" -u root <<SQL
CREATE DATABASE IF NOT EXISTS chopmark;
CREATE USER IF NOT EXISTS 'chopmark'@'127.0.0.1' IDENTIFIED BY '$password';
GRANT ALL ON chopmark.* TO 'chopmark'@'127.0.0.1';
SQL
[ -e "$dir/ca/ca.pem" ] || "$bin" keys ca --out "$dir/ca"
for name in all-1 all-2 edge-1 edge-2; do
  [ -e "$dir/certs/$name.pem" ] || "$bin" keys role-cert --ca "$dir/ca" --name "$name" --out "$dir/certs" >/dev/null
done

export CHOPMARK_REDIS=redis://127.0.0.1:$redis_port/0
sql=mysql://chopmark:$password@127.0.0.1:$sql_port/chopmark
role() { # name, flags: a process under the name of its certificate
  local name=$1
  shift
  "$bin" serve --data "$dir/$name" --role-cert "$dir/certs/$name.pem" --role-key "$dir/certs/$name-key.pem" \
    --role-ca "$dir/ca/ca.pem" --public-url http://localhost:8081 "$@" 2>"$dir/$name.log" &
  pids+=($!)
}
ready() { # port
  for _ in $(seq 600); do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    read -rt 0.1 <> <(:) || true
  done
  echo "nothing answers on port $1; look into $dir/*.log" >&2
  exit 1
}
CHOPMARK_SQL=$sql role all-1 --target issue --kek "$dir/kek" --listen 127.0.0.1:8080 --grpc-listen '' --role-listen 127.0.0.1:8443
ready 8443
CHOPMARK_SQL=$sql role all-2 --target worker --kek "$dir/kek" --listen 127.0.0.1:8083 --grpc-listen ''
role edge-1 --target edge --join https://127.0.0.1:8443 --listen 127.0.0.1:8081 --grpc-listen ''
role edge-2 --target edge --join https://127.0.0.1:8443 --listen 127.0.0.1:8082 --grpc-listen ''
ready 8081
ready 8082
echo
echo "  API       http://127.0.0.1:8080   (the sign-in link is above, at the first start)"
echo "  edges     http://127.0.0.1:8081   http://127.0.0.1:8082"
echo "  worker    http://127.0.0.1:8083"
echo "  logs      $dir/*.log              Ctrl-C ends all of it"
wait -n "${pids[@]}"
echo "a process has ended; look into $dir/*.log" >&2
exit 1
