#!/bin/sh
# Signals that come in at the worst moment.
#
# usage: prove tests/signal.t

. "$(dirname "$0")/tap.sh"

run ${CC:-cc} -Wall -Werror -O1 -fPIC -shared "$top/tests/ext/signal_in_wait.c" -o "$tmp/signal_in_wait.so"
[ $status -eq 0 ] || die "tests/ext/signal_in_wait.c: $err"

run ${CC:-cc} -Wall -Werror -O1 -fPIC -shared "$top/tests/ext/signal_on_the_way.c" -o "$tmp/signal_on_the_way.so"
[ $status -eq 0 ] || die "tests/ext/signal_on_the_way.c: $err"

# ---- when nobody can run, just before the kernel waits

cat > "$tmp/wait.py" <<'END'
import ctypes
import signal
import socket
import threading
import time

class Handled(Exception):
    pass

def handler(signum, frame):
    raise Handled

def outcome():
    """What lock.acquire() of the main thread comes to."""
    lib.signal_in_wait(signal.SIGUSR1)
    lock = threading.Lock()
    lock.acquire()
    start = time.monotonic()
    try:
        lock.acquire(timeout=10)
        return "lost"
    except Handled:
        if time.monotonic() - start >= 10:
            return "handled when the wait was over"
        return f"handled before {lib.signal_came_in().decode()}()"

def receiver(sock):
    thread = threading.Thread(target=lambda: [sock.recv(1) for _ in range(2)])
    thread.start()
    return thread

lib = ctypes.CDLL(None)
lib.signal_came_in.restype = ctypes.c_char_p
signal.signal(signal.SIGUSR1, handler)
a, b = socket.socketpair()
thread = receiver(a)
time.sleep(0.01)
print("beside poll:", outcome())
b.send(b"12")
thread.join()

with socket.create_server(("127.0.0.1", 0)) as server:
    client = socket.create_connection(server.getsockname())
    conn, _ = server.accept()
thread = receiver(conn)
time.sleep(0.01)
client.send(b"1")
time.sleep(0.01)
print("beside epoll:", outcome())
client.send(b"2")
thread.join()

stop = False
def compute():
    while not stop:
        pass
thread = threading.Thread(target=compute)
thread.start()
stop = True
thread.join()
print("slices go on")
END

# The limit is for what hangs.
run env LD_PRELOAD="$tmp/signal_in_wait.so" timeout -s KILL 120 "$PTH_PYTHON" -I "$tmp/wait.py"
[ "$status" -eq 0 ] || show_run
# epoll_pwait2() is there since Linux 5.11.
is "a signal that comes in just before the kernel waits is handled at once" \
    "$status $(echo "$out" | sed 's/epoll_pwait2/ppoll/')" \
    "0 beside poll: handled before ppoll()
beside epoll: handled before ppoll()
slices go on"

# ---- just before a thread waits with a mask that lets it through

# As debuggers and servers wait for their children: what has come since they looked
# is to end the wait.  Another thread does not block it.
cat > "$tmp/way.py" <<'END'
import ctypes
import select
import signal
import threading

LIMIT = 10                        # seconds, for what hangs

came = []
signal.signal(signal.SIGUSR2, lambda signum, frame: came.append("came"))
signal.signal(signal.SIGALRM, lambda signum, frame: came.append("lost"))

done = threading.Event()
other = threading.Thread(target=done.wait, args=(1000,))
other.start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])

lib = ctypes.CDLL(None, use_errno=True)
mask = bytes(128)
events = ctypes.create_string_buffer(16)
with select.epoll() as epoll:
    for name, args in [("sigsuspend", (mask,)),
                       ("pselect", (0, None, None, None, None, mask)),
                       ("ppoll", (None, 0, None, mask)),
                       ("epoll_pwait", (epoll.fileno(), events, 1, -1, mask))]:
        came.clear()
        signal.setitimer(signal.ITIMER_REAL, LIMIT)
        result = getattr(lib, name)(*args)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(name, result, *came)
done.set()
other.join()
END

# timeout(1), too, has such a wait.
run timeout -s KILL 120 env LD_PRELOAD="$tmp/signal_on_the_way.so" "$PTH_PYTHON" -I "$tmp/way.py"
[ "$status" -eq 0 ] || show_run
is "a signal that comes on the way to a wait that lets it through ends that" "$status $out" \
    "0 sigsuspend -1 came
pselect -1 came
ppoll -1 came
epoll_pwait -1 came"

done_testing
