# Threads that are blocked while something else is measured.
import resource
import socket
import threading
import _thread
import time


def start(number="0", how="lock"):
    """Return when so many threads are blocked, as `how` says."""
    number = int(number)
    here = []
    if how == "lock":
        lock = threading.Lock()
        lock.acquire()

        def block():
            here.append(1)
            lock.acquire()
    elif how == "sleep":
        def block():
            here.append(1)
            time.sleep(100_000)
    elif how == "recv":
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        if number + 50 > limit:
            raise SystemExit(f"blocked.py: {number} descriptors are more than "
                             f"ulimit -Hn allows, {limit}")

        def block():
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            here.append(1)
            sock.recv(1)
    elif how == "compute":
        # Not blocked at all.
        def block():
            here.append(1)
            while True:
                for _ in range(1000):
                    pass
    else:
        raise SystemExit(f"blocked.py: lock, sleep, recv or compute, not {how}")
    for _ in range(number):
        _thread.start_new_thread(block, ())
    while len(here) < number:
        time.sleep(0.001)
    if number:
        # The last ones get from here to the call that blocks.
        time.sleep(0.02)
