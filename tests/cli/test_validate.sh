# validate: the plan alone. What is wrong with it is said with its place, exit code 2, by every command that takes one.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
cd "$tmp"

cat >plan.yaml <<'PLAN'
version: 1
name: valid
backends:
  a: {adapter: memory}
  b: {adapter: memory}
namespaces:
  - name: one
    source: {backend: a}
    destination: {backend: b}
  - name: two
    source: {backend: a}
    destination: {backend: b}
  - name: "x-{name}"
    for_each: {backend: a, name: "tenant_*"}
    source: {backend: a, name: "{name}"}
    destination: {backend: b}
PLAN
sed 's/adapter: memory}$/adaptor: memory}/' plan.yaml >misspelt.yaml

expect_exit 0 "$NSMIGRATE" validate plan.yaml
expect_empty "$err"
expect_same "plan valid is valid: 2 backends, 2 namespaces and 1 for_each, whose namespaces are found when it runs" \
    "$(cat "$out")" "text"
expect_exit 0 "$NSMIGRATE" validate plan.yaml --quiet
expect_empty "$out"
expect_exit 0 "$NSMIGRATE" --json validate plan.yaml
expect_json '.event == "summary" and .plan == "valid" and .status == "ok" and .error == null'
expect_json '.backends == ["a", "b"] and .namespaces == ["one", "two"] and .for_each == 1'

# standard input
code=0
"$NSMIGRATE" validate - <plan.yaml >"$out" 2>"$err" || code=$?
expect_same 0 "$code" "exit code of a plan on standard input"

for command in validate check preview run verify repair status; do
    expect_exit 2 "$NSMIGRATE" "$command" misspelt.yaml
    expect_empty "$out"
    expect_match "$err" '^nsmigrate: misspelt.yaml:4:[0-9]+: '
    expect_contains "$err" "adapter"
    expect_lines 1 "$err" "nsmigrate: "

    expect_exit 2 "$NSMIGRATE" "$command" none.yaml
    expect_contains "$err" "none.yaml"

    expect_exit 2 "$NSMIGRATE" "$command" misspelt.yaml --json
    expect_json '.event == "summary" and .plan == null and .status == "failed"'
    expect_json '(.error | startswith("misspelt.yaml:4:")) and .namespaces == []'
done
[ ! -e .nsmigrate ] || fail "a ledger was made"

# nothing is connected to: these would fail
sed 's/a: {adapter: memory}/a: {adapter: memory, fail_op: check}/' plan.yaml >failing.yaml
expect_exit 0 "$NSMIGRATE" validate failing.yaml
