#!/bin/sh
# nsmigrate beside what people use today, on servers of its own with data that is the same everywhere: every tool in turn, several times,
# each result compared by psql or redis-cli. Prints medians, ratios to nsmigrate as a plan has it that says no more than what goes where,
# CPU seconds, the tool's share of those of both servers, and peak memory. A tool that fails, or brings something else than was there,
# has that in its line, and the code is 1 then.
#
#   sh tests/benchmark/compare.sh [--quick] [--scale F] [--runs N] [--only WORKLOAD,...] [--peer 'NAME=COMMAND with {source} {target}']...
#
#   --quick   a hundredth of the data, one run: less than two minutes; shows that all works, not how fast it is
#   --scale   1 (default): 2.96 million rows in 24 tables, 3 million rows in one table, 2 million keys
#   --only    default: all of them
#               pg             8 schemas: tables, rows, indexes, foreign keys       pg-rows    the same without keys and indexes
#               pg-table       one large table                                      redis      keys of all types
#               redis-strings  strings with an expiry                               redis-10th, redis-strings-10th  a tenth of the keys
#               redis-pg       strings to the rows of tables                        pg-redis   rows to hashes
#   --peer    one more tool, in all of these workloads; it is given the URLs of both servers
#
# A peer that is not installed is left out: pgcopydb, pg_dump, psql, redis-cli. The Postgres servers run with fsync on. To see how even
# the measurement is: --peer 'again=VERIFY=digest $NSMIGRATE run plan.yaml --quiet', in the folder of the plan.
set -eu
NSM_SOURCE_DIR=$(cd "$(dirname "$0")/../.." && pwd)
export NSM_SOURCE_DIR NSMIGRATE="${NSMIGRATE:-$NSM_SOURCE_DIR/build/nsmigrate}"
scale=1 runs=5 peers=
only=pg,pg-rows,pg-table,redis,redis-10th,redis-strings,redis-strings-10th,redis-pg,pg-redis
while [ $# -gt 0 ]; do
    case $1 in
    --quick) scale=0.01 runs=1 ;;
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
        # without the delay in which a master waits for more replicas
        redis_start redis-source --enable-debug-command yes --repl-diskless-sync-delay 0
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
    if ! python3 "$measure" run "$workload" "$tool_name" run.tsv "source=$source_pid" "target=$target_pid" -- "$@" >tool.log 2>&1; then
        grep . tool.log | tail -n 5 >&2
        failed "ended with an error: $(grep . tool.log | tail -n 1 | tr '\t' ' ' | cut -c 1-90)"
    elif ! found >found.txt 2>&1 || ! cmp -s wanted.txt found.txt; then
        diff wanted.txt found.txt | head -n 5 >&2 || :
        failed "what it has brought is not what was there"
    else
        cat run.tsv >>results.tsv
    fi
    rm -f run.tsv
}

failed() {
    printf '%s: %s: %s\n' "$workload" "$tool_name" "$1" >&2
    printf '%s\t%s\tfailed\t%s\n' "$workload" "$tool_name" "$1" >>results.tsv
}

nsmigrate_tools() {
    tool "nsmigrate (default settings)" env VERIFY=digest "$NSMIGRATE" run plan.yaml --quiet
    tool "nsmigrate, verify: none" env VERIFY=none "$NSMIGRATE" run plan.yaml --quiet
}

custom_tools() {
    printf '%s' "$peers" >peers.txt
    while IFS= read -r peer <&3; do
        tool "${peer%%=*}" sh -c "$(printf '%s' "${peer#*=}" | sed "s|{source}|$source_url|g; s|{target}|$target_url|g")"
    done 3<peers.txt
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

copydb() {
    copydb_name=$1
    shift
    tool "$copydb_name" pgcopydb clone --source "$source_url" --target "$target_url" --dir "$tmp/work" --table-jobs 2 --index-jobs 2 "$@"
}

# Options that newer ones have, and that make them faster here.
copydb_best() {
    best=
    for option in --skip-vacuum --use-copy-binary; do
        ! pgcopydb clone --help 2>&1 | grep -q -e "$option" || best="$best $option"
    done
    # shellcheck disable=SC2086
    [ -z "$best" ] || copydb "pgcopydb clone$best" $best
}

pg_tools() {
    ! has pgcopydb || {
        copydb "pgcopydb clone"
        copydb_best
    }
    has pg_dump || return 0
    tool "pg_dump | psql" sh -c "pg_dump '$source_url' | psql -X -q -v ON_ERROR_STOP=1 '$target_url'"
    tool "pg_dump -Fd -j2, pg_restore -j2" \
        sh -c "pg_dump -Fd -j2 -Z0 -f work '$source_url' && pg_restore -j2 -d '$target_url' work"
}

# Largest tables first, two at a time.
pg_pipes() {
    has pg_dump || return 0
    sql "$source_url" "SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text ~ '^(ns|big)'
        ORDER BY pg_relation_size(oid) DESC" >tables.txt
    # shellcheck disable=SC2016
    tool "psql COPY pipes, 2 at a time" sh -c 'pg_dump -s "$1" | psql -X -q -v ON_ERROR_STOP=1 "$2" &&
        xargs -P 2 -I {} sh -c "psql -X -c '\''COPY {} TO STDOUT'\'' $1 | psql -X -q -v ON_ERROR_STOP=1 -c '\''COPY {} FROM STDIN'\'' $2" \
            <tables.txt' sh "$source_url" "$target_url"
}

work_pg() {
    from_pg "$workload"
    to_pg
    make_schemas "$source_url" "$(scaled 370000)"
    [ -z "${1:-}" ] || drop_indexes "$source_url"
    schemas="ns1 ns2 ns3 ns4 ns5 ns6 ns7 ns8"
    # shellcheck disable=SC2086
    write_plan plan.yaml postgres 'schema: N' postgres '' $schemas
    # shellcheck disable=SC2086
    whole() { rows_of "$1" $schemas && definitions_of "$1" $schemas; }
    found() { whole "$target_url"; }
    whole "$source_url" >wanted.txt
    in_turn nsmigrate_tools pg_tools ${1:+pg_pipes} custom_tools
}

work_pg_table() {
    from_pg "$workload"
    to_pg
    make_table "$source_url" "$(scaled 3000000)"
    write_plan plan.yaml postgres 'schema: N' postgres '' big
    found() { rows_of "$target_url" big; }
    rows_of "$source_url" big >wanted.txt
    in_turn nsmigrate_tools pg_tools pg_pipes custom_tools
}

redis_tools() {
    has redis-cli || return 0
    tool "redis-cli MIGRATE" sh -c "redis-cli -p $redis_source_port --scan |
        xargs -n 1000 redis-cli -p $redis_source_port MIGRATE 127.0.0.1 $redis_target_port '' 0 60000 COPY REPLACE KEYS"
    tool "REPLICAOF (the whole server)" sh -c "redis-cli -p $redis_target_port REPLICAOF 127.0.0.1 $redis_source_port &&
        until redis-cli -p $redis_target_port INFO replication | grep -q master_link_status:up; do sleep 0.05; done &&
        redis-cli -p $redis_target_port REPLICAOF NO ONE"
}

# work_keys KEYS [strings]
work_keys() {
    from_redis
    to_redis
    make_keys "$redis_source_port" "$(scaled "$1")" "${2:-}"
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
    from_pg "$workload"
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
    pg-rows) work_pg rows ;;
    pg-table) work_pg_table ;;
    redis) work_keys 250000 ;;
    redis-10th) work_keys 25000 ;;
    redis-strings) work_keys 250000 strings ;;
    redis-strings-10th) work_keys 25000 strings ;;
    redis-pg) work_redis_pg ;;
    pg-redis) work_pg_redis ;;
    *) fail "no workload $workload" ;;
    esac
done
echo "scale $scale, $runs runs, interleaved, $(nproc) CPUs; every result compared by psql or redis-cli"
python3 "$measure" table results.tsv
