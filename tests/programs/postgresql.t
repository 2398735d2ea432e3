#!/usr/bin/env -S python3 -B
"""psycopg2 and psycopg 3 in many threads, with a PostgreSQL server of its own.

usage: prove tests/programs/postgresql.t
"""

import sys

import servers


def main():
    servers.need_packages()
    with servers.postgresql() as variables:
        return servers.run_tests("use_postgresql.py", **variables)


if __name__ == "__main__":
    sys.exit(main())
