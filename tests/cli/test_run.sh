# run: a table of namespaces in plan order, a JSON summary of just the agreed members, and what is done is not done again.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
cd "$tmp"

cat >plan.yaml <<'PLAN'
version: 1
name: three
workers: 3
backends:
  a: {adapter: memory, records: 1500, objects: 2}
  b: {adapter: memory}
namespaces:
  - name: zebra
    source: {backend: a}
    destination: {backend: b}
  - name: apple
    source: {backend: a}
    destination: {backend: b}
  - name: mango
    source: {backend: a}
    destination: {backend: b}
PLAN

expect_exit 0 "$NSMIGRATE" run plan.yaml
expect_match "$out" '^namespace +state +lane +records +bytes +rate +time$'
expect_match "$out" '^zebra +ok +record +3,000 '
expect_match "$out" '^total +3 of 3 ok +9,000 '
expect_same "zebra apple mango" "$(sed -n '2,4s/ .*//p' "$out" | tr '\n' ' ' | sed 's/ $//')" "order"
# no terminal: plain lines, each begin and end once
for name in zebra apple mango; do
    expect_lines 1 "$err" "$name: started"
    expect_lines 1 "$err" "$name: ok, 3,000 records in"
done
expect_lacks "$err" "$(printf '\033')"
expect_lacks "$out" "$(printf '\033')"

# once more: nothing to do, and it says so
expect_exit 0 "$NSMIGRATE" run plan.yaml
expect_match "$out" '^apple +ok, done before '
expect_match "$out" '^total +3 of 3 ok +9,000 '
expect_lacks "$err" "apple: started"

# anew; JSON
expect_exit 0 "$NSMIGRATE" run plan.yaml --fresh --json
expect_json 'keys == ["error", "event", "namespaces", "plan", "seconds", "status"]'
expect_json '.event == "summary" and .plan == "three" and .status == "ok" and .error == null and .seconds >= 0'
expect_json '[.namespaces[].name] == ["zebra", "apple", "mango"]'
expect_json 'all(.namespaces[]; keys == ["bytes", "error", "lane", "name", "records", "seconds", "status"])'
expect_json 'all(.namespaces[]; .status == "ok" and .lane == "record" and .records == 3000 and .bytes > 0 and .error == null)'
expect_events 'first.event == "run_started"'
expect_events 'map(select(.event == "namespace_started").namespace) | sort == ["apple", "mango", "zebra"]'
expect_events 'map(select(.event == "namespace_ended")) | length == 3 and all(.[]; .status == "ok" and .records == 3000)'
expect_events 'map(select(.event == "step" and .namespace == "apple").step) | index("copy") < index("finish")'
expect_events 'all(.[:-1][]; .time | test("^20[0-9-]+T[0-9:]+\\.[0-9]{3}Z$"))'

# quiet: nothing at all when all is well
expect_exit 0 "$NSMIGRATE" run plan.yaml --fresh --quiet
expect_empty "$out"
expect_empty "$err"
expect_exit 0 "$NSMIGRATE" run plan.yaml --fresh --quiet --json
expect_json '.status == "ok"'
expect_empty "$err"

# verbose: every step and part
expect_exit 0 "$NSMIGRATE" run plan.yaml --fresh --verbose
expect_contains "$err" "apple: copy"
expect_contains "$err" "apple: verify"

# only some, in plan order whatever the order of the names
expect_exit 0 "$NSMIGRATE" run --only mango,zebra plan.yaml --fresh --json --workers 1
expect_json '[.namespaces[].name] == ["zebra", "mango"]'

# dry run: the same as preview, and nothing is noted anywhere
rm -rf .nsmigrate
expect_exit 0 "$NSMIGRATE" run plan.yaml --dry-run
sed 's/about [0-9.]* s//; s/[0-9.]* s with//' "$out" >dry
expect_exit 0 "$NSMIGRATE" preview plan.yaml
sed 's/about [0-9.]* s//; s/[0-9.]* s with//' "$out" >preview
cmp dry preview || fail "run --dry-run and preview differ"
[ ! -e .nsmigrate ] || fail "a ledger was made"
