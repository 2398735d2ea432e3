#!/usr/bin/env -S python3 -B
"""greenlet's own tests, and those of gevent's that are about threads.

usage: prove tests/programs/greenlets.t

greenlet switches stacks below Python; gevent has threads of its own, and patches
Python's.  The modules are Debian 13's: elsewhere there is nothing to test.
"""

import os
import subprocess
import sys

import load
import servers

# gevent's names of its test files.
FILES = """
test___monitor test__event test__hub_join test__local test__lock
test__monkey_hub_in_thread test__monkey_queue test__queue test__semaphore
test__thread test__threading test__threading_2 test__threading_before_monkey
test__threading_fork_from_dummy test__threading_holding_lock_while_monkey
test__threading_monkey_in_thread test__threading_native_before_monkey
test__threading_no_monkey test__threading_patched_local
test__threading_vs_settrace test__threadpool test__threadpool_executor_patched
""".split()


def main():
    servers.need_packages()
    if not os.path.exists(f"{servers.PACKAGES}/greenlet"):
        print("1..0 # SKIP Debian 13's greenlet needs its C and C++ libraries")
        return 0
    environment = servers.environment()
    environment["LD_LIBRARY_PATH"] = f"{servers.PACKAGES}/lib"
    tap = load.Tap()
    for name, command in [
            ("greenlet's tests",
             ["-m", "unittest", "discover", "-t", servers.PACKAGES,
              "-s", f"{servers.PACKAGES}/greenlet/tests"]),
            ("gevent's tests of threads",
             ["-m", "gevent.tests", "--quiet", "-j", "1",
              "-u-network,-subprocess", *[f"{name}.py" for name in FILES]])]:
        with servers.directory() as tmp:
            try:
                result = subprocess.run(
                    [servers.PYTHON, *command], cwd=tmp, env=environment,
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, text=True, errors="replace",
                    timeout=servers.RUNS)
                output, status = result.stdout, result.returncode
            except subprocess.TimeoutExpired as e:
                output, status = f"{e.stdout}", "none: it does not end"
        lines = [line for line in output.splitlines()
                 if line.lstrip("\033[0123456789m").startswith("Ran ")]
        tap.note(f"{name}: {lines[-1] if lines else 'none was run'}")
        tap.ok(status == 0 and lines, f"{name} pass",
               f"exit status {status}: {output[-3000:]}")
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
