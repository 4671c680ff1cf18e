# The first failure cancels the siblings, on the servers too; it is told once with its chain; the next run completes the rest.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cd "$tmp"

pg_start pg
target_url=postgresql://postgres@127.0.0.1:$pg_port/target
sql "$pg_url" "CREATE DATABASE target" "CREATE SCHEMA bad" "CREATE SCHEMA done" "CREATE TABLE bad.t (id int PRIMARY KEY, v int)" \
    "CREATE TABLE done.t (id int PRIMARY KEY)" "INSERT INTO done.t SELECT generate_series(1, 1000)" \
    "INSERT INTO bad.t SELECT n, n FROM generate_series(1, 1000) n" "ANALYZE"
# A table each whose copy takes long: a function of the check at the destination sleeps for every row.
for n in 1 2 3; do
    sql "$pg_url" "CREATE SCHEMA slow$n" "CREATE TABLE slow$n.t (id int PRIMARY KEY)" "INSERT INTO slow$n.t SELECT generate_series(1, 1000)"
    sql "$target_url" "CREATE SCHEMA slow$n" "CREATE TABLE slow$n.t (id int PRIMARY KEY, CONSTRAINT slow CHECK (id > 0 AND pg_sleep(0.1)::text = ''))"
done
sql "$target_url" "CREATE SCHEMA bad" "CREATE TABLE bad.t (id int PRIMARY KEY, v int CHECK (v < 500))"

{
    cat <<PLAN
version: 1
name: failing
workers: 5
backends:
  a: {adapter: postgres, url: "$pg_url"}
  b: {adapter: postgres, url: "$target_url"}
namespaces:
  - {name: done, source: {backend: a, schema: done}, destination: {backend: b}}
PLAN
    for name in slow1 slow2 slow3 bad; do
        echo "  - {name: $name, source: {backend: a, schema: $name}, destination: {backend: b}, if_exists: merge}"
    done
} >plan.yaml

expect_exit 0 "$NSMIGRATE" run plan.yaml --only 'done'
done_by=$(sql "$target_url" "SELECT xmin FROM done.t LIMIT 1")

begun=$(date +%s)
expect_exit 1 "$NSMIGRATE" run plan.yaml --json
[ $(($(date +%s) - begun)) -lt 30 ] || fail "the siblings were not stopped"
expect_json '.status == "failed" and (.error | contains("namespace bad")) and (.error | contains("v_check"))'
expect_json '.namespaces | map(select(.name | startswith("slow"))) | all(.status == "cancelled")'
expect_json '.namespaces | map(select(.name == "bad")) | all(.status == "failed")'
expect_same 1 "$(grep -c '^nsmigrate: ' "$err")" "messages"
expect_same 0 "$(sql "$pg_url" "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'nsmigrate%'")" "sessions left"

# All end together: the first to end is the one that failed, and the last is not far behind (0.1 s is what to expect; the bound is for
# machines that are busy with other tests).
expect_events 'def ms: (.time[0:19] + "Z" | fromdate) * 1000 + (.time[20:23] | tonumber);
    map(select(.event == "namespace_ended" and .namespace != "done") | ms) | length == 4 and (max - min) < 3000'

# What stood in the way is mended: the rest is done, and what was done is not done again.
sql "$target_url" "ALTER TABLE bad.t DROP CONSTRAINT t_v_check"
for n in 1 2 3; do
    sql "$target_url" "ALTER TABLE slow$n.t DROP CONSTRAINT slow"
done
expect_exit 0 "$NSMIGRATE" run plan.yaml --json
expect_json '.status == "ok" and (.namespaces | all(.status == "ok" and .records == 1000))'
for schema in 'done' slow1 slow2 slow3 bad; do
    expect_same 1000 "$(sql "$target_url" "SELECT count(*) FROM $schema.t")" "rows of $schema"
done
expect_same "$done_by" "$(sql "$target_url" "SELECT xmin FROM done.t LIMIT 1")" "the transaction that copied what was done before"
