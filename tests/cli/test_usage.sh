# A wrong command line: exit code 2, one line on standard error that says what would be right, nothing on standard output.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"

refused() {
    expected=$1
    shift
    expect_exit 2 "$NSMIGRATE" "$@"
    expect_empty "$out"
    expect_same "nsmigrate: $expected" "$(cat "$err")" "message of: $*"
}

cat >"$tmp/plan.yaml" <<'PLAN'
version: 1
name: usage
backends:
  a: {adapter: memory}
  b: {adapter: memory}
namespaces:
  - name: one
    source: {backend: a}
    destination: {backend: b}
PLAN

expect_exit 2 "$NSMIGRATE"
expect_empty "$out"
expect_contains "$err" "usage: nsmigrate COMMAND"
expect_contains "$err" "validate"

refused "unknown command rnu; did you mean run?" rnu "$tmp/plan.yaml"
refused "unknown command frobnicate; nsmigrate --help lists them" frobnicate
refused "unknown flag --jsno; did you mean --json?" validate "$tmp/plan.yaml" --jsno
refused "unknown flag --frobnicate; nsmigrate --help lists them" validate --frobnicate "$tmp/plan.yaml"
refused "run needs PLAN: nsmigrate run PLAN" run
refused "\"b.yaml\" is too much: nsmigrate run PLAN" run "$tmp/plan.yaml" b.yaml
refused "\"x\" is too much: nsmigrate schema" schema x
refused "--workers takes a number from 1 to 1024, found \"0\"" run "$tmp/plan.yaml" --workers 0
refused "--workers takes a number from 1 to 1024, found \"many\"" run "$tmp/plan.yaml" --workers=many
refused "--workers needs a value: --workers N" run "$tmp/plan.yaml" --workers
refused "--on-error takes cancel or continue, found \"stop\"" run "$tmp/plan.yaml" --on-error stop
refused "--quiet and --verbose exclude each other" run "$tmp/plan.yaml" --quiet --verbose
refused "status does not take --fresh; nsmigrate status --help lists what it takes" status "$tmp/plan.yaml" --fresh

# a name that is not in the plan
expect_exit 2 "$NSMIGRATE" run "$tmp/plan.yaml" --only oen
expect_contains "$err" "oen"
expect_contains "$err" "one"
[ ! -e "$tmp/.nsmigrate" ] || fail "a ledger was made"

# an adapter that can't be loaded
expect_exit 2 "$NSMIGRATE" validate "$tmp/plan.yaml" --load "$tmp/none.so"
expect_contains "$err" "none.so"

# what comes from the command line can't reach the terminal
expect_exit 2 "$NSMIGRATE" "$(printf 'r\033[31mun')"
expect_contains "$err" 'r\x1b[31mun'
