#!/usr/bin/env -S python3 -B
"""Preloaded libraries that define what Python calls: they see the calls, and
threads run as ever.

usage: prove tests/programs/preload.t

libfaketime (the clock), proxychains (connections), jemalloc (memory),
each with stock CPython first.
"""

import glob
import os
import socketserver
import struct
import subprocess
import sys
import threading
import time

import load
import servers

STOCK = os.environ.get("STOCK_PYTHON", os.path.join(servers.BUILD, "stock/python"))


def library(pattern, package):
    """Where a package of the distribution has a library."""
    found = glob.glob(f"/usr/lib/*/{pattern}")
    if not found:
        sys.exit(f"{pattern} is missing: install the package {package}, "
                 f"or run 'tools/install-deps programs'")
    return found[0]


class Proxy(socketserver.StreamRequestHandler):
    """SOCKS 5 (RFC 1928) for one connection, which it answers itself."""

    def handle(self):
        version, methods = self.rfile.read(2)
        self.rfile.read(methods)
        self.wfile.write(b"\5\0")                # no authentication
        _, command, _, kind, *_ = request = self.rfile.read(10)
        port, = struct.unpack("!H", request[8:])
        if (version, command, kind) != (5, 1, 1):
            sys.exit(f"the proxy got another request: {request}")
        self.wfile.write(b"\5\0\0" + request[3:])
        said = self.rfile.read()
        # What others_run() in use_preload.py needs to see them run.
        time.sleep(0.1)
        self.wfile.write(b"port %d: " % port + said)


def run(tap, name, python, preload, tests, env):
    environment = dict(os.environ, LD_PRELOAD=preload, PYTHONPATH=servers.HERE,
                       **env)
    program = subprocess.run(
        [python, "-B", f"{servers.HERE}/use_preload.py", *tests],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=servers.RUNS)
    passed = [line for line in program.stdout.splitlines()
              if line.startswith("ok ")]
    tap.ok(program.returncode == 0 and len(passed) > 0,
           f"{name}: {len(passed)} tests pass",
           f"exit status {program.returncode}\n{program.stdout}")


def main():
    for python in servers.PYTHON, STOCK:
        if not os.path.exists(python):
            sys.exit(f"there is no {python}: run 'make programs'")
    faketime = library("faketime/libfaketimeMT.so.1", "libfaketime")
    proxychains = library("libproxychains.so.4", "libproxychains4")
    jemalloc = library("libjemalloc.so.2", "libjemalloc2")
    tap = load.Tap()
    with (servers.directory() as tmp,
          socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as proxy):
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        with open(f"{tmp}/proxychains.conf", "w") as f:
            f.write("strict_chain\nquiet_mode\n"
                    "localnet 127.0.0.0/255.0.0.0\n"
                    f"[ProxyList]\nsocks5 127.0.0.1 {proxy.server_address[1]}\n")
        for name, python in ("stock", STOCK), ("pth", servers.PYTHON):
            # On stock, time.sleep() fails with it, and waits with time limits
            # may never end.
            run(tap, f"{name} with libfaketime", python, faketime,
                ["ClockTest"], {"FAKETIME": "-1000d"})
            run(tap, f"{name} with proxychains", python, proxychains,
                ["HandOffTest", "ProxyTest"],
                {"PROXYCHAINS_CONF_FILE": f"{tmp}/proxychains.conf"})
            run(tap, f"{name} with jemalloc", python, jemalloc,
                ["HandOffTest", "MemoryTest"], {})
        proxy.shutdown()
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
