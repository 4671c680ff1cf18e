# The first failure cancels the siblings, is printed once with its chain, and is what the exit code is about; the next run
# completes the rest without doing again what is done.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
cd "$tmp"

# One worker for each, so that all are at work when the second one fails.
plan() {
    cat <<PLAN
version: 1
name: failing
workers: 4
retry: {attempts: 1}
backends:
  quick: {adapter: memory, records: 10}
  slow: {adapter: memory, records: 100000, delay: 20ms, stall_op: read, stall_at: 3}
  bad: {adapter: memory, records: 5000, delay: 200ms, fail_op: read, fail_at: 2, fail_times: 0, fail_code: corrupt}
  d: {adapter: file, path: ./dump}
namespaces:
  - name: done
    source: {backend: quick}
    destination: {backend: d}
  - name: slow
    source: {backend: slow}
    destination: {backend: d}
  - name: bad
    source: {backend: bad}
    destination: {backend: d}
  - name: never
    source: {backend: slow, name: other}
    destination: {backend: d}
PLAN
}
plan >plan.yaml

expect_exit 1 timeout 60 "$NSMIGRATE" run plan.yaml
expect_match "$out" '^done +ok '
expect_match "$out" '^slow +cancelled '
expect_match "$out" '^bad +failed '
expect_match "$out" '^total +1 of 4 ok '
expect_lines 1 "$err" "nsmigrate: "
expect_match "$err" '^nsmigrate: namespace bad: .*: '
expect_lacks "$err" "also failed"

expect_exit 1 timeout 60 "$NSMIGRATE" run plan.yaml --json
expect_json '.status == "failed" and (.error | startswith("namespace bad: "))'
expect_json '[.namespaces[].status] == ["ok", "cancelled", "failed", "cancelled"]'
expect_json '.namespaces[0].error == null and (.namespaces[2].error | length > 0)'
expect_lines 1 "$err" "nsmigrate: "
expect_exit 1 timeout 60 "$NSMIGRATE" run plan.yaml --quiet
expect_empty "$out"
expect_same 1 "$(wc -l <"$err")" "lines on standard error with --quiet"

# one at a time: what comes behind the failure is never started
rm -rf .nsmigrate dump
sed 's/, stall_op: read, stall_at: 3//; s/records: 100000/records: 10/' plan.yaml >one.yaml
expect_exit 1 timeout 60 "$NSMIGRATE" run one.yaml --workers 1
expect_match "$out" '^never +not started '
rm -rf .nsmigrate dump
expect_exit 1 timeout 60 "$NSMIGRATE" run one.yaml --workers 1 --json
expect_json '[.namespaces[].status] == ["ok", "ok", "failed", "skipped"]'

# continue: the siblings go on, and every failure is told
rm -rf .nsmigrate dump
cat >>one.yaml <<'PLAN'
  - name: worse
    source: {backend: bad, name: worse}
    destination: {backend: d}
PLAN
expect_exit 1 timeout 60 "$NSMIGRATE" run one.yaml --on-error continue
expect_match "$out" '^never +ok '
expect_match "$out" '^total +3 of 5 ok '
expect_lines 1 "$err" "nsmigrate: namespace "
expect_lines 1 "$err" "nsmigrate: also failed: namespace "
rm -rf .nsmigrate dump
expect_exit 1 timeout 60 "$NSMIGRATE" run one.yaml --json --on-error=continue
expect_json '[.namespaces[].status] == ["ok", "ok", "failed", "ok", "failed"]'

# mended: the rest is completed, what is done is not done again
sed 's/, fail_op: read, fail_at: 2, fail_times: 0, fail_code: corrupt//' one.yaml >mended.yaml
expect_exit 0 timeout 60 "$NSMIGRATE" run mended.yaml
expect_match "$out" '^done +ok, done before '
expect_match "$out" '^bad +ok '
expect_match "$out" '^total +5 of 5 ok '
expect_lacks "$err" "done: started"
