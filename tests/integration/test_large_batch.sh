# Many namespaces in one plan: 2,000 in memory, 300 tables into one SQLite file; each comes once, in the order of the plan.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
cd "$tmp"

{
    printf 'version: 1\nname: many\nworkers: 8\nbackends:\n  a: {adapter: memory, records: 5}\n  b: {adapter: memory}\nnamespaces:\n'
    seq 2000 | awk '{printf "  - {name: n%s, source: {backend: a}, destination: {backend: b}}\n", ($1 * 7) % 2003}'
} >many.yaml
seq 2000 | awk '{print "n" ($1 * 7) % 2003}' | jq -R . | jq -s . >wanted.json
expect_exit 0 "$NSMIGRATE" validate many.yaml
expect_exit 0 "$NSMIGRATE" preview many.yaml --json
expect_json '.namespaces | length == 2000'
expect_exit 0 timeout 120 "$NSMIGRATE" run many.yaml --json
expect_json '.status == "ok" and (.namespaces | length == 2000) and all(.namespaces[]; .status == "ok" and .records == 5)'
jq -s 'last | .namespaces | map(.name)' "$out" >found.json
cmp -s wanted.json found.json || fail "the results are not in the order of the plan"
expect_exit 0 "$NSMIGRATE" status many.yaml --json
expect_json '.namespaces | length == 2000'

{
    echo "BEGIN;"
    seq 300 | awk '{printf "CREATE TABLE t%d (id INTEGER PRIMARY KEY, v TEXT);\n", $1
        printf "INSERT INTO t%d VALUES (1, \"one of %d\"), (2, \"two of %d\"), (%d, \"own\");\n", $1, $1, $1, $1 + 10}' | tr '"' "'"
    echo "COMMIT;"
} | sqlite3 source.db
{
    printf 'version: 1\nname: tables\nworkers: 8\nbackends:\n  a: {adapter: sqlite, path: source.db}\n  b: {adapter: sqlite, path: target.db}\n'
    printf 'namespaces:\n'
    seq 300 -1 1 | awk '{printf "  - {name: n%d, source: {backend: a, tables: t%d}, destination: {backend: b}}\n", $1, $1}'
} >tables.yaml
expect_exit 0 timeout 120 "$NSMIGRATE" run tables.yaml --json
expect_json '.status == "ok" and (.namespaces | map(.name)) == ([range(300; 0; -1)] | map("n\(.)")) and all(.namespaces[]; .records == 3)'
sqlite3 source.db .dump | sort >wanted
sqlite3 target.db .dump | sort >found
expect_same 1203 "$(wc -l <wanted)" "lines of the dump"
cmp -s wanted found || fail "the tables differ: $(diff wanted found | head -n 4)"
expect_exit 0 "$NSMIGRATE" verify tables.yaml
