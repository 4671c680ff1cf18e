# The data of the benchmarks: `. "$NSM_SOURCE_DIR/tests/benchmark/data.sh"` after lib.sh and servers.sh. The same on every machine: no
# random numbers, no clock.

namespaces="1 2 3 4 5 6 7 8"

# make_schemas URL ROWS: schemas ns1 to ns8, ROWS rows in each: three tables, seven indexes (three of them keys), a foreign key.
make_schemas() {
    for n in $namespaces; do
        psql -X -q -v ON_ERROR_STOP=1 "$1" <<END
CREATE SCHEMA ns$n;
SET search_path = ns$n;
CREATE TABLE person (id bigint PRIMARY KEY, name text NOT NULL, born date, balance numeric(12, 2), active boolean, seen timestamptz);
CREATE TABLE event (id bigint PRIMARY KEY, person bigint NOT NULL, at timestamptz, payload jsonb, amount double precision);
CREATE TABLE document (id uuid PRIMARY KEY, title text, body text);
INSERT INTO person SELECT g, 'person ' || g, date '1950-01-01' + (g % 20000)::int, g * 1.25, g % 2 = 0,
    timestamptz '2026-01-01' + g * interval '1 s' FROM generate_series(1, $2 / 5) g;
INSERT INTO event SELECT g, 1 + g * 7919 % ($2 / 5), timestamptz '2026-01-01' + g * interval '1 min',
    jsonb_build_object('n', g, 'tag', md5(g::text)), g / 3.0 FROM generate_series(1, $2 - $2 / 5 - $2 / 7) g;
INSERT INTO document SELECT md5('$n ' || g)::uuid, 'document ' || g, repeat(md5(g::text), 40) FROM generate_series(1, $2 / 7) g;
CREATE UNIQUE INDEX person_by_name ON person (name);
CREATE INDEX event_by_person ON event (person);
CREATE INDEX event_by_time ON event (at);
CREATE INDEX document_by_title ON document (title);
ALTER TABLE event ADD FOREIGN KEY (person) REFERENCES person;
END
    done
    sql "$1" "VACUUM ANALYZE"
}

# drop_indexes URL: what make_schemas has made, without foreign keys, keys and indexes.
drop_indexes() {
    for kind in "contype = 'f'" "contype = 'p'"; do
        sql "$1" "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I;', conrelid::regclass, conname) FROM pg_constraint
            WHERE $kind AND connamespace::regnamespace::text ~ '^ns[0-9]'"
    done >drop.sql
    sql "$1" "SELECT format('DROP INDEX %s;', indexrelid::regclass) FROM pg_index JOIN pg_class c ON c.oid = indexrelid
        WHERE NOT indisprimary AND relnamespace::regnamespace::text ~ '^ns[0-9]'" >>drop.sql
    psql -X -q -v ON_ERROR_STOP=1 -f drop.sql "$1"
}

# make_table URL ROWS: one table without any index.
make_table() {
    psql -X -q -v ON_ERROR_STOP=1 "$1" <<END
CREATE SCHEMA big;
CREATE TABLE big.reading (sensor bigint, at timestamptz, value double precision, note text);
INSERT INTO big.reading SELECT g % 1000, timestamptz '2026-01-01' + g * interval '1 s', g / 7.0, 'reading ' || g FROM generate_series(1, $2) g;
VACUUM ANALYZE;
END
}

# make_keys PORT KEYS [strings]: prefixes ns1: to ns8:, KEYS keys in each: strings with an expiry, and unless only those: hashes, lists, zsets.
make_keys() {
    for n in $namespaces; do
        redis-cli -p "$1" EVAL "
local n, keys, only = '$n', $2, '${3:-}'
for i = 1, keys do
    local key = 'ns' .. n .. ':' .. i
    local kind = only == '' and i % 10 or 0
    if kind < 5 then redis.call('SET', key, string.rep('v', 20 + i % 100), 'PXAT', 4102444800000 + i)
    elseif kind < 8 then redis.call('HSET', key, 'name', 'n' .. i, 'age', i % 100, 'city', 'c' .. i % 1000)
    elseif kind == 8 then redis.call('RPUSH', key, i, i + 1, i + 2)
    else redis.call('ZADD', key, i, 'a', i / 7, 'b') end
end" 0 >/dev/null
    done
}

# make_small_keys PORT NAMESPACES [KEYS]: prefixes t1:, t2:, ... with that many keys (20) each.
make_small_keys() {
    redis-cli -p "$1" EVAL "for n = 1, $2 do for i = 1, ${3:-20} do
        redis.call('SET', 't' .. n .. ':' .. i, string.rep('v', i % 100)) end end" 0 >/dev/null
}

# make_small_schemas URL NAMESPACES: schemas t1, t2, ... of a table with a key, an index and 20 rows. In one transaction there would have
# to be a lock for each of them.
make_small_schemas() {
    awk -v n="$2" 'BEGIN {for (i = 1; i <= n; i++) printf "CREATE SCHEMA t%d; \
        CREATE TABLE t%d.item (id int PRIMARY KEY, name text); CREATE INDEX ON t%d.item (name); \
        INSERT INTO t%d.item SELECT g, \047item \047 || g FROM generate_series(1, 20) g;\n", i, i, i, i}' >small.sql
    psql -X -q -v ON_ERROR_STOP=1 -f small.sql "$1"
    sql "$1" "VACUUM ANALYZE"
}

# count_small_schemas URL: tables and indexes, and a checksum of all rows.
count_small_schemas() {
    sql "$1" "SELECT relkind, count(*) FROM pg_class WHERE relnamespace::regnamespace::text ~ '^t[0-9]' GROUP BY 1 ORDER BY 1" \
        "SELECT sum(hashtext(query_to_xml(format('TABLE %s', oid::regclass), true, false, '')::text)::bigint) FROM pg_class
            WHERE relkind = 'r' AND relnamespace::regnamespace::text ~ '^t[0-9]'"
}

# rows_of URL SCHEMA...: what psql says of every table: how many rows, and a checksum of them.
rows_of() {
    url=$1
    shift
    for schema in "$@"; do
        psql -X -q -A -t -v ON_ERROR_STOP=1 "$url" <<END
SELECT format('SELECT %L, count(*), sum(hashtextextended(t::text, 0)) FROM %1\$s t', c.oid::regclass) FROM pg_class c
    WHERE relnamespace = '$schema'::regnamespace AND relkind = 'r' ORDER BY relname \gexec
END
    done
}

# definitions_of URL SCHEMA...: the same for indexes and constraints.
definitions_of() {
    url=$1
    shift
    for schema in "$@"; do
        sql "$url" "SELECT indexdef FROM pg_indexes WHERE schemaname = '$schema' ORDER BY 1" \
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint
                WHERE connamespace = '$schema'::regnamespace ORDER BY 1, 2"
    done
}

keys_of() {
    redis-cli -p "$1" DEBUG DIGEST
}
