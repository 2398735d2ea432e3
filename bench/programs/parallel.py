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


def stat():
    import os
    return lambda: os.stat(".")


def tcp():
    import socket
    ends = threading.local()

    def send():
        if not hasattr(ends, "one"):
            with socket.create_server(("127.0.0.1", 0)) as server:
                ends.one = socket.create_connection(server.getsockname())
                ends.other, _ = server.accept()
        ends.one.send(b"x")
        ends.other.recv(1)
    return send


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


operation = {"sha256": sha256, "sha256_32k": lambda: sha256(32 << 10),
             "sha256_8k": lambda: sha256(8 << 10), "stat": stat, "tcp": tcp, "fsync": fsync,
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
