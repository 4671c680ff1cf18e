# README.md tells the same story as the program: every command, flag, exit code, adapter and member of the summary.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
readme=$NSM_SOURCE_DIR/README.md
[ -f "$readme" ] || fail "no README.md"

"$NSMIGRATE" --help >"$tmp/help"
section() {
    awk -v title="$1" 'index($0, title) == 1 { on = 1; next } /^$/ { on = 0 } on' "$tmp/help"
}

section "commands:" | awk '{ print $1 }' >"$tmp/commands"
[ "$(wc -l <"$tmp/commands")" -ge 8 ] || fail "help lists too few commands"
while read -r command; do
    expect_contains "$readme" "nsmigrate $command"
done <"$tmp/commands"

section "flags " | awk '{ print $1 }' >"$tmp/flags"
[ "$(wc -l <"$tmp/flags")" -ge 12 ] || fail "help lists too few flags"
while read -r flag; do
    expect_match "$readme" "(^|[^a-z-])$flag([^a-z-]|\$)"
done <"$tmp/flags"

# the table of exit codes: a line that begins "| 3 |"
section "exit codes:" | awk '{ print $1 }' >"$tmp/exits"
[ "$(wc -l <"$tmp/exits")" -ge 7 ] || fail "help lists too few exit codes"
while read -r exit_code; do
    expect_contains "$readme" "| $exit_code |"
done <"$tmp/exits"

"$NSMIGRATE" adapters --json | jq -r 'select(.event == "adapter").name' >"$tmp/adapters"
while read -r adapter; do
    expect_contains "$readme" "$adapter"
done <"$tmp/adapters"

for member in plan status seconds error namespaces name lane records bytes; do
    expect_contains "$readme" "\`$member\`"
done
for status in ok failed cancelled interrupted skipped; do
    expect_contains "$readme" "\`$status\`"
done
