# verify compares definitions, too: of a schema with an object of every kind, copied under another name, nothing differs; then each thing
# that somebody changes at the destination is named, and nothing else. And run fails where what it made is not as at the source.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cd "$tmp"

pg_start pg
here=$pg_url
there=postgresql://postgres@127.0.0.1:$pg_port/there
sql "$here" "CREATE ROLE reader" "CREATE ROLE writer" "CREATE DATABASE there"
psql -X -q -f "$NSM_SOURCE_DIR/tests/support/pg_objects.sql" "$here" >"$out" 2>"$err" || fail "the schema can't be made"

# plan NAME NAMESPACE...
plan() {
    name=$1
    shift
    {
        printf 'version: 1\nname: %s\nworkers: 2\nbackends:\n' "$name"
        printf '  here: {adapter: postgres, url: "%s"}\n  there: {adapter: postgres, url: "%s"}\n' "$here" "$there"
        printf 'namespaces:\n'
        printf '  - {%s}\n' "$@"
    } >"$name.yaml"
}

# finds NAME DIFFERENCE...: verify names these definitions and no others
finds() {
    name=$1
    shift
    printf '%s\n' "$@" | LC_ALL=C sort >wanted
    expect_exit 4 "$NSMIGRATE" verify "$name.yaml" --json
    jq -r 'select(.event == "difference") | .what + " " + .mark + " " + .object + " " + .key' "$out" | sed 's/^definition //' | LC_ALL=C sort >found
    cmp -s wanted found || fail "$name: verify names others: $(diff wanted found)"
    expect_json ".status == \"failed\" and .differences == $#"
}

# ---- a whole schema under another name ----

# In its own database, because there is a value that only has its name there.
plan whole 'name: whole, source: {backend: here, schema: app}, destination: {backend: here, schema: copy}'
expect_exit 0 "$NSMIGRATE" run whole.yaml
expect_exit 0 "$NSMIGRATE" verify whole.yaml
sql "$here" "SET client_min_messages = warning; SET search_path = copy" \
    "DROP INDEX person_hash" "CREATE INDEX extra ON person (id)" "ALTER INDEX person_brin SET (pages_per_range = 9)" \
    "ALTER TABLE broken DROP CONSTRAINT broken_check" "ALTER TABLE person ALTER CONSTRAINT person_boss NOT DEFERRABLE" \
    "ALTER TABLE reading ADD CHECK (device > -1)" \
    "SELECT setval('fresh', 99)" "ALTER SEQUENCE called CACHE 8" "SELECT nextval('person_other_seq')" \
    "ALTER TABLE unlogged DISABLE TRIGGER enabled" "DROP TRIGGER late ON egg" \
    "ALTER TABLE person ALTER name SET DEFAULT 'x', ALTER moods SET STORAGE PLAIN, ALTER mood DROP DEFAULT" \
    "ALTER TABLE egg ALTER hen DROP NOT NULL" "ALTER TABLE dropped SET (fillfactor = 31)" "ALTER TABLE hen NO FORCE ROW LEVEL SECURITY" \
    "CREATE OR REPLACE VIEW guarded_view WITH (security_barrier) AS SELECT * FROM happy" "DROP MATERIALIZED VIEW on_stale" \
    "CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT n + n'" \
    "ALTER TYPE mood ADD VALUE 'new'" "ALTER DOMAIN short DROP CONSTRAINT short_check" "DROP PROCEDURE nothing" \
    "ALTER TABLE broken ENABLE RULE also" "DROP POLICY none ON booking" "ALTER POLICY own ON booking TO reader" \
    "DROP STATISTICS person_expressions" "COMMENT ON TABLE person IS 'others'" "COMMENT ON VIEW happy IS NULL" \
    "REVOKE SELECT ON happy FROM writer" "REVOKE USAGE ON SCHEMA copy FROM reader" \
    "ALTER TABLE hen OWNER TO writer" "ALTER FUNCTION twice(int) OWNER TO writer" "REFRESH MATERIALIZED VIEW stale" \
    "ALTER DEFAULT PRIVILEGES IN SCHEMA copy REVOKE SELECT ON TABLES FROM reader" >"$out"
# What others have put there is none of ours.
sql "$here" "CREATE TABLE copy.others (id serial PRIMARY KEY)" "CREATE FUNCTION copy.others() RETURNS int LANGUAGE sql AS 'SELECT 1'" \
    "CREATE TYPE copy.others_type AS ENUM ('a')" "GRANT SELECT ON copy.egg TO writer"
finds whole '+ index person_hash' '- index extra' '* index person_brin' '+ constraint broken.broken_check' '+ comment constraint broken.broken_check' \
    '* constraint person.person_boss' '- constraint reading.reading_device_check' '* sequence value fresh' '* sequence called' \
    '* sequence value person_other_seq' '* trigger unlogged.enabled' '+ trigger egg.late' '* column person.name' '* column person.moods' \
    '* column person.mood' '* column egg.hen' '* table dropped' '* table hen' '* view guarded_view' '+ materialized view on_stale' \
    '+ column on_stale.n' '* function twice(n integer)' '* type mood' '* domain short' '+ procedure nothing(INOUT n integer)' \
    '+ grant EXECUTE on procedure nothing(INOUT n integer) to PUBLIC' '+ grant EXECUTE on procedure nothing(INOUT n integer) to reader' \
    '* rule broken.also' '+ policy booking.none' '* policy booking.own' \
    '+ statistics person_expressions' '* comment table person' '+ comment view happy' '+ grant SELECT on view happy to writer' \
    '* owner table hen' '* owner function twice(n integer)' '* materialized view rows stale' '+ materialized view rows on_stale' \
    '+ owner materialized view on_stale' '+ owner procedure nothing(INOUT n integer)' \
    '+ default privilege SELECT on tables to reader of what postgres makes' \
    '+ grant USAGE on schema to reader' \
    '+ grant SELECT on materialized view on_stale to reader'

# Repair brings what one statement brings, and names the rest.
expect_exit 4 "$NSMIGRATE" repair whole.yaml --json
expect_json '.status == "failed" and .namespaces[0].repaired == 4'
finds whole '- index extra' '* index person_brin' '+ comment constraint broken.broken_check' \
    '* constraint person.person_boss' '- constraint reading.reading_device_check' '* sequence called' \
    '* trigger unlogged.enabled' '+ trigger egg.late' '* column person.name' '* column person.moods' \
    '* column person.mood' '* column egg.hen' '* table dropped' '* table hen' '* view guarded_view' '+ materialized view on_stale' \
    '+ column on_stale.n' '* function twice(n integer)' '* type mood' '* domain short' '+ procedure nothing(INOUT n integer)' \
    '+ grant EXECUTE on procedure nothing(INOUT n integer) to PUBLIC' '+ grant EXECUTE on procedure nothing(INOUT n integer) to reader' \
    '* rule broken.also' '+ policy booking.none' '* policy booking.own' \
    '+ statistics person_expressions' '* comment table person' '+ comment view happy' '+ grant SELECT on view happy to writer' \
    '* owner table hen' '* owner function twice(n integer)' '* materialized view rows stale' '+ materialized view rows on_stale' \
    '+ owner materialized view on_stale' '+ owner procedure nothing(INOUT n integer)' \
    '+ default privilege SELECT on tables to reader of what postgres makes' \
    '+ grant USAGE on schema to reader' '+ grant SELECT on materialized view on_stale to reader'

# ---- single tables, one under another name; what stood there before is not ours ----

shape="CREATE SCHEMA t; CREATE TABLE t.item (id serial PRIMARY KEY, item text CHECK (item <> 't.item'), part int REFERENCES t.item);
    CREATE INDEX item_lower ON t.item (lower(item)); COMMENT ON TABLE t.item IS 'of t.item'; CREATE VIEW t.v AS SELECT 1 AS one;
    CREATE TABLE t.parent (id int PRIMARY KEY, n int, CHECK (n > 0)) PARTITION BY RANGE (id); CREATE INDEX parent_n ON t.parent (n);
    CREATE TABLE t.parent_1 PARTITION OF t.parent FOR VALUES FROM (0) TO (10); INSERT INTO t.parent VALUES (1, 1)"
sql "$here" "$shape" "INSERT INTO t.item (item) SELECT 'i' || n FROM generate_series(1, 20) n"
sql "$there" "CREATE SCHEMA shop; CREATE TABLE shop.others (id int)"
plan single 'name: renamed, source: {backend: here, table: t.item}, destination: {backend: there, table: shop.goods}' \
    'name: partition, source: {backend: here, table: t.parent_1}, destination: {backend: there, schema: p1}' \
    'name: partitions, source: {backend: here, tables: ["t.par*"]}, destination: {backend: there, schema: p}'
expect_exit 0 "$NSMIGRATE" run single.yaml
expect_exit 0 "$NSMIGRATE" verify single.yaml
sql "$there" "SELECT setval('shop.item_id_seq', 7); DROP INDEX shop.item_lower; ALTER TABLE shop.goods ADD COLUMN more int; ALTER TABLE p1.parent_1 DROP CONSTRAINT parent_n_check" \
    "ALTER TABLE p.parent DROP CONSTRAINT parent_n_check; DROP INDEX p.parent_n" >"$out"
finds single '* sequence value item_id_seq' '+ index item_lower' '- column item.more' '+ constraint parent_1.parent_n_check' \
    '+ constraint parent.parent_n_check' '+ constraint parent_1.parent_n_check' '+ index parent_n' '+ index parent_1_n_idx'

# Tables of several schemas may have the same names.
sql "$here" "CREATE SCHEMA u; CREATE TABLE u.item (id int PRIMARY KEY, other text); CREATE INDEX item_lower ON u.item (upper(other))"
plan several 'name: several, source: {backend: here, tables: [t.item, u.item]}, destination: {backend: there}'
expect_exit 0 "$NSMIGRATE" run several.yaml
sql "$there" "DROP INDEX u.item_lower; SELECT setval('t.item_id_seq', 3)" >"$out"
finds several '+ index u.item_lower' '* sequence value t.item_id_seq'
sql "$there" "DROP SCHEMA t, u CASCADE" 2>"$err"

# A table that stands and is merged into keeps its own shape.
sql "$there" "CREATE SCHEMA kept; CREATE TABLE kept.item (id int PRIMARY KEY, item text, part int, more text DEFAULT 'm')"
plan merged 'name: merged, source: {backend: here, table: t.item}, destination: {backend: there, schema: kept}, if_exists: merge'
expect_exit 0 "$NSMIGRATE" run merged.yaml
expect_exit 0 "$NSMIGRATE" verify merged.yaml

# Who only counts records compares no definitions.
plan counted 'name: counted, source: {backend: here, table: t.item}, destination: {backend: there, table: shop.goods}, verify: count'
expect_exit 0 "$NSMIGRATE" verify counted.yaml

# ---- a run whose copy is spoilt on its way ----

sql "$there" "CREATE FUNCTION public.spoil() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN IF to_regclass(''t.item_lower'') IS NOT NULL
        THEN ALTER INDEX t.item_lower SET (fillfactor = 50); END IF; END';
    CREATE EVENT TRIGGER spoil ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION public.spoil()"
plan spoilt 'name: spoilt, source: {backend: here, schema: t}, destination: {backend: there}'
expect_exit 1 "$NSMIGRATE" run spoilt.yaml
expect_contains "$err" "verify: 1 definitions differ (0 missing, 0 extra, 1 different), first index item_lower"
sql "$there" "DROP EVENT TRIGGER spoil; ALTER INDEX t.item_lower RESET (fillfactor)"
expect_exit 0 "$NSMIGRATE" run spoilt.yaml
sql "$there" "DROP INDEX t.item_lower"
expect_exit 4 "$NSMIGRATE" verify spoilt.yaml
expect_contains "$out" "  + index item_lower"
expect_match "$out" "^spoilt +differs +21 +1 "

# Repair makes it whole: rows first, then the keys that they must not break.
sql "$there" "ALTER TABLE t.item DROP CONSTRAINT item_part_fkey, DROP CONSTRAINT item_pkey; INSERT INTO t.item VALUES (5, 'twice', 99); SELECT setval('t.item_id_seq', 1)" >"$out"
expect_exit 4 "$NSMIGRATE" repair spoilt.yaml --dry-run
expect_exit 0 "$NSMIGRATE" repair spoilt.yaml --json
expect_json '.status == "ok" and .left == 0'
expect_exit 0 "$NSMIGRATE" verify spoilt.yaml
