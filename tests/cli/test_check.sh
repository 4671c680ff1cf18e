# check: a table of backends, all asked at once; exit code 3 when one would make run fail.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
cd "$tmp"

cat >plan.yaml <<'PLAN'
version: 1
name: health
backends:
  a: {adapter: memory}
  b: {adapter: memory}
  found: {adapter: memory}
namespaces:
  - name: one
    source: {backend: a}
    destination: {backend: b}
  - name: "x-{name}"
    for_each: {backend: found, name: "*"}
    source: {backend: found, name: "{name}"}
    destination: {backend: b}
PLAN

expect_exit 0 "$NSMIGRATE" check plan.yaml
expect_match "$out" '^backend +adapter +state '
expect_match "$out" '^a +memory +ok '
expect_match "$out" '^found +memory +ok '
expect_exit 0 "$NSMIGRATE" check plan.yaml --json
expect_events 'map(select(.event == "backend").name) == ["a", "b", "found"]'
expect_json '.event == "summary" and .plan == "health" and .status == "ok" and .error == null'
expect_json '[.backends[].name] == ["a", "b", "found"] and all(.backends[]; .status == "ok" and .adapter == "memory")'

sed 's/  b: {adapter: memory}/  b: {adapter: memory, fail_op: check, fail_code: auth}/' plan.yaml >failing.yaml
expect_exit 3 "$NSMIGRATE" check failing.yaml
expect_match "$out" '^a +memory +ok'
expect_match "$out" '^b +memory +failed'
expect_match "$out" '^b: error: '
expect_exit 3 "$NSMIGRATE" check failing.yaml --json
expect_json '.status == "failed" and [.backends[].status] == ["ok", "failed", "ok"] and (.backends[1].error | length > 0)'

# a for_each that can't be listed is none of check's business
sed 's/  found: {adapter: memory}/  found: {adapter: memory, fail_op: list, fail_times: 0}/' plan.yaml >unlisted.yaml
expect_exit 0 "$NSMIGRATE" check unlisted.yaml

# at once: two that hang don't keep a third from being asked
sed 's/{adapter: memory}$/{adapter: memory, stall_op: check}/' plan.yaml >stalled.yaml
start "$NSMIGRATE" check stalled.yaml --workers 3
wait_until takes_signals "$pid"
kill -TERM "$pid"
expect_ended 143 "$pid"
expect_contains "$err" "stopped by SIGTERM"
[ ! -e .nsmigrate ] || fail "check made a ledger"
