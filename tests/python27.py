"""What python2.7/ promises of threads: run by tests/python27.t, with Python 2.7.

usage: python2.7 tests/python27.py [--list | TEST...]
       python2.7 tests/python27.py --cpython FILE...

--cpython runs CPython's own test files without the tests of EXCEPTIONS.
"""

import os
import signal
import sys
import thread
import threading
import time
import unittest

# CPython's tests that need a thread to run while another one is blocked in a system
# call: python2.7/README.md.
EXCEPTIONS = {
    "test_threading": [
        "test_finalize_runnning_thread", "test_finalize_with_trace"],
    "test_socketserver": [
        "test_ForkingTCPServer", "test_ForkingUDPServer",
        "test_ForkingUnixDatagramServer", "test_ForkingUnixStreamServer",
        "test_InterruptServerSelectCall", "test_TCPServer",
        "test_ThreadingTCPServer", "test_ThreadingUDPServer",
        "test_ThreadingUnixDatagramServer", "test_ThreadingUnixStreamServer",
        "test_UDPServer", "test_UnixDatagramServer", "test_UnixStreamServer"],
}


def in_threads(n, function):
    threads = [threading.Thread(target=function, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def in_child(function):
    """The exit status of a child that runs it: a fork in this thread."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1]


class Threads(unittest.TestCase):

    def test_no_wake_up_is_lost(self):
        lock = thread.allocate_lock()
        counts = [0] * 20

        def work(i):
            for n in xrange(300):
                with lock:
                    if n % 7 == i % 7:
                        # Drops the GIL, and others find the lock taken.
                        time.sleep(0)
                    counts[i] += 1

        in_threads(20, work)
        self.assertEqual(counts, [300] * 20)

    def test_a_lock_is_released_by_another_thread(self):
        turns = [thread.allocate_lock() for _ in range(10)]
        done = []
        for lock in turns:
            lock.acquire()

        def work(i):
            for n in range(200):
                turns[i].acquire()
                done.append(i)
                turns[(i + 1) % 10].release()

        turns[0].release()
        in_threads(10, work)
        self.assertEqual(done, range(10) * 200)

    def test_threads_that_compute_take_turns(self):
        seen = [0, 0]

        def work(i):
            for _ in xrange(50):
                before = seen[1 - i]
                seen[i] += 1
                while seen[1 - i] == before and seen[1 - i] < 50:
                    pass

        in_threads(2, work)
        self.assertEqual(seen, [50, 50])

    def test_a_thread_that_polls_lets_others_compute(self):
        done = []

        def compute(_):
            for _ in xrange(200000):
                pass
            done.append(1)

        t = threading.Thread(target=compute, args=(0,))
        t.start()
        while not done:
            time.sleep(0)
        t.join()

    def test_a_new_thread_runs_before_another_blocks(self):
        # Also beside one that has to be told of a lock.
        lock = thread.allocate_lock()
        lock.acquire()
        thread.start_new_thread(lock.acquire, ())
        time.sleep(0)
        began = []
        thread.start_new_thread(began.append, (1,))
        lock.release()
        time.sleep(0)
        self.assertEqual(began, [1])

    def test_threads_start_in_order(self):
        order = []
        for i in range(10):
            thread.start_new_thread(order.append, (i,))
        while len(order) < 10:
            time.sleep(0.001)
        self.assertEqual(order, range(10))

    def test_get_ident(self):
        idents = []
        barrier = thread.allocate_lock()
        barrier.acquire()

        def work():
            mine = thread.get_ident()
            idents.append(mine)
            with barrier:
                idents.append(thread.get_ident() - mine)

        mine = thread.get_ident()
        started = [thread.start_new_thread(work, ()) for _ in range(10)]
        while len(idents) < 10:
            time.sleep(0.001)
        self.assertEqual(sorted(idents), sorted(started))
        self.assertEqual(len(set(idents + [mine, 0])), 12)
        barrier.release()
        while len(idents) < 20:
            time.sleep(0.001)
        self.assertEqual(idents[10:], [0] * 10)
        self.assertEqual(thread.get_ident(), mine)

    def test_stack_size(self):
        for size in [1, 4096, 0x7fff]:
            self.assertRaises(ValueError, thread.stack_size, size)
        reached = []

        def recurse(n):
            if n:
                return recurse(n - 1)
            reached.append(size)

        for size in [0, 0x100000]:
            self.assertEqual(thread.stack_size(size), 0)
            in_threads(4, lambda i: recurse(900))
            self.assertEqual(thread.stack_size(0), size)
        self.assertEqual(reached, [0] * 4 + [0x100000] * 4)

    def test_no_memory_for_a_stack(self):
        self.addCleanup(thread.stack_size, 0)
        import resource
        limit = resource.getrlimit(resource.RLIMIT_AS)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_AS, limit)
        resource.setrlimit(resource.RLIMIT_AS, (0x20000000, limit[1]))
        thread.stack_size(0x40000000)
        self.assertRaises(thread.error, thread.start_new_thread, int, ())

    def test_fork_leaves_the_other_threads_behind(self):
        gate = thread.allocate_lock()
        gate.acquire()
        alone = os.getpid()
        wrong = []

        def wait():
            with gate:
                if os.getpid() != alone:
                    os._exit(9)

        threads = [threading.Thread(target=wait) for _ in range(5)]
        for t in threads:
            t.start()

        def child():
            # The lock is a copy, and nobody of the parent waits for it.
            got = []
            t = threading.Thread(target=lambda: got.append(gate.acquire()))
            t.start()
            while t.ident is None:
                time.sleep(0.001)
            gate.release()
            t.join()
            in_threads(5, lambda i: time.sleep(0))
            if got != [True] or threading.active_count() != 1:
                os._exit(3)

        def from_thread(_):
            wrong.append(in_child(child))

        self.assertEqual(in_child(child), 0)
        in_threads(1, from_thread)
        self.assertEqual(wrong, [0])
        gate.release()
        for t in threads:
            t.join()

    def test_the_child_of_a_thread_ends_with_it(self):
        status = []

        def work(_):
            pid = os.fork()
            if pid:
                status.append(os.waitpid(pid, 0)[1])

        in_threads(1, work)
        self.assertEqual(status, [0])

    def test_signals_reach_the_main_thread(self):
        caught = []
        signal.signal(signal.SIGALRM,
                      lambda *_: caught.append(thread.get_ident()))
        self.addCleanup(signal.signal, signal.SIGALRM, signal.SIG_DFL)

        def compute():
            while not caught:
                pass

        t = threading.Thread(target=compute)
        t.start()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        while not caught:
            pass
        t.join()
        self.assertEqual(caught, [thread.get_ident()])


def run_cpython(names):
    from test import test_support
    # What regrtest would be told with -u.
    test_support.use_resources = ["network"]
    for name in names:
        module = __import__("test." + name, fromlist=["*"])
        for case in vars(module).values():
            for test in EXCEPTIONS.get(name, ()):
                if test in getattr(case, "__dict__", ()):
                    delattr(case, test)
        module.test_main()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--list"]:
        print "\n".join(unittest.TestLoader().getTestCaseNames(Threads))
    elif sys.argv[1:2] == ["--cpython"]:
        run_cpython(sys.argv[2:])
    else:
        unittest.main()
