"""What each mapped call gains: two threads hand one byte to each other, and
wait for it in the call.

usage: python mapping.py CALL [SECONDS]

CALL is recv, read, poll, select, epoll_wait, accept, nanosleep or sched_yield.
Prints {"value": nanoseconds for a round trip}.  With PYTHONPTHSYSCALLS=0 all
calls are plain.

accept makes a connection for each round trip.  nanosleep is 100 threads that
sleep for a millisecond: nanoseconds for each sleep.  sched_yield is the turns
of two threads that wait for them by calling it.
"""

import os
import select
import socket
import sys
import threading
import time

import measure

SECONDS = 1.0


def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as server:
        a = socket.create_connection(server.getsockname())
        b = server.accept()[0]
    for s in a, b:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return a, b


def by_recv(a, b):
    return lambda s: s.recv(1)


def after(wait_for):
    """recv() when a wait for the socket has ended."""
    def make(a, b):
        waits = {s: wait_for(s) for s in (a, b)}

        def get(s):
            waits[s]()
            return s.recv(1)
        return get
    return make


def by_select(s):
    return lambda: select.select([s], [], [])


def by_poll(s):
    p = select.poll()
    p.register(s, select.POLLIN)
    return p.poll


def by_epoll(s):
    p = select.epoll()
    p.register(s, select.EPOLLIN)
    return p.poll


def ask_beside(answer, ask, stop, seconds):
    """The nanoseconds of ask(), for so long beside a thread in answer(), which
    stop() ends."""
    t = threading.Thread(target=answer)
    t.start()
    n = 0
    start = time.perf_counter_ns()
    end = start + int(seconds * 1e9)
    while (now := time.perf_counter_ns()) < end:
        ask()
        n += 1
    stop()
    t.join()
    return (now - start) / n


def run_threads(run, count):
    """run(i) in so many threads."""
    ts = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in ts:
        t.start()
    for t in ts:
        t.join()


def round_trips(make_get, seconds):
    a, b = tcp_pair()
    get = make_get(a, b)

    def answer():
        while get(b):
            b.send(b"x")

    def ask():
        a.send(b"x")
        get(a)

    return ask_beside(answer, ask, lambda: a.shutdown(socket.SHUT_WR), seconds)


def pipes(seconds):
    there, back = os.pipe(), os.pipe()

    def answer():
        while os.read(there[0], 1):
            os.write(back[1], b"x")

    def ask():
        os.write(there[1], b"x")
        os.read(back[0], 1)

    return ask_beside(answer, ask, lambda: os.close(there[1]), seconds)


def accepts(seconds):
    server = socket.create_server(("127.0.0.1", 0))

    def answer():
        while True:
            with server.accept()[0] as s:
                if s.recv(1) != b"x":
                    return
                s.send(b"y")

    def ask():
        with socket.create_connection(server.getsockname()) as s:
            s.send(b"x")
            s.recv(1)

    def stop():
        socket.create_connection(server.getsockname()).close()

    return ask_beside(answer, ask, stop, seconds)


def sleeps(seconds):
    counts = [0] * 100
    end = time.monotonic() + seconds

    def sleep(i):
        while time.monotonic() < end:
            time.sleep(0.001)
            counts[i] += 1

    run_threads(sleep, len(counts))
    return seconds * 1e9 / sum(counts)


def yields(seconds):
    turn = n = 0
    end = time.monotonic() + seconds

    def run(me):
        nonlocal turn, n
        while time.monotonic() < end:
            if turn == me:
                n += 1
                turn = 1 - me
            else:
                os.sched_yield()

    run_threads(run, 2)
    return seconds * 1e9 / (n / 2)


CALLS = {
    "recv": lambda seconds: round_trips(by_recv, seconds),
    "select": lambda seconds: round_trips(after(by_select), seconds),
    "poll": lambda seconds: round_trips(after(by_poll), seconds),
    "epoll_wait": lambda seconds: round_trips(after(by_epoll), seconds),
    "read": pipes,
    "accept": accepts,
    "nanosleep": sleeps,
    "sched_yield": yields,
}

if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in CALLS:
        sys.exit(f"usage: mapping.py {'|'.join(CALLS)} [SECONDS]")
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    measure.report(CALLS[sys.argv[1]](seconds))
