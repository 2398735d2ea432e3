"""A WSGI server with threads, for wsgi.t, fastcgi.t and bench/programs.

usage: wsgi_app.py wsgiref|waitress PORT DIRECTORY
       wsgi_app.py fastcgi SOCKET DIRECTORY

Serves, on loopback:
  /sleep    sleeps 20 milliseconds
  /file     the content of DIRECTORY/file
  /sqlite   a sum over rows of DIRECTORY/database
  /mixed    one of these, in turn
  /meet     answers when 20 requests have come that far
  /count    JSON: "begun", how many requests were begun, and "done"; by query
            string, how many of them were done; "ticks", how often a thread
            beside the server's has slept one millisecond
"""

import collections
import contextlib
import itertools
import json
import os
import socketserver
import sqlite3
import sys
import threading
import time
import wsgiref.simple_server

THREADS = 20
ROWS = 1000


class Application:

    def __init__(self, directory):
        self.file = os.path.join(directory, "file")
        self.database = os.path.join(directory, "database")
        self.turn = itertools.cycle(["/sleep", "/file", "/sqlite"])
        self.lock = threading.Lock()
        self.served = collections.Counter()
        self.barrier = threading.Barrier(THREADS)
        threading.Thread(target=self.tick, daemon=True).start()

    def tick(self):
        while True:
            time.sleep(0.001)
            self.served["ticks"] += 1

    def sleep(self):
        time.sleep(0.02)
        return b"slept"

    def read_file(self):
        with open(self.file, "rb") as f:
            return f.read()

    def query(self):
        # A server may make a thread for each connection of a client: what is
        # kept for a thread is closed when the garbage is collected, and a
        # thousand descriptors are too many for select().
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            [[total]] = connection.execute(
                "select sum(n) from numbers where n % 10 = 3").fetchall()
        return f"sum {total}".encode()

    def meet(self):
        self.barrier.wait(60)
        return b"met"

    def answer(self, path):
        if path == "/mixed":
            with self.lock:
                path = next(self.turn)
        return {"/sleep": self.sleep, "/file": self.read_file,
                "/sqlite": self.query, "/meet": self.meet}[path]()

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/count":
            return self.reply(start_response, json.dumps(self.served).encode())
        with self.lock:
            self.served["begun"] += 1
        body = self.answer(path)
        with self.lock:
            self.served[environ.get("QUERY_STRING", "")] += 1
            self.served["done"] += 1
        return self.reply(start_response, body)

    def reply(self, start_response, body):
        start_response("200 OK", [("Content-Type", "text/plain"),
                                  ("Content-Length", str(len(body)))])
        return [body]


class ThreadingServer(socketserver.ThreadingMixIn,
                      wsgiref.simple_server.WSGIServer):
    daemon_threads = True
    # More clients than the default of 5 connect at once.
    request_queue_size = 128

    def server_bind(self):
        # Without HTTPServer's look-up of the name.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address
        self.setup_environ()


class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    def log_request(self, *args):
        pass


def main():
    kind, address, directory = sys.argv[1:]
    app = Application(directory)
    if kind == "wsgiref":
        with ThreadingServer(("127.0.0.1", int(address)), QuietHandler) as server:
            server.set_app(app)
            server.serve_forever()
    elif kind == "waitress":
        import waitress
        waitress.serve(app, host="127.0.0.1", port=int(address), threads=THREADS)
    elif kind == "fastcgi":
        import trac_fcgi
        trac_fcgi.WSGIServer(app, bindAddress=address).run()
    else:
        sys.exit(__doc__)


def make_files(directory):
    """Make what the application serves."""
    with open(os.path.join(directory, "file"), "wb") as f:
        f.write(bytes(range(256)) * 400)
    with sqlite3.connect(os.path.join(directory, "database")) as connection:
        connection.execute("create table numbers (n integer)")
        connection.executemany("insert into numbers values (?)",
                               [(n,) for n in range(ROWS)])
    connection.close()


if __name__ == "__main__":
    main()
