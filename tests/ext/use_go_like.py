"""Threads that call a library as Go makes them: run by tests/whole.t.

usage: use_go_like.py LIBRARY

Prints "right" if each has its own kernel thread and alternate stack in each call.
"""

import ctypes
import sys
import threading
import time

right = []
lock = threading.Lock()


def run(library, n):
    good = 0
    for _ in range(100):
        good += library.call()
        with lock:
            sum(range(1000))
        time.sleep(0.0005 * (n % 3))
    right.append(good)


# Some threads there are before the library is.
stop = threading.Event()
early = [threading.Thread(target=stop.wait) for _ in range(4)]
for thread in early:
    thread.start()
library = ctypes.CDLL(sys.argv[1])
threads = [threading.Thread(target=run, args=(library, n)) for n in range(8)]
for thread in threads:
    thread.start()
run(library, 0)
for thread in threads:
    thread.join()
stop.set()
for thread in early:
    thread.join()
print("right" if right == [100] * 9 else right)
