# Standard output that is closed or full: the work goes on, and the exit code tells that results were lost.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
cd "$tmp"

cat >plan.yaml <<'PLAN'
version: 1
name: piped
backends:
  a: {adapter: memory, records: 1000, delay: 10ms}
  d: {adapter: file, path: ./dump}
namespaces:
  - name: one
    source: {backend: a}
    destination: {backend: d}
  - name: two
    source: {backend: a}
    destination: {backend: d}
PLAN

# a reader that is gone before anything is written: quietly 1, and the migration is complete
mkfifo gone
sh -c 'exec 3<gone; exec 3<&-' &
reader=$!
(
    exec >gone
    wait "$reader" 2>/dev/null || :
    sleep 0.3
    rm -rf .nsmigrate dump
    ended=0
    "$NSMIGRATE" run plan.yaml --json --quiet 2>"$err" || ended=$?
    echo "$ended" >ended
)
expect_same 1 "$(cat ended)" "exit code with a closed pipe"
expect_empty "$err"
expect_exit 0 "$NSMIGRATE" status plan.yaml --json
expect_json '.status == "ok" and all(.namespaces[]; .status == "ok")'

# a full disk: said once
code=0
"$NSMIGRATE" schema >/dev/full 2>"$err" || code=$?
expect_same 1 "$code" "exit code with a full disk"
expect_same "nsmigrate: write to standard output: No space left on device" "$(cat "$err")" "message"

# closed altogether
code=0
"$NSMIGRATE" --version >&- 2>"$err" || code=$?
expect_same 1 "$code" "exit code with a closed standard output"
code=0
"$NSMIGRATE" run plan.yaml >"$out" 2>&- || code=$?
expect_same 0 "$code" "exit code with a closed standard error"
