# plans/: every plan is valid, the JSON Schema is the program's, and the reference names every key and option with its default.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
plans=$NSM_SOURCE_DIR/plans

n_plans=0
for plan in "$plans"/*.yaml; do
    expect_exit 0 "$NSMIGRATE" validate "$plan"
    n_plans=$((n_plans + 1))
done
[ "$n_plans" -ge 18 ] || fail "only $n_plans plans"
for from in sqlite postgres files redis; do
    for to in sqlite postgres files redis; do
        [ -f "$plans/$from-$to.yaml" ] || fail "no plan from $from to $to"
        expect_contains "$plans/README.md" "[$from-$to]($from-$to.yaml)"
    done
done

expect_exit 0 "$NSMIGRATE" schema
cmp "$out" "$plans/nsmigrate.schema.json" || fail "plans/nsmigrate.schema.json is not what nsmigrate schema prints"

# The reference: each adapter's options with their defaults, and each key of the schema.
expect_exit 0 "$NSMIGRATE" adapters --json
cp "$out" "$tmp/adapters"
jq -r 'select(.event == "adapter" and .name != "memory") | .name as $a | .backend, .source, .destination | .[] |
    "\($a) \(.key) \(.default // "")"' "$tmp/adapters" >"$tmp/options"
[ "$(wc -l <"$tmp/options")" -ge 20 ] || fail "too few options"
while read -r adapter key default; do
    awk -v title="### $adapter" '/^#/ { on = $0 == title } on' "$plans/README.md" >"$tmp/section"
    grep -F "| \`$key\`" "$tmp/section" >"$tmp/line" || grep -F ", \`$key\` |" "$tmp/section" >"$tmp/line" ||
        fail "plans/README.md does not name option $key of $adapter"
    expect_contains "$tmp/line" "$default"
done <"$tmp/options"
jq -r '[.. | objects | select(has("properties")) | .properties | keys[]] | unique[]' "$plans/nsmigrate.schema.json" |
    grep -vE '^(delay|fail_.*|stall_.*|model|store|objects|value_bytes)$' >"$tmp/keys"
[ "$(wc -l <"$tmp/keys")" -ge 30 ] || fail "too few keys"
while read -r key; do
    expect_match "$plans/README.md" "[\`.]${key}[\`.]"
done <"$tmp/keys"
