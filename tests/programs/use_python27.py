"""Threads and PostgreSQL with Python 2.7: run by python27.t, which sets PGHOST and
the like.
"""

import threading

import psycopg2

N = 500
sums = {}
backends = set()


def work(first):
    connection = psycopg2.connect("")
    cursor = connection.cursor()
    total = 0
    for i in xrange(N):
        cursor.execute("select %s::int + %s", (first, i))
        [(value,)] = cursor.fetchall()
        total += value
    cursor.execute("select pg_backend_pid()")
    backends.add(cursor.fetchone()[0])
    connection.close()
    sums[first] = total


threads = [threading.Thread(target=work, args=(1000 * i,)) for i in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print "1..3"
for number, (name, good) in enumerate([
        ("psycopg2 is 2.8", psycopg2.__version__.startswith("2.8.")),
        ("4 threads have each a connection", len(backends) == 4),
        ("4 threads get the right rows",
         sums == dict((1000 * i, 1000 * i * N + N * (N - 1) // 2)
                      for i in range(4)))], 1):
    print ["not ok", "ok"][good], number, "-", name
