#!/usr/bin/env -S python3 -B
"""psycopg2 2.8 in threads of Python 2.7, with a PostgreSQL server of its own.

usage: prove tests/programs/python27.t

PSYCOPG2=TREE names an unpacked psycopg2 2.8, where Debian's archive has none.
"""

import os
import subprocess
import sys

import servers

PYTHON27 = os.path.join(servers.BUILD, "python2.7-pth/python")
PACKAGES27 = os.path.join(servers.BUILD, "programs/python2.7")


def main():
    for command in [["build-python27"],
                    ["get-programs27", *(["--from", os.environ["PSYCOPG2"]]
                                         if "PSYCOPG2" in os.environ else []),
                     PYTHON27, PACKAGES27]]:
        tool = os.path.join(servers.TOP, "tools", command[0])
        result = subprocess.run([tool, *command[1:]], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True)
        if "the Debian archive gives no" in result.stderr:
            print("1..0 # SKIP", result.stderr.strip().splitlines()[-1])
            return 0
        if result.returncode != 0:
            sys.exit(result.stderr)
    with servers.postgresql() as variables:
        return subprocess.run(
            [PYTHON27, "-s", "-B",
             os.path.join(servers.HERE, "use_python27.py")],
            stdin=subprocess.DEVNULL, timeout=servers.RUNS,
            env=dict(os.environ, PYTHONPATH=PACKAGES27) | variables).returncode


if __name__ == "__main__":
    sys.exit(main())
