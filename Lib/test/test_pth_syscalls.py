"""Tests of the system call mapping of GNU Pth threads (Python/pth_syscalls.c).

That each mapped call gives the results of the plain one is tested with an
extension module, on stock CPython, too: tests/syscalls.t of cpython-pth.
"""

import contextlib
import ctypes
import errno
import os
import platform
import queue
import resource
import select
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import threading
import time
import unittest
from test import support
from test.support import import_helper, script_helper, threading_helper

if not sysconfig.get_config_var("HAVE_PTH"):
    raise unittest.SkipTest("needs a build with --with-pth")
if not sysconfig.get_config_var("HAVE_PTH_SYSCALLS"):
    raise unittest.SkipTest("needs a build with --with-pth-syscalls=hard")
if os.environ.get("PYTHONPTHSYSCALLS") == "0":
    raise unittest.SkipTest("switched off by PYTHONPTHSYSCALLS")
if support.check_sanitizer(address=True, memory=True, thread=True):
    raise unittest.SkipTest("the sanitizer interposes the calls")


def run_threads(n, func, *args):
    """Run func(i, *args) in n threads, and return their results in order."""
    results = [None] * n

    def run(i):
        results[i] = func(i, *args)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    with threading_helper.start_threads(threads):
        pass
    return results


class BlockingTest(unittest.TestCase):
    """A blocking call stops its own thread alone."""

    def check(self, block, unblock):
        """unblock() is called from another thread while block() blocks."""
        results = []
        t = threading.Thread(target=lambda: results.append(block()))
        t.start()
        time.sleep(0.005)
        self.assertEqual(results, [])
        unblock()
        t.join()
        return results[0]

    def pair(self):
        a, b = socket.socketpair()
        self.addCleanup(a.close)
        self.addCleanup(b.close)
        return a, b

    def test_recv(self):
        a, b = self.pair()
        self.assertEqual(self.check(lambda: a.recv(10),
                                    lambda: b.sendall(b"x")), b"x")

    def test_accept(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.socket()
            conn, addr = self.check(server.accept,
                                    lambda: client.connect(server.getsockname()))
            conn.close()
            client.close()

    def test_select(self):
        a, b = self.pair()
        self.assertEqual(self.check(lambda: select.select([a], [], []),
                                    lambda: b.sendall(b"x")), ([a], [], []))

    def test_poll(self):
        a, b = self.pair()
        p = select.poll()
        p.register(a, select.POLLIN)
        self.assertEqual(self.check(p.poll, lambda: b.sendall(b"x")),
                         [(a.fileno(), select.POLLIN)])

    def test_epoll(self):
        a, b = self.pair()
        with select.epoll() as p:
            p.register(a, select.EPOLLIN)
            self.assertEqual(self.check(p.poll, lambda: b.sendall(b"x")),
                             [(a.fileno(), select.EPOLLIN)])

    def test_sleep(self):
        start = time.monotonic()
        run_threads(50, lambda i: time.sleep(0.1))
        # One after the other would take 5 seconds.
        self.assertLess(time.monotonic() - start, 2.5)

    def test_os_read(self):
        r, w = os.pipe()
        self.addCleanup(os.close, r)
        self.addCleanup(os.close, w)
        self.assertEqual(self.check(lambda: os.read(r, 10),
                                    lambda: os.write(w, b"x")), b"x")

    def test_blocking_again(self):
        # A call before it has failed, as there was nothing.
        def change_by_other_number(fd):
            other = os.dup(fd)
            os.set_blocking(other, True)
            os.close(other)

        def read(fd, change):
            for _ in range(2):
                with self.assertRaises(BlockingIOError):
                    os.read(fd, 10)
            change(fd)
            return os.read(fd, 10)

        for change in lambda fd: os.set_blocking(fd, True), change_by_other_number:
            a, b = self.pair()
            pipe = os.pipe()
            for fd in pipe:
                self.addCleanup(os.close, fd)
            for r, w in pipe, (a.fileno(), b.fileno()):
                with self.subTest(change=change, fd=r):
                    os.set_blocking(r, False)
                    self.assertEqual(self.check(lambda: read(r, change),
                                                lambda: os.write(w, b"x")), b"x")

    def test_waitpid(self):
        r, w = os.pipe()
        child = subprocess.Popen([sys.executable, "-c",
                                  f"import os; os.read({r}, 1)"], pass_fds=[r])
        os.close(r)
        self.assertEqual(self.check(child.wait, lambda: os.close(w)), 0)

    def test_sleep_with_the_gil(self):
        # Threads that need no GIL go on.
        _testinternalcapi = import_helper.import_module("_testinternalcapi")
        _testinternalcapi.test_lock_rwlock()

    def test_many_waiters_for_one_descriptor(self):
        a, b = self.pair()
        got = queue.SimpleQueue()
        threads = [threading.Thread(target=lambda: got.put(a.recv(1)))
                   for _ in range(20)]
        with threading_helper.start_threads(threads):
            b.sendall(bytes(range(20)))
        self.assertEqual(sorted(got.get() for _ in range(20)),
                         [bytes([i]) for i in range(20)])

    def test_sleep_of_centuries(self):
        # More nanoseconds than fit.
        code = textwrap.dedent("""
            import ctypes, os, threading, time

            class timespec(ctypes.Structure):
                _fields_ = [("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long)]

            ended = []

            def sleep():
                request = timespec(10**10, 0)
                ended.append(libc.nanosleep(ctypes.byref(request), None))

            libc = ctypes.CDLL(None)
            for _ in range(2):
                threading.Thread(target=sleep).start()
            time.sleep(0.02)
            os.write(1, b"%d" % len(ended))
            os._exit(0)
            """)
        _, out, _ = script_helper.assert_python_ok("-c", code)
        self.assertEqual(out, b"0")


class StreamTest(unittest.TestCase):
    """A connection that is read again and again is taken to be as before, until
    that is checked (Python/pth_poll.c)."""

    def setUp(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.client = socket.create_connection(server.getsockname())
            self.addCleanup(self.client.close)
            self.conn, _ = server.accept()
            self.addCleanup(self.conn.close)

    def read_empty(self):
        # The first read waits, and the next one may take for granted that there
        # is nothing, and that it shall wait for ever.
        for data in b"first", b"second":
            got = []
            t = threading.Thread(target=lambda: got.append(self.conn.recv(100)))
            t.start()
            time.sleep(0.005)
            self.client.sendall(data)
            t.join()
            self.assertEqual(got, [data])

    def recv(self):
        """Start to receive in a thread; return the function that waits for it."""
        got = []

        def run():
            try:
                got.append(self.conn.recv(100))
            except OSError as exc:
                got.append(exc.errno)
        t = threading.Thread(target=run)
        t.start()

        def result():
            t.join()
            return got[0]
        return result

    @contextlib.contextmanager
    def computing(self):
        stop = False

        def compute():
            while not stop:
                pass
        t = threading.Thread(target=compute)
        t.start()
        try:
            yield
        finally:
            stop = True
            t.join()

    def check(self, change, expected, later=lambda: None):
        self.read_empty()
        change()
        result = self.recv()
        time.sleep(0.01)
        later()
        self.assertEqual(result(), expected)

    def check_both(self, *args):
        with self.subTest("idle"):
            self.check(*args)
        self.setUp()              # another connection
        with self.subTest("computing"), self.computing():
            self.check(*args)

    def test_more(self):
        self.check_both(lambda: None, b"more",
                        lambda: self.client.sendall(b"more"))

    def test_more_is_there(self):
        self.check_both(lambda: self.client.sendall(b"more"), b"more")

    def test_end(self):
        self.check(lambda: None, b"", self.client.close)

    def test_end_is_there(self):
        self.check(self.client.close, b"")

    def test_end_comes_with_data(self):
        self.read_empty()
        result = self.recv()
        self.client.sendall(b"last")
        self.client.close()
        self.assertEqual(result(), b"last")
        self.assertEqual(self.recv()(), b"")
        self.assertEqual(self.recv()(), b"")

    def test_closed_by_another_thread(self):
        self.check(lambda: None, errno.EBADF, lambda: os.close(self.conn.detach()))

    def test_shutdown_by_another_thread(self):
        self.check(lambda: None, b"", lambda: self.conn.shutdown(socket.SHUT_RD))

    def test_made_nonblocking(self):
        self.check_both(lambda: os.set_blocking(self.conn.fileno(), False),
                        errno.EAGAIN)

    def test_made_nonblocking_by_another_process(self):
        # The flag belongs to what both have open.
        def change():
            code = f"import os; os.set_blocking({self.conn.fileno()}, False)"
            subprocess.run([sys.executable, "-c", code], check=True,
                           pass_fds=[self.conn.fileno()])
        self.check_both(change, errno.EAGAIN)

    def test_time_limit(self):
        def change():
            self.conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO,
                                 struct.pack("ll", 0, 20000))
        self.check_both(change, errno.EAGAIN)

    def replace_behind_our_back(self, fd):
        # As by a library that makes the system call itself.
        libc = ctypes.CDLL(None)
        sys_close = {"x86_64": 3}.get(platform.machine(), 57)
        number = self.conn.fileno()
        self.assertEqual(libc.syscall(sys_close, number), 0)
        self.assertEqual(os.dup(fd), number)

    def test_closed_behind_our_back(self):
        # The number is another connection's by the time of the next read.
        other, end = socket.socketpair()
        self.addCleanup(other.close)
        self.addCleanup(end.close)

        def change():
            self.replace_behind_our_back(other.fileno())
        self.check(change, b"to the other", lambda: end.sendall(b"to the other"))

    def test_its_number_is_a_file_behind_our_back(self):
        # The same with read(), which may go by what the number was.
        with tempfile.TemporaryFile() as file, self.computing():
            file.write(b"of the file")
            file.seek(0)
            self.read_empty()
            self.replace_behind_our_back(file.fileno())
            self.assertEqual(os.read(self.conn.fileno(), 100), b"of the file")

    def test_many_readers_of_one_stream(self):
        self.read_empty()
        results = [self.recv() for _ in range(5)]
        for i in range(5):
            time.sleep(0.002)
            self.client.sendall(b"%d" % i)
        self.client.close()
        self.assertEqual(b"".join(sorted(result() for result in results)),
                         b"01234")

    def test_poll_beside_recv(self):
        self.read_empty()
        result = self.recv()
        p = select.poll()
        p.register(self.conn, select.POLLOUT | select.POLLPRI)
        self.assertEqual(p.poll(), [(self.conn.fileno(), select.POLLOUT)])
        p.register(self.conn, select.POLLPRI)
        self.assertEqual(p.poll(10), [])
        self.client.sendall(b"x")
        self.assertEqual(result(), b"x")

    def test_in_the_child_of_a_fork(self):
        self.read_empty()
        pid = os.fork()
        if pid == 0:
            try:
                result = self.recv()
                time.sleep(0.01)
                self.client.sendall(b"child")
                os._exit(result() != b"child")
            finally:
                os._exit(1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)


class TurnsTest(unittest.TestCase):
    # Who asks without waiting gives others their turns.  On stock the GIL is
    # dropped, too, but who waits for it may come too late.

    def check(self, call):
        # Each waits for its turn by calls that do not block.
        turns = 200
        turn = 0
        calls = []

        def run(me):
            nonlocal turn
            for _ in range(turns):
                n = 0
                while turn != me:
                    n += 1
                    call()
                calls.append(n)
                turn = 1 - me

        threads = [threading.Thread(target=run, args=(me,)) for me in (0, 1)]
        with threading_helper.start_threads(threads):
            pass
        # There is room for some thousands in a time slice.  Now and then one is
        # used up where the other thread runs on a kernel thread of its own, which
        # the kernel makes wait for a processor.
        self.assertLess(sorted(calls)[turns], 100)

    def test_sleep(self):
        self.check(lambda: time.sleep(0))

    def test_sched_yield(self):
        self.check(os.sched_yield)

    def test_select(self):
        self.check(lambda: select.select([], [], [], 0))

    def test_poll(self):
        self.check(lambda: select.poll().poll(0))

    def test_epoll(self):
        with select.epoll() as p:
            self.check(lambda: p.poll(0))


class DescriptorTest(unittest.TestCase):
    """Descriptors that go away while somebody waits for them."""

    def setUp(self):
        self.waiting = []

    def wait(self, call, *args):
        """Start a thread that blocks in call(*args), and return its result list."""
        result = []

        def run():
            try:
                result.append(call(*args))
            except OSError as e:
                result.append(e.errno)

        t = threading.Thread(target=run)
        t.start()
        self.waiting.append(t)
        time.sleep(0.005)
        self.assertEqual(result, [])
        return result

    def join(self):
        for t in self.waiting:
            t.join()
        self.waiting.clear()

    def idlers(self, n):
        """n threads that wait for descriptors; 0 or more than ppoll() is asked for."""
        pipes = [os.pipe() for _ in range(n)]
        threads = [threading.Thread(target=os.read, args=(r, 1)) for r, w in pipes]

        def end():
            for r, w in pipes:
                os.write(w, b"x")
            for t in threads:
                t.join()
            for r, w in pipes:
                os.close(r)
                os.close(w)

        for t in threads:
            t.start()
        time.sleep(0.005)
        self.addCleanup(end)

    def each_way(self, test):
        test()
        self.idlers(20)
        test()

    def test_close(self):
        def check():
            r, w = os.pipe()
            got = self.wait(os.read, r, 1)
            os.close(r)
            self.join()
            self.assertEqual(got, [errno.EBADF])
            os.close(w)

        self.each_way(check)

    def test_close_and_use_the_number_again(self):
        # What comes in for the new file is not for who waited for the old one.
        def check():
            a, b = socket.socketpair()
            fd = a.fileno()
            got = self.wait(a.recv, 100)
            a.detach()
            os.close(fd)
            c, d = socket.socketpair()
            self.assertIn(fd, (c.fileno(), d.fileno()))
            c.send(b"new")
            d.send(b"new")
            self.join()
            self.assertEqual(got, [errno.EBADF])
            self.assertEqual(c.recv(100), b"new")
            self.assertEqual(d.recv(100), b"new")
            for s in (b, c, d):
                s.close()

        self.each_way(check)

    def test_dup2_onto_it(self):
        def check():
            r, w = os.pipe()
            r2, w2 = os.pipe()
            os.write(w2, b"x")
            got = self.wait(os.read, r, 1)
            os.dup2(r2, r)
            self.join()
            self.assertEqual(got, [errno.EBADF])
            self.assertEqual(os.read(r, 1), b"x")
            for fd in (r, w, r2, w2):
                os.close(fd)

        self.each_way(check)

    def test_poll_tells_of_a_closed_descriptor(self):
        def check():
            r, w = os.pipe()
            r2, w2 = os.pipe()
            p = select.poll()
            p.register(r, select.POLLIN)
            p.register(r2, select.POLLIN)
            got = self.wait(p.poll)
            os.close(r)
            self.join()
            self.assertEqual(got, [[(r, select.POLLNVAL)]])
            for fd in (w, r2, w2):
                os.close(fd)

        self.each_way(check)

    def test_ppoll_tells_of_a_closed_descriptor(self):
        # What select.poll() calls from 3.15 on.
        ppoll = ctypes.CDLL(None).ppoll

        def check():
            r, w = os.pipe()
            fds = (ctypes.c_int * 2)(r, select.POLLIN)
            got = self.wait(ppoll, fds, ctypes.c_ulong(1), None, None)
            os.close(r)
            self.join()
            self.assertEqual((got, fds[1]), ([1], select.POLLIN | select.POLLNVAL << 16))
            os.close(w)

        self.each_way(check)

    def test_a_duplicate_is_closed(self):
        def check():
            a, b = socket.socketpair()
            dup = a.dup()
            got = self.wait(a.recv, 1)
            dup.close()
            time.sleep(0.005)
            self.assertEqual(got, [])
            b.send(b"x")
            self.join()
            self.assertEqual(got, [b"x"])
            a.close()
            b.close()

        self.each_way(check)

    def epoll_sets(self):
        sets = []
        for fd in os.listdir("/proc/self/fd"):
            try:
                if os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:[eventpoll]":
                    sets.append(int(fd))
            except OSError:
                pass
        return sets

    def test_the_epoll_set_leaves_the_low_numbers_to_the_program(self):
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 256:
            self.skipTest("there are too few numbers")
        self.idlers(20)
        self.assertGreaterEqual(min(self.epoll_sets()), 200)

    def test_the_epoll_set_is_closed(self):
        # A program that closes all descriptors that it has not opened.
        self.idlers(20)
        a, b = socket.socketpair()
        got = self.wait(a.recv, 1)
        for close in (os.close, lambda fd: os.closerange(fd, fd + 1)):
            sets = self.epoll_sets()
            self.assertEqual(len(sets), 1)
            close(sets[0])
            more = self.wait(b.recv, 1)
            a.send(b"y")
            b.send(b"x")
            self.join()
            self.assertEqual((got, more), ([b"x"], [b"y"]))
            got = self.wait(a.recv, 1)
        b.send(b"x")
        self.join()
        a.close()
        b.close()

    def test_a_child_closes_its_own(self):
        # subprocess's child runs in the parent's memory (vfork(2)).
        def check():
            a, b = socket.socketpair()
            got = self.wait(a.recv, 1)
            subprocess.run(["/bin/true"], check=True, close_fds=True)
            self.assertEqual(got, [])
            b.send(b"x")
            self.join()
            self.assertEqual(got, [b"x"])
            a.close()
            b.close()

        self.each_way(check)

    def test_descriptors_are_not_inherited(self):
        self.idlers(20)
        program = "import os; print(len(os.listdir('/proc/self/fd')))"
        out = subprocess.run([sys.executable, "-c", program], close_fds=False,
                             check=True, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE).stdout
        # 0, 1, 2 and that of listdir().
        self.assertEqual(int(out) - self.inherited(), 4)

    def inherited(self):
        n = 0
        for fd in os.listdir("/proc/self/fd"):
            try:
                n += int(fd) > 2 and os.get_inheritable(int(fd))
            except OSError:
                pass
        return n


class PlainCallTest(unittest.TestCase):
    """Calls that are made as they are: the thread is left behind in them."""

    def test_a_command(self):
        # It waits until it is told, by a thread that can only run meanwhile.
        r, w = os.pipe()
        self.addCleanup(os.close, r)
        self.addCleanup(os.close, w)
        os.set_inheritable(r, True)

        def tell():
            time.sleep(0.01)
            os.write(w, b"go\n")

        t = threading.Thread(target=tell)
        t.start()
        self.assertEqual(os.system(f"read x <&{r}; test $x = go"), 0)
        t.join()

    def test_fork_beside_a_command(self):
        r, w = os.pipe()
        t = threading.Thread(target=os.system, args=(f"read x <&{r}",))
        os.set_inheritable(r, True)
        t.start()
        time.sleep(0.01)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                t2 = threading.Thread(target=os.system, args=(":",))
                t2.start()
                t2.join()
                status = threading.active_count() != 1
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        os.write(w, b"go\n")
        t.join()
        os.close(r)
        os.close(w)

    def test_name_resolution(self):
        self.assertEqual(
            [r[0][4] for r in run_threads(
                5, lambda i: socket.getaddrinfo("127.0.0.1", 80 + i))],
            [("127.0.0.1", 80 + i) for i in range(5)])


class FileTest(unittest.TestCase):

    @unittest.skipUnless(hasattr(os, "posix_fadvise"), "needs posix_fadvise()")
    def test_a_file_in_the_page_cache_in_part(self):
        # All of it is read, as read() does without threads; on a file system
        # in memory it is there anyway.
        data = os.urandom(1 << 20)
        gate = threading.Lock()
        gate.acquire()
        thread = threading.Thread(target=gate.acquire)
        # Not on /tmp, which may be in memory.
        with tempfile.NamedTemporaryFile(dir=os.getcwd()) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            thread.start()
            try:
                for cached in 1 << 19, 0:
                    fd = file.fileno()
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                    # No more than what is asked for.
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
                    os.pread(fd, cached, 0)
                    os.lseek(fd, 0, os.SEEK_SET)
                    self.assertEqual(os.read(fd, 1 << 20), data)
                    self.assertEqual(os.read(fd, 10), b"")
            finally:
                gate.release()
                thread.join()


class DescriptorKindTest(unittest.TestCase):
    """What a descriptor was found to be is forgotten when it is closed."""

    code = textwrap.dedent("""
        import ctypes, os, sys, threading
        libc = ctypes.CDLL(None)
        for func in libc.fdopen, libc.freopen, libc.fdopendir:
            func.restype = ctypes.c_void_p

        def beside(func, unblock):
            results = []
            thread = threading.Thread(target=lambda: results.append(func()))
            thread.start()
            unblock()
            thread.join()
            return results[0]

        gate = threading.Lock()
        gate.acquire()
        threading.Thread(target=gate.acquire).start()

        number = os.open(sys.argv[1], os.O_RDWR)
        r, w = os.pipe()
        os.read(number, 1)
        replace(number, r)
        print(beside(lambda: os.read(number, 10), lambda: os.write(w, b"abc")))
        os.close(number)

        number = os.open(sys.argv[1], os.O_RDWR)
        os.write(number, b"x")
        replace(number, w)
        os.set_blocking(w, False)
        try:
            while True:
                os.write(w, bytes(1 << 16))
        except BlockingIOError:
            os.set_blocking(w, True)
        print(beside(lambda: os.write(number, b"abc"),
                     lambda: os.read(r, 1 << 20)))
        gate.release()
        """)

    def check(self, replace):
        """replace(number, fd) makes a file's number that of fd."""
        # In a process of its own: the limit is for one that hangs.
        with tempfile.NamedTemporaryFile() as file:
            done = subprocess.run(
                [sys.executable, "-I", "-c",
                 textwrap.dedent(replace) + self.code, file.name],
                timeout=120, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.assertEqual(done.stdout, b"b'abc'\n3\n")

    def test_close(self):
        self.check("""
            def replace(number, fd):
                os.close(number)
                assert os.dup(fd) == number
            """)

    def test_dup2(self):
        self.check("replace = lambda number, fd: os.dup2(fd, number)")

    def test_closerange(self):
        self.check("""
            def replace(number, fd):
                os.closerange(number, number + 1)
                assert os.dup(fd) == number
            """)

    def test_fclose(self):
        self.check("""
            def replace(number, fd):
                file = ctypes.c_void_p(libc.fdopen(number, b"r+"))
                assert libc.fclose(file) == 0
                assert os.dup(fd) == number
            """)

    def test_freopen(self):
        self.check("""
            def replace(number, fd):
                file = ctypes.c_void_p(libc.fdopen(number, b"r+"))
                mode = b"r" if fd == r else b"w"
                assert libc.freopen(b"/dev/fd/%d" % fd, mode, file)
                assert libc.fileno(file) == number
            """)

    def test_closedir(self):
        self.check("""
            def replace(number, fd):
                file = os.dup(number)
                directory = os.open("/", os.O_RDONLY)
                os.dup2(directory, number)
                stream = ctypes.c_void_p(libc.fdopendir(number))
                os.dup2(file, number)
                os.read(number, 1)
                assert libc.closedir(stream) == 0
                assert os.dup(fd) == number
                os.close(file)
                os.close(directory)
            """)


class TerminalTest(unittest.TestCase):

    def test_read_of_a_pty_master_lets_others_run(self):
        code = """if True:
            import os, threading
            master, slave = os.openpty()
            lines = []
            thread = threading.Thread(
                target=lambda: lines.append(os.read(master, 3)))
            thread.start()
            os.write(slave, b"abc")
            thread.join()
            print(lines)
            """
        # The limit is for what hangs.
        done = subprocess.run([sys.executable, "-I", "-c", code], timeout=120,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.assertEqual(done.stdout, b"[b'abc']\n")


if __name__ == "__main__":
    unittest.main()
