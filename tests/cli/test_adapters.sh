# adapters and schema come from the adapters' own tables, those loaded with --load among them.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"

expect_exit 0 "$NSMIGRATE" adapters
expect_empty "$err"
for adapter in postgres redis sqlite file memory; do
    expect_match "$out" "^$adapter "
done

expect_exit 0 "$NSMIGRATE" adapters --json
expect_events 'map(select(.event == "adapter").name) | contains(["file", "memory", "postgres", "redis", "sqlite"])'
expect_json '.event == "summary" and .status == "ok" and (.adapters | index("redis") != null)'

for adapter in postgres redis sqlite file memory; do
    expect_exit 0 "$NSMIGRATE" adapters "$adapter" --json
    expect_json ".adapters == [\"$adapter\"]"
    expect_events "first | .name == \"$adapter\" and (.lanes | map(.lane) | index(\"record\") != null)"
    jq -r 'select(.event == "adapter") | (.backend + .source + .destination)[].key' "$out" >"$tmp/keys"
    expect_exit 0 "$NSMIGRATE" adapters "$adapter"
    while read -r key; do
        expect_match "$out" "^  $key( |\$)"
    done <"$tmp/keys"
done

expect_exit 2 "$NSMIGRATE" adapters postgers
expect_same "nsmigrate: unknown adapter postgers; did you mean postgres?" "$(cat "$err")" "message"
expect_exit 2 "$NSMIGRATE" adapters oracle9i
expect_contains "$err" "nsmigrate adapters lists them"

# the schema holds the same keys
expect_exit 0 "$NSMIGRATE" schema
jq -e '."$schema" | contains("2020-12")' "$out" >/dev/null || fail "no JSON Schema"
cp "$out" "$tmp/schema"
for adapter in postgres redis sqlite file memory; do
    "$NSMIGRATE" adapters "$adapter" --json | jq -r 'select(.event == "adapter") | .backend[].key' >"$tmp/keys"
    while read -r key; do
        expect_contains "$tmp/schema" "\"$key\""
    done <"$tmp/keys"
done

# a third party's
if [ -n "${NSM_TEMPLATE:-}" ]; then
    expect_exit 0 "$NSMIGRATE" adapters --load "$NSM_TEMPLATE" --json
    expect_json '.adapters | index("template") != null'
    expect_exit 0 "$NSMIGRATE" schema --load "$NSM_TEMPLATE"
    expect_contains "$out" '"template"'
    expect_exit 2 "$NSMIGRATE" adapters template
fi
