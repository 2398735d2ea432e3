"""Threads and gRPC: run by grpc.t."""

import threading
import time
from concurrent import futures

import grpc

import tap

THREADS = 8


class Service(grpc.GenericRpcHandler):

    def service(self, details):
        if details.method == "/test/echo":
            return grpc.unary_unary_rpc_method_handler(self.echo)
        if details.method == "/test/echo_all":
            return grpc.stream_stream_rpc_method_handler(self.echo_all)

    def echo(self, request, context):
        time.sleep(0.001)
        return request

    def echo_all(self, requests, context):
        yield from requests


class GrpcTest(tap.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.server = grpc.server(futures.ThreadPoolExecutor(THREADS))
        cls.server.add_generic_rpc_handlers([Service()])
        port = cls.server.add_insecure_port("127.0.0.1:0")
        cls.server.start()
        cls.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        cls.echo = cls.channel.unary_unary("/test/echo")
        cls.echo_all = cls.channel.stream_stream("/test/echo_all")

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.server.stop(None).wait()

    def ask(self, n):
        for i in range(50):
            message = b"%d %d" % (n, i)
            self.assertEqual(self.echo(message, timeout=tap.HANGS), message)

    def test_calls(self):
        "calls of eight threads, beside one of Python"
        with self.others_run():
            tap.run_threads([lambda n=n: self.ask(n) for n in range(THREADS)])

    def test_calls_beside_a_computing_thread(self):
        "calls beside a thread that computes"
        stop = False

        def compute():
            while not stop:
                pass

        thread = threading.Thread(target=compute)
        thread.start()
        try:
            tap.run_threads([lambda n=n: self.ask(n) for n in range(2)])
        finally:
            stop = True
            thread.join()

    def test_streams(self):
        "streams of eight threads"
        messages = [b"x" * n for n in range(50)]

        def check():
            return list(self.echo_all(iter(messages), timeout=tap.HANGS))

        self.assertEqual(tap.run_threads([check] * THREADS), [messages] * THREADS)

    def test_callbacks(self):
        "gRPC's thread calls back what a thread waits for"
        def check(n):
            done = [threading.Event() for _ in range(20)]
            calls = [self.echo.future(b"%d" % i, timeout=tap.HANGS) for i in range(20)]
            for call, event in zip(calls, done):
                call.add_done_callback(lambda _, event=event: event.set())
            self.assertTrue(all(event.wait(tap.HANGS) for event in done))
            return [call.result() for call in calls] == [b"%d" % i for i in range(20)]

        self.assertEqual(tap.run_threads([lambda n=n: check(n) for n in range(THREADS)]),
                         [True] * THREADS)


if __name__ == "__main__":
    tap.main()
