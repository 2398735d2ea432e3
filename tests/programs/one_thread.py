"""A one-thread program that makes system calls of many kinds, between two marks.

The marks are calls that fail, and that strace shows: what the interpreter does
at start and exit is not compared.
"""

import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
import _thread


def mark(name):
    try:
        os.stat(f"/mark-{name}")
    except FileNotFoundError:
        pass


def locks():
    lock = threading.Lock()
    for _ in range(10):
        with lock:
            assert not lock.acquire(blocking=False)
    condition = threading.Condition()
    with condition:
        condition.notify_all()
    event = threading.Event()
    event.set()
    event.wait()


def files(directory):
    path = os.path.join(directory, "file")
    with open(path, "wb") as f:
        f.write(b"x" * 100_000)
    with open(path, "rb") as f, open(path + "2", "wb") as g:
        assert os.sendfile(g.fileno(), f.fileno(), 0, 1000) == 1000
        assert len(f.read()) == 100_000
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, b"y", 5)
    assert os.readv(fd, [bytearray(5), bytearray(5)]) == 10
    os.writev(fd, [b"a", b"b"])
    os.lockf(fd, os.F_LOCK, 10)
    os.close(fd)


def pipes():
    r, w = os.pipe()
    os.write(w, b"x" * 60_000)
    assert len(os.read(r, 60_000)) == 60_000
    os.write(w, b"y")
    assert select.select([r], [w], [], 1) == ([r], [w], [])
    p = select.poll()
    p.register(r, select.POLLIN)
    assert p.poll(1000)
    with select.epoll() as e:
        e.register(r, select.EPOLLIN)
        assert e.poll(1)
    os.close(r)
    os.close(w)


def sockets():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            conn, _ = server.accept()
            with conn:
                client.sendall(b"hello")
                assert conn.recv(5, socket.MSG_WAITALL) == b"hello"
                conn.sendmsg([b"a", b"b"])
                assert client.recvmsg(2)[0] == b"ab"
                client.settimeout(0.01)
                try:
                    client.recv(1)
                except TimeoutError:
                    pass


def waits():
    time.sleep(0.001)
    select.select([], [], [], 0.001)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    os.kill(os.getpid(), signal.SIGUSR1)
    assert signal.sigwait([signal.SIGUSR1]) == signal.SIGUSR1
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    assert signal.sigtimedwait([signal.SIGUSR1], 0.001) is None
    subprocess.run(["/bin/true"], check=True, close_fds=False)
    # Not os.fork(): stock reads /proc to count the threads, pth knows.
    child = os.posix_spawn("/bin/true", ["true"], {})
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert os.system("exit 4") == 4 << 8


def main():
    with tempfile.TemporaryDirectory() as directory:
        # Once before: what is loaded or allocated on first use.
        for name in ("begin", "end"):
            mark(name if name == "begin" else "again")
            locks()
            files(directory)
            pipes()
            sockets()
            waits()
    mark("end")


main()
