# The threads of Python 2.7: a lock ping-pong, a start and join.  Nanoseconds.
# Needs no module of 2.7 but what is compiled in.
#
# usage: threads27.py lock | start
import sys
import thread

import measure


def lock(n):
    ping, pong = thread.allocate_lock(), thread.allocate_lock()
    ping.acquire()
    pong.acquire()

    def answer():
        for _ in xrange(n):
            ping.acquire()
            pong.release()

    thread.start_new_thread(answer, ())
    start = measure.perf_counter()
    for _ in xrange(n):
        ping.release()
        pong.acquire()
    return measure.perf_counter() - start


def start(n):
    done = thread.allocate_lock()
    done.acquire()
    begin = measure.perf_counter()
    for _ in xrange(n):
        thread.start_new_thread(done.release, ())
        done.acquire()
    return measure.perf_counter() - begin


measure.report(measure.best({"lock": lock, "start": start}[sys.argv[1]], 100))
