"""Tests of what is particular to Python threads that are GNU Pth threads.

That threads, locks and queues work at all is the business of test_thread,
test_threading, test_queue and their like, which know nothing of Pth.
"""

import collections
import ctypes
import errno
import itertools
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
import unittest
from test import support
from test.support import script_helper, threading_helper

if not sysconfig.get_config_var("HAVE_PTH"):
    raise unittest.SkipTest("needs a build with --with-pth")


# Without the mapping a thread makes its calls on a kernel thread of its own, and
# may find the GIL taken when it comes back, as on stock.
needs_mapping = unittest.skipUnless(
    sysconfig.get_config_var("HAVE_PTH_SYSCALLS")
    and os.environ.get("PYTHONPTHSYSCALLS") != "0", "needs the system call mapping")

# As in test_logging: its allocator's locks are not taken over the fork, so one that
# another thread holds just then is held in the child for ever.
skip_if_asan_fork = unittest.skipIf(
    support.HAVE_ASAN_FORK_BUG, "another thread can hold a lock of libasan's allocator")


def run_threads(n, func, *args):
    """Run func(i, *args) in n threads, and return their results in order."""
    results = [None] * n

    def run(i):
        results[i] = func(i, *args)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    with threading_helper.start_threads(threads):
        pass
    return results


def wait_until(condition):
    for _ in support.sleeping_retry(support.SHORT_TIMEOUT):
        if condition():
            break


# For run_ok(): the main thread has an alternate stack, and set_handler() sets a
# handler of C, which is sleep(signum): it takes so many seconds.
SLEEPING_HANDLERS = textwrap.dedent("""
    import ctypes, faulthandler, signal, threading, time
    faulthandler.enable()               # makes an alternate stack
    class sigaction(ctypes.Structure):
        _fields_ = [("handler", ctypes.c_void_p),
                    ("mask", ctypes.c_ulong * 16),
                    ("flags", ctypes.c_int),
                    ("restorer", ctypes.c_void_p)]
    SA_ONSTACK = 0x08000000
    def set_handler(libc, signum, **fields):
        sleep = ctypes.cast(libc.sleep, ctypes.c_void_p).value
        action = sigaction(sleep, **fields)
        assert libc.sigaction(signum, ctypes.byref(action), None) == 0
    """)


# For programs of tests: the exit status of a child that calls child().
FORK = textwrap.dedent("""
    def fork(child):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child()
                status = 0
            finally:
                os._exit(status)
        return os.waitpid(pid, 0)[1]
    """)


class ScriptMixin:
    """Run a program in a fresh process."""

    def run_ok(self, code, *args, **env):
        rc, out, err = script_helper.assert_python_ok(
            *args, "-c", textwrap.dedent(code), **env)
        return out.decode().strip()

    def run_fail(self, code):
        rc, out, err = script_helper.assert_python_failure(
            "-c", textwrap.dedent(code))
        return rc, err.decode()


class InfoTest(ScriptMixin, unittest.TestCase):

    def test_thread_info(self):
        self.assertEqual(sys.thread_info.name, "pth")
        self.assertEqual(sys.thread_info.lock,
                         "pymutex" if sys.version_info >= (3, 15)
                         else "mutex+cond")
        self.assertRegex(sys.thread_info.version, r"^GNU Pth 2\.\d+[.ab]\d+(\+.+)?$")

    def test_pth_is_not_initialized_before_a_thread_starts(self):
        out = self.run_ok("""
            import os, threading
            def state():
                with open('/proc/self/timers') as f:
                    timers = f.read()
                with open('/proc/self/status') as f:
                    caught = [l for l in f if l.startswith('SigCgt')]
                return (sorted(os.listdir('/proc/self/fd')), timers, caught,
                        os.listdir('/proc/self/task'))
            before = state()
            lock = threading.Lock()
            lock.acquire()
            lock.acquire(timeout=0.01)
            lock.release()
            assert state() == before, (before, state())
            t = threading.Thread(target=int)
            t.start()
            t.join()
            assert state() != before
            print('done')
            """)
        self.assertEqual(out, "done")

    def test_descriptors_are_not_inherited(self):
        out = self.run_ok("""
            import subprocess, sys, threading
            program = "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"
            def child():
                return subprocess.run([sys.executable, '-c', program],
                                      close_fds=False, check=True,
                                      stdout=subprocess.PIPE).stdout
            before = child()
            t = threading.Thread(target=int)
            t.start()
            t.join()
            print(before == child())
            """)
        self.assertEqual(out, "True")


class IdentityTest(ScriptMixin, unittest.TestCase):
    """A Python thread is a thread for C code and for the kernel, too."""

    def test_the_identifier_is_that_of_pthread_self(self):
        pthread_self = ctypes.CDLL(None).pthread_self
        pthread_self.restype = ctypes.c_ulong

        def check(i):
            for _ in range(20):
                self.assertEqual(pthread_self(), threading.get_ident())
                time.sleep(0)
            return threading.get_ident()

        self.assertEqual(len(set(run_threads(5, check))), 5)
        self.assertEqual(check(0), threading.main_thread().ident)

    def test_the_native_id_is_that_of_a_kernel_thread(self):
        barrier = threading.Barrier(5)

        def native_id(i):
            barrier.wait()
            mine = threading.get_native_id()
            self.assertTrue(os.path.exists(f"/proc/self/task/{mine}"))
            # Calls that take the ID of a thread know it.
            self.assertEqual(os.sched_getaffinity(mine),
                             os.sched_getaffinity(os.getpid()))
            barrier.wait()
            return mine

        ids = run_threads(5, native_id)
        self.assertEqual(len(set(ids)), 5)
        self.assertNotIn(os.getpid(), ids)

    def test_the_main_thread_runs_on_the_first_kernel_thread(self):
        # Also when another thread was in its place, and while others are stuck
        # in C code.
        out = self.run_ok("""
            import ctypes, os, threading, time
            libc = ctypes.CDLL("libc.so.6")
            r, w = os.pipe()
            stop = []
            def stuck():
                libc.read(r, ctypes.create_string_buffer(1), 1)
            def burn():
                while not stop: pass
            def nap():
                while not stop: libc.usleep(3000)
            ts = [threading.Thread(target=f) for f in (stuck, burn, nap, stuck)]
            for t in ts: t.start()
            tids = set()
            for i in range(100):
                tids.add(libc.gettid())
                time.sleep(0.0005 * (i % 4))
                tids.add(libc.gettid())
                sum(range(10000 * (i % 4)))
            stop.append(1)
            os.write(w, b'xx')
            for t in ts: t.join()
            print(tids == {os.getpid()} == {threading.get_native_id()})
            """)
        self.assertEqual(out, "True")

    def test_a_thread_has_a_name_of_its_own(self):
        libc = ctypes.CDLL(None)
        libc.pthread_self.restype = ctypes.c_ulong
        barrier = threading.Barrier(3)

        def check(i):
            libc.pthread_setname_np(ctypes.c_ulong(libc.pthread_self()),
                                    b"name-%d" % i)
            barrier.wait()
            with open(f"/proc/self/task/{threading.get_native_id()}/comm") as f:
                return f.read()

        with open("/proc/self/comm") as f:
            before = f.read()
        self.assertEqual(run_threads(3, check),
                         ["name-0\n", "name-1\n", "name-2\n"])
        with open("/proc/self/comm") as f:
            self.assertEqual(f.read(), before)

    def test_a_new_thread_inherits_its_name(self):
        # Also one whose kernel thread another one has named.
        out = self.run_ok("""
            import _thread, ctypes, os, threading
            libc = ctypes.CDLL(None)
            libc.pthread_self.restype = ctypes.c_ulong
            PR_SET_NAME = 15
            seen = []

            def name():
                with open(f"/proc/self/task/{threading.get_native_id()}/comm") as f:
                    return f.read().strip()

            def set_name(new):
                libc.pthread_setname_np(ctypes.c_ulong(libc.pthread_self()), new)

            # threading.Thread sets the name, from 3.14 on.
            def in_thread(function):
                _thread.start_joinable_thread(function).join()

            def parent():
                seen.append(name())
                set_name(b"parent")
                in_thread(child)
                seen.append(name())

            def child():
                seen.append(name())
                libc.prctl(PR_SET_NAME, b"fifteen letters", 0, 0, 0)
                seen.append(name())
                pid = os.fork()
                if pid == 0:
                    os._exit(name() != "fifteen letters")
                seen.append(os.waitpid(pid, 0)[1])

            set_name(b"main")
            for _ in range(3):
                in_thread(parent)
                print(*seen)
                seen.clear()
            set_name(b"other")
            in_thread(lambda: print(name()))
            """)
        self.assertEqual(
            out.splitlines(),
            ["main parent fifteen letters 0 parent"] * 3 + ["other"])

    @unittest.skipUnless(hasattr(os, "sched_setaffinity")
                         and len(os.sched_getaffinity(0)) > 1,
                         "needs two processors")
    def test_what_a_thread_sets_for_its_kernel_thread(self):
        # It holds for that thread, and for no other.
        out = self.run_ok("""
            import os, threading, time

            def nap():
                for _ in range(50):
                    time.sleep(0.0005)

            def state():
                return (len(os.sched_getaffinity(0)),
                        os.getpriority(os.PRIO_PROCESS, 0) - before)

            def change():
                os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
                os.nice(3)
                nap()
                print(state())

            def other():
                nap()
                print(state() == (cpus, 0))

            cpus = len(os.sched_getaffinity(0))
            before = os.getpriority(os.PRIO_PROCESS, 0)
            for target in change, other:
                naps = [threading.Thread(target=nap) for _ in range(3)]
                t = threading.Thread(target=target)
                for thread in [t] + naps:
                    thread.start()
                for thread in naps + [t]:
                    thread.join()
            print(state() == (cpus, 0))
            """)
        self.assertEqual(out.splitlines(), ["(1, 3)", "True", "True"])

    @unittest.skipUnless(hasattr(os, "sched_setaffinity")
                         and len(os.sched_getaffinity(0)) > 1,
                         "needs two processors")
    def test_what_is_set_for_a_kernel_thread_is_inherited(self):
        # By the threads that a thread starts from then on, the main thread, too;
        # and not by those that there are already.
        out = self.run_ok("""
            import os, threading, time

            def state():
                return (len(os.sched_getaffinity(0)),
                        os.getpriority(os.PRIO_PROCESS, 0) - before)

            def watch(name, done):
                states = set()
                while not done.wait(0.0005):
                    states.add(state())
                print(name, *states)

            def start(name):
                done = threading.Event()
                t = threading.Thread(target=watch, args=(name, done))
                t.start()
                time.sleep(0.01)
                return t, done

            def change():
                os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
                os.nice(3)
                return start("later")

            def finish(threads):
                for t, done in threads:
                    done.set()
                    t.join()

            def in_thread():
                threads = start("earlier"), change()
                time.sleep(0.02)
                finish(threads)
                time.sleep(0.02)
                finish([start("last")])

            before = os.getpriority(os.PRIO_PROCESS, 0)
            t = threading.Thread(target=in_thread)
            t.start()
            t.join()
            in_thread()
            """)
        cpus = len(os.sched_getaffinity(0))
        self.assertEqual(out.splitlines(), [
            f"earlier ({cpus}, 0)", "later (1, 3)", "last (1, 3)"] * 2)

    @needs_mapping
    def test_prctl_that_sets_nothing_for_the_thread(self):
        # A thread that has only asked runs where the others do, and so does one
        # whose allocator has named its memory.
        out = self.run_ok("""
            import ctypes, threading
            PR_GET_TIMERSLACK, PR_SET_VMA = 30, 0x53564d41
            libc = ctypes.CDLL(None)
            ping, pong = threading.Lock(), threading.Lock()
            ping.acquire()
            pong.acquire()

            def kernel_thread():
                with open("/proc/thread-self/stat") as f:
                    return int(f.read().split()[0])

            def ask():
                libc.prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0)
                libc.prctl(PR_SET_VMA, 0, 0, 0, 0)
                for _ in range(200):
                    ping.acquire()
                    seen.append(kernel_thread())
                    pong.release()

            seen = []
            t = threading.Thread(target=ask)
            t.start()
            same = 0
            for i in range(200):
                ping.release()
                pong.acquire()
                same += (seen[i] == kernel_thread())
            t.join()
            print(same)
            """)
        self.assertGreater(int(out), 0)

    @unittest.skipUnless(os.getuid() == 0, "needs root, to become another user")
    def test_all_kernel_threads_change_their_user(self):
        # Whoever asks, and wherever the others are.
        out = self.run_ok("""
            import contextlib, ctypes, os, threading, time
            libc = ctypes.CDLL("libc.so.6")
            r, w = os.pipe()

            def nap():
                while True:
                    time.sleep(0.001)

            def users():
                found = set()
                for task in os.listdir("/proc/self/task"):
                    # One that has been joined may be there for a moment.
                    with (contextlib.suppress(FileNotFoundError),
                          open(f"/proc/self/task/{task}/status") as f):
                        found.update(tuple(line.split()) for line in f
                                     if line.startswith(("Uid:", "Gid:", "Groups:")))
                return sorted(found)

            buf = ctypes.create_string_buffer(1)
            for function in [lambda: libc.read(r, buf, 1)] * 4 + [nap] * 3:
                threading.Thread(target=function, daemon=True).start()
            time.sleep(0.02)

            def change():
                libc.usleep(5000)
                os.setgroups([5, 6])
                os.setresgid(7, 8, 9)
                os.setresuid(10, 11, 12)

            t = threading.Thread(target=change)
            t.start()
            t.join()
            print(users(), flush=True)
            os._exit(0)
            """)
        self.assertEqual(out, str([("Gid:", "7", "8", "9", "8"),
                                   ("Groups:", "5", "6"),
                                   ("Uid:", "10", "11", "12", "11")]))

    def test_the_user_is_changed_in_an_idle_process(self):
        # The C library waits until each kernel thread has done so.
        out = self.run_ok("""
            import os, threading, time
            t = threading.Thread(target=int)
            t.start()
            t.join()
            time.sleep(0.3)           # the monitor sleeps
            os.setuid(os.getuid())
            print("changed")
            """)
        self.assertEqual(out, "changed")

    def test_kernel_threads_go_with_their_threads(self):
        out = self.run_ok("""
            import os, threading
            def tasks():
                return len(os.listdir('/proc/self/task'))
            gate = threading.Event()
            ts = [threading.Thread(target=gate.wait) for _ in range(50)]
            for t in ts: t.start()
            # One of their own each, the monitor's and the spare one.
            print(tasks())
            gate.set()
            for t in ts: t.join()
            # Some are kept for the next start.
            print(tasks() <= 11)
            """)
        self.assertEqual(out.split(), ["53", "True"])


class LockTest(unittest.TestCase):

    def test_waiters_are_served_in_order(self):
        lock = threading.Lock()
        order = []
        started = []

        def waiter(i):
            started.append(i)
            with lock:
                order.append(i)

        lock.acquire()
        threads = []
        for i in range(50):
            t = threading.Thread(target=waiter, args=(i,))
            t.start()
            threads.append(t)
            wait_until(lambda: len(started) > i)
        # All of them wait, but perhaps the last: give it its turn.
        time.sleep(0.01)
        lock.release()
        for t in threads:
            t.join()
        self.assertEqual(order, list(range(50)))

    def test_a_waiter_does_not_starve(self):
        # The running thread may take the lock again and again, but only
        # until its time slice ends.
        lock = threading.Lock()
        stop = []
        got = threading.Event()

        def greedy():
            while not stop:
                with lock:
                    pass

        def waiter():
            for _ in range(20):
                with lock:
                    time.sleep(0)
            got.set()

        threads = [threading.Thread(target=greedy) for _ in range(3)]
        threads.append(threading.Thread(target=waiter))
        with threading_helper.start_threads(threads, lambda: stop.append(1)):
            self.assertTrue(got.wait(support.LONG_TIMEOUT))

    def test_any_thread_may_release(self):
        lock = threading.Lock()
        lock.acquire()
        t = threading.Thread(target=lock.release)
        t.start()
        lock.acquire()
        t.join()
        lock.release()

    def test_timeout(self):
        lock = threading.Lock()
        lock.acquire()

        def timed(i):
            start = time.monotonic()
            self.assertFalse(lock.acquire(timeout=0.02 * i))
            return time.monotonic() - start

        for i, elapsed in enumerate(run_threads(10, timed)):
            self.assertGreaterEqual(elapsed, 0.02 * i - 0.001)

    def test_a_waiter_that_gave_up_is_passed_over(self):
        lock = threading.Lock()
        lock.acquire()
        gave_up = threading.Event()
        got = threading.Event()

        def impatient():
            self.assertFalse(lock.acquire(timeout=0.01))
            gave_up.set()

        def patient():
            with lock:
                got.set()

        threads = [threading.Thread(target=impatient),
                   threading.Thread(target=patient)]
        with threading_helper.start_threads(threads):
            gave_up.wait()
            self.assertFalse(got.is_set())
            lock.release()
            self.assertTrue(got.wait(support.LONG_TIMEOUT))

    def test_release_and_timeout_at_the_same_time(self):
        # However a race between the two ends, the lock is neither lost nor
        # taken twice.
        lock = threading.Lock()
        taken = []

        def contend(i):
            n = 0
            for k in range(200):
                if lock.acquire(timeout=0.0001 * ((i + k) % 4)):
                    n += 1
                    taken.append(i)
                    if k % 16 == 0:
                        time.sleep(0.0002)
                    self.assertEqual(taken.pop(), i)
                    self.assertEqual(taken, [])
                    lock.release()
            return n

        self.assertGreater(sum(run_threads(8, contend)), 0)
        self.assertTrue(lock.acquire(blocking=False))

    def test_signal_interrupts_acquire(self):
        # The handler may take and release the lock itself.
        lock = threading.Lock()
        lock.acquire()
        helper = threading.Thread(target=time.sleep, args=(0.2,))
        helper.start()

        class Stop(Exception):
            pass

        def handler(signum, frame):
            raise Stop

        old = signal.signal(signal.SIGALRM, handler)
        try:
            for timeout in (-1, support.LONG_TIMEOUT):
                with self.assertRaises(Stop):
                    signal.setitimer(signal.ITIMER_REAL, 0.02)
                    lock.acquire(timeout=timeout)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
            helper.join()


class TryTest(ScriptMixin, unittest.TestCase):

    def test_a_try_never_waits(self):
        # With the GIL held, for threads that need it, when another thread that
        # is in C code has been quicker.
        out = self.run_ok("""if True:
            import hashlib, threading, time
            lock = threading.RLock()
            data = bytes(200_000)
            end = time.monotonic() + 2
            def use():
                while time.monotonic() < end:
                    if lock.acquire(False):
                        lock.release()
                    with lock:
                        time.sleep(0)
                    hashlib.sha256(data)
            ts = [threading.Thread(target=use) for _ in range(8)]
            for t in ts: t.start()
            for t in ts: t.join()
            print("done")
            """)
        self.assertEqual(out, "done")


class ManyThreadsTest(ScriptMixin, unittest.TestCase):

    def test_first_thread_with_all_numbers_below_fd_setsize_taken(self):
        self.assertEqual(self.run_ok("""
            import fcntl, os, resource, socket, threading
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            if hard != resource.RLIM_INFINITY and hard < 1200:
                raise SystemExit("too few descriptors")
            resource.setrlimit(resource.RLIMIT_NOFILE, (1200, hard))
            r, w = os.pipe()
            while os.dup(r) < 1100:
                pass
            flags = fcntl.fcntl(1023, fcntl.F_GETFL)
            t = threading.Thread(target=print, args=["runs"])
            t.start()
            t.join()
            assert fcntl.fcntl(1023, fcntl.F_GETFL) == flags
            # The descriptors are the program's own still.
            a, b = socket.socketpair()
            t = threading.Thread(target=lambda: print(os.read(1023, 1)))
            t.start()
            os.write(w, b"x")
            t.join()
            """), "runs\nb'x'")

    def test_a_thousand_threads(self):
        n = 1000
        gate = threading.Event()
        started = []
        total = []
        lock = threading.Lock()

        def work(i):
            started.append(i)
            gate.wait()
            with lock:
                total.append(i)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(n)]
        with threading_helper.start_threads(threads, gate.set):
            wait_until(lambda: len(started) == n)
            self.assertEqual(threading.active_count(), n + 1)
            gate.set()
        self.assertEqual(sorted(total), list(range(n)))

    @unittest.skipUnless(hasattr(os, "sched_setaffinity")
                         and hasattr(os, "sched_getaffinity"),
                         "needs os.sched_setaffinity()")
    def test_thousands_end_at_once_on_one_processor(self):
        # Their kernel threads all want to tell that.  Stock switches seven times
        # a thread; where each looks again and again whether it can, it is some
        # hundred times.
        out = self.run_ok("""
            import os, resource, threading
            os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])

            def switches():
                usage = resource.getrusage(resource.RUSAGE_SELF)
                return usage.ru_nvcsw + usage.ru_nivcsw

            n = 5000
            for _ in range(3):
                gate = threading.Event()
                threads = [threading.Thread(target=gate.wait)
                           for _ in range(n)]
                for t in threads:
                    t.start()
                before = switches()
                gate.set()
                for t in threads:
                    t.join()
                print((switches() - before) // n)
            """)
        self.assertLess(max(map(int, out.split())), 40)

    def test_a_token_goes_round_a_ring(self):
        n = 200
        locks = [threading.Lock() for _ in range(n)]
        for lock in locks:
            lock.acquire()
        seen = []

        def station(i):
            for _ in range(5):
                locks[i].acquire()
                seen.append(i)
                locks[(i + 1) % n].release()

        threads = [threading.Thread(target=station, args=(i,)) for i in range(n)]
        with threading_helper.start_threads(threads):
            locks[0].release()
        self.assertEqual(seen, list(range(n)) * 5)

    def test_sleepers_wake_in_the_order_of_their_deadlines(self):
        order = []

        def sleeper(i):
            seconds = (37 * i % 100) * 0.003
            deadline = time.monotonic() + seconds
            time.sleep(seconds)
            order.append(deadline)

        run_threads(100, sleeper)
        # Neighbours may swap, for the clock is read before the call.
        latest = 0
        for deadline in order:
            self.assertLess(latest - deadline, 0.1)
            latest = max(latest, deadline)


class SliceTest(ScriptMixin, unittest.TestCase):

    def test_a_computing_thread_lets_others_run(self):
        # Even one that makes no call at all.
        stop = []
        counts = [0] * 4

        def burn(i):
            while not stop:
                counts[i] += 1

        threads = [threading.Thread(target=burn, args=(i,)) for i in range(4)]
        with threading_helper.start_threads(threads, lambda: stop.append(1)):
            wait_until(lambda: all(counts))
        self.assertTrue(all(counts))

    def test_computing_in_c_beside_a_computing_and_a_napping_thread(self):
        # Who naps goes first, each time, but not at the cost of one alone.
        stop = []
        naps = 0

        def burn():
            while not stop:
                pass

        def nap():
            nonlocal naps
            while not stop:
                time.sleep(0.001)
                naps += 1

        threads = [threading.Thread(target=f) for f in (burn, nap)]
        with threading_helper.start_threads(threads, lambda: stop.append(1)):
            wait_until(lambda: naps > 0)
            before = naps
            def compute():
                for _ in range(30):
                    sum(range(50_000))
            t = threading.Thread(target=compute)
            t.start()
            t.join()
            after = naps
        # 50 milliseconds each.
        self.assertLess(after - before, 30 * 50)

    def test_threads_that_compute_take_turns_beside_one_that_naps(self):
        self.check_turns((200, 40_000, 150_000), 30)

    def test_they_do_so_where_they_keep_the_gil_for_longer_than_a_slice(self):
        # Who was woken for it and finds it taken has still waited longest.
        self.check_turns((200, 640_000, 2_000_000), 15)

    def check_turns(self, sizes, count):
        # However long each keeps the GIL, and whoever goes first in between.  What
        # the first one does takes much less than a slice, on any machine: a turn
        # without a trace in `done` is none here.
        stop = []
        done = []
        units = [0] * 3

        def burn(i, size):
            while not stop:
                if i == 0:
                    for _ in range(size):
                        pass
                else:
                    sum(range(size))
                done.append(i)
                units[i] += 1

        def nap():
            while not stop:
                time.sleep(0.0002)

        threads = [threading.Thread(target=burn, args=(i, size))
                   for i, size in enumerate(sizes)]
        threads.append(threading.Thread(target=nap))
        with threading_helper.start_threads(threads, lambda: stop.append(1)):
            # A busy machine may stop one of them for some turns: more make up for
            # that.
            for n in range(1, 11):
                wait_until(lambda: units[2] >= n * count)
                turns = collections.Counter(i for i, _ in itertools.groupby(done[:]))
                if all(3 * turns[i] > turns[2] for i in range(2)):
                    break
        for i in range(2):
            self.assertGreater(3 * turns[i], turns[2], turns)

    def test_a_computing_main_thread_lets_others_run(self):
        done = []
        t = threading.Thread(target=done.append, args=(1,))
        t.start()
        while not done:
            pass
        t.join()

    def test_io_beside_a_computing_thread(self):
        stop = []

        def burn():
            while not stop:
                pass

        r, w = socket.socketpair()
        threads = [threading.Thread(target=burn)]
        with r, w, threading_helper.start_threads(threads, lambda: stop.append(1)):
            t = threading.Thread(target=lambda: r.sendall(r.recv(1)))
            t.start()
            w.sendall(b"x")
            w.settimeout(support.LONG_TIMEOUT)
            self.assertEqual(w.recv(1), b"x")
            t.join()

    # How often two threads that compute took turns.
    SWITCHES = textwrap.dedent("""
        import sys, threading, time
        def switches(interval):
            sys.setswitchinterval(interval)
            marks = []
            both = threading.Barrier(2)
            def burn(i):
                # One of them may have begun long before, on a busy machine.
                both.wait()
                end = time.thread_time() + 0.15
                while time.thread_time() < end:
                    if not marks or marks[-1] != i:
                        marks.append(i)
            ts = [threading.Thread(target=burn, args=(i,)) for i in range(2)]
            for t in ts: t.start()
            for t in ts: t.join()
            return len(marks)
        """)

    def test_switch_interval(self):
        # A long slice holds until the thread blocks, a short one does not.
        out = self.run_ok(self.SWITCHES + textwrap.dedent("""
            long, short = switches(100), switches(1e-6)
            print(long <= 4, short > 4)
            """))
        self.assertEqual(out, "True True")

    def test_who_asks_for_its_time_all_the_time_leaves_turns_to_others(self):
        # It is in the backend most of the time, and almost whenever the kernel
        # takes the processor from it, as on a busy machine.
        burners = [subprocess.Popen([sys.executable, "-S", "-c", "while 1: pass"])
                   for _ in range(2 * len(os.sched_getaffinity(0)))]
        try:
            out = self.run_ok(self.SWITCHES + textwrap.dedent("""
                print(sorted(switches(sys.getswitchinterval()) for _ in range(8))[1])
                """))
        finally:
            for burner in burners:
                burner.kill()
                burner.wait()
        # Not the lowest: a virtual machine that stands still for long uses up a round.
        self.assertGreater(int(out), 6)

    def turns(self, prepare, n, seconds):
        """How often n threads that compute for so long take turns, after prepare."""
        return int(self.run_ok(textwrap.dedent(prepare) + textwrap.dedent(f"""
            import threading, time
            turns = []

            def burn(i):
                end = time.monotonic() + {seconds}
                while time.monotonic() < end:
                    if turns[-1:] != [i]:
                        turns.append(i)

            threads = [threading.Thread(target=burn, args=(i,)) for i in range({n})]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            print(len(turns))
            """)))

    def test_switch_interval_that_never_ends(self):
        # Longer than can be counted in nanoseconds.  Nor has one that was woken by
        # another the GIL before.
        self.assertEqual(self.turns("""
            import sys
            sys.setswitchinterval(1e10)
            """, n=3, seconds=0.1), 3)

    def test_switch_interval_of_an_interpreter(self):
        # It is that of its own GIL.
        self.assertGreater(self.turns("""
            import _interpreters, sys
            interp = _interpreters.create("isolated")
            _interpreters.exec(interp, "import sys; sys.setswitchinterval(1000)")
            assert sys.getswitchinterval() == 0.005
            """, n=2, seconds=0.2), 5)

    def test_interpreters_come_and_go(self):
        # Their GILs were waited for, and are memory of others then.
        out = self.run_ok("""
            import _interpreters
            code = '''if True:
                import threading
                def burn():
                    for _ in range(200_000):
                        pass
                threads = [threading.Thread(target=burn) for _ in range(2)]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()
                '''
            for _ in range(10):
                interp = _interpreters.create("isolated")
                assert _interpreters.exec(interp, code) is None
                _interpreters.destroy(interp)
            print("ok")
            """)
        self.assertEqual(out, "ok")

    def test_a_long_slice_of_a_thread_on_its_own_kernel_thread_ends(self):
        # It was left behind in a call, and has not waited for anything since.
        out = self.run_ok("""
            import ctypes, sys, threading, time
            sys.setswitchinterval(0.1)
            stop = []
            def burn():
                ctypes.CDLL("libc.so.6").usleep(20_000)
                while not stop:
                    pass
            t = threading.Thread(target=burn)
            t.start()
            time.sleep(0.05)
            stop.append(1)
            t.join()
            print("done")
            """)
        self.assertEqual(out, "done")

    def test_signals_that_come_often(self):
        # 5,000 a second leave threads that compute most of their time.
        out = self.run_ok("""
            import signal, threading, time
            signal.signal(signal.SIGALRM, lambda *args: None)
            def compute():
                for _ in range(1_500_000):
                    pass
            def used():
                start = time.process_time()
                threads = [threading.Thread(target=compute) for _ in range(2)]
                for t in threads: t.start()
                for t in threads: t.join()
                return time.process_time() - start
            used()
            quiet = used()
            signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
            often = used()
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(often / quiet)
            """)
        self.assertLess(float(out), 4)

    # How much CPU time another thread burns while something is done: slices of
    # 0.1 s tell whether each step waited for one.
    BURN = """
        import socket, sys, threading, time
        sys.setswitchinterval(0.1)
        stop = []
        def burn():
            while not stop:
                pass
        burner = threading.Thread(target=burn)
        def slices(job):
            burner.start()
            start = time.process_time()
            job()
            used = time.process_time() - start
            stop.append(1)
            burner.join()
            return used / 0.1
        """

    def slices_are_few(self, job, steps=20):
        out = self.run_ok(textwrap.dedent(self.BURN) + textwrap.dedent(job))
        self.assertLess(float(out), steps / 2)

    @needs_mapping
    def test_a_sleeper_waits_for_no_slice(self):
        # bpo-7946.
        self.slices_are_few("""
            def job():
                for _ in range(20):
                    time.sleep(0.001)
            print(slices(job))
            """)

    @needs_mapping
    @support.skip_if_sanitizer("the sanitizer interposes recv()",
                               address=True, memory=True, thread=True)
    def test_a_ready_descriptor_waits_for_no_slice(self):
        self.slices_are_few("""
            a, b = socket.socketpair()
            def echo():
                while data := b.recv(1):
                    time.sleep(0.001)
                    b.send(data)
            threading.Thread(target=echo).start()
            def job():
                for _ in range(20):
                    a.send(b"x")
                    a.recv(1)
            print(slices(job))
            a.close()
            """, steps=40)

    def test_a_hand_off_waits_for_no_slice(self):
        # A computing thread whose slice has ended is ready, too, and first in
        # the queue.
        self.slices_are_few("""
            ping, pong = threading.Lock(), threading.Lock()
            ping.acquire()
            pong.acquire()
            def answer():
                for _ in range(40):
                    ping.acquire()
                    pong.release()
            threading.Thread(target=answer).start()
            def job():
                for _ in range(40):
                    ping.release()
                    pong.acquire()
            print(slices(job))
            """, steps=80)

    def test_calls_that_make_room_wait_for_no_slice(self):
        # After a long call a thread gives up its turn in shorter ones, too.  One that
        # computes would have to wait for the next turn, beside threads that hand over.
        out = self.run_ok("""
            import sys, threading, time, zlib
            interval = 0.01
            sys.setswitchinterval(interval)
            ping, pong = threading.Lock(), threading.Lock()
            pong.acquire()
            def hand_over(take, give):
                while True:
                    take.acquire()
                    give.release()
            data = bytes(1 << 20)
            start = time.perf_counter()
            zlib.crc32(data)
            bytes_a_second = len(data) / (time.perf_counter() - start)
            def waits(short):
                # Of 300 calls, those that wait for longer than half a slice.
                n = 0
                for _ in range(15):
                    zlib.crc32(data)
                    end = time.monotonic() + 2.5 * interval
                    while time.monotonic() < end:
                        pass
                    for _ in range(20):
                        start = time.monotonic()
                        zlib.crc32(short)
                        n += (time.monotonic() - start > interval / 2)
                return n
            def call():
                for us in 1.5, 2.5, 5, 8:
                    print(waits(data[:int(us / 1e6 * bytes_a_second)]))
            for locks in (ping, pong), (pong, ping):
                threading.Thread(target=hand_over, args=locks, daemon=True).start()
            caller = threading.Thread(target=call)
            caller.start()
            caller.join()
            """)
        self.assertLess(max(map(int, out.split())), 60, out)

    # It waits in pthread_join() for a thread whose locals have destructors: the
    # GIL may be taken when it comes back, as on stock.
    @needs_mapping
    @support.skip_if_sanitizer("the sanitizer has locals of each thread",
                               address=True, memory=True, thread=True)
    def test_a_new_thread_waits_for_no_slice(self):
        self.slices_are_few("""
            def job():
                for _ in range(20):
                    t = threading.Thread(target=len, args=("",))
                    t.start()
                    t.join()
            print(slices(job))
            """)

    def test_a_thread_that_ends_gives_up_the_gil_first(self):
        # It has no thread state any more when it unlocks the list of those: its
        # slice may end there, but the GIL is still its own.
        gate = threading.Event()
        threads = [threading.Thread(target=gate.wait) for _ in range(1000)]
        with threading_helper.start_threads(threads, gate.set):
            pass

    def test_who_waited_for_the_gil_alone_goes_behind_the_others(self):
        # Threads that compute, and wait for it because C code keeps it: they are
        # woken before one that waits for a lock, and then C code keeps it again,
        # until all of them wait for it.  On a busy machine that may take longer in
        # some rounds: a quarter of them do not count, and there are many.
        out = self.run_ok("""
            import ctypes, os, threading, time
            keeps_gil = ctypes.PyDLL(None)
            n = 12
            done = [0] * n
            def compute(i):
                while True:
                    os.stat("/")
                    done[i] += 1
            for i in range(n):
                threading.Thread(target=compute, args=(i,), daemon=True).start()
            time.sleep(0.3)
            lock = threading.Lock()
            def keep():
                global before
                keeps_gil.usleep(50_000)
                for _ in range(2 * n):
                    os.stat("/")
                before = done[:]
                lock.release()
                keeps_gil.usleep(50_000)
            went_first = []
            for _ in range(72):
                lock.acquire()
                t = threading.Thread(target=keep)
                t.start()
                lock.acquire()
                went_first.append(sum(b - a > 50 for a, b in zip(before, done)))
                lock.release()
                t.join()
            print(sum(sorted(went_first)[:54]), flush=True)
            os._exit(0)
            """)
        # One a round, on the whole.
        self.assertLessEqual(int(out), 54)

    def test_a_computing_thread_has_its_turn(self):
        # Beside two that are never done handing a lock to each other.
        out = self.run_ok("""
            import threading, time
            ping, pong = threading.Lock(), threading.Lock()
            ping.acquire()
            pong.acquire()
            stop = []
            def answer():
                # An answer to each, or the other one waits for ever.
                done = False
                while not done:
                    ping.acquire()
                    done = bool(stop)
                    pong.release()
            def ask():
                while not stop:
                    ping.release()
                    pong.acquire()
                ping.release()
            for f in answer, ask:
                threading.Thread(target=f).start()
            for _ in range(1000000):
                pass
            stop.append(1)
            print("done")
            """)
        self.assertEqual(out, "done")

    def test_no_system_call_is_interrupted(self):
        # Each of these calls is made by C code that does not retry.
        libc = ctypes.CDLL(None, use_errno=True)
        stop = []

        def burn():
            while not stop:
                pass

        r, w = os.pipe()
        self.addCleanup(os.close, r)
        self.addCleanup(os.close, w)
        threads = [threading.Thread(target=burn)]
        with threading_helper.start_threads(threads, lambda: stop.append(1)):
            for _ in range(20):
                self.assertEqual(libc.usleep(3000), 0)
                t = threading.Thread(target=lambda: (time.sleep(0.005),
                                                     os.write(w, b"x")))
                t.start()
                self.assertEqual(libc.read(r, ctypes.create_string_buffer(1), 1), 1)
                t.join()


class StateTest(ScriptMixin, unittest.TestCase):
    """What belongs to a thread stays with it."""

    def test_errno(self):
        libc = ctypes.CDLL(None, use_errno=True)

        def check(i):
            for _ in range(50):
                ctypes.set_errno(i + 1)
                self.assertEqual(libc.usleep(100), 0)
                self.assertEqual(ctypes.get_errno(), i + 1)
                # Make errno something else for who runs next.
                libc.close(-1)
                self.assertEqual(ctypes.get_errno(), errno.EBADF)
            return True

        self.assertEqual(run_threads(10, check), [True] * 10)

    def test_thread_specific_storage(self):
        api = ctypes.pythonapi
        api.PyThread_get_key_value.restype = ctypes.c_void_p
        api.PyThread_set_key_value.argtypes = [ctypes.c_int, ctypes.c_void_p]
        keys = [api.PyThread_create_key() for _ in range(300)]
        try:
            self.assertGreaterEqual(min(keys), 0)
            self.assertEqual(len(set(keys)), 300)

            def check(i):
                for key in keys:
                    self.assertIsNone(api.PyThread_get_key_value(key))
                    api.PyThread_set_key_value(key, 1000 * (i + 1) + key)
                time.sleep(0.001)
                for key in keys:
                    self.assertEqual(api.PyThread_get_key_value(key),
                                     1000 * (i + 1) + key)
                api.PyThread_delete_key_value(keys[0])
                self.assertIsNone(api.PyThread_get_key_value(keys[0]))
                return True

            self.assertEqual(run_threads(5, check), [True] * 5)
            # A thread that reuses a finished one's stack finds nothing.
            self.assertEqual(run_threads(5, check), [True] * 5)
        finally:
            for key in keys:
                api.PyThread_delete_key(key)

    def test_a_new_thread_has_no_values_for_keys_of_libraries(self):
        # However many there are.  A finished thread's kernel thread may be
        # used again.
        libc = ctypes.CDLL(None)
        libc.pthread_getspecific.restype = ctypes.c_void_p
        libc.pthread_setspecific.argtypes = [ctypes.c_uint, ctypes.c_void_p]
        keys = []
        try:
            for _ in range(300):
                key = ctypes.c_uint()
                self.assertEqual(
                    libc.pthread_key_create(ctypes.byref(key), None), 0)
                keys.append(key.value)

            def check(key):
                found = [libc.pthread_getspecific(k) for k in keys]
                self.assertEqual(found, [None] * len(keys))
                self.assertEqual(libc.pthread_setspecific(key, 1), 0)
                return True

            for key in keys[0], keys[30], keys[100], keys[-1]:
                for _ in range(3):
                    self.assertEqual(run_threads(1, lambda i: check(key)),
                                     [True])
        finally:
            for key in keys:
                libc.pthread_key_delete(key)

    # One thread ends while the main thread is in C code and nobody else runs, so it
    # is idle where it was when another one is started, which may be the same again.
    IN_TURN = """
        import ctypes, signal, threading, time
        libc = ctypes.CDLL("libc.so.6")
        def in_turn(first, second, between=None):
            def run():
                time.sleep(0.005)
                first()
            a, b = threading.Thread(target=run), threading.Thread(target=second)
            a.start()
            libc.usleep(100_000)
            a.join()
            if between is not None:
                between()
            b.start()
            b.join()
        """

    def run_in_turn(self, code):
        return self.run_ok(textwrap.dedent(self.IN_TURN) + textwrap.dedent(code))

    def test_a_new_thread_has_the_signal_mask_of_who_starts_it(self):
        out = self.run_in_turn("""
            def change(how):
                return signal.pthread_sigmask(how, [signal.SIGUSR1])
            def look():
                print(*signal.pthread_sigmask(signal.SIG_BLOCK, []))
            change(signal.SIG_BLOCK)
            in_turn(look, look, lambda: change(signal.SIG_UNBLOCK))
            in_turn(look, look, lambda: change(signal.SIG_BLOCK))
            """)
        sigusr1 = str(int(signal.SIGUSR1))
        self.assertEqual(out.split("\n"), [sigusr1, "", "", sigusr1])

    def test_a_new_thread_has_no_alternate_stack(self):
        out = self.run_in_turn("""
            SS_DISABLE = 2
            class stack_t(ctypes.Structure):
                _fields_ = [("sp", ctypes.c_void_p), ("flags", ctypes.c_int),
                            ("size", ctypes.c_size_t)]
            sigaltstack = ctypes.CDLL(None).sigaltstack
            memory = ctypes.create_string_buffer(1 << 16)
            address = ctypes.addressof(memory)
            def set_one():
                stack = stack_t(address, 0, len(memory))
                assert sigaltstack(ctypes.byref(stack), None) == 0
            def look():
                stack = stack_t()
                assert sigaltstack(None, ctypes.byref(stack)) == 0
                print(stack.flags == SS_DISABLE)
                # The kernel may know that of the kernel thread's own.
                assert libc.sigaltstack(None, ctypes.byref(stack)) == 0
                print(stack.sp != address)
            for _ in range(3):
                in_turn(set_one, look)
            """)
        self.assertEqual(out.split(), ["True"] * 6)

    def test_a_new_thread_has_used_no_processor_time(self):
        out = self.run_in_turn("""
            def burn():
                end = time.monotonic() + 0.06
                while time.monotonic() < end:
                    pass
            def look():
                used.append(time.thread_time())
            used = []
            # Until somebody asks, not each switch is counted.
            for _ in range(3):
                in_turn(burn, look)
            print(max(used))
            """)
        self.assertLess(float(out), 0.02)

    def test_a_deleted_key_leaves_no_values(self):
        api = ctypes.pythonapi
        api.PyThread_get_key_value.restype = ctypes.c_void_p
        api.PyThread_set_key_value.argtypes = [ctypes.c_int, ctypes.c_void_p]
        key = api.PyThread_create_key()
        api.PyThread_set_key_value(key, 12345)
        api.PyThread_delete_key(key)
        again = api.PyThread_create_key()
        try:
            self.assertEqual(again, key)
            self.assertIsNone(api.PyThread_get_key_value(again))
        finally:
            api.PyThread_delete_key(again)

    def test_thread_specific_storage_under_tracemalloc(self):
        # tracemalloc keeps a value itself, and is called for every allocation.
        out = self.run_ok("""
            import _thread, threading, time
            ts = [threading.Thread(target=time.sleep, args=(0.001,))
                  for _ in range(10)]
            for t in ts: t.start()
            for t in ts: t.join()
            print('done')
            """, "-X", "tracemalloc")
        self.assertEqual(out, "done")

    def test_import_in_threads(self):
        # pkgcontext: extension modules whose imports overlap.
        out = self.run_ok("""
            import threading
            names = ['_random', '_json', '_ctypes', '_sqlite3', '_bz2',
                     '_lzma', '_csv', '_elementtree', '_zoneinfo', 'mmap']
            seen = []
            def load(name):
                seen.append(__import__(name).__name__ == name)
            ts = [threading.Thread(target=load, args=(n,)) for n in names]
            for t in ts: t.start()
            for t in ts: t.join()
            print(seen.count(True) == len(names))
            """)
        self.assertEqual(out, "True")

    def test_signal_mask(self):
        def check(i):
            signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1} if i % 2
                                   else {signal.SIGUSR2})
            for _ in range(20):
                time.sleep(0.0005)
                mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
                self.assertEqual(mask, {signal.SIGUSR1} if i % 2
                                 else {signal.SIGUSR2})
            return True

        before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        self.assertEqual(run_threads(6, check), [True] * 6)
        self.assertEqual(signal.pthread_sigmask(signal.SIG_BLOCK, []), before)

    def test_the_signal_of_the_backend_cannot_be_blocked(self):
        old = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        try:
            done = []
            t = threading.Thread(target=done.append, args=(1,))
            t.start()
            while not done:
                pass
            t.join()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)

    def test_no_room_for_pending_signals(self):
        # RLIMIT_SIGPENDING is about real-time signals, as the backend's is.
        out = self.run_ok("""
            import ctypes, resource, threading, time
            _, hard = resource.getrlimit(resource.RLIMIT_SIGPENDING)
            resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, hard))
            libc = ctypes.CDLL("libc.so.6")
            n = 100

            # One that has been left behind in C wakes one that waits, while
            # nobody runs.
            requests, answers = threading.Semaphore(0), threading.Semaphore(0)
            def answer():
                for _ in range(n):
                    requests.acquire()
                    libc.usleep(1000)
                    answers.release()
            t = threading.Thread(target=answer)
            t.start()
            for _ in range(n):
                requests.release()
                answers.acquire()
            t.join()

            # The main thread needs its kernel thread, where another one sleeps.
            t = threading.Thread(target=libc.usleep, args=(100_000,))
            t.start()
            time.sleep(0.01)
            alive = t.is_alive()
            t.join()

            # The monitor sleeps beside a thread that computes, and is woken.
            stop = False
            def stop_it():
                global stop
                time.sleep(0.1)
                stop = True
            t = threading.Thread(target=stop_it)
            t.start()
            while not stop:
                pass
            t.join()
            print("done", alive)
            """)
        self.assertEqual(out, "done True")

    def test_a_program_that_resets_all_signals(self):
        # The signal of the backend would end the process (test_curses).
        out = self.run_ok("""
            import ctypes, signal, threading
            stop = []
            def burn():
                while not stop:
                    pass
            ts = [threading.Thread(target=burn) for _ in range(2)]
            for t in ts: t.start()
            libc = ctypes.CDLL(None)
            for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                old = signal.getsignal(signum)
                signal.signal(signum, signal.SIG_DFL)
                assert signal.getsignal(signum) == signal.SIG_DFL
                if signum > signal.SIGRTMIN:
                    libc.signal(int(signum), None)
            n = 0
            while n < 1_000_000:
                n += 1
            stop.append(1)
            for t in ts: t.join()
            print('done')
            """)
        self.assertEqual(out, "done")

    def test_exit_beside_a_thread_that_waits_for_the_gil_in_the_kernel(self):
        # It has been promised the GIL, and ends when it has it.
        out = self.run_ok("""
            import os, sys, threading, time

            def run():
                # GNU Pth does not schedule it any more.
                os.nice(0)
                while True:
                    pass

            class Slow:
                def __del__(self, now=time.monotonic):
                    end = now() + 0.05
                    while now() < end:
                        pass

            threading.Thread(target=run, daemon=True).start()
            time.sleep(0.02)
            # The module's globals are the thread's.
            sys.slow = Slow()
            print("done", flush=True)
            """)
        self.assertEqual(out, "done")

    def test_a_thread_ends_while_the_dynamic_linker_is_locked(self):
        # By a thread that needs the backend before it unlocks that.
        out = self.run_ok("""
            import ctypes, os, threading, time
            libc = ctypes.CDLL(None)
            ended = []

            @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t,
                              ctypes.c_void_p)
            def callback(info, size, data):
                threads.append(threading.Thread(target=ended.append, args=(1,)))
                threads[-1].start()
                time.sleep(0.02)
                os.close(os.dup(0))
                return 1

            threads = [threading.Thread(target=int)]
            threads[0].start()
            for _ in range(3):
                libc.dl_iterate_phdr(callback, None)
            for t in threads:
                t.join()
            print(len(ended))
            """)
        self.assertEqual(out, "3")


class SignalTest(ScriptMixin, unittest.TestCase):

    def setUp(self):
        self.seen = []
        old = signal.signal(signal.SIGUSR1,
                            lambda *args: self.seen.append(threading.get_ident()))
        self.addCleanup(signal.signal, signal.SIGUSR1, old)

    def test_a_signal_that_the_idle_thread_blocks(self):
        # The main thread waits, another one that blocks the signal idles.
        r, w = os.pipe()
        self.addCleanup(os.close, r)
        self.addCleanup(os.close, w)
        got = threading.Event()
        old = signal.signal(signal.SIGALRM, lambda *args: got.set())
        self.addCleanup(signal.signal, signal.SIGALRM, old)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        t = threading.Thread(target=os.read, args=(r, 1))
        t.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        time.sleep(0.01)
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        self.assertTrue(got.wait(support.LONG_TIMEOUT))
        os.write(w, b"x")
        t.join()

    @support.skip_if_sanitizer("faulthandler reads what others may free", address=True)
    def test_a_handler_of_c_does_not_wait_for_who_is_in_the_backend_all_the_time(self):
        # Looks at what it has written, counted from the time when it was due.
        looks = self.run_ok("""
            import faulthandler, os, signal, threading, time
            r, w = os.pipe()
            os.set_blocking(r, False)
            faulthandler.register(signal.SIGALRM, file=w, all_threads=False)
            threading.Thread(target=threading.Event().wait, daemon=True).start()

            def came():
                try:
                    return os.read(r, 65536)
                except OSError:
                    # The handler of faulthandler.c does not give back errno.
                    return b""

            looks = []
            for _ in range(30):
                due = time.monotonic() + 0.003
                signal.setitimer(signal.ITIMER_REAL, 0.003)
                n = 0
                while True:
                    for _ in range(20):
                        time.thread_time()
                    if time.monotonic() > due:
                        n += 1
                        if came():
                            break
                looks.append(n)
            print(max(looks), flush=True)
            os._exit(0)
            """)
        self.assertLess(int(looks), 100)

    def test_a_signal_that_the_computing_thread_blocks(self):
        got = threading.Event()
        old = signal.signal(signal.SIGALRM, lambda *args: got.set())
        self.addCleanup(signal.signal, signal.SIGALRM, old)
        stop = []

        def burn():
            while not stop:
                pass

        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        t = threading.Thread(target=burn)
        t.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        self.assertTrue(got.wait(support.LONG_TIMEOUT))
        stop.append(1)
        t.join()

    def test_pthread_kill_to_a_thread_that_blocks_the_signal(self):
        # It stays pending there until that thread unblocks it.
        ready, go = threading.Event(), threading.Event()
        pending = []

        def target():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            ready.set()
            go.wait()
            pending.append(signal.SIGUSR1 in signal.sigpending())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])

        t = threading.Thread(target=target)
        t.start()
        ready.wait()
        signal.pthread_kill(t.ident, signal.SIGUSR1)
        time.sleep(0.01)
        self.assertEqual(self.seen, [])
        self.assertNotIn(signal.SIGUSR1, signal.sigpending())
        go.set()
        t.join()
        self.assertEqual(pending, [True])
        self.assertEqual(self.seen, [threading.main_thread().ident])

    def test_pthread_kill_to_a_thread_in_sigwait(self):
        got = []
        ready = threading.Event()

        def target():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            ready.set()
            got.append(signal.sigwait([signal.SIGUSR1]))

        t = threading.Thread(target=target)
        t.start()
        ready.wait()
        time.sleep(0.01)
        signal.pthread_kill(t.ident, signal.SIGUSR1)
        t.join()
        self.assertEqual(got, [signal.SIGUSR1])
        self.assertEqual(self.seen, [])

    def test_keyboard_interrupt_breaks_every_wait_of_the_main_thread(self):
        # Whether the other threads wait, too, or one of them computes.
        out = self.run_ok("""
            import os, queue, select, signal, socket, subprocess, sys
            import threading, time
            lock = threading.Lock()
            lock.acquire()
            a, b = socket.socketpair()
            r, w = os.pipe()
            gate = threading.Event()
            waiter = threading.Thread(target=gate.wait)
            waiter.start()
            child = subprocess.Popen(['cat'], stdin=subprocess.PIPE)
            def compute():
                while True: pass
            ways = dict(
                compute=compute,
                sleep=lambda: time.sleep(1000),
                acquire=lock.acquire,
                acquire_timeout=lambda: lock.acquire(timeout=1000),
                join=waiter.join,
                join_timeout=lambda: waiter.join(1000),
                event=gate.wait,
                event_timeout=lambda: gate.wait(1000),
                queue=queue.Queue().get,
                simple_queue=queue.SimpleQueue().get,
                simple_queue_timeout=lambda: queue.SimpleQueue().get(timeout=1000),
                select=lambda: select.select([a], [], []),
                recv=lambda: a.recv(1),
                read=lambda: os.read(r, 1),
                waitpid=child.wait,
            )
            stop = []
            def burn():
                while not stop: pass
            def interrupt():
                time.sleep(0.005)
                os.kill(os.getpid(), signal.SIGINT)
            for burning in False, True:
                if burning:
                    burner = threading.Thread(target=burn)
                    burner.start()
                for name, wait in ways.items():
                    helper = threading.Thread(target=interrupt)
                    try:
                        helper.start()
                        wait()
                    except KeyboardInterrupt:
                        print(name)
                    helper.join()
            stop.append(1)
            burner.join()
            gate.set()
            waiter.join()
            child.stdin.close()
            child.wait()
            """)
        self.assertEqual(out.split(), 2 * """
            compute sleep acquire acquire_timeout join join_timeout event
            event_timeout queue simple_queue simple_queue_timeout select recv
            read waitpid""".split())

    def test_a_signal_interrupts_a_plain_call_whoever_the_kernel_gives_it(self):
        # The kernel chooses the first thread, but any other one may take the
        # signal when it changes its mask before that one has woken up.
        out = self.run_ok("""
            import os, signal, subprocess, threading, time
            gate = threading.Event()
            waiter = threading.Thread(target=gate.wait)
            waiter.start()
            def interrupt(seconds):
                time.sleep(seconds)
                os.kill(os.getpid(), signal.SIGINT)
            for i in range(20):
                child = subprocess.Popen(['cat'], stdin=subprocess.PIPE)
                helper = threading.Thread(target=interrupt, args=(0.001 * (3 + i % 10),))
                try:
                    helper.start()
                    os.waitpid(child.pid, 0)
                except KeyboardInterrupt:
                    print('interrupted')
                helper.join()
                child.stdin.close()
                child.wait()
            gate.set()
            waiter.join()
            """)
        self.assertEqual(out.split(), 20 * ['interrupted'])

    def test_signals_interrupt_plain_calls_of_the_main_thread(self):
        # One may come before the main thread waits: so there are more.
        out = self.run_ok("""
            import fcntl, os, signal, subprocess, tempfile, threading
            class Interrupted(Exception): pass
            waiting = False
            def handler(*args):
                if waiting: raise Interrupted
            signal.signal(signal.SIGALRM, handler)
            child = subprocess.Popen(['cat'], stdin=subprocess.PIPE)
            locked = tempfile.TemporaryFile()
            fcntl.flock(locked, fcntl.LOCK_EX)
            other = open(f'/proc/self/fd/{locked.fileno()}')
            ways = dict(
                waitpid=lambda: os.waitpid(child.pid, 0),
                sigwait=lambda: signal.sigtimedwait([signal.SIGUSR1], 1000),
                flock=lambda: fcntl.flock(other, fcntl.LOCK_EX),
            )
            stop = []
            def burn():
                while not stop: pass
            for burning in False, True:
                if burning:
                    burner = threading.Thread(target=burn)
                    burner.start()
                for name, wait in ways.items():
                    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
                    try:
                        waiting = True
                        wait()
                    except Interrupted:
                        waiting = False
                        print(name)
                    signal.setitimer(signal.ITIMER_REAL, 0)
            stop.append(1)
            burner.join()
            child.stdin.close()
            child.wait()
            """)
        self.assertEqual(out.split(), 2 * ["waitpid", "sigwait", "flock"])

    def test_a_thread_is_sent_away_in_a_handler(self):
        # The handler blocks its own signal, the main thread does not: it would
        # hand that on to child processes.
        out = self.run_ok("""
            import ctypes, signal, threading, time
            libc = ctypes.CDLL("libc.so.6")
            # The handler is sleep(SIGHUP): one second.
            libc.signal(signal.SIGHUP, ctypes.cast(libc.sleep, ctypes.c_void_p))
            t = threading.Thread(target=getattr(libc, "raise"),
                                 args=(signal.SIGHUP,))
            t.start()
            time.sleep(0.05)
            with open("/proc/thread-self/status") as f:
                blocked, = [int(line.split()[1], 16) for line in f
                            if line.startswith("SigBlk")]
            print(t.is_alive(), blocked)
            t.join()
            """)
        self.assertEqual(out, "True 0")

    def test_no_thread_is_sent_away_from_an_alternate_stack(self):
        # Handlers on the first kernel thread take the stack that the main thread
        # has for them.  What lies there must not be overwritten by the next one.
        out = self.run_ok(SLEEPING_HANDLERS + textwrap.dedent("""
            libc = ctypes.CDLL("libc.so.6")
            set_handler(libc, signal.SIGHUP, flags=SA_ONSTACK)
            handled = []
            signal.signal(signal.SIGUSR1, lambda *args: handled.append(1))
            t = threading.Thread(target=getattr(libc, "raise"),
                                 args=(signal.SIGHUP,))
            t.start()
            time.sleep(0.05)
            for _ in range(10):
                signal.raise_signal(signal.SIGUSR1)
            t.join()
            print(len(handled))
            """))
        self.assertEqual(out, "10")

    def test_a_handler_leaves_the_alternate_stack_where_it_is(self):
        # That of the main thread stays with the first kernel thread, if a handler
        # begins there and returns on another one.
        out = self.run_ok(SLEEPING_HANDLERS + textwrap.dedent("""
            libc = ctypes.CDLL(None)
            mask = (ctypes.c_ulong * 16)(1 << signal.SIGINT - 1)
            set_handler(libc, signal.SIGHUP, mask=mask)
            set_handler(libc, signal.SIGINT, flags=SA_ONSTACK)
            handled = []
            signal.signal(signal.SIGUSR1, lambda *args: handled.append(1))
            t = threading.Thread(target=getattr(libc, "raise"),
                                 args=(signal.SIGHUP,))
            t.start()
            time.sleep(0.05)
            signal.pthread_kill(t.ident, signal.SIGINT)
            start = time.monotonic()
            while t.is_alive():
                signal.raise_signal(signal.SIGUSR1)
                time.sleep(0.01)
            print(len(handled) > 0, time.monotonic() - start > 2)
            """))
        self.assertEqual(out, "True True")

    def test_pthread_kill_to_a_thread_in_every_state(self):
        # The signal is pending there, and nowhere else, until it is taken.
        libc = ctypes.CDLL("libc.so.6")
        r, w = os.pipe()
        self.addCleanup(os.close, r)
        self.addCleanup(os.close, w)
        lock = threading.Lock()
        spinlock = ctypes.c_int()
        libc.pthread_spin_init(ctypes.byref(spinlock), 0)
        computing = False

        def compute():
            while computing:
                pass

        states = {
            # name: (get into it, get out of it)
            "lock": (lock.acquire, lock.release),
            "read": (lambda: os.read(r, 1), lambda: os.write(w, b"x")),
            "C, blocked":
                (lambda: libc.read(r, ctypes.create_string_buffer(1), 1),
                 lambda: os.write(w, b"x")),
            "C, computing":
                (lambda: libc.pthread_spin_lock(ctypes.byref(spinlock)),
                 lambda: libc.pthread_spin_unlock(ctypes.byref(spinlock))),
        }

        def target(enter, pending, ready):
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            ready.set()
            enter()
            pending.append(signal.SIGUSR1 in signal.sigpending())
            if pending[0]:
                pending.append(signal.sigwait([signal.SIGUSR1]))

        def check(enter, leave):
            ready, pending = threading.Event(), []
            t = threading.Thread(target=target, args=(enter, pending, ready))
            t.start()
            ready.wait()
            time.sleep(0.005)
            self.assertEqual(pending, [])
            signal.pthread_kill(t.ident, signal.SIGUSR1)
            time.sleep(0.001)
            self.assertNotIn(signal.SIGUSR1, signal.sigpending())
            leave()
            t.join()
            self.assertEqual(pending, [True, signal.SIGUSR1])
            self.assertEqual(self.seen, [])

        lock.acquire()
        libc.pthread_spin_lock(ctypes.byref(spinlock))
        for name, (enter, leave) in states.items():
            with self.subTest(name):
                check(enter, leave)
        with self.subTest("sleeping"):
            check(lambda: time.sleep(0.05), lambda: None)
        with self.subTest("computing"):
            computing = True

            def leave():
                nonlocal computing
                computing = False

            check(compute, leave)

    def test_pthread_kill_to_two_threads(self):
        # Both take theirs, though it is the same signal.
        both = [signal.SIGUSR1, signal.SIGUSR2]
        got = []

        def take(i):
            while signal.sigwait(both) == signal.SIGUSR1:
                got.append(i)

        old = signal.pthread_sigmask(signal.SIG_BLOCK, both)
        self.addCleanup(signal.pthread_sigmask, signal.SIG_SETMASK, old)
        threads = [threading.Thread(target=take, args=(i,)) for i in range(3)]
        for t in threads:
            t.start()
        time.sleep(0.01)
        signal.pthread_kill(threads[0].ident, signal.SIGUSR1)
        signal.pthread_kill(threads[1].ident, signal.SIGUSR1)
        wait_until(lambda: len(got) >= 2)
        self.assertEqual(sorted(got), [0, 1])
        for k in range(30):
            signal.pthread_kill(threads[k % 3].ident, signal.SIGUSR1)
            wait_until(lambda: len(got) >= 3 + k)
            self.assertEqual(got[-1], k % 3)
        for t in threads:
            signal.pthread_kill(t.ident, signal.SIGUSR2)
        for t in threads:
            t.join()

    def test_pthread_kill_interrupts_the_call_of_its_thread_alone(self):
        libc = ctypes.CDLL("libc.so.6", use_errno=True)
        outcomes = {}
        leave = threading.Event()

        def block(i):
            # Not restarted, and not retried: ctypes knows nothing of EINTR.
            result = libc.poll(None, 0, 30_000 if i == 1 else 300)
            outcomes[i] = result, ctypes.get_errno() if result < 0 else 0
            leave.wait()

        threads = [threading.Thread(target=block, args=(i,)) for i in range(3)]
        for t in threads:
            t.start()
        # One that comes ahead of the call interrupts nothing.
        while 1 not in outcomes:
            time.sleep(0.02)
            signal.pthread_kill(threads[1].ident, signal.SIGUSR1)
        leave.set()
        for t in threads:
            t.join()
        self.assertEqual(outcomes,
                         {0: (0, 0), 1: (-1, errno.EINTR), 2: (0, 0)})
        self.assertEqual(set(self.seen), {threading.main_thread().ident})

    def test_pthread_kill_to_no_thread(self):
        t = threading.Thread(target=int)
        t.start()
        ident = t.ident
        t.join()
        with self.assertRaises(ProcessLookupError):
            signal.pthread_kill(ident, 0)


class StackTest(ScriptMixin, unittest.TestCase):

    def test_a_thread_has_the_stack_of_a_pthread(self):
        # `ulimit -s` of address space when the program starts, and a page
        # below that faults.
        out = self.run_ok("""
            import os, re, resource, sys, threading
            size = 16 << 20
            limits = resource.getrlimit(resource.RLIMIT_STACK)
            if limits[0] != size:
                resource.setrlimit(resource.RLIMIT_STACK, (size, limits[1]))
                os.execv(sys.executable, sys.orig_argv)
            def maps():
                with open('/proc/self/maps') as f:
                    for line in f:
                        m = re.match('([0-9a-f]+)-([0-9a-f]+) (....)', line)
                        yield int(m[1], 16), int(m[2], 16), m[3]
            gate = threading.Event()
            t = threading.Thread(target=gate.wait)
            t.start()
            found = sorted(maps())
            gate.set()
            t.join()
            print(any(a[2] == '---p' and a[1] - a[0] == 4096 and a[1] == b[0]
                      and size - 4096 <= b[1] - b[0] <= size
                      for a, b in zip(found, found[1:])))
            """)
        self.assertEqual(out, "True")

    def test_recursion(self):
        def recurse(n):
            return recurse(n + 1)

        def run(i):
            with self.assertRaises(RecursionError):
                recurse(0)
            return True

        self.assertEqual(run_threads(3, run), [True] * 3)

    def test_c_recursion(self):
        def run(i):
            nested = []
            for _ in range(100_000):
                nested = [nested]
            with self.assertRaises(RecursionError):
                repr(nested)
            while nested:
                nested = nested.pop()
            return True

        self.assertEqual(run_threads(3, run), [True] * 3)

    def test_stack_overflow_hits_the_guard_page(self):
        # Never the memory of somebody else.
        rc, err = self.run_fail("""
            import ctypes, threading
            from test.support import SuppressCrashReport
            SuppressCrashReport().__enter__()
            threading.stack_size(256 * 1024)
            def run():
                # It recurses in C alone: Python looks where its stack ends.
                ctypes.CDLL(None).regcomp(ctypes.create_string_buffer(1024),
                                          b"(" * 100_000, 1)
            t = threading.Thread(target=run)
            t.start()
            t.join()
            """)
        self.assertEqual(rc, -signal.SIGSEGV)

    def test_stack_size(self):
        old = threading.stack_size()
        self.addCleanup(threading.stack_size, old)
        for size in (1, 4096, 32767):
            with self.assertRaises(ValueError):
                threading.stack_size(size)
        for size in (128 * 1024, 1 << 20, 64 << 20):
            threading.stack_size(size)
            self.assertEqual(run_threads(3, lambda i: i), [0, 1, 2])

    @support.skip_if_sanitizer("ends the process without memory", address=True)
    def test_no_memory_for_a_stack(self):
        out = self.run_ok("""
            import resource, threading
            gate = threading.Event()
            started = []
            with open('/proc/self/statm') as f:
                used = int(f.read().split()[0]) * 4096
            limit = used + (200 << 20)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            try:
                while True:
                    t = threading.Thread(target=gate.wait)
                    t.start()
                    started.append(t)
            except RuntimeError as e:
                print(e)
            gate.set()
            for t in started:
                t.join()
            # And it works again.
            t = threading.Thread(target=print, args=('more',))
            t.start()
            t.join()
            """)
        self.assertEqual(out.splitlines(), ["can't start new thread", "more"])

    def test_no_descriptor_for_the_first_thread(self):
        out = self.run_ok("""
            import os, resource, threading
            resource.setrlimit(resource.RLIMIT_NOFILE,
                               (len(os.listdir('/proc/self/fd')) - 1, 100))
            t = threading.Thread(target=int)
            try:
                t.start()
            except RuntimeError as e:
                print(e)
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
            t = threading.Thread(target=print, args=('more',))
            t.start()
            t.join()
            """)
        wanted = ["can't start new thread", "more"]
        if "+" in sys.thread_info.version:
            # A patched libpth needs no descriptor.
            del wanted[0]
        self.assertEqual(out.splitlines(), wanted)

    @support.skip_if_sanitizer("keeps freed memory", address=True)
    def test_finished_threads_give_their_memory_back(self):
        def resident():
            with open("/proc/self/statm") as f:
                return int(f.read().split()[1]) * 4096

        def use_stack(i):
            return repr([[[[i]]]])

        run_threads(200, use_stack)
        before = resident()
        for _ in range(10):
            run_threads(200, use_stack)
        self.assertLess(resident() - before, 8 << 20)


class ForkTest(ScriptMixin, unittest.TestCase):

    def test_the_child_has_one_thread_and_can_start_more(self):
        out = self.run_ok("""
            import os, sys, threading, time, warnings
            warnings.simplefilter('ignore')
            gate = threading.Event()
            lock = threading.Lock()
            lock.acquire()
            r, w = os.pipe()
            ts = [threading.Thread(target=gate.wait) for _ in range(5)]
            ts += [threading.Thread(target=lock.acquire) for _ in range(5)]
            ts += [threading.Thread(target=time.sleep, args=(0.3,)) for _ in range(5)]
            ts += [threading.Thread(target=os.read, args=(r, 1)) for _ in range(5)]
            for t in ts: t.start()
            time.sleep(0.02)
            pid = os.fork()
            if pid == 0:
                ok = threading.active_count() == 1
                # Wakes the parent's waiters if it wakes anybody.
                lock.release()
                gate.set()
                out = []
                more = [threading.Thread(target=out.append, args=(i,))
                        for i in range(20)]
                more += [threading.Thread(target=time.sleep, args=(0.01,))
                         for i in range(20)]
                for t in more: t.start()
                for t in more: t.join()
                burn = time.thread_time() + 0.05
                while time.thread_time() < burn:
                    pass
                os._exit(0 if ok and sorted(out) == list(range(20)) else 1)
            status = os.waitpid(pid, 0)[1]
            gate.set()
            os.write(w, b'12345')
            for i in range(5):
                lock.release()
                time.sleep(0.01)
            for t in ts: t.join()
            print(status)
            """)
        self.assertEqual(out, "0")

    @skip_if_asan_fork
    def test_fork_in_a_thread(self):
        out = self.run_ok("""
            import os, threading, time, warnings
            warnings.simplefilter('ignore')
            def child():
                t = threading.Thread(target=time.sleep, args=(0.01,))
                t.start()
                t.join()
                # The parent's main thread is gone.
                assert threading.current_thread() is threading.main_thread()
            def run():
                pid = os.fork()
                if pid == 0:
                    try:
                        child()
                    except BaseException:
                        os._exit(1)
                    os._exit(0)
                print(os.waitpid(pid, 0)[1], flush=True)
            ts = [threading.Thread(target=run) for _ in range(4)]
            for t in ts: t.start()
            for t in ts: t.join()
            """)
        self.assertEqual(out.split(), ["0"] * 4)

    def test_threads_end_in_the_child_when_another_had_the_linkers_lock(self):
        out = self.run_ok("""
            import ctypes, os, threading, warnings
            warnings.simplefilter('ignore')
            inside, leave = threading.Event(), threading.Event()
            @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t,
                              ctypes.c_void_p)
            def callback(info, size, data):
                inside.set()
                leave.wait()
                return 1
            t = threading.Thread(target=ctypes.CDLL(None).dl_iterate_phdr,
                                 args=(callback, None))
            t.start()
            inside.wait()
            pid = os.fork()
            if pid == 0:
                for _ in range(3):
                    child = threading.Thread(target=str)
                    child.start()
                    child.join()
                os._exit(0)
            status = os.waitpid(pid, 0)[1]
            leave.set()
            t.join()
            print(status)
            """)
        self.assertEqual(out, "0")

    # A thread that calls a function while it blocks a signal that it was sent.
    PENDING = """
        import os, signal, sys, threading, time, warnings
        warnings.simplefilter('ignore')
        def with_pending_signal(function):
            blocked, sent = threading.Event(), threading.Event()
            def run():
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
                blocked.set()
                sent.wait()
                function()
            t = threading.Thread(target=run)
            t.start()
            blocked.wait()
            signal.pthread_kill(t.ident, signal.SIGUSR1)
            sent.set()
            t.join()
        """

    def run_pending(self, code):
        return self.run_ok(textwrap.dedent(self.PENDING) + textwrap.dedent(code))

    def test_the_child_has_no_pending_signals(self):
        out = self.run_pending("""
            calls = []
            signal.signal(signal.SIGUSR1, lambda *args: calls.append(os.getpid()))
            def fork():
                assert signal.sigpending() == {signal.SIGUSR1}
                pid = os.fork()
                if pid == 0:
                    pending = signal.sigpending()
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
                    time.sleep(0.001)
                    os._exit(1 if pending or calls else 0)
                status = os.waitpid(pid, 0)[1]
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
                print(status)
            with_pending_signal(fork)
            assert calls == [os.getpid()]
            """)
        self.assertEqual(out, "0")

    def test_a_program_that_a_thread_executes_has_its_pending_signals(self):
        out = self.run_pending("""
            show = "import signal; print(signal.sigpending() == {signal.SIGUSR1})"
            with_pending_signal(lambda: os.execve(
                sys.executable, [sys.executable, "-c", show], os.environ))
            """)
        self.assertEqual(out, "True")

    def test_fork_in_a_thread_that_has_set_something_for_its_kernel_thread(self):
        out = self.run_ok(FORK + textwrap.dedent("""
            import os, signal, threading, time, warnings
            warnings.simplefilter('ignore')

            def child():
                assert threading.get_native_id() == os.getpid()
                got = []
                signal.signal(signal.SIGUSR1, lambda *args: got.append(args[0]))
                ping, pong = threading.Lock(), threading.Lock()
                ping.acquire()
                pong.acquire()

                def answer():
                    for _ in range(100):
                        ping.acquire()
                        pong.release()

                for _ in range(3):
                    t = threading.Thread(target=answer)
                    t.start()
                    os.kill(os.getpid(), signal.SIGUSR1)
                    for _ in range(100):
                        ping.release()
                        pong.acquire()
                    t.join()
                os.kill(os.getpid(), signal.SIGUSR1)
                time.sleep(0.001)
                assert signal.SIGUSR1 in got

            def run():
                os.nice(0)
                print(fork(child), flush=True)

            gate = threading.Event()
            other = threading.Thread(target=gate.wait)
            other.start()
            for _ in range(3):
                t = threading.Thread(target=run)
                t.start()
                t.join()
            run()
            gate.set()
            other.join()
            """))
        self.assertEqual(out.split(), ["0"] * 4)


class WatchdogTest(ScriptMixin, unittest.TestCase):
    """faulthandler.dump_traceback_later()"""

    def test_dump_while_c_code_holds_the_gil(self):
        for start in ("compute()",
                      "t = threading.Thread(target=compute); t.start(); t.join()"):
            with self.subTest(start=start):
                rc, err = self.run_fail(f"""
                    import faulthandler, threading

                    def compute():
                        faulthandler.dump_traceback_later(0.1, exit=True)
                        sum(range(10**18))

                    {start}
                """)
                self.assertEqual(rc, 1)
                self.assertIn("Timeout (0:00:00.100000)!", err)
                self.assertIn("in compute", err)

    @support.skip_if_sanitizer("faulthandler reads what others may free", address=True)
    def test_dumps_end_no_wait(self):
        out = self.run_ok("""
            import faulthandler, os, select, socket, tempfile, threading, time

            def sleep():
                start = time.monotonic()
                time.sleep(0.5)
                assert time.monotonic() - start >= 0.5

            def recv():
                a, b = socket.socketpair()
                b.settimeout(0.5)
                try:
                    b.recv(1)
                except TimeoutError:
                    pass

            def acquire():
                lock = threading.Lock()
                lock.acquire()
                start = time.monotonic()
                assert not lock.acquire(timeout=0.5)
                assert time.monotonic() - start >= 0.5

            def wait_for_nothing():
                r, w = os.pipe()
                assert select.select([r], [], [], 0.5)[0] == []

            waits = [sleep, recv, acquire, wait_for_nothing]

            def wait_in_turn():
                for wait in waits:
                    wait()

            def wait_together():
                threads = [threading.Thread(target=wait) for wait in waits]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()

            for wait in wait_in_turn, wait_together:
                with tempfile.TemporaryFile() as f:
                    faulthandler.dump_traceback_later(0.1, repeat=True, file=f)
                    dumped = b""
                    while dumped.count(b"Timeout (") < 3:
                        wait()
                        dumped = os.pread(f.fileno(), 1 << 20, 0)
                    faulthandler.cancel_dump_traceback_later()
                    size = os.fstat(f.fileno()).st_size
                    time.sleep(0.2)
                    assert os.fstat(f.fileno()).st_size == size
            print("ok")
        """)
        self.assertEqual(out, "ok")


class ForeignThreadTest(ScriptMixin, unittest.TestCase):
    """Kernel threads that a C library starts."""

    START = """
        import ctypes, os, threading, time
        libc = ctypes.CDLL(None)
        api = ctypes.pythonapi
        CALLBACK = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
        def start(func, arg=None):
            tid = ctypes.c_ulong()
            assert libc.pthread_create(ctypes.byref(tid), None, func, arg) == 0
            return tid
        def join(tid):
            result = ctypes.c_void_p()
            assert libc.pthread_join(tid, ctypes.byref(result)) == 0
            return result.value
        """

    def run_foreign(self, code, *args):
        return self.run_ok(textwrap.dedent(self.START) + textwrap.dedent(code),
                           *args)

    def test_call_into_python(self):
        # Before and after the first thread of Python starts.
        out = self.run_foreign("""
            seen = []
            @CALLBACK
            def callback(x):
                seen.append(threading.get_ident())
                return x
            tid = start(callback, 1)
            assert join(tid) == 1
            assert seen == [tid.value] != [threading.get_ident()], seen
            t = threading.Thread(target=int)
            t.start()
            t.join()
            assert join(start(callback, 2)) == 2
            print("done")
            """)
        self.assertEqual(out, "done")

    def test_nobody_else_runs_python(self):
        # Python itself has started no thread.  The monitor sleeps in between.
        out = self.run_foreign("""
            def compute(seconds):
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    pass
            @CALLBACK
            def callback(x):
                for _ in range(3):
                    compute(0.05)
                    time.sleep(0.15)
                return x
            tids = [start(callback, i) for i in range(1, 4)]
            for _ in range(3):
                compute(0.05)
                time.sleep(0.15)
            assert [join(tid) for tid in tids] == [1, 2, 3]
            print("done")
            """)
        self.assertEqual(out, "done")

    def test_fork_warns_of_all_threads_but_the_backends(self):
        out = self.run_foreign("""
            import warnings
            warnings.simplefilter("always")
            def forks():
                with warnings.catch_warnings(record=True) as caught:
                    pid = os.fork()
                    if pid == 0:
                        os._exit(0)
                os.waitpid(pid, 0)
                return len(caught)
            r, w = os.pipe()
            native_ids = []
            @CALLBACK
            def callback(x):
                native_ids.append(threading.get_native_id())
                os.read(r, 1)
            for _ in range(2):
                assert forks() == 0
                tid = start(callback)
                assert forks() == 1
                os.write(w, b"x")
                join(tid)
                # The kernel says that it has ended just before it is gone.
                while os.path.exists(f"/proc/self/task/{native_ids[-1]}"):
                    time.sleep(0.001)
                assert forks() == 0
                t = threading.Thread(target=os.read, args=(r, 1))
                t.start()
                assert forks() == 1
                os.write(w, b"x")
                t.join()
            print("done")
            """)
        self.assertEqual(out, "done")

    def test_where_all_signals_are_blocked(self):
        # As in a server that has them taken by a thread of its own.
        out = self.run_foreign("""
            plain = ctypes.CDLL("libc.so.6")
            everything = ctypes.create_string_buffer(b"\\xff" * 128)
            assert plain.pthread_sigmask(0, everything, None) == 0
            turn = threading.Semaphore(0)
            def release(n):
                time.sleep(0.02)
                turn.release()
            @CALLBACK
            def begin(n):
                threading.Thread(target=release, args=(n,)).start()
            callbacks = [begin] + [CALLBACK(release)] * 5 + [begin] * 2
            for callback in callbacks:
                tid = start(callback)
                assert turn.acquire(timeout=30)
                join(tid)
            print("done")
            """)
        self.assertEqual(out, "done")

    def test_many_call_into_python_at_once(self):
        # Beside threads that compute, sleep and wait.
        out = self.run_foreign("""
            seen = []
            lock = threading.Lock()
            local = threading.local()
            condition = threading.Condition()
            @CALLBACK
            def callback(x):
                local.x = x
                for i in range(20):
                    with lock:
                        seen.append((threading.get_ident(), x))
                    time.sleep(0.0005)
                    sum(range(1000))
                with condition:
                    condition.notify_all()
                assert local.x == x
                return x
            stop = []
            def burn():
                while not stop: pass
            def nap():
                while not stop: time.sleep(0.001)
            def wait():
                with condition:
                    condition.wait_for(lambda: stop)
            own = [threading.Thread(target=f) for f in (burn, nap, wait)]
            for t in own: t.start()
            tids = [start(callback, k) for k in range(1, 9)]
            assert [join(tid) for tid in tids] == list(range(1, 9))
            stop.append(1)
            with condition:
                condition.notify_all()
            for t in own: t.join()
            print(len(seen), len({ident for ident, x in seen}),
                  threading.get_ident() in {ident for ident, x in seen})
            """)
        self.assertEqual(out, "160 8 False")

    def test_it_gets_the_gil_beside_threads_that_compute(self):
        # Which take turns, and are quicker to take it.
        out = self.run_foreign("""
            last = None
            turns = 0
            stop = []
            def burn():
                global last, turns
                me = object()
                while not stop:
                    if last is not me:
                        last = me
                        turns += 1
            waits = 0
            others = 0
            @CALLBACK
            def wait_often(x):
                global waits, others
                began = turns
                for _ in range(x):
                    time.sleep(0.0001)
                waits += x
                others += turns - began
            own = [threading.Thread(target=burn) for _ in range(2)]
            for t in own: t.start()
            join(start(wait_often, 40))
            stop.append(1)
            for t in own: t.join()
            print(waits, others / waits)
            """)
        waits, others = out.split()
        self.assertEqual(waits, "40")
        self.assertLess(float(others), 4)

    def test_threads_that_compute_take_turns_beside_it(self):
        # Each time that it is given the GIL, somebody's slice is over.
        out = self.run_foreign("""
            def compute(i):
                while not stop[0]:
                    done[i] += 1
            @CALLBACK
            def wait_often(x):
                for _ in range(x):
                    time.sleep(0.0001)
            shares = []
            for _ in range(5):
                stop, done = [0], [0, 0]
                own = [threading.Thread(target=compute, args=(i,)) for i in range(2)]
                for t in own: t.start()
                join(start(wait_often, 100))
                stop[0] = 1
                for t in own: t.join()
                shares.append(min(done) / max(done))
            print(sorted(shares)[2])
            """)
        self.assertGreater(float(out), 0.4)

    def test_a_woken_thread_runs_beside_one_in_a_long_call(self):
        # A foreign thread wakes one of Python's while the main thread is in C
        # code that does not end before.
        out = self.run_foreign("""
            r, w = os.pipe()
            job = threading.Lock()
            job.acquire()
            taken = 0
            def work():
                global taken
                for _ in range(50):
                    job.acquire()
                    # Before, it may be locked for this thread already.
                    taken += 1
                    plain.write(w, b"x", 1)
            plain = ctypes.CDLL("libc.so.6")
            t = threading.Thread(target=work)
            t.start()
            @CALLBACK
            def wake(x):
                for i in range(50):
                    time.sleep(0.0002)
                    job.release()
                    while taken <= i:
                        time.sleep(0.0002)
            tid = start(wake)
            data = ctypes.create_string_buffer(1)
            for _ in range(50):
                assert plain.read(r, data, 1) == 1
            join(tid)
            t.join()
            print("done")
            """)
        self.assertEqual(out, "done")

    def test_it_starts_and_joins_threads(self):
        out = self.run_foreign("""
            done = []
            @CALLBACK
            def callback(x):
                ts = [threading.Thread(target=done.append, args=(i,))
                      for i in range(5)]
                for t in ts: t.start()
                for t in ts: t.join()
            for tid in [start(callback) for _ in range(4)]:
                join(tid)
            print(sorted(done) == sorted(4 * list(range(5))))
            """)
        self.assertEqual(out, "True")

    def test_locks_between_them_and_threads_of_python(self):
        # Each wakes the other one.
        out = self.run_foreign("""
            ping, pong = threading.Lock(), threading.Lock()
            ping.acquire()
            pong.acquire()
            @CALLBACK
            def answer(x):
                for _ in range(200):
                    ping.acquire()
                    pong.release()
            tid = start(answer)
            def ask():
                for _ in range(200):
                    ping.release()
                    pong.acquire()
            t = threading.Thread(target=ask)
            t.start()
            t.join()
            join(tid)
            lock = threading.Lock()
            lock.acquire()
            @CALLBACK
            def timed(x):
                start = time.monotonic()
                assert not lock.acquire(timeout=0.05)
                assert time.monotonic() - start >= 0.05
                return 1
            print(join(start(timed)))
            """)
        self.assertEqual(out, "1")

    def test_release_of_a_lock_without_a_thread_state(self):
        out = self.run_foreign("""
            gil_less = ctypes.CDLL(None)
            allocate = gil_less.PyThread_allocate_lock
            allocate.restype = ctypes.c_void_p
            lock = ctypes.c_void_p(allocate())
            gil_less.PyThread_acquire_lock(lock, 1)
            stop = []
            def nap():
                while not stop: time.sleep(0.001)
            t = threading.Thread(target=nap)
            for _ in range(2):
                # Once with one thread, once beside another.
                tid = start(gil_less.PyThread_release_lock, lock)
                assert gil_less.PyThread_acquire_lock(lock, 1) == 1
                join(tid)
                if not t.is_alive():
                    t.start()
            stop.append(1)
            t.join()
            print("done")
            """)
        self.assertEqual(out, "done")

    def test_a_pending_call(self):
        out = self.run_foreign("""
            done = []
            @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
            def pending(x):
                done.append(threading.get_ident())
                return 0
            # int Py_AddPendingCall(int (*)(void *), void *), called by a thread
            # that has no thread state: its second argument is any value.
            add = ctypes.CDLL(None).Py_AddPendingCall
            t = threading.Thread(target=time.sleep, args=(0.05,))
            t.start()
            join(start(add, ctypes.cast(pending, ctypes.c_void_p)))
            while not done:
                pass
            t.join()
            print(done == [threading.main_thread().ident])
            """)
        self.assertEqual(out, "True")

    def test_an_allocation_under_tracemalloc(self):
        out = self.run_foreign("""
            malloc = ctypes.CDLL(None).PyMem_RawMalloc
            for _ in range(20):
                assert join(start(malloc, 100))
            print("done")
            """, "-X", "tracemalloc")
        self.assertEqual(out, "done")

    def test_a_call_that_blocks(self):
        # It stops nobody, and is not switched.
        out = self.run_foreign("""
            tid = start(ctypes.cast(libc.usleep, ctypes.c_void_p), 50_000)
            ts = [threading.Thread(target=time.sleep, args=(0.01,))
                  for _ in range(10)]
            for t in ts: t.start()
            for t in ts: t.join()
            print(join(tid))
            """)
        self.assertEqual(out, "None")

    @skip_if_asan_fork
    def test_a_foreign_thread_forks(self):
        # The child has this thread alone, and can start others.
        out = self.run_foreign("""
            import warnings
            warnings.simplefilter("ignore")
            stop = []
            def burn():
                while not stop: pass
            own = threading.Thread(target=burn)
            own.start()
            @CALLBACK
            def fork(x):
                pid = os.fork()
                if pid == 0:
                    status = 1
                    try:
                        done = []
                        ts = [threading.Thread(target=done.append, args=(i,))
                              for i in range(3)]
                        for t in ts: t.start()
                        for t in ts: t.join()
                        time.sleep(0.001)
                        status = sorted(done) != [0, 1, 2]
                    finally:
                        os._exit(status)
                return 1 + os.waitpid(pid, 0)[1]
            print([join(tid) for tid in [start(fork) for _ in range(3)]])
            stop.append(1)
            own.join()
            """)
        self.assertEqual(out, "[1, 1, 1]")

    def test_python_ends_beside_it(self):
        out = self.run_foreign("""
            # One that comes while Python ends is too much for CPython itself
            # (pystate.c, unbind_gilstate_tstate(), asserts what is not so).
            began = threading.Event()
            @CALLBACK
            def callback(x):
                began.set()
                while True:
                    time.sleep(0.001)
            start(callback)
            start(ctypes.cast(libc.pause, ctypes.c_void_p))
            began.wait()
            print("end")
            """)
        self.assertEqual(out, "end")


class StuckTest(ScriptMixin, unittest.TestCase):
    """A thread that is in C code stops no other one."""

    # Functions of this handle are the C library's own: the mapping does not
    # see them.  A spin lock computes until it is unlocked.
    PROLOGUE = """
        import ctypes, os, signal, threading, time
        libc = ctypes.CDLL("libc.so.6", use_errno=True)
        with_gil = ctypes.PyDLL("libc.so.6")
        r, w = os.pipe()
        def read():
            return libc.read(r, ctypes.create_string_buffer(1), 1)
        spinlock = ctypes.c_int()
        libc.pthread_spin_init(ctypes.byref(spinlock), 0)
        libc.pthread_spin_lock(ctypes.byref(spinlock))
        def spin():
            libc.pthread_spin_lock(ctypes.byref(spinlock))
            libc.pthread_spin_unlock(ctypes.byref(spinlock))
        def unspin():
            libc.pthread_spin_unlock(ctypes.byref(spinlock))
        def start(*targets, **kwargs):
            threads = [threading.Thread(target=t, **kwargs) for t in targets]
            for t in threads:
                t.start()
            return threads
        def join(threads):
            for t in threads:
                t.join()
        """

    def run_stuck(self, code):
        return self.run_ok(textwrap.dedent(self.PROLOGUE) + FORK + textwrap.dedent(code))

    def test_a_sleep_after_a_long_call_ends_beside_another_long_call(self):
        # Nobody waits while both are in their calls, so the monitor sleeps.
        out = self.run_ok("""
            import ctypes, threading, time
            usleep = ctypes.CDLL(None).usleep
            done = []
            def run():
                # The main thread's calls have it make room meanwhile.
                end = time.monotonic() + 0.1
                while time.monotonic() < end: pass
                usleep(2_000_000)
                done.append(1)
            t = threading.Thread(target=run)
            t.start()
            end = time.monotonic() + 0.05
            while time.monotonic() < end: usleep(1000)
            usleep(300_000)
            time.sleep(0.01)
            print("late" if done else "in time")
            t.join()
            """)
        self.assertEqual(out, "in time")

    def test_a_time_in_c_is_waited_for_once(self):
        # Threads in such a call are in the way of others, which end, and have to
        # go: what is made again waits for the rest.
        out = self.run_stuck("""
            import functools, subprocess, sys
            # How late one wakes up on this machine meanwhile.
            watch = subprocess.Popen([sys.executable, "-c", '''if True:
                import select, sys, time
                late = 0
                before = time.monotonic()
                while not select.select([sys.stdin], [], [], 0.01)[0]:
                    now = time.monotonic()
                    late = max(late, now - before - 0.01)
                    before = now
                print(late)
                '''], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            epoll = libc.epoll_create1(0)
            events = ctypes.create_string_buffer(16)
            timeout = (ctypes.c_long * 2)(0, 300_000_000)
            none = ctypes.create_string_buffer(128)
            calls = [lambda: libc.usleep(300_000),
                     lambda: libc.poll(None, 0, 300),
                     lambda: libc.epoll_wait(epoll, events, 1, 300),
                     lambda: libc.sigtimedwait(none, None, timeout)]
            took = []
            def wait(call):
                for _ in range(10):
                    # Its first calls are short.
                    os.stat("/")
                start = time.monotonic()
                call()
                took.append(time.monotonic() - start)
            n = 400
            for _ in range(3):
                join(start(*[functools.partial(wait, calls[i % len(calls)])
                             for i in range(n)]))
            late = float(watch.communicate(b".")[0])
            assert len(took) == 3 * n
            assert min(took) > 0.299, min(took)
            # On a busy machine one may be made anew that was about to end.
            twice = sum(seconds > 0.5 + 2 * late for seconds in took)
            assert twice < 4, (twice, late)
            print("once")
            """)
        self.assertEqual(out, "once")

    def test_a_thread_in_a_blocking_call(self):
        out = self.run_stuck("""
            got = []
            threads = start(*[lambda: got.append(read())] * 3)
            for i in range(3):
                time.sleep(0.005)
                os.write(w, b"x")
                while len(got) <= i:
                    time.sleep(0.0005)
            join(threads)
            print(got)
            """)
        self.assertEqual(out, "[1, 1, 1]")

    def test_the_main_thread_in_a_blocking_call(self):
        out = self.run_stuck("""
            def write():
                time.sleep(0.005)
                os.write(w, b"x")
            for _ in range(3):
                threads = start(write)
                assert read() == 1
                join(threads)
            print("done")
            """)
        self.assertEqual(out, "done")

    def test_a_message_queue(self):
        out = self.run_stuck("""
            queue = libc.msgget(0, 0o600)
            if queue < 0:
                raise SystemExit("no System V messages here")
            class Message(ctypes.Structure):
                _fields_ = [("type", ctypes.c_long), ("text", ctypes.c_char * 8)]
            got = []
            def receive():
                m = Message()
                n = libc.msgrcv(queue, ctypes.byref(m), ctypes.c_size_t(8),
                                ctypes.c_long(0), 0)
                got.append((n, m.text))
            threads = start(receive)
            time.sleep(0.005)
            libc.msgsnd(queue, ctypes.byref(Message(1, b"hello")),
                        ctypes.c_size_t(5), 0)
            join(threads)
            libc.msgctl(queue, 0, None)
            print(got)
            """)
        self.assertEqual(out, "[(5, b'hello')]")

    def test_a_thread_that_computes_in_c(self):
        out = self.run_stuck("""
            threads = start(spin, spin)
            n = 0
            for _ in range(20):
                time.sleep(0.0005)
                n += 1
            unspin()
            join(threads)
            print(n)
            """)
        self.assertEqual(out, "20")

    def test_the_main_thread_computes_in_c(self):
        out = self.run_stuck("""
            def count():
                for _ in range(20):
                    time.sleep(0.0005)
                print("counted", flush=True)
                unspin()
            threads = start(count)
            spin()
            join(threads)
            """)
        self.assertEqual(out, "counted")

    def test_hand_offs_after_long_calls(self):
        # A thread whose calls took long makes room at once, which takes kernel
        # threads that wait.  It does not go on so when it waits for locks.
        out = self.run_stuck("""
            def switches():
                n = 0
                for task in os.listdir("/proc/self/task"):
                    with open(f"/proc/self/task/{task}/status") as f:
                        n += sum(int(line.split()[1]) for line in f
                                 if line.startswith("voluntary"))
                return n
            ping, pong = threading.Lock(), threading.Lock()
            end = threading.Lock()
            for lock in ping, pong, end:
                lock.acquire()
            def answer():
                for _ in range(2100):
                    ping.acquire()
                    pong.release()
                # Its kernel thread is counted.
                end.acquire()
            threads = start(answer)
            def hand_over(n):
                for _ in range(n):
                    ping.release()
                    pong.acquire()
            hand_over(100)
            for _ in range(100):
                libc.usleep(200)
            before = switches()
            hand_over(2000)
            print(switches() - before)
            end.release()
            join(threads)
            """)
        self.assertLess(int(out), 1000)

    def test_a_mutex_of_c(self):
        # Its owner waits in Python, the others in C.
        out = self.run_stuck("""
            mutex = ctypes.create_string_buffer(64)
            inside = []
            most = []
            def enter():
                for _ in range(5):
                    assert libc.pthread_mutex_lock(mutex) == 0
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(0.002)
                    inside.pop()
                    assert libc.pthread_mutex_unlock(mutex) == 0
            join(start(*[enter] * 5))
            print(set(most), len(most))
            """)
        self.assertEqual(out, "{1} 25")

    def test_the_owner_of_a_mutex_of_c(self):
        out = self.run_stuck("""
            import errno
            RECURSIVE, ERRORCHECK = 1, 2
            for kind in RECURSIVE, ERRORCHECK:
                mutex = ctypes.create_string_buffer(64)
                attr = ctypes.create_string_buffer(16)
                libc.pthread_mutexattr_init(attr)
                libc.pthread_mutexattr_settype(attr, kind)
                libc.pthread_mutex_init(mutex, attr)
                assert libc.pthread_mutex_lock(mutex) == 0
                def other():
                    assert libc.pthread_mutex_trylock(mutex) == errno.EBUSY
                    assert libc.pthread_mutex_unlock(mutex) == errno.EPERM
                    time.sleep(0.001)
                    print("not the owner", flush=True)
                join(start(other))
                again = libc.pthread_mutex_lock(mutex)
                assert again == (0 if kind == RECURSIVE else errno.EDEADLK)
                for _ in range(2 if kind == RECURSIVE else 1):
                    assert libc.pthread_mutex_unlock(mutex) == 0
            """)
        self.assertEqual(out.splitlines(), ["not the owner"] * 2)

    def test_a_condition_variable_of_c(self):
        out = self.run_stuck("""
            mutex = ctypes.create_string_buffer(64)
            cond = ctypes.create_string_buffer(64)
            turn = 0
            def play(me):
                global turn
                for _ in range(50):
                    libc.pthread_mutex_lock(mutex)
                    while turn != me:
                        libc.pthread_cond_wait(cond, mutex)
                    turn = 1 - me
                    libc.pthread_cond_broadcast(cond)
                    libc.pthread_mutex_unlock(mutex)
            join(start(lambda: play(0), lambda: play(1)))
            print(turn)
            """)
        self.assertEqual(out, "0")

    def test_an_interpreter_that_blocks_with_a_gil_of_its_own(self):
        out = self.run_stuck("""
            import _interpreters
            interp = _interpreters.create("isolated")
            code = f'''if True:
                import ctypes
                ctypes.PyDLL("libc.so.6").read(
                    {r}, ctypes.create_string_buffer(1), 1)
                '''
            threads = start(lambda: _interpreters.exec(interp, code))
            time.sleep(0.01)
            print("goes on")
            os.write(w, b"x")
            join(threads)
            _interpreters.destroy(interp)
            """)
        self.assertEqual(out, "goes on")

    def test_an_interpreter_that_computes_with_a_gil_of_its_own(self):
        # Neither waits for the other one's slice.
        out = self.run_stuck("""
            import _interpreters, sys
            sys.setswitchinterval(1000)
            interp = _interpreters.create("isolated")
            code = f'''if True:
                import os
                while os.get_blocking({r}):
                    pass
                '''
            threads = start(lambda: _interpreters.exec(interp, code))
            for _ in range(3_000_000):
                pass
            os.set_blocking(r, False)
            join(threads)
            _interpreters.destroy(interp)
            print("done")
            """)
        self.assertEqual(out, "done")

    def test_a_signal_of_the_process_does_not_interrupt_them(self):
        # It is the main thread's, which may have been elsewhere just then.
        out = self.run_stuck("""
            import signal
            seen = []
            got = []
            signal.signal(signal.SIGUSR1, lambda *args: seen.append(1))
            threads = start(*[lambda: got.append(read())] * 3)
            time.sleep(0.01)
            for i in range(50):
                os.kill(os.getpid(), signal.SIGUSR1)
                time.sleep(0.001)
            os.write(w, b"xxx")
            join(threads)
            print(got, len(seen) > 10)
            """)
        self.assertEqual(out, "[1, 1, 1] True")

    @skip_if_asan_fork
    def test_a_child_can_start_threads_whoever_was_about_to_run(self):
        # As when one has just left the processor to another kernel thread, which has
        # not begun yet.
        out = self.run_stuck("""
            import warnings
            warnings.simplefilter("ignore")
            statuses = []
            def child():
                signal.alarm(60)
                join(start(*[lambda: libc.usleep(1000)] * 3))
            def run():
                statuses.append(fork(child))
            threads = start(spin)
            for _ in range(20):
                run()
                join(start(run, run))
            unspin()
            join(threads)
            print(sum(status != 0 for status in statuses))
            """)
        self.assertEqual(out, "0")

    @skip_if_asan_fork
    def test_fork_beside_them(self):
        # The child has none of them, and can have its own.
        out = self.run_stuck("""
            import warnings
            warnings.simplefilter("ignore")
            def child():
                assert len(os.listdir("/proc/self/task")) == 1
                assert threading.active_count() == 1
                mine, other = os.pipe()
                got = []
                threads = start(lambda: got.append(libc.read(
                                    mine, ctypes.create_string_buffer(1), 1)),
                                lambda: time.sleep(0.001))
                time.sleep(0.005)
                os.write(other, b"x")
                join(threads)
                assert got == [1]
            def run():
                print(fork(child), flush=True)
            threads = start(read, read, spin)
            time.sleep(0.01)
            run()
            join(start(run, run))
            # A thread that was in C code itself.
            def long_calls():
                for _ in range(5):
                    libc.usleep(3000)
                run()
            join(start(long_calls))
            unspin()
            os.write(w, b"xx")
            join(threads)
            """)
        self.assertEqual(out.split(), ["0"] * 4)

    def test_the_program_ends_beside_them(self):
        # Daemon threads in every state do no harm.
        for _ in range(5):
            out = self.run_stuck("""
                lock = threading.Lock()
                lock.acquire()
                def burn():
                    while True: pass
                def call():
                    while True: libc.usleep(100)
                start(read, spin, burn, call, lock.acquire,
                      lambda: time.sleep(1000), lambda: os.read(r, 1),
                      daemon=True)
                time.sleep(0.005)
                print("end")
                """)
            self.assertEqual(out, "end")

    def test_keyboard_interrupt_in_a_blocking_call(self):
        out = self.run_stuck("""
            gate = threading.Event()
            def interrupt():
                time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGINT)
                gate.wait()
            helper = threading.Thread(target=interrupt)
            threads = start(gate.wait)
            try:
                helper.start()
                read()
            except KeyboardInterrupt:
                print("interrupted")
            gate.set()
            join([helper, *threads])
            """)
        self.assertEqual(out, "interrupted")

    def test_the_process_lives_as_long_as_its_last_thread(self):
        out = self.run_stuck("""
            def last():
                time.sleep(0.05)
                read()
                print("last", flush=True)
            def writer():
                time.sleep(0.01)
                os.write(w, b"x")
            start(last, writer)
            ctypes.CDLL(None).pthread_exit(None)
            """)
        self.assertEqual(out, "last")


if __name__ == "__main__":
    unittest.main()
