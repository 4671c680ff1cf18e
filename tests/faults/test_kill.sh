# kill -9 at random moments, again and again, then one run to the end: the destination equals the source, nothing is doubled, and
# nothing that only the run needed is left. NSM_SEED chooses the moments.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cd "$tmp"
seed=${NSM_SEED:-20261124}

pg_start pg
target_url=postgresql://postgres@127.0.0.1:$pg_port/target
redis_start a
a=$redis_port
redis_start b
b=$redis_port
sql "$pg_url" "CREATE DATABASE target" "CREATE SCHEMA app" "CREATE TABLE app.keyed (id int PRIMARY KEY, v text)" \
    "CREATE TABLE app.bare (id int, v text)" "INSERT INTO app.keyed SELECT n, md5(n::text) FROM generate_series(1, 20000) n" \
    "INSERT INTO app.bare SELECT n, md5(n::text) FROM generate_series(1, 20000) n" "CREATE INDEX ON app.keyed (v)" "ANALYZE"
redis-cli -p "$a" EVAL "for i = 1, 10000 do redis.call('SET', 'k:' .. i, 'v' .. i, 'PXAT', 4102444800000 + i)
    redis.call('HSET', 'k:h' .. i, 'f', i) end" 0 >/dev/null
sqlite3 source.db "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE u (v TEXT);
    WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000) INSERT INTO t SELECT n, hex(n * 7919) FROM n;
    INSERT INTO u SELECT v FROM t;"

# The next number of a sequence that depends on the seed alone, below $1.
next() {
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    echo $((seed / 65536 % $1))
}

# survive NAME SOURCE-BACKEND SOURCE DESTINATION-BACKEND DESTINATION
survive() {
    begun_with=$seed
    cat >"$1.yaml" <<PLAN
version: 1
name: $1
workers: 4
batch: {records: 100}
backends:
  pg: {adapter: postgres, url: "$pg_url"}
  target: {adapter: postgres, url: "$target_url"}
  a: {adapter: redis, url: "redis://127.0.0.1:$a/0"}
  b: {adapter: redis, url: "redis://127.0.0.1:$b/0"}
  source: {adapter: sqlite, path: source.db}
  lite: {adapter: sqlite, path: lite.db}
  dump: {adapter: file, path: dump}
namespaces:
  - {name: it, source: {backend: $2, $3}, destination: {backend: $4, $5}}
PLAN
    n_killed=0
    for signal in KILL KILL TERM KILL KILL KILL; do
        start "$NSMIGRATE" run "$1.yaml"
        sleep "$(awk "BEGIN {print $(next 600) / 1000}")"
        kill -$signal "$pid" 2>/dev/null || :
        ended=0
        wait "$pid" || ended=$?
        case $ended in
        137 | 143) n_killed=$((n_killed + 1)) ;;
        0) ;;
        *)
            cp "$tmp/.err.bg" "$err"
            fail "$1: exit code $ended after SIG$signal (NSM_SEED=$begun_with)"
            ;;
        esac
    done
    echo "$1: $n_killed of 6 runs were hit"
    expect_exit 0 "$NSMIGRATE" run "$1.yaml"
    expect_exit 0 "$NSMIGRATE" verify "$1.yaml"
}

rows_of() {
    sql "$1" "SELECT count(*), count(DISTINCT id), sum(hashtextextended(t::text, 0)) FROM app.keyed t" \
        "SELECT count(*), count(DISTINCT id), sum(hashtextextended(t::text, 0)) FROM app.bare t"
}

survive pg-pg pg 'schema: app' target 'schema: app'
expect_same "$(rows_of "$pg_url")" "$(rows_of "$target_url")" "rows (NSM_SEED=$begun_with)"
expect_same 2 "$(sql "$target_url" "SELECT count(*) FROM pg_indexes WHERE schemaname = 'app'")" "indexes"

survive redis-redis a 'prefix: "k:"' b 'prefix: "k:"'
expect_same "$(redis-cli -p "$a" DEBUG DIGEST)" "$(redis-cli -p "$b" DEBUG DIGEST)" "keys (NSM_SEED=$begun_with)"

survive redis-pg a 'prefix: "k:"' target 'table: public.kv'
expect_same "20000|20000" "$(sql "$target_url" "SELECT count(*), count(DISTINCT key) FROM kv")" "rows of keys (NSM_SEED=$begun_with)"

survive lite-lite source 'tables: "*"' lite ''
expect_same "$(sqlite3 source.db .dump | sort | cksum)" "$(sqlite3 lite.db .dump | sort | cksum)" "the file's dump (NSM_SEED=$begun_with)"

survive lite-pg source 'tables: "*"' target 'schema: lite'
expect_same "20000|20000" "$(sql "$target_url" "SELECT count(*), count(DISTINCT v) FROM lite.u")" "rows from SQLite (NSM_SEED=$begun_with)"

survive pg-file pg 'schema: app' dump ''
expect_same 20000 "$(cat dump/it/bare*.jsonl | sort -u | wc -l)" "lines (NSM_SEED=$begun_with)"
expect_same 20000 "$(cat dump/it/bare*.jsonl | wc -l)" "lines (NSM_SEED=$begun_with)"

expect_same "" "$(sql "$target_url" "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'nsm%'")" "left schemas"
expect_same "" "$(redis-cli -p "$b" KEYS 'nsmigrate:*')" "left keys"
expect_same "" "$(find dump -name '*.progress')" "left journals"
