#!/usr/bin/env python3
"""The test files of CPython that have to do with threads pass on the pth build.

The whole test suite takes longer: `make regrtest` compares it with stock's.
"""

import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = os.environ.get("PTH_PYTHON", os.path.join(TOP, "build/pth/python"))

# test_thread_local_bytecode, test_external_inspection and test_profiling came after
# 3.13.
FILES = """
    test_pth test_pth_syscalls test_thread test_threading test_threading_local test_queue
    test_thread_local_bytecode test_threadedtempfile test_threadsignals
    test_capi test_concurrent_futures test_asyncio test_sqlite3 test_io
    test_import test_importlib test_sys test_signal test_fork1 test_wait3
    test_wait4 test_select test_poll test_epoll test_selectors test_subprocess
    test_socketserver test_faulthandler test_time test_os test_posix
    test_context test_contextlib test_interpreters test__interpreters
    test_external_inspection test_profiling
    test_embed test_logging test_sched test_smtpd test_ssl test_httpservers
""".split()


def main():
    library = os.path.join(os.path.dirname(PYTHON), "Lib", "test")
    files = [name for name in FILES
             if os.path.exists(os.path.join(library, name + ".py"))
             or os.path.isdir(os.path.join(library, name))]
    if not files:
        sys.exit(f"{PYTHON} has no test suite: run 'make build' first")
    # A limit on tests that hang, no measure of speed.
    command = [PYTHON, "-m", "test", "-j2", "--timeout", "600",
               "-u", "all,-network,-gui,-largefile,-audio,-cpu", *files]
    result = subprocess.run(command, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, errors="replace")
    # "0:00:10 load avg: 0.10 [ 3/52/1] test_queue passed"
    outcome = re.findall(r"\[ *\d+/\d+(?:/\d+)?\] (?:test\.)?(\S+) "
                         r"(passed|skipped|.*)", result.stdout)
    number = failed = 0
    for name, words in outcome:
        number += 1
        if words.startswith("passed"):
            print(f"ok {number} - {name}")
        elif words.startswith(("skipped", "run no tests")):
            reason = re.search(rf"^{re.escape(name)} skipped -- (.*)",
                               result.stdout, re.M)
            print(f"ok {number} - {name} # SKIP",
                  reason[1] if reason else words)
        else:
            failed += 1
            print(f"not ok {number} - {name}: {words}")
    number += 1
    good = result.returncode == 0 and failed == 0 and len(outcome) >= len(files)
    print("ok" if good else "not ok", number, "- all of these files were run")
    if not good:
        failed += 1
        print(result.stdout, file=sys.stderr)
    print(f"1..{number}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
