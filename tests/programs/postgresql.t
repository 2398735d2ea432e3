#!/usr/bin/env -S python3 -B
"""psycopg2 and psycopg 3 in many threads, with a PostgreSQL server of its own.

usage: prove tests/programs/postgresql.t
"""

import os
import subprocess
import sys

import servers


def main():
    servers.need_packages()
    bin = subprocess.run([servers.need("pg_config", "libpq-dev"), "--bindir"],
                         check=True, capture_output=True, text=True).stdout.strip()
    postgres = servers.need(f"{bin}/postgres", "postgresql")
    port = servers.free_port()
    # It refuses to run as root.
    with servers.directory(owner="postgres") as tmp:
        user = "postgres" if os.getuid() == 0 else None
        result = subprocess.run(
            [f"{bin}/initdb", "-D", f"{tmp}/data", "-U", "postgres",
             "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"],
            cwd=tmp, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            user=user, group=user, extra_groups=user and [])
        if result.returncode != 0:
            sys.exit(f"initdb fails: {result.stderr}")

        def ready():
            return subprocess.run(
                [f"{bin}/pg_isready", "-q", "-h", tmp, "-p", str(port)],
                stdin=subprocess.DEVNULL).returncode == 0

        # SIGINT: PostgreSQL's fast shutdown.
        with servers.server(
                [postgres, "-D", f"{tmp}/data", "-k", tmp, "-h", "127.0.0.1",
                 "-p", str(port), "-c", "fsync=off", "-c", "max_connections=80"],
                ready, user="postgres", stop=servers.signal.SIGINT, cwd=tmp):
            return servers.run_tests("use_postgresql.py", PGHOST=tmp,
                                     PGPORT=str(port), PGUSER="postgres",
                                     PGDATABASE="postgres")


if __name__ == "__main__":
    sys.exit(main())
