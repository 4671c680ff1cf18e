# Two plans that write the same keys of a Redis at the same time: the second is refused with who is at work, and writes nothing. The claim
# of a killed run gives way after ten seconds; one that only stood still for so long writes no more.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/support/faults.sh
. "$NSM_SOURCE_DIR/tests/support/faults.sh"
cd "$tmp"

redis_start b
b="adapter: redis, url: \"redis://127.0.0.1:$redis_port/2\""
# keys_to NAME PREFIX OPTIONS: a plan of keys that are made up
keys_to() {
    plan "$1" "adapter: memory, model: keys, $3" "$b" \
        "name: $1, source: {backend: a}, destination: {backend: b, prefix: \"$2\"}, if_exists: replace"
}
server() {
    redis-cli -p "$redis_port" -n 2 "$@"
}
claims() {
    server ZRANGE nsmigrate:tmp:claims 0 -1 WITHSCORES
}
has_begun() {
    claims >listed
    grep -q "^plan $1, " listed && [ "$(server --scan --pattern "$2*" | wc -l)" -gt 0 ]
}
keys_to first app: 'records: 500, stall_op: read, stall_at: 3'
keys_to within app:x: 'records: 10'
keys_to around ap 'records: 10'
keys_to beside apple: 'records: 10'

start "$NSMIGRATE" run first.yaml
first_pid=$pid
wait_until has_begun first app:
server --scan | sort >before
for name in within around; do
    expect_exit 1 timeout 60 "$NSMIGRATE" run "$name.yaml"
    expect_match "$err" "prefix [a-z:]+ is being written by another run \(plan first, pid $first_pid on [^)]+\): wait for it, or stop it"
done
server --scan | sort >after
same before after || fail "what was refused has written something"
expect_exit 0 timeout 60 "$NSMIGRATE" run beside.yaml --json
expect_json '.status == "ok"'
kill -TERM "$first_pid"
expect_ended 143 "$first_pid"
expect_same 0 "$(server EXISTS nsmigrate:tmp:claims)" "claims that are left by who was asked to stop"

# The server forgets it: nobody else was there, so it goes on.
keys_to slow slow: 'records: 4000, delay: 50ms'
start "$NSMIGRATE" run slow.yaml --json
slow_pid=$pid
wait_until has_begun slow slow:
server DEL nsmigrate:tmp:claims >/dev/null
wait_until has_begun slow slow:
expect_ended 0 "$slow_pid"
expect_json '.status == "ok" and .namespaces[0].records == 4000'

# Killed, and stopped.
keys_to killed k: 'records: 500, stall_op: read, stall_at: 3'
keys_to stopped s: 'records: 100000, delay: 50ms'
keys_to heir k: 'records: 700'
keys_to usurper s: 'records: 100000'
"$NSMIGRATE" run killed.yaml >/dev/null 2>&1 &
killed_pid=$!
start "$NSMIGRATE" run stopped.yaml
stopped_pid=$pid
started="$started $killed_pid"
wait_until has_begun killed k:
wait_until has_begun stopped s:
kill -9 "$killed_pid"
kill -STOP "$stopped_pid"
wait "$killed_pid" 2>/dev/null || :
"$NSMIGRATE" run heir.yaml >heir.out 2>&1 &
heir_pid=$!
started="$started $heir_pid"
expect_exit 0 timeout 60 "$NSMIGRATE" run usurper.yaml --json
wait "$heir_pid" || fail "the heir: $(cat heir.out)"
server --scan --pattern 's:*' | sort >before
kill -CONT "$stopped_pid"
expect_ended 1 "$stopped_pid"
expect_contains "$err" "another run has taken this one for dead"
server --scan --pattern 's:*' | sort >after
same before after || fail "the run that was taken for dead has written on"
