#!/bin/sh
# nsmigrate beside what people use today, on servers of its own with data that is the same everywhere: every tool in turn, several times,
# each result compared by psql or redis-cli. Prints medians, ratios to nsmigrate, CPU seconds and peak memory.
#
#   sh tests/benchmark/compare.sh [--quick] [--scale F] [--runs N] [--only WORKLOAD,...] [--peer 'NAME=COMMAND with {source} {target}']...
#
#   --quick   a fiftieth of the data, two runs: less than two minutes on an idle machine
#   --scale   1 (default): 2.96 million rows in 24 tables, 3 million rows in one table, 2 million keys
#   --only    pg, pg-table, redis, redis-strings, redis-pg, pg-redis; default: all
#   --peer    one more tool, in all of these workloads; it is given the URLs of both servers
#
# A peer that is not installed is left out: pgcopydb, pg_dump, psql, redis-cli. The Postgres servers run with fsync on.
set -eu
NSM_SOURCE_DIR=$(cd "$(dirname "$0")/../.." && pwd)
export NSM_SOURCE_DIR NSMIGRATE="${NSMIGRATE:-$NSM_SOURCE_DIR/build/nsmigrate}"
scale=1 runs=5 only=pg,pg-table,redis,redis-strings,redis-pg,pg-redis peers=
while [ $# -gt 0 ]; do
    case $1 in
    --quick) scale=0.02 runs=2 ;;
    --scale) scale=$2 && shift ;;
    --runs) runs=$2 && shift ;;
    --only) only=$2 && shift ;;
    --peer) peers="$peers$2
" && shift ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift
done
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/benchmark/data.sh
. "$NSM_SOURCE_DIR/tests/benchmark/data.sh"
cd "$tmp"
[ -x /usr/bin/time ] || fail "install the package time"
measure=$NSM_SOURCE_DIR/tests/benchmark/measure.py

scaled() {
    awk "BEGIN {printf \"%d\", $1 * $scale}"
}

# ---- stores: their URLs and processes are in $source_url, $target_url, $source_pid, $target_pid ----

use_pg() {
    [ -n "${pg_source_url:-}" ] || {
        pg_start pg-source 'shared_buffers = 512MB' 'fsync = on'
        pg_source_url=$pg_url pg_source_pid=$(head -n 1 "$pg_dir/postmaster.pid")
        pg_start pg-target 'shared_buffers = 512MB' 'fsync = on'
        pg_target_url=$pg_url pg_target_pid=$(head -n 1 "$pg_dir/postmaster.pid")
    }
}

use_redis() {
    [ -n "${redis_source_port:-}" ] || {
        redis_start redis-source --enable-debug-command yes
        redis_source_port=$redis_port redis_source_pid=$redis_pid
        redis_start redis-target --enable-debug-command yes
        redis_target_port=$redis_port redis_target_pid=$redis_pid
    }
}

from_pg() {
    use_pg
    source_url=${pg_source_url%/*}/$1 source_pid=$pg_source_pid
    sql "$pg_source_url" "CREATE DATABASE \"$1\""
}

to_pg() {
    use_pg
    target_url=${pg_target_url%/*}/target target_pid=$pg_target_pid
    reset=reset_pg
}

from_redis() {
    use_redis
    source_url=redis://127.0.0.1:$redis_source_port/0 source_pid=$redis_source_pid
    redis-cli -p "$redis_source_port" FLUSHALL >/dev/null
}

to_redis() {
    use_redis
    target_url=redis://127.0.0.1:$redis_target_port/0 target_pid=$redis_target_pid
    reset=reset_redis
}

reset_pg() {
    sql "$pg_target_url" "DROP DATABASE IF EXISTS target" "CREATE DATABASE target" "CHECKPOINT" 2>/dev/null
}

reset_redis() {
    redis-cli -p "$redis_target_port" FLUSHALL >/dev/null
}

# ---- one run ----

# write_plan FILE SOURCE-ADAPTER 'SOURCE with N' DESTINATION-ADAPTER 'DESTINATION with N' NAMESPACE...
write_plan() {
    plan=$1 from="$2" source="$3" to="$4" destination="$5"
    shift 5
    {
        printf 'version: 1\nname: compare\nbackends:\n  a: {adapter: %s, url: "%s"}\n  b: {adapter: %s, url: "%s"}\nnamespaces:\n' \
            "$from" "$source_url" "$to" "$target_url"
        # shellcheck disable=SC2016
        for n in "$@"; do
            printf '  - {name: %s, verify: "${VERIFY}", source: {backend: a, %s}, destination: {backend: b%s}}\n' "$n" \
                "$(echo "$source" | sed "s/N/$n/g")" "$(echo "$destination" | sed "s/N/$n/g")"
        done
    } >"$plan"
}

# tool NAME COMMAND...: one measured run; what arrived is compared with wanted.txt by the workload's found.
tool() {
    tool_name=$1
    shift
    $reset
    rm -rf .nsmigrate work
    python3 "$measure" run "$workload" "$tool_name" results.tsv "source=$source_pid" "target=$target_pid" -- "$@" >tool.log 2>&1 || {
        tail -n 20 tool.log >&2
        fail "$workload: $tool_name ended with an error"
    }
    found >found.txt
    cmp -s wanted.txt found.txt || {
        diff wanted.txt found.txt | head -n 20 >&2 || :
        fail "$workload: what $tool_name has brought is not what was there"
    }
}

nsmigrate_tools() {
    tool "nsmigrate" env VERIFY=digest "$NSMIGRATE" run plan.yaml --quiet
    tool "nsmigrate, verify: none" env VERIFY=none "$NSMIGRATE" run plan.yaml --quiet
}

custom_tools() {
    echo "$peers" | while IFS= read -r peer; do
        [ -n "$peer" ] || continue
        tool "${peer%%=*}" sh -c "$(echo "${peer#*=}" | sed "s|{source}|$source_url|g; s|{target}|$target_url|g")"
    done
}

# in_turn TOOLS...: functions that run tools, interleaved.
in_turn() {
    run=0
    while [ "$run" -lt "$runs" ]; do
        run=$((run + 1))
        printf '%s: run %s of %s\n' "$workload" "$run" "$runs" >&2
        for tools in "$@"; do
            $tools
        done
    done
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# ---- the workloads ----

pg_tools() {
    ! has pgcopydb ||
        tool "pgcopydb clone" pgcopydb clone --source "$source_url" --target "$target_url" --dir "$tmp/work" --table-jobs 2 --index-jobs 2
    tool "pg_dump | psql" sh -c "pg_dump '$source_url' | psql -X -q -v ON_ERROR_STOP=1 '$target_url'"
    tool "pg_dump -Fd -j2, pg_restore -j2" \
        sh -c "pg_dump -Fd -j2 -Z0 -f work '$source_url' && pg_restore -j2 -d '$target_url' work"
}

work_pg() {
    from_pg pg
    to_pg
    make_schemas "$source_url" "$(scaled 370000)"
    schemas="ns1 ns2 ns3 ns4 ns5 ns6 ns7 ns8"
    # shellcheck disable=SC2086
    write_plan plan.yaml postgres 'schema: N' postgres '' $schemas
    # shellcheck disable=SC2086
    whole() { rows_of "$1" $schemas && definitions_of "$1" $schemas; }
    found() { whole "$target_url"; }
    whole "$source_url" >wanted.txt
    in_turn nsmigrate_tools pg_tools custom_tools
}

pg_pipes() {
    tool "psql COPY pipe" sh -c "pg_dump -s '$source_url' | psql -X -q -v ON_ERROR_STOP=1 '$target_url' &&
        psql -X -c 'COPY big.reading TO STDOUT' '$source_url' | psql -X -q -c 'COPY big.reading FROM STDIN' '$target_url'"
}

work_pg_table() {
    from_pg pg-table
    to_pg
    make_table "$source_url" "$(scaled 3000000)"
    write_plan plan.yaml postgres 'schema: N' postgres '' big
    found() { rows_of "$target_url" big; }
    rows_of "$source_url" big >wanted.txt
    in_turn nsmigrate_tools pg_tools pg_pipes custom_tools
}

redis_tools() {
    tool "redis-cli MIGRATE" sh -c "redis-cli -p $redis_source_port --scan |
        xargs -n 1000 redis-cli -p $redis_source_port MIGRATE 127.0.0.1 $redis_target_port '' 0 60000 COPY REPLACE KEYS"
    tool "REPLICAOF (the whole server)" sh -c "redis-cli -p $redis_target_port REPLICAOF 127.0.0.1 $redis_source_port &&
        until redis-cli -p $redis_target_port INFO replication | grep -q master_link_status:up; do sleep 0.05; done &&
        redis-cli -p $redis_target_port REPLICAOF NO ONE"
}

work_keys() {
    from_redis
    to_redis
    make_keys "$redis_source_port" "$(scaled 250000)" "$1"
    # shellcheck disable=SC2086
    write_plan plan.yaml redis 'prefix: "nsN:"' redis '' $namespaces
    found() { keys_of "$redis_target_port"; }
    keys_of "$redis_source_port" >wanted.txt
    in_turn nsmigrate_tools redis_tools custom_tools
}

work_redis_pg() {
    from_redis
    to_pg
    make_keys "$redis_source_port" "$(scaled 250000)" strings
    # shellcheck disable=SC2086
    write_plan plan.yaml redis 'prefix: "nsN:"' postgres ', table: public.kvN' $namespaces
    found() {
        for n in $namespaces; do
            sql "$target_url" "SELECT count(*), count(DISTINCT key), sum(length(value)), min(expires_at) FROM public.kv$n"
        done
    }
    for n in $namespaces; do
        awk -v keys="$(scaled 250000)" 'BEGIN {for (i = 1; i <= keys; i++) sum += 20 + i % 100
            printf "%d|%d|%d|2100-01-01 00:00:00.001+00\n", keys, keys, sum}'
    done >wanted.txt
    in_turn nsmigrate_tools custom_tools
}

work_pg_redis() {
    from_pg pg-redis
    to_redis
    make_schemas "$source_url" "$(scaled 250000)"
    # shellcheck disable=SC2086
    write_plan plan.yaml postgres 'schema: nsN' redis ', prefix: "nsN:"' $namespaces
    found() {
        redis-cli -p "$redis_target_port" DBSIZE
        redis-cli -p "$redis_target_port" HGET ns3:person:77 name
    }
    printf '%s\nperson 77\n' "$(($(scaled 250000) * 8))" >wanted.txt
    in_turn nsmigrate_tools custom_tools
}

: >results.tsv
for workload in $(echo "$only" | tr , ' '); do
    case $workload in
    pg) work_pg ;;
    pg-table) work_pg_table ;;
    redis) work_keys '' ;;
    redis-strings) work_keys strings ;;
    redis-pg) work_redis_pg ;;
    pg-redis) work_pg_redis ;;
    *) fail "no workload $workload" ;;
    esac
done
echo "scale $scale, $runs runs, interleaved, $(nproc) CPUs; every result compared by psql or redis-cli"
python3 "$measure" table results.tsv
