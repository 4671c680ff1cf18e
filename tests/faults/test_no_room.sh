# No room for what is written beside the plan: files that may not grow stand in for a full disk. It is told clearly, and the same command
# finishes the job. And few descriptors for many workers.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/support/faults.sh
. "$NSM_SOURCE_DIR/tests/support/faults.sh"
cd "$tmp"

# with_room BLOCKS PLAN: no file may be longer than so many blocks of 512 bytes
with_room() {
    code=0
    (
        ulimit -f "$1"
        exec timeout 60 "$NSMIGRATE" run "$2.yaml" --json >"$out" 2>"$err" </dev/null
    ) || code=$?
    expect_sane "$err" "$2"
}
# completes PLAN NAMESPACES RECORDS
completes() {
    expect_exit 0 timeout 60 "$NSMIGRATE" run "$1.yaml" --json
    expect_json ".status == \"ok\" and (.namespaces | length == $2 and all(.records == $3))"
    expect_exit 0 timeout 60 "$NSMIGRATE" verify "$1.yaml"
}

# ---- the destination ----

rows='name: t, source: {backend: a}, destination: {backend: b}'
source='adapter: memory, records: 20000, value_bytes: 100B'
plan plain "$source" 'adapter: file, path: plain' "$rows"
plan packed "$source" 'adapter: file, path: packed, compress: zstd' "$rows"
plan lite "$source" 'adapter: sqlite, path: lite.db' "$rows"
for name in plain packed lite; do
    with_room 1000 $name
    expect_same 1 "$code" "exit code without room: $name"
    expect_match "$err" "^nsmigrate: namespace t: copy part 1/1: backend b: .*/$name.*(File too large|disk I/O error)"
    completes $name 1 20000
done

# ---- the ledger ----

namespaces() {
    for i in $(seq "$1"); do
        printf '  - {name: n%d, source: {backend: a}, destination: {backend: b, table: t%d}}\n' "$i" "$i"
    done
}
printf 'version: 1\nname: ledger\nworkers: 2\nbackends:\n  a: {adapter: memory}\n  b: {adapter: sqlite, path: ledger-test.db}\nnamespaces:\n' >ledger.yaml
namespaces 100 >>ledger.yaml
for room in 8 160; do
    rm -rf .nsmigrate/ledger ledger-test.db*
    with_room $room ledger
    expect_same 1 "$code" "exit code without room for the ledger"
    expect_match "$err" '^nsmigrate: .*ledger .*/ledger\.db: disk I/O error'
    completes ledger 100 10
done

# ---- descriptors ----

# few_descriptors WORKERS DESTINATION
few_descriptors() {
    rm -rf .nsmigrate/many many many.db*
    printf 'version: 1\nname: many\nworkers: %d\nbackends:\n  a: {adapter: memory}\n  b: {%s}\nnamespaces:\n' "$1" "$2" >many.yaml
    case $2 in
        *sqlite*) namespaces 200 >>many.yaml ;;
        *) namespaces 200 | sed 's/, table: t[0-9]*//' >>many.yaml ;;
    esac
    code=0
    (
        # shellcheck disable=SC3045 # where sh does not know it, there is no limit to test
        ulimit -n 64
        exec timeout 60 "$NSMIGRATE" run many.yaml --json >"$out" 2>"$err" </dev/null
    ) || code=$?
    expect_sane "$err" "$2"
}
few_descriptors 8 'adapter: file, path: many'
expect_same 0 "$code" "exit code of 8 workers with 64 descriptors, files"
few_descriptors 64 'adapter: sqlite, path: many.db'
expect_same 0 "$code" "exit code of 64 workers with 64 descriptors, SQLite"
few_descriptors 100 'adapter: file, path: many'
[ "$code" -ne 1 ] || expect_match "$err" 'Too many open files: raise their limit \(ulimit -n\), or take fewer workers'
completes many 200 10
