# Killed at any moment, again and again, also in the middle of what an earlier run left, and stopped in between; then one run to
# the end: the destination is the source, by each store's own client, and nothing of ours is left there.
#
# The moments are pseudo-random from a seed: see faults.sh.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/support/faults.sh
. "$NSM_SOURCE_DIR/tests/support/faults.sh"
cd "$tmp"

# A whole run's time in milliseconds, from which moments are chosen: $run_ms
measure() {
    began=$(date +%s%3N)
    expect_exit 0 "$NSMIGRATE" run "$1.yaml" --quiet
    run_ms=$(($(date +%s%3N) - began))
    rm -rf ".nsmigrate/$1"
}

# interrupt NAME: one run that is killed (two of three) or stopped somewhere on its way; false where it was done before that
interrupt() {
    random "$run_ms"
    moment=$random
    random 3
    start "$NSMIGRATE" run "$1.yaml" --json
    sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
    signal=KILL
    [ "$random" != 0 ] || signal=TERM
    kill "-$signal" "$pid" 2>/dev/null || :
    ended=0
    wait "$pid" 2>/dev/null || ended=$?
    cp .out.bg "$out"
    cp .err.bg "$err"
    expect_sane "$err" "a run that was killed"
    case $signal:$ended in
        KILL:137) n_killed=$((n_killed + 1)) ;;
        TERM:143) n_stopped=$((n_stopped + 1)) ;;
        *:0) n_done=$((n_done + 1)) && return 1 ;;
        *) fail "exit code $ended after SIG$signal at $moment ms of $1" ;;
    esac
}

# round NAME CLEAR COMPARE: interrupted two to five times from the beginning, or until a run was done before its moment; then one to
# the end. How long a run takes changes with whatever else the machine does: a whole one that was done before its moment tells what
# it takes at most.
round() {
    $2
    rm -rf ".nsmigrate/$1"
    random 4
    for nth in $(seq $((random + 2))); do
        interrupt "$1" && continue
        [ "$nth" -gt 1 ] || run_ms=$moment
        break
    done
    expect_exit 0 "$NSMIGRATE" run "$1.yaml" --json
    expect_json '.status == "ok"'
    $3 || fail "$1: not the same after $n_rounds rounds: see above"
}

# survives NAME ROUNDS CLEAR COMPARE: CLEAR empties the destination, COMPARE tells how it differs from the source
survives() {
    n_killed=0 n_stopped=0 n_done=0 n_rounds=0
    measure "$1"
    $4 || fail "$1: not the same after a run that nothing disturbed"
    while [ "$n_rounds" -lt "$2" ] || [ "$n_killed" = 0 ]; do
        [ "$n_rounds" -lt 20 ] || fail "$1: no run was killed on its way in $n_rounds rounds"
        n_rounds=$((n_rounds + 1))
        round "$1" "$3" "$4"
    done
    tell "$1: a run takes $run_ms ms; $n_killed killed, $n_stopped stopped, $n_done done before"
}

# ---- Postgres to Postgres ----

pg_start pg
source_url=$pg_url
target_url=postgresql://postgres@127.0.0.1:$pg_port/target
sql "$source_url" "CREATE DATABASE target" "CREATE SCHEMA app" \
    "CREATE TABLE app.big (id bigserial PRIMARY KEY, v text, n numeric)" \
    "INSERT INTO app.big (v, n) SELECT md5(n::text), n / 3.0 FROM generate_series(1, 15000) n" \
    "CREATE INDEX big_v ON app.big (v)" \
    "CREATE TABLE app.nokey (a int, b text)" \
    "INSERT INTO app.nokey SELECT n % 100, 'row ' || n % 700 FROM generate_series(1, 12000) n" \
    "CREATE TABLE app.child (id int PRIMARY KEY, big bigint REFERENCES app.big)" \
    "INSERT INTO app.child SELECT n, n FROM generate_series(1, 3000) n" \
    "CREATE VIEW app.few AS SELECT * FROM app.big WHERE id < 10"

# rows URL: each table's rows, none left out and none doubled
rows() {
    for table in app.big app.nokey app.child; do
        sql "$1" "SELECT '$table', count(*), md5(string_agg(t::text, ';' ORDER BY t::text)) FROM $table t"
    done
}
# objects URL: what belongs to them
objects() {
    sql "$1" "SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indexrelid
                  WHERE relnamespace = 'app'::regnamespace ORDER BY 1" \
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'app'::regnamespace ORDER BY 1" \
        "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'app'::regnamespace ORDER BY 1" \
        "SELECT last_value FROM app.big_id_seq"
}
pg_is_clean() {
    sql "$target_url" "SELECT 'left over: ' || nspname FROM pg_namespace WHERE nspname LIKE '%nsm%'
        UNION ALL SELECT 'left over: ' || relname FROM pg_class WHERE relname LIKE '%nsm%'" >left
    [ ! -s left ] || { cat left >&2; return 1; }
}
pg_clear() {
    sql "$target_url" "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'target' AND pid <> pg_backend_pid()" >/dev/null
    sql "$target_url" "SET client_min_messages = error; DROP SCHEMA IF EXISTS app CASCADE; DROP SCHEMA IF EXISTS nsmigrate CASCADE"
}
pg_compare() {
    { rows "$source_url"; objects "$source_url"; } >wanted
    { rows "$target_url"; objects "$target_url"; } >found
    same wanted found && pg_is_clean
}
plan pg-pg "adapter: postgres, url: \"$source_url\"" "adapter: postgres, url: \"$target_url\"" \
    'name: app, source: {backend: a, schema: app}, destination: {backend: b}'
survives pg-pg 2 pg_clear pg_compare

# ---- Redis to Redis ----

redis_start one
one=$redis_port
redis_start two
two=$redis_port
redis-cli -p "$one" EVAL "
for i = 1, 12000 do
    redis.call('SET', 's:' .. i, 'v' .. i)
    if i % 3 == 0 then redis.call('PEXPIREAT', 's:' .. i, 4102444800000 + i) end
end
for i = 1, 1000 do
    redis.call('HSET', 'h:' .. i, 'a', i, 'b', '\\0\\255')
    redis.call('RPUSH', 'l:' .. i, 'x', 'y', i)
end
for i = 1, 20000 do
    redis.call('RPUSH', 'l:long', 'item ' .. i)
    redis.call('XADD', 'l:stream', i .. '-1', 'f', i)
end
return 1" 0 >/dev/null

# keys_of PORT PATTERN: each key's type, expiry and value
keys_of() {
    redis-cli -p "$1" --no-raw EVAL "
local out = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
    local kind = redis.call('TYPE', key).ok
    local value
    if kind == 'string' then value = redis.call('GET', key)
    elseif kind == 'hash' then value = redis.call('HGETALL', key)
    elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
    elseif kind == 'stream' then value = redis.call('XINFO', 'STREAM', key, 'FULL', 'COUNT', 0)
    end
    out[#out + 1] = key .. ' ' .. kind .. ' ' .. redis.call('PEXPIRETIME', key) .. ' ' .. redis.sha1hex(cjson.encode(value))
end
table.sort(out)
return out" 0 "$2" | cut -d')' -f2-
}
redis_clear() {
    redis-cli -p "$two" FLUSHALL >/dev/null
}
redis_compare() {
    keys_of "$one" '*' | grep -v 'l:stream stream' >wanted
    keys_of "$two" '*' | grep -v 'l:stream stream' >found
    redis-cli -p "$one" XRANGE l:stream - + | cksum >>wanted
    redis-cli -p "$two" XRANGE l:stream - + | cksum >>found
    same wanted found || return 1
    expect_same "$(redis-cli -p "$one" DBSIZE)" "$(redis-cli -p "$two" DBSIZE)" "keys"
    ! redis-cli -p "$two" --scan --pattern '*nsmigrate*' | grep . >&2
}
plan redis-redis "adapter: redis, url: \"redis://127.0.0.1:$one/0\"" "adapter: redis, url: \"redis://127.0.0.1:$two/0\"" \
    'name: strings, source: {backend: a, prefix: "s:"}, destination: {backend: b}' \
    'name: hashes, source: {backend: a, prefix: "h:"}, destination: {backend: b}' \
    'name: lists, source: {backend: a, prefix: "l:"}, destination: {backend: b}'
survives redis-redis 3 redis_clear redis_compare

# ---- Redis to a table, which is read back by psql ----

kv_clear() {
    sql "$target_url" "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'target' AND pid <> pg_backend_pid()" >/dev/null
    sql "$target_url" "SET client_min_messages = error; DROP SCHEMA IF EXISTS kv, nsmigrate CASCADE"
}
kv_compare() {
    redis-cli -p "$one" EVAL "
local out = {}
for _, key in ipairs(redis.call('KEYS', 's:*')) do
    out[#out + 1] = key .. '|' .. redis.call('GET', key) .. '|' .. string.format('%.0f', redis.call('PEXPIRETIME', key))
end
return out" 0 | LC_ALL=C sort >wanted
    sql "$target_url" "SELECT convert_from(key, 'UTF8'), convert_from(value, 'UTF8'), coalesce(extract(epoch FROM expires_at) * 1000, -1)::bigint FROM kv.strings" |
        LC_ALL=C sort >found
    same wanted found || return 1
    expect_same 1002 "$(sql "$target_url" "SELECT count(DISTINCT key) FROM kv.lists")" "lists"
    expect_same "$(redis-cli -p "$one" --scan --pattern 'l:*' | wc -l)" 1002 "keys of lists"
    pg_is_clean
}
redis-cli -p "$one" DEL l:long l:stream >/dev/null
redis-cli -p "$one" EVAL "
redis.call('RPUSH', 'l:long', 'a')
redis.call('XADD', 'l:stream', '1-1', 'f', 'g')" 0 >/dev/null
plan redis-pg "adapter: redis, url: \"redis://127.0.0.1:$one/0\"" "adapter: postgres, url: \"$target_url\"" \
    'name: strings, source: {backend: a, prefix: "s:"}, destination: {backend: b, table: kv.strings}' \
    'name: lists, source: {backend: a, prefix: "l:"}, destination: {backend: b, table: kv.lists}'
sql "$target_url" "CREATE SCHEMA kv"
survives redis-pg 2 kv_clear kv_compare

# ---- SQLite to SQLite, and to Postgres ----

sqlite3 source.db <<'SQL'
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL, photo BLOB);
WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
INSERT INTO item SELECT n, 'item ' || n, n / 7.0, CASE WHEN n % 3 THEN randomblob(20) END FROM n;
CREATE INDEX item_name ON item (name);
CREATE TABLE log (line TEXT, level INTEGER);
INSERT INTO log SELECT 'line ' || id % 900, id % 5 FROM item WHERE id <= 12000;
CREATE TABLE pair (a INTEGER, b TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
INSERT INTO pair SELECT id, 'b' || id FROM item WHERE id <= 5000;
SQL
lite_rows() {
    for table in item log pair; do
        sqlite3 "$1" "SELECT * FROM $table" -newline ';' | tr ';' '\n' | LC_ALL=C sort | cksum
        sqlite3 "$1" "SELECT count(*) FROM $table"
    done
}
lite_clear() {
    rm -f target.db target.db-wal target.db-shm target.db-journal
}
lite_compare() {
    lite_rows source.db >wanted
    sqlite3 source.db "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2" >>wanted
    lite_rows target.db >found
    sqlite3 target.db "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2" >>found
    expect_same ok "$(sqlite3 target.db 'PRAGMA integrity_check')" "integrity"
    same wanted found
}
plan lite-lite 'adapter: sqlite, path: source.db' 'adapter: sqlite, path: target.db' \
    'name: items, source: {backend: a, tables: item}, destination: {backend: b}' \
    'name: rest, source: {backend: a, tables: [log, pair]}, destination: {backend: b}'
survives lite-lite 3 lite_clear lite_compare

lite_pg_clear() {
    sql "$target_url" "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'target' AND pid <> pg_backend_pid()" >/dev/null
    sql "$target_url" "SET client_min_messages = error; DROP SCHEMA IF EXISTS lite, nsmigrate CASCADE"
}
lite_pg_compare() {
    {
        sqlite3 source.db "SELECT id, name, lower(hex(photo)) FROM item" | LC_ALL=C sort | cksum
        sqlite3 source.db "SELECT line, level FROM log" | LC_ALL=C sort | cksum
        sqlite3 source.db "SELECT a, b FROM pair" | LC_ALL=C sort | cksum
    } >wanted
    {
        sql "$target_url" "SELECT id, name, encode(photo, 'hex') FROM lite.item" | LC_ALL=C sort | cksum
        sql "$target_url" "SELECT line, level FROM lite.log" | LC_ALL=C sort | cksum
        sql "$target_url" "SELECT a, b FROM lite.pair" | LC_ALL=C sort | cksum
    } >found
    same wanted found && pg_is_clean
}
plan lite-pg 'adapter: sqlite, path: source.db' "adapter: postgres, url: \"$target_url\"" \
    'name: lite, source: {backend: a}, destination: {backend: b, schema: lite}'
survives lite-pg 2 lite_pg_clear lite_pg_compare

# ---- Postgres to files ----

files_clear() {
    rm -rf dump
}
files_compare() {
    sql "$source_url" "SELECT id, v FROM app.big" | LC_ALL=C sort >wanted
    sql "$source_url" "SELECT a, b FROM app.nokey" | LC_ALL=C sort >>wanted
    cat dump/app/big*.jsonl | jq -r '"\(.id)|\(.v)"' | LC_ALL=C sort >found
    cat dump/app/nokey*.jsonl | jq -r '"\(.a)|\(.b)"' | LC_ALL=C sort >>found
    same wanted found || return 1
    ! find dump -name '*.progress' -o -name '*.tmp' -o -name '*.part' | grep . >&2
}
plan pg-files "adapter: postgres, url: \"$source_url\"" 'adapter: file, path: dump' \
    'name: app, source: {backend: a, tables: [app.big, app.nokey]}, destination: {backend: b}'
survives pg-files 3 files_clear files_compare
