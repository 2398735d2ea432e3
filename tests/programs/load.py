"""wrk against a server that runs wsgi_app.py, for wsgi.t and fastcgi.t."""

import http.client
import json
import os
import subprocess
import sys
import threading
import time

import servers
import wsgi_app

SECONDS = 3
CONNECTIONS = wsgi_app.THREADS


class Tap:
    """TAP on stdout."""

    def __init__(self):
        self.number = self.failed = 0

    def ok(self, good, name, detail=""):
        self.number += 1
        self.failed += not good
        print("ok" if good else "not ok", self.number, "-", name, flush=True)
        if detail and not good:
            # prove shows what goes there.
            print("#", detail, file=sys.stderr, flush=True)

    def note(self, text):
        print("#", text, flush=True)

    def finish(self):
        print(f"1..{self.number}", flush=True)
        return self.failed > 0


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port,
                                            timeout=servers.STARTS)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def count(port):
    """What the server has counted, when all that it has begun is done."""
    deadline = time.monotonic() + servers.STARTS
    while True:
        status, body = get(port, "/count")
        counted = json.loads(body)
        if counted.get("begun") == counted.get("done"):
            return counted
        if time.monotonic() > deadline:
            sys.exit(f"some requests never end: {counted}")
        time.sleep(0.05)


def wrk(port, path, connections=CONNECTIONS, seconds=SECONDS, before=()):
    """Run wrk, with the words `before` ahead of its command; return what
    check.lua has counted."""
    result = subprocess.run(
        [*before, servers.need("wrk", "wrk"), "-t", "1", "-c", str(connections),
         "-d", f"{seconds}s", "--timeout", f"{servers.STARTS}s",
         "-s", os.path.join(servers.HERE, "check.lua"),
         f"http://127.0.0.1:{port}{path}"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        sys.exit(f"wrk fails: {result.stdout}{result.stderr}")
    return json.loads(result.stderr)


def meet(port, rounds):
    """As many threads as the server has, which have to be in it at once."""
    statuses = []

    def ask():
        for _ in range(rounds):
            statuses.append(get(port, "/meet"))

    threads = [threading.Thread(target=ask) for _ in range(wsgi_app.THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def test(tap, name, port):
    """Test the server that listens on the port."""
    rounds = 10
    got = meet(port, rounds)
    tap.ok(got == [(200, b"met")] * (rounds * wsgi_app.THREADS),
           f"{name}: {wsgi_app.THREADS} requests are in the application at once",
           str([x for x in got if x != (200, b"met")][:3]))
    for path in ["/sleep", "/file", "/sqlite", "/mixed"]:
        before = count(port)
        # Requests that wrk has left behind may begin at any later time, so each
        # run's have a name.
        run = f"run={path[1:]}"
        seen = wrk(port, f"{path}?{run}")
        after = count(port)
        tap.note(f"{name} {path}: {seen['requests']} requests in "
                 f"{seen['seconds']:.1f} s, median {seen['p50_us'] / 1000} ms, "
                 f"longest {seen['max_us'] / 1000} ms")
        errors = {kind: seen[kind] for kind in
                  ["connect", "read", "write", "status", "timeout", "wrong"]}
        tap.ok(seen["requests"] > 0 and not any(errors.values()),
               f"{name} {path}: all answers are right, no error", str(errors))
        # wrk ends while its last requests are on their way, one a connection.
        served = after.get(run, 0)
        tap.ok(seen["requests"] == seen["answers"]
               and 0 <= served - seen["answers"] <= CONNECTIONS,
               f"{name} {path}: the server's count of requests agrees",
               f"served {served}, {seen}")
        tap.ok(after["ticks"] - before["ticks"] > 5,
               f"{name} {path}: another thread makes progress")
