#!/usr/bin/env -S python3 -B
"""wrk against a WSGI server with threads: wsgiref with ThreadingMixIn.

usage: wsgi_load.py [--path /sleep|/file|/sqlite|/mixed] [--connections N]
                    [--seconds S] [--server-cpu CPU] [--client-cpu CPU] PYTHON

PYTHON runs the server, tests/programs/wsgi_app.py, where the paths are explained
(/mixed is the default).  wrk keeps 20 requests under way for 3 seconds.
--server-cpu and --client-cpu pin the two to a core.

Prints one line of JSON: requests, seconds, requests_per_second, and the latency
of a request in microseconds: p50_us, p90_us, p99_us, max_us.  Exits with 1 and a
line on stderr if a request is lost or an answer is wrong.
"""

import argparse
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../tests/programs"))
import load
import servers
import wsgi_app


def pinned(cpu):
    """The words that pin a command to a core."""
    return [] if cpu is None else [servers.need("taskset", "util-linux"),
                                   "-c", str(cpu)]


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    parser.add_argument("--path", default="/mixed")
    parser.add_argument("--connections", type=int, default=load.CONNECTIONS)
    parser.add_argument("--seconds", type=int, default=load.SECONDS)
    parser.add_argument("--server-cpu", type=int)
    parser.add_argument("--client-cpu", type=int)
    parser.add_argument("python", metavar="PYTHON")
    options = parser.parse_args()
    with servers.directory() as tmp:
        wsgi_app.make_files(tmp)
        port = servers.free_port()
        with servers.server(
                [*pinned(options.server_cpu), options.python, "-B",
                 wsgi_app.__file__, "wsgiref", str(port), tmp],
                lambda: servers.answers(port)):
            seen = load.wrk(port, options.path, options.connections,
                            options.seconds, pinned(options.client_cpu))
    errors = {kind: number for kind in
              ["connect", "read", "write", "status", "timeout", "wrong"]
              if (number := seen.pop(kind))}
    if errors:
        sys.exit(f"requests went wrong: {errors}")
    seen["requests_per_second"] = round(seen["requests"] / seen["seconds"], 1)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
