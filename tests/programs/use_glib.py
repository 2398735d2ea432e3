"""Threads and GLib: run by glib.t."""

import os
import threading
import time

import tap

from gi.repository import Gio, GLib

THREADS = 8


class GLibTest(tap.TestCase):

    def run_loop(self, loop):
        """Run it until somebody quits it; one that hangs fails the test."""
        GLib.timeout_add_seconds(tap.HANGS // 2, loop.quit)
        loop.run()

    def test_tasks(self):
        "GLib's worker threads run functions of Python, beside a thread of Python"
        loop = GLib.MainLoop()
        idents, results = set(), []

        def work(task, source, data, cancellable):
            idents.add(threading.get_ident())
            time.sleep(0.01)
            task.return_int(42)

        def ready(source, task, data):
            results.append(task.propagate_int())
            if len(results) == 40:
                loop.quit()

        with self.others_run():
            for _ in range(40):
                Gio.Task.new(None, None, ready, None).run_in_thread(work)
            self.run_loop(loop)
        self.assertEqual(results, [42] * 40)
        self.assertGreater(len(idents), 1)
        self.assertNotIn(threading.get_ident(), idents)

    def test_files(self):
        "files that GLib's threads read come to the loop in the main thread"
        loop = GLib.MainLoop()
        file = Gio.File.new_for_path(os.path.abspath(__file__))
        with open(__file__, "rb") as f:
            wanted = f.read()
        contents = []

        def loaded(file, result):
            contents.append(file.load_contents_finish(result)[1])
            if len(contents) == 50:
                loop.quit()

        for _ in range(50):
            file.load_contents_async(None, loaded)
        self.run_loop(loop)
        self.assertEqual(contents, [wanted] * 50)

    def test_contexts(self):
        "each thread of Python runs a loop of its own, and the main thread another"
        def run(n):
            context = GLib.MainContext.new()
            context.push_thread_default()
            loop = GLib.MainLoop.new(context, False)
            source = GLib.timeout_source_new(2)
            idents = []

            def tick(*args):
                idents.append(threading.get_ident())
                if len(idents) == 20:
                    loop.quit()
                    return False
                return True

            source.set_callback(tick)
            source.attach(context)
            loop.run()
            context.pop_thread_default()
            return idents == [threading.get_ident()] * 20

        threads = [threading.Thread(target=lambda n=n: results.append(run(n)))
                   for n in range(THREADS)]
        results = []
        for thread in threads:
            thread.start()
        loop = GLib.MainLoop()
        GLib.timeout_add(5, lambda: len(results) < THREADS or loop.quit())
        self.run_loop(loop)
        for thread in threads:
            thread.join()
        self.assertEqual(results, [True] * THREADS)

    def test_invoke(self):
        "what a thread hands to the main thread's loop runs there"
        loop = GLib.MainLoop()
        got = []

        def received(n):
            got.append((n, threading.get_ident()))
            if len(got) == 100 * THREADS:
                loop.quit()

        def send(n):
            for i in range(100):
                GLib.idle_add(received, n * 100 + i)

        threads = [threading.Thread(target=send, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        self.run_loop(loop)
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(got), [(n, threading.get_ident())
                                       for n in range(100 * THREADS)])


if __name__ == "__main__":
    tap.main()
