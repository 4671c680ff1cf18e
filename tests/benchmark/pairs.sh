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
cd "$tmp"
rows=$(awk "BEGIN {print int(150000 * $scale)}")

pg_start pg 'shared_buffers = 512MB'
source_url=$pg_url
sql "$source_url" "CREATE DATABASE target" "CREATE DATABASE target2" "CREATE DATABASE target3"
target_url=postgresql://postgres@127.0.0.1:$pg_port/target
redis_start a
a=$redis_port
redis_start b
b=$redis_port

echo "making data: 8 namespaces, $((rows * 8)) rows, as many keys"
for n in 1 2 3 4 5 6 7 8; do
    sql "$source_url" "CREATE SCHEMA ns$n" \
        "CREATE TABLE ns$n.person (id bigint PRIMARY KEY, name text NOT NULL, born date, balance numeric(12, 2), active boolean, seen timestamptz)" \
        "CREATE TABLE ns$n.event (id bigint PRIMARY KEY, person bigint REFERENCES ns$n.person, at timestamptz, payload jsonb, amount double precision)" \
        "INSERT INTO ns$n.person SELECT g, 'person ' || g, date '1950-01-01' + (g % 20000)::int, g * 1.25, g % 2 = 0, timestamptz '2026-01-01' + g * interval '1 s'
            FROM generate_series(1, $rows / 5) g" \
        "INSERT INTO ns$n.event SELECT g, 1 + g % ($rows / 5), timestamptz '2026-01-01' + g * interval '1 min', jsonb_build_object('n', g, 'tag', md5(g::text)), g / 3.0
            FROM generate_series(1, $rows - $rows / 5) g" \
        "CREATE INDEX event_by_person ON ns$n.event (person)"
    redis-cli -p "$a" EVAL "
local n, rows = '$n', $rows
for i = 1, rows do
    local key = 'ns' .. n .. ':' .. i
    local kind = i % 10
    if kind < 5 then redis.call('SET', key, string.rep('v', 20 + i % 100), 'PXAT', 4102444800000 + i)
    elseif kind < 8 then redis.call('HSET', key, 'name', 'n' .. i, 'age', i % 100, 'city', 'c' .. i % 1000)
    elseif kind == 8 then redis.call('RPUSH', key, i, i + 1, i + 2)
    else redis.call('ZADD', key, i, 'a', i / 7, 'b') end
end" 0 >/dev/null
done
sql "$source_url" "ANALYZE"

# pair NAME SOURCE-BACKEND 'SOURCE with N' DESTINATION-BACKEND 'DESTINATION with N' [MORE-KEYS]
pair() {
    {
        printf 'version: 1\nname: %s\nworkers: 4\nbackends:\n' "$1"
        printf '  pg: {adapter: postgres, url: "%s"}\n  pg2: {adapter: postgres, url: "%s"}\n' "$source_url" "$target_url"
        printf '  pg3: {adapter: postgres, url: "%s2"}\n  pg4: {adapter: postgres, url: "%s3"}\n' "$target_url" "$target_url"
        printf '  a: {adapter: redis, url: "redis://127.0.0.1:%s/0"}\n  b: {adapter: redis, url: "redis://127.0.0.1:%s/0"}\n' "$a" "$b"
        printf '  lite: {adapter: sqlite, path: lite.db}\n  dump: {adapter: file, path: dump}\n'
        printf 'namespaces:\n'
        for n in 1 2 3 4 5 6 7 8; do
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

rows_of() {
    for n in 1 2 3 4 5 6 7 8; do
        sql "$1" "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM ns$n.person t" \
            "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM ns$n.event t"
    done
}
keys_of() {
    redis-cli -p "$1" DEBUG DIGEST
}

rows_of "$source_url" >wanted.rows
keys_of "$a" >wanted.keys

pair pg-pg pg 'schema: nsN' pg2 ''
rows_of "$target_url" | cmp -s wanted.rows - || fail "pg-pg: rows differ"

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
[ "$(sqlite3 lite.db 'SELECT count(*) FROM event')" -eq $((rows - rows / 5)) ] || fail "pg-sqlite: rows are missing"
sed 's/pg-sqlite/sqlite-pg/; s/source: .*/source: {backend: lite}, destination: {backend: pg4, schema: ns1}}/' pg-sqlite.yaml >sqlite-pg.yaml
"$NSMIGRATE" run sqlite-pg.yaml --quiet >/dev/null
[ "$(sql "${target_url}3" "SELECT count(*), sum(id), sum(person) FROM ns1.event")" = "$(sql "$source_url" "SELECT count(*), sum(id), sum(person) FROM ns1.event")" ] ||
    fail "sqlite-pg: rows differ"

pair pg-file pg 'schema: nsN' dump ''
pair file-pg dump '' pg3 'schema: nsN'
rows_of "${target_url}2" | cmp -s wanted.rows - || fail "pg-file-pg: rows differ"
echo "all compared by psql, redis-cli and sqlite3: the same"
