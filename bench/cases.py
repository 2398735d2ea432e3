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


# What threads are compared with (run.py, find_peers): not there is no error.
GREENLET = "greenlet"
GEVENT = "gevent"
ASYNCIO = "asyncio"
PYTHON27 = "Python 2.7"

GROUPS = {
    "single": "One thread",
    "handoff": "Two threads and more",
    "peers": "Threads and their likes",
    "blocked": "Beside blocked threads",
    "many": "Many threads",
    "process": "Processes",
    "io": "Threads in I/O",
    "busy": "Beside CPU-bound threads",
    "parallel": "C code that computes without the GIL",
    "takeover": "C code beside threads that hand over",
    }


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    group: str
    title: str
    program: str                    # of bench/programs/
    args: tuple = ()
    quick_args: tuple = None        # instead of args, in the quick mode
    # A program that is not run by the python that is measured, but starts it:
    # its last argument; `--server-cpu N` pins it.
    driver: bool = False
    value: str = "value"            # the figure's name in the program's output
    unit: str = "ns"                # ns, s, bytes, 1/s
    better: str = "lower"           # or "higher"
    stock: tuple = (STOCK_1, STOCK_N)
    pinned: bool = False            # also those that are not stock
    # The same done by others: {peer: (program, arguments)}
    peers: dict = dataclasses.field(default_factory=dict)
    rounds: int = 8                 # in the full mode
    quick: bool = False             # is also part of the quick mode
    # How many times better than each a python --with-pth is to be.
    wanted: dict = dataclasses.field(default_factory=dict)
    # A point of a curve: (the curve's name, x).
    curve: tuple = None


def single(name, title, statement=None, wanted=1.0, args=(), **more):
    return Case(name, "single", title, "single.py",
                args=(statement or name, *args), stock=(STOCK_1,), pinned=True,
                rounds=16, wanted={STOCK_1: wanted}, **more)


def beside(name, title, statement):
    return single(name + "_2", title + ", beside a blocked thread", statement,
                  args=("--with-thread",))


def handoff(kind, title, **more):
    return Case("handoff_" + kind, "handoff", title, "handoff.py",
                args=(kind,), rounds=12, **more)


def peer(name, title, program, args, quick=False, **peers):
    return Case("peers_" + name, "peers", title, program, args, quick=quick,
                peers=peers)


def process(name, title, *args, **more):
    return Case(name, "process", title, "processes.py", args,
                stock=(STOCK_N,), rounds=12, wanted={STOCK_N: 1.0}, **more)


def takeover():
    """A thread in C code of some length beside a ping-pong."""
    for us, length in ((2, "2 us"), (5, "5 us"), (10, "10 us"), (50, "50 us"),
                       (200, "200 us"), (1_000, "1 ms"), (10_000, "10 ms")):
        for what, title in (("calls", f"sha256 for {length}"),
                            ("handoffs", "Lock ping-pong beside that")):
            yield Case(f"takeover_{us}_{what}", "takeover", title,
                       "takeover.py", (str(us), what))


TWO_AND_FIVE = {STOCK_1: 2.0, STOCK_N: 5.0}
TEN_AND_THIRTY = {STOCK_1: 10.0, STOCK_N: 30.0}

WAYS = {"lock": "blocked on a lock", "sleep": "in sleep()", "recv": "in recv()"}


def blocked():
    """Ping-pongs beside ever more threads that are blocked."""
    for kind, title in (("lock", "Lock"), ("simplequeue", "SimpleQueue"),
                        ("condition", "Condition"), ("event", "Event"),
                        ("barrier", "Barrier")):
        for how, where in WAYS.items():
            if how != "lock" and kind != "lock":
                continue
            for number in 0, 10, 100, 1_000, 10_000:
                if number == 0 and how != "lock":
                    continue
                # The kernel finds a thread among 10,000 as fast as among 10,
                # but takes its time to start them.
                stock = (STOCK_1, STOCK_N) if number <= 1_000 else ()
                quick = kind == how == "lock" and number in (0, 100, 1_000)
                yield Case(f"{kind}_beside_{number}_{how}", "blocked",
                           f"{title}, {number:,} {where}",
                           "handoff.py", (kind, str(number), how), stock=stock,
                           quick=quick, wanted=TEN_AND_THIRTY,
                           curve=(f"{kind}, {how}", number))


def convoy(connections, burners, title, **more):
    return Case(f"echo_{connections}_beside_{burners}", "busy", title,
                "echo.py", ("threads", str(connections), "1.5", str(burners)),
                ("threads", str(connections), "0.4", str(burners)),
                unit="1/s", better="higher", **more)


def parallel(name, title, number=2, **more):
    return Case(f"parallel_{name}", "parallel", title, "parallel.py",
                (name, str(number)), **more)


CASES = [
    single("lock", "Lock.acquire, release", quick=True),
    single("with_lock", "with Lock", quick=True),
    single("rlock", "RLock.acquire, release", quick=True),
    single("condition_notify", "with Condition: notify"),
    single("event_set", "Event.set, clear"),
    single("semaphore", "Semaphore.acquire, release"),
    single("queue", "Queue.put, get", quick=True),
    single("simplequeue", "SimpleQueue.put, get"),
    single("local", "attribute of threading.local"),
    single("buffered_read1", "BufferedReader.read(1)", quick=True),
    single("buffered_write1", "BufferedWriter.write(1 byte)"),
    single("os_read", "os.read of /dev/zero", quick=True),
    single("os_write", "os.write to /dev/null"),
    single("os_stat", "os.stat", quick=True),
    single("socket_send_recv", "socket.send, recv of a pair"),
    single("sqlite_row", "sqlite3 row fetched", wanted=1.3, quick=True),
    single("crc32_6k", "zlib.crc32 of 6 KiB", quick=True),
    single("sha256_16k", "hashlib.sha256 of 16 KiB"),
    single("zlib_6k", "zlib.compress of 6 KiB"),
    single("decimal", "Decimal.sqrt"),
    single("logging", "logging a line to a file"),
    single("import_os", "import os, again"),
    single("function_call", "call of an empty function"),

    beside("lock", "Lock.acquire, release", "lock"),
    beside("queue", "Queue.put, get", "queue"),
    beside("os_read", "os.read of /dev/zero", "os_read"),
    beside("sqlite_row", "sqlite3 row fetched", "sqlite_row"),
    beside("logging", "logging a line to a file", "logging"),

    handoff("lock", "Lock ping-pong", wanted=TEN_AND_THIRTY, quick=True),
    handoff("simplequeue", "SimpleQueue ping-pong", wanted=TEN_AND_THIRTY,
            quick=True),
    handoff("queue", "Queue ping-pong"),
    handoff("condition", "Condition ping-pong", wanted=TEN_AND_THIRTY),
    handoff("event", "Event ping-pong", wanted=TEN_AND_THIRTY),
    handoff("semaphore", "Semaphore ping-pong"),
    handoff("barrier", "Barrier, two meetings", wanted=TEN_AND_THIRTY),
    Case("start_join", "handoff", "Thread.start, join", "threads.py",
         ("start_join",), wanted=TWO_AND_FIVE, quick=True),
    Case("pool", "handoff", "empty task in a pool of 8", "threads.py",
         ("pool", "8"), wanted=TEN_AND_THIRTY),
    parallel("logging", "logging a line, 8 threads", 8),

    peer("switch", "there and back: Lock; bare switches", "handoff.py",
         ("lock",), quick=True, **{
             GREENLET: ("peers.py", ("greenlet", "lock"))}),
    peer("lock", "there and back: Lock; Semaphore", "handoff.py", ("lock",), **{
        GEVENT: ("peers.py", ("gevent", "lock")),
        ASYNCIO: ("peers.py", ("asyncio", "lock")),
        PYTHON27: ("threads27.py", ("lock",))}),
    peer("queue", "there and back: SimpleQueue; Queue", "handoff.py",
         ("simplequeue",), **{
             GEVENT: ("peers.py", ("gevent", "queue")),
             ASYNCIO: ("peers.py", ("asyncio", "queue"))}),
    peer("start", "start and end", "threads.py", ("start_join",), **{
        GREENLET: ("peers.py", ("greenlet", "start")),
        GEVENT: ("peers.py", ("gevent", "start")),
        ASYNCIO: ("peers.py", ("asyncio", "start")),
        PYTHON27: ("threads27.py", ("start",))}),

    *blocked(),

    Case("ring", "many", "hop in a ring of 1,000 threads", "threads.py",
         ("ring", "1000"), wanted=TEN_AND_THIRTY),
    Case("start_10000", "many", "10,000 threads started and joined",
         "threads.py", ("many", "10000"), unit="s",
         wanted={STOCK_1: 5.0, STOCK_N: 5.0}),
    Case("start_1000", "many", "1,000 threads started and joined",
         "threads.py", ("many", "1000"), unit="s"),
    Case("memory", "many", "memory a blocked thread", "threads.py",
         ("memory", "1000"), unit="bytes", stock=(STOCK_N,), quick=True,
         wanted={STOCK_N: 1.0}),

    process("fork", "os.fork, waitpid", "fork", quick=True),
    process("fork_beside_4", "the same beside 4 threads", "fork", "4"),
    process("run", "subprocess.run of /bin/true", "run"),
    process("start_python", "python -c ''", "python", quick=True),

    Case("echo_1", "io", "echo, 1 socket", "echo.py",
         ("threads", "1", "1"),
         unit="1/s", better="higher", peers={
             ASYNCIO: ("echo.py", ("asyncio", "1", "1")),
             GEVENT: ("echo.py", ("gevent", "1", "1"))}),
    Case("echo_50", "io", "echo, 50 sockets", "echo.py",
         ("threads", "50", "1"), ("threads", "50", "0.3"),
         unit="1/s", better="higher", wanted={STOCK_1: 1.0}, quick=True, peers={
             ASYNCIO: ("echo.py", ("asyncio", "50", "1")),
             GEVENT: ("echo.py", ("gevent", "50", "1"))}),
    Case("echo_1000", "io", "echo, 1,000 sockets", "echo.py",
         ("threads", "1000", "1.5"), unit="1/s", better="higher",
         peers={
             ASYNCIO: ("echo.py", ("asyncio", "1000", "1.5")),
             GEVENT: ("echo.py", ("gevent", "1000", "1.5"))}),
    Case("wsgi", "io", "WSGI server under wrk", "wsgi_load.py",
         ("--seconds", "2"), driver=True, value="requests_per_second",
         unit="1/s", better="higher", wanted={STOCK_1: 1.0}),

    convoy(1, 1, "echo, 1 socket, 1 CPU-bound", quick=True),
    convoy(1, 2, "echo, 1 socket, 2 CPU-bound"),
    convoy(50, 1, "echo, 50 sockets, 1 CPU-bound"),
    Case("lock_beside_1_compute", "busy", "Lock ping-pong, 1 CPU-bound",
         "handoff.py", ("lock", "1", "compute"), quick=True),
    Case("latency_fd", "busy", "from send() until recv() has it", "latency.py",
         ("fd", "100"), ("fd", "30"), wanted={STOCK_1: 1.0, STOCK_N: 1.0},
         quick=True),
    Case("latency_sleep", "busy", "from the end of a sleep()", "latency.py",
         ("sleep", "100")),
    Case("latency_queue", "busy", "from put() until get() has it", "latency.py",
         ("queue", "100")),

    parallel("python", "count to 1,000, 2 threads"),
    parallel("sha256", "sha256 of 1 MiB, 2 threads", quick=True),
    parallel("sha256_32k", "sha256 of 32 KiB, 2 threads"),
    parallel("sha256_8k", "sha256 of 8 KiB, 2 threads"),
    parallel("stat", "os.stat, 2 threads"),
    parallel("tcp", "send, recv of TCP, 2 threads"),
    parallel("fsync", "write and fsync of 4 KiB, 4 threads", 4),
    parallel("zlib", "zlib.compress of 64 KiB, 2 threads"),
    parallel("decimal", "Decimal.sqrt, 1,000 digits, 2 threads"),

    *takeover(),
]

# The few that say most, for README.md: {name: what a newcomer calls it}.
SHORT = {
    "handoff_lock": "two threads hand a lock to each other, there and back",
    "lock_beside_1000_lock": "the same beside 1,000 threads that are blocked",
    "handoff_simplequeue": "there and back through two `queue.SimpleQueue`",
    "start_join": "`Thread.start()`, `join()`",
    "latency_fd": "a message until its thread has it, while another computes",
    "sqlite_row": "one thread alone: a row of `sqlite3`",
    "lock": "one thread alone: `Lock.acquire()`, `release()`",
    }

# Run under strace, and as a whole (tools/demo).
PROGRAMS = {
    "import_loop.py": "1,000,000 times import os",
    "lock_pingpong.py": "20,000 round trips of two threads through two locks",
    "queue_items.py": "100,000 items through a queue.Queue",
}
