#!/usr/bin/env -S python3 -B
"""WSGI servers with threads under wrk: wsgiref with ThreadingMixIn, waitress.

usage: prove tests/programs/wsgi.t
"""

import sys

import load
import servers
import wsgi_app


def main():
    servers.need_packages()
    tap = load.Tap()
    with servers.directory() as tmp:
        wsgi_app.make_files(tmp)
        for kind in ["wsgiref", "waitress"]:
            port = servers.free_port()
            with servers.server(
                    [servers.PYTHON, f"{servers.HERE}/wsgi_app.py", kind,
                     str(port), tmp],
                    lambda: servers.answers(port), env=servers.environment()):
                load.test(tap, kind, port)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
