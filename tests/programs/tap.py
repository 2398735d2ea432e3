"""unittest with TAP on stdout, as prove(1) reads it; and what these tests share.

Python 3.11 or newer; the programs that import it run on stock's python, too.
"""

import contextlib
import faulthandler
import threading
import time
import traceback
import unittest

# A guard against a test that hangs, no measure of speed: seconds for one test.
HANGS = 300


class TapResult(unittest.TestResult):

    def startTest(self, test):
        super().startTest(test)
        # Where the threads are goes to stderr, and the process ends.
        faulthandler.dump_traceback_later(HANGS, exit=True)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)

    def say(self, good, test, more=""):
        name = test.shortDescription() or test.id()
        group = getattr(test, "group", None)
        print("ok" if good else "not ok", self.testsRun, "-",
              f"{group}: {name}{more}" if group else name + more, flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.say(True, test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.say(True, test, f" # SKIP {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.say(False, test)
        for line in "".join(traceback.format_exception(*err)).splitlines():
            note(line)

    addError = addFailure


def note(text):
    """An explanation for the reader."""
    print("#", text, flush=True)


def main():
    """Run the tests of the calling program.  Exits 0 if all pass."""
    class Runner:
        def run(self, tests):
            result = TapResult()
            tests(result)
            print(f"1..{result.testsRun}", flush=True)
            return result

    unittest.main(module="__main__", testRunner=Runner())


def run_threads(functions):
    """Run each function in a thread of its own.  Return the results in order;
    raises what the first of them raised."""
    results = [None] * len(functions)
    errors = []

    def run(i, function):
        try:
            results[i] = function()
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=run, args=args)
               for args in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def wait_until(condition, what):
    """Wait until condition() is true; of others the result is returned."""
    deadline = time.monotonic() + HANGS / 5
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for: {what}")
        time.sleep(0.005)
    return value


class Ticks:
    """A thread that sleeps and counts: another thread's progress."""

    def __init__(self):
        self.count = 0
        self.stop = False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop:
            time.sleep(0.001)
            self.count += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.stop = True
        self.thread.join()


class TestCase(unittest.TestCase):

    @contextlib.contextmanager
    def others_run(self):
        """Another thread makes progress during the with statement, which has to
        block for 50 milliseconds at least."""
        with Ticks() as ticks:
            before = ticks.count
            yield
            after = ticks.count
        self.assertGreater(after - before, 5)
