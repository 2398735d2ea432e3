#!/bin/sh
# What strace sees: no futex call a hand-off, and nothing of Pth where a program
# has one thread.

. "$(dirname "$0")/tap.sh"

command -v strace >/dev/null || die "strace is missing: run tools/install-deps"
strace -o /dev/null true 2>"$tmp/err" ||
    die "strace may not trace processes here: $(cat "$tmp/err")"

# Run a program of ours by python $1; its system calls go to the file $2.
# $isolated is -I, or empty for a program that is to see PYTHONPTHSYSCALLS.
isolated=-I
trace() {
    python=$1 log=$2
    shift 2
    # In the locale C, setlocale() has nothing to do.
    # shellcheck disable=SC2086
    LC_ALL=C.UTF-8 strace -f -qq -o "$log" "$python" $isolated "$@" \
        < /dev/null > "$tmp/said" 2>&1 || {
        note "$(cat "$tmp/said")"
        return 1
    }
}

# Without FSGSBASE each switch is an arch_prctl(), where strace stops the thread with
# the backend locked.
switches_by_calls=
if [ "$(uname -m)" = x86_64 ] && ! grep -qw fsgsbase /proc/cpuinfo; then
    switches_by_calls="the processor or the kernel has no FSGSBASE"
fi

no_futex_call_a_hand_off() {
    ok "$1 runs$2" trace "$PTH_PYTHON" "$tmp/log" "$top/bench/programs/$1.py"
    if [ -n "$switches_by_calls" ]; then
        skip "$1 makes no futex call a hand-off$2" "$switches_by_calls"
        return
    fi
    # A kernel thread waits when it is parked, and the monitor when there is
    # nothing to watch; strace makes some more of them seem to be stuck.
    threads=$(grep -Ec '(clone3|clone)\(.*CLONE_THREAD' "$tmp/log")
    waits=$(grep -c 'futex(.*FUTEX_WAIT' "$tmp/log")
    ok "$1 makes no futex call a hand-off$2 ($waits wait, of $threads threads)" \
        test "$waits" -le $((10 * threads))
}
for program in import_loop lock_pingpong queue_items; do
    no_futex_call_a_hand_off $program ""
done
# Who waits for a lock makes no call either way.
isolated='' PYTHONPTHSYSCALLS=0
export PYTHONPTHSYSCALLS
for program in lock_pingpong queue_items; do
    no_futex_call_a_hand_off $program " without the mapping"
done
unset PYTHONPTHSYSCALLS
isolated=-I

# A hand-off of stock Pth calls swapcontext(), and that sigprocmask().
if [ -n "$switches_by_calls" ]; then
    skip "40,000 hand-offs make no system call" "$switches_by_calls"
elif [ "$(uname -m)" = x86_64 ]; then
    ok "lock_pingpong runs" trace "$PTH_PYTHON" "$tmp/log" \
        "$top/bench/programs/lock_pingpong.py"
    ok "40,000 hand-offs make no system call (all of the process: $(wc -l < "$tmp/log"))" \
        test "$(wc -l < "$tmp/log")" -lt 4000
else
    skip "40,000 hand-offs make no system call" "pth_context.c knows x86-64 alone"
fi

# A program that never starts a thread.

# How often python, not its children, makes each call between the second mark
# and the last one.
counts() {
    pid=$(sed -n '1s/ .*//p' "$1")
    sed -n '/mark-again/,/mark-end/p' "$1" |
        sed -n "s/^$pid  *\([a-z0-9_]*\)(.*/\1/p" |
        # Memory: when the allocator asks for more depends on the addresses.
        grep -Ev '^(brk|mmap|munmap|madvise)$' |
        sort | uniq -c
}
ok "a program with one thread runs on stock" \
    trace "$STOCK_PYTHON" "$tmp/stock" "$top/tests/programs/one_thread.py"
ok "a program with one thread runs on pth" \
    trace "$PTH_PYTHON" "$tmp/pth" "$top/tests/programs/one_thread.py"
counts "$tmp/stock" > "$tmp/stock.counts"
counts "$tmp/pth" > "$tmp/pth.counts"
like "the calls between the marks are seen" "$(cat "$tmp/stock.counts")" ' recvfrom$'
is "a program with one thread makes the same system calls as stock, one for one" \
    "$(diff "$tmp/stock.counts" "$tmp/pth.counts")" ""
is "it installs no handler for the signal of the backend" \
    "$(grep -c 'rt_sigaction(SIGRT_31, {sa_handler=0x' "$tmp/pth")" 0
is "it starts no kernel thread" \
    "$(grep -Ec 'clone3?\(.*CLONE_THREAD' "$tmp/pth")" 0

# A process whose threads all wait, idle for five seconds, from one second after
# it has said so.
cat > "$tmp/idle.py" <<'END'
import ctypes
import os
import socket
import subprocess
import threading
import time

lock = threading.Lock()
lock.acquire()
a, b = socket.socketpair()
libc = ctypes.CDLL("libc.so.6")
for wait in (lock.acquire, lambda: a.recv(1), lambda: time.sleep(1000),
             threading.Event().wait, libc.pause):
    threading.Thread(target=wait, daemon=True).start()
# It blocks all signals for a moment.
subprocess.run(["true"])
end = time.monotonic() + 0.1
while time.monotonic() < end:
    pass
os.write(1, b"idle\n")
libc.read(0, ctypes.create_string_buffer(1), 1)
os._exit(0)
END
{ sleep 8; echo; } | LC_ALL=C.UTF-8 strace -f -qq -ttt -o "$tmp/log" \
    "$PTH_PYTHON" -I "$tmp/idle.py" > "$tmp/said"
is "a program whose threads all wait runs" "$(cat "$tmp/said")" idle
like "when it is idle is seen" "$(cat "$tmp/log")" 'write\(1, "idle'
is "an idle process makes no system call in five seconds" "$(awk '
    /write\(1, "idle/ { start = $2 + 1 }
    start && $2 > start && $2 < start + 5' "$tmp/log")" ""

# One thread computes, the others wait for descriptors and deadlines: nobody has to
# be asked for anything, nor looked after, from one second after it has said so.
cat > "$tmp/computes.py" <<'END'
import os
import socket
import threading
import time

a, b = socket.socketpair()
for wait in (lambda: a.recv(1), lambda: time.sleep(1000)):
    threading.Thread(target=wait, daemon=True).start()
time.sleep(0.1)
os.write(1, b"computes\n")
end = time.monotonic() + 4
while time.monotonic() < end:
    pass
os._exit(0)
END
LC_ALL=C.UTF-8 strace -f -qq -ttt -o "$tmp/log" \
    "$PTH_PYTHON" -I "$tmp/computes.py" > "$tmp/said" < /dev/null
is "a program with a thread that computes runs" "$(cat "$tmp/said")" computes
like "when it computes is seen" "$(cat "$tmp/log")" 'write\(1, "computes'
# The clock that it reads may be a system call (vdso(7)).
is "a thread that computes while others wait costs no system call in two seconds" "$(awk '
    /write\(1, "computes/ { start = $2 + 1 }
    start && $2 > start && $2 < start + 2 && !/clock_gettime\(/' "$tmp/log")" ""

# Threads that start one after the other: each takes what the last one has left.
cat > "$tmp/starts.py" <<'END'
import os
import threading


def start(n):
    for _ in range(n):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()


start(10)
os.write(1, b"starts\n")
start(500)
os.write(1, b"ended\n")
END
ok "a program that starts threads runs" trace "$PTH_PYTHON" "$tmp/log" "$tmp/starts.py"
like "when it starts them is seen" "$(cat "$tmp/log")" 'write\(1, "ended'
mapped=$(sed -n '/write(1, "starts/,/write(1, "ended/p' "$tmp/log" |
    grep -Ec '(mmap|munmap|clone3?)\(')
ok "500 threads, one after the other, need neither memory nor kernel threads ($mapped calls)" \
    test "$mapped" -lt 50

# Calls beside a thread that waits, which could wait, but need not.
cat > "$tmp/ready.py" <<'END'
import os
import socket
import threading

r, w = os.pipe()
empty, _ = os.pipe()
os.set_blocking(empty, False)
a, b = socket.socketpair()
b.setblocking(False)
threading.Thread(target=threading.Event().wait, daemon=True).start()
for i in range(1100):
    if i == 100:
        os.write(1, b"ready\n")
    os.write(w, b"x")
    os.read(r, 1)
    for read in lambda: os.read(empty, 1), lambda: b.recv(1):
        try:
            read()
        except BlockingIOError:
            pass
        else:
            raise AssertionError
    b.send(b"x")
    a.recv(1)
os.write(1, b"ended\n")
os._exit(0)
END
ok "a program whose calls need not wait runs" \
    trace "$PTH_PYTHON" "$tmp/log" "$tmp/ready.py"
like "when it makes them is seen" "$(cat "$tmp/log")" 'write\(1, "ended'
pid=$(sed -n '1s/ .*//p' "$tmp/log")
calls=$(sed -n '/write(1, "ready/,/write(1, "ended/p' "$tmp/log" |
    grep -Ec "^$pid +(write|read|preadv2|poll|fcntl|recvfrom|sendto)\\(")
# What descriptors are is asked again in every tick.
if grep -q 'preadv2(.*EOPNOTSUPP' "$tmp/log"; then
    skip "6,000 calls that need not wait are one each" "Linux 6.4 can read from pipes so"
else
    ok "6,000 calls that need not wait are one each (all: $calls)" \
        test "$calls" -lt 9000
fi

# Many threads accept connections on one socket: each connection is for one.
cat > "$tmp/herd.py" <<'END'
import os
import socket
import sys
import threading

def serve():
    while True:
        conn, _ = server.accept()
        conn.sendall(b"x")
        conn.close()

server = socket.create_server(("127.0.0.1", 0))
for _ in range(int(sys.argv[1])):
    threading.Thread(target=serve, daemon=True).start()
for _ in range(100):
    with socket.create_connection(server.getsockname()) as s:
        assert s.recv(2) == b"x"
os._exit(0)
END
ok "thirty threads accept connections" \
    trace "$PTH_PYTHON" "$tmp/log" "$tmp/herd.py" 30
calls=$(grep -Ec '^[0-9]+ +(poll|accept4)\(' "$tmp/log")
ok "each connection wakes one of them (100 connections: $calls calls of poll and accept4)" \
    test "$calls" -lt 1000

done_testing
