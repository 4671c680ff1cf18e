# Generated data of all kinds, from its store to another and back, in every layout that has a way back: what comes back is what was there,
# said by psql, sqlite3 and redis-cli. What has no way back is refused by name. NSM_SEED=N draws other data.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cd "$tmp"
seed=${NSM_SEED:-1}
echo "NSM_SEED=$seed"

python3 "$NSM_SOURCE_DIR/tests/support/roundtrip_data.py" "$seed"
pg_start pg "timezone = 'UTC'"
redis_start a
psql -X -q -v ON_ERROR_STOP=1 -1 -f pg.sql "$pg_url" >/dev/null
sqlite3 source.db ".read lite.sql"
redis-cli -p "$redis_port" --pipe <redis.resp >piped || fail "redis-cli --pipe: $(cat piped)"
expect_contains piped "errors: 0"

# The tables that rows come back to from stores that have fewer types.
one='id bigint PRIMARY KEY, n numeric, i bigint, f double precision, b boolean, t text, d date, ts timestamp, tz timestamptz, u uuid, j json'
sql "$pg_url" "CREATE SCHEMA lite" "CREATE TABLE lite.one ($one, y bytea)"
number=0
for db in a kvpg kvlite kvfile there json; do
    eval "$db=$number"
    number=$((number + 1))
done

# plan NAME NAMESPACE...
plan() {
    name=$1
    shift
    {
        printf 'version: 1\nname: %s\nworkers: 2\nbackends:\n' "$name"
        printf '  pg: {adapter: postgres, url: "%s"}\n  dump: {adapter: file, path: dump}\n' "$pg_url"
        printf '  lite: {adapter: sqlite, path: source.db}\n  via: {adapter: sqlite, path: via.db}\n  back: {adapter: sqlite, path: back.db}\n'
        for db in a kvpg kvlite kvfile there json; do
            eval "number=\$$db"
            printf '  %s: {adapter: redis, url: "redis://127.0.0.1:%s/%s"}\n' "$db" "$redis_port" "$number"
        done
        echo "namespaces:"
        for namespace in "$@"; do
            printf '  - {%s}\n' "$namespace"
        done
    } >"$name.yaml"
}

# Not a number and minus zero are no values in SQLite.
kept="f IS NULL OR f::text NOT IN ('NaN', '-0')"
plan there 'name: pg-file, source: {backend: pg, schema: rt}, destination: {backend: dump}' \
    "name: pg-lite, source: {backend: pg, table: rt.one, where: \"$kept\"}, destination: {backend: via}" \
    'name: pg-hash, source: {backend: pg, table: rt.one}, destination: {backend: there, prefix: "p:", key: "row/{id}"},
       columns: [id, n, i, f, b, t, d, ts, tz, u, j]' \
    'name: pg-json, source: {backend: pg, table: rt.one}, destination: {backend: json, prefix: "j:", layout: json}' \
    'name: lite-file, source: {backend: lite}, destination: {backend: dump}' \
    'name: lite-hash, source: {backend: lite, tables: [one]}, destination: {backend: there, prefix: "l:"}' \
    'name: redis-pg, source: {backend: a, prefix: "k:"}, destination: {backend: pg, table: kv.keys}' \
    'name: redis-lite, source: {backend: a, prefix: "k:"}, destination: {backend: via, table: keys}' \
    'name: redis-file, source: {backend: a, prefix: "k:"}, destination: {backend: dump}'
expect_exit 0 "$NSMIGRATE" run there.yaml

sql "$pg_url" "ALTER SCHEMA rt RENAME TO original"
plan back 'name: pg-file, source: {backend: dump}, destination: {backend: pg, schema: rt}' \
    'name: pg-lite, source: {backend: via, tables: [one]}, destination: {backend: pg, schema: lite}, if_exists: merge' \
    'name: pg-hash, source: {backend: there, prefix: "p:"}, destination: {backend: pg, table: back.hash, layout: columns}' \
    'name: pg-json, source: {backend: json, prefix: "j:"}, destination: {backend: pg, table: back.json}' \
    'name: lite-file, source: {backend: dump}, destination: {backend: back}' \
    'name: lite-hash, source: {backend: there, prefix: "l:"}, destination: {backend: back, table: hash, layout: columns}' \
    'name: redis-pg, source: {backend: pg, table: kv.keys}, destination: {backend: kvpg, layout: kv}' \
    'name: redis-lite, source: {backend: via, tables: [keys]}, destination: {backend: kvlite, layout: kv}' \
    'name: redis-file, source: {backend: dump}, destination: {backend: kvfile}'
expect_exit 0 "$NSMIGRATE" run back.yaml

# same TABLE QUERY [COLUMNS] [CONDITION]: the rows of the query are, as texts, those of the original.
same() {
    sql "$pg_url" "SELECT whole::text FROM (SELECT ${3:-*} FROM original.$1 WHERE ${4:-true} ORDER BY id) whole" >rows.wanted
    sql "$pg_url" "SELECT whole::text FROM ($2 ORDER BY 1) whole" >rows.found
    [ "$(wc -l <rows.wanted)" -ge 200 ] || fail "too few rows to compare"
    cmp -s rows.wanted rows.found || fail "$2: $(diff rows.wanted rows.found | head -n 6)"
}
same one "SELECT * FROM rt.one"
same more "SELECT * FROM rt.more"
same one "SELECT * FROM lite.one" "*" "$kept"
same one "SELECT id::bigint, n::numeric, i::bigint, f::double precision, b::boolean, t, d::date, ts::timestamp, tz::timestamptz, u::uuid, j::json
    FROM back.hash" "id, n, i, f, b, t, d, ts, tz, u, j"
# A null is an absent field or a JSON null, an empty text none of these; no numeric has become a double.
same one "SELECT (v->>'id')::bigint, (v->'n'->>'\$numeric')::numeric, v->>'t', v->>'t' IS NULL
    FROM (SELECT convert_from(value, 'UTF8')::jsonb AS v FROM back.json) x" "id, n, t, t IS NULL"

sqlite3 source.db .dump >dump.wanted
sqlite3 back.db ".dump one mixed" | sort >dump.found
sort dump.wanted | cmp -s - dump.found || fail "SQLite through files: $(sort dump.wanted | diff - dump.found | head -n 6)"
sqlite3 source.db "SELECT id, i, quote(r), quote(t), quote(b) FROM one ORDER BY id" >rows.wanted
sqlite3 back.db "SELECT CAST(CAST(id AS TEXT) AS INTEGER) AS id, CAST(CAST(i AS TEXT) AS INTEGER), quote(CAST(CAST(r AS TEXT) AS REAL)),
    quote(CAST(t AS TEXT)), quote(b) FROM hash ORDER BY 1" >rows.found
cmp -s rows.wanted rows.found || fail "SQLite through hashes: $(diff rows.wanted rows.found | head -n 6)"

keys_of() {
    redis-cli -p "$redis_port" -n "$1" --no-raw EVAL "
local function pairs_of(list)
    local out = {}
    for at = 1, #list, 2 do out[#out + 1] = #list[at] .. ':' .. list[at] .. '=' .. list[at + 1] end
    table.sort(out)
    return out
end
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
    local kind = redis.call('TYPE', key).ok
    local value
    if kind == 'string' then value = redis.call('GET', key)
    elseif kind == 'hash' then value = pairs_of(redis.call('HGETALL', key))
    elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
    elseif kind == 'set' then value = redis.call('SMEMBERS', key) table.sort(value)
    elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    else
        local info = redis.call('XINFO', 'STREAM', key)
        value = {redis.call('XRANGE', key, '-', '+'), info[2], info[8], info[10], info[12]}
    end
    out[#out + 1] = key .. ' ' .. kind .. ' ' .. redis.call('PEXPIRETIME', key) .. ' ' .. redis.sha1hex(cjson.encode(value))
end
table.sort(out)
return out" 0
}
keys_of "$a" >rows.wanted
[ "$(wc -l <rows.wanted)" -ge 300 ] || fail "too few keys to compare"
for db in kvpg kvlite kvfile; do
    eval "keys_of \"\$$db\"" >rows.found
    cmp -s rows.wanted rows.found || fail "$db: $(diff rows.wanted rows.found | head -n 6)"
done

# Values that a store has not are named.
for value in NaN -0; do
    plan "f${#value}" "name: f, source: {backend: pg, table: original.one, where: \"f::text = '$value'\"}, destination: {backend: via, table: f${#value}}"
    expect_exit 1 "$NSMIGRATE" run "f${#value}.yaml"
    expect_contains "$err" "column f: "
done

# Types that SQLite gives back as texts alone do not become what they were: said before anything is written.
plan types "name: more, source: {backend: pg, table: original.more, where: \"r IS DISTINCT FROM 'NaN'\"}, destination: {backend: via}"
expect_exit 0 "$NSMIGRATE" run types.yaml
sql "$pg_url" "CREATE TABLE lite.more (LIKE original.more INCLUDING ALL)"
plan wrong 'name: more, source: {backend: via, tables: [more]}, destination: {backend: pg, schema: lite}, if_exists: merge'
expect_exit 3 "$NSMIGRATE" preview wrong.yaml
for column in jb a p h e; do
    expect_match "$out" "column more.$column: TEXT can't become"
done
expect_exit 1 "$NSMIGRATE" run wrong.yaml
expect_same 0 "$(sql "$pg_url" "SELECT count(*) FROM lite.more")" "rows of what was refused"
