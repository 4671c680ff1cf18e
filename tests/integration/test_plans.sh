# The plans of plans/ run as they are, one for each pair of stores, in the order that their README names: each takes on what the one
# before has made. What arrives is counted by each store's own client.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cp -r "$NSM_SOURCE_DIR/plans" "$tmp/plans"
cd "$tmp/plans"
rm -rf quickstart-out .nsmigrate
mkdir quickstart-out
sqlite3 quickstart-out/atlas.db <quickstart.sql
pg_start pg
redis_start redis
export PG_URL="$pg_url" PG_URL_2="$pg_url" REDIS_URL="$redis_url" REDIS_URL_2="$redis_url"

n_run=0
migrate() {
    expect_exit 0 "$NSMIGRATE" run "$1.yaml" --json
    expect_json '.status == "ok" and .error == null and ([.namespaces[] | .records > 0] | all)'
    n_run=$((n_run + 1))
}
# rows_of PATH TABLE
rows_of() {
    sqlite3 "$1" "SELECT count(*) FROM $2"
}
keys_of() {
    redis-cli -p "$redis_port" --scan --pattern "$1" | wc -l
}
countries=$(rows_of quickstart-out/atlas.db country)
currencies=$(rows_of quickstart-out/atlas.db currency)
languages=$(rows_of quickstart-out/atlas.db language)
[ "$countries" -gt 200 ] || fail "the quickstart's data has $countries countries"

migrate quickstart
expect_same "$countries" "$(rows_of quickstart-out/moved.db country)" "countries moved"

for to in sqlite files postgres redis; do
    migrate "sqlite-$to"
done
expect_same "$(sqlite3 quickstart-out/atlas.db .dump | sort | cksum)" "$(sqlite3 quickstart-out/copy.db .dump | sort | cksum)" "the dump of the copy"
expect_same "$countries" "$(sql "$PG_URL" 'SELECT count(*) FROM atlas.country')" "rows of atlas.country"
expect_same "$((countries + currencies))" "$(keys_of 'lite:*')" "keys of lite:"

for to in sqlite files postgres redis; do
    migrate "postgres-$to"
done
expect_same "$(sql "$PG_URL" 'SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM atlas.country t')" \
    "$(sql "$PG_URL" 'SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM atlas_copy.country t')" "rows of the copied schema"
expect_same "$((countries + languages))" "$(keys_of 'atlas:*')" "keys of atlas:"
expect_same "$currencies" "$(keys_of 'json:*')" "keys of json:"

for to in sqlite files postgres redis; do
    migrate "redis-$to"
done
expect_same "$((countries + languages))" "$(keys_of 'copy:*')" "keys copied"
expect_same "$((countries + languages))" "$(sql "$PG_URL" 'SELECT count(*) FROM kv.atlas')" "keys as rows"
expect_same "$countries" "$(sql "$PG_URL" 'SELECT count(*) FROM kv.country')" "hashes as rows"

for to in sqlite files postgres redis; do
    migrate "files-$to"
done
expect_same "$countries" "$(sql "$PG_URL" 'SELECT count(*) FROM atlas_again.country')" "rows out of the archive"

sql "$PG_URL" "CREATE SCHEMA tenant_a" "CREATE TABLE tenant_a.t AS SELECT 1 AS a" "CREATE SCHEMA tenant_b" "CREATE TABLE tenant_b.t AS SELECT 2 AS a"
migrate tenants
expect_same "2" "$(sql "$PG_URL" 'SELECT a FROM moved_tenant_b.t')" "a tenant's row"

expect_same "$(find . -maxdepth 1 -name '*.yaml' | wc -l)" "$n_run" "plans run"
