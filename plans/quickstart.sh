#!/bin/sh
# The main job on a fresh Debian 12, no server needed: installs what the build needs, builds, and moves five namespaces of real public
# data out of a SQLite file: previewed, run, verified.
#
#   sh plans/quickstart.sh
set -eu
cd "$(dirname "$0")/.."

packages="gcc cmake make pkg-config libpq-dev libhiredis-dev liblzf-dev libyaml-dev libsqlite3-dev libxxhash-dev libjansson-dev \
libzstd-dev libssl-dev sqlite3 iso-codes tzdata"

say() {
    printf '\n==> %s\n' "$*"
}

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

missing() {
    # shellcheck disable=SC2086 # a list of words
    dpkg-query -W -f='${Package} ${db:Status-Status}\n' $packages 2>/dev/null | awk '$2 == "installed" {print $1}' >"$1"
    for package in $packages; do
        grep -qx "$package" "$1" || printf '%s ' "$package"
    done
}

list=$(mktemp)
trap 'rm -f "$list"' EXIT
wanted=$(missing "$list")
if [ -n "$wanted" ]; then
    say "installing: $wanted"
    as_root=""
    [ "$(id -u)" = 0 ] || as_root=sudo
    $as_root apt-get update -qq
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted >/dev/null
fi

say "building"
cmake -B build -DNSM_TESTS=OFF >/dev/null
cmake --build build -j"$(nproc)" --target nsmigrate | tail -n 1

say "making the source: a SQLite file from Debian's iso-codes and tzdata"
out=plans/quickstart-out
rm -rf "$out" plans/.nsmigrate/quickstart
mkdir -p "$out"
sqlite3 "$out/atlas.db" <plans/quickstart.sql
sqlite3 "$out/atlas.db" "SELECT count(*) || ' subdivisions of ' || (SELECT count(*) FROM country) || ' countries, ' ||
    (SELECT count(*) FROM language) || ' languages, ' || (SELECT count(*) FROM zone) || ' time zones' FROM subdivision"

say "what would happen"
show build/nsmigrate preview plans/quickstart.yaml

say "now for real"
show build/nsmigrate run plans/quickstart.yaml

say "both sides compared once more"
show build/nsmigrate verify plans/quickstart.yaml

say "what is there now"
show sqlite3 "$out/moved.db" "SELECT name, coordinates FROM zone WHERE country = 'CH'"
show find "$out/archive" -type f
show head -n 2 "$out/archive/currencies/"*.jsonl
printf '\nThe plan is plans/quickstart.yaml, the result is in %s. A plan of your own: README.md, "A first plan".\n' "$out"
