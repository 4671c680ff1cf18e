# Two plans that write one SQLite file or one folder at the same time: the second is refused with who is at work, and changes nothing.
# A killed run holds nothing. Nothing of all that stays beside the data.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/support/faults.sh
. "$NSM_SOURCE_DIR/tests/support/faults.sh"
cd "$tmp"

rows='name: t, source: {backend: a}, destination: {backend: b}'
# A source that stops in the middle, until it is killed.
stuck='adapter: memory, records: 500, stall_op: read, stall_at: 3'
mkdir real
ln -s real/b.db link.db

has_lock() {
    [ -s "$1" ]
}
refused() {
    expect_exit 1 timeout 60 "$NSMIGRATE" run second.yaml
    expect_match "$err" "$1 is being written by another run \(plan first, pid $pid on [^)]+\): wait for it, or stop it"
}
# one_at_a_time STORE ANOTHER-NAME-OF-IT WHAT LOCK-FILE
one_at_a_time() {
    rm -rf .nsmigrate
    plan first "$stuck" "$1" "$rows"
    plan second 'adapter: memory, records: 700' "$2" "$rows, if_exists: replace"
    start "$NSMIGRATE" run first.yaml
    wait_until has_lock "$4"
    refused "$3"
    # One that is asked to stop leaves nothing for others to wait for.
    wait_until takes_signals "$pid"
    kill -TERM "$pid"
    expect_ended 143 "$pid"
    [ ! -e "$4" ] || fail "$4 stays"

    start "$NSMIGRATE" run first.yaml
    wait_until has_lock "$4"
    refused "$3"
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || :
    has_lock "$4" || fail "the killed run has left no $4"
    plan first 'adapter: memory, records: 500' "$1" "$rows, if_exists: replace"
    expect_exit 0 timeout 60 "$NSMIGRATE" run first.yaml --fresh --json
    expect_json '.status == "ok" and .namespaces[0].records == 500'
    expect_exit 0 timeout 60 "$NSMIGRATE" run second.yaml --json
    expect_json '.status == "ok" and .namespaces[0].records == 700'
    [ ! -e "$4" ] || fail "$4 stays"
}

one_at_a_time 'adapter: sqlite, path: real/b.db' 'adapter: sqlite, path: link.db' '.*link\.db' real/b.db-nsmigrate
one_at_a_time 'adapter: file, path: dump' 'adapter: file, path: real/../dump' 'folder .*/dump/t' dump/t/.nsmigrate-lock

# Two backends of one plan are one run.
printf 'version: 1\nname: both\nworkers: 2\nbackends:\n  a: {adapter: memory}\n  b: {adapter: sqlite, path: real/c.db}\n  c: {adapter: sqlite, path: ./real/c.db}\nnamespaces:\n  - {name: one, source: {backend: a}, destination: {backend: b, table: one}}\n  - {name: two, source: {backend: a}, destination: {backend: c, table: two}}\n' >both.yaml
expect_exit 0 timeout 60 "$NSMIGRATE" run both.yaml --json
expect_json '.status == "ok"'
expect_same "b.db c.db" "$(cd real && echo *)" "what is in the folder"
