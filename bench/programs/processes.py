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
    return pid


def python():
    return os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", ""],
                          os.environ)


def times(begin):
    def operate(n):
        start = measure.perf_counter()
        for _ in range(n):
            os.waitpid(begin(), 0)
        return measure.perf_counter() - start
    return operate


def run(n):
    start = measure.perf_counter()
    for _ in range(n):
        subprocess.run(["/bin/true"])
    return measure.perf_counter() - start


what = sys.argv[1]
if what == "fork":
    if len(sys.argv) > 2:
        blocked.start(sys.argv[2])
        warnings.simplefilter("ignore", DeprecationWarning)
    operate = times(fork)
elif what == "python":
    operate = times(python)
elif what == "run":
    operate = run
else:
    sys.exit("processes.py: " + what + "?")
measure.report(measure.best(operate, at_least=5))
