"""Threads and PostgreSQL: run by postgresql.t, which sets PGHOST and the like.

psycopg2 waits inside libpq, a C library that knows nothing of Python; psycopg 3
calls libpq through ctypes and waits in Python's select module.
"""

import io
import os
import select
import signal
import threading
import time

import tap

import psycopg
import psycopg2
import psycopg2.extensions
import psycopg2.extras

SLEEPERS = 20


class Tests:
    """What both have to do."""

    queries = 100_000

    def setUp(self):
        self.control = self.connect(autocommit=True)
        self.addCleanup(self.control.close)

    def one(self, query, *args, connection=None):
        """The first column of the one row of a query."""
        cursor = (connection or self.control).cursor()
        cursor.execute(query, args)
        [row] = cursor.fetchall()
        cursor.close()
        return row[0]

    def do(self, query, *args, connection=None):
        cursor = (connection or self.control).cursor()
        cursor.execute(query, args)
        cursor.close()

    def active(self, name, wait_event):
        """How many connections of this name wait for that in the server."""
        return self.one(
            "select count(*) from pg_stat_activity where state = 'active' "
            "and application_name = %s and wait_event = %s", name, wait_event)

    def sleepers_overlap(self, host):
        connected = threading.Barrier(SLEEPERS)
        seen = threading.Event()

        seconds = []

        def sleep():
            connection = self.connect(application_name="sleeper", host=host)
            connected.wait()
            begin = time.monotonic()
            # Once, unless the machine is so slow that the first one is through
            # before the last one has begun.
            for _ in range(20):
                self.one("select 1 from pg_sleep(0.5)", connection=connection)
                seconds.append(time.monotonic() - begin)
                if seen.is_set():
                    break
            connection.close()

        def count():
            tap.wait_until(lambda: self.active("sleeper", "PgSleep") == SLEEPERS,
                           f"{SLEEPERS} queries that sleep in the server at once")
            seen.set()

        with self.others_run():
            tap.run_threads([count] + [sleep] * SLEEPERS)
        self.assertTrue(seen.is_set())
        tap.note(f"{self.group}: {len(seconds)} times pg_sleep(0.5) in "
                 f"{max(seconds):.2f} s")

    def test_sleepers_unix(self):
        """20 threads select pg_sleep(0.5) at once, UNIX socket"""
        self.sleepers_overlap(os.environ["PGHOST"])

    def test_sleepers_tcp(self):
        """20 threads select pg_sleep(0.5) at once, TCP"""
        self.sleepers_overlap("127.0.0.1")

    def test_row_lock(self):
        """a thread waits for a row that another one holds, and gets it"""
        self.do("drop table if exists account")
        self.do("create table account (id int primary key, balance int)")
        self.do("insert into account values (1, 100)")
        held = threading.Event()

        def hold():
            connection = self.connect(application_name="holder")
            self.do("update account set balance = balance + 1 where id = 1",
                    connection=connection)
            held.set()
            # The other one waits in libpq, or nobody ever commits.
            tap.wait_until(lambda: self.active("waiter", "transactionid") == 1,
                           "the other thread to wait for the row")
            connection.commit()
            connection.close()

        def wait():
            connection = self.connect(application_name="waiter")
            held.wait()
            self.do("update account set balance = balance * 2 where id = 1",
                    connection=connection)
            connection.commit()
            connection.close()

        tap.run_threads([hold, wait])
        self.assertEqual(self.one("select balance from account"), 202)

    def test_queries(self):
        """small queries from 8 threads all give the right rows"""
        def ask(number):
            connection = self.connect(autocommit=True)
            cursor = connection.cursor()
            for i in range(self.queries // 8):
                cursor.execute("select %s, %s * 2, md5(%s)",
                               (number, i, str(i % 100)))
                self.assertEqual(cursor.fetchall(), [(number, i * 2, digests[i % 100])])
            connection.close()
            return i + 1

        cursor = self.control.cursor()
        cursor.execute("select md5(i::text) from generate_series(0, 99) i")
        digests = [row[0] for row in cursor.fetchall()]
        begin = time.monotonic()
        with self.others_run():
            done = tap.run_threads([lambda n=n: ask(n) for n in range(8)])
        tap.note(f"{self.group}: {sum(done):,} queries in "
                 f"{time.monotonic() - begin:.1f} s")
        self.assertEqual(sum(done), self.queries)

    def test_copy(self):
        """COPY into and out of four tables at once"""
        rows = 20_000
        text = "".join(f"{i}\t{'x' * (i % 100)}\n" for i in range(rows))

        def copy(number):
            connection = self.connect(autocommit=True)
            table = f"copied{number}"
            self.do(f"drop table if exists {table}", connection=connection)
            self.do(f"create table {table} (i int, x text)", connection=connection)
            self.copy_in(connection, f"copy {table} from stdin", text)
            count, total, length = self.one(
                f"select array[count(*), sum(i), sum(length(x))] from {table}",
                connection=connection)
            self.assertEqual((count, total, length),
                             (rows, rows * (rows - 1) // 2,
                              sum(i % 100 for i in range(rows))))
            out = self.copy_out(connection,
                                f"copy (select * from {table} order by i) to stdout")
            self.assertEqual(out, text)
            connection.close()

        with self.others_run():
            tap.run_threads([lambda n=n: copy(n) for n in range(4)])

    def test_notify(self):
        """LISTEN: two threads wait, and get what a third one sends, in order"""
        listening = threading.Barrier(3)
        wanted = [str(i) for i in range(100)]

        def listen():
            connection = self.connect(autocommit=True)
            self.do("listen news", connection=connection)
            listening.wait()
            got = self.notifications(connection, len(wanted))
            connection.close()
            return got

        def notify():
            listening.wait()
            # Long enough for them to wait, and for others_run() to see it.
            time.sleep(0.1)
            for payload in wanted:
                self.one("select 1 from pg_notify('news', %s)", payload)

        with self.others_run():
            first, second, _ = tap.run_threads([listen, listen, notify])
        self.assertEqual(first, wanted)
        self.assertEqual(second, wanted)

    def test_cancel(self):
        """a thread cancels the query of another one"""
        connection = self.connect(application_name="canceled", autocommit=True)

        def sleep():
            with self.assertRaises(self.canceled):
                self.do("select pg_sleep(600)", connection=connection)
            return self.one("select 42", connection=connection)

        def cancel():
            tap.wait_until(lambda: self.active("canceled", "PgSleep") == 1,
                           "the query")
            connection.cancel()

        self.assertEqual(tap.run_threads([sleep, cancel]), [42, None])
        connection.close()

    def send_signal(self, number, name):
        """Send this process a signal while the query of connection `name`
        runs."""
        def send():
            tap.wait_until(lambda: self.active(name, "PgSleep") == 1, "the query")
            os.kill(os.getpid(), number)

        thread = threading.Thread(target=send)
        thread.start()
        self.addCleanup(thread.join)

    def test_alarm(self):
        """a signal during a query: its handler runs, and the query goes on"""
        calls = []
        self.addCleanup(signal.signal, signal.SIGALRM,
                        signal.signal(signal.SIGALRM, lambda *args: calls.append(1)))
        connection = self.connect(application_name="alarmed")
        self.send_signal(signal.SIGALRM, "alarmed")
        with self.others_run():
            self.assertEqual(
                self.one("select 42 from pg_sleep(1)", connection=connection), 42)
        self.assertEqual(calls, [1])
        connection.close()

    def test_interrupt(self):
        """KeyboardInterrupt during a query: it ends, and the connection works"""
        connection = self.connect(application_name="interrupted")
        self.send_signal(signal.SIGINT, "interrupted")
        self.make_interruptible()
        with self.assertRaises(self.interrupted):
            self.do("select pg_sleep(600)", connection=connection)
        connection.rollback()
        self.assertEqual(self.one("select 42", connection=connection), 42)
        connection.close()


class Psycopg2(Tests, tap.TestCase):
    group = f"psycopg2 {psycopg2.__version__.split()[0]}"
    canceled = interrupted = psycopg2.extensions.QueryCanceledError

    def connect(self, autocommit=False, **kwargs):
        connection = psycopg2.connect("", **kwargs)
        connection.autocommit = autocommit
        return connection

    def copy_in(self, connection, query, text):
        connection.cursor().copy_expert(query, io.StringIO(text))

    def copy_out(self, connection, query):
        out = io.StringIO()
        connection.cursor().copy_expert(query, out)
        return out.getvalue()

    def notifications(self, connection, count):
        got = []
        while len(got) < count:
            select.select([connection], [], [])
            connection.poll()
            got += [n.payload for n in connection.notifies]
            connection.notifies.clear()
        return got

    def make_interruptible(self):
        # As its documentation says: by default Python cannot interrupt libpq.
        psycopg2.extensions.set_wait_callback(psycopg2.extras.wait_select)
        self.addCleanup(psycopg2.extensions.set_wait_callback, None)


class Psycopg3(Tests, tap.TestCase):
    group = f"psycopg {psycopg.__version__} {psycopg.pq.__impl__}"
    canceled = psycopg.errors.QueryCanceled
    interrupted = KeyboardInterrupt

    def connect(self, autocommit=False, **kwargs):
        return psycopg.connect("", autocommit=autocommit, **kwargs)

    def copy_in(self, connection, query, text):
        with connection.cursor().copy(query) as copy:
            for i in range(0, len(text), 10_000):
                copy.write(text[i:i + 10_000])

    def copy_out(self, connection, query):
        with connection.cursor().copy(query) as copy:
            return b"".join(copy).decode()

    def notifications(self, connection, count):
        return [n.payload for n in connection.notifies(stop_after=count)]

    def make_interruptible(self):
        pass


if __name__ == "__main__":
    tap.main()
