# Redis to Redis where payloads of DUMP can't be used: the source refuses DUMP, the destination RESTORE, the plan both. Keys then go by their
# types, and nothing of them is lost. What stands there is compared by redis-cli.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cd "$tmp"

redis_start a
a=$redis_port
redis_start b
b=$redis_port
redis_start c --rename-command RESTORE '' --rename-command DUMP ''
c=$redis_port

# The prefix is no glob; it is a key of its own, in a database that is not the first.
prefix='a*[x]?:'
redis-cli -p "$a" -n 5 EVAL "
local p, call = ARGV[1], redis.call
local long = p .. string.rep('k', 70000)
call('SET', p, 'the prefix itself')
call('SET', long, 'a long key') call('PEXPIREAT', long, 4102444800123)
call('SET', p .. 'far', 'beyond 2106') call('PEXPIREAT', p .. 'far', 9999999999999)
call('SET', p .. '\\0\\255\\r\\n', '\\0\\255\\r\\n')
call('HSET', p .. 'hash', 'f', '', '', 'v', '\\255', '\\0') call('PEXPIREAT', p .. 'hash', 4300000000007)
call('RPUSH', p .. 'list', 'b', 'a', '', 'b')
call('SADD', p .. 'set', 'x', '', '\\255')
call('ZADD', p .. 'zset', '-inf', 'low', 0.1, 'tenth', 'inf', 'high', 1e-300, 'tiny')
for i = 1, 2000 do call('SET', p .. 's:' .. i, i) end
for i = 1, 40 do
    local key = p .. 'x' .. i
    for n = 1, i do call('XADD', key, n .. '-1', 'f', n) end
    call('XGROUP', 'CREATE', key, 'g', '0')
    call('XGROUP', 'CREATE', key, 'other', '1-1')
    call('XREADGROUP', 'GROUP', 'g', 'anna', 'COUNT', i, 'STREAMS', key, '>')
    call('XGROUP', 'CREATECONSUMER', key, 'g', 'bob')
    call('XCLAIM', key, 'g', 'bob', 0, '1-1', 'TIME', 1000 * i, 'RETRYCOUNT', i, 'JUSTID')
    if i % 3 == 0 then call('XDEL', key, '1-1') end
    if i % 4 == 0 then call('XTRIM', key, 'MAXLEN', 1) end
    if i % 5 == 0 then call('XTRIM', key, 'MAXLEN', 0) end
end
for n = 1, 5000 do call('XADD', p .. 'big', n .. '-1', 'f', n) end
call('XGROUP', 'CREATE', p .. 'big', 'g', '0')
call('XREADGROUP', 'GROUP', 'g', 'anna', 'COUNT', 4000, 'STREAMS', p .. 'big', '>')
call('XDEL', p .. 'big', '17-1')
call('SET', 'axx:1', 'what the prefix would match as a glob')
return 'filled'" 0 "$prefix" >"$out"
expect_same filled "$(cat "$out")" "what the source was told"

# contents PORT DB: all keys with their contents and expiries, sorted
contents() {
    redis-cli -p "$1" -n "$2" --no-raw EVAL "
local dropped = {['seen-time'] = 1, ['active-time'] = 1, ['radix-tree-keys'] = 1, ['radix-tree-nodes'] = 1}
local function text(value)
    if type(value) ~= 'table' then return tostring(value) end
    local parts, at = {}, 1
    while at <= #value do
        if dropped[value[at]] then at = at + 2 else parts[#parts + 1] = text(value[at]) at = at + 1 end
    end
    return '[' .. table.concat(parts, ' ') .. ']'
end
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
    local kind = redis.call('TYPE', key).ok
    local value
    if kind == 'string' then value = redis.call('GET', key)
    elseif kind == 'hash' then value = redis.call('HGETALL', key)
    elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
    elseif kind == 'set' then value = redis.call('SMEMBERS', key) table.sort(value)
    elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    else value = redis.call('XINFO', 'STREAM', key, 'FULL', 'COUNT', 0)
    end
    if string.sub(key, 1, #ARGV[1]) == ARGV[1] then
        out[#out + 1] = string.sub(key, 1, 40) .. redis.sha1hex(key) .. ' ' .. kind .. ' ' .. redis.call('PEXPIRETIME', key) .. ' ' .. redis.sha1hex(text(value))
    end
end
table.sort(out)
return out" 0 "$prefix"
}
contents "$a" 5 >wanted
[ "$(wc -l <wanted)" -gt 2040 ] || fail "too few keys to compare"

# plan NAME SOURCE DESTINATION: one namespace, between these backends
plan() {
    cat >"$1.yaml" <<PLAN
version: 1
name: $1
workers: 4
batch: {bytes: 64KiB}
backends:
  from: {adapter: redis, $2, slice_bytes: 16KiB}
  to:   {adapter: redis, $3}
namespaces:
  - {name: keys, source: {backend: from, prefix: "$prefix"}, destination: {backend: to}}
PLAN
}
# moves NAME LANE PORT DB WORDS: what preview says of the lane, and what stands there after a run
moves() {
    expect_exit 0 "$NSMIGRATE" preview "$1.yaml"
    expect_contains "$out" "lane $2"
    expect_contains "$out" "$5"
    expect_same 0 "$(redis-cli -p "$3" -n "$4" DBSIZE)" "keys after preview"
    expect_exit 0 "$NSMIGRATE" run "$1.yaml" --json
    expect_json ".namespaces[0] | .lane == \"$2\" and .records == $(wc -l <wanted)"
    contents "$3" "$4" >found
    cmp -s wanted found || fail "$1: $(diff wanted found | head -n 4)"
    expect_exit 0 "$NSMIGRATE" verify "$1.yaml"
    redis-cli -p "$3" -n "$4" FLUSHALL >/dev/null
}

redis-cli -p "$a" ACL SETUSER reader on '>secret' '~*' +@all -dump >/dev/null
redis-cli -p "$b" ACL SETUSER writer on '>secret' '~*' +@all -restore >/dev/null
from="url: \"redis://127.0.0.1:$a/5\""
to="url: \"redis://127.0.0.1:$b/5\""

plan payloads "$from" "$to"
moves payloads redis-dump "$b" 5 "keys"
plan nodump "url: \"redis://reader:secret@127.0.0.1:$a/5\"" "$to"
moves nodump record "$b" 5 "instead of redis-dump: the user at the source has no right to DUMP"
plan norestore "$from" "url: \"redis://writer:secret@127.0.0.1:$b/2\""
moves norestore record "$b" 2 "instead of redis-dump: the user at the destination has no right to RESTORE"
plan renamed "$from" "url: \"redis://127.0.0.1:$c/5\""
moves renamed record "$c" 5 "instead of redis-dump: the destination has no command RESTORE"
plan wanted "$from" "$to, dump: false"
moves wanted record "$b" 5 "the plan says so (dump: false)"

# What no command can set of streams is said where there are some and they don't go as payloads.
for name in payloads wanted; do
    sed -e "s/name: $name\$/name: streams-$name/" -e "s/source: {backend: from, prefix: \"[^\"]*/&x/" "$name.yaml" >"streams-$name.yaml"
    expect_exit 0 "$NSMIGRATE" preview "streams-$name.yaml"
    expect_contains "$out" "40 records"
    case $name in
        payloads) expect_lacks "$out" "last seen" ;;
        wanted) expect_contains "$out" "when their consumers were last seen stays behind" ;;
    esac
done

# Expiries that Redis itself could not be told: before 1970 and before now such a key is gone, and that is no difference.
sqlite3 old.db "CREATE TABLE kv (key BLOB PRIMARY KEY NOT NULL, kind TEXT NOT NULL, value BLOB NOT NULL, expires_at TEXT);
INSERT INTO kv VALUES
(CAST('o:never' AS BLOB), 'string', CAST('a' AS BLOB), NULL),
(CAST('o:1960' AS BLOB), 'string', CAST('a' AS BLOB), '1960-01-01 00:00:00+00'),
(CAST('o:1970' AS BLOB), 'hash', CAST('[[\"f\",\"v\"]]' AS BLOB), '1970-01-01 00:00:00.001+00'),
(CAST('o:2020' AS BLOB), 'list', CAST('[\"a\"]' AS BLOB), '2020-02-02 02:02:02.2+00'),
(CAST('o:2222' AS BLOB), 'set', CAST('[\"a\"]' AS BLOB), '2222-02-22 22:22:22.222+00')"
cat >old.yaml <<PLAN
version: 1
name: old
backends:
  from: {adapter: sqlite, path: old.db}
  to:   {adapter: redis, url: "redis://127.0.0.1:$b/5"}
namespaces:
  - {name: old, source: {backend: from, tables: kv}, destination: {backend: to, layout: kv}}
PLAN
expect_exit 0 "$NSMIGRATE" run old.yaml
expect_same "o:2222 o:never" "$(redis-cli -p "$b" -n 5 KEYS '*' | sort | xargs)" "keys that are not over"
expect_same 7956915742222 "$(redis-cli -p "$b" -n 5 PEXPIRETIME o:2222)" "an expiry beyond 2106"
expect_exit 0 "$NSMIGRATE" verify old.yaml
redis-cli -p "$b" -n 5 DEL o:2222 >/dev/null
expect_exit 4 "$NSMIGRATE" verify old.yaml
expect_lines 1 "$out" "+ o:"
redis-cli -p "$b" FLUSHALL >/dev/null

# A key that expires while it is copied is no error, and does not live on.
for lane in payloads wanted; do
    redis-cli -p "$a" -n 5 SET "${prefix}short" v PX 300 >/dev/null
    redis-cli -p "$a" -n 5 HSET "${prefix}brief" f v >/dev/null
    redis-cli -p "$a" -n 5 PEXPIRE "${prefix}brief" 500 >/dev/null
    expect_exit 0 "$NSMIGRATE" run $lane.yaml --fresh
    gone() { [ "$(redis-cli -p "$1" -n 5 EXISTS "${prefix}short" "${prefix}brief")" = 0 ]; }
    wait_until gone "$a"
    wait_until gone "$b"
    contents "$b" 5 >found
    cmp -s wanted found || fail "$lane beside keys that expire: $(diff wanted found | head -n 4)"
    redis-cli -p "$b" FLUSHALL >/dev/null
done
