# A schema that stands at the destination with objects of every kind: named under fail, replaced whole under replace, and never more than that.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/support/pg_compare.sh
. "$NSM_SOURCE_DIR/tests/support/pg_compare.sh"
cd "$tmp"

pg_start pg
here=$pg_url
there=postgresql://postgres@127.0.0.1:$pg_port/there
sql "$here" "CREATE ROLE reader" "CREATE ROLE writer" "CREATE ROLE maker LOGIN" "CREATE DATABASE there" "GRANT CREATE ON DATABASE there TO maker"
psql -X -q -f "$NSM_SOURCE_DIR/tests/support/pg_objects.sql" "$here" >"$out" 2>"$err" || fail "the schema can't be made"
sql "$here" "CREATE FUNCTION app.count_one(state int) RETURNS int LANGUAGE sql AS 'SELECT state + 1'" \
    "CREATE AGGREGATE app.count_all(*) (SFUNC = app.count_one, STYPE = int, INITCOND = '0')" \
    "UPDATE app.values SET r = 'pg_class', rt = 'int'" # what they named has no such name under another schema's

# plan NAME IF_EXISTS SELECTION [DESTINATION]
plan() {
    cat >"$1.yaml" <<PLAN
version: 1
name: $1
workers: 2
backends:
  here:  {adapter: postgres, url: "$here"}
  there: {adapter: postgres, url: "$there"}
  maker: {adapter: postgres, url: "postgresql://maker@127.0.0.1:$pg_port/there"}
namespaces:
  - {name: all, source: {backend: here, $3}, destination: {${4-backend: there}}, if_exists: $2}
PLAN
}

# stand: what is theirs, under the names of ours, with one enum's labels, one function's body and one view's columns of another kind
stand() {
    rm -rf .nsmigrate
    sql "$there" "SET client_min_messages = error; DROP SCHEMA IF EXISTS app, copy, x CASCADE"
    pg_dump --schema-only --schema=app "$here" | psql -X -q -v ON_ERROR_STOP=1 "$there" >"$out" 2>"$err" || fail "theirs can't be made"
    sql "$there" "SET client_min_messages = error; CREATE SCHEMA x" "ALTER TYPE app.mood ADD VALUE 'theirs'" \
        "CREATE OR REPLACE FUNCTION app.twice(n int) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT -1'" \
        "CREATE FUNCTION app.theirs() RETURNS int LANGUAGE sql AS 'SELECT 1'" "CREATE TABLE app.theirs (id int)"
}

# ---- fail ----

stand
plan standing fail "schema: app"
expect_exit 3 "$NSMIGRATE" preview standing.yaml --verbose
for object in 'function app.twice(integer)' 'procedure app.nothing(integer)' 'aggregate app.sum_pairs(app.pair)' 'type app.mood' 'type app.pair' \
    'type app.span' 'type app.positive' 'operator app.<<<(app.pair,app.pair)' 'operator class app.odd_class USING btree' \
    'operator family app.odd_family USING btree' 'collation app.backwards' 'conversion app.odd' 'text search dictionary app.plain_words' \
    'text search configuration app.words' 'table app.measure' 'aggregate app.count_all()'; do
    expect_contains "$out" "$object"
done
expect_lacks "$out" "theirs"
before=$(pg_definition "$there" app)
expect_exit 1 "$NSMIGRATE" run standing.yaml
expect_contains "$err" "if_exists is fail"
expect_same "$before" "$(pg_definition "$there" app)" "a schema that was refused"

# Objects alone, without any table that stands.
sql "$there" "SET client_min_messages = error; DROP SCHEMA app CASCADE" "CREATE SCHEMA app" "CREATE TYPE app.person AS ENUM ('a')"
expect_exit 3 "$NSMIGRATE" preview standing.yaml
expect_contains "$out" "type app.person stands there"
sql "$there" "DROP TYPE app.person" "CREATE FUNCTION app.twice(text) RETURNS int LANGUAGE sql AS 'SELECT 1'" "CREATE TABLE app.other (twice int)"
expect_exit 0 "$NSMIGRATE" preview standing.yaml
sql "$there" "CREATE INDEX person_gist ON app.other (twice)"
expect_exit 3 "$NSMIGRATE" preview standing.yaml
expect_contains "$out" "index app.person_gist stands there"
plan indexed replace "schema: app"
expect_exit 3 "$NSMIGRATE" preview indexed.yaml
expect_contains "$out" "index app.person_gist has a name that is needed"

# ---- replace ----

stand
plan replaced replace "schema: app"
expect_exit 0 "$NSMIGRATE" preview replaced.yaml
expect_same "$before" "$(pg_definition "$there" app)" "a schema after preview"
expect_exit 0 "$NSMIGRATE" run replaced.yaml
expect_same "1" "$(sql "$there" "SELECT app.theirs()")" "what is not ours"
expect_exit 0 "$NSMIGRATE" verify replaced.yaml
sql "$there" "DROP FUNCTION app.theirs()" "DROP TABLE app.theirs"
pg_expect_same "replaced" "$here" app "$there" app

# What is done is verified, and not refused, whatever has come to depend on it.
sql "$there" "CREATE VIEW x.watching AS SELECT * FROM app.happy"
expect_exit 0 "$NSMIGRATE" verify replaced.yaml
expect_exit 0 "$NSMIGRATE" run replaced.yaml
expect_contains "$out" "done before"

# ---- replace, where more would go ----

stand
sql "$there" "CREATE VIEW x.watching AS SELECT id FROM app.happy" "CREATE TABLE x.pet (id int, mood app.mood, owner bigint CONSTRAINT pet_owner REFERENCES app.person)" \
    "CREATE TABLE x.more PARTITION OF app.measure FOR VALUES IN ('theirs')" "CREATE FUNCTION x.of(app.pair) RETURNS int LANGUAGE sql AS 'SELECT 1'" \
    "CREATE CAST (int AS app.short) WITH INOUT" 2>"$err"
sql "$there" "ALTER TABLE x.pet ALTER id SET DEFAULT app.twice(1)"
before=$(pg_definition "$there" app)$(pg_definition "$there" x)
expect_exit 3 "$NSMIGRATE" preview replaced.yaml --verbose
for line in 'view x.watching depends on view app.happy, which is replaced' 'column mood of table x.pet depends on type app.mood' \
    'constraint pet_owner on table x.pet depends on table app.person' 'table x.more depends on table app.measure' \
    'function x.of(app.pair) depends on type app.pair' 'default value for column id of table x.pet depends on function app.twice(integer)' \
    'cast from integer to app.short depends on type app.short'; do
    expect_contains "$out" "$line"
done
expect_exit 1 "$NSMIGRATE" run replaced.yaml
expect_same "$before" "$(pg_definition "$there" app)$(pg_definition "$there" x)" "schemas that were refused"
sql "$there" "SET client_min_messages = error; DROP SCHEMA x CASCADE" "DROP CAST (int AS app.short)"
expect_exit 0 "$NSMIGRATE" run replaced.yaml
expect_exit 0 "$NSMIGRATE" verify replaced.yaml

# Tables alone: partitions and views that would go with them.
cut="CREATE SCHEMA cut; CREATE TABLE cut.t (id int) PARTITION BY RANGE (id); CREATE TABLE cut.t_1 PARTITION OF cut.t FOR VALUES FROM (0) TO (9)"
sql "$here" "$cut" "INSERT INTO cut.t VALUES (1)"
sql "$there" "$cut" "CREATE TABLE cut.theirs PARTITION OF cut.t FOR VALUES FROM (10) TO (20)"
plan partitioned replace "tables: [cut.t*]"
expect_exit 3 "$NSMIGRATE" preview partitioned.yaml
expect_contains "$out" "table cut.theirs depends on table cut.t, which is replaced"
sql "$there" "DROP TABLE cut.theirs"
expect_exit 0 "$NSMIGRATE" run partitioned.yaml
expect_same "1" "$(sql "$there" "SELECT id FROM cut.t")" "rows of a partitioned table"

# Who may not drop it is told so.
plan rightless replace "schema: app" "backend: maker"
expect_exit 3 "$NSMIGRATE" preview rightless.yaml --verbose
expect_contains "$out" "no right to replace function app.twice(integer): only its owner can drop it"

# ---- replace, under another name ----

stand
sql "$there" "ALTER SCHEMA app RENAME TO copy"
plan renamed replace "schema: app" "backend: there, schema: copy"
expect_exit 3 "$NSMIGRATE" preview renamed.yaml
expect_contains "$out" "schema copy holds other objects, as table copy.theirs"
sql "$there" "DROP FUNCTION copy.theirs()" "DROP TABLE copy.theirs"
expect_exit 0 "$NSMIGRATE" preview renamed.yaml
expect_exit 0 "$NSMIGRATE" run renamed.yaml
expect_exit 0 "$NSMIGRATE" verify renamed.yaml
pg_expect_same "renamed" "$here" app "$there" copy

# A schema that stands empty keeps what rights are given in it, and gets those of the source's.
sql "$there" "SET client_min_messages = error; DROP SCHEMA copy CASCADE" "CREATE SCHEMA copy" \
    "ALTER DEFAULT PRIVILEGES IN SCHEMA copy GRANT INSERT ON TABLES TO writer"
rm -rf .nsmigrate
expect_exit 0 "$NSMIGRATE" run renamed.yaml
expect_exit 0 "$NSMIGRATE" verify renamed.yaml
expect_same "{reader=r/postgres,writer=a/postgres}" "$(sql "$there" "SELECT defaclacl FROM pg_default_acl
    WHERE defaclnamespace = 'copy'::regnamespace AND defaclobjtype = 'r'")" "default privileges"
sql "$there" "ALTER DEFAULT PRIVILEGES IN SCHEMA copy REVOKE INSERT ON TABLES FROM writer"
pg_expect_same "renamed into a schema that stood empty" "$here" app "$there" copy

# ---- replace, out of an archive ----

cat >archive.yaml <<PLAN
version: 1
name: archive
workers: 2
backends:
  here:  {adapter: postgres, url: "$here"}
  files: {adapter: file, path: files}
namespaces:
  - {name: all, source: {backend: here, schema: app}, destination: {backend: files}, allow_loss: [stale-views]}
PLAN
expect_exit 0 "$NSMIGRATE" run archive.yaml
stand
sed -e 's/name: archive/name: unpacked/' -e "s|\"$here\"|\"$there\"|" \
    -e 's/source: .*/source: {backend: files}, destination: {backend: here}, if_exists: replace}/' archive.yaml >unpacked.yaml
expect_exit 0 "$NSMIGRATE" run unpacked.yaml
expect_same "4" "$(sql "$there" "SELECT app.twice(2)")" "a function out of an archive"
