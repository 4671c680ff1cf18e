# Whole schemas compared by what pg_dump and psql say: `. "$NSM_SOURCE_DIR/tests/support/pg_compare.sh"` after servers.sh.

# pg_definition URL SCHEMA [QUOTED]: the schema's definition, its name (QUOTED where SQL has to quote it) replaced by "app"
pg_definition() {
    pattern=$(printf '%s' "$2" | sed 's/"/""/g')
    pg_dump --schema-only --no-publications --schema="\"$pattern\"" "$1" | python3 -c '
import sys
text, quoted = sys.stdin.read(), sys.argv[1]
text = text.replace(quoted + ".", "app.").replace("SCHEMA " + quoted, "SCHEMA app")
sys.stdout.writelines(line for line in text.splitlines(True) if not line.startswith(("--", "\\")))' "${3-$2}"
}

# pg_rows URL SCHEMA: count and digest of every table and filled materialized view, state of every sequence. Partitions by the hash of an
# enum are left out: which of them a row is in differs between databases.
pg_rows() {
    psql -X -q -A -t -v ON_ERROR_STOP=1 -v schema="$2" "$1" <<'SQL'
SET search_path = '';
SELECT format('SELECT %L, count(*), md5(string_agg(t::text, E''\n'' ORDER BY t::text)) FROM %s %I.%I t', relname,
        CASE relkind WHEN 'r' THEN 'ONLY' ELSE '' END, nspname, relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE nspname = :'schema' AND relname !~ '^by_mood_' AND (relkind IN ('r', 'p') OR relkind = 'm' AND relispopulated) ORDER BY relname
\gexec
SELECT format('SELECT %L, last_value, is_called FROM %I.%I', relname, nspname, relname) FROM pg_class c
    JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = :'schema' AND relkind = 'S' ORDER BY relname
\gexec
SQL
}

# expect_same_files WANTED FOUND WHAT
expect_same_files() {
    [ -s "$1" ] || fail "$3: nothing to compare"
    diff -u "$1" "$2" >"$tmp/.diff" || {
        head -n 60 "$tmp/.diff" >&2
        fail "$3 differ"
    }
}

# pg_expect_same WHAT SOURCE-URL SCHEMA URL SCHEMA [QUOTED]
pg_expect_same() {
    pg_definition "$2" "$3" >"$tmp/.wanted"
    pg_definition "$4" "$5" "${6-$5}" >"$tmp/.found"
    expect_same_files "$tmp/.wanted" "$tmp/.found" "$1: definitions"
    pg_rows "$2" "$3" >"$tmp/.wanted"
    pg_rows "$4" "$5" >"$tmp/.found"
    expect_same_files "$tmp/.wanted" "$tmp/.found" "$1: rows"
}
