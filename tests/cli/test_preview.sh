# preview: what run would do, and exit code 3 when it would fail. verify: exit code 4 when the sides differ.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
cd "$tmp"

plan() {
    cat <<PLAN
version: 1
name: look
backends:
  a: {adapter: memory, records: 250, objects: 2}
  d: {adapter: file, path: ./dump}
namespaces:
  - name: one
    source: {backend: a}
    destination: {backend: d}
    if_exists: $1
  - name: two
    source: {backend: a}
    destination: {backend: d}
PLAN
}
plan fail >plan.yaml

expect_exit 0 "$NSMIGRATE" preview plan.yaml
expect_contains "$out" "one: a -> d, lane record, 500 records"
expect_match "$out" '250 records'
expect_match "$out" '^2 namespaces, 1,000 records, .*; about .* with [0-9]+ workers?$'
expect_exit 0 "$NSMIGRATE" preview plan.yaml --json
expect_events 'map(select(.event == "namespace").name) == ["one", "two"]'
expect_events 'map(select(.event == "namespace")) | first | .source == "a" and .destination == "d" and .lane == "record" and .would_fail == false
    and .records == 500 and .bytes > 0 and .estimate_seconds >= 0 and (.objects | length == 2)
    and (.objects[0] | .records == 250 and .exact)
    and (has("layout") and has("creates") and has("conflicts") and has("losses") and has("refusals") and has("notes"))'
expect_json '.event == "summary" and .status == "ok" and .error == null and .estimate_seconds >= 0 and [.namespaces[].status] == ["ok", "ok"]'
[ ! -e dump ] || fail "preview made something"
[ ! -e .nsmigrate ] || fail "preview made a ledger"

expect_exit 0 "$NSMIGRATE" run plan.yaml
expect_exit 0 "$NSMIGRATE" verify plan.yaml
expect_match "$out" '^one +same +500 '
expect_exit 0 "$NSMIGRATE" verify plan.yaml --json
expect_json '.event == "summary" and .status == "ok" and .differences == 0 and (.namespaces[0] | .missing == 0 and .extra == 0 and .different == 0)'

# what stands there is in the way of a new run
rm -rf .nsmigrate
expect_exit 3 "$NSMIGRATE" preview plan.yaml
expect_contains "$out" "conflict"
expect_contains "$out" "run would fail"
expect_exit 3 "$NSMIGRATE" preview plan.yaml --json --only one
expect_events 'map(select(.event == "namespace")) | first | .would_fail and (.conflicts | length > 0) and (.conflicts[0].text | length > 0)'
expect_json '.status == "failed" and (.namespaces | length == 1) and .namespaces[0].status == "failed"'
expect_exit 3 "$NSMIGRATE" run plan.yaml --dry-run
expect_exit 1 "$NSMIGRATE" run plan.yaml
plan replace >plan.yaml
expect_exit 0 "$NSMIGRATE" preview plan.yaml --only one

# a backend that can't be read is in the way too
sed 's/records: 250/records: 250, fail_op: survey, fail_times: 0/' plan.yaml >failing.yaml
expect_exit 3 "$NSMIGRATE" preview failing.yaml
expect_exit 3 "$NSMIGRATE" preview failing.yaml --json
expect_json '.event == "summary" and .status == "failed"'
