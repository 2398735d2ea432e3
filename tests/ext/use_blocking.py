"""Blocking calls of the C library, made by an extension module.

usage: python use_blocking.py MODULE [unittest arguments]

MODULE is blocking or blocking_fortified, of blocking.c.  These tests say what
holds with any threads: they pass on stock CPython, too.
"""

import contextlib
import errno
import fcntl
import os
import pty
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tty
import unittest

from shared import block_signals, in_threads

c = __import__(sys.argv.pop(1))

SPLICE_F_NONBLOCK = 2
CHUNK = b"x" * 65536
# A struct timeval of 20.3 milliseconds.
TIMEVAL = (0).to_bytes(8, sys.byteorder) + (20_300).to_bytes(8, sys.byteorder)


class Base(unittest.TestCase):

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def pipe(self):
        r, w = os.pipe()
        self.addCleanup(self.close, r)
        self.addCleanup(self.close, w)
        return r, w

    def close(self, fd):
        with contextlib.suppress(OSError):
            os.close(fd)

    def full_pipe(self):
        r, w = self.pipe()
        os.set_blocking(w, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(w, CHUNK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(w, b"x")
        os.set_blocking(w, True)
        return r, w

    def pair(self, type=socket.SOCK_STREAM):
        a, b = socket.socketpair(socket.AF_UNIX, type)
        self.addCleanup(a.close)
        self.addCleanup(b.close)
        return a, b

    def full_pair(self, type=socket.SOCK_STREAM):
        a, b = self.pair(type)
        a.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                a.send(b"x" * 1000)
        a.setblocking(True)
        return a, b

    def tcp_pair(self):
        server = self.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        b = self.stack.enter_context(socket.create_connection(server.getsockname()))
        a = self.stack.enter_context(server.accept()[0])
        return a, b

    def drain(self, sock):
        """Read until nothing comes any more for a while."""
        sock.settimeout(0.2)
        n = 0
        with contextlib.suppress(TimeoutError):
            while True:
                n += len(sock.recv(1 << 20))
        return n

    def directory(self):
        return self.stack.enter_context(tempfile.TemporaryDirectory())

    def file(self, data=b""):
        f = self.stack.enter_context(tempfile.NamedTemporaryFile())
        f.write(data)
        f.flush()
        return f

    def child(self, code, *args, **kwargs):
        """A child that runs code, says "ready", and lives until it is told."""
        program = f"import fcntl, os, sys, time\n{code}\nprint('ready', flush=True)\nsys.stdin.read()"
        child = subprocess.Popen([sys.executable, "-c", program, *args],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 **kwargs)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.stdin.close)
        self.assertEqual(child.stdout.readline(), b"ready\n")
        return child

    def waiting(self, call):
        """call() in a thread, and long enough for it to be made.  Return the
        thread, and a list for what it returns."""
        outcome = []
        entered = threading.Event()

        def run():
            entered.set()
            outcome.append(call())

        t = threading.Thread(target=run)
        t.start()
        entered.wait()
        time.sleep(0.02)
        self.settle()
        return t, outcome

    def settle(self):
        """Until this kernel thread is the only one that runs: on a machine that is
        busy a call may be made late."""
        def runs(tid):
            # proc(5): the state stands behind the name.
            try:
                with open(f"/proc/self/task/{tid}/stat") as f:
                    return f.read().rpartition(")")[2].split()[0] == "R"
            except (FileNotFoundError, ProcessLookupError):
                return False      # it has ended

        own = threading.get_native_id()
        while any(runs(tid) for tid in os.listdir("/proc/self/task")
                  if int(tid) != own):
            time.sleep(0.001)

    def blocks(self, block, unblock, expected):
        """block() waits in a thread until unblock() is called."""
        t, outcome = self.waiting(block)
        self.assertEqual(outcome, [])
        unblock()
        t.join()
        if callable(expected):
            expected(outcome[0])
        else:
            self.assertEqual(outcome[0], expected)


class BesideTest(Base):
    """Beside a second thread, which only waits."""

    def setUp(self):
        super().setUp()
        self.gate = threading.Event()
        self.other = threading.Thread(target=self.gate.wait)
        self.other.start()

    def tearDown(self):
        self.gate.set()
        self.other.join()


# Each of these functions sets up one blocking call, and returns
#   block()    makes it, and returns (result, errno, ...)
#   unblock()  makes it return
#   expected   the result, or a function that checks the outcome
CASES = {}


def case(func):
    CASES[func.__name__] = func
    return func


# --- files, pipes

@case
def read_pipe(t):
    r, w = t.pipe()
    return lambda: c.read(r, 10), lambda: os.write(w, b"hello"), (5, 0, b"hello")


@case
def read_pipe_that_is_closed(t):
    r, w = t.pipe()
    return lambda: c.read(r, 10), lambda: os.close(w), (0, 0, b"")


@case
def read_socket(t):
    a, b = t.pair()
    return lambda: c.read(a.fileno(), 10), lambda: b.send(b"hello"), (5, 0, b"hello")


@case
def read_eventfd(t):
    fd = os.eventfd(0)
    t.addCleanup(os.close, fd)
    return (lambda: c.read(fd, 8), lambda: os.eventfd_write(fd, 3),
            (8, 0, (3).to_bytes(8, sys.byteorder)))


@case
def read_timerfd(t):
    fd = os.timerfd_create(time.CLOCK_MONOTONIC)
    t.addCleanup(os.close, fd)
    return (lambda: c.read(fd, 8),
            lambda: os.timerfd_settime(fd, initial=0.01),
            (8, 0, (1).to_bytes(8, sys.byteorder)))


@case
def read_tty_line(t):
    master, slave = pty.openpty()
    t.addCleanup(os.close, master)
    t.addCleanup(os.close, slave)
    return (lambda: c.read(slave, 100), lambda: os.write(master, b"line\n"),
            (5, 0, b"line\n"))


@case
def read_fifo(t):
    path = os.path.join(t.directory(), "fifo")
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR)
    t.addCleanup(os.close, fd)
    return lambda: c.read(fd, 10), lambda: os.write(fd, b"hello"), (5, 0, b"hello")


@case
def readv_pipe(t):
    r, w = t.pipe()
    return lambda: c.readv(r, 10), lambda: os.write(w, b"hello"), (5, 0, b"hello")


@case
def readv_socket(t):
    a, b = t.pair()
    return lambda: c.readv(a.fileno(), 10), lambda: b.send(b"hello"), (5, 0, b"hello")


@case
def write_pipe(t):
    r, w = t.full_pipe()
    return lambda: c.write(w, b"hello"), lambda: os.read(r, 65536), (5, 0)


@case
def write_pipe_more_than_fits(t):
    r, w = t.pipe()
    data = bytes(range(256)) * 1000

    def check(outcome):
        t.assertEqual(outcome, (len(data), 0))
        t.assertEqual(got, data)

    def unblock():
        nonlocal got
        while len(got) < len(data):
            got += os.read(r, 1 << 20)

    got = b""
    return lambda: c.write(w, data), unblock, check


@case
def write_socket(t):
    a, b = t.full_pair()
    return lambda: c.write(a.fileno(), b"hello"), lambda: t.drain(b), (5, 0)


@case
def writev_pipe(t):
    r, w = t.full_pipe()
    return lambda: c.writev(w, b"hello"), lambda: os.read(r, 65536), (5, 0)


@case
def writev_pipe_more_than_fits(t):
    r, w = t.pipe()
    data = bytes(range(256)) * 1000

    def check(outcome):
        t.assertEqual(outcome, (len(data), 0))
        t.assertEqual(got, data)

    def unblock():
        nonlocal got
        while len(got) < len(data):
            got += os.read(r, 1 << 20)

    got = b""
    return lambda: c.writev(w, data), unblock, check


@case
def writev_socket(t):
    a, b = t.full_pair()
    return lambda: c.writev(a.fileno(), CHUNK), lambda: t.drain(b), (65536, 0)


@case
def sendfile_socket(t):
    f = t.file(bytes(1_000_000))
    a, b = t.pair()
    return (lambda: c.sendfile(a.fileno(), f.fileno(), 10, 900_000),
            lambda: t.assertEqual(t.drain(b), 900_000),
            (900_000, 0, 900_010))


@case
def splice_from_pipe(t):
    r, w = t.pipe()
    f = t.file()
    return (lambda: c.splice(r, f.fileno(), 100, 0),
            lambda: os.write(w, b"hello"), (5, 0))


@case
def splice_to_pipe(t):
    f = t.file(b"hello")
    f.seek(0)
    r, w = t.full_pipe()
    return (lambda: c.splice(f.fileno(), w, 100, 0),
            lambda: os.read(r, 65536), (5, 0))


@case
def splice_from_socket(t):
    a, b = t.pair()
    r, w = t.pipe()
    return (lambda: c.splice(a.fileno(), w, 100, 0),
            lambda: b.send(b"hello"), (5, 0))


@case
def tee(t):
    r, w = t.pipe()
    r2, w2 = t.pipe()
    return lambda: c.tee(r, w2, 100, 0), lambda: os.write(w, b"hello"), (5, 0)


@case
def vmsplice(t):
    r, w = t.full_pipe()
    return lambda: c.vmsplice(w, 100, 0), lambda: os.read(r, 65536), (100, 0)


def opened(t):
    def check(outcome):
        t.assertEqual(outcome[1], 0)
        t.assertGreaterEqual(outcome[0], 0)
        os.close(outcome[0])
    return check


def fifo(t):
    path = os.path.join(t.directory(), "fifo")
    os.mkfifo(path)

    def other_end(flags):
        t.addCleanup(os.close, os.open(path, flags))

    return path, other_end


@case
def open_fifo_to_read(t):
    path, other_end = fifo(t)
    return (lambda: c.open(path, os.O_RDONLY),
            lambda: other_end(os.O_WRONLY), opened(t))


@case
def open_fifo_to_write(t):
    path, other_end = fifo(t)
    return (lambda: c.open(path, os.O_WRONLY),
            lambda: other_end(os.O_RDONLY), opened(t))


@case
def open_mode_fifo(t):
    path, other_end = fifo(t)
    return (lambda: c.open_mode(path, os.O_WRONLY | os.O_CREAT, 0o600),
            lambda: other_end(os.O_RDONLY), opened(t))


@case
def openat_fifo(t):
    path, other_end = fifo(t)
    return (lambda: c.openat(path, os.O_RDONLY),
            lambda: other_end(os.O_WRONLY), opened(t))


@case
def creat_fifo(t):
    path, other_end = fifo(t)
    return lambda: c.creat(path, 0o600), lambda: other_end(os.O_RDONLY), opened(t)


# --- locks on files

@case
def flock(t):
    f = t.file()
    other = os.open(f.name, os.O_RDWR)
    t.addCleanup(os.close, other)
    fcntl.flock(other, fcntl.LOCK_EX)
    return (lambda: c.flock(f.fileno(), fcntl.LOCK_EX),
            lambda: fcntl.flock(other, fcntl.LOCK_UN), (0, 0))


def locked_by_child(t):
    f = t.file(b"12345")
    child = t.child("f = open(sys.argv[1], 'r+')\nfcntl.lockf(f, fcntl.LOCK_EX)",
                    f.name)
    return f, child.stdin.close


@case
def lockf(t):
    f, release = locked_by_child(t)
    f.seek(0)
    return lambda: c.lockf(f.fileno(), os.F_LOCK, 0), release, (0, 0)


@case
def fcntl_setlkw(t):
    f, release = locked_by_child(t)
    return (lambda: c.fcntl_lock(f.fileno(), fcntl.F_SETLKW, fcntl.F_WRLCK, 0),
            release, (0, 0))


@case
def fcntl_ofd_setlkw(t):
    f, release = locked_by_child(t)
    return (lambda: c.fcntl_lock(f.fileno(), fcntl.F_OFD_SETLKW, fcntl.F_WRLCK, 0),
            release, (0, 0))


# --- stdio

@case
def fgets(t):
    r, w = t.pipe()
    return (lambda: c.fgets(r, 100), lambda: os.write(w, b"line\nmore"),
            (1, 0, b"line\n", 0, 0))


@case
def fgets_of_half_a_line(t):
    r, w = t.pipe()
    os.write(w, b"half ")
    return (lambda: c.fgets(r, 100), lambda: os.write(w, b"line\n"),
            (1, 0, b"half line\n", 0, 0))


@case
def fgets_at_the_end(t):
    r, w = t.pipe()
    os.write(w, b"half")
    return lambda: c.fgets(r, 100), lambda: os.close(w), (1, 0, b"half", 0, 1)


@case
def getc(t):
    r, w = t.pipe()
    return lambda: c.getc(r), lambda: os.write(w, b"x"), (ord("x"), 0)


@case
def fread(t):
    r, w = t.pipe()
    os.write(w, b"12")
    return lambda: c.fread(r, 5), lambda: os.write(w, b"34567"), (5, 0, b"12345")


@case
def getline(t):
    r, w = t.pipe()
    os.write(w, b"half ")
    return (lambda: c.getline(r), lambda: os.write(w, b"line\n"),
            (10, 0, b"half line\n"))


# --- sockets

@case
def recv(t):
    a, b = t.pair()
    return (lambda: c.recv(a.fileno(), 100, 0), lambda: b.send(b"hello"),
            (5, 0, b"hello"))


@case
def recv_shutdown(t):
    a, b = t.pair()
    return (lambda: c.recv(a.fileno(), 100, 0),
            lambda: a.shutdown(socket.SHUT_RD), (0, 0, b""))


@case
def recv_closed_by_peer(t):
    a, b = t.pair()
    return lambda: c.recv(a.fileno(), 100, 0), b.close, (0, 0, b"")


@case
def recv_waitall(t):
    a, b = t.pair()
    b.send(b"hel")
    return (lambda: c.recv(a.fileno(), 5, socket.MSG_WAITALL),
            lambda: b.send(b"lo there"), (5, 0, b"hello"))


@case
def recv_waitall_until_end(t):
    a, b = t.pair()
    b.send(b"hel")
    return (lambda: c.recv(a.fileno(), 5, socket.MSG_WAITALL), b.close,
            (3, 0, b"hel"))


@case
def recv_peek(t):
    a, b = t.pair()

    def check(outcome):
        t.assertEqual(outcome, (5, 0, b"hello"))
        t.assertEqual(a.recv(100), b"hello")

    return (lambda: c.recv(a.fileno(), 100, socket.MSG_PEEK),
            lambda: b.send(b"hello"), check)


@case
def recv_peek_waitall(t):
    a, b = t.tcp_pair()
    b.send(b"hel")
    time.sleep(0.01)
    return (lambda: c.recv(a.fileno(), 5, socket.MSG_PEEK | socket.MSG_WAITALL),
            lambda: b.send(b"lo there"), (5, 0, b"hello"))


@case
def recvfrom(t):
    a, b = t.pair(socket.SOCK_DGRAM)
    return (lambda: c.recvfrom(a.fileno(), 100, 0), lambda: b.send(b"hello"),
            (5, 0, b"hello"))


@case
def recvmsg(t):
    a, b = t.pair()
    return (lambda: c.recvmsg(a.fileno(), 100, 0), lambda: b.send(b"hello"),
            (5, 0, b"hello", [], 0))


@case
def recvmsg_waitall(t):
    a, b = t.pair()
    b.send(b"hel")
    return (lambda: c.recvmsg(a.fileno(), 8, socket.MSG_WAITALL),
            lambda: b.send(b"lo there"), (8, 0, b"hello th", [], 0))


@case
def recvmsg_with_descriptor(t):
    a, b = t.pair()
    r, w = t.pipe()

    def check(outcome):
        result, err, data, fds, flags = outcome
        t.assertEqual((result, err, data, len(fds), flags), (5, 0, b"hello", 1, 0))
        os.write(fds[0], b"through")
        os.close(fds[0])
        t.assertEqual(os.read(r, 100), b"through")

    return (lambda: c.recvmsg(a.fileno(), 100, 0),
            lambda: t.assertEqual(c.sendmsg(b.fileno(), b"hello", 0, w), (5, 0)),
            check)


@case
def recvmmsg(t):
    a, b = t.pair(socket.SOCK_DGRAM)
    b.send(b"1")
    return (lambda: c.recvmmsg(a.fileno(), 3, 0, -1),
            lambda: [b.send(b"2"), b.send(b"3"), b.send(b"4")],
            (3, 0, [b"1", b"2", b"3"]))


@case
def recvmmsg_waitforone(t):
    a, b = t.pair(socket.SOCK_DGRAM)
    return (lambda: c.recvmmsg(a.fileno(), 3, 0x10000, -1),     # MSG_WAITFORONE
            lambda: b.send(b"1"), (1, 0, [b"1"]))


@case
def send(t):
    a, b = t.full_pair()
    return lambda: c.send(a.fileno(), CHUNK), lambda: t.drain(b), (65536, 0)


@case
def sendto(t):
    a, b = t.full_pair()
    return lambda: c.sendto(a.fileno(), CHUNK), lambda: t.drain(b), (65536, 0)


@case
def sendmsg(t):
    a, b = t.full_pair()
    return lambda: c.sendmsg(a.fileno(), CHUNK), lambda: t.drain(b), (65536, 0)


@case
def sendmsg_more_than_fits(t):
    a, b = t.pair()
    data = bytes(range(256)) * 4000
    r, w = t.pipe()

    def unblock():
        nonlocal got, fds
        while len(got) < len(data):
            n, err, piece, more, flags = c.recvmsg(b.fileno(), 65536, 0)
            got += piece
            fds += more

    def check(outcome):
        for fd in fds:
            os.close(fd)
        t.assertEqual(outcome, (len(data), 0))
        t.assertEqual(got, data)
        t.assertEqual(len(fds), 1)

    got, fds = b"", []
    return lambda: c.sendmsg(a.fileno(), data, 0, w), unblock, check


@case
def sendmmsg(t):
    a, b = t.full_pair(socket.SOCK_DGRAM)
    return (lambda: c.sendmmsg(a.fileno(), b"hello", 3), lambda: t.drain(b),
            (3, 0, 15))


@case
def sendmmsg_stream(t):
    a, b = t.full_pair()
    return (lambda: c.sendmmsg(a.fileno(), CHUNK, 3), lambda: t.drain(b),
            (3, 0, 3 * 65536))


@case
def send_to_a_peer_that_closes(t):
    a, b = t.full_pair()
    return (lambda: c.send(a.fileno(), b"x", socket.MSG_NOSIGNAL), b.close,
            (-1, errno.ECONNRESET))


def listener(t):
    server = t.stack.enter_context(socket.create_server(("127.0.0.1", 0)))

    def connect():
        t.stack.enter_context(socket.create_connection(server.getsockname()))
    return server, connect


@case
def accept(t):
    server, connect = listener(t)
    return lambda: c.accept(server.fileno()), connect, opened(t)


@case
def accept4(t):
    server, connect = listener(t)
    return lambda: c.accept4(server.fileno()), connect, opened(t)


@case
def accept_shutdown(t):
    server, connect = listener(t)
    return (lambda: c.accept(server.fileno()),
            lambda: server.shutdown(socket.SHUT_RDWR), (-1, errno.EINVAL))


@case
def connect_unix(t):
    path = os.path.join(t.directory(), "socket")
    server = t.stack.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(path)
    server.listen(0)
    first = t.stack.enter_context(socket.socket(socket.AF_UNIX))
    first.connect(path)
    second = t.stack.enter_context(socket.socket(socket.AF_UNIX))
    return (lambda: c.connect_unix(second.fileno(), path),
            lambda: t.stack.enter_context(server.accept()[0]), (0, 0))


# --- many descriptors

@case
def poll(t):
    a, b = t.pair()
    r, w = t.pipe()
    return (lambda: c.poll([(a.fileno(), select.POLLIN), (r, select.POLLIN),
                            (-1, select.POLLIN)]),
            lambda: b.send(b"x"), (1, 0, [select.POLLIN, 0, 0]))


@case
def poll_hangup(t):
    r, w = t.pipe()
    return (lambda: c.poll([(r, select.POLLIN)]), lambda: os.close(w),
            (1, 0, [select.POLLHUP]))


@case
def poll_rdhup(t):
    a, b = t.pair()
    return (lambda: c.poll([(a.fileno(), select.POLLRDHUP)]),
            lambda: b.shutdown(socket.SHUT_WR), (1, 0, [select.POLLRDHUP]))


@case
def poll_nothing_asked(t):
    # Errors and hang-ups are told in any case.
    r, w = t.pipe()
    return lambda: c.poll([(r, 0)]), lambda: os.close(w), (1, 0, [select.POLLHUP])


@case
def poll_priority(t):
    a, b = t.tcp_pair()
    return (lambda: c.poll([(a.fileno(), select.POLLPRI)]),
            lambda: b.send(b"!", socket.MSG_OOB), (1, 0, [select.POLLPRI]))


@case
def ppoll(t):
    a, b = t.pair()
    return (lambda: c.ppoll([(a.fileno(), select.POLLIN)], 100),
            lambda: b.send(b"x"), (1, 0, [select.POLLIN]))


@case
def ppoll_without_limit(t):
    r, w = t.pipe()
    return (lambda: c.ppoll([(r, 0), (-1, select.POLLIN)]), lambda: os.close(w),
            (1, 0, [select.POLLHUP, 0]))


@case
def ppoll_many(t):
    pipes = [t.pipe() for _ in range(20)]
    return (lambda: c.ppoll([(r, select.POLLIN) for r, w in pipes]),
            lambda: os.write(pipes[7][1], b"x"),
            (1, 0, [select.POLLIN if i == 7 else 0 for i in range(20)]))


@case
def ppoll_with_mask(t):
    a, b = t.pair()
    return (lambda: c.ppoll([(a.fileno(), select.POLLIN)], 100, signal.SIGUSR2),
            lambda: b.send(b"x"), (1, 0, [select.POLLIN]))


@case
def select_(t):
    a, b = t.pair()
    fd = a.fileno()

    def check(outcome):
        t.assertEqual(outcome[:4], (1, 0, 1, 0))
        # Linux writes back what is left.
        t.assertGreater(outcome[4], 50)
        t.assertLess(outcome[4], 100)

    return lambda: c.select(fd + 1, fd, -1, 100), lambda: b.send(b"x"), check


@case
def select_write(t):
    r, w = t.full_pipe()
    return (lambda: c.select(w + 1, -1, w), lambda: os.read(r, 65536),
            (1, 0, 0, 1, 0))


@case
def pselect(t):
    a, b = t.pair()
    fd = a.fileno()
    return (lambda: c.pselect(fd + 1, fd, -1, 100), lambda: b.send(b"x"),
            (1, 0, 1, 0, 0))


@case
def pselect_with_mask(t):
    a, b = t.pair()
    fd = a.fileno()
    return (lambda: c.pselect(fd + 1, fd, -1, 100, signal.SIGUSR2),
            lambda: b.send(b"x"), (1, 0, 1, 0, 0))


def epoll(t, call, *args):
    a, b = t.pair()
    p = t.stack.enter_context(select.epoll())
    p.register(a, select.EPOLLIN)
    return (lambda: call(p.fileno(), *args), lambda: b.send(b"x"),
            (1, 0, [(a.fileno(), select.EPOLLIN)]))


@case
def epoll_wait(t):
    return epoll(t, c.epoll_wait)


@case
def epoll_pwait(t):
    return epoll(t, c.epoll_pwait, 100, signal.SIGUSR2)


@case
def epoll_pwait2(t):
    return epoll(t, c.epoll_pwait2, 100, signal.SIGUSR2)


@case
def epoll_of_epoll(t):
    a, b = t.pair()
    inner = t.stack.enter_context(select.epoll())
    inner.register(a, select.EPOLLIN)
    outer = t.stack.enter_context(select.epoll())
    outer.register(inner, select.EPOLLIN)
    return (lambda: c.epoll_wait(outer.fileno()), lambda: b.send(b"x"),
            (1, 0, [(inner.fileno(), select.EPOLLIN)]))


@case
def epoll_changed_meanwhile(t):
    # What is registered while another thread waits counts.
    a, b = t.pair()
    b.send(b"x")
    p = t.stack.enter_context(select.epoll())
    return (lambda: c.epoll_wait(p.fileno()),
            lambda: p.register(a, select.EPOLLIN),
            (1, 0, [(a.fileno(), select.EPOLLIN)]))


# --- child processes

def sleeping_child(t):
    child = t.child("")
    return child, child.stdin.close


def reaped(t, child, first):
    def check(outcome):
        child.returncode = 0
        t.assertEqual(outcome, (first, 0, 0))
    return check


@case
def waitpid(t):
    child, end = sleeping_child(t)
    return lambda: c.waitpid(child.pid, 0), end, reaped(t, child, child.pid)


@case
def waitpid_any(t):
    child, end = sleeping_child(t)
    return lambda: c.waitpid(-1, 0), end, reaped(t, child, child.pid)


@case
def waitpid_stopped(t):
    child, end = sleeping_child(t)

    def check(outcome):
        os.kill(child.pid, signal.SIGCONT)
        t.assertEqual(outcome[:2], (child.pid, 0))
        t.assertEqual(os.WSTOPSIG(outcome[2]), signal.SIGSTOP)

    return (lambda: c.waitpid(child.pid, os.WUNTRACED),
            lambda: os.kill(child.pid, signal.SIGSTOP), check)


@case
def wait(t):
    child, end = sleeping_child(t)
    return c.wait, end, reaped(t, child, child.pid)


@case
def wait3(t):
    child, end = sleeping_child(t)
    return lambda: c.wait3(0), end, reaped(t, child, child.pid)


@case
def wait4(t):
    child, end = sleeping_child(t)
    return lambda: c.wait4(child.pid, 0), end, reaped(t, child, child.pid)


@case
def waitid(t):
    child, end = sleeping_child(t)

    def check(outcome):
        child.returncode = 0
        t.assertEqual(outcome, (0, 0, child.pid, 0))

    return lambda: c.waitid(os.P_PID, child.pid, os.WEXITED), end, check


@case
def waitid_any(t):
    child, end = sleeping_child(t)

    def check(outcome):
        child.returncode = 0
        t.assertEqual(outcome, (0, 0, child.pid, 0))

    return lambda: c.waitid(os.P_ALL, 0, os.WEXITED), end, check


@case
def system(t):
    path, other_end = fifo(t)
    return (lambda: c.system(f"cat {path} >/dev/null; exit 3"),
            lambda: os.close(os.open(path, os.O_WRONLY)), (3 << 8, 0))


@case
def popen_pclose(t):
    path, other_end = fifo(t)
    return (lambda: c.popen(f"echo hello; cat {path} >/dev/null; exit 3"),
            lambda: os.close(os.open(path, os.O_WRONLY)),
            (3 << 8, 0, b"hello\n"))


# --- signals

@case
def sigwait(t):
    block_signals(t, signal.SIGUSR1)
    return (lambda: c.sigwait(signal.SIGUSR1),
            lambda: os.kill(os.getpid(), signal.SIGUSR1), (0, 0, signal.SIGUSR1))


@case
def sigwaitinfo(t):
    block_signals(t, signal.SIGUSR1)
    return (lambda: c.sigwaitinfo(signal.SIGUSR1),
            lambda: os.kill(os.getpid(), signal.SIGUSR1), (signal.SIGUSR1, 0))


@case
def sigtimedwait(t):
    block_signals(t, signal.SIGUSR1)
    return (lambda: c.sigtimedwait(signal.SIGUSR1, 100_000),
            lambda: os.kill(os.getpid(), signal.SIGUSR1), (signal.SIGUSR1, 0))


@case
def read_signalfd(t):
    block_signals(t, signal.SIGUSR1)
    import ctypes
    libc = ctypes.CDLL(None)
    mask = (ctypes.c_ulong * 16)(1 << (signal.SIGUSR1 - 1))
    fd = libc.signalfd(-1, mask, 0)
    t.assertGreaterEqual(fd, 0)
    t.addCleanup(os.close, fd)

    def check(outcome):
        t.assertEqual(outcome[:2], (128, 0))
        t.assertEqual(outcome[2][0], signal.SIGUSR1)

    return (lambda: c.read(fd, 128),
            lambda: os.kill(os.getpid(), signal.SIGUSR1), check)


# --- semaphores

@case
def sem_wait(t):
    c.sem_init(0, 0)
    return lambda: c.sem_wait(0), lambda: c.sem_post(0), (0, 0)


@case
def sem_wait_for_a_c_thread(t):
    c.sem_init(0, 0)
    return lambda: c.sem_wait(0), lambda: c.sem_post_by_c_thread(0, 20), (0, 0)


@case
def sem_wait_for_a_process(t):
    c.sem_init(0, 0)

    def unblock():
        pid = os.fork()
        if pid == 0:
            c.sem_post(0)
            os._exit(0)
        os.waitpid(pid, 0)

    return lambda: c.sem_wait(0), unblock, (0, 0)


@case
def sem_timedwait(t):
    c.sem_init(0, 0)
    return lambda: c.sem_timedwait(0, 100_000), lambda: c.sem_post(0), (0, 0)


@case
def sem_clockwait(t):
    c.sem_init(0, 0)
    return lambda: c.sem_clockwait(0, 100_000), lambda: c.sem_post(0), (0, 0)


class ProgressTest(Base):
    """While one thread is in a blocking call, others run."""

    def check(self, setup):
        self.blocks(*setup(self))

    @classmethod
    def add(cls, name, setup):
        setattr(cls, f"test_{name.rstrip('_')}", lambda self: self.check(setup))


class EpollProgressTest(ProgressTest):
    """The same beside many threads that wait for descriptors."""

    def setUp(self):
        super().setUp()
        # None of them takes the signal that a test waits for.
        block_signals(self, signal.SIGUSR1)
        self.idlers = []
        for _ in range(20):
            r, w = os.pipe()
            t = threading.Thread(target=os.read, args=(r, 1))
            t.start()
            self.idlers.append((t, r, w))
        time.sleep(0.01)

    def tearDown(self):
        for t, r, w in self.idlers:
            os.write(w, b"x")
        for t, r, w in self.idlers:
            t.join()
            os.close(r)
            os.close(w)


class InterruptTest(Base):
    """A signal ends a blocking call of the main thread with EINTR."""

    # They end for a signal with an outcome of their own, or not at all.
    EXCEPT = """
        system popen_pclose sigwait
        recv_waitall recv_waitall_until_end recvmsg_waitall recv_peek_waitall
        recvmmsg write_pipe_more_than_fits writev_pipe_more_than_fits
        sendmsg_more_than_fits sendfile_socket fgets_of_half_a_line
        fgets_at_the_end fread getline fgets getc sendmmsg_stream
    """.split()

    def check(self, setup):
        block, unblock, expected = setup(self)
        self.interrupt(block, (-1, errno.EINTR))

    @classmethod
    def add(cls, name, setup):
        if name not in cls.EXCEPT:
            setattr(cls, f"test_{name.rstrip('_')}",
                    lambda self: self.check(setup))

    def interrupt(self, block, expected):
        old = signal.signal(signal.SIGALRM, lambda *args: None)
        self.addCleanup(signal.signal, signal.SIGALRM, old)
        # More than one thread lives.
        gate = threading.Event()
        other = threading.Thread(target=gate.wait)
        other.start()
        try:
            # The first may come too early.
            signal.setitimer(signal.ITIMER_REAL, 0.03, 0.03)
            outcome = block()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            gate.set()
            other.join()
        self.assertEqual(outcome[:len(expected)], expected)
        return outcome

    def test_recv_waitall_returns_what_it_has(self):
        a, b = self.pair()
        b.send(b"hel")
        self.interrupt(lambda: c.recv(a.fileno(), 5, socket.MSG_WAITALL),
                           (3, 0, b"hel"))

    def test_recv_peek_waitall_returns_what_it_has(self):
        block, unblock, expected = recv_peek_waitall(self)
        self.interrupt(block, (3, 0, b"hel"))

    def test_write_returns_what_it_has_written(self):
        r, w = self.pipe()
        size = fcntl.fcntl(w, fcntl.F_GETPIPE_SZ)
        self.interrupt(lambda: c.write(w, bytes(2 * size)), (size, 0))

    def test_fgets_fails(self):
        r, w = self.pipe()
        outcome = self.interrupt(lambda: c.fgets(r, 100),
                                     (0, errno.EINTR, b"", 1, 0))

    def test_getc_fails(self):
        r, w = self.pipe()
        self.interrupt(lambda: c.getc(r), (-1, errno.EINTR))

    def test_sleep_tells_what_is_left(self):
        self.interrupt(lambda: c.sleep(100), (99,))

    def test_usleep(self):
        self.interrupt(lambda: c.usleep(900_000), (-1, errno.EINTR))

    def test_nanosleep_tells_what_is_left(self):
        outcome = self.interrupt(lambda: c.nanosleep(100_000_000_000),
                                     (-1, errno.EINTR))
        self.assertTrue(90e9 < outcome[2] < 100e9)

    def test_clock_nanosleep_tells_what_is_left(self):
        for clock in (time.CLOCK_MONOTONIC, time.CLOCK_REALTIME,
                      time.CLOCK_BOOTTIME):
            with self.subTest(clock=clock):
                outcome = self.interrupt(
                    lambda: c.clock_nanosleep(clock, 0, 100_000_000_000),
                    (errno.EINTR,))
                self.assertTrue(90e9 < outcome[2] < 100e9)

    def test_clock_nanosleep_until(self):
        ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + 100_000_000_000
        self.interrupt(lambda: c.clock_nanosleep(time.CLOCK_MONOTONIC, 1, ns),
                           (errno.EINTR,))

    def test_pause(self):
        self.interrupt(c.pause, (-1, errno.EINTR))

    def test_a_handler_in_c(self):
        # One that Python knows nothing of.
        import ctypes
        libc = ctypes.CDLL(None)
        libc.signal.restype = ctypes.c_void_p
        libc.siginterrupt(signal.SIGUSR2, 1)
        handler = ctypes.cast(libc.abs, ctypes.c_void_p)    # returns, does nothing
        r, w = self.pipe()
        gate = threading.Event()
        other = threading.Thread(target=gate.wait)
        other.start()
        libc.signal(signal.SIGUSR2, handler)
        libc.siginterrupt(signal.SIGUSR2, 1)
        # The first may come too early.
        killer = subprocess.Popen(
            ["/bin/sh", "-c", f"while sleep 0.05; do kill -USR2 {os.getpid()}; done"])
        try:
            self.assertEqual(c.poll([(r, select.POLLIN)], 100)[:2],
                             (-1, errno.EINTR))
        finally:
            killer.kill()
            killer.wait()
            gate.set()
            other.join()
            signal.signal(signal.SIGUSR2, signal.SIG_DFL)


class MaskTest(Base):
    """ppoll(), pselect() and epoll_pwait() replace the signal mask."""

    def calls(self, seconds=0.05):
        a, b = self.pair()
        fd = a.fileno()
        p = self.stack.enter_context(select.epoll())
        p.register(a, select.EPOLLIN)
        return b, {
            "ppoll": lambda mask: c.ppoll([(fd, select.POLLIN)], seconds, mask)[:2],
            "pselect": lambda mask: c.pselect(fd + 1, fd, -1, seconds, mask)[:2],
            "epoll_pwait": lambda mask: c.epoll_pwait(p.fileno(), seconds, mask)[:2],
            "epoll_pwait2": lambda mask: c.epoll_pwait2(p.fileno(), seconds, mask)[:2],
        }

    def setUp(self):
        super().setUp()
        self.seen = []
        old = signal.signal(signal.SIGUSR1, lambda *args: self.seen.append(1))
        self.addCleanup(signal.signal, signal.SIGUSR1, old)
        self.gate = threading.Event()
        # Blocked in both threads.
        block_signals(self, signal.SIGUSR1)
        self.other = threading.Thread(target=self.gate.wait)
        self.other.start()

    def tearDown(self):
        self.gate.set()
        self.other.join()

    def test_a_pending_signal_that_the_mask_lets_through(self):
        b, calls = self.calls()
        for name, call in calls.items():
            with self.subTest(name):
                self.seen.clear()
                os.kill(os.getpid(), signal.SIGUSR1)
                self.assertEqual(call(-1), (-1, errno.EINTR))
                self.assertEqual(self.seen, [1])
                # And the mask is back.
                self.assertIn(signal.SIGUSR1,
                              signal.pthread_sigmask(signal.SIG_BLOCK, []))

    def test_a_signal_that_comes_while_the_mask_lets_it_through(self):
        b, calls = self.calls(60)
        for name, call in calls.items():
            with self.subTest(name):
                self.seen.clear()
                t = threading.Thread(
                    target=lambda: (time.sleep(0.02),
                                    os.kill(os.getpid(), signal.SIGUSR1)))
                t.start()
                self.assertEqual(call(-1), (-1, errno.EINTR))
                self.assertEqual(self.seen, [1])
                t.join()

    def test_a_signal_that_the_mask_holds_back(self):
        old = signal.signal(signal.SIGUSR2, lambda *args: self.seen.append(2))
        self.addCleanup(signal.signal, signal.SIGUSR2, old)
        b, calls = self.calls()
        for name, call in calls.items():
            with self.subTest(name):
                self.seen.clear()
                killer = subprocess.Popen(["/bin/sh", "-c",
                                           f"kill -USR2 {os.getpid()}"])
                self.assertEqual(call(signal.SIGUSR2), (0, 0))
                killer.wait()
                self.assertEqual(self.seen, [2])

    def test_what_is_ready_goes_before_a_pending_signal(self):
        b, calls = self.calls()
        b.send(b"x")
        for name, call in calls.items():
            with self.subTest(name):
                os.kill(os.getpid(), signal.SIGUSR1)
                self.assertEqual(call(-1), (1, 0))
        self.assertEqual(self.seen, [])
        self.assertEqual(signal.sigwait([signal.SIGUSR1]), signal.SIGUSR1)

    def test_in_another_thread(self):
        # The main thread blocks the signal, the one in ppoll() does not.
        b, calls = self.calls()
        for name, call in calls.items():
            with self.subTest(name):
                self.seen.clear()
                outcome = []
                t = threading.Thread(target=lambda: outcome.append(call(-1)))
                t.start()
                time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGUSR1)
                t.join()
                self.assertEqual(outcome, [(-1, errno.EINTR)])
                self.assertEqual(self.seen, [1])


class TimeoutTest(BesideTest):
    """Timeouts, beside a second thread."""

    def elapsed(self, call, expected, seconds):
        start = time.monotonic()
        outcome = call()
        elapsed = time.monotonic() - start
        self.assertEqual(outcome[:len(expected)], expected)
        self.assertGreaterEqual(elapsed, seconds)
        # Not much longer, however busy the machine is.
        self.assertLess(elapsed, seconds + 5)

    def test_poll(self):
        r, w = self.pipe()
        fds = [(r, select.POLLIN)]
        self.elapsed(lambda: c.poll(fds, 0.02), (0, 0, [0]), 0.02)
        self.elapsed(lambda: c.poll(fds, 0), (0, 0, [0]), 0)
        self.elapsed(lambda: c.ppoll(fds, 0.0203), (0, 0, [0]), 0.0203)
        self.elapsed(lambda: c.ppoll(fds, 0.0203, -1), (0, 0, [0]), 0.0203)
        self.elapsed(lambda: c.ppoll(fds, 0, -1), (0, 0, [0]), 0)
        self.elapsed(lambda: c.poll([], 0.02), (0, 0, []), 0.02)

    def test_select(self):
        r, w = self.pipe()
        self.elapsed(lambda: c.select(r + 1, r, -1, 0.0203), (0, 0, 0, 0, 0.0), 0.0203)
        self.elapsed(lambda: c.select(r + 1, r, -1, 0), (0, 0, 0, 0, 0.0), 0)
        self.elapsed(lambda: c.select(0, -1, -1, 0.02), (0, 0, 0, 0, 0.0), 0.02)
        self.elapsed(lambda: c.pselect(r + 1, r, -1, 0.0203), (0, 0, 0, 0), 0.0203)
        self.elapsed(lambda: c.pselect(r + 1, r, -1, 0.0203, -1), (0, 0, 0, 0), 0.0203)
        self.elapsed(lambda: c.pselect(r + 1, r, -1, 0), (0, 0, 0, 0), 0)

    def test_epoll(self):
        with select.epoll() as p:
            fd = p.fileno()
            self.elapsed(lambda: c.epoll_wait(fd, 0.02), (0, 0, []), 0.02)
            self.elapsed(lambda: c.epoll_pwait(fd, 0.02, -1), (0, 0, []), 0.02)
            self.elapsed(lambda: c.epoll_pwait2(fd, 0.0203, -1), (0, 0, []), 0.0203)
            self.elapsed(lambda: c.epoll_pwait2(fd, 0), (0, 0, []), 0)

    def test_sleeps(self):
        self.elapsed(lambda: c.usleep(20_300), (0, 0), 0.0203)
        self.elapsed(lambda: c.nanosleep(20_300_000), (0, 0, 0), 0.0203)
        for clock in (time.CLOCK_MONOTONIC, time.CLOCK_REALTIME,
                      time.CLOCK_BOOTTIME):
            with self.subTest(clock=clock):
                self.elapsed(lambda: c.clock_nanosleep(clock, 0, 20_300_000),
                             (0,), 0.0203)
                ns = time.clock_gettime_ns(clock) + 20_300_000
                self.elapsed(lambda: c.clock_nanosleep(clock, 1, ns), (0,), 0.019)

    def test_socket_timeouts(self):
        a, b = self.pair()
        a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEVAL)
        fd = a.fileno()
        again = (-1, errno.EAGAIN)
        # The kernel counts in ticks, and may be early by a part of one.
        self.elapsed(lambda: c.recv(fd, 10), again, 0.016)
        self.elapsed(lambda: c.recvfrom(fd, 10), again, 0.016)
        self.elapsed(lambda: c.recvmsg(fd, 10), again, 0.016)
        self.elapsed(lambda: c.recvmmsg(fd, 2, 0, -1), again, 0.016)
        self.elapsed(lambda: c.read(fd, 10), again, 0.016)
        self.elapsed(lambda: c.readv(fd, 10), again, 0.016)
        b.send(b"hel")
        self.elapsed(lambda: c.recv(fd, 5, socket.MSG_WAITALL), (3, 0, b"hel"), 0.016)
        a, b = self.full_pair()
        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, TIMEVAL)
        fd = a.fileno()
        self.elapsed(lambda: c.send(fd, CHUNK), again, 0.016)
        self.elapsed(lambda: c.sendto(fd, CHUNK), again, 0.016)
        self.elapsed(lambda: c.sendmsg(fd, CHUNK), again, 0.016)
        self.elapsed(lambda: c.sendmmsg(fd, CHUNK, 2), again, 0.016)
        self.elapsed(lambda: c.write(fd, CHUNK), again, 0.016)
        self.elapsed(lambda: c.writev(fd, CHUNK), again, 0.016)
        server, connect = listener(self)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEVAL)
        self.elapsed(lambda: c.accept(server.fileno()), again, 0.016)
        self.elapsed(lambda: c.accept4(server.fileno()), again, 0.016)

    def test_recvmmsg_looks_at_the_timeout_after_a_message(self):
        a, b = self.pair(socket.SOCK_DGRAM)

        def send():
            for i in range(3):
                time.sleep(0.03)
                b.send(b"%d" % i)

        t = threading.Thread(target=send)
        t.start()
        self.elapsed(lambda: c.recvmmsg(a.fileno(), 16, 0, 10), (1, 0, [b"0"]), 0.02)
        t.join()

    def test_sigtimedwait(self):
        block_signals(self, signal.SIGUSR1)
        self.elapsed(lambda: c.sigtimedwait(signal.SIGUSR1, 20), (-1, errno.EAGAIN), 0.02)
        self.elapsed(lambda: c.sigtimedwait(signal.SIGUSR1, 0), (-1, errno.EAGAIN), 0)

    def test_semaphores(self):
        c.sem_init(0, 0)
        self.elapsed(lambda: c.sem_timedwait(0, 20), (-1, errno.ETIMEDOUT), 0.019)
        self.elapsed(lambda: c.sem_clockwait(0, 20), (-1, errno.ETIMEDOUT), 0.019)
        c.sem_init(0, 1)
        self.elapsed(lambda: c.sem_timedwait(0, -20), (0, 0), 0)
        self.elapsed(lambda: c.sem_timedwait(0, -20), (-1, errno.ETIMEDOUT), 0)

    def test_a_read_timer_of_a_terminal(self):
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        tty.setraw(slave)
        attr = termios.tcgetattr(slave)
        attr[6][termios.VMIN], attr[6][termios.VTIME] = 0, 1    # tenth of a second
        termios.tcsetattr(slave, termios.TCSANOW, attr)
        self.elapsed(lambda: c.read(slave, 10), (0, 0, b""), 0.09)
        attr[6][termios.VMIN], attr[6][termios.VTIME] = 3, 0
        termios.tcsetattr(slave, termios.TCSANOW, attr)
        t, outcome = self.waiting(lambda: c.read(slave, 10))
        os.write(master, b"ab")
        time.sleep(0.02)
        self.assertEqual(outcome, [])
        os.write(master, b"c")
        t.join()
        self.assertEqual(outcome, [(3, 0, b"abc")])


class AtOnceTest(BesideTest):
    """Calls that do not wait, beside a second thread."""

    def test_non_blocking_descriptors(self):
        again = (-1, errno.EAGAIN)
        r, w = self.full_pipe()
        e, f = self.pipe()
        a, b = self.full_pair()
        for fd in (r, w, e, f, a.fileno()):
            os.set_blocking(fd, False)
        self.assertEqual(c.read(e, 10)[:2], again)
        self.assertEqual(c.readv(e, 10)[:2], again)
        self.assertEqual(c.write(w, b"hello"), again)
        self.assertEqual(c.writev(w, b"hello"), again)
        # What fits is written.
        size = fcntl.fcntl(f, fcntl.F_GETPIPE_SZ)
        self.assertEqual(c.write(f, bytes(2 * size)), (size, 0))
        self.assertEqual(c.writev(f, bytes(2 * size)), again)
        fd = a.fileno()
        for call in (c.recv, c.recvfrom, c.recvmsg, c.read, c.readv):
            self.assertEqual(call(fd, 10)[:2], again)
        self.assertEqual(c.recvmmsg(fd, 2, 0, -1)[:2], again)
        for call in (c.send, c.sendto, c.sendmsg, c.write, c.writev):
            self.assertEqual(call(fd, CHUNK), again)
        self.assertEqual(c.sendmmsg(fd, CHUNK, 2)[:2], again)
        server, connect = listener(self)
        server.setblocking(False)
        self.assertEqual(c.accept(server.fileno()), again)
        self.assertEqual(c.accept4(server.fileno()), again)
        e, f = self.pipe()
        self.assertEqual(c.splice(e, self.file().fileno(), 10, SPLICE_F_NONBLOCK),
                         again)

    def test_dontwait(self):
        a, b = self.pair()
        for call in (c.recv, c.recvfrom, c.recvmsg):
            self.assertEqual(call(a.fileno(), 10, socket.MSG_DONTWAIT)[:2],
                             (-1, errno.EAGAIN))
        a, b = self.full_pair()
        for call in (c.send, c.sendto, c.sendmsg):
            self.assertEqual(call(a.fileno(), CHUNK, socket.MSG_DONTWAIT),
                             (-1, errno.EAGAIN))

    def test_bad_descriptors(self):
        r, w = self.pipe()
        os.close(r)
        os.close(w)
        bad = (-1, errno.EBADF)
        for call in (c.read, c.readv, c.recv, c.recvfrom, c.recvmsg):
            self.assertEqual(call(r, 10)[:2], bad, call)
        for call in (c.write, c.writev, c.send, c.sendto, c.sendmsg):
            self.assertEqual(call(r, b"hello")[:2], bad, call)
        for call in (c.accept, c.accept4, c.epoll_wait):
            self.assertEqual(call(r)[:2], bad, call)
        self.assertEqual(c.recvmmsg(r, 2, 0, -1)[:2], bad)
        self.assertEqual(c.sendmmsg(r, b"x", 2)[:2], bad)
        self.assertEqual(c.connect_port(r, 1), bad)
        self.assertEqual(c.flock(r, fcntl.LOCK_EX), bad)
        self.assertEqual(c.fcntl_lock(r, fcntl.F_SETLKW, fcntl.F_WRLCK, 0), bad)
        self.assertEqual(c.sendfile(r, r, 0, 10)[:2], bad)
        self.assertEqual(c.splice(r, w, 10, 0), bad)
        self.assertEqual(c.tee(r, w, 10, 0), bad)
        self.assertEqual(c.vmsplice(w, 10, 0), bad)
        for poll in c.poll, c.ppoll:
            self.assertEqual(poll([(r, select.POLLIN)], -1), (1, 0, [select.POLLNVAL]))
        self.assertEqual(c.select(r + 1, r, -1)[:2], bad)

    def test_the_wrong_end(self):
        r, w = self.pipe()
        self.assertEqual(c.read(w, 10)[:2], (-1, errno.EBADF))
        self.assertEqual(c.readv(w, 10)[:2], (-1, errno.EBADF))
        self.assertEqual(c.write(r, b"x"), (-1, errno.EBADF))
        self.assertEqual(c.writev(r, b"xy"), (-1, errno.EBADF))

    def test_not_a_socket(self):
        r, w = self.pipe()
        for call in (c.recv, c.recvfrom, c.recvmsg):
            self.assertEqual(call(r, 10)[:2], (-1, errno.ENOTSOCK))
        for call in (c.send, c.sendto, c.sendmsg):
            self.assertEqual(call(w, b"hello"), (-1, errno.ENOTSOCK))
        self.assertEqual(c.accept(r), (-1, errno.ENOTSOCK))

    def test_sockets_that_are_not_connected(self):
        with socket.socket() as s:
            self.assertEqual(c.recv(s.fileno(), 10)[:2], (-1, errno.ENOTCONN))
            self.assertEqual(c.accept(s.fileno()), (-1, errno.EINVAL))

    def test_datagrams(self):
        a, b = self.pair(socket.SOCK_DGRAM)
        b.send(b"hello")
        b.send(b"world")
        self.assertEqual(c.recv(a.fileno(), 2, 0), (2, 0, b"he"))
        # MSG_WAITALL is for streams.
        self.assertEqual(c.recv(a.fileno(), 100, socket.MSG_WAITALL), (5, 0, b"world"))
        b.send(b"")
        self.assertEqual(c.recv(a.fileno(), 100), (0, 0, b""))
        b.send(b"again")
        # The length is the real one.
        self.assertEqual(c.recv(a.fileno(), 4, socket.MSG_TRUNC)[:2], (5, 0))

    def test_regular_files(self):
        f = self.file(b"0123456789")
        fd = os.open(f.name, os.O_RDWR)
        self.addCleanup(os.close, fd)
        self.assertEqual(c.read(fd, 4), (4, 0, b"0123"))
        self.assertEqual(c.readv(fd, 4), (4, 0, b"4567"))
        self.assertEqual(c.read(fd, 4), (2, 0, b"89"))
        self.assertEqual(c.read(fd, 4), (0, 0, b""))
        self.assertEqual(c.write(fd, b"abc"), (3, 0))
        self.assertEqual(c.writev(fd, b"def"), (3, 0))
        events = select.POLLIN | select.POLLOUT
        self.assertEqual(c.poll([(fd, events)]), (1, 0, [events]))
        self.assertEqual(c.select(fd + 1, fd, fd)[:4], (2, 0, 1, 1))
        with open(f.name, "rb") as again:
            self.assertEqual(again.read(), b"0123456789abcdef")

    def test_open(self):
        directory = self.directory()
        path = os.path.join(directory, "new")
        old = os.umask(0o027)
        self.addCleanup(os.umask, old)
        fd, err = c.open_mode(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        self.assertGreaterEqual(fd, 0)
        os.close(fd)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o640)
        self.assertEqual(c.open_mode(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666),
                         (-1, errno.EEXIST))
        fd, err = c.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.assertFalse(os.get_inheritable(fd))
        os.close(fd)
        fd, err = c.openat(path, os.O_RDONLY)
        self.assertTrue(os.get_inheritable(fd))
        os.close(fd)
        fd, err = c.creat(path + "2", 0o600)
        os.close(fd)
        self.assertEqual(os.stat(path + "2").st_mode & 0o777, 0o600)
        fd, err = c.open_mode(directory, os.O_TMPFILE | os.O_RDWR, 0o600)
        if err != errno.EOPNOTSUPP:
            self.assertEqual(os.fstat(fd).st_mode & 0o777, 0o600)
            os.close(fd)
        self.assertEqual(c.open("/nonexistent", os.O_RDONLY), (-1, errno.ENOENT))

    def test_open_fifo_without_waiting(self):
        path, other_end = fifo(self)
        self.assertEqual(c.open(path, os.O_WRONLY | os.O_NONBLOCK), (-1, errno.ENXIO))
        for flags in (os.O_RDWR, os.O_RDONLY | os.O_NONBLOCK, os.O_PATH):
            fd, err = c.open(path, flags)
            self.assertGreaterEqual(fd, 0)
            os.close(fd)

    def test_locks(self):
        f = self.file()
        other = os.open(f.name, os.O_RDWR)
        self.addCleanup(os.close, other)
        fcntl.flock(other, fcntl.LOCK_EX)
        self.assertEqual(c.flock(f.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB),
                         (-1, errno.EAGAIN))
        g, release = locked_by_child(self)
        self.assertEqual(c.lockf(g.fileno(), os.F_TLOCK, 0)[0], -1)
        self.assertEqual(c.fcntl_lock(g.fileno(), fcntl.F_SETLK, fcntl.F_WRLCK, 0)[0], -1)

    def test_children(self):
        self.assertEqual(c.waitpid(-1, 0)[:2], (-1, errno.ECHILD))
        self.assertEqual(c.wait()[:2], (-1, errno.ECHILD))
        self.assertEqual(c.waitid(os.P_ALL, 0, os.WEXITED)[:2], (-1, errno.ECHILD))
        child = self.child("")
        self.assertEqual(c.waitpid(child.pid, os.WNOHANG)[:2], (0, 0))
        self.assertEqual(c.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG)[:3],
                         (0, 0, 0))

    def test_invalid_arguments(self):
        invalid = (-1, errno.EINVAL)
        self.assertEqual(c.nanosleep(-1)[:2], invalid)
        self.assertEqual(c.clock_nanosleep(12345, 0, 1)[0], errno.EINVAL)
        self.assertEqual(c.clock_nanosleep(time.CLOCK_THREAD_CPUTIME_ID, 0, 1)[0],
                         errno.EINVAL)
        self.assertEqual(c.select(-1, -1, -1)[:2], invalid)

    def test_deadlock_of_locks_is_found(self):
        f = self.file(b"12")
        child = subprocess.Popen(
            [sys.executable, "-c", "import fcntl, sys\n"
             "f = open(sys.argv[1], 'r+')\n"
             "fcntl.lockf(f, fcntl.LOCK_EX, 1, 1)\n"
             "print('ready', flush=True)\n"
             "sys.stdin.readline()\n"
             "fcntl.lockf(f, fcntl.LOCK_EX, 1, 0)\n", f.name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with child:
            self.assertEqual(child.stdout.readline(), b"ready\n")
            fd = f.fileno()
            self.assertEqual(c.fcntl_lock(fd, fcntl.F_SETLKW, fcntl.F_WRLCK, 0), (0, 0))
            child.stdin.write(b"\n")
            child.stdin.flush()
            # Until the child waits for our lock.
            while True:
                with open("/proc/locks") as locks:
                    if any("->" in line and f" {child.pid} " in line for line in locks):
                        break
                time.sleep(0.005)
            self.assertEqual(c.fcntl_lock(fd, fcntl.F_SETLKW, fcntl.F_WRLCK, 1),
                             (-1, errno.EDEADLK))
            self.assertEqual(c.fcntl_lock(fd, fcntl.F_SETLKW, fcntl.F_UNLCK, 0), (0, 0))
            child.wait()

    def test_connect_refused(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            with socket.socket() as s:
                self.assertEqual(c.connect_port(s.fileno(), port),
                                 (-1, errno.ECONNREFUSED))

    def test_connect_leaves_the_socket_blocking(self):
        server, connect = listener(self)
        with socket.socket() as s:
            self.assertEqual(c.connect_port(s.fileno(), server.getsockname()[1]), (0, 0))
            self.assertTrue(os.get_blocking(s.fileno()))

    def test_system_inherits_the_signal_mask(self):
        for signum in (signal.SIGUSR1, signal.SIGTERM):
            self.assertEqual(c.system("kill -%d $$" % signum)[0] & 0x7f, signum)
        block_signals(self, signal.SIGUSR1)
        self.assertEqual(c.system("kill -USR1 $$; exit 3"), (3 << 8, 0))

    def test_sigpipe(self):
        r, w = self.pipe()
        os.close(r)
        self.assertEqual(c.write(w, b"x"), (-1, errno.EPIPE))
        self.assertEqual(c.writev(w, b"xy"), (-1, errno.EPIPE))

    def test_peek_leaves_what_it_sees(self):
        a, b = self.pair()
        b.send(b"hello")
        self.assertEqual(c.recv(a.fileno(), 3, socket.MSG_PEEK), (3, 0, b"hel"))
        self.assertEqual(c.recv(a.fileno(), 10), (5, 0, b"hello"))

    def test_zero_bytes(self):
        r, w = self.pipe()
        self.assertEqual(c.read(r, 0), (0, 0, b""))
        self.assertEqual(c.write(w, b""), (0, 0))

    def test_a_call_with_the_gil_stops_all(self):
        r, w = self.pipe()
        longest = last = 0
        stop = []

        def run():
            nonlocal longest, last
            last = time.monotonic()
            while not stop:
                now = time.monotonic()
                longest = max(longest, now - last)
                last = now

        writer = subprocess.Popen(["/bin/sh", "-c", f"read x; sleep 0.3; echo x >&{w}"],
                                  stdin=subprocess.PIPE, pass_fds=[w])
        t = threading.Thread(target=run)
        t.start()
        # start() does not wait for run()'s first line: one that begins when the
        # call is over has seen no pause.
        while not last:
            time.sleep(0.001)
        with writer:
            writer.stdin.write(b"go\n")
            writer.stdin.flush()
            self.assertEqual(c.read_with_gil(r, 1), (1, 0, b"x"))
            end = time.monotonic()
            while last < end:
                time.sleep(0.001)
            stop.append(1)
        t.join()
        self.assertGreater(longest, 0.1)


class ManyTest(Base):

    def setUp(self):
        super().setUp()
        old = resource.getrlimit(resource.RLIMIT_NOFILE)
        if old[1] < 6000:
            self.skipTest("needs a limit of 6000 descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (6000, old[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, old)

    def high(self, fd, base=1100):
        new = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, base)
        self.addCleanup(self.close, new)
        return new

    def test_a_thousand_threads_in_recv_above_1024(self):
        n = 1000
        pairs = []
        for i in range(n):
            a, b = socket.socketpair()
            fd = self.high(a.fileno())
            a.close()
            self.addCleanup(b.close)
            pairs.append((fd, b))
        got = [None] * n
        started = []

        def receive(i):
            started.append(i)
            got[i] = c.recv(pairs[i][0], 100)

        threads = [threading.Thread(target=receive, args=(i,)) for i in range(n)]
        old = threading.stack_size(256 * 1024)
        for t in threads:
            t.start()
        threading.stack_size(old)
        while len(started) < n:
            time.sleep(0.01)
        time.sleep(0.05)
        self.assertEqual(got, [None] * n)
        for i in sorted(range(n), key=lambda i: 7919 * i % n):
            pairs[i][1].send(b"data %d" % i)
        for t in threads:
            t.join()
        self.assertEqual(got, [(len(b"data %d" % i), 0, b"data %d" % i)
                               for i in range(n)])

    def test_every_call_above_1024(self):
        a, b = self.pair()
        fd = self.high(a.fileno())
        r, w = self.pipe()
        r, w = self.high(r), self.high(w)
        server, connect = listener(self)
        listening = self.high(server.fileno())
        p = select.epoll()
        self.stack.enter_context(p)
        p.register(fd, select.EPOLLIN)
        epfd = self.high(p.fileno())
        for block, unblock, expected in (
            (lambda: c.recv(fd, 10), lambda: b.send(b"x"), (1, 0, b"x")),
            (lambda: c.read(r, 10), lambda: os.write(w, b"x"), (1, 0, b"x")),
            (lambda: c.poll([(fd, select.POLLIN)]), lambda: b.send(b"x"),
             (1, 0, [select.POLLIN])),
            (lambda: c.epoll_wait(epfd), lambda: None,
             (1, 0, [(fd, select.EPOLLIN)])),
            (lambda: c.recv(fd, 10), lambda: None, (1, 0, b"x")),
            (lambda: c.select(fd + 1, fd, -1), lambda: b.send(b"x"), (1, 0, 1, 0, 0)),
            (lambda: c.pselect(fd + 1, fd, -1), lambda: None, (1, 0, 1, 0, 0)),
        ):
            outcome = []
            t = threading.Thread(target=lambda: outcome.append(block()))
            t.start()
            time.sleep(0.01)
            unblock()
            t.join()
            self.assertEqual(outcome, [expected])
        outcome = []
        t = threading.Thread(target=lambda: outcome.append(c.accept(listening)))
        t.start()
        time.sleep(0.01)
        connect()
        t.join()
        self.assertGreaterEqual(outcome[0][0], 0)
        os.close(outcome[0][0])

    def test_select_with_more_than_the_process_has(self):
        # The kernel looks no further than its table of descriptors goes.
        a, b = self.pair()
        b.send(b"x")
        t = threading.Thread(target=time.sleep, args=(0.05,))
        t.start()
        self.assertEqual(c.select(500_000, a.fileno(), -1)[:4], (1, 0, 1, 0))
        t.join()

    def test_many_accept_on_one_socket(self):
        # Each connection wakes one of them for good.
        n = 20
        server, connect = listener(self)
        got = []
        threads = [threading.Thread(target=lambda: got.append(c.accept(server.fileno())))
                   for _ in range(n)]
        for t in threads:
            t.start()
        time.sleep(0.02)
        for i in range(n):
            connect()
            while len(got) <= i:
                time.sleep(0.001)
            time.sleep(0.001)
            self.assertEqual(len(got), i + 1)
        for t in threads:
            t.join()
        for fd, err in got:
            self.assertGreaterEqual(fd, 0)
            os.close(fd)

    def test_many_read_one_pipe(self):
        n = 20
        r, w = self.pipe()
        got = []
        threads = [threading.Thread(target=lambda: got.append(c.read(r, 1)))
                   for _ in range(n)]
        for t in threads:
            t.start()
        time.sleep(0.02)
        for i in range(n):
            os.write(w, b"%c" % i)
            while len(got) <= i:
                time.sleep(0.001)
            self.assertEqual(len(got), i + 1)
        for t in threads:
            t.join()
        self.assertEqual(sorted(got), [(1, 0, bytes([i])) for i in range(n)])

    def test_readers_and_writers_of_one_socket(self):
        # Some wait for the one direction, some for the other.
        a, b = self.full_pair()
        got, sent = [], []
        readers = [threading.Thread(target=lambda: got.append(c.recv(a.fileno(), 1)))
                   for _ in range(10)]
        writers = [threading.Thread(target=lambda: sent.append(c.send(a.fileno(), b"y")))
                   for _ in range(10)]
        for t in readers + writers:
            t.start()
        time.sleep(0.02)
        self.assertEqual((got, sent), ([], []))
        b.send(bytes(10))
        for t in readers:
            t.join()
        self.assertEqual(sent, [])
        self.drain(b)
        for t in writers:
            t.join()
        self.assertEqual(got, [(1, 0, b"\0")] * 10)
        self.assertEqual(sent, [(1, 0)] * 10)

    def test_descriptors_come_and_go(self):
        # A number that is closed and used again means the new file.
        n = 40

        def echo(i):
            for k in range(30):
                a, b = socket.socketpair()
                with a, b:
                    t = threading.Timer(0.001 * (i + k) % 0.004, b.send, [b"%d %d" % (i, k)])
                    t.start()
                    result = c.recv(a.fileno(), 100)
                    t.join()
                if result[2] != b"%d %d" % (i, k):
                    return result
            return "fine"

        self.assertEqual(in_threads(echo, n), ["fine"] * n)

    def test_fork_while_many_wait(self):
        # The child's waits are its own, and the parent's go on.
        pairs = [socket.socketpair() for _ in range(30)]
        got = []
        threads = [threading.Thread(target=lambda a=a: got.append(c.recv(a.fileno(), 10)))
                   for a, b in pairs]
        for t in threads:
            t.start()
        time.sleep(0.02)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                mine = [socket.socketpair() for _ in range(30)]
                out = []
                ts = [threading.Thread(target=lambda a=a: out.append(c.recv(a.fileno(), 10)))
                      for a, b in mine]
                for t in ts:
                    t.start()
                time.sleep(0.02)
                for a, b in mine:
                    b.send(b"child")
                for t in ts:
                    t.join()
                status = out != [(5, 0, b"child")] * 30
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        self.assertEqual(got, [])
        for a, b in pairs:
            b.send(b"parent")
        for t in threads:
            t.join()
        self.assertEqual(got, [(6, 0, b"parent")] * 30)
        for a, b in pairs:
            a.close()
            b.close()


class DecidedOnceTest(Base):
    """How a call blocks is decided when it is made.  What another thread changes
    meanwhile is for the next one."""

    CHANGES = {
        "setblocking": lambda sock: sock.setblocking(False),
        "settimeout": lambda sock: sock.settimeout(30),
        "F_SETFL": lambda sock: os.set_blocking(sock.fileno(), False),
        "through a duplicate": lambda sock: change_duplicate(sock),
    }

    def changed(self, sock, change, block, unblock):
        """What block() returns in a thread, which waits until unblock() is called,
        when sock was changed meanwhile."""
        t, outcome = self.waiting(block)
        self.CHANGES[change](sock)
        time.sleep(0.02)
        self.assertEqual(outcome, [])
        unblock()
        t.join()
        return outcome[0]

    def check(self, name, block, unblock, expected):
        """block(sock), and unblock(peer) when sock was changed."""
        for kind in self.pair, self.tcp_pair:
            for change in self.CHANGES:
                with self.subTest(call=name, kind=kind.__name__, change=change):
                    a, b = kind()
                    outcome = self.changed(a, change, lambda: block(a),
                                           lambda: unblock(b))
                    self.assertEqual(outcome[:len(expected)], expected)

    def test_sending(self):
        # sendfile() looks at the mode again and again (kernel, fs/splice.c).
        data = bytes(8_000_000)

        def read_all(peer):
            n = 0
            while n < len(data):
                n += len(peer.recv(1 << 20))

        for name, send in dict(
                send=lambda s: c.send(s.fileno(), data),
                sendto=lambda s: c.sendto(s.fileno(), data),
                sendmsg=lambda s: c.sendmsg(s.fileno(), data),
                sendmmsg=lambda s: c.sendmmsg(s.fileno(), data, 1),
                write=lambda s: c.write(s.fileno(), data),
                writev=lambda s: c.writev(s.fileno(), data),
        ).items():
            self.check(name, send, read_all,
                       (1 if name == "sendmmsg" else len(data), 0))

    def test_receiving(self):
        for name, receive in dict(
                recv=lambda s: c.recv(s.fileno(), 10),
                recvfrom=lambda s: c.recvfrom(s.fileno(), 10),
                recvmsg=lambda s: c.recvmsg(s.fileno(), 10),
                read=lambda s: c.read(s.fileno(), 10),
                readv=lambda s: c.readv(s.fileno(), 10),
        ).items():
            self.check(name, receive, lambda peer: peer.send(b"hello"),
                       (5, 0, b"hello"))

    def test_receiving_all(self):
        def in_parts(peer):
            for part in b"abc", b"def", b"ghij":
                peer.send(part)
                time.sleep(0.01)

        for name, receive in dict(
                recv=lambda s: c.recv(s.fileno(), 10, socket.MSG_WAITALL),
                recvfrom=lambda s: c.recvfrom(s.fileno(), 10, socket.MSG_WAITALL),
                recvmsg=lambda s: c.recvmsg(s.fileno(), 10, socket.MSG_WAITALL),
        ).items():
            self.check(name, receive, in_parts, (10, 0, b"abcdefghij"))

    def test_accepting(self):
        for name in "accept", "accept4":
            for change in self.CHANGES:
                with self.subTest(call=name, change=change):
                    server, connect = listener(self)
                    accept = getattr(c, name)
                    opened(self)(self.changed(
                        server, change, lambda: accept(server.fileno()), connect))

    def test_nobody_else_sees_the_mode_change(self):
        # Of an open file that blocks and is shared with another process.
        cases = {name: CASES[name] for name in CASES if name.startswith(
            ("read", "write", "recv", "send", "accept", "connect"))}
        for name, setup in cases.items():
            with self.subTest(call=name):
                block, unblock, expected = setup(self)
                modes = set()
                done = []

                def look():
                    while not done:
                        for fd in os.listdir("/proc/self/fdinfo"):
                            with contextlib.suppress(OSError):
                                with open(f"/proc/self/fdinfo/{fd}") as f:
                                    flags = int(f.read().split("flags:")[1].split()[0], 8)
                                if flags & os.O_NONBLOCK:
                                    modes.add(os.readlink(f"/proc/self/fd/{fd}"))

                looking = threading.Thread(target=look)
                t = threading.Thread(target=block)
                before = nonblocking_files()
                looking.start()
                t.start()
                time.sleep(0.02)
                unblock()
                t.join()
                done.append(1)
                looking.join()
                # The peer's may be another one now.
                self.assertEqual(modes - before - nonblocking_files(), set())


def change_duplicate(sock):
    with sock.dup() as duplicate:
        duplicate.setblocking(False)


def nonblocking_files():
    files = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if not os.get_blocking(int(fd)):
                files.add(os.readlink(f"/proc/self/fd/{fd}"))
    return files


class PlainCallTest(BesideTest):
    """Calls that block in ways of their own."""

    def test_fast_open(self):
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as s:
            self.assertEqual(s.sendto(b"hello", socket.MSG_FASTOPEN,
                                      server.getsockname()), 5)
            with server.accept()[0] as peer:
                self.assertEqual(peer.recv(10), b"hello")

    def test_a_datagram_for_one_who_is_behind_waits(self):
        # It does not ask again and again.
        path = os.path.join(self.directory(), "socket")
        with (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
              socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender):
            receiver.bind(path)
            messages = [b"%d" % i for i in range(1000)]
            t = threading.Thread(
                target=lambda: [sender.sendto(m, path) for m in messages])
            t.start()
            time.sleep(0.1)
            calls = switches()
            time.sleep(0.2)
            self.assertTrue(t.is_alive())
            self.assertLess(switches() - calls, 100)
            self.assertEqual([receiver.recv(100) for _ in messages], messages)
            t.join()

    def test_sendfile_has_the_time_limit_of_its_socket(self):
        a, b = self.pair()
        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, TIMEVAL)
        f = self.file(bytes(8_000_000))
        sent = []
        while not sent or sent[-1] > 0:
            sent.append(c.sendfile(a.fileno(), f.fileno(), 0, 8_000_000)[0])
        self.assertEqual(sent[-1], -1)

    def test_big_writes_to_a_terminal_whose_other_end_is_read_here(self):
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        tty.setraw(slave)
        outcomes = []
        t = threading.Thread(target=lambda: outcomes.extend(
            c.write(slave, bytes(10_000)) for _ in range(20)))
        t.start()
        n = 0
        while n < 200_000:
            n += len(os.read(master, 500))
        t.join()
        self.assertEqual(outcomes, 20 * [(10_000, 0)])


def switches():
    """Voluntary context switches of the process: each call that waits is one."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


class ByHandTest(Base):
    """Functions of the C library that a program looks up by itself, and system
    calls that it makes by itself."""

    def setUp(self):
        super().setUp()
        import ctypes
        self.ctypes = ctypes
        self.libc = ctypes.CDLL("libc.so.6")
        self.buffer = ctypes.create_string_buffer(100)

    def from_pipe(self, call):
        r, w = self.pipe()
        self.blocks(lambda: call(r), lambda: os.write(w, b"x"), 1)

    def test_read(self):
        self.from_pipe(lambda r: self.libc.read(r, self.buffer, 1))

    def test_the_name_with_underscores(self):
        self.from_pipe(lambda r: self.libc.__getattr__("__read")(r, self.buffer, 1))

    def test_preadv2(self):
        iov = (self.ctypes.c_void_p * 2)(self.ctypes.addressof(self.buffer), 1)
        self.from_pipe(lambda r: self.libc.preadv2(
            r, iov, 1, self.ctypes.c_long(-1), 0))

    def test_poll(self):
        self.from_pipe(lambda r: self.libc.poll(
            (self.ctypes.c_int * 2)(r, select.POLLIN), 1, -1))

    @unittest.skipUnless(os.uname().machine == "x86_64", "its number is another one")
    def test_syscall(self):
        SYS_read = 0
        self.from_pipe(lambda r: self.libc.syscall(SYS_read, r, self.buffer, 1))

    def test_eventfd_read(self):
        fd = os.eventfd(0)
        self.addCleanup(os.close, fd)
        self.blocks(lambda: os.eventfd_read(fd), lambda: os.eventfd_write(fd, 7), 7)

    def test_usleep(self):
        self.blocks(lambda: self.libc.usleep(100_000), lambda: None, 0)

    def test_wordexp(self):
        words = self.ctypes.create_string_buffer(100)
        self.blocks(lambda: self.libc.wordexp(b"$(sleep 0.1)", words, 0),
                   lambda: None, 0)

    def test_aio_suspend(self):
        # struct aiocb of 64-bit Linux.
        SIGEV_NONE = 1
        r, w = self.pipe()
        block = bytearray(168)
        block[0:4] = r.to_bytes(4, sys.byteorder)
        block[16:24] = self.ctypes.addressof(self.buffer).to_bytes(8, sys.byteorder)
        block[24:32] = (1).to_bytes(8, sys.byteorder)
        block[44:48] = SIGEV_NONE.to_bytes(4, sys.byteorder)
        aiocb = self.ctypes.create_string_buffer(bytes(block), len(block))
        self.assertEqual(self.libc.aio_read(aiocb), 0)
        aiocbs = (self.ctypes.c_void_p * 1)(self.ctypes.addressof(aiocb))
        self.blocks(lambda: self.libc.aio_suspend(aiocbs, 1, None),
                   lambda: os.write(w, b"x"), 0)


class DescriptorTest(BesideTest):
    """Descriptors that change under the hands of those that wait for them."""

    def test_a_socket_that_lingers_is_closed(self):
        r, _ = self.pipe()
        for name, close in {
            "close": os.close,
            "dup2": lambda fd: os.dup2(r, fd),
            "dup3": lambda fd: os.dup2(r, fd, inheritable=False),
            "close_range": lambda fd: os.closerange(fd, fd + 1),
        }.items():
            with self.subTest(name):
                a, b = self.tcp_pair()
                a.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        a.send(CHUNK)
                a.setblocking(True)
                a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             (1).to_bytes(4, sys.byteorder)
                             + (100).to_bytes(4, sys.byteorder))
                fd = a.detach()
                t, outcome = self.waiting(lambda: close(fd))
                self.assertEqual(outcome, [])
                while b.recv(1 << 20):
                    pass
                t.join()
                if name.startswith("dup"):
                    os.close(fd)

    def test_what_fails_to_close_ends_no_wait(self):
        import ctypes
        libc = ctypes.CDLL(None)
        a, b = self.pair()
        fd = a.fileno()
        t, outcome = self.waiting(lambda: c.recv(fd, 10))
        EINVALID = 0x40000000
        self.assertEqual(libc.dup2(9999, fd), -1)
        self.assertEqual(libc.dup3(9999, fd, 0), -1)
        self.assertEqual(libc.dup3(b.fileno(), fd, EINVALID), -1)
        self.assertEqual(libc.dup3(fd, fd, 0), -1)
        self.assertEqual(libc.dup2(fd, fd), fd)
        if hasattr(libc, "close_range"):
            self.assertEqual(libc.close_range(fd, fd - 1, 0), -1)
            self.assertEqual(libc.close_range(fd, fd, EINVALID), -1)
        time.sleep(0.02)
        self.assertEqual(outcome, [])
        b.send(b"hello")
        t.join()
        self.assertEqual(outcome, [(5, 0, b"hello")])

    def test_close_range_that_only_marks_ends_no_wait(self):
        import ctypes
        libc = ctypes.CDLL(None)
        if not hasattr(libc, "close_range"):
            self.skipTest("this C library has no close_range()")
        CLOSE_RANGE_CLOEXEC = 4
        a, b = self.pair()
        t, outcome = self.waiting(lambda: c.recv(a.fileno(), 10))
        self.assertEqual(libc.close_range(a.fileno(), a.fileno(),
                                          CLOSE_RANGE_CLOEXEC), 0)
        b.send(b"hello")
        t.join()
        self.assertEqual(outcome, [(5, 0, b"hello")])

    def test_nothing_of_ours_is_written_to_a_file_of_the_program(self):
        # Of whatever kind the calls are, close all, and use the numbers again.
        directory = self.directory()
        path = os.path.join(directory, "lock")
        first, second = (os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(2))
        self.addCleanup(os.close, first)
        self.addCleanup(os.close, second)
        fcntl.flock(first, fcntl.LOCK_EX)
        child = subprocess.Popen(["sleep", "0.2"])
        a, b = self.pair()
        ts = [self.waiting(call)[0] for call in (
            lambda: fcntl.flock(second, fcntl.LOCK_EX),
            lambda: child.wait(),
            lambda: c.recv(a.fileno(), 10),
            lambda: time.sleep(0.1))]
        top = max(first, second, a.fileno(), b.fileno()) + 1
        os.closerange(top, 100)
        files = [os.open(os.path.join(directory, str(i)), os.O_RDWR | os.O_CREAT)
                 for i in range(30)]
        fcntl.flock(first, fcntl.LOCK_UN)
        b.send(b"x")
        for t in ts:
            t.join()
        sizes = [os.fstat(fd).st_size for fd in files]
        os.closerange(files[0], files[-1] + 1)
        self.assertEqual(sizes, 30 * [0])

    def test_what_a_closed_duplicate_gets_wakes_nobody(self):
        # The file lives on, by its other number.
        for make in self.pair, self.tcp_pair:
            a, b = make()
            duplicate = a.dup()
            t, outcome = self.waiting(lambda: duplicate.recv(10))
            b.send(b"hello")
            t.join()
            duplicate.close()
            sender = subprocess.Popen(
                [sys.executable, "-c", "import os, sys, time\n"
                 "for _ in range(200):\n"
                 f"    os.write({b.fileno()}, b'x'); time.sleep(0.001)"],
                pass_fds=[b.fileno()])
            before = switches()
            sender.wait()
            # One for each message would be 200.
            self.assertLess(switches() - before, 120)

    def test_an_event_for_an_old_number_is_nobodys(self):
        a, b = self.pair()
        duplicate = a.dup()
        fd = duplicate.fileno()
        t, outcome = self.waiting(lambda: duplicate.recv(10))
        b.send(b"hello")
        t.join()
        duplicate.close()
        r, w = self.pipe()
        self.assertEqual(os.dup2(r, fd), fd)
        self.addCleanup(self.close, fd)
        t, outcome = self.waiting(lambda: c.read(fd, 10))
        b.send(b"x")
        time.sleep(0.02)
        self.assertEqual(outcome, [])
        os.write(w, b"mine")
        t.join()
        self.assertEqual(outcome, [(4, 0, b"mine")])

    def test_several_wait_for_the_same_many(self):
        # More than the process may have by now, but one of them gets ready.
        spare = os.pipe()
        pipes = [self.pipe() for _ in range(300)]
        fds = [r for r, _ in pipes]
        r, w = pipes[150]
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (400, limit[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
        # What settle() opens.
        for fd in spare:
            os.close(fd)
        for call in (
                lambda: select.select(fds, [], [])[0],
                lambda: [fd for fd, ready in zip(fds, c.poll(
                    [(fd, select.POLLIN) for fd in fds], 100)[2]) if ready]):
            waits = [self.waiting(call) for _ in range(3)]
            before = switches()
            time.sleep(0.1)
            # Who asks again and again makes some thousands.
            self.assertLess(switches() - before, 500)
            os.write(w, b"x")
            for t, outcome in waits:
                t.join()
                self.assertEqual(outcome, [[r]])
            os.read(r, 1)


class NetdbTest(BesideTest):
    """Name resolution: slow_netdb.so makes it slow, if it is preloaded, or as slow as
    a server that is asked."""

    LOCALHOST = (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1", "80")

    CALLS = {
        "getaddrinfo": lambda: c.getaddrinfo("localhost", None, socket.AF_INET, 0)[0],
        "getnameinfo": lambda: c.getnameinfo(80, 0)[0],
        "gethostbyname": lambda: c.gethostbyname("localhost")[2],
        "gethostbyname2": lambda: c.gethostbyname2("localhost")[2],
        "gethostbyaddr": lambda: c.gethostbyaddr()[2],
        "gethostbyname_r": lambda: c.gethostbyname_r("localhost")[2],
        "gethostbyname2_r": lambda: c.gethostbyname2_r("localhost")[2],
        "gethostbyaddr_r": lambda: c.gethostbyaddr_r()[2],
    }

    def test_progress(self):
        if "SLOW_NETDB" not in os.environ:
            self.skipTest("slow_netdb.so is not preloaded")
        r, w = self.pipe()
        os.environ["NETDB_SERVER"] = str(r)
        self.addCleanup(os.environ.pop, "NETDB_SERVER")
        for name, call in self.CALLS.items():
            with self.subTest(name):
                t, outcome = self.waiting(call)
                self.assertEqual(outcome, [])
                os.write(w, b"x")
                t.join()
                self.assertIn(outcome[0], (0, b"\x7f\0\0\1"))

    def test_all_at_once(self):
        if "SLOW_NETDB" not in os.environ:
            self.skipTest("slow_netdb.so is not preloaded")
        outcome = []
        threads = [threading.Thread(target=lambda: outcome.append(
            socket.getaddrinfo("localhost", 80, socket.AF_INET)[0][4]))
            for _ in range(50)]
        start = time.monotonic()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        # One after the other would take 5 seconds.
        self.assertLess(time.monotonic() - start, 2.5)
        self.assertEqual(outcome, [("127.0.0.1", 80)] * 50)

    def test_results(self):
        found = c.getaddrinfo("localhost", "80", socket.AF_INET, 0)
        self.assertEqual(found[0], 0)
        self.assertIn(self.LOCALHOST, found[1])
        for flags in (-1, 0, socket.AI_PASSIVE, socket.AI_NUMERICHOST):
            found = c.getaddrinfo("127.0.0.1", "80", socket.AF_INET, flags)
            self.assertEqual(found[0], 0)
            self.assertIn(self.LOCALHOST, found[1])
        self.assertEqual(c.getaddrinfo("localhost", "80", socket.AF_INET,
                                       socket.AI_NUMERICHOST), (socket.EAI_NONAME, []))
        self.assertEqual(c.getaddrinfo(None, None, socket.AF_INET, 0),
                         (socket.EAI_NONAME, []))
        self.assertEqual(c.getaddrinfo("::1", None, socket.AF_INET, 0)[0],
                         socket.EAI_ADDRFAMILY)
        self.assertEqual(c.getaddrinfo("localhost", "no such service", socket.AF_INET, 0)[0],
                         socket.EAI_SERVICE)
        self.assertEqual(c.getaddrinfo("localhost", None, 12345, 0)[0],
                         socket.EAI_FAMILY)
        self.assertEqual(c.getnameinfo(80, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
                         (0, "127.0.0.1", "80"))
        self.assertEqual(c.getnameinfo(80, 0, 12345)[0], socket.EAI_FAMILY)
        self.assertEqual(c.gethostbyname("127.0.0.1"),
                         ("127.0.0.1", socket.AF_INET, b"\x7f\0\0\1"))
        self.assertEqual(c.gethostbyname("not a name"), (None, 1))      # HOST_NOT_FOUND
        self.assertEqual(c.gethostbyname_r("not a name"), (None, 1))


for name, setup in CASES.items():
    ProgressTest.add(name, setup)
    InterruptTest.add(name, setup)


if __name__ == "__main__":
    unittest.main()
