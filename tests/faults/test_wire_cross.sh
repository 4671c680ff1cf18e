# Redis to a table of Postgres while the wire on either side is harmed after any number of bytes: see test_wire_postgres.sh.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
# shellcheck source=tests/support/faults.sh
. "$NSM_SOURCE_DIR/tests/support/faults.sh"
cd "$tmp"

pg_start pg
target_url=postgresql://postgres@127.0.0.1:$pg_port/target
redis_start one
redis-cli -p "$redis_port" EVAL "
for i = 1, 5000 do
    redis.call('SET', 's:' .. i, 'v' .. i)
    if i % 3 == 0 then redis.call('PEXPIREAT', 's:' .. i, 4102444800000 + i) end
end
return 1" 0 >/dev/null
redis-cli -p "$redis_port" EVAL "
local out = {}
for _, key in ipairs(redis.call('KEYS', 's:*')) do
    out[#out + 1] = key .. '|' .. redis.call('GET', key) .. '|' .. string.format('%.0f', redis.call('PEXPIRETIME', key))
end
return out" 0 | sort >wanted

clear() {
    sql "$pg_url" "DROP DATABASE IF EXISTS target WITH (FORCE)" "CREATE DATABASE target" 2>/dev/null
    sql "$target_url" "CREATE SCHEMA kv"
}
compare() {
    sql "$target_url" "SELECT convert_from(key, 'UTF8'), convert_from(value, 'UTF8'),
        coalesce(extract(epoch FROM expires_at) * 1000, -1)::bigint FROM kv.keys" | sort >found && same wanted found || return 1
    sql "$target_url" "SELECT 'left over: ' || nspname FROM pg_namespace WHERE nspname LIKE '%nsm%'" >left
    [ ! -s left ] || { cat left >&2; return 1; }
}

kinds=${NSM_KINDS:-reset stop corrupt}
namespace='name: keys, source: {backend: a, prefix: "s:"}, destination: {backend: b, table: kv.keys}'

plan source "adapter: redis, url: \"redis://127.0.0.1:$wire_port/0\", timeout: 1s" "adapter: postgres, url: \"$target_url\"" "$namespace"
# shellcheck disable=SC2086 # words
wire source "$redis_port" clear compare $kinds

plan destination "adapter: redis, url: \"$redis_url\"" \
    "adapter: postgres, url: \"postgresql://postgres@127.0.0.1:$wire_port/target\", timeout: 1s" "$namespace"
# shellcheck disable=SC2086
wire destination "$pg_port" clear compare $kinds
