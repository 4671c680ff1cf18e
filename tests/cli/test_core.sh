# What is in the program's memory stays there: no core file, and for a process that may not be dumped the system hands out neither its
# memory nor its environment, also not to processes of the same user.
# shellcheck source=tests/support/lib.sh
. "$NSM_SOURCE_DIR/tests/support/lib.sh"
cd "$tmp"

cat >plan.yaml <<'PLAN'
version: 1
name: hanging
backends:
  a: {adapter: memory, stall_op: read}
  d: {adapter: file, path: ./out}
namespaces:
  - name: one
    source: {backend: a}
    destination: {backend: d}
PLAN

# Root may read everything: then the program and who looks are somebody else.
user=$(id -u)
as=
if [ "$user" = 0 ]; then
    user=54321
    as="setpriv --reuid=$user --regid=$user --clear-groups"
    cp "$NSMIGRATE" "$(basename "$NSMIGRATE")"
    NSMIGRATE=$tmp/$(basename "$NSMIGRATE")
    chown "$user" "$tmp"
fi

# The look is one that would see something.
# shellcheck disable=SC2086 # words, or none
start $as env SECRET=swordfish sleep 60
# shellcheck disable=SC2086
wait_until $as grep -q SECRET=swordfish "/proc/$pid/environ"

# A limit that would let a core be written.
prlimit --pid $$ --core="$(prlimit --pid $$ --core --noheadings --output HARD | tr -d ' '):"
# shellcheck disable=SC2086
start $as env SECRET=swordfish "$NSMIGRATE" run plan.yaml --json
wait_until takes_signals "$pid"
wait_until grep -q '"step":"copy"' .out.bg
grep -qE '^Max core file size +0 +0 ' "/proc/$pid/limits" || fail "a core file may be written"
for file in environ mem maps; do
    # shellcheck disable=SC2086
    if $as head -c 1 "/proc/$pid/$file" >/dev/null 2>&1; then
        fail "/proc/PID/$file can be read"
    fi
done
[ "$(stat -c %u "/proc/$pid/environ")" != "$user" ] || fail "the process may be dumped"
