#!/bin/sh
# A blocking call stops its own thread alone, and otherwise does what it does
# on stock.
#
# usage: prove tests/syscalls.t
#
# Compiles tests/ext/blocking.c for both interpreters, PTH_PYTHON and
# STOCK_PYTHON, and runs tests/ext/use_blocking.py in each: as code is compiled
# that knows nothing of us, with -D_FORTIFY_SOURCE and without.

. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/builds.sh"
unset PYTHONPTHSYSCALLS

# build FOR NAME FLAG...: compile blocking.c as FOR's settings say.
build() {
    for=$1 name=$2
    shift 2
    mkdir -p "$tmp/$for"
    # The settings are lists of words.
    # shellcheck disable=SC2046
    $(config_var "$for" CC) $(config_var "$for" CFLAGS) -Werror \
        $(config_var "$for" CCSHARED) $(includes "$for") "$@" -shared \
        -o "$tmp/$for/$name$(config_var "$for" EXT_SUFFIX)" \
        "$top/tests/ext/blocking.c"
}

# What the module calls of the C library.
calls() {
    nm -D --undefined-only "$tmp/$1/$2"* | sed 's/^ *U //; s/@.*//'
}

# start BY NAME: run the tests, beside what goes on here: they wait, most of the time.
# The limit is for calls that never return.  A shell that runs this in the background
# ignores the signals.
start() {
    (
        export PYTHONPATH="$tmp/$1" LD_PRELOAD="$tmp/slow_netdb.so" SLOW_NETDB=100000
        exec env --default-signal=INT,QUIT timeout --kill-after=5 240 "$(interpreter "$1")" \
            -B -W ignore::DeprecationWarning "$top/tests/ext/use_blocking.py" "$2"
    ) > "$tmp/$1.$2.out" 2>&1 < /dev/null &
    eval "$1_$2=$!"
}

# ended BY NAME: wait until they have run, and show what they say.
ended() {
    eval "wait \$$1_$2"
    code=$?
    cat "$tmp/$1.$2.out" >&2
    return $code
}

# shellcheck disable=SC2046
ok "slow_netdb.c compiles" $(config_var stock CC) -O2 -Wall -Werror -shared -fPIC \
    -o "$tmp/slow_netdb.so" "$top/tests/ext/slow_netdb.c"
for by in stock pth; do
    ok "blocking.c compiles for $by" build $by blocking
    ok "blocking.c compiles for $by, fortified" build $by blocking_fortified \
        -DFORTIFIED -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
    for call in read recv recvfrom poll ppoll fgets fread; do
        like "fortified for $by: calls __${call}_chk" \
            "$(calls $by blocking_fortified)" "^__${call}_chk\$"
    done
    for module in blocking blocking_fortified; do
        start $by $module
    done
done

# --- every mapped call has a test

# The C library's names that pth defines and stock does not.
defined() {
    nm -D --defined-only "$1" | awk '{ print $3 }' | sed 's/@.*//' | sort -u
}
defined "$PTH_PYTHON" > "$tmp/pth.names"
defined "$STOCK_PYTHON" > "$tmp/stock.names"
comm -23 "$tmp/pth.names" "$tmp/stock.names" > "$tmp/mapped"
like "the mapped calls are seen" "$(cat "$tmp/mapped")" '^recvmsg$'
# What is left out has no call to block in, or is Pth's own; it has its tests
# in test_pth.py, test_pth_syscalls.py, whole.t and context.t.
for name in $(grep -Ev '^(gettid|prctl|nice|unshare|setns|setpriority|sched_set[a-z]*|pthread_set(affinity_np|schedparam)|pthread_mutexattr_setprotocol|set(res?|e|fs)?[ug]id|capset|personality|ptrace|ioperm|iopl|pkey_(alloc|set)|posix_spawnp?|popen|tgkill|timer_create|clock_gettime|getrusage|syscall|setgroups|initgroups|sigsuspend|sigaction|signal|sigprocmask|pthread_sigmask|sigpending|sigaltstack|pthread_exit|pthread_kill|raise|pthread_getname_np|pthread_setname_np|vfork|_Fork|clone|f?execve?|swapcontext|pipe|close|close_range|dup2|dup3|fcntl|fcntl64|ioctl|setsockopt)$' \
    "$tmp/mapped"); do
    # Names that differ by the compiler's flags are one call.
    call=$(echo "$name" | sed 's/^_*//; s/^IO_//; s/_chk$//; s/_2$//; s/64$//; s/64_2$//')
    like "$name has a function in blocking.c" "$(cat "$top/tests/ext/blocking.c")" \
        "^FUNCTION\\($call\\)\$"
    like "$name is in docs/syscalls.md" "$(cat "$top/docs/syscalls.md")" "\`$name\`"
done

# What it finds in stock comes of the system's linker and libraries.
smelly() {
    (cd "$(dirname "$1")" && "$1" -B Tools/build/smelly.py) | sed -n '/^    - /p; /^OK: all/p; /^Found/p'
}
is "CPython's own check of exported names finds what it finds in stock" \
    "$(smelly "$PTH_PYTHON" 2>&1)" "$(smelly "$STOCK_PYTHON" 2>&1)"

# --- the tests of the calls

for by in stock pth; do
    for module in blocking blocking_fortified; do
        ok "$module in $by" ended $by $module
        like "$module in $by: tests were run" "$err" '^Ran [1-9][0-9]* tests'
    done
done

# --- an allocator that makes system calls, when nothing of the program has begun

ok "calling_malloc.c compiles" $(config_var stock CC) -O2 -Wall -Werror -shared -fPIC \
    -o "$tmp/calling_malloc.so" "$top/tests/ext/calling_malloc.c"
cat > "$tmp/hands.py" <<'END'
import queue, socket, subprocess, threading
items = queue.Queue(5)
taken = []
def give():
    for i in range(500):
        items.put(i)
def take():
    for _ in range(500):
        taken.append(items.get())
def run():
    subprocess.run(["true"])
def start():
    for _ in range(20):
        ts = [threading.Thread(target=bytearray, args=(1000,)) for _ in range(5)]
        for t in ts: t.start()
        for t in ts: t.join()
def talk():
    a, b = socket.socketpair()
    t = threading.Thread(target=lambda: [b.send(b.recv(1)) for _ in range(200)])
    t.start()
    for _ in range(200):
        a.send(b"x")
        a.recv(1)
    t.join()
    a.close()
    b.close()
ts = [threading.Thread(target=f) for f in 4 * [give, take] + 2 * [run, start, talk]]
for t in ts: t.start()
for t in ts: t.join()
print(sum(taken))
END
for by in stock pth; do
    # The limit is for threads that wait for each other.
    run env LD_PRELOAD="$tmp/calling_malloc.so" timeout 120 "$(interpreter $by)" -I "$tmp/hands.py"
    is "$by: threads run with a malloc() that makes system calls" "$status $out $err" "0 499000 "
done

# --- switched off

sleeps='import threading, time
start = time.monotonic()
ts = [threading.Thread(target=time.sleep, args=(0.05,)) for _ in range(8)]
for t in ts: t.start()
for t in ts: t.join()
print("together" if time.monotonic() - start < 0.35 else "in turn")'
run "$PTH_PYTHON" -c "$sleeps"
is "sleeping threads sleep together" "$out" together
run env PYTHONPTHSYSCALLS=1 "$PTH_PYTHON" -c "$sleeps"
is "PYTHONPTHSYSCALLS=1: they do" "$out" together
run env PYTHONPTHSYSCALLS=0 "$PTH_PYTHON" -c "$sleeps"
is "PYTHONPTHSYSCALLS=0: they are left behind, and do, too" "$out" together
for option in -E -I; do
    run env PYTHONPTHSYSCALLS=0 "$PTH_PYTHON" $option -c "$sleeps"
    is "PYTHONPTHSYSCALLS=0 and $option: they sleep together" "$out" together
done
run env PYTHONPTHSYSCALLS=yes "$PTH_PYTHON" -c pass
is "PYTHONPTHSYSCALLS=yes: refused" "$status" 1
like "PYTHONPTHSYSCALLS=yes: says what it must be" "$err" 'PYTHONPTHSYSCALLS must be "0" or "1"'
for program in lock_pingpong queue_items; do
    ok "PYTHONPTHSYSCALLS=0: $program runs" \
        env PYTHONPTHSYSCALLS=0 "$PTH_PYTHON" "$top/bench/programs/$program.py"
done
run env PYTHONPTHSYSCALLS=0 "$PTH_PYTHON" -c 'import threading, time
lock = threading.Lock()
seen = []
def wait():
    with lock:
        seen.append("woken")
with lock:
    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.01)
time.sleep(0.01)
seen.append("slept")
thread.join()
print(*seen)'
is "PYTHONPTHSYSCALLS=0: who can run does so before a call that stops all" "$out" "woken slept"
ok "PYTHONPTHSYSCALLS=0: test_thread passes" \
    env PYTHONPTHSYSCALLS=0 timeout -k 10 600 "$PTH_PYTHON" -m test -q test_thread
is "sysconfig: HAVE_PTH_SYSCALLS" "$(config_var pth HAVE_PTH_SYSCALLS)" 1

done_testing
