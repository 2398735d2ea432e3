"""Threads and a C++ module: run by pybind11.t, which compiles it."""

import threading
import time

import tap

import pybind11_threads as cpp

THREADS = 8


class Pybind11Test(tap.TestCase):

    def check_in_threads(self, check):
        """check(n) is true in each of the threads."""
        self.assertEqual(tap.run_threads([lambda n=n: check(n)
                                          for n in range(THREADS)]),
                         [True] * THREADS)

    def test_callbacks(self):
        "threads of C++ call Python, beside threads of Python that do the same"
        names = set()

        def call(thread, i):
            names.add(threading.current_thread().name)
            if i % 10 == 0:
                time.sleep(0.001)
            return i

        with self.others_run():
            sums = tap.run_threads(
                [lambda: cpp.call_from_threads(call, 4, 200)] * 4)
        self.assertEqual(sums, [4 * sum(range(200))] * 4)
        # Each is a thread of its own for Python, too.
        self.assertGreater(len(names), 4)

    def test_callbacks_that_raise(self):
        "what a callback raises in a thread of C++ comes to its caller"
        def check(n):
            def call(thread, i):
                if i == 5:
                    raise LookupError(n)
                return 0
            for _ in range(20):
                with self.assertRaises(LookupError) as caught:
                    cpp.call_from_threads(call, 3, 10)
                self.assertEqual(caught.exception.args, (n,))
            return True

        self.check_in_threads(check)

    def test_tasks_that_throw(self):
        "what a task of std::async() throws comes to its caller"
        def check(n):
            for i in range(50):
                with self.assertRaises(RuntimeError) as caught:
                    cpp.throw_in_task(f"{n} {i}")
                self.assertEqual(str(caught.exception), f"{n} {i}")
            return True

        self.check_in_threads(check)

    def test_exceptions_of_several_threads(self):
        "each thread handles its own exception while others handle theirs"
        def check(n):
            for i in range(20):
                said = f"{n} {i}"
                self.assertEqual(cpp.while_caught(lambda: said), [said] * 3)
            return True

        self.check_in_threads(check)

    def test_thread_locals(self):
        "each thread has its thread_local, which is destroyed with it"
        begun, ended = cpp.locals()

        def check():
            for i in range(1, 20):
                self.assertEqual(cpp.count(), i)
                time.sleep(0.0005)
            return True

        for round in range(1, 4):
            self.assertEqual(tap.run_threads([check] * THREADS),
                             [True] * THREADS)
            self.assertEqual(cpp.locals(), (begun + THREADS * round,
                                            ended + THREADS * round))

    def test_condition_variables(self):
        "threads of Python hand a turn on by a condition variable of C++"
        order = []

        def take(n):
            for _ in range(100):
                cpp.take_turn(n, THREADS)
                order.append(n)

        with self.others_run():
            tap.run_threads([lambda n=n: take(n) for n in range(THREADS)])
            time.sleep(0.05)
        self.assertEqual(sorted(order), sorted(list(range(THREADS)) * 100))


if __name__ == "__main__":
    tap.main()
