#!/bin/sh
# Time slices that end at the worst moment.
#
# usage: prove tests/slice.t

. "$(dirname "$0")/tap.sh"

for name in slice_in_calloc slice_in_poll; do
    run ${CC:-cc} -Wall -Werror -O1 -fPIC -shared "$top/tests/ext/$name.c" -o "$tmp/$name.so"
    [ $status -eq 0 ] || die "tests/ext/$name.c: $err"
done

# preloaded NAME PROGRAM: run it.  The limit is for what hangs.
preloaded() {
    run env LD_PRELOAD="$tmp/$1.so" timeout -s KILL 120 "$PTH_PYTHON" -I "$tmp/$2"
    [ "$status" -eq 0 ] || show_run
}

# ---- while a thread starts

cat > "$tmp/start.py" <<'END'
import ctypes
import threading

def compute():
    while not stop:
        pass

first = threading.Thread(target=int)
first.start()
first.join()
ctypes.CDLL(None).slice_in_calloc()
stop = False
thread = threading.Thread(target=compute)
thread.start()
stop = True
thread.join()
print("both ran")
END

# The timer stops when a slice ends in a process of one thread.  Did it stop for
# good here, the thread that computes would run for ever.
preloaded slice_in_calloc start.py
is "a slice that ends while a second thread starts does not stop the timer" \
    "$status $out" "0 both ran"

# ---- in a call that only asks what is ready

cat > "$tmp/poll.py" <<'END'
import ctypes
import select
import socket
import threading
import time

def unblocked(block, unblock):
    results = []
    thread = threading.Thread(target=lambda: results.append(block()))
    thread.start()
    time.sleep(0.01)
    assert results == []
    unblock()
    thread.join()
    return results[0]

for i in range(4):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        conn, _ = unblocked(server.accept,
                            lambda: client.connect(server.getsockname()))
        assert unblocked(lambda: conn.recv(1), lambda: client.send(b"r")) == b"r"
        assert unblocked(lambda: select.select([conn], [], []),
                         lambda: client.send(b"s")) == ([conn], [], [])
        assert conn.recv(1) == b"s"
        conn.close()
print("let others run")

libc = ctypes.CDLL(None, use_errno=True)
a, b = socket.socketpair()
class pollfd(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short),
                ("revents", ctypes.c_short)]
fds = pollfd(a.fileno(), select.POLLIN, 0)
timeout = (ctypes.c_long * 2)()
def ask():
    ctypes.set_errno(0)
    results.append([(libc.poll(ctypes.byref(fds), 1, 0),
                     libc.ppoll(ctypes.byref(fds), 1, timeout, None),
                     libc.select(0, None, None, None, timeout),
                     libc.pselect(0, None, None, None, timeout, None),
                     ctypes.get_errno())
                    for i in range(2)])
results = []
thread = threading.Thread(target=ask)
thread.start()
thread.join()
print(results)
END
preloaded slice_in_poll poll.py
like "a slice that ends in the first try does not make a call block" \
    "$status $out" "^0 let others run"
like "neither poll() nor select() with a timeout of 0, nor errno, tells of a slice" "$out" \
    '^\[\[\(0, 0, 0, 0, 0\), \(0, 0, 0, 0, 0\)\]\]$'

done_testing
