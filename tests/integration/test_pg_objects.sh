# A schema with an object of every kind, moved to another database under its own and another name, and inside of its own; what pg_dump and
# psql say of both sides must be the same.
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
cat >plan.yaml <<PLAN
version: 1
name: objects
workers: 4
backends:
  here:  {adapter: postgres, url: "$here"}
  there: {adapter: postgres, url: "$there"}
namespaces:
  - {name: same,    source: {backend: here, schema: app}, destination: {backend: there}}
  - {name: renamed, source: {backend: here, schema: app}, destination: {backend: there, schema: "New\n\"app\".%s"}}
  - {name: inside,  source: {backend: here, schema: app}, destination: {backend: here, schema: copy}}
PLAN
expect_exit 0 "$NSMIGRATE" preview plan.yaml
expect_exit 0 "$NSMIGRATE" run plan.yaml --json
expect_json '.status == "ok" and (.namespaces | all(.lane == "pgcopy"))'
pg_expect_same "same" "$here" app "$there" app
pg_expect_same "renamed" "$here" app "$there" "$other" "$quoted"
pg_expect_same "inside" "$here" app "$here" copy
expect_exit 0 "$NSMIGRATE" verify plan.yaml
for url in "$here" "$there"; do
    expect_same "" "$(sql "$url" "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'nsm%'")" "left schemas"
done

# Everything works on its own under the new name.
psql -X -q -c "SET client_min_messages = warning" -c "DROP SCHEMA app CASCADE" "$here"
expect_same "510" "$(sql "$here" "INSERT INTO copy.person (boss, amount) VALUES (10, 2) RETURNING id")" "identity of copy"
expect_same "-16" "$(sql "$here" "SELECT nextval('copy.called')")" "sequence of copy"
expect_same "15" "$(sql "$here" "SELECT copy.atomic(4, 1, 5, 9) + 3")" "function of copy"
expect_same "1225" "$(sql "$here" "SELECT copy.sum_pairs(pair) - 50 FROM copy.person")" "aggregate of copy"
expect_same "t" "$(sql "$here" "SELECT a.pair OPERATOR(copy.<<<) b.pair FROM copy.person a, copy.person b WHERE a.id = 10 AND b.id = 20")" "operator"
expect_same "41" "$(sql "$there" "SELECT nextval('app.set_uncalled')")" "sequence that was not called"
