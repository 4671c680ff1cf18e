# status: before, while and after; and a second run of a plan that is at work is refused with exit code 5.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
cd "$tmp"

cat >plan.yaml <<'PLAN'
version: 1
name: standing
workers: 2
batch: {records: 100}
backends:
  quick: {adapter: memory, records: 10}
  slow: {adapter: memory, records: 2000, delay: 200ms}
  d: {adapter: file, path: ./dump}
namespaces:
  - name: quick
    source: {backend: quick}
    destination: {backend: d}
  - name: slow
    source: {backend: slow}
    destination: {backend: d}
PLAN

expect_exit 0 "$NSMIGRATE" status plan.yaml
expect_same "no run of plan standing yet" "$(cat "$out")" "status before"
expect_exit 0 "$NSMIGRATE" status plan.yaml --json
expect_json '.event == "summary" and .plan == "standing" and .status == "none" and .namespaces == []'
[ ! -e .nsmigrate ] || fail "status made a ledger"

quick_is_done() {
    "$NSMIGRATE" status plan.yaml --json |
        jq -es 'last | .status == "running" and .namespaces[0].status == "ok" and .namespaces[1].status == "running"'
}
start "$NSMIGRATE" run plan.yaml
wait_until quick_is_done
expect_exit 0 "$NSMIGRATE" status plan.yaml
expect_contains "$out" "plan standing: running; 1 of 2 namespaces done"
expect_match "$out" '^quick +ok +done +record +10 '
expect_match "$out" '^slow +running '
expect_exit 0 "$NSMIGRATE" status plan.yaml --json
expect_events 'map(select(.event == "namespace").name) == ["quick", "slow"]'
expect_json '.namespaces[1].status == "running" and (.started | length == 24) and .namespaces[0].records == 10'

# another run of the same plan
expect_exit 5 "$NSMIGRATE" run plan.yaml
expect_empty "$out"
expect_lines 1 "$err" "nsmigrate: "
expect_contains "$err" "$pid"
expect_exit 5 "$NSMIGRATE" run plan.yaml --fresh --json
expect_json '.event == "summary" and .status == "failed" and (.error | length > 0)'
# looking is no run
expect_exit 0 "$NSMIGRATE" status plan.yaml

kill -KILL "$pid"
wait "$pid" 2>/dev/null || :
expect_exit 0 "$NSMIGRATE" status plan.yaml
expect_contains "$out" "plan standing: interrupted; 1 of 2 namespaces done"
expect_exit 0 "$NSMIGRATE" status plan.yaml --json
expect_json '.status == "interrupted" and .namespaces[0].status == "ok" and .namespaces[1].status == "interrupted"'

expect_exit 0 "$NSMIGRATE" run plan.yaml
expect_match "$out" '^quick +ok, done before '
expect_exit 0 "$NSMIGRATE" status plan.yaml
expect_contains "$out" "plan standing: ok; 2 of 2 namespaces done"
expect_exit 0 "$NSMIGRATE" status plan.yaml --json
expect_json '.status == "ok" and .error == null and all(.namespaces[]; .status == "ok" and .step == "done")'

# a failed one, with its error
sed 's/name: standing/name: fallen/; s/delay: 200ms/fail_op: read, fail_times: 0/; s/dump/dump-fallen/' plan.yaml >fallen.yaml
expect_exit 1 "$NSMIGRATE" run fallen.yaml
expect_exit 0 "$NSMIGRATE" status fallen.yaml
expect_match "$out" '^slow +failed '
expect_match "$out" '^slow: .'
expect_exit 0 "$NSMIGRATE" status fallen.yaml --json
expect_json '.status == "failed" and (.error | length > 0) and (.namespaces[1].error | length > 0)'
