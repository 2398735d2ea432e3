# Threads that start and end.
#
# usage: threads.py start_join        nanoseconds a thread, one after the other
#        threads.py many N            seconds in which N threads are started,
#                                     all alive at the end, and joined
#        threads.py pool WORKERS      nanoseconds an empty task of a pool's map()
#        threads.py ring N            nanoseconds a thread that a token passes in
#                                     a ring of N
#        threads.py memory N          bytes of memory a blocked thread (resident)
import concurrent.futures
import os
import sys
import threading

import blocked
import measure


def nothing(*args):
    pass


def start_join(n):
    start = measure.perf_counter()
    for _ in range(n):
        thread = threading.Thread(target=nothing)
        thread.start()
        thread.join()
    return measure.perf_counter() - start


def many(n):
    gate = threading.Event()
    start = measure.perf_counter()
    threads = [threading.Thread(target=gate.wait) for _ in range(n)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    return measure.perf_counter() - start


def ring(size):
    locks = [threading.Lock() for _ in range(size)]
    for lock in locks:
        lock.acquire()

    def member(take, give):
        while True:
            take.acquire()
            give.release()

    # The main thread is one of them.
    for i in range(size - 1):
        threading.Thread(target=member, args=(locks[i], locks[i + 1]),
                         daemon=True).start()
    first, last = locks[0], locks[-1]

    def rounds(n):
        start = measure.perf_counter()
        for _ in range(n):
            first.release()
            last.acquire()
        return measure.perf_counter() - start

    rounds(1)
    return measure.best(rounds) / size


def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


what = sys.argv[1]
number = int(sys.argv[2]) if len(sys.argv) > 2 else 0
if what == "start_join":
    measure.report(measure.best(start_join, at_least=10))
elif what == "many":
    measure.report(many(number))
elif what == "pool":
    with concurrent.futures.ThreadPoolExecutor(number) as pool:
        def tasks(n):
            start = measure.perf_counter()
            for _ in pool.map(nothing, range(n)):
                pass
            return measure.perf_counter() - start
        tasks(100)
        measure.report(measure.best(tasks, at_least=100))
elif what == "ring":
    measure.report(ring(number))
elif what == "memory":
    blocked.start("1")
    before = resident()
    blocked.start(str(number))
    measure.report((resident() - before) / number)
else:
    sys.exit("threads.py: " + what + "?")
