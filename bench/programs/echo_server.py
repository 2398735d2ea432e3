"""An echo server with a thread for each of its connections, on loopback.

usage: echo_server.py [--connections N] [--seconds S] [--size BYTES]
                      [--cpu-bound N] [--server-cpu CPU] [--client-cpu CPU]
                      [--client PYTHON]

The python that runs this is the server: one thread a connection (50), each
recv() and sendall().  The client is one process of another python (python3), the
same for every server, with one thread: it keeps one message of 64 bytes under
way on each connection for 3 seconds, and checks each answer.

--cpu-bound adds N threads to the server that compute all the time.  --server-cpu
and --client-cpu pin the two to a core.

Prints one line of JSON: requests, seconds, requests_per_second, and the latency
of a request in microseconds: p50_us, p90_us, p99_us, max_us.  Exits with 1 and a
line on stderr if an answer is wrong.
"""

import argparse
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time


def receive(connection, length):
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            break
        data += piece
    return data


def client(port, options):
    selector = selectors.DefaultSelector()
    sent, messages = {}, {}
    latencies = []
    sockets = [socket.create_connection(("127.0.0.1", port))
               for _ in range(options.connections)]
    for i, s in enumerate(sockets):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        messages[s] = f"{i}:".encode().ljust(options.size, b"x")
        selector.register(s, selectors.EVENT_READ)
    # The server's threads have been started.
    sys.stdin.read()
    now = time.perf_counter
    begin = now()
    end = begin + options.seconds
    for s in sockets:
        sent[s] = now()
        s.sendall(messages[s])
    open_ = len(sockets)
    while open_:
        for key, _ in selector.select():
            s = key.fileobj
            if receive(s, options.size) != messages[s]:
                sys.exit("wrong answer")
            t = now()
            latencies.append(t - sent[s])
            if t >= end:
                selector.unregister(s)
                open_ -= 1
                continue
            sent[s] = t
            s.sendall(messages[s])
    seconds = now() - begin
    latencies.sort()

    def percentile(p):
        return round(latencies[min(len(latencies) - 1,
                                   int(len(latencies) * p))] * 1e6, 1)

    print(json.dumps({
        "requests": len(latencies), "seconds": round(seconds, 3),
        "requests_per_second": round(len(latencies) / seconds, 1),
        "p50_us": percentile(.5), "p90_us": percentile(.9),
        "p99_us": percentile(.99), "max_us": percentile(1)}))


def serve(connection, size):
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(size):
            connection.sendall(data)


def compute():
    while not done:
        pass


def server(options):
    global done
    done = False
    with socket.create_server(("127.0.0.1", 0), backlog=options.connections) as s:
        command = [options.client, os.path.abspath(__file__), *sys.argv[1:],
                   "--port", str(s.getsockname()[1])]
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        threads = [threading.Thread(target=compute)
                   for _ in range(options.cpu_bound)]
        # A client that cannot run does not connect.
        s.settimeout(30)
        try:
            for _ in range(options.connections):
                connection, _ = s.accept()
                threads.append(threading.Thread(target=serve,
                                                args=(connection, options.size)))
        except TimeoutError:
            process.kill()
            sys.exit(f"{options.client} does not connect")
        for thread in threads:
            thread.start()
        process.stdin.close()
        status = process.wait()
        done = True
        for thread in threads:
            thread.join()
    return status


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--cpu-bound", type=int, default=0)
    parser.add_argument("--server-cpu", type=int)
    parser.add_argument("--client-cpu", type=int)
    parser.add_argument("--client", default="python3")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    cpu = options.client_cpu if options.port else options.server_cpu
    if cpu is not None:
        os.sched_setaffinity(0, [cpu])
    if options.port:
        return client(options.port, options)
    return server(options)


if __name__ == "__main__":
    sys.exit(main())
