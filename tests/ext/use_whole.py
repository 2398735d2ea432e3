"""A Python thread is a whole thread, for C and C++ code and for the kernel.

usage: python use_whole.py [unittest arguments]

The directory of the modules whole and whole_cxx is in PYTHONPATH.  These tests
say what holds with any threads: they pass on stock CPython, too.
"""

import ctypes
import functools
import hashlib
import os
import random
import re
import resource
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import tracemalloc
import unittest
import warnings

import whole
import whole_cxx
from shared import block_signals, in_threads

# What has not come after so many seconds is lost.
LOST = 50

SI_TKILL = -6                     # <signal.h>
PTRACE_TRACEME = 0                # <sys/ptrace.h>
PTRACE_CONT = 7
PTRACE_SETOPTIONS = 0x4200
KEYCTL = 250 if os.uname().machine == "x86_64" else 219   # <sys/syscall.h>


class Others:
    """Threads that compute, nap and make short calls, as a context."""

    def __enter__(self):
        self.stop = False
        self.naps = 0

        def burn():
            while not self.stop:
                pass

        def nap():
            while not self.stop:
                time.sleep(0.001)
                self.naps += 1

        self.threads = [threading.Thread(target=f) for f in (burn, nap)]
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *exc):
        self.stop = True
        for t in self.threads:
            t.join()


def wait_until(condition):
    end = time.monotonic() + LOST
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it does not come")
        time.sleep(0.001)


def wait_in_epoll(fd):
    with select.epoll() as epoll:
        epoll.register(fd, select.EPOLLIN)
        return epoll.poll(LOST)


def run(code, *args):
    """Run a program, and return what it has said."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(code), *args],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        timeout=LOST)
    return done.returncode, done.stdout


class IdentityTest(unittest.TestCase):

    def test_threads_have_identifiers_stacks_and_kernel_threads(self):
        barrier = threading.Barrier(6)

        def check(i):
            ident, tid, inside, size = whole.look()
            native_id = threading.get_native_id()
            self.assertEqual(ident, threading.get_ident())
            self.assertTrue(inside)
            self.assertGreaterEqual(size, 1 << 20)
            self.assertTrue(os.path.exists(f"/proc/self/task/{native_id}"))
            self.assertEqual(tid, native_id)
            os.setpriority(os.PRIO_PROCESS, native_id, 1)
            barrier.wait()
            return ident, native_id

        ids = in_threads(check, 6)
        for part in zip(*ids):
            self.assertEqual(len(set(part)), 6)

    def test_the_main_thread_is_the_first_kernel_thread(self):
        with Others():
            for _ in range(50):
                self.assertEqual(whole.look()[:2],
                                 (threading.main_thread().ident, os.getpid()))
                time.sleep(0.0005)

    def in_four(self, ask, change):
        """What four threads say with their native IDs after the first has made
        the change."""
        barrier = threading.Barrier(4)

        def check(i):
            for _ in range(5):
                time.sleep(0.001)
            if i == 0:
                change()
            barrier.wait()
            result = ask(threading.get_native_id())
            barrier.wait()
            return result

        with Others():
            return in_threads(check, 4)

    def test_what_syscall_sets_is_the_threads(self):
        cpus = os.sched_getaffinity(0)
        if len(cpus) < 2:
            self.skipTest("there is one processor")
        cpu = min(cpus)
        self.assertEqual(
            self.in_four(os.sched_getaffinity, lambda: whole.pin(cpu)),
            [{cpu}] + [cpus] * 3)

    def test_the_personality_is_the_threads(self):
        def ask(native_id):
            with open(f"/proc/self/task/{native_id}/personality") as f:
                return int(f.read(), 16)

        try:
            before = ask(threading.get_native_id())
        except PermissionError:
            self.skipTest("it is not to be read")
        flags = before ^ 0x0040000    # ADDR_NO_RANDOMIZE, <sys/personality.h>
        self.assertEqual(self.in_four(ask, lambda: whole.set_personality(flags)),
                         [flags] + [before] * 3)

    def status(self, native_id, what):
        with open(f"/proc/self/task/{native_id}/status") as f:
            return re.search(rf"^{what}:\s+(.*)", f.read(), re.M)[1]

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_the_owner_of_new_files_is_the_threads(self):
        for name, what in ("setfsuid", "Uid"), ("setfsgid", "Gid"):
            with self.subTest(name):
                call = getattr(ctypes.CDLL(None), name)
                self.assertEqual(
                    self.in_four(lambda id: self.status(id, what).split()[3],
                                 lambda: call(12)),
                    ["12", "0", "0", "0"])

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_capabilities_are_the_threads(self):
        # <linux/capability.h>: version 3, the calling thread.
        header = struct.pack("=Ii", 0x20080522, 0)
        before = self.status(threading.get_native_id(), "CapEff")
        sets = struct.pack("=6I", *[0] * 6)
        self.assertEqual(
            self.in_four(lambda id: self.status(id, "CapEff"),
                         lambda: ctypes.CDLL(None).capset(header, sets)),
            ["0" * 16] + [before] * 3)

    def test_a_ring_of_one_thread(self):
        # io_uring_setup(2), io_uring_enter(2), and <linux/io_uring.h>.
        syscall = ctypes.CDLL(None, use_errno=True).syscall
        flags = struct.pack("=30I", 0, 0, 1 << 12, *[0] * 27)  # SINGLE_ISSUER

        def use(i):
            params = ctypes.create_string_buffer(flags)
            fd = syscall(425, 4, params)
            if fd < 0:
                return os.strerror(ctypes.get_errno())
            results = []
            for _ in range(5):
                time.sleep(0.001)
                results.append(syscall(426, fd, 0, 0, 0, None, 0))
            os.close(fd)
            return results

        with Others():
            results = in_threads(use, 4)
        if isinstance(results[0], str):
            self.skipTest(f"io_uring_setup(): {results[0]}")
        self.assertEqual(results, [[0] * 5] * 4)

    def test_what_a_call_changes_stays_with_the_thread(self):
        libc = ctypes.CDLL(None)
        calls = [
            # KEYCTL_JOIN_SESSION_KEYRING (keyctl(2)); the call is not the same on
            # all machines.
            lambda: libc.syscall(KEYCTL, 1, None),
            lambda: libc.pkey_alloc(0, 0),
            lambda: libc.pkey_set(-1, 0),
        ]
        if os.uname().machine == "x86_64":
            # ioperm() and iopl(), which need privileges, PERF_COUNT_SW_DUMMY
            # (perf_event_open(2)).
            attr = struct.pack("=IIQ", 1, 112, 9) + bytes(96)
            calls += [
                lambda: libc.ioperm(0x80, 1, 0),
                lambda: libc.iopl(0),
                lambda: libc.syscall(298, attr, 0, -1, -1, 0),
            ]
        for i, call in enumerate(calls):
            with self.subTest(i):
                self.check_stays(call)

    def check_stays(self, call):
        def runs_on_its_own(_):
            call()
            results = []
            for _ in range(5):
                time.sleep(0.001)
                results.append(os.path.basename(os.readlink("/proc/thread-self"))
                               == str(threading.get_native_id()))
            return all(results)

        with Others():
            self.assertEqual(in_threads(runs_on_its_own, 3), [True] * 3)

    def test_keys_of_pthread(self):
        before = whole.count_destroyed()

        def check(i):
            for k in range(30):
                value = 100 * (i + 1) + k
                self.assertEqual(
                    whole.keep(value,
                               lambda: time.sleep(random.random() * 0.002)),
                    value)
            return True

        self.assertEqual(in_threads(check, 6), [True] * 6)
        # Their destructors run when the threads end.
        wait_until(lambda: whole.count_destroyed() == before + 6)

    def test_an_alternate_stack(self):
        def check(i):
            return [whole.alternate_stack(lambda: time.sleep(0.002))
                    for _ in range(5)]

        self.assertEqual(in_threads(check, 6), [[True] * 5] * 6)


class TimeTest(unittest.TestCase):
    """The processor time of a thread."""

    @staticmethod
    def compute(units):
        for _ in range(units):
            sum(range(50_000))
            time.sleep(0)

    @staticmethod
    def from_rusage():
        usage = resource.getrusage(resource.RUSAGE_THREAD)
        return usage.ru_utime + usage.ru_stime

    @staticmethod
    def from_clock():
        return time.clock_gettime(
            time.pthread_getcpuclockid(threading.get_ident()))

    def check_shares(self, ask, early):
        """Threads that do more use more, and all that is used."""
        def use(i):
            start = ask() if early else 0
            self.compute(20 if i < 2 else 160)
            return ask() - start

        before = time.process_time()
        used = in_threads(use, 4)
        both = time.process_time() - before
        # Eight times as much; a guest of a busy host is told too much at times.
        self.assertGreater(min(used[2:]), 2 * max(used[:2]), used)
        self.assertGreater(sum(used), both * 0.7)
        self.assertLess(sum(used), both * 1.05)

    def test_a_thread_has_what_it_has_used_itself(self):
        for ask in time.thread_time, self.from_rusage, self.from_clock:
            for early in True, False:
                with self.subTest(ask=ask, early=early):
                    self.check_shares(ask, early)

    def test_what_it_computes_in_c_beside_one_that_computes(self):
        # On its own kernel thread, to which it goes at once after long calls, and from
        # which it comes back before it asks.
        libc = ctypes.CDLL("libc.so.6")

        def hash_it(ask):
            before = ask()
            hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000)
            return ask() - before

        def use(i):
            for _ in range(10):
                libc.usleep(3000)
            return [hash_it(ask) for ask in (time.thread_time, self.from_rusage,
                                             self.from_clock)]

        alone = hash_it(time.process_time)
        with Others():
            used = in_threads(use, 1)[0]
        self.assertGreater(min(used), alone / 2, (used, alone))

    def test_a_new_thread_has_used_nothing(self):
        # It may have the kernel thread of one that has ended, and had computed there.
        code = """
            import ctypes, threading, time, zlib
            libc = ctypes.CDLL("libc.so.6")
            stop = []
            def burn():
                while not stop:
                    pass
            def use():
                for _ in range(10):
                    libc.usleep(3000)
                for _ in range(2):
                    zlib.compress(bytes(8_000_000))
            def tell():
                told.append(time.thread_time())
            told = []
            burner = threading.Thread(target=burn)
            burner.start()
            for f in (use, tell) * 3:
                t = threading.Thread(target=f)
                t.start()
                t.join()
            stop.append(1)
            burner.join()
            print(max(told) < 0.02)
            """
        self.assertEqual(run(code), (0, "True\n"))

    def test_before_anybody_has_asked(self):
        # Hand-offs are not counted one by one until then.
        code = """
            import threading, time
            def use(units):
                for _ in range(units):
                    sum(range(50_000))
                used[units] = time.thread_time()
            used = {}
            threads = [threading.Thread(target=use, args=(n,)) for n in (100, 400)]
            start = time.process_time()
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            both = time.process_time() - start
            print(used[400] > 2 * used[100], used[400] < 8 * used[100],
                  0.7 < (used[100] + used[400]) / both < 1.05)
            """
        self.assertEqual(run(code), (0, "True True True\n"))

    def test_one_that_waits_has_used_nothing(self):
        with Others():
            time.sleep(0.3)
            self.assertEqual(
                [used < 0.1 for used in in_threads(
                    lambda i: time.sleep(0.3) or time.thread_time(), 3)],
                [True] * 3)

    def test_it_never_becomes_less(self):
        def check(i):
            last = 0, 0, 0
            for _ in range(100):
                usage = resource.getrusage(resource.RUSAGE_THREAD)
                now = time.thread_time(), usage.ru_utime, usage.ru_stime
                for old, new in zip(last, now):
                    self.assertGreaterEqual(new, old)
                last = now
                sum(range(1000))
                time.sleep(0.0001)
            return True

        with Others():
            self.assertEqual(in_threads(check, 4), [True] * 4)

    def test_the_clock_of_another_thread(self):
        times, go, asked = [], threading.Event(), threading.Event()

        def use():
            self.compute(50)
            times.append(time.thread_time())
            go.set()
            asked.wait()
            times.append(time.thread_time())

        with Others():
            t = threading.Thread(target=use)
            t.start()
            clock = time.pthread_getcpuclockid(t.ident)
            go.wait()
            times.append(time.clock_gettime(clock))
            asked.set()
            t.join()
        before, between, after = times
        self.assertGreater(before, 0)
        self.assertTrue(before <= between <= after, times)

    def test_a_timer_of_the_threads_clock(self):
        def use(i):
            timer = whole.start_timer(0.15)
            time.sleep(0.3)
            early = whole.timer_left(timer)
            end = time.thread_time() + 0.2
            while time.thread_time() < end:
                pass
            return early > 0.1, whole.timer_left(timer)

        with Others():
            self.assertEqual(in_threads(use, 2), [(True, 0)] * 2)

    def test_the_child_of_a_fork_begins_anew(self):
        def fork(i):
            # Much more than a child takes to begin, on a busy machine, too.
            self.compute(400)
            mine = time.thread_time()
            pid = os.fork()
            if pid == 0:
                os._exit(not time.thread_time() < mine / 2)
            return os.waitpid(pid, 0)[1]

        with Others(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.assertEqual(in_threads(fork, 1), [0])


class CxxTest(unittest.TestCase):

    def test_the_current_exception(self):
        def check(i):
            for k in range(60):
                text = f"{i}.{k}"
                self.assertEqual(
                    whole_cxx.rethrow(
                        text, lambda: time.sleep(random.random() * 0.002)),
                    text)
            return True

        self.assertEqual(in_threads(check, 8), [True] * 8)

    def test_a_thread_local_variable(self):
        def check(i):
            before = 0
            for k in range(60):
                value = 1000 * (i + 1) + k
                self.assertEqual(
                    whole_cxx.keep(value, lambda: time.sleep(0.0002)),
                    (before, value))
                before = value
            return True

        self.assertEqual(in_threads(check, 8), [True] * 8)

    def test_a_thread_local_object(self):
        # It is new in each thread, and destroyed at its end.
        before = whole_cxx.count_destroyed()
        for _ in range(20):
            self.assertEqual(in_threads(lambda i: whole_cxx.touch(), 1), [False])
        wait_until(lambda: whole_cxx.count_destroyed() == before + 20)


class LockTest(unittest.TestCase):

    def test_locks_of_c_let_one_thread_in(self):
        for which, kind in ((0, "mutex"), (1, "recursive mutex"),
                            (2, "error-checking mutex"), (4, "rwlock")):
            with self.subTest(kind), Others() as others:
                naps = others.naps
                self.assertEqual(in_threads(lambda i: whole.enter(which, 20000), 6),
                                 [(0, 0)] * 6)
                self.assertEqual(whole.take_most_inside(), 1)
                # Those who wait for it stop nobody else.
                self.assertGreater(others.naps - naps, 5)

    def test_a_mutex_with_priority_inheritance(self):
        # The kernel knows who has it.  In a process of its own, for it tells how
        # all threads run from then on.
        code = """
            import threading, time, whole
            print(whole.init_inheriting())
            results = []
            go = threading.Event()

            def enter():
                go.wait()
                for _ in range(30):
                    results.append(whole.enter(3, 300))
                    time.sleep(0.0001)

            threads = [threading.Thread(target=enter) for _ in range(6)]
            for t in threads:
                t.start()
            go.set()
            for t in threads:
                t.join()
            print(results == [(0, 0)] * 180, whole.take_most_inside())
            """
        self.assertEqual(run(code), (0, "0\nTrue 1\n"))

    def test_tcl_waits(self):
        try:
            import tkinter
        except ImportError:
            self.skipTest("there is no tkinter")
        tcl = tkinter.Tcl()
        with Others() as others:
            naps = others.naps
            tcl.eval("after 200 {set done 1}; vwait done")
            self.assertGreater(others.naps - naps, 5)


class TurnTest(unittest.TestCase):

    def test_short_calls_of_c_keep_nobody_from_running(self):
        # None of them takes long, but the C code that makes them has no GIL to give up.
        code = """
            import sys, threading, time, whole
            threads = [threading.Thread(target=whole.ask_for_time, args=(i,))
                       for i in range(int(sys.argv[1]))]
            for t in threads:
                t.start()
            while whole.count_asking() < len(threads):
                time.sleep(0.001)
            for _ in range(20):
                time.sleep(0.001)
            whole.stop_asking()
            for t in threads:
                t.join()
            print("whole")
            """
        for n in "1", "3":
            with self.subTest(n):
                self.assertEqual(run(code, n), (0, "whole\n"))


class InterpreterTest(unittest.TestCase):

    def test_one_that_blocks_with_its_own_gil(self):
        import _interpreters
        interpreter = _interpreters.create("isolated")
        code = "import ctypes; ctypes.PyDLL(None).poll(None, 0, {})"
        # The import takes the time that it takes.
        self.assertIsNone(_interpreters.exec(interpreter, code.format(0)))
        with Others() as others:
            naps = others.naps
            self.assertIsNone(_interpreters.exec(interpreter, code.format(200)))
            self.assertGreater(others.naps - naps, 5)
        _interpreters.destroy(interpreter)


class ForeignThreadTest(unittest.TestCase):
    """Kernel threads that a C library starts."""

    def test_they_call_python(self):
        seen = []
        lock = threading.Lock()
        local = threading.local()

        def callback():
            local.x = ident = threading.get_ident()
            for _ in range(20):
                with lock:
                    seen.append(ident)
                time.sleep(0.0005)
                sum(range(1000))
            self.assertEqual(local.x, ident)

        with Others():
            whole.call_in_threads(callback, 8)
        self.assertEqual(len(seen), 160)
        self.assertEqual(len(set(seen)), 8)
        self.assertNotIn(threading.get_ident(), seen)

    def test_they_call_python_in_threads_of_both_kinds(self):
        calls = []

        def deeper():
            whole.call_in_threads(lambda: calls.append(1), 2)

        with Others():
            in_threads(lambda i: whole.call_in_threads(deeper, 3), 3)
        self.assertEqual(len(calls), 18)

    def test_they_release_a_lock(self):
        self.assertTrue(whole.released())
        with Others():
            self.assertTrue(whole.released())

    def test_they_add_pending_calls(self):
        before = whole.count_pending_calls()
        with Others():
            whole.add_pending_calls(1000)
            wait_until(lambda: whole.count_pending_calls() == before + 2000)

    def test_they_lock_a_mutex_of_python(self):
        with Others():
            self.assertEqual(whole.lock_py_mutex(100_000), 300_000)

    def test_they_allocate_memory_that_is_traced(self):
        tracemalloc.start()
        try:
            whole.allocate_raw()
            with Others():
                whole.allocate_raw()
        finally:
            tracemalloc.stop()


class SignalTest(unittest.TestCase):

    def test_a_signal_for_a_thread_is_taken_by_it(self):
        both = {signal.SIGUSR1, signal.SIGUSR2}
        block_signals(self, *both)
        got = []

        def take(i):
            while signal.sigwait(both) == signal.SIGUSR1:
                got.append(i)

        threads = [threading.Thread(target=take, args=(i,)) for i in range(3)]
        for t in threads:
            t.start()
        signal.pthread_kill(threads[0].ident, signal.SIGUSR1)
        signal.pthread_kill(threads[1].ident, signal.SIGUSR1)
        wait_until(lambda: len(got) >= 2)
        self.assertEqual(sorted(got), [0, 1])
        for t in threads:
            signal.pthread_kill(t.ident, signal.SIGUSR2)
        for t in threads:
            t.join()

    def test_a_blocked_signal_that_a_thread_sends_itself_waits_for_it(self):
        libc = ctypes.CDLL(None)
        libc.pthread_kill.argtypes = ctypes.c_ulong, ctypes.c_int
        tgkill = 234 if os.uname().machine == "x86_64" else 131   # <sys/syscall.h>
        number = int(signal.SIGUSR1)
        ways = {
            "raise": lambda: libc["raise"](number),
            "pthread_kill": lambda: libc.pthread_kill(threading.get_ident(), number),
            "tgkill": lambda: libc.tgkill(os.getpid(), threading.get_native_id(),
                                          number),
            "syscall": lambda: libc.syscall(tgkill, os.getpid(),
                                            threading.get_native_id(), number),
        }
        came = []
        old = signal.signal(signal.SIGUSR1, lambda *args: came.append(args))
        self.addCleanup(signal.signal, signal.SIGUSR1, old)

        def send(i):
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            pending = taken = 0
            for _ in range(20):
                way()
                # Others, which let it through, run on the same kernel thread.
                time.sleep(0.0005)
                pending += signal.sigpending() == {signal.SIGUSR1}
                taken += signal.sigtimedwait([signal.SIGUSR1], 0.1) is not None
            return pending, taken

        for name, way in ways.items():
            with self.subTest(name), Others():
                self.assertEqual(in_threads(send, 3), [(20, 20)] * 3)
                self.assertEqual(came, [])

    def test_a_signal_of_a_thread_that_has_ended_waits_for_the_only_one(self):
        code = """
            import signal, threading
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            taken = 0
            for _ in range(20):
                t = threading.Thread(target=signal.pthread_kill, args=(
                    threading.get_ident(), signal.SIGUSR1))
                t.start()
                t.join()
                assert signal.sigpending() == {signal.SIGUSR1}
                taken += signal.sigtimedwait([signal.SIGUSR1], 5) is not None
            print(taken)
            """
        self.assertEqual(run(code), (0, "20\n"))

    def test_a_signal_comes_to_a_thread_that_makes_short_calls_of_c(self):
        old = signal.getsignal(signal.SIGUSR2)
        self.addCleanup(signal.signal, signal.SIGUSR2, old)
        for n in 1, 2, 3:
            with self.subTest(n):
                threads = [threading.Thread(target=whole.ask_for_time, args=(i,))
                           for i in range(n)]
                for t in threads:
                    t.start()
                try:
                    wait_until(lambda: whole.count_asking() == n)
                    for _ in range(20):
                        before = [whole.came(i) for i in range(n)]
                        for t in threads:
                            signal.pthread_kill(t.ident, signal.SIGUSR2)
                        wait_until(lambda: all(whole.came(i) == before[i] + 1
                                               for i in range(n)))
                finally:
                    whole.stop_asking()
                    for t in threads:
                        t.join()

    def test_a_signal_for_a_native_id_comes_while_the_thread_waits(self):
        r, w = socket.socketpair()
        w.setblocking(False)
        old = signal.signal(signal.SIGUSR1, lambda *args: None)
        self.addCleanup(signal.signal, signal.SIGUSR1, old)
        self.addCleanup(signal.set_wakeup_fd, signal.set_wakeup_fd(w.fileno()))
        go = threading.Event()
        t = threading.Thread(target=go.wait)
        t.start()
        libc = ctypes.CDLL(None)
        sends = [lambda: libc.tgkill(os.getpid(), t.native_id, signal.SIGUSR1)]
        if os.uname().machine == "x86_64":
            sends += [lambda: libc.syscall(234, os.getpid(), t.native_id, signal.SIGUSR1),
                      lambda: libc.syscall(200, t.native_id, signal.SIGUSR1)]
        with r, w, Others():
            for send in sends:
                self.assertEqual(send(), 0)
                self.assertTrue(select.select([r], [], [], LOST)[0])
                self.assertEqual(r.recv(9), bytes([signal.SIGUSR1]))
            if len(sends) > 1:
                other = subprocess.Popen(["sleep", "1000"])
                self.assertEqual(libc.syscall(200, other.pid, signal.SIGTERM), 0)
                self.assertEqual(other.wait(), -signal.SIGTERM)
            self.assertEqual(libc.tgkill(os.getpid(), t.native_id, 0), 0)
            self.assertEqual(libc.tgkill(os.getpid(), t.native_id, 99), -1)
            self.assertEqual(libc.tgkill(os.getpid(), 0, 0), -1)
            go.set()
            t.join()

    def read_from_signalfd(self, wait, early):
        """Send a signal to a thread that blocks it, waits and reads it."""
        fd = whole.signal_fd(signal.SIGUSR1)
        self.addCleanup(os.close, fd)
        entered, go, got = threading.Event(), threading.Event(), []

        def take():
            entered.set()
            go.wait()
            if wait(fd):
                signum, _, code = struct.unpack_from("=Iii", os.read(fd, 128))
                got.extend((signum, code))

        t = threading.Thread(target=take)
        t.start()
        entered.wait()
        if not early:
            go.set()
            time.sleep(0.02)
        signal.pthread_kill(t.ident, signal.SIGUSR1)
        go.set()
        t.join(LOST)
        self.assertEqual(got, [signal.SIGUSR1, SI_TKILL])

    def test_a_signal_for_a_thread_is_read_from_a_signalfd_by_it(self):
        def wait_in_poll(fd):
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            return poll.poll(LOST * 1000)

        def wait_in_select(fd):
            return select.select([fd], [], [], LOST)[0]

        block_signals(self, signal.SIGUSR1)
        with Others():
            for wait in (lambda fd: True, wait_in_poll, wait_in_select,
                         wait_in_epoll):
                for early in (True, False):
                    self.read_from_signalfd(wait, early)

    def test_a_signalfd_in_an_epoll_set_is_ready_for_the_signals_thread(self):
        # Who polls it for another thread takes it off the list of the ready.
        block_signals(self, signal.SIGUSR1)
        with Others():
            for _ in range(60):
                self.read_from_signalfd(wait_in_epoll, False)

    def test_a_handler_of_c_that_blocks(self):
        # It runs to its end where it is, and the heap stays whole.
        code = """
            import os, random, signal, subprocess, sys, threading, whole
            r, w = os.pipe()
            whole.handle(w)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])

            def reader():
                while True:
                    os.read(r, 4096)
                    for _ in range(20):
                        bytearray(random.randrange(600, 60000))

            threading.Thread(target=reader, daemon=True).start()
            killer = subprocess.Popen([sys.executable, "-c", f'''if True:
                import os, time
                while True:
                    os.kill({os.getpid()}, {int(signal.SIGUSR1)})
                    time.sleep(0.00005)
                '''], stderr=subprocess.DEVNULL)
            whole.allocate_under_signals(1000)
            killer.kill()
            killer.wait()
            print("whole", flush=True)
            os._exit(0)
            """
        self.assertEqual(run(code), (0, "whole\n"))

    def test_a_handler_of_c_that_blocks_while_its_thread_waits(self):
        # The others go on, whoever waited for all of them.
        code = """
            import array, fcntl, os, signal, termios, threading, time, whole
            r, w = os.pipe()
            fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
            whole.handle(w)
            done = threading.Event()

            def fill():
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
                for times in range(20):
                    os.kill(os.getpid(), signal.SIGUSR1)
                    size = array.array("i", [0])
                    while size[0] < 4096:
                        fcntl.ioctl(r, termios.FIONREAD, size)
                        time.sleep(0.0001)
                    os.kill(os.getpid(), signal.SIGUSR1)
                    for _ in range(10):
                        time.sleep(0.0005)
                    n = 0
                    while n < 2 * 4096:
                        n += len(os.read(r, 4096))
                done.set()

            threading.Thread(target=fill).start()
            # Once: a handler that blocks while its thread has the GIL stops all.
            done.wait(60)
            print("whole", flush=True)
            """
        self.assertEqual(run(code), (0, "whole\n"))

    def test_a_handler_is_told_of_the_signal_that_its_thread_was_sent(self):
        # Others come to other threads at the same time.
        code = f"""
            import os, signal, subprocess, sys, threading, time, whole
            whole.note_told()
            gate = threading.Lock()
            gate.acquire()
            waiting = threading.Thread(target=gate.acquire, daemon=True)
            waiting.start()
            sender = subprocess.Popen([sys.executable, "-c", f'''if True:
                import ctypes
                send = ctypes.CDLL(None).sigqueue
                while send({{os.getpid()}}, {{int(signal.SIGUSR2)}}, ctypes.c_void_p(7)) == 0:
                    pass
                '''], stderr=subprocess.DEVNULL)
            done = threading.Event()

            def kill():
                end = time.monotonic() + {LOST}
                while min(whole.told()[0][1], whole.told()[1][0]) < 300:
                    signal.pthread_kill(waiting.ident, signal.SIGUSR2)
                    time.sleep(0.00002)
                    if time.monotonic() > end:
                        break
                done.set()

            threading.Thread(target=kill).start()
            done.wait()
            sender.kill()
            sender.wait()
            main, others = whole.told()
            print(main[0], main[1] >= 300, main[2], others[0] >= 300, others[2],
                  flush=True)
            os._exit(0)
            """
        self.assertEqual(run(code), (0, "0 True 0 True 0\n"))


class ProcessTest(unittest.TestCase):

    def test_the_child_of_a_vfork_runs_none_of_its_parents_threads(self):
        code = """
            import os, subprocess, threading, time, whole
            pids = set()
            stop = []

            def note():
                while not stop:
                    pids.add(os.getpid())
                    time.sleep(0.001)

            thread = threading.Thread(target=note)
            thread.start()
            r, w = os.pipe()
            child = subprocess.Popen(["sh", "-c", "sleep 0.2; echo x"], stdout=w)
            print(whole.vfork_and_read(r))
            stop.append(1)
            thread.join()
            child.wait()
            print(pids == {os.getpid()})
            """
        self.assertEqual(run(code), (0, "0\nTrue\n"))

    # Says so when it has asked to be killed when its parent is no more, which is
    # the thread that has made it (PR_SET_PDEATHSIG(2const)).
    ORPHAN = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", "echo; exec sleep 1000"]

    def fork_orphan(self, out):
        pid = os.fork()
        if pid == 0:
            os.dup2(out, 1)
            os.execvp(self.ORPHAN[0], self.ORPHAN)
        return pid

    def spawn_orphan(self, out):
        return os.posix_spawnp(self.ORPHAN[0], self.ORPHAN, os.environ,
                               file_actions=[(os.POSIX_SPAWN_DUP2, out, 1)])

    def subprocess_orphan(self, out):
        child = subprocess.Popen(self.ORPHAN, stdout=out)
        child.returncode = 0          # this test waits for it
        return child.pid

    def popen_orphan(self, out):
        libc = ctypes.CDLL(None)
        libc.popen.restype = ctypes.c_void_p
        libc.fileno.argtypes = ctypes.c_void_p,
        stream = libc.popen(f"echo $$; exec {shlex.join(self.ORPHAN)}".encode(), b"r")
        said = b""
        while said.count(b"\n") < 2:
            said += os.read(libc.fileno(stream), 100)
        os.write(out, b"\n")
        return int(said)

    def test_a_child_belongs_to_the_thread_that_has_made_it(self):
        for start in (self.fork_orphan, self.spawn_orphan, self.popen_orphan,
                      self.subprocess_orphan):
            with self.subTest(start.__name__):
                self.check_children(start)

    def check_children(self, start):
        made = []
        stop, may_end = threading.Event(), threading.Event()

        def make():
            r, w = os.pipe()
            for _ in range(4):
                # Others take turns with this thread.
                for _ in range(5):
                    time.sleep(0.001)
                made.append(start(w))
                os.read(r, 1)
            os.close(r)
            os.close(w)
            may_end.wait(LOST)

        def other():
            while not stop.is_set():
                time.sleep(0.001)

        parent = threading.Thread(target=make)
        others = [threading.Thread(target=other) for _ in range(12)]
        for t in others + [parent]:
            t.start()
        wait_until(lambda: len(made) == 4 or not parent.is_alive())
        stop.set()
        for t in others:
            t.join()
        self.assertEqual([os.waitpid(pid, os.WNOHANG) for pid in made], [(0, 0)] * 4)
        may_end.set()
        parent.join()
        for pid in made:
            status = []
            wait_until(lambda: status.append(os.waitpid(pid, os.WNOHANG))
                       or status[-1][0] == pid)
            self.assertEqual(os.WTERMSIG(status[-1][1]), signal.SIGKILL)

    def test_a_thread_traces_its_child(self):
        libc = ctypes.CDLL(None, use_errno=True)
        args = ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p
        libc.ptrace.argtypes = args
        libc.ptrace.restype = libc.syscall.restype = ctypes.c_long
        libc.syscall.argtypes = ctypes.c_long, *args
        if os.uname().machine == "x86_64":
            self.check_tracing(functools.partial(libc.syscall, 101))
        self.check_tracing(libc.ptrace)

    def check_tracing(self, ptrace):
        def trace(_):
            pid = os.fork()
            if pid == 0:
                if ptrace(PTRACE_TRACEME, 0, None, None) == 0:
                    os.kill(os.getpid(), signal.SIGSTOP)
                os._exit(0)
            status = os.waitpid(pid, 0)[1]
            if os.WIFEXITED(status):
                return None
            results = []
            for _ in range(5):
                time.sleep(0.001)
                results.append(ptrace(PTRACE_SETOPTIONS, pid, None, None))
            if ptrace(PTRACE_CONT, pid, None, None) != 0:
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return results

        with Others():
            results = in_threads(trace, 4)
        if None in results:
            self.skipTest("ptrace() is not permitted")
        self.assertEqual(results, [[0] * 5] * 4)

    def test_a_child_that_nobody_is_told_of_executes_a_program(self):
        for how in "copy", "share", "_Fork", "syscall":
            with self.subTest(how):
                self.assertEqual(run(self.EXECUTE, how), (0, "whole\n"))

    EXECUTE = """
        import signal, sys, threading, time, whole
        # The backend is locked often.
        locks = threading.Lock(), threading.Lock()
        stop = []

        def hand_over(lock):
            while not stop:
                with lock:
                    time.sleep(0)

        def execute(sends_first):
            me = threading.get_ident()
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            if sends_first:
                signal.pthread_kill(me, signal.SIGUSR1)
            for _ in range(50):
                assert whole.execute(sys.argv[1]) == 0
            if not sends_first:
                signal.pthread_kill(me, signal.SIGUSR1)
            time.sleep(0.001)
            assert signal.sigpending() == {signal.SIGUSR1}
            assert signal.sigwait([signal.SIGUSR1]) == signal.SIGUSR1
            executed.append(me)

        executed = []
        signal.signal(signal.SIGUSR1, lambda *args: print("came"))
        others = [threading.Thread(target=hand_over, args=(lock,))
                  for lock in locks * 2]
        threads = [threading.Thread(target=execute, args=(i % 2,)) for i in range(4)]
        for t in others + threads:
            t.start()
        for t in threads:
            t.join()
        stop.append(1)
        for t in others:
            t.join()
        if len(executed) == 4:
            print("whole")
        """

    def test_a_child_executes_a_program_while_another_thread_loads_a_library(self):
        # In that thread the dynamic linker is locked until the library has been read.
        code = """
            import ctypes, errno, os, subprocess, sys, tempfile, threading, whole

            def load():
                # ctypes.CDLL() has the GIL meanwhile.
                print(ctypes.CDLL(None).dlopen(fifo.encode(), os.RTLD_NOW))

            with tempfile.TemporaryDirectory() as directory:
                fifo = os.path.join(directory, "library.so")
                os.mkfifo(fifo)
                thread = threading.Thread(target=load)
                thread.start()
                while True:
                    try:
                        writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
                        break
                    except OSError as e:
                        assert e.errno == errno.ENXIO
                if sys.argv[1] == "fork":
                    status = subprocess.run("true", close_fds=False,
                                            start_new_session=True).returncode
                else:
                    status = whole.execute(sys.argv[1])
                print(status, flush=True)
                os.close(writer)
                thread.join()
            """
        for how in "fork", "copy", "share", "_Fork", "syscall":
            with self.subTest(how):
                self.assertEqual(run(code, how), (0, "0\n0\n"))


if __name__ == "__main__":
    unittest.main()
