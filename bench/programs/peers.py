# What threads are compared with: the same jobs done by greenlets, gevent and
# asyncio.  Nanoseconds a round trip, or a start and end.
#
# usage: peers.py LIBRARY JOB
#
# LIBRARY is greenlet, gevent or asyncio; JOB is lock, queue or start.
import asyncio
import sys

import measure

now = measure.perf_counter


# ---- greenlet: switches, and nothing else

def greenlet_lock(n):
    from greenlet import getcurrent, greenlet

    def answer():
        switch = parent.switch
        for _ in range(n):
            switch()

    parent = getcurrent()
    switch = greenlet(answer).switch
    switch()
    start = now()
    for _ in range(n):
        switch()
    return now() - start


def greenlet_start(n):
    from greenlet import greenlet

    def nothing():
        pass

    start = now()
    for _ in range(n):
        greenlet(nothing).switch()
    return now() - start


# ---- gevent

def gevent_lock(n):
    import gevent
    from gevent.lock import Semaphore

    ping, pong = Semaphore(0), Semaphore(0)

    def answer():
        for _ in range(n):
            ping.acquire()
            pong.release()

    other = gevent.spawn(answer)
    start = now()
    for _ in range(n):
        ping.release()
        pong.acquire()
    seconds = now() - start
    other.join()
    return seconds


def gevent_queue(n):
    import gevent
    from gevent.queue import Queue

    ping, pong = Queue(), Queue()

    def answer():
        for _ in range(n):
            pong.put(ping.get())

    other = gevent.spawn(answer)
    start = now()
    for i in range(n):
        ping.put(i)
        pong.get()
    seconds = now() - start
    other.join()
    return seconds


def gevent_start(n):
    import gevent

    def nothing():
        pass

    start = now()
    for _ in range(n):
        gevent.spawn(nothing).join()
    return now() - start


# ---- asyncio

def asyncio_lock(n):
    async def main():
        ping, pong = asyncio.Semaphore(0), asyncio.Semaphore(0)

        async def answer():
            for _ in range(n):
                await ping.acquire()
                pong.release()

        other = asyncio.create_task(answer())
        start = now()
        for _ in range(n):
            ping.release()
            await pong.acquire()
        seconds = now() - start
        await other
        return seconds
    return asyncio.run(main())


def asyncio_queue(n):
    async def main():
        ping, pong = asyncio.Queue(), asyncio.Queue()

        async def answer():
            for _ in range(n):
                pong.put_nowait(await ping.get())

        other = asyncio.create_task(answer())
        start = now()
        for i in range(n):
            ping.put_nowait(i)
            await pong.get()
        seconds = now() - start
        await other
        return seconds
    return asyncio.run(main())


def asyncio_start(n):
    async def main():
        async def nothing():
            pass

        start = now()
        for _ in range(n):
            await asyncio.create_task(nothing())
        return now() - start
    return asyncio.run(main())


measure.report(measure.best(globals()["_".join(sys.argv[1:3])], at_least=100))
