"""What use_blocking.py, use_threadapi.py and use_whole.py share."""

import signal
import threading


def block_signals(test, *signals):
    """Block them as long as the test runs."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    test.addCleanup(signal.pthread_sigmask, signal.SIG_SETMASK, old)


def in_threads(function, count):
    """Call function(i) in that many threads, and return what they returned."""
    results = [None] * count

    def run(i):
        results[i] = function(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results
