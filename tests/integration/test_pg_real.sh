# Schemas that others made: pgbench's, with partitions and foreign keys, and what contrib's extensions bring; moved by a role that is no
# superuser.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/support/pg_compare.sh
. "$NSM_SOURCE_DIR/tests/support/pg_compare.sh"
cd "$tmp"

pg_start pg
admin=$pg_url
server=127.0.0.1:$pg_port
sql "$admin" "CREATE ROLE joe LOGIN" "CREATE DATABASE here OWNER joe" "CREATE DATABASE there OWNER joe"
for database in here there; do
    for extension in hstore citext ltree cube isn seg intarray btree_gist pg_trgm; do
        sql "postgresql://postgres@$server/$database" "CREATE EXTENSION $extension"
    done
done
here=postgresql://joe@$server/here
there=postgresql://joe@$server/there
sql "$here" "CREATE SCHEMA bank" "ALTER ROLE joe SET search_path = bank, public"
"$pg_bin/pgbench" -i -q -s 1 --partitions=3 --partition-method=hash --foreign-keys --unlogged-tables "$here" >"$out" 2>"$err" || fail "pgbench -i"
"$pg_bin/pgbench" -t 20 -n "$here" >"$out" 2>"$err" || fail "pgbench"
sql "$here" "CREATE SCHEMA contrib" "SET search_path = contrib, public; CREATE TABLE contrib.item (id int PRIMARY KEY, h hstore, c citext UNIQUE, t ltree,
        b cube, i isbn13, s seg, a int[], ts hstore[], EXCLUDE USING gist (id WITH =, b WITH &&))" \
    "INSERT INTO contrib.item SELECT n, hstore('k' || n, NULL), 'Name ' || n, ('a.b' || n)::ltree, public.cube(n, n + 1), '978-0-393-04002-9', (n || ' .. 999')::seg,
        ARRAY[n], ARRAY[hstore('a', 'b')] FROM generate_series(1, 100) n" \
    "CREATE INDEX item_h ON contrib.item USING gin (h)" "CREATE INDEX item_t ON contrib.item USING gist (t)" \
    "CREATE INDEX item_c ON contrib.item USING gin (c gin_trgm_ops)" "CREATE INDEX item_a ON contrib.item USING gin (a gin__int_ops)" \
    "CREATE VIEW contrib.found AS SELECT * FROM contrib.item WHERE h ? 'k7' AND t <@ 'a' AND c = 'NAME 7'"

cat >plan.yaml <<PLAN
version: 1
name: real
workers: 4
backends:
  here:  {adapter: postgres, url: "$here"}
  there: {adapter: postgres, url: "$there"}
namespaces:
  - {name: bank,    source: {backend: here, schema: bank},    destination: {backend: there}}
  - {name: bank_2,  source: {backend: here, schema: bank},    destination: {backend: there, schema: bank_2}}
  - {name: contrib, source: {backend: here, schema: contrib}, destination: {backend: there}}
  - {name: inside,  source: {backend: here, schema: contrib}, destination: {backend: here, schema: contrib_2}}
PLAN
expect_exit 0 "$NSMIGRATE" preview plan.yaml
expect_exit 0 "$NSMIGRATE" run plan.yaml --json
expect_json '.status == "ok" and (.namespaces | map(.records) | .[0] == .[1] and .[0] >= 100012 and .[2] == 100)'
pg_expect_same bank "$here" bank "$there" bank
pg_expect_same bank_2 "$here" bank "$there" bank_2
pg_expect_same contrib "$here" contrib "$there" contrib
pg_expect_same contrib_2 "$here" contrib "$here" contrib_2
expect_same "7" "$(sql "$there" "SELECT id FROM contrib.found")" "view over extension operators"

# Rights that are missing are told before anything is written.
sql "postgresql://postgres@$server/here" "CREATE ROLE guest LOGIN" "CREATE SCHEMA secret" "CREATE TABLE secret.open (n int)" \
    "CREATE TABLE secret.rows (n int)" "ALTER TABLE secret.rows ENABLE ROW LEVEL SECURITY" "CREATE SEQUENCE secret.numbers" \
    "CREATE TABLE secret.closed (n int)" "CREATE MATERIALIZED VIEW secret.sums AS SELECT 1" \
    "GRANT USAGE ON SCHEMA secret TO guest" "GRANT SELECT ON secret.open, secret.rows TO guest"
cat >guest.yaml <<PLAN
version: 1
name: guest
backends:
  here:  {adapter: postgres, url: "postgresql://guest@$server/here"}
  there: {adapter: postgres, url: "postgresql://guest@$server/there"}
namespaces:
  - {name: secret, source: {backend: here, schema: secret}, destination: {backend: there}}
PLAN
expect_exit 3 "$NSMIGRATE" preview guest.yaml --verbose
expect_contains "$out" "no right to read table secret.closed"
expect_contains "$out" "row security hides rows of table secret.rows"
expect_contains "$out" "no right to read sequence secret.numbers"
expect_contains "$out" "no right to read materialized view secret.sums"
expect_contains "$out" "schema secret does not exist and this role can't create it"
expect_contains "$out" "no right to make schema nsmigrate"
expect_lacks "$out" "table secret.open:"
