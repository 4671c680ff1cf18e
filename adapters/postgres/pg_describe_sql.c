/* See pg_describe_sql.h. */
#include "adapters/postgres/pg_describe_sql.h"

/* The relations that are asked for, with the sequences that belong to them; and the whole schemas. */
static const char selected[] =
    "WITH listed AS ( "
    "SELECT x.at, c.oid, x.prefix || x.shown AS shown, x.prefix, quote_ident(n.nspname) || "
    "', pg_catalog' AS path "
    "FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[]) x(at, schema, "
    "name, shown, prefix) "
    "JOIN pg_namespace n ON n.nspname = x.schema "
    "JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = x.name "
    "AND c.relkind IN ('r','p','v','m','S')), "
    "rel AS MATERIALIZED ( "
    "SELECT at, oid, shown, prefix, path FROM listed "
    "UNION SELECT l.at, s.oid, l.prefix || s.relname, l.prefix, quote_ident(n.nspname) || "
    "', pg_catalog' FROM listed l "
    "JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = l.oid "
    "AND d.refobjsubid > 0 "
    "AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') "
    "JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' "
    "JOIN pg_namespace n ON n.oid = s.relnamespace), "
    "whole AS MATERIALIZED ( "
    "SELECT x.at, n.oid, n.nspname, n.nspowner, n.nspacl, quote_ident(n.nspname) || ', "
    "pg_catalog' AS path "
    "FROM unnest($6::int[], $7::text[]) x(at, name) "
    "JOIN pg_namespace n ON n.nspname = x.name), "
    "items(at, kind, name, text, class, object, sub, acl, owner, is_alone) AS MATERIALIZED ( ";

/* Tables, views, materialized views, sequences. What ties them to others only where those are selected too. */
static const char relations[] =
    "SELECT r.at, CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' "
    "THEN 'materialized view' WHEN 'S' THEN 'sequence' ELSE 'table' END, r.shown, "
    "CASE WHEN set_config('search_path', r.path, true) <> '' THEN "
    "concat_ws(E'\\n', c.relpersistence, CASE WHEN c.relkind IN ('v', 'm') "
    "THEN pg_get_viewdef(c.oid) END, "
    "CASE WHEN c.relkind = 'm' AND NOT c.relispopulated THEN 'with no data' END, "
    "(SELECT string_agg(o, ', ' ORDER BY o COLLATE \"C\") FROM unnest(c.reloptions) o), "
    "(SELECT 'toast ' || string_agg(o, ', ' ORDER BY o COLLATE \"C\") "
    "FROM pg_class t, unnest(t.reloptions) o WHERE t.oid = c.reltoastrelid), "
    "(SELECT 'using ' || a.amname FROM pg_am a WHERE a.oid = c.relam "
    "AND a.amname <> 'heap'), "
    "CASE WHEN c.reloftype <> 0 THEN 'of ' || c.reloftype::regtype END, "
    "'replica identity ' || c.relreplident::text, CASE WHEN c.relrowsecurity "
    "THEN 'row security' END, CASE WHEN c.relforcerowsecurity THEN 'forced' END, "
    "CASE WHEN c.relkind = 'p' THEN 'partition by ' || pg_get_partkeydef(c.oid) END, "
    "(SELECT 'inherits ' || string_agg(i.inhparent::regclass::text, ', ' "
    "ORDER BY i.inhseqno) FROM pg_inherits i JOIN rel p ON p.oid = i.inhparent "
    "AND p.at = r.at WHERE i.inhrelid = r.oid), "
    "(SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i "
    "JOIN rel p ON p.oid = i.inhparent AND p.at = r.at WHERE i.inhrelid = r.oid "
    "AND c.relispartition), "
    "(SELECT concat_ws(' ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, "
    "s.seqmin, s.seqmax, s.seqcache, s.seqcycle) FROM pg_sequence s "
    "WHERE s.seqrelid = c.oid), "
    "(SELECT 'owned by ' || d.refobjid::regclass || '.' || a.attname || ' ' || "
    "d.deptype::text FROM pg_depend d JOIN rel p ON p.oid = d.refobjid "
    "AND p.at = r.at JOIN pg_attribute a ON a.attrelid = d.refobjid "
    "AND a.attnum = d.refobjsubid "
    "WHERE c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = c.oid "
    "AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass "
    "AND d.refobjsubid > 0) "
    ") END, 'pg_class'::regclass::oid, c.oid, 0, "
    "COALESCE(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' "
    "ELSE 'r' END::\"char\", c.relowner)), c.relowner, false "
    "FROM rel r JOIN pg_class c ON c.oid = r.oid ";

/* Sequences are under no snapshot; what the source's had come to is known from its survey. */
static const char values[] =
    "UNION ALL SELECT r.at, 'sequence value', r.shown, "
    "CASE WHEN has_sequence_privilege(c.oid, 'SELECT') "
    "AND set_config('search_path', '', true) = '' THEN "
    "regexp_replace(query_to_xml('SELECT last_value, is_called "
    "FROM ' || c.oid::regclass, true, false, '')::text, "
    "'^.*<last_value>(.*)</last_value>.*<is_called>(.*)</is_called>.*$', '\\1 \\2') END, "
    "0, 0, 0, NULL, 0, false "
    "FROM rel r JOIN pg_class c ON c.oid = r.oid WHERE c.relkind = 'S' AND $8::boolean ";

/* A digest of two halves, whatever the rows' order. The schema's own functions must not be taken for the server's. */
static const char rows[] =
    "UNION ALL SELECT r.at, 'materialized view rows', r.shown, "
    "CASE WHEN has_table_privilege(c.oid, 'SELECT') "
    "AND set_config('search_path', r.path, true) <> '' THEN "
    "regexp_replace(query_to_xml('SELECT pg_catalog.count(*) AS n, "
    "COALESCE(pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.textin("
    "pg_catalog.record_out(nsmigrate_row)), 1)), 0) AS a, "
    "COALESCE(pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.textin("
    "pg_catalog.record_out(nsmigrate_row)), 2)), 0) AS b "
    "FROM ' || c.oid::regclass || ' AS nsmigrate_row', true, false, '')::text, "
    "'^.*<n>(.*)</n>.*<a>(.*)</a>.*<b>(.*)</b>.*$', '\\1 \\2 \\3') END, "
    "0, 0, 0, NULL, 0, false "
    "FROM rel r JOIN pg_class c ON c.oid = r.oid WHERE c.relkind = 'm' AND c.relispopulated ";

/* Their order counts where it is not that of a parent. */
static const char columns[] =
    "UNION ALL SELECT r.at, 'column', r.shown || '.' || a.attname, "
    "CASE WHEN set_config('search_path', r.path, true) <> '' THEN concat_ws(' ', "
    "CASE WHEN NOT EXISTS (SELECT FROM pg_inherits i JOIN rel p ON p.oid = i.inhparent "
    "AND p.at = r.at WHERE i.inhrelid = r.oid) "
    "THEN row_number() OVER (PARTITION BY r.at, r.oid ORDER BY a.attnum) END, "
    "format_type(a.atttypid, a.atttypmod), "
    "(SELECT 'collate ' || CASE WHEN pg_collation_is_visible(k.oid) THEN '' "
    "ELSE quote_ident(n.nspname) || '.' END || quote_ident(k.collname) "
    "FROM pg_collation k JOIN pg_namespace n ON n.oid = k.collnamespace "
    "JOIN pg_type t ON t.oid = a.atttypid WHERE k.oid = a.attcollation "
    "AND k.oid <> t.typcollation), "
    "CASE WHEN a.attnotnull THEN 'not null' END, CASE WHEN a.attgenerated <> '' "
    "THEN 'generated ' || a.attgenerated::text WHEN a.atthasdef THEN 'default' END, "
    "pg_get_expr(d.adbin, d.adrelid), CASE WHEN a.attidentity <> '' "
    "THEN 'identity ' || a.attidentity::text END, "
    "CASE WHEN c.relkind IN ('r', 'p', 'm') THEN 'storage ' || a.attstorage::text END, "
    "'compression ' || NULLIF(to_jsonb(a) ->> 'attcompression', ''), 'statistics ' || "
    "NULLIF(to_jsonb(a) ->> 'attstattarget', '-1'), "
    "(SELECT string_agg(o, ', ' ORDER BY o COLLATE \"C\") FROM unnest(a.attoptions) o)) END, "
    "'pg_class'::regclass, r.oid, a.attnum, a.attacl, c.relowner, false "
    "FROM rel r JOIN pg_class c ON c.oid = r.oid "
    "JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped "
    "LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum "
    "WHERE c.relkind <> 'S' ";

/* Those of constraints go with these. */
static const char indexes[] =
    "UNION ALL SELECT r.at, 'index', r.prefix || i.relname, "
    "CASE WHEN set_config('search_path', r.path, true) <> '' "
    "THEN pg_get_indexdef(i.oid, 0, true) || E'\\n-- ' || concat_ws(', ', "
    "CASE WHEN NOT x.indisvalid THEN 'invalid' END, CASE WHEN x.indisclustered "
    "THEN 'clustered' END, CASE WHEN x.indisreplident THEN 'replica identity' END, "
    "(SELECT 'part of ' || h.inhparent::regclass FROM pg_inherits h "
    "JOIN pg_index px ON px.indexrelid = h.inhparent JOIN rel p ON p.oid = px.indrelid "
    "AND p.at = r.at WHERE h.inhrelid = i.oid), "
    "(SELECT 'statistics ' || string_agg(a.attnum || ' ' || (to_jsonb(a) ->> "
    "'attstattarget'), ', ' ORDER BY a.attnum) FROM pg_attribute a "
    "WHERE a.attrelid = i.oid AND to_jsonb(a) ->> 'attstattarget' <> '-1')) END, "
    "'pg_class'::regclass, i.oid, 0, NULL, 0, false "
    "FROM rel r JOIN pg_index x ON x.indrelid = r.oid "
    "JOIN pg_class i ON i.oid = x.indexrelid "
    "WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.oid "
    "AND k.contype IN ('p', 'u', 'x')) ";

/* A foreign key of a partition that its parent's brings is none of its own. */
static const char constraints[] =
    "UNION ALL SELECT r.at, 'constraint', r.shown || '.' || k.conname, "
    "CASE WHEN set_config('search_path', r.path, true) <> '' "
    "THEN 'ALTER TABLE ' || r.oid::regclass || ' ADD CONSTRAINT ' || "
    "quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid) || E'\\n-- ' || "
    "concat_ws(', ', "
    "CASE WHEN NOT k.convalidated THEN 'not valid' END, CASE WHEN k.connoinherit "
    "AND k.contype = 'c' THEN 'no inherit' END, "
    "(SELECT concat_ws(', ', CASE WHEN x.indisclustered THEN 'clustered' END, CASE "
    "WHEN x.indisreplident THEN 'replica identity' END, "
    "(SELECT string_agg(o, ', ' ORDER BY o COLLATE \"C\") "
    "FROM unnest(i.reloptions) o), replace(substring(pg_get_indexdef(i.oid, 0, true) from "
    "' USING .*'), E'\\n', ' ')) FROM pg_index x "
    "JOIN pg_class i ON i.oid = x.indexrelid WHERE k.contype IN ('p', 'u', 'x') "
    "AND x.indexrelid = k.conindid)) END, "
    "'pg_constraint'::regclass, k.oid, 0, NULL, 0, false "
    "FROM rel r JOIN pg_constraint k ON k.conrelid = r.oid "
    "WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND NOT (k.contype = 'f' "
    "AND k.conparentid <> 0) ";

/* Those that a partition has from its parent, only when that is selected. */
static const char triggers[] =
    "UNION ALL SELECT r.at, 'trigger', r.shown || '.' || t.tgname, CASE "
    "WHEN set_config('search_path', r.path, true) <> '' "
    "THEN pg_get_triggerdef(t.oid, true) || E'\\n-- enabled ' || t.tgenabled::text END, "
    "'pg_trigger'::regclass, t.oid, 0, NULL, 0, false "
    "FROM rel r JOIN pg_trigger t ON t.tgrelid = r.oid LEFT "
    "JOIN pg_trigger u ON u.oid = (to_jsonb(t) ->> 'tgparentid')::oid "
    "WHERE (NOT t.tgisinternal OR u.tgisinternal = false) AND (u.oid IS NULL "
    "OR EXISTS (SELECT FROM rel p WHERE p.oid = u.tgrelid AND p.at = r.at)) ";

static const char rules[] =
    "UNION ALL SELECT r.at, 'rule', r.shown || '.' || w.rulename, CASE "
    "WHEN set_config('search_path', r.path, true) <> '' "
    "THEN pg_get_ruledef(w.oid, true) || E'\\n-- enabled ' || w.ev_enabled::text END, "
    "'pg_rewrite'::regclass, w.oid, 0, NULL, 0, false "
    "FROM rel r JOIN pg_rewrite w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN' ";

static const char policies[] =
    "UNION ALL SELECT r.at, 'policy', r.shown || '.' || p.polname, CASE "
    "WHEN set_config('search_path', r.path, true) <> '' THEN "
    "concat_ws(E'\\n', p.polcmd, p.polpermissive, "
    "(SELECT string_agg(CASE WHEN o = 0 THEN 'public' "
    "ELSE quote_ident(pg_get_userbyid(o)) END, ', ' ORDER BY pg_get_userbyid(o)) "
    "FROM unnest(p.polroles) o), "
    "'using ' || pg_get_expr(p.polqual, p.polrelid), 'check ' || "
    "pg_get_expr(p.polwithcheck, p.polrelid)) END, "
    "'pg_policy'::regclass, p.oid, 0, NULL, 0, false "
    "FROM rel r JOIN pg_policy p ON p.polrelid = r.oid ";

static const char statistics[] =
    "UNION ALL SELECT r.at, 'statistics', r.prefix || s.stxname, CASE "
    "WHEN set_config('search_path', r.path, true) <> '' THEN "
    "substr(pg_get_statisticsobjdef(s.oid), length('CREATE STATISTICS ' || "
    "quote_ident(n.nspname) || '.') + 1) || E'\\n-- ' || "
    "COALESCE(to_jsonb(s) ->> 'stxstattarget', '') END, "
    "'pg_statistic_ext'::regclass, s.oid, 0, NULL, 0, false "
    "FROM rel r JOIN pg_statistic_ext s ON s.stxrelid = r.oid "
    "JOIN pg_namespace n ON n.oid = s.stxnamespace ";

static const char schemas[] =
    "UNION ALL SELECT w.at, 'schema', '', '', 'pg_namespace'::regclass, w.oid, 0, "
    "CASE WHEN w.nspname <> 'public' THEN w.nspacl END, w.nspowner, true FROM whole w ";

/* Their own names are cut off, because the server always writes these with the schema. */
static const char functions[] =
    "UNION ALL SELECT w.at, CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'p' "
    "THEN 'procedure' ELSE 'function' END, "
    "CASE WHEN set_config('search_path', w.path, true) <> '' "
    "THEN p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' END, "
    "CASE WHEN set_config('search_path', w.path, true) = '' THEN NULL "
    "WHEN p.prokind = 'a' THEN (SELECT concat_ws(' ', (to_jsonb(a) - ARRAY['aggfnoid', "
    "'aggtranstype', 'aggmtranstype', 'aggsortop'])::text, a.aggtranstype::regtype, "
    "a.aggmtranstype::regtype, a.aggsortop::regoperator, p.proparallel, "
    "pg_get_function_result(p.oid)) FROM pg_aggregate a WHERE a.aggfnoid = p.oid) "
    "ELSE substr(pg_get_functiondef(p.oid), length('CREATE OR REPLACE ' || "
    "CASE p.prokind WHEN 'p' THEN 'PROCEDURE ' ELSE 'FUNCTION ' "
    "END || quote_ident(w.nspname) || '.') + 1) END, "
    "'pg_proc'::regclass, p.oid, 0, COALESCE(p.proacl, acldefault('f', p.proowner)), "
    "p.proowner, true "
    "FROM whole w JOIN pg_proc p ON p.pronamespace = w.oid ";

/* Not those that come with a table or another type. */
static const char types[] =
    "UNION ALL SELECT w.at, CASE WHEN t.typtype = 'd' THEN 'domain' ELSE 'type' "
    "END, t.typname, CASE WHEN set_config('search_path', w.path, true) <> '' "
    "THEN concat_ws(E'\\n', t.typtype, t.typisdefined, "
    "(SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) "
    "FROM pg_enum e WHERE e.enumtypid = t.oid), "
    "(SELECT string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, "
    "a.atttypmod) || ' ' || a.attcollation::regclass::text, ', ' ORDER BY a.attnum) "
    "FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 "
    "AND NOT a.attisdropped), "
    "CASE WHEN t.typtype = 'd' THEN concat_ws(' ', format_type(t.typbasetype, "
    "t.typtypmod), CASE WHEN t.typnotnull THEN 'not null' "
    "END, 'default ' || t.typdefault) END, "
    "(SELECT string_agg(quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), ', ' "
    "ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'), "
    "(SELECT concat_ws(' ', g.rngsubtype::regtype, (SELECT o.opcname "
    "FROM pg_opclass o WHERE o.oid = g.rngsubopc), g.rngcanonical, g.rngsubdiff, "
    "to_jsonb(g) ->> 'rngmultitypid' IS NOT NULL) FROM pg_range g WHERE g.rngtypid = t.oid), "
    "CASE WHEN t.typtype = 'b' THEN concat_ws(' ', t.typlen, t.typbyval, t.typinput, "
    "t.typoutput, t.typreceive, t.typsend, t.typalign, t.typstorage) END) END, "
    "'pg_type'::regclass, t.oid, 0, COALESCE(t.typacl, acldefault('T', t.typowner)), "
    "t.typowner, true "
    "FROM whole w JOIN pg_type t ON t.typnamespace = w.oid LEFT "
    "JOIN pg_class c ON c.oid = t.typrelid "
    "WHERE (c.oid IS NULL OR c.relkind = 'c') AND NOT EXISTS (SELECT FROM pg_type e "
    "WHERE e.typarray = t.oid) ";

static const char operators[] =
    "UNION ALL SELECT w.at, 'operator', CASE WHEN set_config('search_path', w.path, true) "
    "<> '' THEN o.oid::regoperator::text END, "
    "CASE WHEN set_config('search_path', w.path, true) <> '' THEN "
    "concat_ws(' ', o.oprcode, o.oprrest, o.oprjoin, o.oprcom::regoperator, "
    "o.oprnegate::regoperator, o.oprcanmerge, o.oprcanhash) END, "
    "'pg_operator'::regclass, o.oid, 0, NULL, 0, true FROM whole w "
    "JOIN pg_operator o ON o.oprnamespace = w.oid "
    "UNION ALL SELECT w.at, 'operator class', o.opcname || ' ' || m.amname, CASE "
    "WHEN set_config('search_path', w.path, true) <> '' THEN "
    "concat_ws(' ', f.opfname, o.opcintype::regtype, o.opcdefault, o.opckeytype::regtype, "
    "(SELECT string_agg(concat_ws(' ', x.amopstrategy, x.amoppurpose, "
    "x.amopopr::regoperator), ', ' ORDER BY x.amopstrategy, x.amoplefttype, "
    "x.amoprighttype) FROM pg_amop x WHERE x.amopfamily = f.oid "
    "AND x.amoplefttype = o.opcintype), "
    "(SELECT string_agg(concat_ws(' ', x.amprocnum, x.amproc::regprocedure), ', ' "
    "ORDER BY x.amprocnum, x.amproclefttype, x.amprocrighttype) FROM pg_amproc x "
    "WHERE x.amprocfamily = f.oid AND x.amproclefttype = o.opcintype)) END, "
    "'pg_opclass'::regclass, o.oid, 0, NULL, 0, true FROM whole w "
    "JOIN pg_opclass o ON o.opcnamespace = w.oid JOIN pg_am m ON m.oid = o.opcmethod "
    "JOIN pg_opfamily f ON f.oid = o.opcfamily "
    "UNION ALL SELECT w.at, 'operator family', o.opfname || ' ' || m.amname, '', "
    "'pg_opfamily'::regclass, o.oid, 0, NULL, 0, true FROM whole w "
    "JOIN pg_opfamily o ON o.opfnamespace = w.oid JOIN pg_am m ON m.oid = o.opfmethod ";

static const char others[] =
    "UNION ALL SELECT w.at, 'collation', k.collname, (to_jsonb(k) - ARRAY['oid', "
    "'collname', 'collnamespace', 'collowner', 'collversion'])::text, "
    "'pg_collation'::regclass, k.oid, 0, NULL, 0, true FROM whole w "
    "JOIN pg_collation k ON k.collnamespace = w.oid "
    "UNION ALL SELECT w.at, 'conversion', k.conname, "
    "concat_ws(' ', pg_encoding_to_char(k.conforencoding), "
    "pg_encoding_to_char(k.contoencoding), k.condefault), 'pg_conversion'::regclass, "
    "k.oid, 0, NULL, 0, true FROM whole w JOIN pg_conversion k ON k.connamespace = w.oid "
    "UNION ALL SELECT w.at, 'text search dictionary', k.dictname, "
    "concat_ws(' ', m.tmplname, k.dictinitoption), 'pg_ts_dict'::regclass, k.oid, 0, NULL, "
    "0, true FROM whole w JOIN pg_ts_dict k ON k.dictnamespace = w.oid "
    "JOIN pg_ts_template m ON m.oid = k.dicttemplate "
    "UNION ALL SELECT w.at, 'text search configuration', k.cfgname, CASE "
    "WHEN set_config('search_path', w.path, true) <> '' THEN (SELECT p.prsname "
    "FROM pg_ts_parser p WHERE p.oid = k.cfgparser) || ' ' || COALESCE( "
    "(SELECT string_agg(concat_ws(' ', x.maptokentype, x.mapdict::regdictionary), ', ' "
    "ORDER BY x.maptokentype, x.mapseqno) FROM pg_ts_config_map x "
    "WHERE x.mapcfg = k.oid), '') END, 'pg_ts_config'::regclass, k.oid, 0, NULL, 0, true "
    "FROM whole w JOIN pg_ts_config k ON k.cfgnamespace = w.oid ";

/* Comments, rights and owners of all that. Who owns something has all rights to it, whatever was granted. */
static const char all[] =
    "), "
    "ours AS MATERIALIZED (SELECT * FROM items i WHERE NOT is_alone OR NOT EXISTS "
    "(SELECT FROM pg_depend d WHERE d.classid = i.class AND d.objid = i.object "
    "AND (d.deptype = 'e' OR d.deptype = 'i' AND d.classid = 'pg_proc'::regclass))) "
    "SELECT at, kind, name, text, is_alone, NULL AS role, NULL AS maker FROM ours WHERE kind <> 'schema' "
    "UNION ALL SELECT i.at, 'comment', concat_ws(' ', i.kind, NULLIF(i.name, '')), "
    "d.description, i.is_alone, NULL, NULL FROM ours i "
    "JOIN pg_description d ON d.classoid = i.class AND d.objoid = i.object "
    "AND d.objsubid = i.sub "
    "UNION ALL SELECT i.at, 'grant', concat_ws(' ', x.privilege_type || ' on', i.kind, "
    "NULLIF(i.name, '')) || ' to ' || COALESCE(r.rolname, 'PUBLIC'), CASE "
    "WHEN bool_or(x.is_grantable) THEN 'with grant option' ELSE '' "
    "END, true, COALESCE(r.rolname, ''), NULL "
    "FROM ours i, LATERAL aclexplode(i.acl) x LEFT "
    "JOIN pg_roles r ON r.oid = x.grantee WHERE i.acl IS NOT NULL "
    "AND x.grantee <> i.owner GROUP BY i.at, i.kind, i.name, x.privilege_type, r.rolname "
    "UNION ALL SELECT i.at, 'owner', concat_ws(' ', i.kind, NULLIF(i.name, '')), "
    "pg_get_userbyid(i.owner), true, NULL, pg_get_userbyid(i.owner) "
    "FROM ours i WHERE i.owner <> 0 AND i.sub = 0 "
    "UNION ALL SELECT w.at, 'default privilege', concat(x.privilege_type, ' on ', "
    "CASE a.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' "
    "WHEN 'f' THEN 'functions' ELSE 'types' END, ' to ', COALESCE(r.rolname, 'PUBLIC'), "
    "' of what ', o.rolname, ' makes'), CASE WHEN x.is_grantable THEN 'with grant option' "
    "ELSE '' END, true, COALESCE(r.rolname, ''), o.rolname "
    "FROM whole w JOIN pg_default_acl a ON a.defaclnamespace = w.oid "
    "JOIN pg_roles o ON o.oid = a.defaclrole, LATERAL aclexplode(a.defaclacl) x "
    "LEFT JOIN pg_roles r ON r.oid = x.grantee ";

void nsm_pg_describe_sql(struct nsm_buf *sql)
{
    static const char *const pieces[] = {
        selected, relations,  values,  rows,      columns, indexes,   constraints, triggers, rules,
        policies, statistics, schemas, functions, types,   operators, others,      all};
    for (size_t i = 0; i < NSM_COUNT_OF(pieces); i++)
        nsm_buf_append_cstr(sql, pieces[i]);
}
