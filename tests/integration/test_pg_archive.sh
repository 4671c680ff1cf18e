# A schema with an object of every kind goes into files and comes back, under its own and another name: what pg_dump and psql say of the
# source and of what came back must be the same. A definition that is damaged or gone is found before anything is written.
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
sql "$here" "CREATE ROLE reader" "CREATE ROLE writer" "CREATE DATABASE there"
sql "$there" "CREATE TYPE public.other AS ENUM ('a', 'b', 'c')" "CREATE TABLE public.other_table (id serial PRIMARY KEY, o public.other)"
psql -X -q -f "$NSM_SOURCE_DIR/tests/support/pg_objects.sql" "$here" >"$out" 2>"$err" || fail "the schema can't be made"

other='New
"app".%s'
quoted='"New
""app"".%s"'
cat >out.yaml <<PLAN
version: 1
name: out
workers: 4
backends:
  here:  {adapter: postgres, url: "$here"}
  plain: {adapter: file, path: plain}
  small: {adapter: file, path: small, compress: zstd}
namespaces:
  - {name: app,    source: {backend: here, schema: app}, destination: {backend: plain}}
  - {name: tables, source: {backend: here, tables: [app.person, app.unlogged]}, destination: {backend: small}}
PLAN
cat >in.yaml <<PLAN
version: 1
name: in
workers: 4
backends:
  plain: {adapter: file, path: plain}
  there: {adapter: postgres, url: "$there"}
namespaces:
  - {name: app,     source: {backend: plain}, destination: {backend: there}}
  - {name: renamed, source: {backend: plain, folder: app}, destination: {backend: there, schema: "New\n\"app\".%s"}}
PLAN

# ---- what an archive does not keep is a loss by name ----

expect_exit 3 "$NSMIGRATE" preview out.yaml --json
expect_events '[.[] | .. | objects | select(.what? == "stale-views")] | length == 1'
expect_exit 1 "$NSMIGRATE" run out.yaml
expect_contains "$err" "materialized view app.stale holds rows that its query does not give now"
[ ! -e plain ] || fail "something was written"
sql "$here" "REFRESH MATERIALIZED VIEW app.stale" "REFRESH MATERIALIZED VIEW app.on_stale"

# Values that JSON has no form for, or that are more exact than a double.
sql "$here" "CREATE TABLE app.odd AS SELECT 'NaN'::float8 AS a, '-Infinity'::float4 AS b, '-0'::float8 AS c, '-0'::float4 AS d, 9007199254740993 AS e,
    '-9223372036854775808'::int8 AS f, 'NaN'::numeric AS g, '-Infinity'::numeric AS h, 1.10::numeric AS i, '1e-16000'::numeric AS j, 5e-324::float8 AS k,
    '\\x00ff'::bytea AS l, 'infinity'::date AS m, '4713-01-01 BC'::date AS n, '24:00'::time AS o, '12:00+15:59:59'::timetz AS p,
    '294276-12-31 23:59:59.999999+00'::timestamptz AS q, '1 mon -2 days 3.000001'::interval AS r, '{\"b\": 1.0, \"a\": 9007199254740993, \"b\": 2}'::json AS s,
    '[1.10, null]'::jsonb AS t, '(,9)'::int8range AS u, ARRAY[NULL, '', 'NULL', '{}']::text[] AS v, '(1,-0)'::point AS w, '::1/64'::inet AS x,
    B'101'::bit varying AS y, 'a:1 b'::tsvector AS z, 12.34::money AS aa, 'tenth  '::char(9) AS ab, ''::text AS ad, NULL::text AS ae,
    U&'\\0001\\001F\\2028\\+01F600'::text AS af"

# ---- there and back ----

expect_exit 0 "$NSMIGRATE" preview out.yaml --verbose
expect_contains "$out" "creates file $tmp/plain/app/definition.postgres"
expect_lacks "$out" "stay behind"
expect_exit 0 "$NSMIGRATE" run out.yaml --json
expect_json '.status == "ok"'
expect_exit 0 "$NSMIGRATE" verify out.yaml
pg_restore -f - plain/app/definition.postgres >"$out" || fail "pg_restore does not read the definition"
expect_contains "$out" "CREATE TABLE app.person"
jq -es 'length > 0' plain/app/person.*.jsonl >/dev/null || fail "jq does not read the rows"
expect_same "postgres" "$(jq -r .made_by plain/app/manifest.json)" "made_by"
expect_exit 0 "$NSMIGRATE" preview in.yaml
expect_exit 0 "$NSMIGRATE" run in.yaml --json
expect_json '.status == "ok"'
pg_expect_same "same" "$here" app "$there" app
pg_expect_same "renamed" "$here" app "$there" "$other" "$quoted"
expect_exit 0 "$NSMIGRATE" verify in.yaml
expect_same "" "$(sql "$there" "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'nsm%'")" "left schemas"

# ---- damage ----

# refuses WHAT: nothing is written where the definition is not whole
refuses() {
    expect_exit 3 "$NSMIGRATE" preview --fresh damaged.yaml
    expect_exit 1 "$NSMIGRATE" run --fresh damaged.yaml
    expect_contains "$err" "definition.postgres: $1"
    expect_same "" "$(sql "$there" "SELECT nspname FROM pg_namespace WHERE nspname IN ('damaged', 'nsmigrate')")" "schemas"
}
sed -e 's/name: in$/name: damaged/' -e '/name: renamed/d' -e 's/destination: {backend: there}/destination: {backend: there, schema: damaged}/' in.yaml >damaged.yaml
cp plain/app/definition.postgres kept
python3 -c 'import sys
with open(sys.argv[1], "r+b") as f:
    data = bytearray(f.read())
    data[len(data) // 2] ^= 4
    f.seek(0)
    f.write(data)' plain/app/definition.postgres
refuses "the checksum is not the manifest's"
head -c 1000 kept >plain/app/definition.postgres
refuses "holds 1000 bytes, but the manifest says"
rm plain/app/definition.postgres
refuses "is missing, but the manifest names it"
mv kept plain/app/definition.postgres
expect_exit 0 "$NSMIGRATE" run --fresh damaged.yaml
pg_expect_same "after the damage" "$here" app "$there" damaged
