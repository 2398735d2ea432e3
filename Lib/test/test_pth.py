"""Tests of what is particular to Python threads that are GNU Pth threads.

That threads, locks and queues work at all is the business of test_thread,
test_threading, test_queue and their like, which know nothing of Pth.
"""

import ctypes
import errno
import os
import signal
import socket
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
        self.assertEqual(sys.thread_info.lock, "mutex+cond")
        self.assertRegex(sys.thread_info.version, r"^GNU Pth 2\.\d+[.ab]\d+(\+.+)?$")

    def test_one_kernel_thread(self):
        gate = threading.Event()
        threads = [threading.Thread(target=gate.wait) for _ in range(20)]
        with threading_helper.start_threads(threads, gate.set):
            self.assertEqual(len(os.listdir("/proc/self/task")), 1)

    def test_pth_is_not_initialized_before_a_thread_starts(self):
        out = self.run_ok("""
            import os, threading
            def state():
                with open('/proc/self/timers') as f:
                    timers = f.read()
                with open('/proc/self/status') as f:
                    caught = [l for l in f if l.startswith('SigCgt')]
                return sorted(os.listdir('/proc/self/fd')), timers, caught
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

    def test_native_ids_differ(self):
        # Threads that live at the same time must not look like one.
        barrier = threading.Barrier(5)

        def native_id(i):
            barrier.wait()
            return threading.get_native_id()

        ids = run_threads(5, native_id)
        self.assertEqual(len(set(ids)), 5)
        if threading.current_thread() is threading.main_thread():
            self.assertEqual(threading.main_thread().native_id, os.getpid())


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
                signal.setitimer(signal.ITIMER_REAL, 0.02)
                with self.assertRaises(Stop):
                    lock.acquire(timeout=timeout)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
            helper.join()


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
            time.sleep((37 * i % 100) * 0.003)
            order.append(37 * i % 100)

        run_threads(100, sleeper)
        # Neighbours may swap where a start was late.
        self.assertLess(max(abs(k - v) for k, v in enumerate(order)), 25)


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

    def test_switch_interval(self):
        # A long slice holds until the thread blocks, a short one does not.
        out = self.run_ok("""
            import sys, threading, time
            def switches(interval):
                sys.setswitchinterval(interval)
                marks = []
                def burn(i):
                    end = time.thread_time() + 0.15
                    while time.thread_time() < end:
                        if not marks or marks[-1] != i:
                            marks.append(i)
                ts = [threading.Thread(target=burn, args=(i,)) for i in range(2)]
                for t in ts: t.start()
                for t in ts: t.join()
                return len(marks)
            long, short = switches(100), switches(1e-6)
            print(long == 2, short > 4)
            """)
        self.assertEqual(out, "True True")

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

    def slices_are_few(self, job):
        out = self.run_ok(textwrap.dedent(self.BURN) + textwrap.dedent(job))
        self.assertLess(float(out), 10)

    def test_a_sleeper_waits_for_no_slice(self):
        # bpo-7946.  It may for the first one: then the timer is started.
        self.slices_are_few("""
            def job():
                for _ in range(20):
                    time.sleep(0.001)
            print(slices(job))
            """)

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
            """)

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
            """)

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

    def test_the_slice_interrupts_no_system_call(self):
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
            names = ['_decimal', '_json', '_ctypes', '_sqlite3', '_bz2',
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

    def test_slice_signal_cannot_be_blocked(self):
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


    def test_a_program_that_resets_all_signals(self):
        # The signal of the time slice would end the process (test_curses).
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

    def test_pthread_kill_to_no_thread(self):
        t = threading.Thread(target=int)
        t.start()
        ident = t.ident
        t.join()
        with self.assertRaises(ProcessLookupError):
            signal.pthread_kill(ident, 0)


class StackTest(ScriptMixin, unittest.TestCase):

    def test_a_thread_has_the_stack_of_a_pthread(self):
        # `ulimit -s` of address space, and a page below that faults.
        out = self.run_ok("""
            import re, resource, threading
            resource.setrlimit(resource.RLIMIT_STACK,
                               (16 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]))
            def maps():
                with open('/proc/self/maps') as f:
                    for line in f:
                        m = re.match('([0-9a-f]+)-([0-9a-f]+) (....)', line)
                        yield int(m[1], 16), int(m[2], 16), m[3]
            before = set(maps())
            gate = threading.Event()
            t = threading.Thread(target=gate.wait)
            t.start()
            after = sorted(maps())
            new = [m for m in after if m not in before]
            guards = [(a, b) for a, b, p in new if p == '---p' and b - a == 4096]
            found = any(g[1] == m[0] and m[1] - m[0] >= 16 << 20
                        for g in guards for m in new)
            gate.set()
            t.join()
            print(found)
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
            compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
            qsort = ctypes.CDLL(None).qsort
            depth = 0
            @compare
            def deeper(a, b):
                global depth
                depth += 1
                if depth < 3000:
                    data = (ctypes.c_int * 2)(2, 1)
                    qsort(data, 2, 4, deeper)
                return 0
            def run():
                import sys
                sys.setrecursionlimit(100_000)
                deeper(None, None)
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
        for size in (64 * 1024, 1 << 20, 64 << 20):
            threading.stack_size(size)
            self.assertEqual(run_threads(3, lambda i: i), [0, 1, 2])

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

    def test_it_is_not_inherited_by_fork(self):
        out = self.run_ok("""
            import faulthandler, os, tempfile, time

            with tempfile.TemporaryFile() as f, tempfile.TemporaryFile() as g:
                faulthandler.dump_traceback_later(0.1, repeat=True, file=f)
                pid = os.fork()
                if pid == 0:
                    os.dup2(g.fileno(), f.fileno())
                    time.sleep(0.4)
                    faulthandler.dump_traceback_later(100)
                    faulthandler.cancel_dump_traceback_later()
                    os._exit(0)
                faulthandler.cancel_dump_traceback_later()
                assert os.waitpid(pid, 0)[1] == 0
                assert os.fstat(g.fileno()).st_size == 0
            print("ok")
        """)
        self.assertEqual(out, "ok")


class ForeignThreadTest(ScriptMixin, unittest.TestCase):
    """Kernel threads that a C library starts."""

    START = """
        import ctypes, threading, time
        libc = ctypes.CDLL(None)
        tid = ctypes.c_ulong()
        def start(func, arg=None):
            assert libc.pthread_create(ctypes.byref(tid), None, func, arg) == 0
        """

    def test_call_into_python(self):
        code = textwrap.dedent(self.START) + textwrap.dedent("""
            callback = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(print)
            start(callback)
            libc.pthread_join(tid, None)
            """)
        rc, err = self.run_fail(code)
        self.assertEqual(rc, -signal.SIGABRT)
        self.assertRegex(err, r"^Fatal Python error: \w+: called from a thread "
                              r"that Python did not start")

    def test_system_calls_are_left_alone(self):
        # A foreign thread that sleeps stops nobody, and is not switched.
        out = self.run_ok(textwrap.dedent(self.START) + textwrap.dedent("""
            start(ctypes.cast(libc.usleep, ctypes.c_void_p), 50_000)
            ts = [threading.Thread(target=time.sleep, args=(0.01,))
                  for _ in range(10)]
            for t in ts: t.start()
            for t in ts: t.join()
            print(libc.pthread_join(tid, None))
            """))
        self.assertEqual(out, "0")


if __name__ == "__main__":
    unittest.main()
