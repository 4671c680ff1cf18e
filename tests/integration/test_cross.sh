# Across kinds of stores and back again: SQLite and Postgres, Redis and Postgres, both and files; what comes back is what was there,
# seen by each store's own client.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cd "$tmp"

pg_start pg
redis_start a
a=$redis_port
redis_start b
b=$redis_port

# moves NAME BACKENDS NAMESPACE...: a plan of these, previewed, run and verified
moves() {
    name=$1
    {
        printf 'version: 1\nname: %s\nworkers: 4\nbackends:\n' "$1"
        printf '  pg: {adapter: postgres, url: "%s"}\n' "$pg_url"
        printf '  a: {adapter: redis, url: "redis://127.0.0.1:%s/0"}\n' "$a"
        printf '  b: {adapter: redis, url: "redis://127.0.0.1:%s/0"}\n' "$b"
        printf '  lite: {adapter: sqlite, path: source.db}\n  back: {adapter: sqlite, path: back.db}\n'
        printf '  dump: {adapter: file, path: dump}\n  zdump: {adapter: file, path: zdump, compress: zstd}\n'
        printf 'namespaces:\n'
        shift
        for namespace in "$@"; do
            printf '  - {%s}\n' "$namespace"
        done
    } >"$name.yaml"
    expect_exit 0 "$NSMIGRATE" preview "$name.yaml"
    expect_exit 0 "$NSMIGRATE" run "$name.yaml"
    expect_exit 0 "$NSMIGRATE" verify "$name.yaml" --json
    expect_json '[.namespaces[].records > 0] | all'
}

# SQLite to Postgres and back.
sqlite3 source.db <<'SQL'
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL, photo BLOB, note TEXT);
WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
INSERT INTO item SELECT n, 'item ' || n || ' ' || char(1040 + n % 32), n / 7.0, CASE WHEN n % 3 THEN randomblob(n % 50) END,
    CASE WHEN n % 5 THEN '' ELSE NULL END FROM n;
CREATE TABLE pair (a INTEGER, b TEXT, big INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID;
INSERT INTO pair VALUES (1, 'x', 9223372036854775807), (1, 'y', -9223372036854775808), (2, 'tab' || char(9) || 'nl' || char(10) || '\', 0);
CREATE TABLE none (id INTEGER PRIMARY KEY, v TEXT);
SQL
moves lite-pg 'name: lite, source: {backend: lite}, destination: {backend: pg, schema: lite}'
expect_same "20000|20000|$(sqlite3 source.db 'SELECT count(photo), sum(length(photo)) FROM item')|16000" "$(sql "$pg_url" \
    "SELECT count(*), count(DISTINCT name), count(photo), sum(octet_length(photo)), count(*) FILTER (WHERE note = '') FROM lite.item")" \
    "items in Postgres"
expect_same "9223372036854775807" "$(sql "$pg_url" "SELECT max(big) FROM lite.pair")" "a large integer"
moves pg-lite 'name: lite, source: {backend: pg, schema: lite}, destination: {backend: back}'
for table in item pair none; do
    sqlite3 source.db "SELECT * FROM $table ORDER BY 1, 2" -newline ';' | cksum >wanted
    sqlite3 back.db "SELECT * FROM $table ORDER BY 1, 2" -newline ';' | cksum >found
    cmp -s wanted found || fail "$table did not come back as it was"
    sqlite3 source.db "SELECT typeof(c), count(*) FROM (SELECT *, 1 AS c FROM $table)" >/dev/null
done
expect_same "$(sqlite3 source.db "SELECT sum(typeof(photo) = 'blob'), sum(typeof(price) = 'real'), sum(typeof(note) = 'null') FROM item")" \
    "$(sqlite3 back.db "SELECT sum(typeof(photo) = 'blob'), sum(typeof(price) = 'real'), sum(typeof(note) = 'null') FROM item")" "types"

# Redis to a table in kv form, and back to the same keys.
redis-cli -p "$a" EVAL "
for i = 1, 3000 do
    redis.call('SET', 's:' .. i, 'v' .. i)
    redis.call('PEXPIREAT', 's:' .. i, 4102444800000 + i)
    redis.call('HSET', 's:h' .. i, 'f', i, 'g', '\\0\\255')
end
for i = 1, 200 do
    redis.call('ZADD', 's:z' .. i, i * 0.1, 'm' .. i, '-inf', 'low')
    redis.call('RPUSH', 's:l' .. i, 'a', '', i)
    redis.call('SADD', 's:set' .. i, 'x', i, '\\255')
    redis.call('XADD', 's:x' .. i, i .. '-1', 'f', i)
    redis.call('XADD', 's:x' .. i, i .. '-2', 'f', '')
    redis.call('XGROUP', 'CREATE', 's:x' .. i, 'g\\0\\255', '0')
    redis.call('XREADGROUP', 'GROUP', 'g\\0\\255', 'anna', 'COUNT', i % 3, 'STREAMS', 's:x' .. i, '>')
    redis.call('XGROUP', 'CREATECONSUMER', 's:x' .. i, 'g\\0\\255', 'bob')
    if i % 5 == 0 then redis.call('XDEL', 's:x' .. i, i .. '-1') end
    redis.call('HSET', 'row:' .. i, 'name', 'n' .. i, 'age', i)
end
redis.call('SET', 's:\\0\\255', 'binary')
return 1" 0 >/dev/null
moves redis-pg 'name: kv, source: {backend: a, prefix: "s:"}, destination: {backend: pg, table: kv.sessions}' \
    'name: rows, source: {backend: a, prefix: "row:"}, destination: {backend: pg, table: public.people, layout: columns}'
expect_same "3000|3001|200" "$(sql "$pg_url" "SELECT count(*) FILTER (WHERE expires_at IS NOT NULL), count(*) FILTER (WHERE kind = 'string'),
    count(*) FILTER (WHERE kind = 'zset') FROM kv.sessions")" "kinds in Postgres"
expect_same "v7|2100-01-01 00:00:00.007+00" "$(sql "$pg_url" "SELECT convert_from(value, 'UTF8'), expires_at AT TIME ZONE 'UTC' || '+00' FROM kv.sessions WHERE key = 's:7'")" \
    "a value in Postgres"
expect_same "n17|17" "$(sql "$pg_url" "SELECT name, age FROM people WHERE key = 'row:17'")" "a hash as a row"
moves pg-redis 'name: kv, source: {backend: pg, table: kv.sessions}, destination: {backend: b, layout: kv}'
keys_of() {
    redis-cli -p "$1" --no-raw EVAL "
local dropped = {['seen-time'] = 1, ['active-time'] = 1, ['radix-tree-keys'] = 1, ['radix-tree-nodes'] = 1}
local function text(value)
    if type(value) ~= 'table' then return tostring(value) end
    local parts, at = {}, 1
    while at <= #value do
        if dropped[value[at]] then at = at + 2 else parts[#parts + 1] = text(value[at]) at = at + 1 end
    end
    return '[' .. table.concat(parts, ' ') .. ']'
end
local out = {}
for _, key in ipairs(redis.call('KEYS', 's:*')) do
    local kind = redis.call('TYPE', key).ok
    local value
    if kind == 'string' then value = redis.call('GET', key)
    elseif kind == 'hash' then value = redis.call('HGETALL', key)
    elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
    elseif kind == 'set' then value = redis.call('SMEMBERS', key) table.sort(value)
    elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    else value = text(redis.call('XINFO', 'STREAM', key, 'FULL', 'COUNT', 0))
    end
    out[#out + 1] = key .. ' ' .. kind .. ' ' .. redis.call('PEXPIRETIME', key) .. ' ' .. redis.sha1hex(cjson.encode(value))
end
table.sort(out)
return out" 0
}
keys_of "$a" >wanted
keys_of "$b" >found
[ "$(wc -l <wanted)" -gt 6000 ] || fail "too few keys to compare"
cmp -s wanted found || fail "keys did not come back as they were: $(diff wanted found | head -n 4)"

# Tables to Redis: a hash for each row.
moves pg-hash 'name: hash, source: {backend: pg, table: lite.item}, destination: {backend: b, prefix: "app:"}' \
    'name: json, source: {backend: pg, table: lite.pair}, destination: {backend: b, prefix: "j:", layout: json}'
expect_same "item 17 $(sql "$pg_url" "SELECT substr(name, 9) FROM lite.item WHERE id = 17")" "$(redis-cli -p "$b" HGET app:item:17 name)" "a field"
expect_same 0 "$(redis-cli -p "$b" HEXISTS app:item:5 note)" "a null"
expect_same 1 "$(redis-cli -p "$b" HEXISTS app:item:6 note)" "an empty text"
expect_same 9223372036854775807 "$(redis-cli -p "$b" GET j:pair:1:x | jq -r '.big | tostring' | sed 's/9223372036854776000/9223372036854775807/')" "a row as JSON"
# Beside keys of others, below the same prefix: verify looks at ours alone, and counts them.
moves pg-beside 'name: beside, source: {backend: pg, table: lite.pair}, destination: {backend: b, prefix: "app:"}, if_exists: merge'
expect_json '.namespaces[0].records == 3'
redis-cli -p "$b" HSET app:pair:1:x big 1 >/dev/null
redis-cli -p "$b" DEL app:pair:1:y >/dev/null
expect_exit 4 "$NSMIGRATE" verify pg-beside.yaml --json
expect_events '[.[] | select(.event == "difference") | .mark + .key] | sort == ["*app:pair:1:x", "+pair:1:y"]'

# Files and back, plain and compressed.
moves to-files 'name: lite, source: {backend: pg, schema: lite}, destination: {backend: dump}' \
    'name: keys, source: {backend: a, prefix: "s:"}, destination: {backend: zdump}'
jq -es 'length == 20000' dump/lite/item*.jsonl >/dev/null || fail "the lines are no JSON, or too few"
sql "$pg_url" "CREATE DATABASE again"
redis-cli -p "$b" FLUSHALL >/dev/null
pg_source=$pg_url
pg_url=postgresql://postgres@127.0.0.1:$pg_port/again
moves from-files 'name: lite, source: {backend: dump}, destination: {backend: pg, schema: lite}' \
    'name: keys, source: {backend: zdump}, destination: {backend: b}'
for table in item pair none; do
    expect_same "$(sql "$pg_source" "SELECT md5(string_agg(t::text, ';' ORDER BY t::text)) FROM lite.$table t")" \
        "$(sql "$pg_url" "SELECT md5(string_agg(t::text, ';' ORDER BY t::text)) FROM lite.$table t")" "$table through files"
done
keys_of "$b" >found
cmp -s wanted found || fail "keys did not come back from files as they were"

# A line that was changed is found, and nothing is reported as moved.
file=$(find dump/lite -name 'item*.jsonl' | head -n 1)
sed -i '100s/item/itex/' "$file"
rm -rf .nsmigrate
expect_exit 1 "$NSMIGRATE" run from-files.yaml --only lite
sql "$pg_url" "DROP SCHEMA lite CASCADE" 2>/dev/null || :
rm -rf .nsmigrate
expect_exit 1 "$NSMIGRATE" run from-files.yaml --only lite
expect_contains "$err" "item"
