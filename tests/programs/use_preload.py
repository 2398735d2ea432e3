"""Threads of a program that runs with a preloaded library, for preload.t.

usage: python use_preload.py TEST...

Runs the TESTs, which say what holds with the library and any threads: on stock
CPython, too.
"""

import datetime
import os
import queue
import select
import socket
import subprocess
import threading
import time

import tap


class HandOffTest(tap.TestCase):
    """Threads wait for each other, for time and for descriptors."""

    def test_queue(self):
        """ten threads hand 2,000 items to ten others"""
        items = queue.Queue(5)
        taken = tap.run_threads(
            10 * [lambda: [items.put(i) for i in range(200)]]
            + 10 * [lambda: [items.get() for _ in range(200)]])
        self.assertEqual(sum(map(sum, filter(any, taken[10:]))),
                         10 * sum(range(200)))

    def test_sleep(self):
        """others run while a thread sleeps"""
        with self.others_run():
            time.sleep(0.1)

    def test_timeouts(self):
        """waits for locks, events and descriptors end in time"""
        lock = threading.Lock()
        lock.acquire()
        r, w = os.pipe()
        with tap.Ticks():
            self.assertEqual(tap.run_threads([
                lambda: lock.acquire(timeout=0.05),
                lambda: threading.Event().wait(0.05),
                lambda: select.select([r], [], [], 0.05),
                lambda: select.poll().poll(50),
            ]), [False, False, ([], [], []), []])
        os.close(r)
        os.close(w)

    def test_sockets(self):
        """twenty connections are served by threads"""
        with socket.create_server(("127.0.0.1", 0)) as server:
            def serve():
                with server.accept()[0] as s:
                    while data := s.recv(10000):
                        s.sendall(data)

            def ask():
                data = os.urandom(100_000)
                with socket.create_connection(server.getsockname()) as s:
                    sender = threading.Thread(
                        target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
                    sender.start()
                    got = b"".join(iter(lambda: s.recv(10000), b""))
                    sender.join()
                return got == data

            self.assertEqual(tap.run_threads(20 * [serve] + 20 * [ask])[20:],
                             20 * [True])

    def test_children(self):
        """twenty threads run a command each"""
        self.assertEqual(
            tap.run_threads(20 * [lambda: subprocess.run(
                ["echo", "x"], stdout=subprocess.PIPE).stdout]), 20 * [b"x\n"])


class ClockTest(tap.TestCase):
    """With FAKETIME=-1000d."""

    def test_date(self):
        """each thread sees the date of the library"""
        real = datetime.datetime.fromtimestamp(os.stat("/proc/self/fd").st_ctime)
        days = tap.run_threads(
            20 * [lambda: round((real - datetime.datetime.now()).total_seconds()
                                / 86400)])
        self.assertEqual(days, 20 * [1000])

    def test_date_after_waits(self):
        """and does so after it has waited for others"""
        turn = threading.Event()
        waiters = [lambda: (turn.wait(), datetime.datetime.now())[1]] * 20
        dates = tap.run_threads(waiters + [turn.set])[:20]
        self.assertLess(max(dates) - min(dates), datetime.timedelta(1))


class ProxyTest(tap.TestCase):
    """With proxychains, whose server (SOCKS 5) is preload.t, which answers itself."""

    def test_connections(self):
        """twenty threads talk to an address that only the proxy knows"""
        def ask(i):
            with socket.create_connection(("192.0.2.1", 1000 + i)) as s:
                s.sendall(b"from %d" % i)
                s.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: s.recv(100), b""))

        with self.others_run():
            answers = tap.run_threads([lambda i=i: ask(i) for i in range(20)])
        self.assertEqual(answers, [b"port %d: from %d" % (1000 + i, i)
                                   for i in range(20)])


class MemoryTest(tap.TestCase):
    """With jemalloc."""

    def test_allocations(self):
        """what one thread allocates others free"""
        blocks = queue.SimpleQueue()

        def make():
            for i in range(2000):
                blocks.put(bytearray(i))

        def drop():
            return sum(len(blocks.get()) for _ in range(2000))

        sizes = tap.run_threads(8 * [make] + 8 * [drop])[8:]
        self.assertEqual(sum(sizes), 8 * sum(range(2000)))

    def test_it_is_used(self):
        """malloc() is the library's"""
        with open("/proc/self/maps") as f:
            self.assertIn("libjemalloc", f.read())


if __name__ == "__main__":
    tap.main()
