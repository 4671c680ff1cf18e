# Keys go into files and come back as they were, and a key whose time has come in between stays dead: at the import, and when both sides
# are compared later.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cd "$tmp"

redis_start a
cli() {
    redis-cli -p "$redis_port" "$@"
}
cli EVAL "
redis.call('SET', 'k:\\0\\255\\r\\n*', '\\0\\1\\255 bytes')
redis.call('SET', 'k:', '')
redis.call('HSET', 'k:hash', 'f', 'v', '', '', '\\255', '\\0')
redis.call('RPUSH', 'k:list', 'a', '', 'a', '9007199254740993')
redis.call('SADD', 'k:set', 1, '1.0', 'x', '')
redis.call('ZADD', 'k:zset', '0.1', 'tenth', '-0', 'zero', 'inf', 'high', '-inf', 'low', '9007199254740993', 'big', '1e-320', 'small')
redis.call('XADD', 'k:stream', '5-1', 'f', 'v', 'g', '')
redis.call('XADD', 'k:stream', '5-2', '\\255', '\\0')
redis.call('XDEL', 'k:stream', '5-1')
redis.call('SETRANGE', 'k:large', 3000000, 'end')
redis.call('PEXPIREAT', 'k:hash', 4102444800123)
redis.call('PEXPIREAT', 'k:list', 9000000000000)
return 1" 0 >/dev/null

cat >out.yaml <<EOF2
version: 1
name: out
backends: {a: {adapter: redis, url: "redis://127.0.0.1:$redis_port/0"}, f: {adapter: file, path: files}}
namespaces: [{name: keys, source: {backend: a, prefix: "k:"}, destination: {backend: f}, if_exists: replace}]
EOF2
cat >in.yaml <<EOF2
version: 1
name: in
backends: {f: {adapter: file, path: files}, b: {adapter: redis, url: "redis://127.0.0.1:$redis_port/1"}}
namespaces: [{name: keys, source: {backend: f}, destination: {backend: b}}]
EOF2

# Some keys are to die after the export: they get a longer life until the export is quick enough.
life=3000
until [ "$(jq -r 'select(.expires_at_ms < 4000000000000) | .key' files/keys/*.jsonl 2>/dev/null | grep -c '^k:dying')" = 3 ]; do
    cli EVAL "
local time = redis.call('TIME')
local dead = math.floor(time[1] * 1000 + time[2] / 1000) + $life
redis.call('SET', 'k:dying', 'x')
redis.call('RPUSH', 'k:dying list', 'x')
redis.call('XADD', 'k:dying stream', '1-' .. dead, 'f', 'v')
for _, key in ipairs({'k:dying', 'k:dying list', 'k:dying stream'}) do redis.call('PEXPIREAT', key, dead) end
return 1" 0 >/dev/null
    expect_exit 0 "$NSMIGRATE" run out.yaml --fresh --json
    life=$((life * 2))
    [ "$life" -lt 100000 ] || fail "the export is too slow"
done
all_dead() {
    [ "$(cli EXISTS k:dying 'k:dying list' 'k:dying stream')" = 0 ]
}
wait_until all_dead

expect_exit 0 "$NSMIGRATE" run in.yaml --json
expect_json '.status == "ok"'
expect_same "0" "$(cli -n 1 EXISTS k:dying 'k:dying list' 'k:dying stream')" "dead keys"
expect_same "$(cli DBSIZE)" "$(cli -n 1 DBSIZE)" "keys"
# payloads DB: every key with its expiry and what DUMP says (of one server), or its items where DUMP depends on how they came
payloads() {
    cli -n "$1" EVAL "
local function stream(key)
    local info, out = redis.call('XINFO', 'STREAM', key), redis.sha1hex(cmsgpack.pack(redis.call('XRANGE', key, '-', '+')))
    for i = 1, #info, 2 do
        if ({length = 1, ['last-generated-id'] = 1, ['max-deleted-entry-id'] = 1, ['entries-added'] = 1})[info[i]] then out = out .. ' ' .. info[i + 1] end
    end
    return out
end
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
    local value = redis.call('TYPE', key).ok == 'stream' and stream(key)
        or redis.call('TYPE', key).ok == 'zset' and table.concat(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'), ',')
        or redis.call('TYPE', key).ok == 'set' and table.concat(redis.call('SORT', key, 'ALPHA'), ',')
        or redis.call('TYPE', key).ok == 'hash' and redis.sha1hex(redis.call('HGET', key, 'f') .. redis.call('HGET', key, '') .. redis.call('HGET', key, '\\255') .. redis.call('HLEN', key))
        or redis.sha1hex(redis.call('DUMP', key))
    out[#out + 1] = key .. ' ' .. redis.call('PEXPIRETIME', key) .. ' ' .. value
end
table.sort(out)
return out" 0
}
payloads 0 >wanted
payloads 1 >found
diff -a wanted found >&2 || fail "the keys differ"
expect_exit 0 "$NSMIGRATE" verify in.yaml
expect_exit 0 "$NSMIGRATE" verify out.yaml
