# Postgres to Postgres while a server is restarted, stopped and continued, ends our sessions, has no connection or room left, is
# read-only, or keeps us waiting for a lock: the run completes, or fails with the server's own words and the same command completes
# it; the destination is the source by psql.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/support/faults.sh
. "$NSM_SOURCE_DIR/tests/support/faults.sh"
cd "$tmp"

pg_start source max_connections=10
source_url=$pg_url source_dir=$pg_dir
pg_start target max_connections=10
target_url=$pg_url target_dir=$pg_dir
# The generated column takes the target a while, whatever the machine, and there is more than the wire holds: both sides are at work
# when harm is done.
sql "$source_url" "CREATE SCHEMA app" \
    "CREATE FUNCTION app.slow(n bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.0001); RETURN n; END'" \
    "CREATE TABLE app.big (id bigserial PRIMARY KEY, v text, slow bigint GENERATED ALWAYS AS (app.slow(id)) STORED)" \
    "ALTER TABLE app.big ALTER v SET STORAGE EXTERNAL" \
    "INSERT INTO app.big (v) SELECT repeat(md5(n::text), 400) FROM generate_series(1, 1500) n" \
    "CREATE INDEX big_v ON app.big (left(v, 40))" \
    "CREATE TABLE app.nokey (a int, b text)" \
    "INSERT INTO app.nokey SELECT n % 100, 'row ' || n % 700 FROM generate_series(1, 12000) n" \
    "CREATE TABLE app.child (id int PRIMARY KEY, big bigint REFERENCES app.big)" \
    "INSERT INTO app.child SELECT n, n FROM generate_series(1, 1000) n"

clear() {
    sql "$target_url" "SET client_min_messages = error; DROP SCHEMA IF EXISTS app, nsmigrate CASCADE"
}
# content URL: each table's rows, none left out and none doubled, and what belongs to them
content() {
    for table in app.big app.nokey app.child; do
        sql "$1" "SELECT '$table', count(*), md5(string_agg(t::text, ';' ORDER BY t::text)) FROM $table t"
    done
    sql "$1" "SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indexrelid
                  WHERE relnamespace = 'app'::regnamespace ORDER BY 1" \
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'app'::regnamespace ORDER BY 1" \
        "SELECT last_value FROM app.big_id_seq"
}
content "$source_url" >wanted
compare() {
    content "$target_url" >found && same wanted found || return 1
    sql "$target_url" "SELECT 'left over: ' || nspname FROM pg_namespace WHERE nspname LIKE '%nsm%'
        UNION ALL SELECT 'a session: ' || query FROM pg_stat_activity WHERE application_name LIKE 'nsmigrate%'" >left
    [ ! -s left ] || { cat left >&2; return 1; }
}
is_midway() {
    [ "$(sql "$target_url" "SELECT count(*) FROM pg_stat_progress_copy WHERE tuples_processed > 100")" -gt 0 ]
}
plan app "adapter: postgres, url: \"$source_url\", timeout: 2s" "adapter: postgres, url: \"$target_url\", timeout: 2s" \
    'name: app, source: {backend: a, schema: app}, destination: {backend: b}'

# restart DIR MODE
restart() {
    pg_as "$pg_bin/pg_ctl" -D "$1" -m "$2" -w -t 60 -l "$1/log" restart >/dev/null
}
restart_target_fast() {
    restart "$target_dir" fast
}
restart_target_immediate() {
    restart "$target_dir" immediate
}
restart_source_fast() {
    restart "$source_dir" fast
}
restart_source_immediate() {
    restart "$source_dir" immediate
}

# signal_server DIR SIGNAL: the server and all that it started
signal_server() {
    server=$(head -n 1 "$1/postmaster.pid")
    # shellcheck disable=SC2046 # numbers
    kill "-$2" "$server" $(ps -o pid= --ppid "$server")
}
freeze_target() {
    signal_server "$target_dir" STOP
    sleep 3
    signal_server "$target_dir" CONT
}
freeze_source() {
    signal_server "$source_dir" STOP
    sleep 3
    signal_server "$source_dir" CONT
}
end_sessions() {
    for url in "$target_url" "$source_url" "$target_url"; do
        sql "$url" "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'nsmigrate%'" >/dev/null
        sleep 0.1
    done
}

for harm in restart_target_fast restart_target_immediate restart_source_fast restart_source_immediate freeze_target freeze_source \
    end_sessions; do
    survives app $harm
done

# ---- what only an operator can mend ----

begin() {
    clear
    rm -rf .nsmigrate/app
}
# refused PATTERN: the plan app fails with the server's own words
refused() {
    expect_exit 1 timeout 60 "$NSMIGRATE" run app.yaml --json
    tell "$(grep '^nsmigrate: ' "$err")"
    expect_match "$err" "$1"
    expect_json '.status == "failed" and (.error | length > 0)'
}
completes() {
    expect_exit 0 timeout 60 "$NSMIGRATE" run app.yaml --json
    compare || fail "not the same after: $1"
}

begin
sql "$target_url" "ALTER ROLE postgres SET default_transaction_read_only = on"
refused 'the server is read-only'
PGOPTIONS='-c default_transaction_read_only=off' sql "$target_url" "ALTER ROLE postgres RESET ALL"
completes "read-only"

# Limits that a role brings along are for people, not for a copy.
begin
for url in "$source_url" "$target_url"; do
    sql "$url" "ALTER ROLE postgres SET statement_timeout = 200" "ALTER ROLE postgres SET lock_timeout = 20" \
        "ALTER ROLE postgres SET idle_in_transaction_session_timeout = 20"
done
expect_exit 0 timeout 60 "$NSMIGRATE" run app.yaml --json
for url in "$source_url" "$target_url"; do
    PGOPTIONS='-c statement_timeout=0' sql "$url" "ALTER ROLE postgres RESET ALL"
done
compare || fail "not the same after: a role's limits"

# Someone else holds a table: waited for, and a signal ends the waiting.
begin
mkfifo hold
psql -X -q "$source_url" <hold &
started="$started $!"
exec 3>hold
echo "BEGIN; LOCK TABLE app.nokey IN ACCESS EXCLUSIVE MODE;" >&3
is_held() {
    [ "$(sql "$source_url" "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'app.nokey'::regclass")" = 1 ]
}
is_waiting() {
    [ "$(sql "$source_url" "SELECT count(*) FROM pg_locks WHERE NOT granted")" -gt 0 ]
}
wait_until is_held
start "$NSMIGRATE" run app.yaml --json
wait_until is_waiting
kill -TERM "$pid"
expect_ended 143 "$pid"
expect_json '.status == "interrupted"'
echo "COMMIT;" >&3
exec 3>&-
completes "a lock"

# No room: the server can't make a file as long as the table.
begin
pg_as "$pg_bin/pg_ctl" -D "$target_dir" -m fast -w stop >/dev/null
(
    ulimit -f 32768 # of 512 bytes: a WAL segment still fits
    pg_as "$pg_bin/pg_ctl" -D "$target_dir" -w -l "$target_dir/log" start >/dev/null
)
refused 'could not extend file'
restart "$target_dir" fast
completes "no room"

# No connection is left.
begin
holders=
mkfifo idle
exec 4<>idle
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
    psql -X -q "$target_url" <idle >/dev/null 2>&1 &
    holders="$holders $!"
done
started="$started $holders"
is_full() {
    ! psql -X -q -c "SELECT 1" "$target_url"
}
wait_until is_full
refused 'too many clients'
# shellcheck disable=SC2086 # numbers
kill $holders 2>/dev/null || :
has_room() {
    [ "$(sql "$target_url" "SELECT count(*) < 4 FROM pg_stat_activity WHERE backend_type = 'client backend'")" = t ]
}
wait_until has_room
completes "no connection left"
