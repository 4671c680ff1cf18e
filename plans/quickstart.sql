-- The quickstart's source: a SQLite file made from public data that Debian packages bring (iso-codes: the ISO 3166, 639, 4217 and
-- 15924 code lists; tzdata: the time zone database). Run by plans/quickstart.sh with sqlite3.

CREATE TABLE country (
    alpha_2 TEXT PRIMARY KEY,
    alpha_3 TEXT NOT NULL UNIQUE,
    numeric TEXT NOT NULL,
    name TEXT NOT NULL,
    official_name TEXT,
    common_name TEXT,
    flag TEXT
) WITHOUT ROWID;
INSERT INTO country
SELECT value ->> 'alpha_2', value ->> 'alpha_3', value ->> 'numeric', value ->> 'name', value ->> 'official_name',
       value ->> 'common_name', value ->> 'flag'
FROM json_each(readfile('/usr/share/iso-codes/json/iso_3166-1.json'), '$."3166-1"');

CREATE TABLE subdivision (
    code TEXT PRIMARY KEY,
    country TEXT NOT NULL REFERENCES country (alpha_2),
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    parent TEXT
);
INSERT INTO subdivision
SELECT value ->> 'code', substr(value ->> 'code', 1, 2), value ->> 'name', value ->> 'type', value ->> 'parent'
FROM json_each(readfile('/usr/share/iso-codes/json/iso_3166-2.json'), '$."3166-2"');
CREATE INDEX subdivision_country ON subdivision (country, type);

CREATE TABLE former_country (
    alpha_4 TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    withdrawal_date TEXT,
    comment TEXT
);
INSERT INTO former_country
SELECT value ->> 'alpha_4', value ->> 'name', value ->> 'withdrawal_date', value ->> 'comment'
FROM json_each(readfile('/usr/share/iso-codes/json/iso_3166-3.json'), '$."3166-3"');

CREATE VIEW country_size AS
SELECT country.name, count(*) AS subdivisions FROM country JOIN subdivision ON subdivision.country = country.alpha_2
GROUP BY country.alpha_2;

CREATE TABLE language (
    alpha_3 TEXT PRIMARY KEY,
    alpha_2 TEXT,
    name TEXT NOT NULL,
    inverted_name TEXT,
    scope TEXT NOT NULL,
    type TEXT NOT NULL
);
INSERT INTO language
SELECT value ->> 'alpha_3', value ->> 'alpha_2', value ->> 'name', value ->> 'inverted_name', value ->> 'scope', value ->> 'type'
FROM json_each(readfile('/usr/share/iso-codes/json/iso_639-3.json'), '$."639-3"');
CREATE INDEX language_type ON language (type);

CREATE TABLE language_family (
    alpha_3 TEXT PRIMARY KEY,
    name TEXT NOT NULL
);
INSERT INTO language_family
SELECT value ->> 'alpha_3', value ->> 'name'
FROM json_each(readfile('/usr/share/iso-codes/json/iso_639-5.json'), '$."639-5"');

CREATE TABLE currency (
    alpha_3 TEXT PRIMARY KEY,
    numeric INTEGER NOT NULL,
    name TEXT NOT NULL
);
INSERT INTO currency
SELECT value ->> 'alpha_3', CAST(value ->> 'numeric' AS INTEGER), value ->> 'name'
FROM json_each(readfile('/usr/share/iso-codes/json/iso_4217.json'), '$."4217"');

CREATE TABLE script (
    alpha_4 TEXT PRIMARY KEY,
    numeric INTEGER,
    name TEXT NOT NULL
);
INSERT INTO script
SELECT value ->> 'alpha_4', CAST(value ->> 'numeric' AS INTEGER), value ->> 'name'
FROM json_each(readfile('/usr/share/iso-codes/json/iso_15924.json'), '$."15924"');

-- zone.tab: country code, coordinates, zone name, comment; separated by tabs, '#' begins a comment line.
CREATE TEMPORARY TABLE zone_line (line TEXT);
.mode ascii
.separator "\1" "\n"
.import /usr/share/zoneinfo/zone.tab zone_line
CREATE TABLE zone (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    country TEXT NOT NULL,
    coordinates TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    comment TEXT
);
WITH split AS (
    SELECT substr(line, 1, 2) AS country, substr(line, 4) AS rest FROM zone_line WHERE line NOT LIKE '#%'
), parts AS (
    SELECT country, substr(rest, 1, instr(rest, char(9)) - 1) AS coordinates, substr(rest, instr(rest, char(9)) + 1) AS rest
    FROM split
)
INSERT INTO zone (country, coordinates, name, comment)
SELECT country, coordinates,
       CASE WHEN instr(rest, char(9)) > 0 THEN substr(rest, 1, instr(rest, char(9)) - 1) ELSE rest END,
       CASE WHEN instr(rest, char(9)) > 0 THEN substr(rest, instr(rest, char(9)) + 1) END
FROM parts;
