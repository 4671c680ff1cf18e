#!/bin/sh
# What many namespaces cost beside one: every store is asked once, whatever their number.
#
#   sh tests/benchmark/census.sh [--scale F] [--only PART,...]
#
#   --scale   1 (default): the numbers below
#   --only    redis     a Redis of 2 million keys: one namespace that holds all, 100 namespaces in one run, 100 runs of one
#             postgres  1,000 schemas: statements and seconds of preview, and of preview for a tenth of them
#             small     10,000 small namespaces: SQLite to SQLite and to files, Redis to Redis; 100: Postgres to Postgres.
#                       Milliseconds and memory for each, reads from the socket (Redis) and statements (Postgres) at each side
#             preview   a million keys, and 10,000 tables: seconds; what preview says of time and bytes, and what run takes
#
# Results are compared by redis-cli, psql and sqlite3.
set -eu
NSM_SOURCE_DIR=$(cd "$(dirname "$0")/../.." && pwd)
export NSM_SOURCE_DIR NSMIGRATE="${NSMIGRATE:-$NSM_SOURCE_DIR/build/nsmigrate}"
scale=1 only=redis,postgres,small,preview
while [ $# -gt 1 ]; do
    case $1 in
    --scale) scale=$2 ;;
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
# shellcheck source=tests/benchmark/data.sh
. "$NSM_SOURCE_DIR/tests/benchmark/data.sh"
cd "$tmp"
[ -x /usr/bin/time ] || fail "install the package time"

scaled() {
    awk "BEGIN {printf \"%d\", $1 * $scale}"
}

# plan FILE 'BACKEND a' 'BACKEND b' 'SOURCE with N' 'DESTINATION with N' FIRST LAST
plan() {
    awk -v a="$2" -v b="$3" -v source="$4" -v destination="$5" -v first="$6" -v last="$7" 'BEGIN {
        printf "version: 1\nname: census\nbackends:\n  a: {%s}\n  b: {%s}\nnamespaces:\n", a, b
        for (i = first; i <= last; i++) {
            line = sprintf("  - {name: tN, source: {backend: a%s}, destination: {backend: b%s}}", source, destination)
            gsub(/N/, i, line)
            print line
        }
    }' >"$1"
}

# timed COMMAND...: $seconds and $mib
timed() {
    /usr/bin/time -q -f '%e %M' -o cost.txt "$@" >tool.out 2>tool.log || {
        tail -n 5 tool.log >&2
        fail "$*"
    }
    read -r seconds kib <cost.txt
    mib=$((kib / 1024))
}

move() {
    rm -rf .nsmigrate
    timed "$NSMIGRATE" run "$1" --quiet
}

# tell NAME NAMESPACES [MORE]
tell() {
    awk -v name="$1" -v n="$2" -v s="$seconds" -v m="$mib" -v more="${3:-}" \
        'BEGIN {printf "%-44s %8.2f s  %8.2f ms each  %5d MiB  %s\n", name, s, s * 1000 / n, m, more}'
}

# redis_pair KEYS-EACH NAMESPACES
redis_pair() {
    stop_redis
    redis_start redis-source --enable-debug-command yes
    source_port=$redis_port source_pid=$redis_pid
    redis_start redis-target --enable-debug-command yes
    target_port=$redis_port target_pid=$redis_pid
    a="adapter: redis, url: \\\"redis://127.0.0.1:$source_port/0\\\"" b="adapter: redis, url: \\\"redis://127.0.0.1:$target_port/0\\\""
    make_small_keys "$source_port" "$2" "$1"
}

stop_redis() {
    [ -z "${source_pid:-}" ] || kill -KILL "$source_pid" "$target_pid"
    source_pid=
    rm -rf redis-source redis-target
}

same_keys() {
    expect_same "$(keys_of "$source_port")" "$(keys_of "$target_port")" "$1: keys"
    redis-cli -p "$target_port" FLUSHALL >/dev/null
}

# pg_pair SCHEMAS: statements are counted in the servers' logs
pg_pair() {
    [ -n "${pg_source:-}" ] || {
        pg_start pg-source 'log_statement = all' 'max_locks_per_transaction = 1024'
        pg_source=$pg_url pg_source_log=$pg_dir/log
        pg_start pg-target 'log_statement = all' 'max_locks_per_transaction = 1024'
        pg_target=$pg_url pg_target_log=$pg_dir/log
    }
    sql "$pg_source" "DROP DATABASE IF EXISTS source" "CREATE DATABASE source" 2>/dev/null
    sql "$pg_target" "DROP DATABASE IF EXISTS target" "CREATE DATABASE target" 2>/dev/null
    source_url=${pg_source%/*}/source target_url=${pg_target%/*}/target
    make_small_schemas "$source_url" "$1"
    a="adapter: postgres, url: \\\"$source_url\\\"" b="adapter: postgres, url: \\\"$target_url\\\""
}

statements() {
    grep -cE 'LOG:  (statement|execute)' "$1" || :
}

# What the server has read from its sockets: about as many as there were round trips.
requests() {
    redis-cli -p "$1" INFO stats | tr -d '\r' | sed -n 's/^total_reads_processed://p'
}

# each BEFORE AFTER NAMESPACES
each() {
    awk "BEGIN {printf \"%.2f\", ($2 - $1) / $3}"
}

part_redis() {
    n=100
    redis_pair "$(scaled 20000)" $n
    plan one.yaml "$a" "$b" ', prefix: \"t\"' '' 1 1
    plan all.yaml "$a" "$b" ', prefix: \"tN:\"' '' 1 $n
    for run in 1 2 3; do
        move one.yaml
        same_keys one
        tell "redis: one namespace" 1
        move all.yaml
        same_keys all
        tell "redis: $n namespaces in one run" $n
    done
    start_s=$(date +%s.%N)
    for i in $(seq $n); do
        plan single.yaml "$a" "$b" ', prefix: \"tN:\"' '' "$i" "$i"
        move single.yaml
    done
    seconds=$(awk "BEGIN {print $(date +%s.%N) - $start_s}")
    same_keys separate
    tell "redis: $n runs of one namespace" $n
}

part_postgres() {
    for n in $(scaled 100) $(scaled 1000); do
        pg_pair "$n"
        plan all.yaml "$a" "$b" ', schema: tN' '' 1 "$n"
        was_source=$(statements "$pg_source_log") was_target=$(statements "$pg_target_log")
        timed "$NSMIGRATE" preview all.yaml --json
        tell "postgres: preview of $n schemas" "$n" \
            "statements: $(($(statements "$pg_source_log") - was_source)) at the source, $(($(statements "$pg_target_log") - was_target)) at the destination"
    done
}

small_sqlite() {
    awk -v n="$1" 'BEGIN {print "BEGIN;"; for (i = 1; i <= n; i++)
        printf "CREATE TABLE t%d (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t%d VALUES (1, \047one\047), (2, \047two\047);\n", i, i
        print "COMMIT;"}' | sqlite3 source.db
    plan sqlite.yaml 'adapter: sqlite, path: source.db' 'adapter: sqlite, path: target.db' ', tables: [tN]' '' 1 "$1"
    move sqlite.yaml
    expect_same "$1" "$(sqlite3 target.db "SELECT count(*) FROM sqlite_master WHERE name LIKE 't%'")" "tables"
    tell "sqlite to sqlite: $1 namespaces" "$1"
    plan file.yaml 'adapter: sqlite, path: source.db' 'adapter: file, path: dump' ', tables: [tN]' '' 1 "$1"
    move file.yaml
    expect_same "$1" "$(find dump -name '*.jsonl' | wc -l)" "files"
    tell "sqlite to files: $1 namespaces" "$1"
}

small_redis() {
    redis_pair 20 "$1"
    plan all.yaml "$a" "$b" ', prefix: \"tN:\"' '' 1 "$1"
    was_source=$(requests "$source_port") was_target=$(requests "$target_port")
    move all.yaml
    more="reads each: $(each "$was_source" "$(requests "$source_port")" "$1") at the source, $(each "$was_target" \
        "$(requests "$target_port")" "$1") at the destination"
    same_keys small
    tell "redis to redis: $1 namespaces" "$1" "$more"
}

small_postgres() {
    pg_pair "$1"
    plan all.yaml "$a" "$b" ', schema: tN' '' 1 "$1"
    was_source=$(statements "$pg_source_log") was_target=$(statements "$pg_target_log")
    move all.yaml
    more="statements each: $(each "$was_source" "$(statements "$pg_source_log")" "$1") at the source, $(each "$was_target" \
        "$(statements "$pg_target_log")" "$1") at the destination"
    expect_same "$(count_small_schemas "$source_url")" "$(count_small_schemas "$target_url")" "schemas"
    tell "postgres to postgres: $1 namespaces" "$1" "$more"
}

part_small() {
    small_sqlite "$(scaled 10000)"
    small_redis "$(scaled 10000)"
    small_postgres "$(scaled 101)"
}

# previewed NAME PLAN: what preview takes and says, and what run takes
previewed() {
    timed "$NSMIGRATE" preview "$2" --json
    preview_seconds=$seconds
    cp tool.out preview.json
    rm -rf .nsmigrate
    timed "$NSMIGRATE" run "$2" --json
    jq -rs --slurpfile run tool.out --arg name "$1" --arg took "$preview_seconds" '
        def mib: . / 1048576 * 10 | round / 10;
        [.[] | select(.event == "namespace")] as $rows | ($run | last) as $ended
        | "preview of \($name): \($took) s; bytes: said \($rows | map(.bytes) | add | mib) MiB, took \($ended.namespaces | map(.bytes) | add | mib) MiB; " +
            "seconds: said \(last.estimate_seconds), took \($ended.seconds)"' preview.json ||
        fail "preview of $1 says nothing"
}

part_preview() {
    redis_pair "$(scaled 10000)" 100
    plan all.yaml "$a" "$b" ', prefix: \"t\"' '' 1 1
    previewed "$(scaled 1000000) keys" all.yaml
    n=$(scaled 10000)
    awk -v n="$n" 'BEGIN {print "CREATE SCHEMA many;"; for (i = 1; i <= n; i++)
        printf "CREATE TABLE many.t%d AS SELECT g AS id, g::text AS name FROM generate_series(1, 20) g;\n", i}' >many.sql
    pg_pair 1
    psql -X -q -v ON_ERROR_STOP=1 -f many.sql "$source_url"
    sql "$source_url" "VACUUM ANALYZE"
    plan all.yaml "$a" "$b" ', schema: many' '' 1 1
    timed "$NSMIGRATE" preview all.yaml --json
    tell "preview of $n tables" "$n"
}

for part in $(echo "$only" | tr , ' '); do
    "part_$part"
done
