#!/bin/sh
# What gdb shows of Python threads, of which it sees those that run.
#
# usage: prove tests/gdb.t

. "$(dirname "$0")/tap.sh"

command -v gdb > /dev/null || die "gdb is missing: run tools/install-deps"
build=$(dirname "$PTH_PYTHON")
[ -f "$build/python-gdb.py" ] || die "$build/python-gdb.py is missing: run 'make check'"

cat > "$tmp/threads.py" <<'END'
import threading
import time

def wait_for_lock():
    lock.acquire()

def compute():
    while True:
        pass

lock = threading.Lock()
lock.acquire()
for f in (wait_for_lock, compute):
    threading.Thread(target=f, daemon=True).start()
for _ in range(100):
    # Some slices.
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    id(42)
END
# One that the kernel keeps from running may be left behind, which is a thread of gdb
# then: until it waits in Pth.
cat > "$tmp/until.py" <<'END'
while "in compute" not in gdb.execute("py-bt", to_string=True):
    gdb.execute("continue")
END
# Debian's gdb may fetch what it lacks from the network, and asks first.
run env -u DEBUGINFOD_URLS timeout -k 10 300 gdb --nx --batch \
    -iex "add-auto-load-safe-path $build/python-gdb.py" \
    -ex 'break builtin_id' -ex run -ex "source $tmp/until.py" \
    -ex 'echo py-bt:\n' -ex py-bt \
    -ex 'echo py-bt-full:\n' -ex py-bt-full --args "$PTH_PYTHON" -S "$tmp/threads.py"
is "gdb runs the program" "$status" 0
like "no signal of the backend stops it on the way to the breakpoint" "$out" \
    '(^|hit )Breakpoint 1, builtin_id'
unlike "nor is one shown" "$out" 'SIG63'
for command in py-bt py-bt-full; do
    # Up to the next command, or to the end.
    waiting=$(printf '%s\n' "$out" | sed -n "/^$command:/,/^py-bt-full:/p" |
        sed -n '/^Python thread/,/, in/p')
    is "$command shows the threads that wait, in Python and for the GIL" \
        "$(printf '%s\n' "$waiting" | sed 's/0x[0-9a-f]*/ID/; s/".*"/FILE/; s/line [0-9]*/line N/')" \
        "Python thread ID, which does not run (most recent call first):
  Waiting for the GIL
  File FILE, line N, in compute
Python thread ID, which does not run (most recent call first):
  File FILE, line N, in wait_for_lock"
done

done_testing
