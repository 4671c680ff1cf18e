# What crosses the border of a schema: named by preview, refused or lost only by name.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cd "$tmp"

pg_start pg allow_in_place_tablespaces=on wal_level=logical
here=$pg_url
server=postgresql://postgres@127.0.0.1:$pg_port
there=$server/there
pg_start other
other=$pg_url
sql "$here" "CREATE DATABASE there" "CREATE ROLE reader" "CREATE ROLE watcher" "CREATE ROLE maker" "CREATE TABLESPACE fast LOCATION ''" \
    "CREATE EXTENSION hstore" "CREATE EXTENSION pg_trgm" "CREATE EXTENSION citext" "CREATE SCHEMA app" "CREATE SCHEMA outside" \
    "CREATE TABLE outside.country (code text PRIMARY KEY)" "CREATE TYPE outside.colour AS ENUM ('red')" \
    "CREATE FUNCTION outside.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'" \
    "CREATE TABLE app.person (id int PRIMARY KEY, country text REFERENCES outside.country, name text, tags hstore[])" \
    "CREATE INDEX person_trigrams ON app.person USING gin (name gin_trgm_ops)" \
    "CREATE TABLE app.fast (c outside.colour) TABLESPACE fast" \
    "CREATE TRIGGER stamp BEFORE INSERT ON app.person FOR EACH ROW EXECUTE FUNCTION outside.stamp()" \
    "CREATE VIEW outside.people AS SELECT name FROM app.person" \
    "CREATE TABLE outside.pet (owner int CONSTRAINT pet_owner REFERENCES app.person)" \
    "CREATE FUNCTION app.count_people() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM app.person); END'" \
    "CREATE FUNCTION app.find_people() RETURNS bigint LANGUAGE sql SET search_path = app AS 'SELECT 1'" \
    "CREATE FUNCTION app.apple() RETURNS text LANGUAGE sql AS \$\$SELECT 'apple, snapp'\$\$" \
    "ALTER FUNCTION app.apple() OWNER TO maker" \
    "CREATE TYPE app.wrapped AS (n int)" "CREATE FUNCTION app.wrap(int) RETURNS app.wrapped LANGUAGE sql AS 'SELECT ROW (\$1)::app.wrapped'" \
    "CREATE CAST (int AS app.wrapped) WITH FUNCTION app.wrap(int)" \
    "GRANT SELECT ON app.person TO reader" "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO reader" \
    "CREATE POLICY watched ON app.fast TO watcher USING (true)" \
    "CREATE PUBLICATION news FOR TABLE app.person" \
    "INSERT INTO outside.country VALUES ('de')" "INSERT INTO app.person VALUES (1, 'de', 'Ada', ARRAY['a=>1'::hstore])" \
    "INSERT INTO app.fast VALUES ('red')"

cat >plan.yaml <<PLAN
version: 1
name: borders
backends:
  here:  {adapter: postgres, url: "$here"}
  there: {adapter: postgres, url: "$there"}
  other: {adapter: postgres, url: "$other"}
namespaces:
  - {name: app, source: {backend: here, schema: app}, destination: {backend: other, schema: moved}}
PLAN
expect_exit 3 "$NSMIGRATE" preview plan.yaml --verbose
expect_contains "$out" "constraint person_country_fkey on table app.person depends on table outside.country"
expect_contains "$out" "foreign key person_country_fkey of table app.person refers to table \"outside\".\"country\""
expect_contains "$out" "function outside.stamp() does not exist in database postgres, and trigger stamp on table app.person needs it"
expect_contains "$out" "type outside.colour does not exist in database postgres"
expect_contains "$out" "extension hstore is not in schema public of database postgres"
expect_contains "$out" "extension pg_trgm is not in schema public of database postgres, and index app.person_trigrams needs it"
expect_lacks "$out" "citext"
expect_contains "$out" "view outside.people depends on table app.person from outside"
expect_contains "$out" "constraint pet_owner on table outside.pet depends on "
expect_contains "$out" "cast from integer to app.wrapped stays behind"
expect_contains "$out" "publication news, of table app.person"
expect_contains "$out" "table app.fast is in tablespace fast"
expect_contains "$out" "role reader does not exist there: its rights"
expect_contains "$out" "role watcher does not exist there, and policy watched on table app.fast is for it"
expect_contains "$out" "role maker does not exist there: what it owns, as function app.apple()"
expect_contains "$out" "function app.count_people() has the name of schema app in its text"
expect_contains "$out" "function app.find_people() has the name of schema app in its text"
expect_lacks "$out" "app.apple() has"
expect_exit 1 "$NSMIGRATE" run plan.yaml
expect_same "" "$(sql "$other" "SELECT nspname FROM pg_namespace WHERE nspname IN ('moved', 'nsmigrate')")" "schemas after the refusal"

# With all of it there, only what no schema holds is lost, and only when the plan allows it.
sql "$other" "CREATE ROLE watcher" "CREATE ROLE maker" "CREATE EXTENSION hstore" "CREATE EXTENSION pg_trgm" "CREATE SCHEMA outside" \
    "CREATE TABLE outside.country (code text PRIMARY KEY)" "CREATE TYPE outside.colour AS ENUM ('blue', 'red')" "INSERT INTO outside.country VALUES ('de')" \
    "CREATE FUNCTION outside.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
expect_exit 3 "$NSMIGRATE" preview plan.yaml --verbose
expect_contains "$out" "role reader"
sed -i 's/schema: moved}}/schema: moved}, allow_loss: [casts, grants]}/' plan.yaml
expect_exit 0 "$NSMIGRATE" run plan.yaml
expect_same "1|de|Ada|{\"\\\"a\\\"=>\\\"1\\\"\"}" "$(sql "$other" "SELECT * FROM moved.person")" "row"
expect_same "maker" "$(sql "$other" "SELECT proowner::regrole FROM pg_proc WHERE proname = 'apple'")" "owner"

# A partition in another schema would stay behind with its rows.
sql "$here" "CREATE SCHEMA parts" "CREATE TABLE parts.whole (n int) PARTITION BY LIST (n)" \
    "CREATE TABLE parts.one PARTITION OF parts.whole FOR VALUES IN (1)" "CREATE TABLE outside.two PARTITION OF parts.whole FOR VALUES IN (2)" \
    "INSERT INTO parts.whole VALUES (1), (2)"
sed -e 's/schema: app}/schema: parts}/' -e 's/, allow_loss.*/}/' plan.yaml >parts.yaml
expect_exit 3 "$NSMIGRATE" preview parts.yaml
expect_contains "$out" "table outside.two, with its rows, stays behind"

# An extension inside of the schema: brought to the destination first; no rename takes it along.
sql "$here" "CREATE SCHEMA ext" "CREATE EXTENSION \"uuid-ossp\" SCHEMA ext" \
    "CREATE TABLE ext.item (id uuid DEFAULT ext.uuid_generate_v4(), n int)" "INSERT INTO ext.item (n) VALUES (1)"
sed -e 's/schema: app}/schema: ext}/' -e 's/, allow_loss.*/}/' -e 's/backend: other, schema: moved/backend: there/' plan.yaml >ext.yaml
expect_exit 3 "$NSMIGRATE" preview ext.yaml
expect_contains "$out" "extension uuid-ossp is not in schema ext of database there"
sql "$there" "CREATE SCHEMA ext" "CREATE EXTENSION \"uuid-ossp\" SCHEMA ext"
expect_exit 0 "$NSMIGRATE" run ext.yaml
expect_same "2" "$(sql "$there" "INSERT INTO ext.item (n) VALUES (2)" "SELECT count(DISTINCT id) FROM ext.item")" "default by an extension"
sed -e 's/backend: there/backend: here, schema: ext_2/' ext.yaml >ext2.yaml
expect_exit 3 "$NSMIGRATE" preview ext2.yaml
expect_contains "$out" "extension uuid-ossp, which "
expect_contains "$out" "can't get another name"

# Large objects stay behind, and a column that may refer to them is named.
sql "$here" "CREATE SCHEMA lob" "CREATE EXTENSION lo" "CREATE TABLE lob.file (name text, data oid)" "CREATE TABLE lob.managed (data lo)" \
    "INSERT INTO lob.file VALUES ('a', lo_from_bytea(0, 'abc'))"
sql "$there" "CREATE EXTENSION lo"
sed -e 's/schema: app}/schema: lob}/' -e 's/, allow_loss.*/}/' -e 's/backend: other, schema: moved/backend: there/' plan.yaml >lob.yaml
expect_exit 3 "$NSMIGRATE" preview lob.yaml
expect_contains "$out" "table lob.file has a column of type oid"
expect_contains "$out" "table lob.managed has a column"
sed -i 's/backend: there}}/backend: there}, allow_loss: [large-objects]}/' lob.yaml
expect_exit 0 "$NSMIGRATE" run lob.yaml
expect_same "1" "$(sql "$there" "SELECT count(*) FROM lob.file")" "the rest of it"
