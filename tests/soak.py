#!/usr/bin/env python3
"""Run threads that do everything at once, and check that nothing gets lost.

usage: tests/soak.py [--seed N] [--seconds S] [--round N] [--threads N]
                     [--only NAME,...]

  --seed N      what the threads do is drawn from N (default: a new one)
  --seconds S   for how long (default: 60); at least one round is run
  --round N     replay round N of the seed alone
  --threads N   threads a round (default: 12)
  --only NAME   only these activities, of those that --help lists

Run it with the python that is to be tested.  The seed is printed first.  It
fixes what each thread does; when each of them gets its turn is not fixed, so a
failure may need some tries of its --seed and --round.

After each round all threads are joined and the invariants are checked: sums
under locks, items in queues, bytes through sockets and pipes, signals seen,
exit codes of children, the number of threads, kernel threads and descriptors.
At the end memory is compared, too.

Exit status: 0 all invariants held, 1 one did not, 2 wrong usage.
"""

import argparse
import collections
import concurrent.futures.thread  # not first while another thread forks: it
                                  # registers a lock to be released after that
import contextlib
import ctypes
import faulthandler
import gc
import hashlib
import os
import queue
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
import zlib

import _interpreters

DEBUG = hasattr(sys, "gettotalrefcount")  # --with-pydebug

# The C library itself: these calls are not mapped.
libc = ctypes.CDLL("libc.so.6", use_errno=True)
libc.pthread_self.restype = ctypes.c_ulong

ROUND_OPERATIONS = 60             # of each thread
# When something that must come has not come in so many seconds, it is lost.
LOST = 120
# Growth of the resident memory from the second round on that is no leak, in
# bytes: allocators keep what the largest round needed, and an interpreter that
# is destroyed leaves memory behind, on stock too.
MEMORY_SLACK = 48 << 20
MEMORY_SLACK_INTERPRETER = 1 << 20
# After so many none is made any more: fork() would get slower and slower.
MOST_INTERPRETERS = 500
# Those that are left when a round is over: the main thread's, faulthandler's;
# the monitor's, the spare one, and those that are kept for the next start (pth_thread.c).
MOST_KERNEL_THREADS = 2 + (10 if sys.thread_info.name == "pth" else 0)


class Broken(Exception):
    """An invariant does not hold."""


def check(condition, message):
    if not condition:
        raise Broken(message)


class Shared:
    """What the threads of one round share."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rlock = threading.RLock()
        self.owner = None
        self.sum = 0              # written under `lock` alone
        self.additions = collections.Counter()
        self.condition = threading.Condition()
        self.tokens = 0
        self.tokens_made = self.tokens_taken = 0
        self.semaphore = threading.Semaphore(3)
        self.inside = 0
        self.queue = queue.Queue(maxsize=4)
        self.items_in = self.items_out = 0
        self.items_lock = threading.Lock()
        # Of C: plain, recursive, error-checking.
        self.mutexes = [new_mutex(kind) for kind in range(3)]
        self.mutex_owners = [None] * 3
        self.calls_made = self.calls_seen = 0   # written under `items_lock`
        self.over = threading.Event()
        self.failures = []

    def check_end(self):
        check(self.sum == sum(self.additions.values()),
              f"lock: the sum is {self.sum}, and not "
              f"{sum(self.additions.values())}")
        check(not self.lock.locked(), "lock: it is still taken")
        check(self.tokens_made == self.tokens_taken + self.tokens,
              f"condition: {self.tokens_made} tokens were made, "
              f"{self.tokens_taken} taken, {self.tokens} are left")
        check(self.inside == 0, f"semaphore: {self.inside} are inside")
        left = 0
        while not self.queue.empty():
            left += self.queue.get()
        check(self.items_in == self.items_out + left,
              f"queue: {self.items_in} went in, {self.items_out} came out, "
              f"{left} are left")
        check(self.calls_made == self.calls_seen,
              f"callback: {self.calls_seen} of {self.calls_made} were made")
        for mutex in self.mutexes:
            check(libc.pthread_mutex_trylock(mutex) == 0,
                  "mutex of C: it is still locked")


def new_mutex(kind):
    attr = ctypes.create_string_buffer(16)
    mutex = ctypes.create_string_buffer(64)
    libc.pthread_mutexattr_init(attr)
    libc.pthread_mutexattr_settype(attr, kind)
    libc.pthread_mutex_init(mutex, attr)
    return mutex


# The activities: each gets what the threads share, a source of random numbers,
# and the number of its thread.

def locks(shared, rng, me):
    timeout = rng.choice((-1, -1, 0, 0.0001, 0.002))
    if shared.lock.acquire(timeout=timeout) if timeout else \
            shared.lock.acquire(blocking=False):
        check(shared.owner is None, f"lock: {shared.owner} has it, too")
        shared.owner = me
        before = shared.sum
        if rng.random() < 0.3:
            time.sleep(rng.choice((0, 0.0002)))
        n = rng.randrange(10)
        shared.sum = before + n
        shared.additions[me] += n
        check(shared.owner == me, f"lock: {shared.owner} took it from {me}")
        shared.owner = None
        shared.lock.release()


def recursive_locks(shared, rng, me):
    depth = rng.randrange(1, 5)
    with contextlib.ExitStack() as stack:
        for _ in range(depth):
            stack.enter_context(shared.rlock)
        check(shared.rlock._is_owned(), "RLock: not the owner")


def conditions(shared, rng, me):
    if rng.random() < 0.5:
        with shared.condition:
            shared.tokens += 1
            shared.tokens_made += 1
            shared.condition.notify(rng.randrange(1, 3))
    else:
        with shared.condition:
            if shared.condition.wait_for(lambda: shared.tokens > 0,
                                         rng.choice((0.0005, 0.005))):
                shared.tokens -= 1
                shared.tokens_taken += 1
                check(shared.tokens >= 0, "condition: a token taken twice")


def semaphores(shared, rng, me):
    if shared.semaphore.acquire(timeout=rng.choice((0.001, 0.02))):
        with shared.items_lock:
            shared.inside += 1
            check(shared.inside <= 3, "semaphore: too many are inside")
        time.sleep(0)
        with shared.items_lock:
            shared.inside -= 1
        shared.semaphore.release()


def queues(shared, rng, me):
    try:
        if rng.random() < 0.5:
            shared.queue.put(1, timeout=0.002)
            with shared.items_lock:
                shared.items_in += 1
        else:
            shared.queue.get(timeout=0.002)
            with shared.items_lock:
                shared.items_out += 1
    except (queue.Empty, queue.Full):
        pass


def sleeps(shared, rng, me):
    seconds = rng.choice((0, 0.00005, 0.001, 0.005))
    start = time.monotonic()
    time.sleep(seconds)
    check(time.monotonic() - start >= seconds * 0.99, "sleep: too short")


def computes(shared, rng, me):
    end = time.thread_time() + rng.choice((0.001, 0.012))
    n = 0
    while time.thread_time() < end:
        n += 1


def sockets(shared, rng, me):
    data = rng.randbytes(rng.choice((1, 1000, 300_000)))
    a, b = socket.socketpair()
    with a, b:
        def echo():
            left = len(data)
            while left:
                piece = b.recv(65536)
                check(piece, "socket: an early end")
                left -= len(piece)
                b.sendall(piece)

        with helper(shared, echo):
            if len(data) > 1000:
                with helper(shared, lambda: a.sendall(data)):
                    got = receive(a, len(data))
            else:
                a.sendall(data)
                got = receive(a, len(data))
        check(got == data, "socket: other bytes came back")


def receive(sock, n):
    pieces = []
    while n:
        piece = sock.recv(n)
        check(piece, "socket: an early end")
        pieces.append(piece)
        n -= len(piece)
    return b"".join(pieces)


def pipes(shared, rng, me):
    data = rng.randbytes(rng.choice((1, 5000, 200_000)))
    r, w = os.pipe()
    with open(r, "rb") as reader:
        def write():
            with open(w, "wb", buffering=0) as writer:
                done = 0
                while done < len(data):
                    done += writer.write(data[done:])

        with helper(shared, write):
            if rng.random() < 0.5:
                select.select([r], [], [], LOST)
            check(reader.read() == data, "pipe: other bytes came out")


@contextlib.contextmanager
def helper(shared, func):
    def run():
        try:
            func()
        except BaseException:
            shared.failures.append(traceback.format_exc())

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join(LOST)
    check(not thread.is_alive(), f"a helper of {func.__qualname__} is stuck")


def threads(shared, rng, me):
    seen = []
    some = [threading.Thread(target=seen.append, args=(i,),
                             daemon=rng.random() < 0.5)
            for i in range(rng.randrange(1, 6))]
    for t in some:
        t.start()
    for t in some:
        t.join(LOST)
        check(not t.is_alive(), "thread: it does not end")
    check(sorted(seen) == list(range(len(some))), "thread: one has not run")


def timers(shared, rng, me):
    fired = threading.Event()
    timer = threading.Timer(rng.choice((0, 0.002)), fired.set)
    timer.start()
    if rng.random() < 0.5:
        timer.cancel()
    else:
        check(fired.wait(LOST), "timer: it does not fire")
    timer.join()


def pools(shared, rng, me):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        check(list(pool.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1],
              "pool: other results")


def child(shared, rng):
    """In the child of a fork: new threads, a lock, a time-out, calls that block."""
    check(threading.active_count() == 1, "fork: the child has more threads")
    lock = threading.Lock()
    done = []

    def work(i):
        with lock:
            time.sleep(0)
            done.append(i)
        # Another kernel thread takes over.
        libc.usleep(300 * i)
        zlib.compress(bytes(100_000))

    some = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for t in some:
        t.start()
    for t in some:
        t.join(LOST)
    with lock:
        check(not lock.acquire(timeout=0.0005), "fork: a lock taken twice")
    check(sorted(done) == [0, 1, 2], "fork: a thread of the child has not run")


def forks(shared, rng, me):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LOST)
            child(shared, rng)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    status = os.waitpid(pid, 0)[1]
    check(status == 0, f"fork: the child ends with status {status}")


def subprocesses(shared, rng, me):
    data = rng.randbytes(rng.choice((10, 100_000)))
    result = subprocess.run(["cat"], input=data, stdout=subprocess.PIPE)
    check(result.returncode == 0 and result.stdout == data,
          "subprocess: other bytes came back")


signals_sent = collections.Counter()
signals_seen = collections.Counter()


def handler(signum, frame):
    check(threading.current_thread() is threading.main_thread(),
          "signal: its handler runs in another thread")
    signals_seen[signum] += 1


def signals(shared, rng, me):
    # One thread a signal at a time: signals that are pending are merged.
    signum = rng.choice((signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM))
    with signal_locks[signum]:
        before = signals_seen[signum]
        match rng.randrange(3):
            case 0:
                os.kill(os.getpid(), signum)
            case 1:
                signal.pthread_kill(threading.main_thread().ident, signum)
            case 2 if signum == signal.SIGALRM:
                signal.setitimer(signal.ITIMER_REAL, 0.001)
            case 2:
                signal.raise_signal(signum)
        end = time.monotonic() + LOST
        while signals_seen[signum] == before:
            check(time.monotonic() < end, f"signal {signum} is lost")
            time.sleep(0.0005)
        check(signals_seen[signum] == before + 1,
              f"signal {signum} came {signals_seen[signum] - before} times")


signal_locks = {signum: threading.Lock() for signum in
                (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)}


def masks(shared, rng, me):
    # This thread's own, which nobody else may see.
    old = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
    time.sleep(0)
    now = signal.pthread_sigmask(signal.SIG_SETMASK, old)
    check(signal.SIGWINCH in now, "mask: it has not stayed")


def mutexes_of_c(shared, rng, me):
    """A thread that waits for one waits in C."""
    which = rng.randrange(3)
    mutex, owners = shared.mutexes[which], shared.mutex_owners
    if rng.random() < 0.2:
        if libc.pthread_mutex_trylock(mutex) != 0:
            return
    else:
        check(libc.pthread_mutex_lock(mutex) == 0, "mutex of C: not locked")
    check(owners[which] is None, f"mutex of C: {owners[which]} has it, too")
    owners[which] = me
    match rng.randrange(4):
        case 0:
            time.sleep(rng.choice((0, 0.0005)))
        case 1:
            libc.usleep(rng.choice((10, 2000)))
        case 2:
            sum(range(rng.choice((10, 20_000))))
    if which == 1:
        # Recursive: its owner may.
        check(libc.pthread_mutex_lock(mutex) == 0
              and libc.pthread_mutex_unlock(mutex) == 0,
              "mutex of C: its owner is unknown")
    check(owners[which] == me, f"mutex of C: {owners[which]} took it from {me}")
    owners[which] = None
    check(libc.pthread_mutex_unlock(mutex) == 0, "mutex of C: not unlocked")


@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.py_object)
def called_back(job):
    job()


def callbacks(shared, rng, me):
    """Kernel threads that Python did not start call it."""
    idents = []

    def job():
        try:
            idents.append(threading.get_ident())
            check(threading.get_ident() == libc.pthread_self(),
                  "callback: the thread is not itself")
            match rng.randrange(4):
                case 0:
                    time.sleep(0.0005)
                case 1:
                    with shared.lock:
                        pass
                case 2:
                    sum(range(20_000))
            with shared.items_lock:
                shared.calls_seen += 1
        except BaseException:
            shared.failures.append(traceback.format_exc())

    tids = []
    for _ in range(rng.randrange(1, 4)):
        tid = ctypes.c_ulong()
        check(libc.pthread_create(ctypes.byref(tid), None, called_back,
                                  ctypes.py_object(job)) == 0,
              "callback: no kernel thread")
        tids.append(tid)
    with shared.items_lock:
        shared.calls_made += len(tids)
    for tid in tids:
        check(libc.pthread_join(tid, None) == 0, "callback: not joined")
    check(sorted(idents) == sorted(tid.value for tid in tids),
          "callback: other threads were seen than were made")


def computes_in_c(shared, rng, me):
    data = bytes([rng.randrange(256)]) * rng.choice((3_000, 100_000, 1_000_000))
    if rng.random() < 0.5:
        check(hashlib.sha256(data).digest() == hashlib.sha256(data).digest(),
              "sha256: two results")
    else:
        check(zlib.decompress(zlib.compress(data, 1)) == data,
              "zlib: other bytes came back")


def unmapped_calls(shared, rng, me):
    """Calls that block and that the backend knows nothing of."""
    start = time.monotonic()
    match rng.randrange(3):
        case 0:
            seconds = rng.choice((0.0002, 0.003))
            libc.usleep(int(seconds * 1e6))
            check(time.monotonic() - start >= seconds * 0.99,
                  "usleep: too short")
        case 1:
            ms = rng.choice((0, 1, 4))
            check(libc.poll(None, 0, ms) == 0, "poll: interrupted")
            check(time.monotonic() - start >= ms * 0.00099, "poll: too short")
        case 2:
            r, w = os.pipe()
            data = ctypes.create_string_buffer(1)
            seconds = rng.choice((0, 0.003))
            with helper(shared, lambda: (time.sleep(seconds),
                                         os.write(w, b"x"))):
                check(libc.read(r, data, 1) == 1, "read: interrupted")
            os.close(r)
            os.close(w)


interpreters_made = 0


def interpreters(shared, rng, me):
    global interpreters_made
    if interpreters_made >= MOST_INTERPRETERS:
        return
    interp = _interpreters.create(rng.choice(("legacy", "isolated")))
    interpreters_made += 1
    try:
        error = _interpreters.exec(interp, """if True:
            import time
            total = sum(range(1000))
            time.sleep(0.0002)
            assert total == 499500
            """)
        check(error is None, f"interpreter: {error}")
    finally:
        _interpreters.destroy(interp)


def frames(shared, rng, me):
    check(threading.get_ident() in sys._current_frames(),
          "_current_frames() has no frame of the caller")
    if DEBUG:
        # An assertion there does not hold in stock CPython either: a frame of
        # __del__() called on leaving a function that C has called has two shim
        # frames below it (Python/traceback.c, dump_traceback()).
        return
    with open(os.devnull, "w") as f:
        faulthandler.dump_traceback(f, all_threads=True)


# (weight, activity)
ACTIVITIES = (
    (20, locks), (6, recursive_locks), (10, conditions), (6, semaphores),
    (10, queues), (8, sleeps), (4, computes), (6, sockets), (6, pipes),
    (6, threads), (2, timers), (2, pools), (2, forks), (2, subprocesses),
    (5, signals), (3, masks), (2, interpreters), (2, frames),
    (8, mutexes_of_c), (4, callbacks), (6, computes_in_c), (8, unmapped_calls),
)

# Not in one round with interpreters, for stock CPython does not survive it:
# the child of a fork dies if a thread of another interpreter had the GIL
# (PyOS_AfterFork_Child()), and sys._current_frames() hands out the frames of
# other interpreters, which are freed there.
NOT_WITH_INTERPRETERS = (forks, frames)


def worker(shared, seed, me, activities):
    rng = random.Random(f"{seed}.{me}")
    weights, funcs = zip(*activities)
    for _ in range(ROUND_OPERATIONS):
        if shared.failures:
            return
        func = rng.choices(funcs, weights)[0]
        try:
            func(shared, rng, me)
        except BaseException:
            shared.failures.append(traceback.format_exc())
            return


def main_thread(shared, rng, workers):
    """The main thread waits, in every way that a signal has to interrupt."""
    a, b = socket.socketpair()
    lock = threading.Lock()
    lock.acquire()
    end = time.monotonic() + 10 * LOST
    with a, b:
        a.settimeout(0.01)
        while any(t.is_alive() for t in workers):
            check(time.monotonic() < end, "the threads do not end")
            match rng.randrange(6):
                case 0:
                    time.sleep(0.01)
                case 1:
                    lock.acquire(timeout=0.01)
                case 2:
                    rng.choice(workers).join(0.01)
                case 3:
                    select.select([a], [], [], 0.01)
                case 4:
                    with contextlib.suppress(TimeoutError):
                        a.recv(1)
                case 5:
                    for _ in range(20_000):
                        pass


def count_descriptors():
    """Those open, but for the epoll set that the backend makes when first
    needed, and keeps (pth_poll.c, need_set())."""
    count = sets = 0
    for fd in os.listdir("/proc/self/fd"):
        # That of listdir() itself is closed.
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(f"/proc/self/fd/{fd}")
            count += 1
            sets += target == "anon_inode:[eventpoll]"
    return count - min(sets, 1)


class Figures:
    """What a leak would make grow."""

    def __init__(self):
        gc.collect()
        self.threads = threading.active_count()
        self.kernel_threads = len(os.listdir("/proc/self/task"))
        self.descriptors = count_descriptors()
        self.interpreters = len(_interpreters.list_all())
        with open("/proc/self/statm") as f:
            self.memory = int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def __str__(self):
        return (f"{self.threads} threads, {self.kernel_threads} kernel threads,"
                f" {self.descriptors} descriptors, {self.interpreters} "
                f"interpreters, {self.memory / 2**20:.1f} MiB resident")

    def check(self, before):
        for name in ("threads", "descriptors", "interpreters"):
            check(getattr(self, name) == getattr(before, name),
                  f"{name}: {getattr(before, name)} before, "
                  f"{getattr(self, name)} after")
        check(self.kernel_threads <= max(before.kernel_threads,
                                         MOST_KERNEL_THREADS),
              f"kernel_threads: {before.kernel_threads} before, "
              f"{self.kernel_threads} after")


def run_round(seed, nthreads, activities):
    without = random.Random(f"{seed}.without").choice(
        (NOT_WITH_INTERPRETERS, (interpreters,)))
    activities = [(weight, f) for weight, f in activities
                  if f not in without] or activities
    shared = Shared()
    workers = [threading.Thread(target=worker,
                                args=(shared, seed, i, activities))
               for i in range(nthreads)]
    for t in workers:
        t.start()
    main_thread(shared, random.Random(f"{seed}.main"), workers)
    for t in workers:
        t.join()
    check(not shared.failures, "".join(shared.failures))
    shared.check_end()


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="soak.py", description=__doc__.partition("\n")[0],
        epilog="activities: " + " ".join(f.__name__ for _, f in ACTIVITIES))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--round", type=int)
    parser.add_argument("--threads", type=int, default=12)
    parser.add_argument("--only")
    args = parser.parse_args()
    if args.only is not None:
        known = {f.__name__ for _, f in ACTIVITIES}
        unknown = set(args.only.split(",")) - known
        if unknown:
            parser.error(f"no activity {min(unknown)}: see --help")
    if args.seed is None:
        args.seed = int.from_bytes(os.urandom(4))
    return args


def main():
    args = parse_arguments()
    activities = [(weight, f) for weight, f in ACTIVITIES
                  if args.only is None or f.__name__ in args.only.split(",")]
    print(f"seed {args.seed}, {args.threads} threads, "
          f"{sys.thread_info.name} threads"
          f"{', debug' if DEBUG else ''}",
          flush=True)
    # Of os.fork() beside other threads.
    warnings.simplefilter("ignore", DeprecationWarning)
    for signum in signal_locks:
        signal.signal(signum, handler)
    # Where it hangs, say where.
    faulthandler.dump_traceback_later(args.seconds + 12 * LOST, exit=True)
    end = time.monotonic() + args.seconds
    number = args.round if args.round is not None else 0
    before = first = None
    try:
        while True:
            run_round(f"{args.seed}.{number}", args.threads, activities)
            figures = Figures()
            if before is not None:
                figures.check(before)
            # The first round imports and caches.
            elif number != (args.round or 0):
                before = figures
            if first is None:
                first = figures
            number += 1
            if args.round is not None or time.monotonic() >= end:
                break
    except Broken as broken:
        print(f"round {number}: {broken}\nreplay: tests/soak.py "
              f"--seed {args.seed} --round {number} --threads {args.threads}",
              flush=True)
        os._exit(1)
    print(f"{number} rounds, {sum(signals_seen.values())} signals, "
          f"{interpreters_made} interpreters")
    print(f"before: {before or first}")
    print(f"after:  {figures}")
    slack = MEMORY_SLACK + interpreters_made * MEMORY_SLACK_INTERPRETER
    if before is not None and figures.memory > before.memory + slack:
        print(f"memory has grown; replay: tests/soak.py --seed {args.seed} "
              f"--seconds {args.seconds:g} --threads {args.threads}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
