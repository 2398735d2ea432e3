#!/bin/sh
# A page fault for each page of memory that a process comes to for the first time, or
# writes to after a fork: few more than with stock CPython.

. "$(dirname "$0")/tap.sh"

# How often each of them happens, by $1: a start, a fork of a process with one thread,
# and of one with five.  The least of several, as the kernel maps more at a time now and
# then.
faults() {
    "$1" -I -S -c '
import os, sys, threading

def least(begin, n=20):
    return min(os.wait4(begin(), 0)[2].ru_minflt for _ in range(n))

def start():
    return os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", ""],
                          os.environ)

def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return pid

counts = [least(start), least(fork)]
end = threading.Event()
for _ in range(4):
    threading.Thread(target=end.wait).start()
counts.append(least(fork))
end.set()
print(*counts)
' 2>"$tmp/err" || note "$(cat "$tmp/err")"
}

# $1 has $2 of stock, and $3 of ours: $4 more at the most.
few_more() {
    ok "$1: at most $4 page faults more than stock ($3, stock $2)" \
        test "$3" -le $(($2 + $4))
}

set -- $(faults "$STOCK_PYTHON") $(faults "$PTH_PYTHON")
ok "both tell their page faults" test $# -eq 6
if [ $# -eq 6 ]; then
    few_more "a start" "$1" "$4" 25
    few_more "a fork" "$2" "$5" 20
    few_more "a fork beside four threads" "$3" "$6" 30
fi

done_testing
