"""The parts of the standard library that people use with threads.

usage: use_stdlib.py DIRECTORY      (run by stdlib.t)

DIRECTORY has cert.pem and key.pem, a certificate of localhost.
"""

import asyncio
import concurrent.futures
import contextlib
import hashlib
import http.client
import http.server
import multiprocessing.pool
import os
import pty
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import tap

THREADS = 20


def pattern(seed, length):
    """Bytes that depend on `seed`."""
    return hashlib.shake_128(str(seed).encode()).digest(length)


def receive(connection, length):
    data = bytearray()
    while len(data) < length:
        piece = connection.recv(min(length - len(data), 65536))
        if not piece:
            break
        data += piece
    return bytes(data)


@contextlib.contextmanager
def serving(listener, handle):
    """Accept connections in a thread, and serve each in one of its own."""
    with listener, concurrent.futures.ThreadPoolExecutor(THREADS + 1) as pool:
        def accept():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                pool.submit(handle, connection)

        accepting = pool.submit(accept)
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        accepting.result()


class Blocking:
    """Calls that block until all THREADS of them have been made, each in the
    kernel: a read of a pipe of its own."""

    def __init__(self):
        self.lock = threading.Lock()
        self.waiting = []

    def call(self, value):
        reader, writer = os.pipe()
        with self.lock:
            self.waiting.append((writer, value))
            everybody = len(self.waiting) == THREADS
        if everybody:
            for fd, text in self.waiting:
                os.write(fd, str(text).encode())
                os.close(fd)
        result = int(os.read(reader, 100))
        os.close(reader)
        return result


class SSLTest(tap.TestCase):
    group = "ssl"

    def exchange(self, version):
        files = [os.path.join(DIRECTORY, name) for name in ["cert.pem", "key.pem"]]
        for_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for_server.load_cert_chain(*files)
        for_client = ssl.create_default_context(cafile=files[0])
        for_client.minimum_version = for_client.maximum_version = version
        # Larger than what sockets and TLS records take at once.
        lengths = [1, 1000, 300_000]

        def serve(connection):
            with for_server.wrap_socket(connection, server_side=True) as s:
                while header := receive(s, 8):
                    s.sendall(receive(s, int.from_bytes(header)))

        def ask(address, number):
            with (socket.create_connection(address) as plain,
                  for_client.wrap_socket(plain, server_hostname="localhost") as s):
                self.assertEqual(s.version(), version.name.replace("_", "."))
                for i, length in enumerate(lengths * 5):
                    data = pattern((number, i), length)
                    # Both directions are full at once: the server answers a
                    # message while it still comes in.
                    s.sendall(length.to_bytes(8))
                    s.sendall(data)
                    self.assertEqual(receive(s, length), data)

        with serving(socket.create_server(("127.0.0.1", 0)), serve) as address:
            with self.others_run():
                tap.run_threads([lambda n=n: ask(address, n) for n in range(THREADS)])

    def test_tls12(self):
        """20 clients and 20 server threads, TLS 1.2"""
        self.exchange(ssl.TLSVersion.TLSv1_2)

    def test_tls13(self):
        """20 clients and 20 server threads, TLS 1.3"""
        self.exchange(ssl.TLSVersion.TLSv1_3)

    def test_timeout(self):
        """a read with a timeout ends in time, and others run meanwhile"""
        files = [os.path.join(DIRECTORY, name) for name in ["cert.pem", "key.pem"]]
        for_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for_server.load_cert_chain(*files)
        for_client = ssl.create_default_context(cafile=files[0])
        asked = threading.Event()

        def serve(connection):
            with for_server.wrap_socket(connection, server_side=True):
                asked.wait()

        with serving(socket.create_server(("127.0.0.1", 0)), serve) as address:
            with (socket.create_connection(address) as plain,
                  for_client.wrap_socket(plain, server_hostname="localhost") as s):
                s.settimeout(0.3)
                with self.others_run(), self.assertRaises(TimeoutError):
                    s.recv(1)
            asked.set()


class AsyncioTest(tap.TestCase):
    group = "asyncio"

    def test_to_thread(self):
        """20 blocking calls by to_thread() at once, while the loop runs"""
        blocking = Blocking()
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        async def run():
            ticking = asyncio.create_task(tick())
            slept = asyncio.to_thread(time.sleep, 0.3)
            values = [asyncio.to_thread(blocking.call, n) for n in range(THREADS)]
            # The pool of the loop has too few threads on a small machine.
            asyncio.get_running_loop().set_default_executor(
                concurrent.futures.ThreadPoolExecutor(THREADS + 1))
            _, *values = await asyncio.gather(slept, *values)
            ticking.cancel()
            return values

        self.assertEqual(asyncio.run(run()), list(range(THREADS)))
        self.assertGreater(ticks, 5)

    def test_streams(self):
        """a server of streams, and clients that block in threads"""
        async def serve(reader, writer):
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            writer.close()

        def ask(address, number):
            with (socket.create_connection(address) as s, s.makefile("rw") as f):
                for i in range(50):
                    print(f"message {number} {i}", file=f, flush=True)
                    self.assertEqual(f.readline(), f"MESSAGE {number} {i}\n")
            return number

        async def run():
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            asyncio.get_running_loop().set_default_executor(
                concurrent.futures.ThreadPoolExecutor(THREADS))
            async with server:
                address = server.sockets[0].getsockname()
                return await asyncio.gather(
                    *[asyncio.to_thread(ask, address, n) for n in range(THREADS)])

        self.assertEqual(asyncio.run(run()), list(range(THREADS)))


class PoolTest(tap.TestCase):

    def test_executor(self):
        """concurrent.futures: 20 blocking calls at once, results in order"""
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            self.assertEqual(list(pool.map(Blocking().call, range(THREADS))),
                             list(range(THREADS)))
            done = concurrent.futures.as_completed(
                [pool.submit(pow, n, 2) for n in range(1000)])
            self.assertEqual(sorted(f.result() for f in done),
                             [n * n for n in range(1000)])
            failing = pool.submit(os.read, -1, 1)
            with self.assertRaises(OSError):
                failing.result()

    def test_executor_timeout(self):
        """concurrent.futures: wait() ends before a blocked call does"""
        reader, writer = os.pipe()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            blocked = pool.submit(os.read, reader, 1)
            with self.others_run(), self.assertRaises(TimeoutError):
                blocked.result(timeout=0.3)
            os.write(writer, b"x")
            self.assertEqual(blocked.result(), b"x")
        os.close(reader)
        os.close(writer)

    def test_thread_pool(self):
        """multiprocessing.pool.ThreadPool: 20 blocking calls at once"""
        with multiprocessing.pool.ThreadPool(THREADS) as pool:
            self.assertEqual(pool.map(Blocking().call, range(THREADS), chunksize=1),
                             list(range(THREADS)))
            self.assertEqual(
                sorted(pool.imap_unordered(Blocking().call, range(THREADS))),
                list(range(THREADS)))
            self.assertEqual(pool.starmap(pow, [(n, 2) for n in range(1000)]),
                             [n * n for n in range(1000)])


class HTTPTest(tap.TestCase):
    group = "http"

    def test_http(self):
        """client in 20 threads, ThreadingHTTPServer"""
        requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                requests.append(len(body))
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[::-1])

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128

        def ask(number):
            connection = http.client.HTTPConnection(*server.server_address)
            for i in range(50):
                body = pattern((number, i), 10 * i * i)
                connection.request("POST", "/", body)
                with connection.getresponse() as response:
                    self.assertEqual(response.read(), body[::-1])
            connection.close()

        with Server(("127.0.0.1", 0), Handler) as server:
            serving = threading.Thread(target=server.serve_forever)
            serving.start()
            with self.others_run():
                tap.run_threads([lambda n=n: ask(n) for n in range(THREADS)])
            server.shutdown()
            serving.join()
        self.assertEqual(len(requests), 50 * THREADS)


class SubprocessTest(tap.TestCase):
    group = "subprocess"

    def children(self, command, wait, **kwargs):
        """Start a shell with `command` in each of 20 threads, and wait(process,
        number) for it.  The children go on when all threads have come to wait.
        """
        gate, closed = os.pipe()
        waiting = []

        def run(number):
            with subprocess.Popen(["sh", "-c", f"read line <&{gate}; {command}"],
                                  pass_fds=[gate], **kwargs) as process:
                waiting.append(number)
                return wait(process, number)

        def let_go():
            tap.wait_until(lambda: len(waiting) == THREADS, "the threads to wait")
            time.sleep(0.1)
            os.close(closed)

        with self.others_run():
            *results, _ = tap.run_threads(
                [lambda n=n: run(n) for n in range(THREADS)] + [let_go])
        os.close(gate)
        return results

    def test_communicate(self):
        """20 threads in communicate() at once, with more than a pipe holds"""
        def talk(process, number):
            data = pattern(number, 300_000)
            self.assertEqual(process.communicate(data), (data, b"done"))
            return process.returncode

        self.assertEqual(
            self.children("cat; printf done >&2", talk, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE),
            [0] * THREADS)

    def test_wait(self):
        """20 threads in wait() at once"""
        self.assertEqual(
            self.children("exit 3", lambda process, number: process.wait()),
            [3] * THREADS)

    def test_timeout(self):
        """communicate() with a timeout ends, and others run meanwhile"""
        process = subprocess.Popen(["sleep", "600"], stdout=subprocess.PIPE)
        with self.others_run(), self.assertRaises(subprocess.TimeoutExpired):
            process.communicate(timeout=0.3)
        process.kill()
        process.communicate()
        self.assertEqual(process.returncode, -signal.SIGKILL)


class Terminal:
    """A program on a terminal of its own, in which a thread writes lines
    "<tick 1>" and so on."""

    def __init__(self, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            environment = dict(os.environ, TERM="dumb", PYTHON_BASIC_REPL="1")
            os.execve(sys.executable, [sys.executable, *args], environment)
        self.output = ""

    def wait(self, what, condition):
        """Read until condition() is true; return what it gives."""
        deadline = time.monotonic() + tap.HANGS / 5
        while not (result := condition()):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no {what} in {self.output[:300]!r} ... "
                                     f"{self.output[-300:]!r}")
            self.output += os.read(self.fd, 4096).decode()
        return result

    def expect(self, regex):
        """Wait for what matches.  Readline writes letter by letter, with the
        thread's lines between them; these are left out."""
        self.wait(regex, lambda: re.search(
            regex, re.sub(r"<tick \d+>\r\n", "", self.output)))

    def ticks(self, number):
        """Wait for so many lines of the thread from now on."""
        def count():
            return len(re.findall(r"<tick \d+>\r\n", self.output))

        self.wait(f"{number} more ticks",
                  lambda wanted=count() + number: count() >= wanted)

    def type(self, text):
        os.write(self.fd, text.encode())

    def close(self):
        with contextlib.suppress(OSError):
            # EIO: the end of the program's output.
            while os.read(self.fd, 4096):
                pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


# A thread that writes until the event is set.
TICK = """
import readline, sys, threading
stop = threading.Event()
def tick(n=0):
    while not stop.wait(0.02):
        sys.stdout.write(f"<tick {n}>\\n")
        n += 1
"""
PROMPT = TICK + """
thread = threading.Thread(target=tick)
thread.start()
print("answer:", input("name? ").upper())
try:
    input("again? ")
except KeyboardInterrupt:
    print("interrupted")
stop.set()
thread.join()
"""


class ReadlineTest(tap.TestCase):
    group = "readline"

    def test_input(self):
        """a thread prints while input() waits, and while a line is typed"""
        terminal = Terminal("-c", PROMPT)
        terminal.expect(r"name\? ")
        for letter in "alice":
            terminal.ticks(3)
            terminal.type(letter)
        # The line can still be edited: Control-A goes to its start.
        terminal.type("\x01my \r")
        terminal.expect(r"answer: MY ALICE\r\n")
        terminal.expect(r"again\? ")
        terminal.ticks(3)
        terminal.type("\x03")
        terminal.expect(r"interrupted\r\n")
        self.assertEqual(terminal.close(), 0)

    def test_interactive(self):
        """a thread prints while the interactive interpreter waits for a line"""
        terminal = Terminal("-q", "-i", "-c", TICK)
        terminal.expect(">>> ")
        terminal.type("threading.Thread(target=tick).start()\r")
        terminal.ticks(3)
        terminal.type("print('sum', 40 + 2)\r")
        terminal.expect(r"sum 42\r\n")
        terminal.ticks(3)
        terminal.type("stop.set()\r")
        # Between the lines the terminal takes Control-D for itself.
        terminal.expect(r"(?s)stop\.set\(\).*>>> ")
        terminal.type("\x04")
        self.assertEqual(terminal.close(), 0)


if __name__ == "__main__":
    DIRECTORY = sys.argv.pop(1)
    tap.main()
