# A server that echoes, in threads or otherwise, and a client in a process of its
# own that keeps one request a connection on the way.  Requests a second; the
# percentiles of their latency in nanoseconds go beside it.
#
# usage: echo.py HOW CONNECTIONS SECONDS [BURNERS]
#
# HOW is threads (one a connection), asyncio or gevent; BURNERS more threads
# compute all the time.
import os
import resource
import select
import socket
import struct
import sys
import threading
import time

import measure

MESSAGE = b"x" * 64

how, connections, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
burners = int(sys.argv[4]) if len(sys.argv) > 4 else 0

limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def client(address, out):
    os.sched_setaffinity(0, range(os.cpu_count()))
    poll = select.epoll()
    socks = {}
    for _ in range(connections):
        sock = socket.create_connection(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        socks[sock.fileno()] = sock
        poll.register(sock, select.EPOLLIN)
    now = time.perf_counter_ns
    sent = {}

    def rounds(until, latencies):
        count = 0
        while now() < until:
            for fd, _ in poll.poll():
                sock = socks[fd]
                if sock.recv(100) != MESSAGE:
                    raise SystemExit("echo.py: a wrong answer")
                stop = now()
                latencies.append(stop - sent[fd])
                count += 1
                sent[fd] = stop
                sock.send(MESSAGE)
        return count

    for fd, sock in socks.items():
        sent[fd] = now()
        sock.send(MESSAGE)
    # Until every connection has its thread.
    rounds(now() + int(0.2e9 + connections * 2e5), [])
    latencies = []
    start = now()
    count = rounds(start + int(seconds * 1e9), latencies)
    rate = count / (now() - start) * 1e9
    latencies.sort()
    found = [latencies[min(int(p / 100 * len(latencies)), len(latencies) - 1)]
             if latencies else 0 for p in (50, 90, 99, 100)]
    os.write(out, struct.pack("5d", rate, *found))
    os._exit(0)


def serve_threads(listener):
    def echo(sock):
        try:
            while data := sock.recv(100):
                sock.send(data)
        except ConnectionError:
            # The client is done.
            pass

    def burn():
        while True:
            for _ in range(1000):
                pass

    def accept():
        for _ in range(connections):
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=echo, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    for _ in range(burners):
        threading.Thread(target=burn, daemon=True).start()


def serve_asyncio(listener, done):
    import asyncio

    async def echo(sock):
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(sock, 100):
                await loop.sock_sendall(sock, data)
        except ConnectionError:
            pass

    async def main():
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        stop = asyncio.Event()
        loop.add_reader(done, stop.set)
        tasks = []
        for _ in range(connections):
            sock, _ = await loop.sock_accept(listener)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tasks.append(loop.create_task(echo(sock)))
        await stop.wait()

    asyncio.run(main())


def serve_gevent(listener, done):
    import gevent
    import gevent.os
    import gevent.socket

    def echo(sock):
        try:
            while data := sock.recv(100):
                sock.send(data)
        except ConnectionError:
            pass

    listener = gevent.socket.socket(fileno=listener.detach())

    def accept():
        for _ in range(connections):
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            gevent.spawn(echo, sock)

    gevent.spawn(accept)
    gevent.socket.wait_read(done)


listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
done, out = os.pipe()
pid = os.fork()
if pid == 0:
    try:
        client(listener.getsockname(), out)
    finally:
        os._exit(1)
os.close(out)
if how == "threads":
    serve_threads(listener)
elif how == "asyncio":
    serve_asyncio(listener, done)
elif how == "gevent":
    serve_gevent(listener, done)
else:
    sys.exit("echo.py: threads, asyncio or gevent, not " + how)
found = os.read(done, 100)
if len(found) != 40:
    sys.exit("echo.py: the client failed")
rate, p50, p90, p99, most = struct.unpack("5d", found)
measure.report(rate, percentiles={"50": p50, "90": p90, "99": p99, "100": most})
