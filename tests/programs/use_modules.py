"""Threads and compiled modules that many programs use: run by modules.t."""

import asyncio
import os
import threading
import warnings

import lxml.etree
import numpy
import pydantic_core
import uvloop
import zmq
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

import tap

THREADS = 8


def in_threads(func):
    """The results of func(0), func(1), ... of THREADS threads that call it at once."""
    together = threading.Barrier(THREADS)

    def run(n):
        together.wait()
        return func(n)

    return tap.run_threads([lambda n=n: run(n) for n in range(THREADS)])


class ModulesTest(tap.TestCase):

    def test_numpy(self):
        "numpy: products, in the threads of its library, too, also after a fork"
        matrix = numpy.random.default_rng(1).random((300, 300))
        square = matrix @ matrix

        def right(_):
            for _ in range(10):
                left, values, right = numpy.linalg.svd(matrix[:60, :60])
                if not (numpy.allclose(matrix @ matrix, square) and numpy.allclose(
                        left @ numpy.diag(values) @ right, matrix[:60, :60])):
                    return False
            return True

        self.assertEqual(in_threads(right), [True] * THREADS)
        with warnings.catch_warnings():
            # The library has threads.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            os._exit(0 if right(0) else 1)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)

    def test_numpy_errors(self):
        "numpy: each thread has its own floating point settings"
        def divide(n):
            with numpy.errstate(divide="raise" if n % 2 else "ignore"):
                for _ in range(200):
                    try:
                        numpy.ones(1000) / numpy.zeros(1000)
                    except FloatingPointError:
                        if n % 2 == 0:
                            return "raised"
                    else:
                        if n % 2:
                            return "not raised"

        self.assertEqual(in_threads(divide), [None] * THREADS)

    def test_lxml(self):
        "lxml: each thread reads documents and finds its own errors"
        def read(n):
            for _ in range(100):
                tree = lxml.etree.fromstring("<a>" + f"<b n='{n}'/>" * 100 + "</a>")
                if [b.get("n") for b in tree] != [str(n)] * 100:
                    return tree
                try:
                    lxml.etree.fromstring(f"<thread{n}>")
                except lxml.etree.XMLSyntaxError as error:
                    if f"thread{n} " not in str(error):
                        return error

        self.assertEqual(in_threads(read), [None] * THREADS)

    def test_cryptography(self):
        "cryptography: threads make keys and sign"
        def sign(n):
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            text = b"%d" % n
            for _ in range(20):
                signature = key.sign(text, padding.PKCS1v15(), hashes.SHA256())
                key.public_key().verify(signature, text, padding.PKCS1v15(),
                                        hashes.SHA256())
            return True

        self.assertEqual(in_threads(sign), [True] * THREADS)

    def test_pydantic(self):
        "pydantic: threads share what checks their values, and it calls them"
        def twice(value):
            return value * 2

        schema = pydantic_core.core_schema
        validator = pydantic_core.SchemaValidator(schema.list_schema(
            schema.no_info_after_validator_function(twice, schema.int_schema())))

        def check(n):
            for _ in range(200):
                if validator.validate_json(b"[%d, 1]" % n) != [n * 2, 2]:
                    return "wrong"
                try:
                    validator.validate_json(b'["x%d"]' % n)
                except pydantic_core.ValidationError as error:
                    if error.errors()[0]["input"] != f"x{n}":
                        return error

        self.assertEqual(in_threads(check), [None] * THREADS)

    def test_uvloop(self):
        "uvloop: a loop in each thread, with an echo server and its clients"
        async def echo(reader, writer):
            while line := await reader.readline():
                writer.write(line)
            writer.close()

        async def ask(port, n):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for i in range(50):
                writer.write(b"%d %d\n" % (n, i))
                assert await reader.readline() == b"%d %d\n" % (n, i)
            writer.close()

        async def serve():
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            await asyncio.gather(*(ask(port, n) for n in range(10)))
            server.close()
            return await asyncio.get_running_loop().run_in_executor(None, sum, (1, 2))

        def run(_):
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(serve())

        self.assertEqual(in_threads(run), [3] * THREADS)

    def test_zmq(self):
        "ZeroMQ: clients, a proxy and workers, which its context ends"
        context = zmq.Context()
        bound = threading.Event()

        def proxy():
            with context.socket(zmq.ROUTER) as front, \
                 context.socket(zmq.DEALER) as back:
                front.bind("inproc://front")
                back.bind("inproc://back")
                bound.set()
                try:
                    zmq.proxy(front, back)
                except zmq.ContextTerminated:
                    pass

        def work():
            with context.socket(zmq.REP) as socket:
                socket.connect("inproc://back")
                try:
                    while True:
                        socket.send(socket.recv())
                except zmq.ContextTerminated:
                    pass

        def ask(n):
            with context.socket(zmq.REQ) as socket:
                socket.connect("inproc://front")
                for i in range(200):
                    socket.send(b"%d %d" % (n, i))
                    if socket.recv() != b"%d %d" % (n, i):
                        return False
                return True

        threads = [threading.Thread(target=proxy)]
        threads += [threading.Thread(target=work) for _ in range(4)]
        threads[0].start()
        bound.wait()
        for thread in threads[1:]:
            thread.start()
        self.assertEqual(in_threads(ask), [True] * THREADS)
        context.term()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    tap.main()
