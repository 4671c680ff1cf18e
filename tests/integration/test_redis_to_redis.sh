# Redis to Redis: every type, binary keys, expiries to the millisecond, prefixes replaced; compared by redis-cli.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cd "$tmp"

redis_start a
a=$redis_port
redis_start b
b=$redis_port
redis-cli -p "$a" EVAL "
for i = 1, 5000 do
    redis.call('SET', 'session:' .. i, string.rep('v', i % 100))
    redis.call('PEXPIREAT', 'session:' .. i, 4102444800000 + i)
    redis.call('HSET', 'user:' .. i, 'name', 'n' .. i, 'blank', '', 'bin', '\\0\\255\\r\\n')
end
for i = 1, 500 do
    redis.call('ZADD', 'x:z' .. i, i * 1.5, 'm' .. i, '-inf', 'low', '+inf', 'high', 0.1, 'tenth')
    redis.call('RPUSH', 'x:l' .. i, 'a', 'b', '', i)
    redis.call('XADD', 'x:s' .. i, i .. '-1', 'f', i, 'g', '')
    for j = 1, 700 do redis.call('SADD', 'x:set' .. (i % 5), i * j) end
end
redis.call('SET', 'user:\\0\\255*?[x', 'binary key')
redis.call('SET', 'user:', 'the prefix itself')
redis.call('XGROUP', 'CREATE', 'x:s1', 'readers', '0')
redis.call('XREADGROUP', 'GROUP', 'readers', 'anna', 'STREAMS', 'x:s1', '>')
redis.call('SET', 'other', 'not of the plan')
return 1" 0 >/dev/null

cat >plan.yaml <<PLAN
version: 1
name: redis
workers: 4
backends:
  a: {adapter: redis, url: "redis://127.0.0.1:$a/0"}
  b: {adapter: redis, url: "redis://127.0.0.1:$b/3"}
namespaces:
  - {name: sessions, source: {backend: a, prefix: "session:"}, destination: {backend: b}}
  - {name: users,    source: {backend: a, prefix: "user:"},    destination: {backend: b, prefix: "u/"}}
  - {name: rest,     source: {backend: a, match: "x:*"},       destination: {backend: b}}
PLAN

expect_exit 0 "$NSMIGRATE" preview plan.yaml
expect_same 0 "$(redis-cli -p "$b" -n 3 DBSIZE)" "keys after preview"
expect_exit 0 "$NSMIGRATE" run plan.yaml --json
expect_json '.status == "ok" and (.namespaces | map(.records) == [5000, 5002, 1505])'

# contents PORT DB PREFIX NAME: the sorted contents of all keys below a prefix, with their expiries
contents() {
    redis-cli -p "$1" -n "$2" --no-raw EVAL "
local out, cursor = {}, '0'
repeat
    local reply = redis.call('SCAN', cursor, 'COUNT', 1000)
    cursor = reply[1]
    for _, key in ipairs(reply[2]) do
        if string.sub(key, 1, #ARGV[1]) == ARGV[1] then
            local kind = redis.call('TYPE', key).ok
            local value
            if kind == 'string' then value = redis.call('GET', key)
            elseif kind == 'hash' then value = redis.call('HGETALL', key)
            elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
            elseif kind == 'set' then value = redis.call('SMEMBERS', key) table.sort(value)
            elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
            else value = redis.call('XINFO', 'STREAM', key, 'FULL')
            end
            local sum = redis.sha1hex(cjson.encode(value))
            out[#out + 1] = ARGV[2] .. string.sub(key, #ARGV[1] + 1) .. ' ' .. kind .. ' ' .. redis.call('PEXPIRETIME', key) .. ' ' .. sum
        end
    end
until cursor == '0'
table.sort(out)
return out" 0 "$3" "$4" | cut -d')' -f2-
}
same_contents() {
    contents "$a" 0 "$1" "$2" | sort >wanted
    contents "$b" 3 "$2" "$2" | sort >found
    [ "$(wc -l <wanted)" -gt 1 ] || fail "nothing to compare below $1"
    cmp -s wanted found || fail "contents of $1: $(diff wanted found | head -n 4)"
}
same_contents session: session:
same_contents user: u/
redis-cli -p "$a" XINFO STREAM x:s1 FULL | grep -v -e idle -e seen -e '^[0-9]\{13\}$' >wanted
redis-cli -p "$b" -n 3 XINFO STREAM x:s1 FULL | grep -v -e idle -e seen -e '^[0-9]\{13\}$' >found
cmp -s wanted found || fail "the stream's groups differ"
redis-cli -p "$a" DEL x:s1 >/dev/null
redis-cli -p "$b" -n 3 DEL x:s1 >/dev/null
same_contents x: x:
expect_same 0 "$(redis-cli -p "$b" -n 3 EXISTS other)" "a key outside of the plan"

# verify names what differs, in the way of rclone's marks.
expect_exit 0 "$NSMIGRATE" verify plan.yaml
redis-cli -p "$b" -n 3 DEL u/8 >/dev/null
redis-cli -p "$b" -n 3 SET u/new 1 >/dev/null
redis-cli -p "$b" -n 3 PEXPIREAT session:9 4102444800010 >/dev/null
redis-cli -p "$b" -n 3 ZADD x:z4 7 tenth >/dev/null
expect_exit 4 "$NSMIGRATE" verify plan.yaml
expect_match "$out" '^ *\+ .*8$'
expect_match "$out" '^ *- .*new$'
expect_match "$out" '^ *\* .*session:9$'
expect_match "$out" '^ *\* .*x:z4$'

# if_exists: fail refuses before anything is written; merge overwrites; skip keeps.
expect_exit 1 "$NSMIGRATE" run plan.yaml --fresh
expect_contains "$err" "if_exists"
expect_same 0 "$(redis-cli -p "$b" -n 3 EXISTS u/8)" "a key after a refused run"
sed -e '/^name:/s/redis/skipping/' -e 's/destination: {/if_exists: skip, destination: {/' plan.yaml >skip.yaml
expect_exit 0 "$NSMIGRATE" run skip.yaml
expect_same 1 "$(redis-cli -p "$b" -n 3 EXISTS u/8)" "the missing key after skip"
expect_same 7 "$(redis-cli -p "$b" -n 3 ZSCORE x:z4 tenth)" "a changed score after skip"
sed -e '/^name:/s/redis/merging/' -e 's/destination: {/if_exists: merge, destination: {/' plan.yaml >merge.yaml
expect_exit 0 "$NSMIGRATE" run merge.yaml
same_contents x: x:
same_contents session: session:
expect_same 1 "$(redis-cli -p "$b" -n 3 EXISTS u/new)" "a key of others after merge"

# Plain strings are read once at the source: verify takes the digest of what was copied.
redis-cli -p "$a" EVAL "for i = 1, 3000 do redis.call('SET', 'plain:' .. i, i) end" 0 >/dev/null
redis-cli -p "$a" CONFIG RESETSTAT >/dev/null
sed -e '/^name:/s/redis/plain/' -e '/- {name:/d' plan.yaml >plain.yaml
echo '  - {name: plain, source: {backend: a, prefix: "plain:"}, destination: {backend: b}}' >>plain.yaml
expect_exit 0 "$NSMIGRATE" run plain.yaml
expect_same 3000 "$(redis-cli -p "$a" INFO commandstats | sed -n 's/^cmdstat_getrange:calls=\([0-9]*\),.*/\1/p')" "strings read at the source"
expect_same 3000 "$(redis-cli -p "$b" -n 3 EVAL "return #redis.call('KEYS', 'plain:*')" 0)" "plain strings"
