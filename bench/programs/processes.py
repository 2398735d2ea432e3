# Processes that start and end.
#
# usage: processes.py fork        nanoseconds a child of os.fork() that ends at once
#        processes.py fork N      the same beside N blocked threads
#        processes.py run         nanoseconds a subprocess.run() of /bin/true
#        processes.py python      nanoseconds a run of this python without a program
import os
import subprocess
import sys
import warnings

import blocked
import measure


def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def run():
    subprocess.run(["/bin/true"])


def python():
    os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", ""],
                              os.environ), 0)


processes = {"fork": fork, "run": run, "python": python}
what = sys.argv[1]
if what not in processes:
    sys.exit("processes.py: " + what + "?")
if len(sys.argv) > 2:
    blocked.start(sys.argv[2])
    warnings.simplefilter("ignore", DeprecationWarning)


def operate(n):
    process = processes[what]
    start = measure.perf_counter()
    for _ in range(n):
        process()
    return measure.perf_counter() - start


measure.report(measure.best(operate, at_least=5))
