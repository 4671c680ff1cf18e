#!/bin/sh
# Every test, on a fresh Debian 12: installs what the tests need (PostgreSQL 15, Redis 7, compilers), builds, runs ctest against servers
# that the tests start themselves, and ends non-zero when anything fails.
#
#   sh tests/run.sh          build with gcc, all tests
#   sh tests/run.sh --ci     besides: formatting, spelling, clang without a warning, clang-tidy, a bounded time of fuzzing; the unit,
#                            conformance and command line tests under the address and undefined-behaviour sanitizers, what has
#                            threads under the thread sanitizer, and the tests on whole programs and servers without
set -eu
cd "$(dirname "$0")/.."
is_ci=false
[ "${1:-}" != --ci ] || is_ci=true
jobs=$(nproc)

build_packages="gcc cmake make pkg-config libpq-dev libhiredis-dev liblzf-dev libyaml-dev libsqlite3-dev libxxhash-dev libjansson-dev \
libzstd-dev libssl-dev libcmocka-dev"
test_packages="postgresql-15 postgresql-client-15 postgresql-contrib redis-server redis-tools sqlite3 jq openssl python3 zstd iso-codes tzdata proj-data \
util-linux procps bsdutils"
# What the thread sanitizer runs: all that has threads of its own or drives adapters from several.
threaded='test_group|test_context|test_board|test_ledger$|test_conformance|test_engine_faults|cli_test_(run|failure|signals)'
ci_packages="clang clang-format clang-tidy libclang-rt-14-dev codespell shellcheck git"

install() {
    wanted=""
    for package in "$@"; do
        status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$status" = installed ] || wanted="$wanted $package"
    done
    [ -n "$wanted" ] || return 0
    echo "==> installing:$wanted"
    as_root=""
    [ "$(id -u)" = 0 ] || as_root=sudo
    # Debian would start a cluster and a server of its own, which no test wants.
    $as_root mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo "create_main_cluster = false" | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    $as_root apt-get update -qq
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $wanted >/dev/null
}

# build FOLDER CMAKE-ARGUMENTS...
build() {
    folder=$1
    shift
    echo "==> building $folder"
    cmake -B "$folder" -DNSM_WERROR=ON -DNSM_TESTS=ON "$@" >/dev/null
    cmake --build "$folder" -j"$jobs" | grep -v '^\[' || true
    cmake --build "$folder" # says what failed, if anything did
}

# run FOLDER CTEST-ARGUMENTS...
run() {
    folder=$1
    shift
    echo "==> testing $folder"
    # Twice the cores: most tests wait for their servers.
    ctest --test-dir "$folder" --no-tests=error --output-on-failure -j$((jobs * 2)) "$@"
}

check_text() {
    echo "==> formatting, spelling, scripts"
    git ls-files -z '*.c' '*.h' | xargs -0 clang-format --dry-run --Werror
    codespell
    git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck -s sh -S warning -e SC2034,SC2154 -x
}

# One file at a time: with several, clang-tidy 14 takes the second's va_lists for uninitialized. The analyzer's shallow mode finds nearly
# as much in a tenth of the time.
tidy() {
    echo "==> clang-tidy"
    git ls-files -z 'migrate/*.c' 'adapters/*.c' | xargs -0 -n 1 -P "$jobs" clang-tidy -p "$1" --quiet \
        --extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang --extra-arg=mode=shallow 2>/dev/null
}

# Each target for a short time, beginning with its corpus.
fuzz() {
    for target in "$1"/tests/fuzz_*; do
        [ -x "$target" ] && [ ! -d "$target" ] || continue
        name=$(basename "$target")
        found=$(mktemp -d)
        echo "==> $name"
        "$target" -max_total_time=6 -timeout=10 -rss_limit_mb=1024 -verbosity=0 -print_final_stats=0 \
            -artifact_prefix="$found/" "$found" "tests/fuzz/corpus/${name#fuzz_}"
        rm -rf "$found"
    done
}

# shellcheck disable=SC2086 # lists of words
install $build_packages $test_packages
if $is_ci; then
    # shellcheck disable=SC2086
    install $ci_packages
    check_text
    build build-asan -DCMAKE_C_COMPILER=clang -DCMAKE_C_FLAGS=-O1 -DCMAKE_BUILD_TYPE=Debug -DNSM_SANITIZE=address,undefined -DNSM_FUZZ=ON
    tidy build-asan
    fuzz build-asan
    run build-asan -L 'unit|cli|fuzz'
    build build-tsan -DCMAKE_C_COMPILER=clang -DCMAKE_C_FLAGS=-O1 -DCMAKE_BUILD_TYPE=Debug -DNSM_SANITIZE=thread
    run build-tsan -R "$threaded"
fi
build build
if $is_ci; then
    run build -L 'integration|faults'
else
    run build
fi
