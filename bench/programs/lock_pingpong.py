# Two threads that hand control to each other through two locks: every round
# trip is two waits and two wake-ups.
import sys
import threading

N = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000

ping = threading.Lock()
pong = threading.Lock()
ping.acquire()
pong.acquire()
done = 0


def answer():
    for _ in range(N):
        ping.acquire()
        pong.release()


def ask():
    global done
    for _ in range(N):
        ping.release()
        pong.acquire()
        done += 1


threads = [threading.Thread(target=answer), threading.Thread(target=ask)]
for t in threads:
    t.start()
for t in threads:
    t.join()
if done != N:
    sys.exit(f"{done} round trips instead of {N}")
