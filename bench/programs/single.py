# One operation in the only thread of a process, or with `--with-thread`, beside
# a thread that is blocked.  Nanoseconds of CPU time a run of the statement.
#
# usage: single.py NAME [--with-thread]
import sys
import threading
import time
import timeit

import measure

# name: (setup, statement, operations a run of the statement)
STATEMENTS = {
    "lock": (
        "import threading; l = threading.Lock()",
        "l.acquire(); l.release()", 1),
    "with_lock": (
        "import threading; l = threading.Lock()",
        "with l: pass", 1),
    "rlock": (
        "import threading; l = threading.RLock()",
        "l.acquire(); l.release()", 1),
    "condition_notify": (
        "import threading; c = threading.Condition()",
        "with c: c.notify()", 1),
    "event_set": (
        "import threading; e = threading.Event()",
        "e.set(); e.clear()", 1),
    "semaphore": (
        "import threading; s = threading.Semaphore()",
        "s.acquire(); s.release()", 1),
    "queue": (
        "import queue; q = queue.Queue()",
        "q.put(1); q.get()", 1),
    "simplequeue": (
        "import queue; q = queue.SimpleQueue()",
        "q.put(1); q.get()", 1),
    "local": (
        "import threading; l = threading.local(); l.x = 1",
        "l.x", 1),
    "buffered_read1": (
        "import io; f = io.BufferedReader(io.FileIO('/dev/zero'), 65536); f.read(1)",
        "f.read(1)", 1),
    "buffered_write1": (
        "f = open('/dev/null', 'wb')",
        "f.write(b'x')", 1),
    "os_read": (
        "import os; fd = os.open('/dev/zero', os.O_RDONLY)",
        "os.read(fd, 1)", 1),
    "os_write": (
        "import os; fd = os.open('/dev/null', os.O_WRONLY)",
        "os.write(fd, b'x')", 1),
    "os_stat": (
        "import os",
        "os.stat('/')", 1),
    "socket_send_recv": (
        "import socket; a, b = socket.socketpair()",
        "a.send(b'x'); b.recv(1)", 1),
    "sqlite_row": (
        "import sqlite3; c = sqlite3.connect(':memory:');"
        " c.execute('create table t(a integer, b text)');"
        " c.executemany('insert into t values(?, ?)',"
        " [(i, 'row %d' % i) for i in range(1000)])",
        "for row in c.execute('select a, b from t'): pass", 1000),
    "crc32_6k": (
        "import zlib; data = bytes(6144)",
        "zlib.crc32(data)", 1),
    "sha256_16k": (
        "import hashlib; data = bytes(16384)",
        "hashlib.sha256(data)", 1),
    "zlib_6k": (
        "import zlib; data = bytes(range(256)) * 24",
        "zlib.compress(data)", 1),
    "decimal": (
        "import decimal; x = decimal.Decimal(2)",
        "x.sqrt()", 1),
    "logging": (
        "import logging; logging.basicConfig(filename='/dev/null');"
        " log = logging.getLogger('bench')",
        "log.error('message %d', 1)", 1),
    "import_os": (
        "import os",
        "import os", 1),
    "function_call": (
        "def f(): pass",
        "f()", 1),
}

name, with_thread = sys.argv[1], "--with-thread" in sys.argv[2:]
setup, statement, operations = STATEMENTS[name]
if with_thread:
    blocker = threading.Lock()
    blocker.acquire()
    threading.Thread(target=blocker.acquire, daemon=True).start()
# CPU time, which a thread that waits for nobody spends alone: other processes on
# the same core do not count.
timer = timeit.Timer(statement, setup, timer=time.process_time)
measure.report(measure.best(timer.timeit) / operations)
