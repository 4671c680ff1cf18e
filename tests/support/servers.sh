# Real servers for script tests: `. "$NSM_SOURCE_DIR/tests/support/servers.sh"` after lib.sh.
#
#   pg_start NAME      a PostgreSQL of its own on a free loopback port; $pg_port, $pg_url (database postgres), $pg_dir
#   redis_start NAME   a Redis of its own; $redis_port, $redis_url, $redis_pid
#
# Data lies below $tmp; what was started is stopped when the test ends. PostgreSQL refuses to run as root: it runs as the package's
# user then, with trust authentication on loopback, which is all that it listens on.

pg_bin=$(dirname "$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -n 1)")
pg_dirs=
# The programs themselves, not Debian's wrappers, which take longer to start than most statements to run.
PATH=$pg_bin:$PATH

stop_servers() {
    for dir in $pg_dirs; do
        pg_as "$pg_bin/pg_ctl" -D "$dir" -m immediate -W stop >/dev/null 2>&1 || :
    done
}

at_end="$at_end stop_servers"

# Whoever may run PostgreSQL here.
pg_as() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups "$@"
    else
        "$@"
    fi
}

free_port() {
    python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

# pg_start NAME [SETTING=VALUE...]
pg_start() {
    pg_dir=$tmp/$1
    shift
    [ -x "$pg_bin/initdb" ] || fail "PostgreSQL is not installed"
    chmod 711 "$tmp"
    mkdir "$pg_dir"
    [ "$(id -u)" != 0 ] || chown postgres:postgres "$pg_dir"
    pg_as "$pg_bin/initdb" -D "$pg_dir" -U postgres -A trust -E UTF8 --locale=C.UTF-8 -N >/dev/null
    pg_port=$(free_port)
    {
        echo "listen_addresses = '127.0.0.1'"
        echo "port = $pg_port"
        echo "unix_socket_directories = ''"
        echo "fsync = off"
        echo "max_wal_size = 4GB"
        for setting in "$@"; do
            echo "$setting"
        done
    } >>"$pg_dir/postgresql.conf"
    pg_as "$pg_bin/pg_ctl" -D "$pg_dir" -w -t 60 -l "$pg_dir/log" start >/dev/null || {
        cat "$pg_dir/log" >&2
        fail "PostgreSQL does not start"
    }
    pg_dirs="$pg_dirs $pg_dir"
    pg_url=postgresql://postgres@127.0.0.1:$pg_port/postgres
}

# sql URL STATEMENT...: bare values, one row a line.
sql() {
    sql_url=$1
    shift
    for statement in "$@"; do
        shift
        set -- "$@" -c "$statement"
    done
    psql -X -q -A -t -v ON_ERROR_STOP=1 "$@" "$sql_url"
}

# redis_start NAME [OPTION...]: options as redis-server takes them.
redis_start() {
    redis_dir=$tmp/$1
    shift
    mkdir "$redis_dir"
    redis_port=$(free_port)
    redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$redis_dir" --save '' --appendonly no "$@" >"$redis_dir/log" 2>&1 &
    redis_pid=$!
    started="$started $redis_pid"
    redis_url=redis://127.0.0.1:$redis_port/0
    wait_until redis-cli -p "$redis_port" ping
}
