# What can be wrong outside of nsmigrate: each gets a message with what, where and what to do, the right exit code, and nothing written.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cd "$tmp"

pg_start pg
redis_start redis --requirepass s3cret-word
export REDISCLI_AUTH=s3cret-word
pg_host=127.0.0.1:$pg_port
nowhere=$(free_port)
sql "$pg_url" "CREATE DATABASE target" "CREATE SCHEMA app" "CREATE TABLE app.t (id int PRIMARY KEY)" \
    "INSERT INTO app.t SELECT generate_series(1, 10)" "CREATE SCHEMA closed" "CREATE TABLE closed.t (id int)" \
    "CREATE ROLE reader LOGIN PASSWORD 'reader-word'" "GRANT USAGE ON SCHEMA app TO reader" "GRANT SELECT ON app.t TO reader"
redis-cli -p "$redis_port" SET k:1 v >/dev/null
printf 'this is a text, not a database, and long enough to be read as one\n%.0s' 1 2 3 4 5 6 7 8 9 >"$tmp/text.db"

# plan SOURCE-BACKEND SOURCE DESTINATION-BACKEND DESTINATION
plan() {
    rm -rf "$tmp/.nsmigrate"
    cat >plan.yaml <<PLAN
version: 1
name: bad
retry: {attempts: 2, backoff: 10ms}
backends:
  from: {$1}
  to:   {$3}
namespaces:
  - {name: one, source: {backend: from, $2}, destination: {backend: to, $4}}
PLAN
}
pg="adapter: postgres, url: \"postgresql://postgres@$pg_host"
good_pg="$pg/postgres\""
target="$pg/target\""
good_redis="adapter: redis, url: \"redis://:s3cret-word@127.0.0.1:$redis_port/0\""

# refused WORD...: run exits with 1, the message holds all words, no secret, and nothing was written.
refused() {
    expect_exit 1 "$NSMIGRATE" run plan.yaml
    for word in "$@"; do
        grep -qiE -e "$word" "$err" || fail "no \"$word\" in the message"
    done
    expect_lacks "$err" s3cret-word
    expect_lacks "$err" reader-word
    expect_same 1 "$(grep -c '^nsmigrate: ' "$err")" "messages"
    expect_same "" "$(sql "$pg_url" "SELECT nspname FROM pg_namespace WHERE nspname IN ('nsmigrate', 'away')")" "schemas written"
    expect_same 0 "$(sql "postgresql://postgres@$pg_host/target" "SELECT count(*) FROM pg_namespace WHERE nspname IN ('nsmigrate', 'app', 'away')")" \
        "schemas written to target"
    expect_same 1 "$(redis-cli -p "$redis_port" DBSIZE)" "keys"
}

# Postgres: not there, wrong database, wrong password, missing rights, missing schema and table.
plan "adapter: postgres, url: \"postgresql://postgres:s3cret-word@127.0.0.1:$nowhere/postgres\"" "schema: app" "$target" "schema: app"
refused "backend from" "127.0.0.1" "$nowhere" "refused" "after 2 attempts"
plan "$pg/nothere\"" "schema: app" "$target" "schema: app"
refused "backend from" 'database "?nothere"? does not exist'
plan "$good_pg" "schema: nothere" "$target" "schema: app"
refused "namespace one" "nothere"
plan "$good_pg" "table: app.nothere" "$target" "schema: app"
refused "namespace one" "app.nothere"
echo "host all reader 127.0.0.1/32 scram-sha-256" | cat - "$pg_dir/pg_hba.conf" >"$tmp/hba" && cat "$tmp/hba" >"$pg_dir/pg_hba.conf"
sql "$pg_url" "SELECT pg_reload_conf()" >/dev/null
plan "adapter: postgres, url: \"postgresql://reader:wrong-word@$pg_host/postgres\"" "schema: app" "$target" "schema: app"
refused "backend from" "password authentication failed" "reader"
expect_lacks "$err" wrong-word
plan "adapter: postgres, url: \"postgresql://reader:reader-word@$pg_host/postgres\"" "schema: closed" "$target" "schema: app"
refused "closed" "permission|right"
plan "$good_pg" "schema: app" "adapter: postgres, url: \"postgresql://reader:reader-word@$pg_host/postgres\"" "schema: away"
refused "create" "permission|right|grant"

# Redis: not there, no password, a wrong one.
plan "adapter: redis, url: \"redis://127.0.0.1:$nowhere/0\"" 'prefix: "k:"' "$good_redis" 'prefix: "new:"'
refused "backend from" "$nowhere" "refused"
unset REDISCLI_AUTH
plan "adapter: redis, url: \"redis://127.0.0.1:$redis_port/0\"" 'prefix: "k:"' "$good_redis" 'prefix: "new:"'
expect_exit 1 "$NSMIGRATE" run plan.yaml
export REDISCLI_AUTH=s3cret-word
expect_match "$err" "backend from.*(NOAUTH|password)"
plan "adapter: redis, url: \"redis://:wrong-word@127.0.0.1:$redis_port/0\"" 'prefix: "k:"' "$good_redis" 'prefix: "new:"'
refused "backend from" "WRONGPASS|password"
expect_lacks "$err" wrong-word
plan "$good_redis" 'prefix: "k:"' "$good_redis" 'prefix: "k:"'
refused "same data"

# The same store under two names is the same data.
plan "$good_pg" "schema: app" "adapter: postgres, url: \"postgresql://postgres@localhost:$pg_port/postgres?host=127.0.0.1\"" "schema: app"
refused "same data"

# Files and SQLite.
plan "adapter: sqlite, path: nothere.db" "tables: \"*\"" "adapter: file, path: dump" "folder: one"
refused "nothere.db"
[ ! -e nothere.db ] || fail "a source was made"
plan "adapter: sqlite, path: text.db" "tables: \"*\"" "adapter: file, path: dump" "folder: one"
refused "text.db" "not a (SQLite )?database|SQLite"
plan "adapter: file, path: nothere" "folder: one" "adapter: sqlite, path: out.db" ""
refused "nothere"

# The ledger: a folder that can't be written, a full disk.
plan "$good_pg" "schema: app" "$target" "schema: app"
touch "$tmp/.nsmigrate"
expect_exit 1 "$NSMIGRATE" run plan.yaml
expect_contains "$err" ".nsmigrate"
rm "$tmp/.nsmigrate"
if [ "$(id -u)" = 0 ] && mkdir full && mount -t tmpfs -o size=16k none full 2>/dev/null; then
    cp plan.yaml full/
    code=0
    run "$NSMIGRATE" run full/plan.yaml
    umount full
    expect_same 1 "$code" "exit code with a full disk"
    grep -qiE 'full|space' "$err" || fail "a full disk is not named"
    expect_contains "$err" ".nsmigrate"
fi
