# On a terminal: a display that is painted over, within its height and width, and gone at the end. Elsewhere plain lines.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
cd "$tmp"
command -v script >/dev/null || fail "needs script(1), of the package bsdutils"
escape=$(printf '\033')

cat >plan.yaml <<'PLAN'
version: 1
name: shown
workers: 6
batch: {records: 100}
backends:
  a: {adapter: memory, records: 1000, delay: 100ms}
  b: {adapter: memory}
namespaces:
PLAN
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    printf '  - name: number-%s\n    source: {backend: a}\n    destination: {backend: b}\n' "$i" >>plan.yaml
done

# on_terminal ROWS COLUMNS COMMAND: standard output and error are a terminal of that size; what it got is in `shown`.
on_terminal() {
    code=0
    script -qec "stty rows $1 cols $2; $3" typescript >shown 2>/dev/null </dev/null || code=$?
    tr -d '\r' <shown >shown.text
    expect_sane shown.text "$3"
}

# The widest and the tallest painting: each is a run of lines between two cursor movements.
measure() {
    awk -v escape="$escape" '
        BEGIN { RS = escape "\\[[0-9]+A"; FS = "\n" }
        NR > 1 {
            if (NF - 1 > tallest) tallest = NF - 1
            for (i = 1; i < NF; i++) {
                line = $i
                gsub(escape "\\[[0-9;]*[A-Za-z]", "", line)
                if (length(line) > widest) widest = length(line)
            }
        }
        END { print tallest + 0, widest + 0 }' shown.text
}

rm -rf .nsmigrate
on_terminal 40 100 "'$NSMIGRATE' run plan.yaml >table"
expect_same 0 "$code" "exit code on a terminal"
expect_match shown.text 'number-1 .*copy'
expect_match shown.text 'number-12 .*waiting'
expect_match shown.text 'number-1 .* of 1,000'
expect_match shown.text '^.*total.* of 12'
expect_contains shown.text "${escape}[K"
expect_lacks shown.text "number-1: started"
expect_lacks table "$escape"
expect_lacks shown.text "${escape}[?25l"
# the last thing that happens to the terminal is that the display goes
tail -c 20 shown.text | grep -qF "${escape}[J" || fail "the display is left behind"

# a small one: the running ones, and the rest counted; never taller or wider than the terminal
rm -rf .nsmigrate
on_terminal 8 50 "'$NSMIGRATE' run plan.yaml >table"
expect_same 0 "$code" "exit code on a small terminal"
expect_match shown.text '\.\.\. and .*waiting'
measure >size
read -r lines columns <size
if [ "$lines" -eq 0 ] || [ "$lines" -ge 8 ]; then fail "the display has $lines lines on a terminal of 8"; fi
if [ "$columns" -eq 0 ] || [ "$columns" -ge 50 ]; then fail "the display has $columns columns on a terminal of 50"; fi

# colours, and none
rm -rf .nsmigrate
on_terminal 40 100 "'$NSMIGRATE' run plan.yaml"
expect_contains shown.text "${escape}[32m"
for without in "NO_COLOR=1 '$NSMIGRATE'" "'$NSMIGRATE' --no-color"; do
    rm -rf .nsmigrate
    on_terminal 40 100 "$without run plan.yaml"
    expect_lacks shown.text "${escape}[32m"
    expect_lacks shown.text "${escape}[1m"
    expect_contains shown.text "${escape}[K"
done

# no display: a dumb terminal, --quiet, --json on the same terminal
rm -rf .nsmigrate
on_terminal 40 100 "TERM=dumb '$NSMIGRATE' run plan.yaml"
expect_contains shown.text "number-1: started"
expect_lacks shown.text "$escape"
rm -rf .nsmigrate
on_terminal 40 100 "'$NSMIGRATE' run plan.yaml --json"
expect_lacks shown.text "${escape}[K"
rm -rf .nsmigrate
on_terminal 40 100 "'$NSMIGRATE' run plan.yaml --quiet"
expect_empty shown.text

# a signal: what it says stands above the display, which goes
rm -rf .nsmigrate
on_terminal 40 100 "'$NSMIGRATE' run plan.yaml --workers 1 & sleep 1; kill -TERM \$!; wait \$!"
expect_same 143 "$code" "exit code after a signal on a terminal"
expect_match shown.text 'SIGTERM: stopping at the next checkpoint'
expect_contains shown.text "nsmigrate: stopped by SIGTERM"
