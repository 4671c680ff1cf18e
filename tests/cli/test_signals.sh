# A first signal stops at the next checkpoint, a second at once; the exit code is 128 + n, and the same command takes it up.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
cd "$tmp"

# plan NAME OPTIONS-OF-THE-SOURCE
plan() {
    cat >"$1.yaml" <<PLAN
version: 1
name: $1
workers: 2
batch: {records: 100}
backends:
  a: {adapter: memory, records: 20000, $2}
  d: {adapter: file, path: ./$1}
namespaces:
  - name: one
    source: {backend: a}
    destination: {backend: d}
  - name: two
    source: {backend: a}
    destination: {backend: d}
PLAN
}
is_copying() {
    grep -q '"step":"copy"' .out.bg
}

# once, while batches go by
plan steady "delay: 20ms"
for signal in TERM:143 INT:130 HUP:129; do
    start "$NSMIGRATE" run steady.yaml --json
    wait_until is_copying
    sleep 0.3
    kill "-${signal%:*}" "$pid"
    expect_ended "${signal#*:}" "$pid"
    expect_contains "$err" "SIG${signal%:*}: stopping at the next checkpoint; once more stops at once"
    expect_contains "$err" "nsmigrate: stopped by SIG${signal%:*}; the same command takes it up"
    expect_json '.event == "summary" and .status == "interrupted"'
    expect_json 'all(.namespaces[]; .status == "cancelled" and .records < 20000)'
    expect_exit 0 "$NSMIGRATE" status steady.yaml --json
    expect_json '.status == "interrupted" and all(.namespaces[]; .records > 0)'
done

# taken up, and complete
expect_exit 0 "$NSMIGRATE" run steady.yaml --json
expect_json '.status == "ok" and all(.namespaces[]; .status == "ok" and .records == 20000)'
expect_exit 0 "$NSMIGRATE" verify steady.yaml
expect_same 40000 "$(cat steady/*/*.jsonl | wc -l)" "lines in the files"

# twice, while a read hangs
plan hanging "stall_op: read, stall_at: 5"
start "$NSMIGRATE" run hanging.yaml --json
wait_until is_copying
wait_until takes_signals "$pid"
sleep 0.3
kill -TERM "$pid"
wait_until grep -q "SIGTERM: stopping at the next checkpoint" .err.bg
kill -TERM "$pid"
expect_ended 143 "$pid"
expect_contains "$err" "SIGTERM: stopping at once"
expect_json '.status == "interrupted"'
expect_exit 0 "$NSMIGRATE" status hanging.yaml --json
expect_json '.status == "interrupted"'

# once, while a read hangs: it has a moment to come to rest
rm -r .nsmigrate/hanging hanging
start "$NSMIGRATE" run hanging.yaml --json
wait_until is_copying
wait_until takes_signals "$pid"
kill -TERM "$pid"
expect_ended 143 "$pid"
expect_contains "$err" "SIGTERM: no checkpoint is near: stopping at once"
expect_json '.status == "interrupted" and all(.namespaces[]; .status == "cancelled")'

# what takes nothing up stops at once
plan looking "stall_op: survey"
for command in preview verify; do
    start "$NSMIGRATE" "$command" looking.yaml
    wait_until takes_signals "$pid"
    sleep 0.5
    kill -INT "$pid"
    expect_ended 130 "$pid"
    expect_contains "$err" "stopped by SIGINT"
done

# before anything is open there is nothing to wait for
mkfifo plan.pipe
start "$NSMIGRATE" validate plan.pipe
wait_until takes_signals "$pid"
sleep 0.3
kill -TERM "$pid"
expect_ended 143 "$pid"

# nohup: a hangup that was ignored stays so
plan nohup "delay: 1ms"
trap '' HUP
start "$NSMIGRATE" run nohup.yaml --json
trap - HUP
wait_until is_copying
kill -HUP "$pid"
expect_ended 0 "$pid"
expect_json '.status == "ok"'
