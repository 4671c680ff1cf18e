# Chosen and renamed columns, through every pair that begins with tables, and keys by a template: what arrives, what preview says, and
# what is refused before anything is written.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cd "$tmp"

pg_start pg
redis_start a

sql "$pg_url" "CREATE DATABASE other" "CREATE SCHEMA app" "CREATE TYPE app.mood AS ENUM ('low', 'high')" \
    "CREATE TABLE app.users (id bigint PRIMARY KEY, secret text, name text NOT NULL, balance numeric(12,3) DEFAULT 0, mood app.mood,
        seen timestamptz, photo bytea)" \
    "CREATE INDEX users_name ON app.users (name)" \
    "INSERT INTO app.users SELECT n, 'secret ' || n, 'name:' || n || '%', n * 1.001, 'high', timestamptz '2026-01-01 00:00:00.5+00' + n * interval '1 s',
        decode(md5(n::text), 'hex') FROM generate_series(1, 5000) n" \
    "CREATE TABLE app.orders (a int, b text, total numeric, note text, PRIMARY KEY (a, b))" \
    "INSERT INTO app.orders SELECT n, 'x' || n || ':/%', n / 7.0, CASE WHEN n % 2 = 0 THEN '' END FROM generate_series(1, 500) n"
sqlite3 source.db <<'SQL'
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price, note TEXT);
INSERT INTO item VALUES (1, 'one', 1.5, NULL), (2, 'two', 'cheap', ''), (3, NULL, x'00ff', 'x');
CREATE TABLE other (id INTEGER PRIMARY KEY, v);
INSERT INTO other VALUES (1, 2);
CREATE TABLE calc (id INTEGER PRIMARY KEY, twice INTEGER AS (id * 2), v);
INSERT INTO calc (id, v) VALUES (7, 'x'), (9, x'00');
CREATE INDEX item_name ON item (name);
SQL

# plan NAME NAMESPACE...
plan() {
    name=$1
    {
        printf 'version: 1\nname: %s\nworkers: 2\nbackends:\n' "$1"
        printf '  pg: {adapter: postgres, url: "%s"}\n' "$pg_url"
        printf '  dr: {adapter: postgres, url: "postgresql://postgres@127.0.0.1:%s/other"}\n' "$pg_port"
        printf '  a: {adapter: redis, url: "%s"}\n' "$redis_url"
        printf '  lite: {adapter: sqlite, path: source.db}\n  back: {adapter: sqlite, path: back.db}\n'
        printf '  dump: {adapter: file, path: dump}\nnamespaces:\n'
        shift
        for namespace in "$@"; do
            printf '  - {%s}\n' "$namespace"
        done
    } >"$name.yaml"
}
moves() {
    plan "$@"
    expect_exit 0 "$NSMIGRATE" preview "$1.yaml"
    expect_exit 0 "$NSMIGRATE" run "$1.yaml"
    expect_exit 0 "$NSMIGRATE" verify "$1.yaml" --json
}
dr=postgresql://postgres@127.0.0.1:$pg_port/other

# Between two Postgres: the rows still pass as they are; what stays behind is told.
users='source: {backend: pg, table: app.users}'
plan pg-pg "name: u, $users, destination: {backend: dr, table: crm.people}, columns: {name: full_name, id: user_id, balance: balance}"
expect_exit 0 "$NSMIGRATE" preview pg-pg.yaml
expect_contains "$out" "lane pgcopy"
expect_contains "$out" "table users: 3 of 7 columns are chosen; left out: secret, mood, seen, photo"
expect_contains "$out" "indexes, other constraints, defaults"
expect_exit 0 "$NSMIGRATE" run pg-pg.yaml
expect_same "full_name text,user_id bigint,balance numeric(12,3)" "$(sql "$dr" "SELECT string_agg(attname || ' ' ||
    format_type(atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'crm.people'::regclass AND attnum > 0")" "the columns"
expect_same "user_id" "$(sql "$dr" "SELECT a.attname FROM pg_index i, pg_attribute a WHERE i.indrelid = 'crm.people'::regclass AND
    i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)")" "the key"
sums="SELECT count(*), sum(balance), md5(string_agg(%s || '|' || %s, ',' ORDER BY %s)) FROM %s"
rows=$(sql "$pg_url" "$(printf "$sums" id name id app.users)")
expect_same "$rows" "$(sql "$dr" "$(printf "$sums" user_id full_name user_id crm.people)")" "the rows"
# verify and repair look at these columns alone.
sql "$pg_url" "UPDATE app.users SET secret = 'other' WHERE id = 7"
expect_exit 0 "$NSMIGRATE" verify pg-pg.yaml
sql "$dr" "UPDATE crm.people SET full_name = 'x' WHERE user_id = 8" "DELETE FROM crm.people WHERE user_id = 9"
expect_exit 4 "$NSMIGRATE" verify pg-pg.yaml
expect_contains "$out" "* people user_id=8"
expect_exit 0 "$NSMIGRATE" repair pg-pg.yaml
expect_same "$rows" "$(sql "$dr" "$(printf "$sums" user_id full_name user_id crm.people)")" "the repaired rows"
# A plan that chooses others is another plan; one that leaves the key out is none the less whole.
moves no-key "name: u, $users, destination: {backend: dr, table: crm.nokey}, columns: [name, seen]"
expect_same "5000|$(sql "$pg_url" "SELECT md5(string_agg(seen::text, ',' ORDER BY name)) FROM app.users")" \
    "$(sql "$dr" "SELECT count(*), md5(string_agg(seen::text, ',' ORDER BY name)) FROM crm.nokey")" "rows without a key"
# Into a table that stands there, by the names of its columns.
sql "$dr" "CREATE TABLE crm.kept (extra text DEFAULT 'd', who text, nr bigint PRIMARY KEY)" "INSERT INTO crm.kept VALUES ('mine', 'me', -1)"
moves merge "name: u, $users, destination: {backend: dr, table: crm.kept}, if_exists: merge, columns: {id: nr, name: who}"
expect_same "5001|5000|mine" "$(sql "$dr" "SELECT count(*), count(*) FILTER (WHERE extra = 'd'), min(extra) FILTER (WHERE nr = -1) FROM crm.kept")" "merged rows"
# Several tables; those that are not named go whole.
moves schema 'name: s, source: {backend: pg, schema: app, where: "true"}, destination: {backend: dr, schema: part},
    columns: {"app.users": {id: uid, name: name}, orders: [b, a, total]}'
expect_same "500|$(sql "$pg_url" "SELECT sum(total) FROM app.orders")" "$(sql "$dr" "SELECT count(*), sum(total) FROM part.orders")" "orders"
expect_same "a,b|uid,name" "$(sql "$dr" "SELECT (SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute WHERE attrelid =
    'part.orders'::regclass AND attnum IN (1, 2)), (SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid =
    'part.users'::regclass AND attnum > 0)")" "columns of two tables"

# To SQLite, to files, and from there on.
moves pg-lite "name: u, $users, destination: {backend: back, table: u}, columns: {id: nr, balance: balance}"
expect_same "5000 nr INTEGER" "$(sqlite3 back.db "SELECT (SELECT count(*) FROM u) || ' ' || name || ' ' || type FROM pragma_table_info('u') LIMIT 1")" "SQLite"
moves pg-file "name: u, $users, destination: {backend: dump}, columns: {id: nr, name: n}"
expect_same '{"nr":1,"n":"name:1%"}' "$(cat dump/u/users*.jsonl | head -n 1)" "a line"
moves file-pg 'name: u, source: {backend: dump}, destination: {backend: dr, table: crm.fromfile}, columns: {n: only}'
expect_same "5000|name:1%" "$(sql "$dr" "SELECT count(*), min(\"only\") FROM crm.fromfile")" "from a file"
moves file-file 'name: v, source: {backend: dump, folder: u}, destination: {backend: dump, folder: v}, columns: [n]'
expect_same '{"n":"name:1%"}' "$(cat dump/v/users*.jsonl | head -n 1)" "file to file"
# Between SQLite files every value keeps its storage class; the index is not made.
moves lite-lite 'name: i, source: {backend: lite, tables: [item, other]}, destination: {backend: back}, columns: {item: {price: cost, id: id}}'
expect_same "$(sqlite3 source.db "SELECT typeof(price), quote(price), id FROM item ORDER BY id" "SELECT count(*) FROM other")" \
    "$(sqlite3 back.db "SELECT typeof(cost), quote(cost), id FROM item ORDER BY id" "SELECT count(*) FROM other")" "values in SQLite"
expect_same "" "$(sqlite3 back.db "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")" "indexes"

# An archive of chosen columns has no definition, so that what its source computed arrives as values.
moves lite-file 'name: c, source: {backend: lite, tables: [calc]}, destination: {backend: dump}, columns: {twice: t, v: v}'
moves file-lite 'name: c, source: {backend: dump}, destination: {backend: back}'
expect_same "14|'x' 18|X'00'" "$(sqlite3 back.db "SELECT t, quote(v) FROM calc ORDER BY 1" | paste -sd ' ')" "computed values"

# Keys by a template, with the names that the columns have there.
moves keys "name: u, $users, destination: {backend: a, prefix: 'x:', key: 'user:{uid}'}, columns: {id: uid, name: name}" \
    "name: o, source: {backend: pg, table: app.orders}, destination: {backend: a, prefix: 'o:', key: '{{{b}/of/{a}}}', layout: json}"
expect_same "uid 17 name name:17%" "$(redis-cli -p "$redis_port" HGETALL x:user:17 | paste -sd ' ')" "a hash"
expect_same '{"a":7,"b":"x7:/%","total":{"$numeric":"1.00000000000000000000"},"note":null}' "$(redis-cli -p "$redis_port" GET 'o:{x7%3A%2F%25/of/7}')" "a JSON text"
expect_same 5500 "$(redis-cli -p "$redis_port" DBSIZE)" "keys"
# Two namespaces below one prefix, each with keys of its own.
redis-cli -p "$redis_port" FLUSHALL >/dev/null
moves both "name: u, $users, destination: {backend: a, prefix: '', key: 'u:{id}'}, columns: [id, name]" \
    "name: v, $users, destination: {backend: a, prefix: '', key: 'v:{id}'}, columns: [id]"
expect_same 10000 "$(redis-cli -p "$redis_port" DBSIZE)" "keys of two namespaces"
redis-cli -p "$redis_port" FLUSHALL >/dev/null

# What can't be is refused by name, before anything is written.
orders='source: {backend: pg, table: app.orders}'
both='source: {backend: pg, schema: app}'
plan wrong "name: r1, $users, destination: {backend: a, prefix: 'r1:'}, columns: [id, nmae]" \
    "name: r2, $users, destination: {backend: a, prefix: 'r2:'}, columns: {app.user: [id]}" \
    "name: r3, $both, destination: {backend: dr, schema: no}, columns: [id]" \
    "name: r4, $users, destination: {backend: a, prefix: 'r4:'}, columns: [name]" \
    "name: r5, $users, destination: {backend: a, prefix: 'r5:', key: 'u:{idd}'}" \
    "name: r6, $orders, destination: {backend: a, prefix: 'r6:', key: 'o:{a}'}" \
    "name: r7, $orders, destination: {backend: a, prefix: 'r7:', key: '{a}:{b}:{note}'}" \
    "name: r8, $both, destination: {backend: a, prefix: 'r8:', key: '{id}'}" \
    "name: r9, $users, destination: {backend: dr, table: no.u}, columns: [id, mood]"
expect_exit 3 "$NSMIGRATE" preview wrong.yaml
expect_match "$out" 'wrong.yaml:[0-9]+:[0-9]+: columns: table users has no column "nmae"; did you mean "name"\?'
expect_contains "$out" 'has no table "app.user"; did you mean "app.users"?'
expect_contains "$out" 'the source has 2 tables, so say of which'
expect_contains "$out" 'column id of its primary key is left out'
expect_contains "$out" 'table users has no primary key'
expect_match "$out" 'wrong.yaml:[0-9]+:[0-9]+: key: table users has no column "idd"; did you mean "id"\?'
expect_contains "$out" 'key: {b} is missing, a column of the primary key of table orders'
expect_contains "$out" 'key: column note of table orders may be NULL'
expect_contains "$out" 'it is for the rows of one table, and the source has 2'
expect_contains "$out" 'type app.mood of column mood of table no.u does not exist'
expect_exit 1 "$NSMIGRATE" run wrong.yaml --on-error continue --json
expect_json '[.namespaces[].status == "failed"] | all'
expect_same "0" "$(redis-cli -p "$redis_port" DBSIZE)" "keys of what was refused"
expect_same "0" "$(sql "$dr" "SELECT count(*) FROM pg_namespace WHERE nspname = 'no'")" "schemas of what was refused"
plan wrong "name: u, $users, destination: {backend: a, key: '{id}{name}'}"
expect_exit 2 "$NSMIGRATE" validate wrong.yaml
expect_match "$err" 'wrong.yaml:[0-9]+:[0-9]+: key: {id} and {name} stand side by side'
