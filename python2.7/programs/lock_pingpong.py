# Two threads that hand a lock to each other: every round trip is two waits and
# two wake-ups.
import sys
import threading

N = 20000

ping = threading.Lock()
pong = threading.Lock()
ping.acquire()
pong.acquire()
done = []


def answer():
    for _ in xrange(N):
        ping.acquire()
        pong.release()


def ask():
    for _ in xrange(N):
        ping.release()
        pong.acquire()
    done.append(N)


threads = [threading.Thread(target=answer), threading.Thread(target=ask)]
for t in threads:
    t.start()
for t in threads:
    t.join()
if done != [N]:
    sys.exit("not all round trips were made")
