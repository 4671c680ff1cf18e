# What every script test begins with: `. "$NSM_SOURCE_DIR/tests/support/lib.sh"`.
#
# A folder of its own in $tmp, which goes at the end with every process that was started by `start`. The last command's
# output is in $out and $err (files) and its exit code in $code. Any failed command or check ends the test.
set -eu

: "${NSMIGRATE:?the program to be tested; ctest sets it}"
: "${NSM_SOURCE_DIR:?the folder of the sources; ctest sets it}"

# What the tester's own surroundings must not change.
unset NO_COLOR PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGSERVICE REDISCLI_AUTH 2>/dev/null || :
export LC_ALL=C TERM=xterm

tmp=$(mktemp -d "${TMPDIR:-/tmp}/nsmigrate-test-XXXXXX")
out=$tmp/.out err=$tmp/.err code=0
started=
at_end= # functions to call before the processes are stopped

finish() {
    status=$?
    trap - EXIT
    for hook in $at_end; do
        $hook
    done
    for pid in $started; do
        kill -KILL "$pid" 2>/dev/null || :
    done
    rm -rf "$tmp"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    echo "FAILED: $*" >&2
    if [ -f "$out" ]; then echo "--- standard output:" >&2; head -c 4000 "$out" >&2; fi
    if [ -f "$err" ]; then echo "--- standard error:" >&2; head -c 4000 "$err" >&2; fi
    exit 1
}

# run COMMAND...: keeps its output and exit code, whatever that is.
run() {
    code=0
    "$@" >"$out" 2>"$err" </dev/null || code=$?
    expect_sane "$err" "$*"
}

# expect_sane FILE COMMAND: no sanitizer has anything to say, whatever the exit code.
expect_sane() {
    if grep -q 'Sanitizer\|runtime error:' "$1"; then
        fail "a sanitizer speaks: $2"
    fi
}

# expect_exit CODE COMMAND...
expect_exit() {
    wanted=$1
    shift
    run "$@"
    [ "$code" -eq "$wanted" ] || fail "exit code $code instead of $wanted: $*"
}

# expect_contains FILE TEXT; TEXT is no pattern.
expect_contains() {
    grep -qF -e "$2" "$1" || fail "no \"$2\" in $(basename "$1")"
}

expect_lacks() {
    if grep -qF -e "$2" "$1"; then
        fail "\"$2\" in $(basename "$1")"
    fi
}

# expect_match FILE PATTERN: an extended regular expression, for one line.
expect_match() {
    grep -qE -e "$2" "$1" || fail "nothing matches \"$2\" in $(basename "$1")"
}

expect_empty() {
    if [ -s "$1" ]; then
        fail "$(basename "$1") is not empty"
    fi
}

# expect_same WANTED FOUND WHAT
expect_same() {
    [ "$1" = "$2" ] || fail "$3: \"$2\" instead of \"$1\""
}

# expect_lines COUNT FILE TEXT: that many lines hold it.
expect_lines() {
    found=$(grep -cF -e "$3" "$2" || :)
    expect_same "$1" "$found" "lines with \"$3\""
}

# expect_json FILTER [FILE]: FILE (or the last output) is JSON lines, and jq's filter holds for its last line.
expect_json() {
    jq -es "last | ($1)" "${2:-$out}" >/dev/null 2>&1 || fail "not so in the last line: $1"
}

# expect_events FILTER [FILE]: the same for the array of all lines.
expect_events() {
    jq -es "$1" "${2:-$out}" >/dev/null 2>&1 || fail "not so in the lines: $1"
}

# start COMMAND...: in the background, output in $tmp/.out.bg and $tmp/.err.bg; its id is in $pid.
start() {
    "$@" >"$tmp/.out.bg" 2>"$tmp/.err.bg" </dev/null &
    pid=$!
    started="$started $pid"
}

# expect_ended CODE PID
expect_ended() {
    ended=0
    wait "$2" || ended=$?
    cp "$tmp/.out.bg" "$out"
    cp "$tmp/.err.bg" "$err"
    expect_sane "$err" "what was started"
    [ "$ended" -eq "$1" ] || fail "exit code $ended instead of $1"
}

# wait_until COMMAND...: until it succeeds; half a minute is for machines that are busy with other tests.
wait_until() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || fail "waited in vain for: $*"
        sleep 0.1
    done
}

# takes_signals PID: the program has begun and looks at SIGTERM itself. Until then that would end it with nothing said, and a shell
# that is about to become the program blocks signals too.
takes_signals() {
    [ "$(cat "/proc/$1/comm")" = "$(basename "$NSMIGRATE")" ] && grep -qE '^SigBlk:.*[4-7c-f][0-9a-f]{3}$' "/proc/$1/status"
}
