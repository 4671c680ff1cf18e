# What if_exists means where something stands already: for Postgres (a schema, a table), SQLite tables and Redis keys.
#
# The source holds 1 to 5, the destination had 3 to 7 of its own.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
# shellcheck source=tests/support/servers.sh
. "$NSM_SOURCE_DIR/tests/support/servers.sh"
cd "$tmp"

theirs="3 theirs,4 theirs,5 theirs,6 theirs,7 theirs"
replaced="1 ours,2 ours,3 ours,4 ours,5 ours"
merged="1 ours,2 ours,3 ours,4 ours,5 ours,6 theirs,7 theirs"
skipped="1 ours,2 ours,3 theirs,4 theirs,5 theirs,6 theirs,7 theirs"

# moves NAME IF_EXISTS: the plan of what is in $source_backend, $target_backend and $namespaces (lines without if_exists)
moves() {
    {
        printf 'version: 1\nname: %s-%s\nworkers: 2\nbackends:\n' "$1" "$2"
        printf '  a: {%s}\n  b: {%s}\nnamespaces:\n' "$source_backend" "$target_backend"
        echo "$namespaces" | sed "s/^/  - {if_exists: $2, /; s/\$/}/"
    } >"$1-$2.yaml"
}

# means NAME STAND SHOW SHOW_OTHER: STAND puts what is theirs there, SHOW tells what stands, SHOW_OTHER what no meaning may touch
means() {
    $2
    other=$($4)
    expect_same "$theirs" "$($3)" "$1 to begin with"
    moves "$1" fail
    expect_exit 3 "$NSMIGRATE" preview "$1-fail.yaml"
    expect_exit 1 "$NSMIGRATE" run "$1-fail.yaml"
    expect_contains "$err" "if_exists is fail"
    expect_same "$theirs" "$($3)" "$1 after a refused run"
    expect_same "$other" "$($4)" "the rest of $1 after a refused run"
    for meaning in replace merge skip; do
        $2
        case $meaning in
            replace) stands=$replaced ;;
            merge) stands=$merged ;;
            skip) stands=$skipped ;;
        esac
        moves "$1" "$meaning"
        expect_exit 0 "$NSMIGRATE" preview "$1-$meaning.yaml"
        expect_same "$theirs" "$($3)" "$1 after preview of $meaning"
        expect_exit 0 "$NSMIGRATE" run "$1-$meaning.yaml" --json
        expect_json '.status == "ok"'
        expect_same "$stands" "$($3)" "$1 with $meaning"
        expect_same "ours" "$(new_one)" "what was not there, $1 with $meaning"
        expect_same "$other" "$($4)" "the rest of $1 with $meaning"
        [ "$meaning" = replace ] || expect_exit 0 "$NSMIGRATE" verify "$1-$meaning.yaml"
        expect_exit 0 "$NSMIGRATE" run "$1-$meaning.yaml"
        expect_contains "$out" "done before"
        expect_same "$stands" "$($3)" "$1 with $meaning, run twice"
    done
}

# ---- Postgres ----

pg_start pg
target_url=postgresql://postgres@127.0.0.1:$pg_port/target
sql "$pg_url" "CREATE DATABASE target" "CREATE SCHEMA app" "CREATE TABLE app.t (id int PRIMARY KEY, v text)" \
    "INSERT INTO app.t SELECT n, 'ours' FROM generate_series(1, 5) n" "CREATE TABLE app.fresh (id int PRIMARY KEY, v text)" \
    "INSERT INTO app.fresh VALUES (1, 'ours')" "CREATE SCHEMA bare" "CREATE TABLE bare.nokey (v text)" "INSERT INTO bare.nokey VALUES ('ours')"
source_backend="adapter: postgres, url: \"$pg_url\""
target_backend="adapter: postgres, url: \"$target_url\""
pg_stand() {
    sql "$target_url" "SET client_min_messages = error; DROP SCHEMA IF EXISTS app CASCADE" "CREATE SCHEMA app" \
        "CREATE TABLE app.t (id int PRIMARY KEY, v text)" "INSERT INTO app.t SELECT n, 'theirs' FROM generate_series(3, 7) n" \
        "CREATE TABLE app.foreign_one (v text)" "INSERT INTO app.foreign_one VALUES ('untouched')"
}
pg_show() {
    sql "$target_url" "SELECT string_agg(id || ' ' || v, ',' ORDER BY id) FROM app.t"
}
pg_other() {
    sql "$target_url" "SELECT v FROM app.foreign_one"
}
new_one() {
    sql "$target_url" "SELECT v FROM app.fresh"
}
namespaces='name: all, source: {backend: a, schema: app}, destination: {backend: b}'
means pg-schema pg_stand pg_show pg_other
expect_same 2 "$(sql "$target_url" "SELECT count(*) FROM pg_constraint WHERE contype = 'p' AND connamespace = 'app'::regnamespace")" "primary keys"
namespaces='name: fresh, source: {backend: a, table: app.fresh}, destination: {backend: b}
name: t, source: {backend: a, table: app.t}, destination: {backend: b}'
means pg-table pg_stand pg_show pg_other

# Nothing of a refused plan is written, also of namespaces that stand in nobody's way.
pg_stand
rm -rf .nsmigrate
expect_exit 1 "$NSMIGRATE" run pg-table-fail.yaml
expect_contains "$err" "app.t"
expect_same "" "$(sql "$target_url" "SELECT to_regclass('app.fresh')")" "a sibling of what was refused"

# Rows without a key can't be told apart: refused by name.
sql "$target_url" "CREATE SCHEMA bare" "CREATE TABLE bare.nokey (v text)" "INSERT INTO bare.nokey VALUES ('theirs')"
namespaces='name: bare, source: {backend: a, table: bare.nokey}, destination: {backend: b}'
for meaning in merge skip; do
    moves pg-bare "$meaning"
    expect_exit 3 "$NSMIGRATE" preview "pg-bare-$meaning.yaml"
    expect_exit 1 "$NSMIGRATE" run "pg-bare-$meaning.yaml"
    expect_contains "$err" "bare.nokey"
    expect_match "$err" "key"
    expect_same "theirs" "$(sql "$target_url" "SELECT v FROM bare.nokey")" "rows without a key after $meaning"
done

pg_stand
rm -rf .nsmigrate
expect_exit 0 "$NSMIGRATE" run pg-table-replace.yaml
expect_exit 0 "$NSMIGRATE" verify pg-table-replace.yaml

# ---- SQLite ----

sqlite3 ours.db "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE fresh (id INTEGER PRIMARY KEY, v TEXT);
    INSERT INTO t VALUES (1, 'ours'), (2, 'ours'), (3, 'ours'), (4, 'ours'), (5, 'ours'); INSERT INTO fresh VALUES (1, 'ours');
    CREATE TABLE nokey (v TEXT); INSERT INTO nokey VALUES ('ours')"
source_backend='adapter: sqlite, path: ours.db'
target_backend='adapter: sqlite, path: theirs.db'
lite_stand() {
    rm -f theirs.db theirs.db-wal theirs.db-shm
    sqlite3 theirs.db "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE foreign_one (v TEXT);
        INSERT INTO t VALUES (3, 'theirs'), (4, 'theirs'), (5, 'theirs'), (6, 'theirs'), (7, 'theirs');
        INSERT INTO foreign_one VALUES ('untouched')"
}
lite_show() {
    sqlite3 theirs.db "SELECT group_concat(id || ' ' || v) FROM (SELECT * FROM t ORDER BY id)"
}
lite_other() {
    sqlite3 theirs.db "SELECT v FROM foreign_one"
}
new_one() {
    sqlite3 theirs.db "SELECT v FROM fresh"
}
namespaces='name: all, source: {backend: a, tables: [t, fresh]}, destination: {backend: b}'
means lite lite_stand lite_show lite_other

lite_stand
rm -rf .nsmigrate
expect_exit 0 "$NSMIGRATE" run lite-replace.yaml
expect_exit 0 "$NSMIGRATE" verify lite-replace.yaml
sqlite3 theirs.db "CREATE TABLE nokey (v TEXT); INSERT INTO nokey VALUES ('theirs')"
namespaces='name: bare, source: {backend: a, tables: nokey}, destination: {backend: b}'
moves lite-bare merge
expect_exit 1 "$NSMIGRATE" run lite-bare-merge.yaml
expect_contains "$err" "nokey"
expect_same "theirs" "$(sqlite3 theirs.db "SELECT v FROM nokey")" "rows without a key"

# ---- Redis ----

redis_start one
one=$redis_port
redis_start two
two=$redis_port
for n in 1 2 3 4 5; do
    redis-cli -p "$one" SET "k:$n" ours >/dev/null
done
redis-cli -p "$one" SET f:new ours >/dev/null
source_backend="adapter: redis, url: \"redis://127.0.0.1:$one\""
target_backend="adapter: redis, url: \"redis://127.0.0.1:$two\""
# One of theirs is of another type, with an expiry and more items than ours has.
redis_stand() {
    redis-cli -p "$two" FLUSHALL >/dev/null
    for n in 3 4 5 6 7; do
        redis-cli -p "$two" SET "k:$n" theirs >/dev/null
        redis-cli -p "$two" PEXPIREAT "k:$n" 4102444800000 >/dev/null
    done
    redis-cli -p "$two" SET foreign_one untouched >/dev/null
}
redis_show() {
    for n in 1 2 3 4 5 6 7; do
        value=$(redis-cli -p "$two" GET "k:$n")
        [ -z "$value" ] || echo "$n $value"
    done | paste -sd, -
}
redis_other() {
    redis-cli -p "$two" GET foreign_one
}
new_one() {
    redis-cli -p "$two" GET f:new
}
# A conflict is a key, not a prefix: replace puts whole keys in the place of those of the same name, and keeps the others, which
# verify names.
replaced=$merged
namespaces='name: fresh, source: {backend: a, prefix: "f:"}, destination: {backend: b}
name: k, source: {backend: a, prefix: "k:"}, destination: {backend: b}'
means redis redis_stand redis_show redis_other
redis_stand
rm -rf .nsmigrate
expect_exit 0 "$NSMIGRATE" run redis-replace.yaml
expect_exit 4 "$NSMIGRATE" verify redis-replace.yaml
expect_lines 2 "$out" "  - k:"
redis_stand
rm -rf .nsmigrate
expect_exit 0 "$NSMIGRATE" run redis-skip.yaml
expect_same 4102444800000 "$(redis-cli -p "$two" PEXPIRETIME k:3)" "an expiry of theirs after skip"
