# Two threads that hand control to each other, beside threads that are blocked.
# Nanoseconds a round trip: each of the two waits once and is woken once.
#
# usage: handoff.py KIND [BLOCKED [HOW]]
#
# KIND is one of the classes below; BLOCKED threads wait for a lock, sleep, are in
# recv(), or compute, as HOW says: lock, sleep, recv, compute.
import queue
import sys
import threading

import blocked
import measure


class Lock:
    def __init__(self):
        self.ping = threading.Lock()
        self.pong = threading.Lock()
        self.ping.acquire()
        self.pong.acquire()

    def ask(self, n):
        release, acquire = self.ping.release, self.pong.acquire
        for _ in range(n):
            release()
            acquire()

    def answer(self, n):
        acquire, release = self.ping.acquire, self.pong.release
        for _ in range(n):
            acquire()
            release()


class SimpleQueue:
    new = queue.SimpleQueue

    def __init__(self):
        self.ping = self.new()
        self.pong = self.new()

    def ask(self, n):
        put, get = self.ping.put, self.pong.get
        for i in range(n):
            put(i)
            get()

    def answer(self, n):
        get, put = self.ping.get, self.pong.put
        for _ in range(n):
            put(get())


class Queue(SimpleQueue):
    new = queue.Queue


class Condition:
    def __init__(self):
        self.condition = threading.Condition()
        self.turn = 0

    def play(self, n, mine):
        condition, other = self.condition, 1 - mine
        for _ in range(n):
            with condition:
                while self.turn != mine:
                    condition.wait()
                self.turn = other
                condition.notify()

    def ask(self, n):
        self.play(n, 0)
        with self.condition:
            while self.turn != 0:
                self.condition.wait()

    def answer(self, n):
        self.play(n, 1)


class Event:
    def __init__(self):
        self.ping = threading.Event()
        self.pong = threading.Event()

    def ask(self, n):
        ping, pong = self.ping, self.pong
        for _ in range(n):
            ping.set()
            pong.wait()
            pong.clear()

    def answer(self, n):
        ping, pong = self.ping, self.pong
        for _ in range(n):
            ping.wait()
            ping.clear()
            pong.set()


class Semaphore:
    def __init__(self):
        self.ping = threading.Semaphore(0)
        self.pong = threading.Semaphore(0)

    ask, answer = Lock.ask, Lock.answer


class Barrier:
    # Two meetings, so that each waits about once.
    def __init__(self):
        self.barrier = threading.Barrier(2)

    def ask(self, n):
        wait = self.barrier.wait
        for _ in range(n):
            wait()
            wait()

    answer = ask


def round_trips(game, n):
    thread = threading.Thread(target=game.answer, args=(n + 1,), daemon=True)
    thread.start()
    # The first one waits until the other thread has come so far.
    game.ask(1)
    start = measure.perf_counter()
    game.ask(n)
    seconds = measure.perf_counter() - start
    thread.join()
    return seconds


KINDS = {"lock": Lock, "simplequeue": SimpleQueue, "queue": Queue,
         "condition": Condition, "event": Event, "semaphore": Semaphore,
         "barrier": Barrier}

kind = KINDS[sys.argv[1]]
blocked.start(*sys.argv[2:])
measure.report(measure.best(lambda n: round_trips(kind(), n), at_least=100))
