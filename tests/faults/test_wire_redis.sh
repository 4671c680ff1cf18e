# Redis to Redis, and Redis to a table, while the wire on either side is harmed after any number of bytes: see test_wire_postgres.sh.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/support/faults.sh
. "$NSM_SOURCE_DIR/tests/support/faults.sh"
cd "$tmp"

redis_start one
one=$redis_port
redis_start two
two=$redis_port
redis-cli -p "$one" EVAL "
for i = 1, 4000 do
    redis.call('SET', 'k:s' .. i, 'v' .. i)
    if i % 3 == 0 then redis.call('PEXPIREAT', 'k:s' .. i, 4102444800000 + i) end
end
for i = 1, 300 do
    redis.call('HSET', 'k:h' .. i, 'a', i, 'b', '\\0\\255')
    redis.call('RPUSH', 'k:l' .. i, 'x', 'y', i)
    redis.call('ZADD', 'k:z' .. i, i, 'x', i / 3, 'y')
end
for i = 1, 10000 do
    redis.call('RPUSH', 'k:long', 'item ' .. i)
end
return 1" 0 >/dev/null

# keys_of PORT: each key's type, expiry and value, and how many there are
keys_of() {
    redis-cli -p "$1" --no-raw EVAL "
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
    local kind = redis.call('TYPE', key).ok
    local value
    if kind == 'string' then value = redis.call('GET', key)
    elseif kind == 'hash' then value = redis.call('HGETALL', key)
    elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
    elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    end
    out[#out + 1] = key .. ' ' .. kind .. ' ' .. redis.call('PEXPIRETIME', key) .. ' ' .. redis.sha1hex(cjson.encode(value))
end
table.sort(out)
return out" 0 | cut -d')' -f2-
}
keys_of "$one" >wanted
clear() {
    redis-cli -p "$two" FLUSHALL >/dev/null
}
compare() {
    keys_of "$two" >found && same wanted found
}

kinds=${NSM_KINDS:-reset close half delay trickle stop swallow corrupt}
namespace='name: keys, source: {backend: a, prefix: "k:"}, destination: {backend: b}'

plan source "adapter: redis, url: \"redis://127.0.0.1:$wire_port/0\", timeout: 1s" \
    "adapter: redis, url: \"redis://127.0.0.1:$two/0\"" "$namespace"
# shellcheck disable=SC2086 # words
wire source "$one" clear compare $kinds

plan destination "adapter: redis, url: \"redis://127.0.0.1:$one/0\"" \
    "adapter: redis, url: \"redis://127.0.0.1:$wire_port/0\", timeout: 1s" "$namespace"
# shellcheck disable=SC2086
wire destination "$two" clear compare $kinds
