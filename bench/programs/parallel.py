# Threads that do the same at the same time.  Nanoseconds an operation, all
# threads taken together: half as much with twice the threads, if they run
# beside each other.
#
# usage: parallel.py NAME THREADS
import sys
import threading

import measure


def sha256(size=1 << 20):
    import hashlib
    data = bytes(size)
    return lambda: hashlib.sha256(data)


def sha256_32k():
    return sha256(32 << 10)


def fsync():
    import os
    import tempfile
    block = bytes(4096)
    files = threading.local()

    def write():
        if not hasattr(files, "own"):
            # Not in /tmp, which may be memory.
            files.own = tempfile.TemporaryFile(dir=".", buffering=0)
        files.own.write(block)
        os.fsync(files.own.fileno())
    return write


def zlib():
    import zlib
    data = bytes(range(256)) * 256
    return lambda: zlib.compress(data)


def decimal():
    import decimal
    context = decimal.Context(prec=1000)
    two = decimal.Decimal(2)
    return lambda: two.sqrt(context)


def python():
    def count():
        for _ in range(1000):
            pass
    return count


def logging():
    import logging
    logging.basicConfig(filename="/dev/null")
    log = logging.getLogger("bench")
    return lambda: log.error("message %d", 1)


operation = {"sha256": sha256, "sha256_32k": sha256_32k, "fsync": fsync,
             "zlib": zlib, "decimal": decimal, "python": python,
             "logging": logging}[sys.argv[1]]()
number = int(sys.argv[2])


def together(n):
    each = -(-n // number)

    def work():
        for _ in range(each):
            operation()

    threads = [threading.Thread(target=work) for _ in range(number)]
    start = measure.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (measure.perf_counter() - start) * n / (each * number)


# Longer than some time slices, or the threads would run one after the other.
measure.ENOUGH *= 5
measure.report(measure.best(together, at_least=number))
