# verify compares what stands around the rows of SQLite files: each thing that somebody changes in the copy is named, and nothing else.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
cd "$tmp"

# finds NAME DIFFERENCE...: verify names these definitions and no others
finds() {
    name=$1
    shift
    printf '%s\n' "$@" | sort >wanted
    expect_exit 4 "$NSMIGRATE" verify "$name.yaml" --json
    jq -r 'select(.event == "difference") | .what + " " + .mark + " " + .object + " " + .key' "$out" | sed 's/^definition //' | sort >found
    cmp -s wanted found || fail "$name: verify names others: $(diff wanted found)"
}

# plan NAME TARGET [SELECTION]
plan() {
    printf 'version: 1\nname: %s\nbackends: {a: {adapter: sqlite, path: a.db}, b: {adapter: sqlite, path: %s}}\n' "$1" "$2" >"$1.yaml"
    printf 'namespaces: [{name: all, source: {backend: a%s}, destination: {backend: b}}]\n' "${3-}" >>"$1.yaml"
}

sqlite3 a.db "CREATE TABLE item (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, price REAL DEFAULT 1.5);
    CREATE TABLE behind (id INTEGER PRIMARY KEY AUTOINCREMENT, v); CREATE TABLE nameless (id INTEGER PRIMARY KEY AUTOINCREMENT);
    INSERT INTO item (name) VALUES ('a'), ('b'), ('c'); DELETE FROM item WHERE id = 3; INSERT INTO behind VALUES (7, 'x');
    INSERT INTO nameless VALUES (3); UPDATE sqlite_sequence SET seq = 2 WHERE name = 'behind'; DELETE FROM sqlite_sequence WHERE name = 'nameless';
    CREATE INDEX item_name ON item (name); CREATE UNIQUE INDEX item_price ON item (price, id); CREATE VIEW names AS SELECT name FROM item;
    CREATE TRIGGER noted AFTER INSERT ON item BEGIN DELETE FROM behind; END; PRAGMA user_version = 5; PRAGMA application_id = 77; ANALYZE"
plan whole whole.db
expect_exit 0 "$NSMIGRATE" run whole.yaml
expect_exit 0 "$NSMIGRATE" verify whole.yaml
sqlite3 whole.db "DROP INDEX item_name; CREATE INDEX more ON item (id); DROP INDEX item_price; CREATE INDEX item_price ON item (price, id);
    UPDATE sqlite_sequence SET seq = 4 WHERE name = 'item'; DROP VIEW names; CREATE VIEW names AS SELECT id FROM item; DROP TRIGGER noted;
    ALTER TABLE behind RENAME COLUMN v TO w; ALTER TABLE behind RENAME COLUMN w TO v; PRAGMA user_version = 6; ANALYZE; CREATE VIEW others AS SELECT 1"
finds whole '+ index item_name' '- index more' '* index item_price' '* sequence value item' '* view names' '+ trigger noted' '* setting user_version'

# Single tables go beside what others keep in a file, and leave its settings alone.
sqlite3 shared.db "CREATE TABLE others (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO others VALUES (9); CREATE INDEX theirs ON others (id); PRAGMA user_version = 9"
plan single shared.db ', tables: [item]'
expect_exit 0 "$NSMIGRATE" run single.yaml
plan beside shared-2.db
sqlite3 shared-2.db "CREATE TABLE others (id); PRAGMA user_version = 9"
expect_exit 0 "$NSMIGRATE" run beside.yaml
expect_exit 0 "$NSMIGRATE" verify single.yaml
expect_exit 0 "$NSMIGRATE" verify beside.yaml
sqlite3 shared.db "DROP INDEX item_name; UPDATE sqlite_sequence SET seq = 1 WHERE name = 'item'"
finds single '+ index item_name' '* sequence value item'
expect_exit 0 "$NSMIGRATE" repair single.yaml
expect_exit 0 "$NSMIGRATE" verify single.yaml
