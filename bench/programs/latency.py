# How late a thread gets to run beside a CPU-bound one.  Nanoseconds, the median;
# all samples go beside it.
#
# usage: latency.py fd SAMPLES       from a byte sent by another process until
#                                    the thread that waits in recv() has it
#        latency.py sleep SAMPLES    from the end of a time.sleep()
#        latency.py queue SAMPLES    from the put() of a third thread until the
#                                    thread that waits in get() has the item
import os
import queue as queues
import random
import socket
import statistics
import struct
import sys
import threading
import time

import measure

STAMP = struct.Struct("q")


def burn():
    while True:
        for _ in range(1000):
            pass


def pauses(samples):
    # No multiple of a time slice, nor of a timer's tick.
    return [random.uniform(0.002, 0.018) for _ in range(samples)]


def send(sock, samples):
    os.sched_setaffinity(0, range(os.cpu_count()))
    for pause in pauses(samples):
        time.sleep(pause)
        sock.send(STAMP.pack(time.monotonic_ns()))


def fd(samples):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        send(theirs, samples)
        os._exit(0)

    def receive(found):
        for _ in range(samples):
            stamp, = STAMP.unpack(ours.recv(STAMP.size))
            found.append(time.monotonic_ns() - stamp)
    return receive


def sleep(samples):
    def doze(found):
        for pause in pauses(samples):
            due = time.monotonic_ns() + int(pause * 1e9)
            time.sleep(pause)
            found.append(time.monotonic_ns() - due)
    return doze


def queue(samples):
    stamps = queues.SimpleQueue()

    def put():
        for pause in pauses(samples):
            time.sleep(pause)
            stamps.put(time.monotonic_ns())

    def take(found):
        threading.Thread(target=put, daemon=True).start()
        for _ in range(samples):
            stamp = stamps.get()
            found.append(time.monotonic_ns() - stamp)
    return take


wait = {"fd": fd, "sleep": sleep, "queue": queue}[sys.argv[1]](int(sys.argv[2]))
threading.Thread(target=burn, daemon=True).start()
found = []
waiter = threading.Thread(target=wait, args=(found,))
waiter.start()
waiter.join()
measure.report(statistics.median(found), samples=found)
