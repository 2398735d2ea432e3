"""Use the extension module threadapi.c from Python threads, for tests/abi.t.

usage: python use_threadapi.py abi_full|abi_limited

The directory of the module is in PYTHONPATH.  Exits 0 if all is well.
"""

import importlib
import sys
import threading
import time
import unittest

from shared import in_threads

ext = importlib.import_module(sys.argv.pop())


class Lock(unittest.TestCase):

    def test_exclusion(self):
        lock = ext.lock_new()
        inside = 0

        def count(i):
            nonlocal inside
            for _ in range(20):
                self.assertTrue(ext.lock_acquire(lock, -1))
                inside += 1
                self.assertEqual(inside, 1)
                time.sleep(0)
                inside -= 1
                ext.lock_release(lock)
            return True

        self.assertEqual(in_threads(count, 10), [True] * 10)

    def test_timeout(self):
        lock = ext.lock_new()
        self.assertTrue(ext.lock_acquire(lock, 0))
        self.assertFalse(ext.lock_acquire(lock, 0))
        start = time.monotonic()
        self.assertFalse(ext.lock_acquire(lock, 50_000))
        self.assertGreaterEqual(time.monotonic() - start, 0.05)
        ext.lock_release(lock)

    def test_release_by_another_thread(self):
        lock = ext.lock_new()
        self.assertTrue(ext.lock_acquire(lock, -1))
        waiter = threading.Thread(target=ext.lock_acquire, args=(lock, -1))
        waiter.start()
        ext.lock_release(lock)
        waiter.join()
        self.assertFalse(ext.lock_acquire(lock, 0))
        ext.lock_release(lock)


class Storage(unittest.TestCase):

    def test_each_thread_has_its_own(self):
        ext.tss_set(99)

        def own(i):
            before = ext.tss_get()
            ext.tss_set(i + 1)
            for _ in range(20):
                time.sleep(0)
                if ext.tss_get() != i + 1:
                    return False
            return before == 0

        self.assertEqual(in_threads(own, 10), [True] * 10)
        self.assertEqual(ext.tss_get(), 99)


class GILState(unittest.TestCase):

    def test_here(self):
        calls = []
        ext.call_with_gil(lambda: calls.append(1))
        self.assertEqual(calls, [1])

    def test_in_python_threads(self):
        def run(i):
            calls = []
            ext.call_with_gil(lambda: calls.append(i))
            return calls == [i]

        self.assertEqual(in_threads(run, 10), [True] * 10)

    def test_in_a_thread_of_c(self):
        done = threading.Semaphore(0)
        idents = []

        def called():
            idents.append((ext.ident(), threading.get_ident()))
            time.sleep(0)
            done.release()

        for _ in range(10):
            ext.call_in_thread(called)
        for _ in range(10):
            done.acquire()
        self.assertEqual(len(idents), 10)
        for in_c, in_python in idents:
            self.assertEqual(in_c, in_python)
            self.assertNotEqual(in_c, threading.get_ident())


class Ident(unittest.TestCase):

    def test_same_in_c_and_python(self):
        self.assertEqual(ext.ident(), threading.get_ident())
        self.assertEqual(ext.native_id(), threading.get_native_id())
        barrier = threading.Barrier(10)

        def ids(i):
            # All at once, so that none is used again.
            barrier.wait()
            mine = ext.ident(), ext.native_id()
            barrier.wait()
            return mine if mine == (threading.get_ident(),
                                    threading.get_native_id()) else None

        found = in_threads(ids, 10)
        self.assertNotIn(None, found)
        for part in zip(*found):
            self.assertEqual(len(set(part)), 10)


@unittest.skipUnless(hasattr(ext, 'mutex_lock'),
                     'PyMutex is not in the limited API')
class Mutex(unittest.TestCase):

    def test_exclusion(self):
        inside = 0

        def count(i):
            nonlocal inside
            for _ in range(20):
                ext.mutex_lock()
                inside += 1
                self.assertEqual(inside, 1)
                time.sleep(0)
                inside -= 1
                ext.mutex_unlock()
            return True

        self.assertEqual(in_threads(count, 10), [True] * 10)


if __name__ == '__main__':
    unittest.main()
