# A thread that puts items into a queue.Queue, and one that takes them out.
import queue
import sys
import threading

N = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000

items = queue.Queue(maxsize=100)
total = 0


def produce():
    for i in range(N):
        items.put(i)


def consume():
    global total
    for _ in range(N):
        total += items.get()


threads = [threading.Thread(target=produce), threading.Thread(target=consume)]
for t in threads:
    t.start()
for t in threads:
    t.join()
if total != N * (N - 1) // 2:
    sys.exit("items were lost")
