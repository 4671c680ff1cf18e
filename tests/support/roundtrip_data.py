"""Data of all kinds from a seed, for test_roundtrip.sh: pg.sql, lite.sql and redis.resp (for redis-cli --pipe) in the working directory."""

import random
import sys
import uuid

rnd = random.Random(int(sys.argv[1]))
N_ROWS = 300
ALPHABET = ["a", "Z", "0", " ", "'", '"', "\\", "\t", "\n", "\r", "%", ":", "{", "é", "ж", "漢", "😀", "\u2028", "NULL", "$1", "\\N"]


def maybe(value, share=0.15):
    return None if rnd.random() < share else value


def text():
    return "".join(rnd.choice(ALPHABET) for _ in range(rnd.choice([0, 1, 3, 12])))


def blob():
    return bytes(rnd.choice([0, 10, 13, 34, 37, 92, 127, 128, 255, rnd.randrange(256)]) for _ in range(rnd.choice([0, 1, 7, 40])))


def digits(n):
    return str(rnd.randrange(1, 10)) + "".join(rnd.choice("0123456789") for _ in range(n))


def numeric():
    number = rnd.choice(["", "-"]) + rnd.choice(["0", digits(2), digits(60)]) + rnd.choice(["", ".0", ".10", "." + digits(70)])
    return rnd.choice([number, number, number, number, "NaN", "Infinity", "-Infinity"])


def real():
    return rnd.choice(
        [repr(rnd.uniform(-1e6, 1e6)), repr(rnd.random() * 10.0 ** rnd.randrange(-300, 300)), "NaN", "Infinity", "-Infinity", "0", "-0", "5e-324"]
    )


def date():
    return rnd.choice(
        ["%04d-%02d-%02d" % (rnd.randrange(1, 9999), rnd.randrange(1, 13), rnd.randrange(1, 29)), "infinity", "-infinity", "0044-03-15 BC", "4713-12-31 BC"]
    )


def time():
    if rnd.random() < 0.1:
        return rnd.choice(["infinity", "-infinity", "294276-12-31 23:59:59.999999", "0001-01-01 00:00:00 BC"])
    day = "%04d-%02d-%02d" % (rnd.randrange(1, 9999), rnd.randrange(1, 13), rnd.randrange(1, 29))
    return "%s %02d:%02d:%02d.%06d" % (day, rnd.randrange(24), rnd.randrange(60), rnd.randrange(60), rnd.choice([0, 1, 500000, rnd.randrange(10**6)]))


def zoned():
    at = time()
    return at if "infinity" in at or "BC" in at or "294276" in at else at + rnd.choice(["+00", "-11", "+05:30", "+14"])


def json_text():
    return rnd.choice(['{"a": 1.10,  "b":[]}', "null", '"\\u00e9 \\" \\\\"', "[1e400, -0, {}]", '{"d":1,"d":2}', '" "'])


def pg(value):
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return "'\\x%s'" % value.hex()
    return "'%s'" % str(value).replace("'", "''")


def lite(value):
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return "x'%s'" % value.hex()
    if isinstance(value, str):
        return "'%s'" % value.replace("'", "''")
    return repr(value)


def write_pg(out):
    out.write("CREATE SCHEMA rt;\nCREATE TABLE rt.one (id bigint PRIMARY KEY, n numeric, i bigint, f double precision, b boolean, t text, ")
    out.write("d date, ts timestamp, tz timestamptz, u uuid, j json, y bytea);\n")
    out.write("CREATE TABLE rt.more (id bigint PRIMARY KEY, r real, c char(5), v varchar(9), m numeric(30, 9), jb jsonb, a text[], iv interval,")
    out.write(" p point, h inet, e bit varying, tt time, tz timetz);\n")
    for i in range(N_ROWS):
        row = [numeric(), rnd.choice([0, -(2**63), 2**63 - 1, rnd.randrange(-99, 99)]), real(), rnd.choice("tf"), text(), date(), time(), zoned()]
        row += [uuid.UUID(int=rnd.getrandbits(128)), json_text(), blob()]
        out.write("INSERT INTO rt.one VALUES (%d, %s);\n" % (i, ", ".join(pg(maybe(value)) for value in row)))
        row = [rnd.choice(["1.1", "NaN", "-Infinity", "3.4e38"]), text()[:4].replace("\n", ""), text()[:9], digits(10), '{"b": 1, "a": "%s"}' % i]
        row += ["{NULL,\"x,\\\"y\",%s}" % i, "1 mon -3 days 00:00:0.%06d" % rnd.randrange(10**6), "(1.5,-2e10)", "10.0.0.0/8", "0110", "24:00:00", "01:02:03.5+05"]
        out.write("INSERT INTO rt.more VALUES (%d, %s);\n" % (i, ", ".join(pg(maybe(value)) for value in row)))


def write_lite(out):
    out.write("CREATE TABLE one (id INTEGER PRIMARY KEY, i INTEGER, r REAL, t TEXT, b BLOB);\nCREATE TABLE mixed (id TEXT PRIMARY KEY, v) WITHOUT ROWID;\n")
    for i in range(N_ROWS):
        row = [rnd.choice([0, -(2**63) + 1, 2**63 - 1, rnd.randrange(-99, 99)]), rnd.randrange(-(2**40), 2**40) / 8, text(), blob()]
        out.write("INSERT INTO one VALUES (%d, %s);\n" % (i, ", ".join(lite(maybe(value)) for value in row)))
        out.write("INSERT INTO mixed VALUES (%s, %s);\n" % (lite("%d%s" % (i, text())), lite(maybe(rnd.choice([i, i / 8, text(), blob()])))))


def command(out, *words):
    out.write(b"*%d\r\n" % len(words))
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        out.write(b"$%d\r\n%s\r\n" % (len(word), word))


def write_redis(out):
    for i in range(N_ROWS):
        key = b"k:%d:" % i + blob()
        kind = rnd.choice(["string", "hash", "list", "set", "zset", "stream"])
        some = [blob() + b"%d" % at for at in range(rnd.choice([1, 3, 40]))]
        if kind == "string":
            command(out, "SET", key, blob())
        elif kind == "hash":
            command(out, "HSET", key, *[word for member in some for word in (member, blob())])
        elif kind == "list":
            command(out, "RPUSH", key, *[blob() for _ in some])
        elif kind == "set":
            command(out, "SADD", key, *some)
        elif kind == "zset":
            for member in some:
                command(out, "ZADD", key, rnd.choice(["inf", "-inf", "0", "1.1", "1e-300", repr(rnd.uniform(-1e9, 1e9))]), member)
        else:
            for at in range(len(some)):
                command(out, "XADD", key, "%d-%d" % (at + 1, rnd.randrange(9)), blob(), blob(), "f", at)
            if rnd.random() < 0.3:
                command(out, "XTRIM", key, "MAXLEN", 0)
        if rnd.random() < 0.5:
            command(out, "PEXPIREAT", key, rnd.choice([4102444800000, 32503680000001, 95617584000000]) + rnd.randrange(1000))


with open("pg.sql", "w", encoding="utf-8", newline="") as file:
    write_pg(file)
with open("lite.sql", "w", encoding="utf-8", newline="") as file:
    write_lite(file)
with open("redis.resp", "wb") as file:
    write_redis(file)
