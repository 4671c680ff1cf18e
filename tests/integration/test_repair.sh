# repair: brings the destination to the source in just what differs, for every store that can and across kinds, also of what nsmigrate
# has not copied; by each store's own client. And verify names each difference by its mark.
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
sql "$pg_url" "CREATE DATABASE other"
other=postgresql://postgres@127.0.0.1:$pg_port/other

# plan NAME NAMESPACE...
plan() {
    name=$1
    shift
    {
        printf 'version: 1\nname: %s\nworkers: 2\nbatch: {records: 100}\nbackends:\n' "$name"
        printf '  pg: {adapter: postgres, url: "%s"}\n  other: {adapter: postgres, url: "%s"}\n' "$pg_url" "$other"
        printf '  a: {adapter: redis, url: "redis://127.0.0.1:%s/0"}\n  b: {adapter: redis, url: "redis://127.0.0.1:%s/0"}\n' "$a" "$b"
        printf '  lite: {adapter: sqlite, path: lite.db}\n  copy: {adapter: sqlite, path: copy.db}\n'
        printf '  dump: {adapter: file, path: dump}\nnamespaces:\n'
        printf '  - {%s}\n' "$@"
    } >"$name.yaml"
}

# mends NAME DIFFERENCE...: verify finds exactly these, a dry run shows them and changes nothing, repair mends them, once
mends() {
    name=$1
    shift
    printf '%s\n' "$@" | sort >wanted
    for command in verify "repair --dry-run" repair; do
        case $command in repair) exits=0 ;; *) exits=4 ;; esac
        # shellcheck disable=SC2086
        expect_exit $exits "$NSMIGRATE" $command "$name.yaml" --json
        jq -r 'select(.event == "difference") | .mark + " " + .object + " " + .key' "$out" | sort >found
        cmp -s wanted found || fail "$name: $command names others: $(diff wanted found)"
    done
    expect_json ".status == \"ok\" and .left == 0 and .differences == $# and .namespaces[0].repaired == $#"
    expect_exit 0 "$NSMIGRATE" verify "$name.yaml"
    expect_exit 0 "$NSMIGRATE" repair "$name.yaml" --json
    expect_json '.status == "ok" and .differences == 0'
}

# ---- Postgres, copied by nobody: keys that refer to each other, a trigger that spoils what it sees, rows without a key ----

shape="CREATE TABLE app.owner (id int PRIMARY KEY, email text UNIQUE, at timestamptz);
CREATE TABLE app.pet (id int PRIMARY KEY, owner int REFERENCES app.owner ON DELETE CASCADE, weight numeric, name text);
CREATE TABLE app.word (word text, n int, note json);
INSERT INTO app.owner SELECT n, 'mail' || n, '2026-01-01 00:00:00+00'::timestamptz + n * interval '1 ms' FROM generate_series(1, 3000) n;
INSERT INTO app.pet SELECT n, n, n * 1.10, CASE WHEN n % 7 > 0 THEN 'pet ' || n END FROM generate_series(1, 3000) n;
INSERT INTO app.word SELECT 'w' || n % 50, n % 50, NULL FROM generate_series(1, 500) n;
INSERT INTO app.word VALUES ('json', NULL, '{\"a\": 1}');
CREATE TYPE app.mood AS ENUM ('sad', 'glad');
CREATE TABLE app.part (id int, mood app.mood, v text, PRIMARY KEY (id, mood)) PARTITION BY HASH (mood);
CREATE TABLE app.part_0 PARTITION OF app.part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.part_1 PARTITION OF app.part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO app.part SELECT n, (ARRAY['sad', 'glad'])[n % 2 + 1]::app.mood, 'v' FROM generate_series(1, 100) n"
for url in "$pg_url" "$other"; do
    sql "$url" "CREATE SCHEMA app; $shape"
    sql "$url" "CREATE FUNCTION app.spoil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := ''spoilt''; RETURN NEW; END';
        CREATE TRIGGER spoil BEFORE INSERT OR UPDATE ON app.pet FOR EACH ROW EXECUTE FUNCTION app.spoil()"
done
plan pg 'name: app, source: {backend: pg, schema: app}, destination: {backend: other, schema: app}'
expect_exit 0 "$NSMIGRATE" verify pg.yaml
expect_exit 0 "$NSMIGRATE" repair pg.yaml
sql "$other" "SET session_replication_role = replica;
    UPDATE app.owner SET email = 'x' WHERE id = 5; UPDATE app.owner SET email = 'mail5' WHERE id = 6; UPDATE app.owner SET email = 'mail6' WHERE id = 5;
    DELETE FROM app.owner WHERE id = 7; INSERT INTO app.owner VALUES (9999, 'mail7', NULL);
    UPDATE app.pet SET weight = 11.0 WHERE id = 10; UPDATE app.pet SET name = '' WHERE id = 14; DELETE FROM app.pet WHERE id IN (1, 3000);
    INSERT INTO app.word VALUES ('w3', 3, NULL), ('extra', 1, NULL); DELETE FROM app.word WHERE word IN ('w7', 'json');
    UPDATE app.part SET v = 'x' WHERE id = 4; DELETE FROM app.part WHERE id = 5; INSERT INTO app.part VALUES (101, 'sad', 'v')"
mends pg '* owner id=5' '* owner id=6' '+ owner id=7' '- owner id=9999' '* pet id=10' '* pet id=14' '+ pet id=1' '+ pet id=3000' \
    '* word word=w3 n=3 note=null' '- word word=extra n=1 note=null' '+ word word=w7 n=7 note=null' \
    '+ word word=json n=null note={"a": 1}' '* part id=4 mood=sad' '+ part id=5 mood=glad' '- part id=101 mood=sad'
for table in owner pet word part; do
    sum="SELECT count(*) || md5(string_agg(t::text, ';' ORDER BY t::text)) FROM app.$table t"
    expect_same "$(sql "$pg_url" "$sum")" "$(sql "$other" "$sum")" "$table after the repair"
done
expect_same "" "$(sql "$other" "SELECT nspname FROM pg_namespace WHERE nspname = 'nsmigrate'")" "what repair left"

# Who may not keep the triggers from acting is refused, and nothing is changed.
sql "$other" "CREATE ROLE plain LOGIN; GRANT CREATE ON DATABASE other TO plain; GRANT USAGE, CREATE ON SCHEMA app TO plain; GRANT ALL ON ALL TABLES IN SCHEMA app TO plain" \
    "UPDATE app.owner SET at = NULL WHERE id = 1"
sed 's#other: {adapter: postgres, url: "postgresql://postgres@#other: {adapter: postgres, url: "postgresql://plain@#; s/name: pg/name: plain/' pg.yaml >plain.yaml
expect_exit 1 "$NSMIGRATE" repair plain.yaml
expect_contains "$err" "session_replication_role"
mends pg '* owner id=1'

# ---- Redis: values, scores, expiries, consumer groups, binary and big keys ----

fill="
for i = 1, 2000 do redis.call('SET', 's:' .. i, 'v' .. i, 'PXAT', 4102444800000 + i) end
redis.call('ZADD', 's:zset', 1.5, 'm', 2, 'n') redis.call('HSET', 's:hash', 'f', 'v') redis.call('RPUSH', 's:list', 'a', 'b')
redis.call('SADD', 's:set', 'x') redis.call('SET', 's:\\0\\255', 'binary') redis.call('SET', 's:forever', 'v')
redis.call('XADD', 's:stream', '1-1', 'f', 'v') redis.call('XGROUP', 'CREATE', 's:stream', 'group', '0')
for i = 1, 6000 do redis.call('RPUSH', 's:big', 'element ' .. i) end
return 1"
redis-cli -p "$a" EVAL "$fill" 0 >/dev/null
redis-cli -p "$b" EVAL "$fill" 0 >/dev/null
plan redis 'name: s, source: {backend: a, prefix: "s:"}, destination: {backend: b}'
expect_exit 0 "$NSMIGRATE" verify redis.yaml
redis-cli -p "$b" EVAL "
redis.call('PEXPIREAT', 's:7', 4102444800008) redis.call('PERSIST', 's:8') redis.call('EXPIREAT', 's:forever', 4102444800)
redis.call('ZADD', 's:zset', 1.5000000000000002, 'm') redis.call('HSET', 's:hash', 'f', 'V') redis.call('RPUSH', 's:list', 'c')
redis.call('SADD', 's:set', 'y') redis.call('DEL', 's:9', 's:\\0\\255') redis.call('XGROUP', 'DESTROY', 's:stream', 'group')
redis.call('LSET', 's:big', 5000, 'changed') redis.call('SET', 's:extra', 1) return 1" 0 >/dev/null
mends redis '*  s:7' '*  s:8' '*  s:forever' '*  s:zset' '*  s:hash' '*  s:list' '*  s:set' '+  s:9' '+  s:\x00\xff' '*  s:stream' \
    '*  s:big' '-  s:extra'
expect_same 4102444800007 "$(redis-cli -p "$b" PEXPIRETIME s:7)" "an expiry"
expect_same -1 "$(redis-cli -p "$b" PEXPIRETIME s:forever)" "no expiry"
expect_same group "$(redis-cli -p "$b" XINFO GROUPS s:stream | sed -n 2p)" "a consumer group"
expect_same "" "$(redis-cli -p "$b" --scan --pattern '*nsmigrate*')" "what repair left"

# ---- SQLite: with and without a key, text that is no number ----

for file in lite.db copy.db; do
    sqlite3 "$file" "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE pair (a TEXT COLLATE NOCASE, b INT, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
        CREATE TABLE bare (v COLLATE NOCASE); WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3000)
        INSERT INTO t SELECT n, n * 0.5 FROM n; INSERT INTO pair SELECT 'a' || id, id, v FROM t; INSERT INTO bare VALUES ('x'), ('X'), (1), ('1'), (NULL), (NULL);
        CREATE TRIGGER spoil AFTER INSERT ON t BEGIN DELETE FROM bare; END"
done
plan lite 'name: lite, source: {backend: lite}, destination: {backend: copy}'
expect_exit 0 "$NSMIGRATE" verify lite.yaml
sqlite3 copy.db "DROP TRIGGER spoil; UPDATE t SET v = '3.5' WHERE id = 7; DELETE FROM t WHERE id = 8; INSERT INTO t VALUES (9999, x'00');
    UPDATE pair SET v = NULL WHERE b = 5; DELETE FROM bare WHERE v = 'X' COLLATE BINARY; INSERT INTO bare VALUES (NULL);
    CREATE TRIGGER spoil AFTER INSERT ON t BEGIN DELETE FROM bare; END"
mends lite '* t id=7' '+ t id=8' '- t id=9999' '* pair a=a5 b=5' '+ bare v=X' '* bare v=null'
for table in t pair bare; do
    all="SELECT group_concat(x, ';') FROM (SELECT quote(v) AS x FROM $table ORDER BY quote(v))"
    expect_same "$(sqlite3 lite.db "$all")" "$(sqlite3 copy.db "$all")" "$table after the repair"
done
expect_same "" "$(sqlite3 copy.db "SELECT name FROM sqlite_schema WHERE name LIKE '%nsmigrate%'")" "what repair left"

# ---- across kinds: copied once, changed, repaired ----

redis-cli -p "$b" FLUSHALL >/dev/null
plan cross 'name: keys, source: {backend: pg, table: app.pet}, destination: {backend: b, prefix: "p:"}, if_exists: merge' \
    'name: kv, source: {backend: a, prefix: "s:1"}, destination: {backend: other, table: kv.s}' \
    'name: rows, source: {backend: lite, tables: [t]}, destination: {backend: other, schema: lite}'
redis-cli -p "$b" SET p:others 1 >/dev/null
expect_exit 0 "$NSMIGRATE" run cross.yaml
redis-cli -p "$b" DEL p:pet:5 >/dev/null
redis-cli -p "$b" HSET p:pet:6 weight 1 >/dev/null
sql "$other" "UPDATE kv.s SET expires_at = expires_at + interval '1 ms' WHERE key = 's:1'" "DELETE FROM kv.s WHERE key = 's:10'" \
    "INSERT INTO kv.s VALUES ('s:1x', 'string', 'x', NULL)" "UPDATE lite.t SET v = 1 WHERE id = 1"
expect_exit 4 "$NSMIGRATE" verify cross.yaml --json
expect_json '[.namespaces[] | [.missing, .extra, .different]] == [[1, 0, 1], [1, 1, 1], [0, 0, 1]]'
expect_exit 0 "$NSMIGRATE" repair cross.yaml --json
expect_json '[.namespaces[] | [.missing, .extra, .different, .repaired, .left]] == [[1, 0, 1, 2, 0], [1, 1, 1, 3, 0], [0, 0, 1, 1, 0]]'
expect_exit 0 "$NSMIGRATE" verify cross.yaml
expect_same 6.60 "$(redis-cli -p "$b" HGET p:pet:6 weight)" "a field"
expect_same 1 "$(redis-cli -p "$b" GET p:others)" "a key of others"
expect_same "2100-01-01 00:00:00.001" "$(sql "$other" "SELECT expires_at AT TIME ZONE 'UTC' FROM kv.s WHERE key = 's:1'")" "an expiry"

# ---- refused by name: files, a table that is missing, a run that is not finished ----

plan files 'name: dumped, source: {backend: lite, tables: [t]}, destination: {backend: dump}'
expect_exit 0 "$NSMIGRATE" run files.yaml
expect_exit 1 "$NSMIGRATE" repair files.yaml
expect_contains "$err" "backend dump: adapter file can't change single records"
sqlite3 copy.db "DROP TABLE bare"
expect_exit 1 "$NSMIGRATE" repair lite.yaml
expect_contains "$err" "bare"
plan half 'name: half, source: {backend: lite, tables: [t]}, destination: {backend: pg, schema: half}'
sql "$pg_url" "CREATE SCHEMA half; CREATE TABLE half.t (x int)"
expect_exit 1 "$NSMIGRATE" run half.yaml
expect_exit 1 "$NSMIGRATE" repair half.yaml
