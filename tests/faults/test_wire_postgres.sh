# Postgres to Postgres while the wire on either side is reset, closed, left half open, delayed, slowed, silenced and altered after any
# number of bytes: the run completes, or fails and the same command completes it; the destination is the source by psql.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/support/faults.sh
. "$NSM_SOURCE_DIR/tests/support/faults.sh"
cd "$tmp"

pg_start pg
source_url=$pg_url
target_url=postgresql://postgres@127.0.0.1:$pg_port/target
sql "$source_url" "CREATE SCHEMA app" \
    "CREATE TABLE app.big (id bigserial PRIMARY KEY, v text, n numeric)" \
    "INSERT INTO app.big (v, n) SELECT md5(n::text), n / 3.0 FROM generate_series(1, 8000) n" \
    "CREATE INDEX big_v ON app.big (v)" \
    "CREATE TABLE app.nokey (a int, b text)" \
    "INSERT INTO app.nokey SELECT n % 100, 'row ' || n % 700 FROM generate_series(1, 3000) n" \
    "CREATE TABLE app.child (id int PRIMARY KEY, big bigint REFERENCES app.big)" \
    "INSERT INTO app.child SELECT n, n FROM generate_series(1, 1000) n"

clear() {
    sql "$source_url" "DROP DATABASE IF EXISTS target WITH (FORCE)" "CREATE DATABASE target" 2>/dev/null
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
    sql "$target_url" "SELECT 'left over: ' || nspname FROM pg_namespace WHERE nspname LIKE '%nsm%'" >left
    [ ! -s left ] || { cat left >&2; return 1; }
}

# Each kind on one side at least; NSM_KINDS names others.
options="timeout: 1s"

plan source "adapter: postgres, url: \"postgresql://postgres@127.0.0.1:$wire_port/postgres\", $options" \
    "adapter: postgres, url: \"$target_url\"" 'name: app, source: {backend: a, schema: app}, destination: {backend: b}'
# shellcheck disable=SC2086 # words
wire source "$pg_port" clear compare ${NSM_KINDS:-reset half trickle stop corrupt}

plan destination "adapter: postgres, url: \"$source_url\"" \
    "adapter: postgres, url: \"postgresql://postgres@127.0.0.1:$wire_port/target\", $options" \
    'name: app, source: {backend: a, schema: app}, destination: {backend: b}'
# shellcheck disable=SC2086
wire destination "$pg_port" clear compare ${NSM_KINDS:-reset close delay stop swallow corrupt}
