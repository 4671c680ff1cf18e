# Postgres to Postgres: whole schemas with what belongs to them, renamed and not, also within one database; compared by psql.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cd "$tmp"

pg_start pg
source_url=$pg_url
target_url=postgresql://postgres@127.0.0.1:$pg_port/target
sql "$source_url" "CREATE DATABASE target" "CREATE SCHEMA billing" \
    "CREATE TYPE billing.state AS ENUM ('open', 'paid')" \
    "CREATE TABLE billing.customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
        balance numeric(12, 2), tags text[], born date, data jsonb, photo bytea)" \
    "CREATE TABLE billing.invoice (id bigserial PRIMARY KEY, customer bigint NOT NULL REFERENCES billing.customer,
        amount double precision CHECK (amount >= 0), state billing.state, at timestamptz, states billing.state[])" \
    "CREATE TABLE billing.empty (id int)" \
    "INSERT INTO billing.customer (name, balance, tags, born, data, photo)
        SELECT 'customer ' || n, n * 1.10, ARRAY['a', NULL, 'c' || n], date '2000-01-01' + n % 9000,
               jsonb_build_object('n', n), decode(md5(n::text), 'hex') FROM generate_series(1, 20000) n" \
    "INSERT INTO billing.invoice (customer, amount, state, at, states)
        SELECT 1 + n % 20000, n / 7.0, (ARRAY['open', 'paid']::billing.state[])[1 + n % 2], timestamptz '2026-01-01' + n * interval '1 s',
               ARRAY['open', 'paid']::billing.state[] FROM generate_series(1, 50000) n" \
    "INSERT INTO billing.customer (name, balance) VALUES (E'tab\\t nl\\n back\\\\', 'NaN'), ('', NULL)" \
    "CREATE INDEX invoice_by_customer ON billing.invoice (customer, at DESC) WHERE state = 'open'" \
    "CREATE VIEW billing.open AS SELECT * FROM billing.invoice WHERE state = 'open'" \
    "COMMENT ON TABLE billing.invoice IS 'what is owed'" "ANALYZE"

cat >plan.yaml <<PLAN
version: 1
name: pg
workers: 4
backends:
  here:  {adapter: postgres, url: "$source_url"}
  there: {adapter: postgres, url: "$target_url"}
namespaces:
  - {name: same,    source: {backend: here, schema: billing}, destination: {backend: there}}
  - {name: renamed, source: {backend: here, schema: billing}, destination: {backend: there, schema: "Billing 2026"}}
  - {name: inside,  source: {backend: here, schema: billing}, destination: {backend: here, schema: copy}}
PLAN

expect_exit 0 "$NSMIGRATE" preview plan.yaml
expect_contains "$out" "lane pgcopy"
expect_same "" "$(sql "$target_url" "SELECT nspname FROM pg_namespace WHERE nspname ILIKE 'billing%'")" "schemas after preview"

expect_exit 0 "$NSMIGRATE" run plan.yaml --json
expect_json '.status == "ok" and (.namespaces | map(.records) == [70002, 70002, 70002]) and (.namespaces | all(.lane == "pgcopy"))'

# fingerprint URL SCHEMA TABLE: of the rows' text, in the order of the key
fingerprint() {
    sql "$1" "SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY id)) FROM \"$2\".$3 t"
}
# objects URL SCHEMA: definitions, with the schema's own name taken out
objects() {
    sql "$1" "SET search_path = '$2'" >/dev/null
    psql -X -q -A -t -v ON_ERROR_STOP=1 "$1" <<SQL
SET search_path = "$2";
SELECT replace(pg_get_indexdef(indexrelid), quote_ident('$2'), 'S') FROM pg_index JOIN pg_class c ON c.oid = indexrelid
    WHERE relnamespace = '"$2"'::regnamespace ORDER BY 1;
SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = '"$2"'::regnamespace ORDER BY 1;
SELECT relname, relkind, obj_description(oid) FROM pg_class WHERE relnamespace = '"$2"'::regnamespace ORDER BY 1;
SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = '$2' ORDER BY 1;
SELECT table_name, column_name, data_type, is_nullable, is_identity, replace(column_default, quote_ident('$2') || '.', '')
    FROM information_schema.columns WHERE table_schema = '$2' ORDER BY 1, ordinal_position;
SQL
}
for table in customer invoice; do
    wanted=$(fingerprint "$source_url" billing $table)
    expect_same "$wanted" "$(fingerprint "$target_url" billing $table)" "same $table"
    expect_same "$wanted" "$(fingerprint "$target_url" "Billing 2026" $table)" "renamed $table"
    expect_same "$wanted" "$(fingerprint "$source_url" copy $table)" "inside $table"
done
wanted=$(objects "$source_url" billing)
expect_same "$wanted" "$(objects "$target_url" billing)" "objects of same"
expect_same "$wanted" "$(objects "$target_url" "Billing 2026")" "objects of renamed"
expect_same "$wanted" "$(objects "$source_url" copy)" "objects of inside"

# What the run needed is gone, the new names work on their own, and the next row gets the next number.
expect_same "" "$(sql "$target_url" "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'nsm%'")" "left schemas"
sql "$source_url" "DROP SCHEMA billing CASCADE"
expect_same 20003 "$(sql "$source_url" "INSERT INTO copy.customer (name) VALUES ('next') RETURNING id")" "next id"
expect_same 50001 "$(sql "$target_url" "INSERT INTO \"Billing 2026\".invoice (customer) VALUES (1) RETURNING id")" "next id"
expect_same 25000 "$(sql "$target_url" "SELECT count(*) FROM \"Billing 2026\".open")" "view"

# Done is done; a destination that stands is refused by a new run, and nothing is written.
expect_exit 0 "$NSMIGRATE" run plan.yaml
expect_contains "$out" "done before"
sql "$source_url" "ALTER SCHEMA copy RENAME TO billing"
sed -i '/inside/d' plan.yaml
before=$(fingerprint "$target_url" billing customer)
expect_exit 1 "$NSMIGRATE" run plan.yaml --fresh
expect_contains "$err" "billing.customer"
expect_contains "$err" "if_exists"
expect_same "$before" "$(fingerprint "$target_url" billing customer)" "untouched destination"
expect_exit 3 "$NSMIGRATE" preview plan.yaml
