# A thread that calls C code without the GIL, beside two that hand a lock to each
# other.
#
# usage: takeover.py MICROSECONDS calls      nanoseconds a call, all included
#        takeover.py MICROSECONDS handoffs   nanoseconds a round trip of the two
#
# A call computes for about so many microseconds: it is sha256 of as many bytes.
# hashlib drops the GIL for 2,048 bytes and more.
import hashlib
import sys
import threading
import time

import measure

# The first part of it is not counted.
SECONDS = 0.5
SKIPPED = 0.1


def bytes_a_second():
    data = bytes(1 << 20)

    def hash(n):
        start = measure.perf_counter()
        for _ in range(n):
            hashlib.sha256(data)
        return measure.perf_counter() - start

    return len(data) * 1e9 / measure.best(hash)


def main():
    microseconds, what = sys.argv[1:]
    size = int(float(microseconds) / 1e6 * bytes_a_second())
    data = bytes(max(2048, size))
    done = {"calls": 0, "handoffs": 0}
    ping, pong = threading.Lock(), threading.Lock()
    pong.acquire()

    def call():
        while True:
            hashlib.sha256(data)
            done["calls"] += 1

    def ask():
        while True:
            ping.acquire()
            pong.release()

    def answer():
        while True:
            pong.acquire()
            done["handoffs"] += 1
            ping.release()

    for target in call, ask, answer:
        threading.Thread(target=target, daemon=True).start()
    time.sleep(SKIPPED)
    before, start = dict(done), measure.perf_counter()
    time.sleep(SECONDS - SKIPPED)
    seconds, after = measure.perf_counter() - start, dict(done)
    # Where there was not one, one is about to end.
    measure.report(seconds * 1e9 / max(after[what] - before[what], 1))


main()
