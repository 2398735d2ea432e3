# What the measuring programs share.  Also for Python 2.7.
#
# A measuring program prints one line, a JSON object: "value" is its figure, in
# the unit that bench/cases.py names; what else it has found goes beside it.
import json
import os
import struct
import sys

try:
    from time import perf_counter
except ImportError:
    from time import time as perf_counter

# Where the heap ends, and so which lines of the cache a block falls on, can
# make half of the time of a case, and differs between builds for no reason of
# theirs (Mytkowicz et al., Producing Wrong Data Without Doing Anything Obviously
# Wrong!, 2009).  Here it is another one in every run: 0 to 64 KiB, by 16 bytes.
layout = bytearray(16 * (struct.unpack("H", os.urandom(2))[0] // 16))

# A repeat takes so many seconds at least.
ENOUGH = float(os.environ.get("BENCH_SECONDS", "0.02"))
REPEATS = 5


def report(value, **more):
    more["value"] = value
    print(json.dumps(more))
    # Threads that are still blocked are not waited for.
    sys.stdout.flush()
    os._exit(0)


def best(operate, at_least=1):
    """The nanoseconds of one operation, in the best of the repeats.

    operate(n) does n operations and returns the seconds that they took.
    """
    n = at_least
    while True:
        seconds = operate(n)
        if seconds >= ENOUGH:
            break
        # As timeit does: 1, 2, 5, 10, ...
        n = max(n + 1, int(n * min(10, 1.2 * ENOUGH / max(seconds, 1e-9))))
    return min([seconds] + [operate(n) for _ in range(REPEATS - 1)]) / n * 1e9
