#!/bin/sh
# The switch from one thread to another keeps what belongs to a thread, and leaves
# alone those who switch contexts themselves.
#
# usage: prove tests/context.t

. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/builds.sh"

run ${CC:-cc} -Wall -Werror -O1 -fPIC -shared "$top/tests/ext/coroutine.c" \
    -o "$tmp/coroutine.so" -lm
[ $status -eq 0 ] || die "tests/ext/coroutine.c: $err"

# A coroutine in each of some threads: both kinds of switches, each in the middle
# of the other.  FE_TONEAREST is 0 everywhere; the others are <fenv.h>'s.
cat > "$tmp/coroutines.py" <<'END'
import ctypes
import platform
import threading
import time

run = ctypes.CDLL("coroutine.so").run_coroutine
up = {"x86_64": 0x800, "aarch64": 0x400000}.get(platform.machine(), 0)
results = []
threads = [threading.Thread(target=lambda i=i: results.append(run(50, up * (i % 2))))
           for i in range(8)]
for t in threads:
    t.start()
for i in range(200):
    time.sleep(0.0001)
    assert 0.1 + 0.2 == 0.30000000000000004
for t in threads:
    t.join()
print(results)
END
for by in stock pth; do
    run env LD_LIBRARY_PATH="$tmp" timeout -k 10 120 \
        "$(interpreter $by)" -I "$tmp/coroutines.py"
    is "coroutines of C, and rounding modes, in eight threads in $by" "$out" \
        "[50, 50, 50, 50, 50, 50, 50, 50]"
    [ "$status" -eq 0 ] || show_run
done

# Each with a mask of its own, in a hand-off and after a start.
cat > "$tmp/masks.py" <<'END'
import queue
import signal
import threading

def work(i):
    mine = {signal.Signals(s) for s in (1, 2, 10, 12) if i & s}
    signal.pthread_sigmask(signal.SIG_BLOCK, mine)
    for _ in range(100):
        inner.put(i)
        inner.get()
        if signal.pthread_sigmask(signal.SIG_BLOCK, ()) != mine:
            wrong.append(i)

inner = queue.Queue()
wrong = []
threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
for t in threads:
    t.start()
for t in threads:
    t.join()
assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
late = threading.Thread(target=lambda: wrong.extend(
    signal.pthread_sigmask(signal.SIG_BLOCK, ())))
late.start()
late.join()
print(wrong)
END
for by in stock pth; do
    run timeout -k 10 120 \
        "$(interpreter $by)" -I "$tmp/masks.py"
    is "sixteen threads with masks of their own in $by" "$out" "[]"
    [ "$status" -eq 0 ] || show_run
done

done_testing
