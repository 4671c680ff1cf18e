# Two plans that write one namespace at the same time: the second is refused with who is at work, and changes nothing; the first ends
# well. What a killed run held is free at once.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/support/faults.sh
. "$NSM_SOURCE_DIR/tests/support/faults.sh"
cd "$tmp"

pg_start pg
target_url=postgresql://postgres@127.0.0.1:$pg_port/target
# While the gate's lock is held, the target computes no generated column: a copy stays in the middle as long as it takes.
sql "$pg_url" "CREATE DATABASE target"
for url in "$pg_url" "$target_url"; do
    sql "$url" "CREATE FUNCTION gate(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN n; END'"
done
sql "$pg_url" "CREATE SCHEMA app" \
    "CREATE TABLE app.t (id int PRIMARY KEY, slow int GENERATED ALWAYS AS (public.gate(id)) STORED)" \
    "CREATE TABLE app.empty (id int)" "INSERT INTO app.t SELECT generate_series(1, 500)" \
    "CREATE SCHEMA other" "CREATE TABLE other.t (id int PRIMARY KEY)" "INSERT INTO other.t VALUES (-1)"
a="adapter: postgres, url: \"$pg_url\""
b="adapter: postgres, url: \"$target_url\""
plan first "$a" "$b" 'name: app, source: {backend: a, schema: app}, destination: {backend: b}'
plan second "$a" "$b" 'name: app, source: {backend: a, schema: app}, destination: {backend: b}, if_exists: replace'
plan one-table "$a" "$b" 'name: t, source: {backend: a, table: other.t}, destination: {backend: b, table: app.u}'
plan beside "$a" "$b" 'name: other, source: {backend: a, schema: other}, destination: {backend: b}, if_exists: replace'

close_gate() {
    rm -f gate
    mkfifo gate
    psql -X -q "$target_url" <gate &
    gate_pid=$!
    started="$started $gate_pid"
    exec 3>gate
    echo "SELECT pg_advisory_lock(7);" >&3
    wait_until is_closed
}
is_closed() {
    [ "$(sql "$target_url" "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND granted")" = 1 ]
}
is_midway() {
    [ "$(sql "$target_url" "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted")" -gt 0 ]
}
# Whoever was started meanwhile holds the other end, too: its closing alone is not seen.
open_gate() {
    printf '%s\n' '\q' >&3
    exec 3>&-
    wait "$gate_pid" || :
}
objects() {
    sql "$target_url" "SELECT oid, relname, relfilenode FROM pg_class WHERE relnamespace = 'app'::regnamespace ORDER BY oid"
}
# begin PLAN: it is in the middle when this returns, as process $pid
begin() {
    close_gate
    start "$NSMIGRATE" run "$1.yaml" --json
    first_pid=$pid
    wait_until is_midway
}
refused() {
    expect_exit 1 timeout 60 "$NSMIGRATE" run "$1.yaml"
    expect_match "$err" "schema app is being written by another run \(plan first, pid $first_pid on [^)]+\): wait for it, or stop it"
}

begin first
objects >before
refused second
refused one-table
expect_exit 0 timeout 60 "$NSMIGRATE" run beside.yaml
objects >after
same before after || fail "what was refused has changed something"
open_gate
expect_ended 0 "$first_pid"
expect_json '.status == "ok" and .namespaces[0].records == 500'
expect_exit 0 timeout 60 "$NSMIGRATE" verify first.yaml
expect_same 0 "$(sql "$target_url" "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")" "locks left"

# Once it has ended, the other may.
expect_exit 0 timeout 60 "$NSMIGRATE" run second.yaml

# Its session is lost in the middle: nobody else was there, so it goes on.
sql "$target_url" "DROP SCHEMA app CASCADE" 2>/dev/null
rm -rf .nsmigrate
begin first
expect_same t "$(sql "$target_url" "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'nsmigrate plan%'")" "ended"
open_gate
expect_ended 0 "$first_pid"
expect_exit 0 timeout 60 "$NSMIGRATE" verify first.yaml

# Killed: no lock outlives its process.
sql "$target_url" "DROP SCHEMA app CASCADE" 2>/dev/null
rm -rf .nsmigrate
begin first
kill -9 "$first_pid"
wait "$first_pid" 2>/dev/null || :
open_gate
expect_exit 0 timeout 60 "$NSMIGRATE" run second.yaml --json
expect_json '.status == "ok" and .namespaces[0].records == 500'
expect_exit 0 timeout 60 "$NSMIGRATE" verify second.yaml
