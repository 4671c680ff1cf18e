# What sqlite3's .dump keeps of a SQLite file, nsmigrate keeps: the dumps of both sides are the same, rowids included; also when the
# file was archived as JSON Lines in between.
#
# Only their order may differ where it means nothing: indexes are made as their tables are full, virtual tables after the tables
# in which they keep their rows.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
cd "$tmp"

# dump FILE: everything, then what has no order of its own in one
dump() {
    sqlite3 "$1" ".dump --preserve-rowids" | LC_ALL=C grep -av -e '^CREATE \(UNIQUE \)\{0,1\}INDEX' -e '^PRAGMA writable_schema' -e '^INSERT INTO sqlite_schema'
    sqlite3 "$1" "SELECT sql FROM sqlite_schema WHERE type = 'index' ORDER BY sql" \
        "SELECT name, sql FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL%' ORDER BY name" \
        "PRAGMA encoding" "PRAGMA user_version" "PRAGMA application_id"
}

# moves NAME FILE: copies FILE to NAME-out.db and compares
moves() {
    cat >"$1.yaml" <<EOF
version: 1
name: $1
workers: 2
backends: {a: {adapter: sqlite, path: "$2"}, b: {adapter: sqlite, path: $1-out.db}}
namespaces: [{name: all, source: {backend: a}, destination: {backend: b}}]
EOF
    expect_exit 0 "$NSMIGRATE" preview "$1.yaml"
    expect_lacks "$out" "loss"
    expect_exit 0 "$NSMIGRATE" run "$1.yaml" --json
    expect_json '.status == "ok"'
    dump "$2" >"$1-from.sql"
    dump "$1-out.db" >"$1-to.sql"
    cmp "$1-from.sql" "$1-to.sql" || fail "$1: the dumps differ"
    expect_exit 0 "$NSMIGRATE" verify "$1.yaml"
}

# archives NAME FILE: after moves, copies FILE into the folder NAME-files/all, that to NAME-back.db, and compares
archives() {
    cat >"$1-archive.yaml" <<EOF
version: 1
name: $1-archive
workers: 2
backends: {a: {adapter: sqlite, path: "$2"}, b: {adapter: file, path: $1-files}}
namespaces: [{name: all, source: {backend: a}, destination: {backend: b}}]
EOF
    cat >"$1-back.yaml" <<EOF
version: 1
name: $1-back
workers: 2
backends: {b: {adapter: file, path: $1-files}, c: {adapter: sqlite, path: $1-back.db}}
namespaces: [{name: all, source: {backend: b}, destination: {backend: c}}]
EOF
    for plan in "$1-archive" "$1-back"; do
        expect_exit 0 "$NSMIGRATE" preview "$plan.yaml"
        expect_lacks "$out" "loss"
        expect_exit 0 "$NSMIGRATE" run "$plan.yaml" --json
        expect_json '.status == "ok"'
        expect_exit 0 "$NSMIGRATE" verify "$plan.yaml"
    done
    dump "$1-back.db" >"$1-to.sql"
    cmp "$1-from.sql" "$1-to.sql" || fail "$1: the dump of what came back from files differs"
    jq -es 'all(type == "object")' "$1-files"/all/*.jsonl >/dev/null || fail "$1: jq does not read the lines"
}

# ---- everything that a file can hold ----

sqlite3 all.db <<'EOF'
PRAGMA user_version = 42; PRAGMA application_id = 77;
CREATE TABLE zeta (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT COLLATE NOCASE, d DECIMAL(5,2), r REAL, n NUMERIC, b BLOB, any_, CHECK (r > 0));
CREATE TABLE alpha (a TEXT, b INT);
INSERT INTO zeta VALUES (1, 'a', 1.5, 2, 'x', x'00ff', NULL), (7, CAST(x'610062' AS TEXT), '12.10', 1e300, 2.5, 'text', 9007199254740993),
    (8, CAST(x'ff41' AS TEXT), 0.1, 9e999, -9e999, '', x''), (9, '', 1, 1, 1, 1, 1);
DELETE FROM zeta WHERE id = 9;
INSERT INTO alpha (rowid, a, b) VALUES (5, 'x', 1), (3, 'y', 2), (100, 'z', 3), (-7, 'neg', 'text');
CREATE TABLE wr (k TEXT COLLATE NOCASE, v ANY, x INT, PRIMARY KEY (x DESC, k)) WITHOUT ROWID;
INSERT INTO wr VALUES ('B', 1, 2), ('a', x'01', 2), ('c', 1.5, 9);
CREATE TABLE hard (i INT, a ANY, r REAL, t TEXT, b BLOB) STRICT;
INSERT INTO hard VALUES (1, '1', 2.0, 't', x'00'), (NULL, 1, NULL, NULL, NULL);
CREATE TABLE gen (a INT, b INT AS (a * 2) STORED, c TEXT AS (a || 'v') VIRTUAL, d DEFAULT 'dd');
INSERT INTO gen (a) VALUES (1), (2);
CREATE TABLE backwards (id INTEGER PRIMARY KEY DESC, v); INSERT INTO backwards (rowid, id, v) VALUES (10, 1, 'a'), (4, 2, 'b');
CREATE TABLE hidden (rowid TEXT, _rowid_ INT, v); INSERT INTO hidden VALUES ('q', 1, 2), ('w', 2, 3);
CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (p INT REFERENCES parent (id) ON DELETE CASCADE); INSERT INTO child VALUES (99);
CREATE INDEX i1 ON alpha (b DESC, a COLLATE NOCASE) WHERE b > 1;
CREATE INDEX i2 ON alpha (lower(a)); CREATE UNIQUE INDEX i3 ON gen (c);
CREATE VIEW v2 AS SELECT * FROM alpha; CREATE VIEW v1 AS SELECT * FROM v2; CREATE VIEW broken AS SELECT * FROM nowhere;
CREATE TRIGGER t2 AFTER INSERT ON alpha BEGIN INSERT INTO child VALUES (new.b); END;
CREATE TRIGGER t1 INSTEAD OF INSERT ON v1 BEGIN SELECT 1; END;
CREATE TRIGGER t0 AFTER INSERT ON alpha BEGIN DELETE FROM child WHERE p = 0; END;
CREATE VIRTUAL TABLE f5 USING fts5(title, body); INSERT INTO f5 VALUES ('hello', 'world of text'), ('second', 'more words');
CREATE VIRTUAL TABLE f4 USING fts4(x); INSERT INTO f4 VALUES ('four');
CREATE VIRTUAL TABLE boxes USING rtree(id, low, high); INSERT INTO boxes VALUES (1, 0.5, 1.5);
CREATE VIEW found AS SELECT * FROM f5;
UPDATE sqlite_sequence SET seq = 5000;
ANALYZE; INSERT INTO alpha VALUES ('after ANALYZE', 50);
PRAGMA ignore_check_constraints = ON; INSERT INTO zeta (id, r) VALUES (20, -5);
EOF
moves all all.db
archives all all.db
expect_same "hello" "$(sqlite3 all-out.db "SELECT title FROM found WHERE found.title IN (SELECT title FROM f5 WHERE f5 MATCH 'world')")" "what a search finds"
for copy in all-out.db all-back.db; do
    sqlite3 $copy "INSERT INTO f5 (f5) VALUES ('integrity-check'); INSERT INTO boxes VALUES (2, 1, 2)" || fail "virtual tables that do not work"
done

# ---- an archive that is not whole, or goes elsewhere ----

sed -e 's/^name: .*/name: damaged/' -e 's/all-back.db/damaged.db/' all-back.yaml >damaged.yaml
# refuses WHAT
refuses() {
    expect_exit 3 "$NSMIGRATE" preview damaged.yaml
    expect_exit 1 "$NSMIGRATE" run damaged.yaml
    expect_contains "$err" "definition.sqlite: $1"
    [ ! -e damaged.db ] || fail "something was written"
}
definition=all-files/all/definition.sqlite
cp $definition kept
sed -i 's/COLLATE NOCASE/COLLATE NOCASG/' $definition
refuses "the checksum is not the manifest's"
head -c 100 kept >$definition
refuses "holds 100 bytes, but the manifest says"
rm $definition
refuses "is missing, but the manifest names it"
mv kept $definition
cat >elsewhere.yaml <<EOF
version: 1
name: elsewhere
backends: {b: {adapter: file, path: all-files}, c: {adapter: file, path: files-again}, m: {adapter: memory}}
namespaces:
  - {name: all, source: {backend: b}, destination: {backend: c}}
  - {name: other-kind, source: {backend: b, folder: all}, destination: {backend: m}}
EOF
expect_exit 3 "$NSMIGRATE" preview elsewhere.yaml
expect_contains "$out" "table zeta: column name holds values of several types"
expect_lacks "$out" "table child:"
expect_exit 0 "$NSMIGRATE" run elsewhere.yaml --only all
sed -e 's/^name: .*/name: again/' -e 's/all-files/files-again/; s/all-back.db/again.db/' all-back.yaml >again.yaml
expect_exit 0 "$NSMIGRATE" run again.yaml
dump again.db >again.sql
cmp all-from.sql again.sql || fail "the dump of what came back from an archive of an archive differs"

# ---- UTF-16, in both orders of bytes ----

for encoding in UTF-16le UTF-16be; do
    sqlite3 $encoding.db "PRAGMA encoding = '$encoding'; CREATE TABLE \"имя\" (a TEXT, b); INSERT INTO \"имя\" VALUES ('слово', x'00'), ('😀', 1.5)"
    name=$(echo $encoding | tr '[:upper:]' '[:lower:]')
    moves "$name" $encoding.db
    archives "$name" $encoding.db
done

# ---- what only the log holds ----

mkdir live
sqlite3 live.db >/dev/null <<'EOF'
PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
CREATE TABLE t (a); INSERT INTO t VALUES ('in the log');
.shell cp live.db live.db-wal live/
EOF
[ "$(stat -c %s live/live.db-wal)" -gt 0 ] || fail "no log to look into"
moves log "$tmp/live/live.db"
archives log "$tmp/live/live.db"
expect_same "in the log" "$(sqlite3 log-out.db "SELECT a FROM t")" "the row in the log"

# ---- files that other programs made ----

[ ! -f /usr/share/proj/proj.db ] || moves proj /usr/share/proj/proj.db # the package proj-data
