# TLS to Postgres and Redis, and passwords from wherever they may come; none of them is seen in outputs, ledgers or process titles.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cd "$tmp"
mkdir home
export HOME="$tmp/home"
chmod 711 "$tmp"

# ---- an authority, another that signed nothing, and a certificate for loopback ----

mkdir certs
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" -keyout "certs/$1.key" \
        -out "certs/$1.pem" 2>/dev/null
}
authority trusted
authority other
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=loopback -keyout certs/server.key -out certs/server.csr 2>/dev/null
echo "subjectAltName = IP:127.0.0.1" >certs/server.ext
openssl x509 -req -in certs/server.csr -CA certs/trusted.pem -CAkey certs/trusted.key -CAcreateserial -days 2 -extfile certs/server.ext \
    -out certs/server.pem 2>/dev/null
chmod 755 certs
chmod 644 certs/server.pem
chmod 600 certs/server.key
cp certs/server.key certs/redis.key
[ "$(id -u)" != 0 ] || chown postgres certs/server.key

# ---- servers ----

pg_word=pg-Word-7361
redis_word=redis-Word-9417
pg_start pg "ssl = on" "ssl_cert_file = '$tmp/certs/server.pem'" "ssl_key_file = '$tmp/certs/server.key'" \
    "password_encryption = 'scram-sha-256'"
admin_url=$pg_url
echo "CREATE ROLE app LOGIN PASSWORD '$pg_word'; CREATE DATABASE from_db OWNER app; CREATE DATABASE to_db OWNER app" |
    tr ';' '\n' | while read -r statement; do echo "$statement" | psql -X -q -v ON_ERROR_STOP=1 "$admin_url"; done
cat >"$pg_dir/pg_hba.conf" <<'HBA'
host    all postgres 127.0.0.1/32 trust
hostssl all app      127.0.0.1/32 scram-sha-256
HBA
pg_as "$pg_bin/pg_ctl" -D "$pg_dir" reload >/dev/null
pg_at=127.0.0.1:$pg_port
for n in 1 2 3 4; do
    sql "postgresql://postgres@$pg_at/from_db" "CREATE SCHEMA s$n AUTHORIZATION app" "SET ROLE app" >/dev/null
    sql "postgresql://postgres@$pg_at/from_db" "CREATE TABLE s$n.t AS SELECT n AS id, md5(n::text) AS v FROM generate_series(1, 2000) n" \
        "ALTER TABLE s$n.t OWNER TO app"
done

tls_port=$(free_port)
redis_start cache --tls-port "$tls_port" --tls-cert-file "$tmp/certs/server.pem" --tls-key-file "$tmp/certs/redis.key" \
    --tls-ca-cert-file "$tmp/certs/trusted.pem" --tls-auth-clients no
redis-cli -p "$redis_port" >/dev/null <<REDIS
EVAL "for i = 1, 500 do redis.call('SET', 'k:' .. i, i) end" 0
ACL SETUSER mover on >$redis_word ~* &* +@all
CONFIG SET requirepass default-$redis_word
REDIS
redis_start plain
plain=$redis_port

# ---- Postgres ----

# pg_plan NAME USER-AND-PASSWORD PARAMETERS
pg_plan() {
    cat >"$1.yaml" <<PLAN
version: 1
name: $1
workers: 2
retry: {attempts: 1}
backends:
  a: {adapter: postgres, url: "postgresql://$2@$pg_at/from_db?$3"}
  b: {adapter: postgres, url: "postgresql://$2@$pg_at/to_db?$3"}
namespaces:
  - {name: s1, source: {backend: a, schema: s1}, destination: {backend: b}}
  - {name: s2, source: {backend: a, schema: s2}, destination: {backend: b}}
  - {name: s3, source: {backend: a, schema: s3}, destination: {backend: b}}
  - {name: s4, source: {backend: a, schema: s4}, destination: {backend: b}}
PLAN
}
said=$tmp/said # all that the program printed
: >"$said"
keep() {
    cat "$out" "$err" >>"$said"
}

# What runs on this machine, with all arguments, while a plan runs. The first line tells that it has begun.
watch() {
    # The program and its children only: this script names the words to its own tools.
    while :; do ps -C nsmigrate,pg_dump,pg_restore -o args= || :; done >"$tmp/processes"
}
watch &
watcher=$!
started="$started $watcher"

pg_moves() {
    sql "postgresql://postgres@$pg_at/to_db" "SET client_min_messages = error; DROP SCHEMA IF EXISTS s1, s2, s3, s4 CASCADE"
    expect_exit 0 "$NSMIGRATE" check "$1.yaml" --json
    keep
    expect_json '.status == "ok" and all(.backends[]; .details | contains("TLS") and (contains("no TLS") | not))'
    expect_exit 0 "$NSMIGRATE" run "$1.yaml" --verbose
    keep
    expect_same 8000 "$(sql "postgresql://postgres@$pg_at/to_db" "SELECT sum(n) FROM (SELECT count(*) n FROM s1.t UNION ALL SELECT count(*) FROM s2.t
        UNION ALL SELECT count(*) FROM s3.t UNION ALL SELECT count(*) FROM s4.t) c")" "rows by $1"
    expect_exit 0 "$NSMIGRATE" verify "$1.yaml" --json
    keep
    expect_exit 0 "$NSMIGRATE" status "$1.yaml"
    keep
}
verified="sslmode=verify-full&sslrootcert=$tmp/certs/trusted.pem"

pg_plan url "app:$pg_word" "$verified"
pg_moves url

export PGPASSWORD="$pg_word"
pg_plan environment app "$verified"
pg_moves environment
unset PGPASSWORD

echo "127.0.0.1:$pg_port:*:app:$pg_word" >home/.pgpass
chmod 600 home/.pgpass
pg_plan pgpass app "$verified"
pg_moves pgpass
rm home/.pgpass

# pg_refused NAME WHAT...: says what is wrong, in one line, and begins nothing
pg_refused() {
    name=$1
    shift
    expect_exit 1 "$NSMIGRATE" run "$name.yaml"
    keep
    expect_lines 1 "$err" "nsmigrate: "
    for what in "$@"; do
        expect_contains "$err" "$what"
    done
    expect_exit 3 "$NSMIGRATE" check "$name.yaml"
    keep
}
pg_plan wrong-authority "app:$pg_word" "sslmode=verify-full&sslrootcert=$tmp/certs/other.pem"
pg_refused wrong-authority "backend a" "certificate verify failed"
pg_plan no-authority "app:$pg_word" "sslmode=verify-full&sslrootcert=$tmp/certs/absent.pem"
pg_refused no-authority "backend a" "absent.pem"
pg_plan no-password app "$verified"
pg_refused no-password "backend a" "password"
pg_plan wrong-password "app:mistaken-$pg_word" "$verified"
pg_refused wrong-password "backend a" "password authentication failed"
pg_plan no-tls "app:$pg_word" "sslmode=disable"
pg_refused no-tls "backend a" "pg_hba.conf"

# ---- Redis ----

# redis_plan NAME USER-AND-PASSWORD OPTIONS
redis_plan() {
    cat >"$1.yaml" <<PLAN
version: 1
name: $1
retry: {attempts: 1}
backends:
  a: {adapter: redis, url: "rediss://${2}127.0.0.1:$tls_port/0"$3}
  b: {adapter: redis, url: "redis://127.0.0.1:$plain/0"}
namespaces:
  - {name: keys, source: {backend: a, prefix: "k:"}, destination: {backend: b}}
PLAN
}
redis_moves() {
    redis-cli -p "$plain" FLUSHALL >/dev/null
    expect_exit 0 "$NSMIGRATE" check "$1.yaml" --json
    keep
    expect_json '.status == "ok" and (.backends[0].details | contains("TLS") and (contains("no TLS") | not))'
    expect_exit 0 "$NSMIGRATE" run "$1.yaml" --verbose
    keep
    expect_same 500 "$(redis-cli -p "$plain" DBSIZE)" "keys by $1"
    expect_exit 0 "$NSMIGRATE" verify "$1.yaml" --json
    keep
}
redis_plan acl-user "mover:$redis_word@" ", tls_ca: certs/trusted.pem"
redis_moves acl-user
redis_plan default-user ":default-$redis_word@" ", tls_ca: certs/trusted.pem"
redis_moves default-user
redis_plan unverified "mover:$redis_word@" ", tls_verify: false"
redis_moves unverified

redis_plan redis-wrong-authority "mover:$redis_word@" ", tls_ca: certs/other.pem"
pg_refused redis-wrong-authority "backend a" "certificate" "tls_ca"
redis_plan redis-no-authority "mover:$redis_word@" ""
pg_refused redis-no-authority "backend a" "certificate" "tls_ca"
redis_plan redis-wrong-password "mover:mistaken-$redis_word@" ", tls_ca: certs/trusted.pem"
pg_refused redis-wrong-password "backend a" "WRONGPASS"
redis_plan redis-no-password "" ", tls_ca: certs/trusted.pem"
pg_refused redis-no-password "backend a" "REDISCLI_AUTH"
sed "s/rediss:/redis:/; s/, tls_ca: [^}]*//" acl-user.yaml | sed 's/name: acl-user/name: plain-to-tls/' >plain-to-tls.yaml
expect_exit 1 timeout 60 "$NSMIGRATE" run plain-to-tls.yaml
keep

# The environment's password is for servers that the plan names no password for; the other one here wants none.
sed -e "s/redis:..127.0.0.1:$plain/rediss:\/\/mover:$redis_word@127.0.0.1:$tls_port/; s/:$tls_port.0\"}/:$tls_port\/1\", tls_ca: certs\/trusted.pem}/" \
    -e 's/name: redis-no-password/name: redis-environment/' redis-no-password.yaml >redis-environment.yaml
export REDISCLI_AUTH="default-$redis_word"
expect_exit 0 "$NSMIGRATE" check redis-environment.yaml
keep
expect_exit 0 "$NSMIGRATE" run redis-environment.yaml
keep
expect_same 500 "$(redis-cli --tls --cacert certs/trusted.pem -h 127.0.0.1 -p "$tls_port" -n 1 DBSIZE)" "keys by the environment's password"
unset REDISCLI_AUTH

# ---- no secret anywhere ----

kill "$watcher"
wait "$watcher" 2>/dev/null || :
for word in "$pg_word" "$redis_word"; do
    expect_lacks "$said" "$word"
    expect_lacks "$tmp/processes" "$word"
    if grep -rlaF -e "$word" .nsmigrate; then
        fail "a secret in what runs leave"
    fi
done
expect_contains "$tmp/processes" "run url.yaml"
expect_contains "$tmp/processes" "run acl-user.yaml"
expect_contains "$tmp/processes" "pg_dump"
expect_contains "$said" "s4"
find .nsmigrate -name ledger.db | grep -q . || fail "no ledger was looked at"
