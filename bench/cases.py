"""The cases: what is measured, in which pythons, how often."""

import dataclasses

# The variants of a case.  One that starts with "stock" is a python with
# pthreads: pinned to one processor, or free to use all of them.  Every other
# python that is given runs its threads on one kernel thread anyway.
STOCK_1 = "stock, 1 core"
STOCK_N = "stock, all cores"


def stock_variant(label):
    """STOCK_1 or STOCK_N for the label of a variant, whatever its python is
    called."""
    return "stock," + label.rpartition(",")[2]


GROUPS = {
    "single": "One thread",
    "handoff": "Two threads and more",
}


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    group: str
    title: str
    program: str                    # of bench/programs/
    args: tuple = ()
    quick_args: tuple = None        # instead of args, in the quick mode
    unit: str = "ns"                # ns, s, bytes, 1/s
    better: str = "lower"           # or "higher"
    stock: tuple = (STOCK_1, STOCK_N)
    pinned: bool = False            # also those that are not stock
    rounds: tuple = (8, 21)         # pairs: quick, full; 0: not at all
    # How many times better than stock a python --with-pth is to be.
    wanted: dict = dataclasses.field(default_factory=dict)


def single(name, title, statement=None, wanted=1.0, args=()):
    return Case(name, "single", title, "single.py",
                args=(statement or name, *args), stock=(STOCK_1,), pinned=True,
                wanted={STOCK_1: wanted})


def handoff(kind, title, name=None, **more):
    return Case(name or "handoff_" + kind, "handoff", title, "handoff.py",
                args=(kind,), **more)


TWO_AND_FIVE = {STOCK_1: 2.0, STOCK_N: 5.0}

CASES = [
    single("lock", "Lock.acquire, release"),
    single("with_lock", "with Lock"),
    single("rlock", "RLock.acquire, release"),
    single("condition_notify", "with Condition: notify"),
    single("event_set", "Event.set, clear"),
    single("semaphore", "Semaphore.acquire, release"),
    single("queue", "Queue.put, get"),
    single("simplequeue", "SimpleQueue.put, get"),
    single("local", "attribute of threading.local"),
    single("buffered_read1", "BufferedReader.read(1)"),
    single("buffered_write1", "BufferedWriter.write(1 byte)"),
    single("os_read", "os.read of /dev/zero"),
    single("os_write", "os.write to /dev/null"),
    single("os_stat", "os.stat"),
    single("socket_send_recv", "socket.send, recv of a pair"),
    single("sqlite_row", "sqlite3 row fetched", wanted=1.3),
    single("crc32_6k", "zlib.crc32 of 6 KiB"),
    single("sha256_16k", "hashlib.sha256 of 16 KiB"),
    single("zlib_6k", "zlib.compress of 6 KiB"),
    single("decimal", "Decimal.sqrt"),
    single("logging", "logging a line to a file"),
    single("import_os", "import os, again"),
    single("function_call", "call of an empty function"),

    handoff("lock", "Lock ping-pong", wanted=TWO_AND_FIVE),
    handoff("simplequeue", "SimpleQueue ping-pong", wanted=TWO_AND_FIVE),
    handoff("queue", "Queue ping-pong"),
    handoff("condition", "Condition ping-pong"),
    handoff("event", "Event ping-pong"),
    handoff("semaphore", "Semaphore ping-pong"),
    handoff("barrier", "Barrier, two meetings"),
    Case("start_join", "handoff", "Thread.start, join", "threads.py",
         ("start_join",), wanted=TWO_AND_FIVE),
    Case("pool", "handoff", "empty task in a pool of 8", "threads.py",
         ("pool", "8")),
    Case("ring", "handoff", "hop in a ring of 1,000 threads", "threads.py",
         ("ring", "1000"), quick_args=("ring", "100")),
]
