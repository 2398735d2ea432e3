"""What use_blocking.py, use_threadapi.py and use_whole.py share."""

import threading


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
