# Redis to Redis while a server is restarted, stopped and continued, ends our connections, runs out of memory, evicts, comes back
# empty or becomes a replica: the run completes, or fails with the server's own words and the same command completes it; nothing that
# is missing is ever called a success.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/support/faults.sh
. "$NSM_SOURCE_DIR/tests/support/faults.sh"
cd "$tmp"

redis_start source
source_port=$redis_port source_pid=$redis_pid
redis_start target --appendonly yes --appendfsync no
target_port=$redis_port target_pid=$redis_pid
redis-cli -p "$source_port" EVAL "
for i = 1, 4000 do redis.call('SET', 's:' .. i, string.rep('v' .. i, 40)) end
for i = 1, 500 do redis.call('HSET', 's:h:' .. i, 'a', i, 'b', '\\0\\255') end
for i = 1, 500 do redis.call('ZADD', 's:z:' .. i, i, 'm', i / 7, 'n') end
return 1" 0 >/dev/null
redis-cli -p "$source_port" SAVE >/dev/null

# redis_again NAME PORT [OPTION...]: the same server once more, with what it has saved
redis_again() {
    again_dir=$tmp/$1 again_port=$2
    shift 2
    redis-server --port "$again_port" --bind 127.0.0.1 --dir "$again_dir" --save '' "$@" >>"$again_dir/log" 2>&1 &
    redis_pid=$!
    started="$started $redis_pid"
    wait_until answers "$again_port"
}
answers() {
    [ "$(redis-cli -p "$1" ping 2>/dev/null)" = PONG ]
}
source_again() {
    redis_again source "$source_port"
    source_pid=$redis_pid
}
target_again() {
    redis_again target "$target_port" --appendonly yes --appendfsync no
    target_pid=$redis_pid
}

content() {
    redis-cli -p "$1" --no-raw EVAL "
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
    out[#out + 1] = key .. ' ' .. redis.call('PEXPIRETIME', key) .. ' ' .. redis.sha1hex(redis.call('DUMP', key))
end
table.sort(out)
return out" 0 | cut -d')' -f2-
}
content "$source_port" >wanted
compare() {
    content "$target_port" >found
    same wanted found
}
clear() {
    redis-cli -p "$target_port" FLUSHALL >/dev/null
}
is_midway() {
    [ "$(redis-cli -p "$target_port" DBSIZE)" -gt 300 ]
}
# Through a slow wire, so that there is time to do harm before all has arrived.
proxy_start "$wire_port" "$target_port" --fault trickle --at 40000 --times 1000000 --rate 2500000
plan app "adapter: redis, url: \"redis://127.0.0.1:$source_port/0\", timeout: 2s" \
    "adapter: redis, url: \"redis://127.0.0.1:$wire_port/0\", timeout: 2s" \
    'name: app, source: {backend: a, prefix: "s:"}, destination: {backend: b}'

restart_source() {
    kill -TERM "$source_pid"
    wait "$source_pid" || :
    source_again
}
kill_target() {
    kill -KILL "$target_pid"
    wait "$target_pid" || :
    target_again
}
freeze_target() {
    kill -STOP "$target_pid"
    sleep 3
    kill -CONT "$target_pid"
}
freeze_source() {
    kill -STOP "$source_pid"
    sleep 3
    kill -CONT "$source_pid"
}
end_connections() {
    for port in "$target_port" "$source_port" "$target_port"; do
        redis-cli -p "$port" CLIENT KILL TYPE normal SKIPME yes >/dev/null
        sleep 0.1
    done
}
for harm in restart_source kill_target freeze_target freeze_source end_connections; do
    survives app $harm
done

# ---- what was acknowledged is lost, and nobody asked to verify ----

plan unverified "adapter: redis, url: \"redis://127.0.0.1:$source_port/0\"" "adapter: redis, url: \"redis://127.0.0.1:$wire_port/0\"" \
    'name: app, source: {backend: a, prefix: "s:"}, destination: {backend: b}, verify: none'
begin() {
    clear
    rm -rf ".nsmigrate/$1"
}
# is_noticed NAME: no success, and the same command completes it
is_noticed() {
    [ "$code" -eq 1 ] || fail "exit code $code"
    # or it was away longer than the attempts took
    expect_match "$err" 'backend b may have lost what it had acknowledged during the run|after 5 attempts'
    expect_json '.status == "failed" and all(.namespaces[]; .status == "failed")'
    expect_exit 0 timeout 60 "$NSMIGRATE" run "$1.yaml" --json
    compare || fail "not the same"
}

# It comes back empty.
lose_target() {
    kill -KILL "$target_pid"
    wait "$target_pid" 2>/dev/null || :
    rm -rf target/appendonlydir
    target_again
}
begin unverified
midway unverified lose_target
is_noticed unverified

# The same while nobody looks: between a run that was killed and the next one.
begin unverified
start "$NSMIGRATE" run unverified.yaml --json
wait_until is_midway
kill -KILL "$pid"
wait "$pid" 2>/dev/null || :
lose_target
expect_exit 0 timeout 60 "$NSMIGRATE" run unverified.yaml --json
compare || fail "not the same"

# limit_memory: to what is used and half of what is to come
limit_memory() {
    used=$(redis-cli -p "$target_port" INFO memory | tr -d '\r' | sed -n 's/^used_memory://p')
    redis-cli -p "$target_port" CONFIG SET maxmemory $((used + 600000)) >/dev/null
}

# It evicts what was written.
begin unverified
redis-cli -p "$target_port" CONFIG SET maxmemory-policy allkeys-lru >/dev/null
limit_memory
run timeout 60 "$NSMIGRATE" run unverified.yaml --json
redis-cli -p "$target_port" CONFIG SET maxmemory 0 >/dev/null
expect_match "$err" '[1-9][0-9]* keys evicted'
is_noticed unverified

# ---- what only an operator can mend ----

# refused TEXT: the plan app fails with TEXT
refused() {
    [ "$code" -eq 1 ] || fail "exit code $code"
    expect_contains "$err" "$1"
    expect_json '.status == "failed" and (.error | length > 0)'
}
completes() {
    expect_exit 0 timeout 60 "$NSMIGRATE" run app.yaml --json
    compare || fail "not the same after: $1"
}

# It becomes a replica of another, which empties it, and a master again.
redis_start other
demote_target() {
    redis-cli -p "$target_port" REPLICAOF 127.0.0.1 "$redis_port" >/dev/null
    wait_until is_linked
}
is_linked() {
    redis-cli -p "$target_port" INFO replication | grep -q 'master_link_status:up'
}
begin app
midway app demote_target
refused 'READONLY'
redis-cli -p "$target_port" REPLICAOF NO ONE >/dev/null
completes "a time as a replica"

# No memory is left.
begin app
redis-cli -p "$target_port" CONFIG SET maxmemory-policy noeviction >/dev/null
limit_memory
run timeout 60 "$NSMIGRATE" run app.yaml --json
refused 'raise maxmemory at the destination or make room'
redis-cli -p "$target_port" CONFIG SET maxmemory 0 >/dev/null
completes "no memory left"
