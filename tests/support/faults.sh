# What the tests of faults share: `. "$NSM_SOURCE_DIR/tests/support/faults.sh"` after servers.sh.
#
# shellcheck disable=SC2154 # what lib.sh sets
#
# Chance comes from a seed, which is printed when a test fails; NSM_SEED sets another, NSM_VERBOSE=1 tells what was done.

seed=${NSM_SEED:-20260117}
state=$seed
tell_seed() {
    [ "$status" = 0 ] || echo "NSM_SEED=$seed" >&2
}
at_end="$at_end tell_seed"

# random BOUND: $random, from 0 to BOUND - 1
random() {
    state=$(((state * 1103515245 + 12345) % 2147483648))
    random=$(((state / 256) % $1))
}

tell() {
    [ -z "${NSM_VERBOSE:-}" ] || echo "$*" >&2
}

# plan NAME SOURCE DESTINATION NAMESPACE...
plan() {
    plan_name=$1
    {
        printf 'version: 1\nname: %s\nworkers: 4\nbatch: {records: 100}\n' "$1"
        printf 'retry: {attempts: 5, backoff: 20ms, max_backoff: 500ms}\nbackends:\n'
        printf '  a: {%s}\n  b: {%s}\nnamespaces:\n' "$2" "$3"
        shift 3
        for namespace in "$@"; do
            printf '  - {%s}\n' "$namespace"
        done
    } >"$plan_name.yaml"
}

# same WANTED FOUND: two files, of which the first is not empty
same() {
    [ -s "$1" ] || { echo "nothing to compare" >&2; return 1; }
    cmp -s "$1" "$2" || { diff "$1" "$2" | head -n 6 >&2; return 1; }
}

# ---- the proxy ----

# proxy_start LISTEN-PORT SERVER-PORT [OPTION...]: see tests/faults/fault_proxy.c
proxy_start() {
    proxy_listen=$1 proxy_to=$2
    shift 2
    "$NSM_FAULT_PROXY" --listen "$proxy_listen" --to "127.0.0.1:$proxy_to" "$@" >"$tmp/.proxy" 2>&1 &
    proxy_pid=$!
    started="$started $proxy_pid"
    wait_until grep -q '^port ' "$tmp/.proxy"
}

# $passed_up and $passed_down: how many bytes went through
proxy_stop() {
    kill -TERM "$proxy_pid"
    wait "$proxy_pid" || fail "the proxy ended with $?: $(cat "$tmp/.proxy")"
    # shellcheck disable=SC2046 # two numbers
    set -- $(sed -n 's/^passed //p' "$tmp/.proxy")
    passed_up=$1 passed_down=$2
}

proxy_has_fired() {
    grep -q '^fault ' "$tmp/.proxy"
}

# ---- a plan whose wire is harmed ----
#
# wire NAME SERVER-PORT CLEAR COMPARE KIND...: the plan NAME speaks to $wire_port; the faults strike between it and SERVER-PORT, at
# NSM_POINTS byte counts for each kind, either way. CLEAR empties the destination, COMPARE tells whether it is the source.
wire_port=$(free_port)

wire() {
    wire_name=$1 wire_server=$2 wire_clear=$3 wire_compare=$4
    shift 4
    wire_begin
    proxy_start "$wire_port" "$wire_server"
    expect_exit 0 "$NSMIGRATE" run "$wire_name.yaml" --json
    proxy_stop
    $wire_compare || fail "$wire_name: not the same after a run that nothing disturbed"
    wire_up=$passed_up wire_down=$passed_down
    tell "$wire_name: $wire_up bytes up, $wire_down down"
    for kind in "$@"; do
        for _ in $(seq "${NSM_POINTS:-1}"); do
            random 2
            if [ "$random" = 0 ]; then
                random "$wire_up"
                wire_case "$kind" up "$random"
            else
                random "$wire_down"
                wire_case "$kind" down "$random"
            fi
        done
    done
}

wire_begin() {
    $wire_clear
    rm -rf ".nsmigrate/$wire_name"
}

# wire_case KIND WAY AT
wire_case() {
    what="$wire_name: $1 $2 at $3"
    wire_begin
    random 1000000
    proxy_start "$wire_port" "$wire_server" --fault "$1" --way "$2" --at "$3" --seed "$random" --delay 700 --rate 400000
    began=$(date +%s%3N)
    run timeout 60 "$NSMIGRATE" run "$wire_name.yaml" --json
    tell "$what: exit $code after $(($(date +%s%3N) - began)) ms$(! grep -q '"event":"retry"' "$out" || echo ", retried"); $(grep '^nsmigrate: ' "$err" || :)"
    [ "$code" -ne 124 ] || fail "$what: it hangs"
    if proxy_has_fired && [ "$1" = corrupt ]; then
        wire_is_noticed
    elif [ "$code" -eq 1 ] && [ "$1" != delay ] && [ "$1" != trickle ]; then
        expect_match "$err" '^nsmigrate: .+'
        expect_json '.status == "failed" and (.error | length > 0)'
        run timeout 60 "$NSMIGRATE" run "$wire_name.yaml" --json
    fi
    [ "$code" -eq 0 ] || fail "$what: exit code $code"
    $wire_compare || fail "$what: not the same"
    proxy_stop
}

# A byte that was altered is refused, or found by verify at the latest; whatever it spoilt is then made anew.
wire_is_noticed() {
    if [ "$code" -eq 0 ] && $wire_compare 2>/dev/null; then
        return
    fi
    if [ "$code" -eq 0 ]; then
        run "$NSMIGRATE" verify "$wire_name.yaml"
        [ "$code" -eq 4 ] || fail "$what: not the same, and verify ends with $code"
    else
        [ "$code" -eq 1 ] || fail "$what: exit code $code"
        expect_match "$err" '^nsmigrate: .+'
    fi
    wire_begin
    run timeout 60 "$NSMIGRATE" run "$wire_name.yaml" --json
}

# ---- a server that is harmed in the middle of a run ----

# midway NAME HARM...: runs the plan NAME and calls HARM when is_midway says that some of it has arrived; $code
midway() {
    start timeout 60 "$NSMIGRATE" run "$1.yaml" --json
    shift
    wait_until is_midway
    "$@"
    code=0
    wait "$pid" || code=$?
    cp "$tmp/.out.bg" "$out"
    cp "$tmp/.err.bg" "$err"
    expect_sane "$err" "$*"
    [ "$code" -ne 124 ] || fail "$*: it hangs"
    tell "$*: exit $code$(! grep -q '"event":"retry"' "$out" || echo ", retried"); $(grep '^nsmigrate: ' "$err" || :)"
}

# survives NAME HARM...: it ends well, or says why it failed and the same command completes it
survives() {
    clear
    rm -rf ".nsmigrate/$1"
    midway "$@"
    if [ "$code" -eq 1 ]; then
        expect_match "$err" '^nsmigrate: .+'
        expect_json '.status == "failed" and (.error | length > 0)'
        run timeout 60 "$NSMIGRATE" run "$1.yaml" --json
    fi
    [ "$code" -eq 0 ] || fail "$*: exit code $code"
    compare || fail "$*: not the same"
}
