# Help goes to standard output and succeeds; each command's help is made of what it takes.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"

commands="validate check preview run verify repair status adapters schema"

expect_exit 0 "$NSMIGRATE" --help
expect_empty "$err"
for command in $commands; do
    expect_match "$out" "^  $command "
done
for flag in only workers on-error fresh dry-run load json quiet verbose no-color help version; do
    expect_match "$out" "^  --$flag "
done
for exit_code in 0 1 2 3 4 5 128+n; do
    expect_contains "$out" "  $exit_code "
done
cp "$out" "$tmp/help"
expect_exit 0 "$NSMIGRATE" -h
cmp "$tmp/help" "$out" || fail "-h and --help differ"

for command in $commands; do
    expect_exit 0 "$NSMIGRATE" "$command" --help
    expect_empty "$err"
    expect_contains "$out" "usage: nsmigrate $command"
    expect_contains "$out" "flags:"
    expect_contains "$out" "exit codes:"
    expect_contains "$out" "example:"
    expect_contains "$out" "  nsmigrate $command"
    for flag in load json quiet verbose no-color help version; do
        expect_match "$out" "^  --$flag "
    done
    cp "$out" "$tmp/help"
    # what the help names is taken, what it does not name is refused
    for flag in only=a workers=2 on-error=cancel fresh dry-run; do
        run "$NSMIGRATE" "$command" "$tmp/none.yaml" "--$flag"
        if grep -q "^  --${flag%%=*} " "$tmp/help"; then
            expect_lacks "$err" "does not take"
        else
            expect_same 2 "$code" "exit code of $command --$flag"
            expect_contains "$err" "$command does not take --${flag%%=*}"
        fi
    done
    # after the operand too, and before the command
    expect_exit 0 "$NSMIGRATE" --help "$command"
    cmp "$tmp/help" "$out" || fail "--help before and after $command differ"
done

expect_exit 0 "$NSMIGRATE" --version
expect_match "$out" '^nsmigrate [0-9]+\.[0-9]+\.[0-9]+$'
expect_exit 0 "$NSMIGRATE" run --version
