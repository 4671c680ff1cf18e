#!/bin/sh
# The main job on a large set of data, for every pair of stores: eight namespaces and a million records (times SCALE), on servers of its
# own; each result is compared by psql, redis-cli and sqlite3. Prints seconds, rate and peak memory of each run.
#
#   sh tests/benchmark/pairs.sh [SCALE]      default 1; 0.1 for a look
set -eu
NSM_SOURCE_DIR=$(cd "$(dirname "$0")/../.." && pwd)
export NSM_SOURCE_DIR NSMIGRATE="${NSMIGRATE:-$NSM_SOURCE_DIR/build/nsmigrate}"
scale=${1:-1}
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/benchmark/data.sh
. "$NSM_SOURCE_DIR/tests/benchmark/data.sh"
cd "$tmp"
schemas="ns1 ns2 ns3 ns4 ns5 ns6 ns7 ns8"
rows=$(awk "BEGIN {print int(150000 * $scale)}")

pg_start pg 'shared_buffers = 512MB'
source_url=$pg_url
sql "$source_url" "CREATE DATABASE target" "CREATE DATABASE target2" "CREATE DATABASE target3"
target_url=postgresql://postgres@127.0.0.1:$pg_port/target
redis_start a --enable-debug-command yes
a=$redis_port
redis_start b --enable-debug-command yes
b=$redis_port

echo "making data: 8 namespaces, $((rows * 8)) rows, as many keys"
make_schemas "$source_url" "$rows"
make_keys "$a" "$rows"

# pair NAME SOURCE-BACKEND 'SOURCE with N' DESTINATION-BACKEND 'DESTINATION with N' [MORE-KEYS]
pair() {
    {
        printf 'version: 1\nname: %s\nworkers: 4\nbackends:\n' "$1"
        printf '  pg: {adapter: postgres, url: "%s"}\n  pg2: {adapter: postgres, url: "%s"}\n' "$source_url" "$target_url"
        printf '  pg3: {adapter: postgres, url: "%s2"}\n  pg4: {adapter: postgres, url: "%s3"}\n' "$target_url" "$target_url"
        printf '  a: {adapter: redis, url: "redis://127.0.0.1:%s/0"}\n  b: {adapter: redis, url: "redis://127.0.0.1:%s/0"}\n' "$a" "$b"
        printf '  lite: {adapter: sqlite, path: lite.db}\n  dump: {adapter: file, path: dump}\n'
        printf 'namespaces:\n'
        for n in $namespaces; do
            printf '  - {name: ns%s, %ssource: {backend: %s, %s}, destination: {backend: %s, %s}}\n' "$n" "${6:-}" "$2" \
                "$(echo "$3" | sed "s/N/$n/g")" "$4" "$(echo "$5" | sed "s/N/$n/g")"
        done
    } | sed 's/, }/}/g' >"$1.yaml"
    code=0
    /usr/bin/time -f '%e %M %U %S' -o time.txt "$NSMIGRATE" run "$1.yaml" --json >"$out" 2>"$err" || code=$?
    [ "$code" -eq 0 ] || fail "$1: exit code $code"
    read -r seconds kib user system <time.txt
    records=$(jq -s 'last | .namespaces | map(.records) | add' "$out")
    awk -v name="$1" -v s="$seconds" -v k="$kib" -v r="$records" -v u="$user" -v y="$system" \
        'BEGIN {printf "%-16s %9d records  %6.1f s  %8.0f/s  peak %5.1f MiB  cpu %5.1f s\n", name, r, s, r / s, k / 1024, u + y}'
}

# shellcheck disable=SC2086
rows_of "$source_url" $schemas >wanted.rows
keys_of "$a" >wanted.keys

pair pg-pg pg 'schema: nsN' pg2 ''
# shellcheck disable=SC2086
rows_of "$target_url" $schemas | cmp -s wanted.rows - || fail "pg-pg: rows differ"

pair redis-redis a 'prefix: "nsN:"' b ''
keys_of "$b" | cmp -s wanted.keys - || fail "redis-redis: keys differ"
redis-cli -p "$b" FLUSHALL >/dev/null

pair redis-pg a 'prefix: "nsN:"' pg3 'table: public.kvN'
pair pg-redis-kv pg3 'table: public.kvN' b 'layout: kv' 'if_exists: merge, '
keys_of "$b" | cmp -s wanted.keys - || fail "redis-pg-redis: keys differ"
redis-cli -p "$b" FLUSHALL >/dev/null

pair pg-redis pg 'schema: nsN' b 'prefix: "nsN:"'
[ "$(redis-cli -p "$b" DBSIZE)" -eq $((rows * 8)) ] || fail "pg-redis: a hash is missing"
[ "$(redis-cli -p "$b" HGET ns3:person:77 name)" = "person 77" ] || fail "pg-redis: a field differs"

# One SQLite file takes the tables of one schema: their names have no room for two.
sed -n '1,/^namespaces/p' pg-redis.yaml | sed 's/pg-redis/pg-sqlite/' >pg-sqlite.yaml
printf '  - {name: ns1, source: {backend: pg, schema: ns1}, destination: {backend: lite}}\n' >>pg-sqlite.yaml
"$NSMIGRATE" run pg-sqlite.yaml --quiet >/dev/null
[ "$(sqlite3 lite.db 'SELECT count(*) FROM event')" -eq $((rows - rows / 5 - rows / 7)) ] || fail "pg-sqlite: rows are missing"
sed 's/pg-sqlite/sqlite-pg/; s/source: .*/source: {backend: lite}, destination: {backend: pg4, schema: ns1}}/' pg-sqlite.yaml >sqlite-pg.yaml
"$NSMIGRATE" run sqlite-pg.yaml --quiet >/dev/null
[ "$(sql "${target_url}3" "SELECT count(*), sum(id), sum(person) FROM ns1.event")" = "$(sql "$source_url" "SELECT count(*), sum(id), sum(person) FROM ns1.event")" ] ||
    fail "sqlite-pg: rows differ"

pair pg-file pg 'schema: nsN' dump ''
pair file-pg dump '' pg3 'schema: nsN'
# shellcheck disable=SC2086
rows_of "${target_url}2" $schemas | cmp -s wanted.rows - || fail "pg-file-pg: rows differ"
echo "all compared by psql, redis-cli and sqlite3: the same"
