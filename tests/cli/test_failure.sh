# The first failure cancels the siblings, is printed once with its chain, and is what the exit code is about; the next run
# completes the rest without doing again what is done.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
cd "$tmp"

# A worker for each, so that all are at work when one fails in its second batch.
cat >plan.yaml <<'PLAN'
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
  - name: other
    source: {backend: slow}
    destination: {backend: d}
PLAN

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
sed 's/name: failing/name: single/; s/, stall_op: read, stall_at: 3//; s/records: 100000/records: 10/; s/dump/dump-single/' \
    plan.yaml >single.yaml
expect_exit 1 timeout 60 "$NSMIGRATE" run single.yaml --workers 1
expect_match "$out" '^other +not started '
# --fresh: what the run that is given up has left in the files gives way, and what others put there does not
[ -f dump-single/done/manifest.json ] || fail "nothing was left"
for _ in 1 2; do
    expect_exit 1 timeout 60 "$NSMIGRATE" run single.yaml --workers 1 --fresh --json
    expect_json '[.namespaces[].status] == ["ok", "ok", "failed", "skipped"]'
done
touch dump-single/done/mine
expect_exit 1 timeout 60 "$NSMIGRATE" run single.yaml --workers 1 --fresh
expect_contains "$err" "dump-single/done holds"
rm dump-single/done/mine
sed 's/name: single/name: stranger/' single.yaml >stranger.yaml
expect_exit 1 timeout 60 "$NSMIGRATE" run stranger.yaml --workers 1 --fresh
expect_contains "$err" "dump-single/done holds an export"
expect_exit 1 timeout 60 "$NSMIGRATE" run single.yaml --workers 1 --fresh --json
expect_json '[.namespaces[].status] == ["ok", "ok", "failed", "skipped"]'

# continue: the siblings go on, and every failure is told
sed 's/name: single/name: going-on/; s/dump-single/dump-going-on/' single.yaml >going-on.yaml
cat >>going-on.yaml <<'PLAN'
  - name: worse
    source: {backend: bad}
    destination: {backend: d}
PLAN
expect_exit 1 timeout 60 "$NSMIGRATE" run going-on.yaml --on-error continue
expect_match "$out" '^other +ok '
expect_match "$out" '^total +3 of 5 ok '
expect_lines 1 "$err" "nsmigrate: namespace "
expect_lines 1 "$err" "nsmigrate: also failed: namespace "
expect_exit 1 timeout 60 "$NSMIGRATE" run going-on.yaml --json --on-error=continue
expect_json '[.namespaces[].status] == ["ok", "ok", "failed", "ok", "failed"]'

# a cause that can be mended: a damaged file; then the same command completes the rest
cat >make.yaml <<'PLAN'
version: 1
name: make
backends:
  m: {adapter: memory, records: 500}
  f: {adapter: file, path: ./files}
namespaces:
  - {name: good, source: {backend: m}, destination: {backend: f}}
  - {name: damaged, source: {backend: m}, destination: {backend: f}}
PLAN
expect_exit 0 "$NSMIGRATE" run make.yaml
cat >mend.yaml <<'PLAN'
version: 1
name: mend
workers: 1
backends:
  f: {adapter: file, path: ./files}
  d: {adapter: file, path: ./copy}
namespaces:
  - {name: good, source: {backend: f}, destination: {backend: d}}
  - {name: damaged, source: {backend: f}, destination: {backend: d}}
PLAN
damaged=$(find files/damaged -name '*.jsonl')
cp -p "$damaged" kept
sed '250s/.*/{"broken/' kept >"$damaged"
expect_exit 1 "$NSMIGRATE" run mend.yaml
expect_match "$out" '^good +ok '
expect_match "$out" '^damaged +failed '
expect_match "$err" '^nsmigrate: namespace damaged: '
expect_contains "$err" "$(basename "$damaged")"
cp -p kept "$damaged"
expect_exit 0 "$NSMIGRATE" run mend.yaml
expect_match "$out" '^good +ok, done before '
expect_match "$out" '^damaged +ok +record +500 '
expect_lacks "$err" "good: started"
expect_exit 0 "$NSMIGRATE" verify mend.yaml
