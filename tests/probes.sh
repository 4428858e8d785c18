#!/usr/bin/env bash
# A program has the probes that <task/trace.h> lists, each of which is a nop; and
# gdb, which stops at them, finds their arguments.
. "$(dirname "$0")/support/common.sh"

grep -q '^TASK_PROBES:BOOL=ON$' "$build/CMakeCache.txt" || skip 'built without'
echo '#include <sys/sdt.h>' | $CC -E - >/dev/null 2>&1 || skip 'no <sys/sdt.h>'
have readelf || skip 'no readelf'

cat >"$tmp/program.c" <<'END'
#include <task.h>

static int child(void *arg)
{
    task_yield();
    return *(int *)arg;
}

static int run(void *arg)
{
    (void)arg;
    return task_await(task_create(child, &(int){7}));
}

int main(void)
{
    return loop_run(run, NULL) != 7;
}
END
# shellcheck disable=SC2086 # words are wanted
$CC $CFLAGS -I "$root/include" "$tmp/program.c" "$build/libtask.a" -pthread \
    -o "$tmp/program"

# "name address n" of each; that of the header: "name n".
readelf -n --wide "$tmp/program" 2>/dev/null | awk '
    /Provider:/ { is_ours = $NF == "libtask" }
    $1 == "Name:" { name = $2 }
    $1 == "Location:" { address = $2; sub(",", "", address) }
    $1 == "Arguments:" && is_ours { print name, address, gsub(/@/, "") }
' | sort >"$tmp/notes"
sed -nE 's/^ \*     ([a-z_]+)\(([a-z, ]+)\)( .*)?$/\1,\2/p' \
    "$root/include/task/trace.h" | awk -F, '{ print $1, NF - 1 }' |
    sort >"$tmp/wanted"
[[ $(wc -l <"$tmp/wanted") == 10 ]] || fail 'debug.h lists other probes'
awk '{ print $1, $3 }' "$tmp/notes" | uniq >"$tmp/found"
diff "$tmp/wanted" "$tmp/found" || fail 'other probes than in debug.h'

while read -r name address _; do
    objdump -d --start-address="$address" --stop-address=$((address + 1)) \
        "$tmp/program" | matches -w nop || fail "$name at $address is no nop"
done <"$tmp/notes"

have gdb || exit 0
gdb -nx -batch -ex 'set confirm off' -ex 'break -probe libtask:task_created' \
    -ex 'break -probe libtask:task_ended' -ex run \
    -ex 'printf "created %d\n", $_probe_arg1' -ex continue \
    -ex 'set $two = $_probe_arg0' \
    -ex 'printf "created %d then\n", $_probe_arg1' -ex continue \
    -ex 'printf "ended %d %d\n", $_probe_arg0 == $two, $_probe_arg1' \
    "$tmp/program" </dev/null >"$tmp/said" 2>&1 || true
grep -q 'Operation not permitted\|ptrace' "$tmp/said" && exit 0 # no debugging
for line in 'created 1' 'created 2 then' 'ended 1 7'; do
    grep -qx "$line" "$tmp/said" || { cat "$tmp/said"; fail "gdb: no $line"; }
done
