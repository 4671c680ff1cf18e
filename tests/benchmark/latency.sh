#!/bin/sh
# Parallel against sequential: many small namespaces over a wire of some milliseconds, with 1, 2, 4, ... workers; and the same on
# loopback, where no setting may be slower than one worker. The wire is the proxy of the tests of faults, one before each server.
#
#   sh tests/benchmark/latency.sh [--namespaces N] [--latency MS] [--workers N,...] [--runs N] [--only PAIR,...]
#
#   --namespaces   256: of 20 keys, or of a table with 20 rows
#   --latency      5: milliseconds of a round trip
#   --workers      1,2,4,8,16,64
#   --only         redis, postgres: from one to another of their kind; default: both
#
# Results are compared by redis-cli and psql. Prints medians, and how many times faster than one worker; the CPU seconds are those of
# nsmigrate with pg_dump, which are the bound on a machine of few cores, as are those of the servers and of the proxies.
set -eu
NSM_SOURCE_DIR=$(cd "$(dirname "$0")/../.." && pwd)
export NSM_SOURCE_DIR NSMIGRATE="${NSMIGRATE:-$NSM_SOURCE_DIR/build/nsmigrate}"
NSM_FAULT_PROXY=${NSM_FAULT_PROXY:-$(dirname "$NSMIGRATE")/tests/fault_proxy}
n_namespaces=256 latency=5 workers=1,2,4,8,16,64 runs=1 only=redis,postgres
while [ $# -gt 1 ]; do
    case $1 in
    --namespaces) n_namespaces=$2 ;;
    --latency) latency=$2 ;;
    --workers) workers=$2 ;;
    --runs) runs=$2 ;;
    --only) only=$2 ;;
    *) break ;;
    esac
    shift 2
done
[ $# -eq 0 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/support/faults.sh
. "$NSM_SOURCE_DIR/tests/support/faults.sh"
# shellcheck source=tests/benchmark/data.sh
. "$NSM_SOURCE_DIR/tests/benchmark/data.sh"
cd "$tmp"
[ -x "$NSM_FAULT_PROXY" ] || fail "build the target fault_proxy"
measure=$NSM_SOURCE_DIR/tests/benchmark/measure.py

# wire PORT: $wire_port leads there by the long way
wire() {
    wire_port=$(free_port)
    proxy_start "$wire_port" "$1" --latency "$(awk "BEGIN {print int($latency * 500)}")"
}

start_redis() {
    redis_start redis-source --enable-debug-command yes
    source_port=$redis_port source_pid=$redis_pid
    redis_start redis-target --enable-debug-command yes
    target_port=$redis_port target_pid=$redis_pid
    make_small_keys "$source_port" "$n_namespaces"
    keys_of "$source_port" >wanted.txt
}

reset_redis() {
    redis-cli -p "$target_port" FLUSHALL >/dev/null
}

found_redis() {
    keys_of "$target_port"
}

start_postgres() {
    pg_start pg-source 'max_connections = 300' 'shared_buffers = 256MB'
    source_port=$pg_port source_pid=$(head -n 1 "$pg_dir/postmaster.pid") source_url=$pg_url
    pg_start pg-target 'max_connections = 300' 'shared_buffers = 256MB'
    target_port=$pg_port target_pid=$(head -n 1 "$pg_dir/postmaster.pid") target_url=$pg_url
    make_small_schemas "$source_url" "$n_namespaces"
    count_small_schemas "$source_url" >wanted.txt
}

reset_postgres() {
    sql "$target_url" "DROP DATABASE IF EXISTS target" "CREATE DATABASE target" 2>/dev/null
}

found_postgres() {
    count_small_schemas "${target_url%/*}/target"
}

# write_plan FILE SOURCE-PORT TARGET-PORT
write_plan() {
    case $pair in
    redis) from=redis://127.0.0.1:$2/0 to=redis://127.0.0.1:$3/0 what=prefix colon=: ;;
    *) from=postgresql://postgres@127.0.0.1:$2/postgres to=postgresql://postgres@127.0.0.1:$3/target what=schema colon= ;;
    esac
    {
        printf 'version: 1\nname: latency\nbackends:\n  a: {adapter: %s, url: "%s"}\n  b: {adapter: %s, url: "%s"}\nnamespaces:\n' \
            "$pair" "$from" "$pair" "$to"
        awk -v n="$n_namespaces" -v what="$what" -v colon="$colon" 'BEGIN {for (i = 1; i <= n; i++)
                printf "  - {name: t%d, source: {backend: a, %s: \"t%d%s\"}, destination: {backend: b}}\n", i, what, i, colon}'
    } >"$1"
}

# move PLAN WORKERS
move() {
    "reset_$pair"
    rm -rf .nsmigrate
    python3 "$measure" run "$pair" "$2" "$1.tsv" "source=$source_pid" "target=$target_pid" -- \
        "$NSMIGRATE" run "$1" --workers "$2" --quiet >tool.log 2>&1 || {
        tail -n 5 tool.log >&2
        fail "$pair: with $2 workers"
    }
    "found_$pair" >found.txt
    cmp -s wanted.txt found.txt || fail "$pair: what has arrived is not what was there"
}

for pair in $(echo "$only" | tr , ' '); do
    "start_$pair"
    write_plan loopback "$source_port" "$target_port"
    wire "$source_port"
    source_wire=$wire_port
    wire "$target_port"
    write_plan wire "$source_wire" "$wire_port"
    run=0
    while [ "$run" -lt "$runs" ]; do
        run=$((run + 1))
        for n in $(echo "$workers" | tr , ' '); do
            echo "$pair: run $run of $runs, $n workers" >&2
            move wire "$n"
            move loopback "$n"
        done
    done
done
echo "$n_namespaces namespaces, $runs runs, $(nproc) CPUs; compared by psql or redis-cli"
python3 "$measure" speed "a wire of $latency ms" wire.tsv
python3 "$measure" speed "loopback" loopback.tsv
