#!/usr/bin/env python3
"""Be the user that GNU Pth's interactive test programs want.

usage: drive.py DIRECTORY sig|select|httpd

Runs DIRECTORY/test_NAME, which prints what it sees to stderr, and gives it the
signals, the lines or the requests that it asks for.  Exit status: 0 it did as
it says, 1 it did not; then what it printed goes to stderr.
"""

import re
import signal
import socket
import subprocess
import sys
import threading
import time

CONNECTIONS = 50
# A guard against a program that hangs, in seconds, no measure of speed.
STUCK = 60


class Program:
    """A test program, killed when the with statement ends."""

    def __init__(self, path, *args):
        self.process = subprocess.Popen(
            [path, *args], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        self.printed = ""

    def __enter__(self):
        self.guard = threading.Timer(STUCK, self.process.kill)
        self.guard.start()
        return self

    def __exit__(self, *args):
        self.guard.cancel()
        self.process.kill()
        self.process.wait()

    def fail(self, why):
        sys.exit(f"{self.printed}\ndrive.py: {why}")

    def expect(self, pattern):
        """Read on until a line matches."""
        for line in self.process.stderr:
            line = line.decode(errors="replace")
            self.printed += line
            if re.search(pattern, line):
                return
        self.fail(f"it never printed {pattern!r}")

    def sleeps(self):
        """Wait until it does."""
        while self.process.poll() is None:
            with open(f"/proc/{self.process.pid}/stat") as f:
                # "pid (name) state ...", proc(5)
                if f.read().rpartition(")")[2].split()[0] == "S":
                    return
            time.sleep(0.01)
        self.fail(f"it ended with {self.process.returncode}")

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def ends(self, status):
        """It ends with this status, as subprocess.Popen.returncode has it."""
        self.printed += self.process.stderr.read().decode(errors="replace")
        if self.process.wait() != status:
            self.fail(f"it ended with {self.process.returncode}, not {status}")


def drive_sig(path):
    with Program(path) as program:
        for name in ["child1", "child2"]:
            program.expect(f"^{name}: leave to scheduler")
        program.expect("^inthandler: enter")
        for n in range(3):
            # It has the signal unblocked: unless it waits for it, it would die.
            program.sleeps()
            program.interrupt()
            program.expect(rf"^inthandler: SIGINT received \(#{n}\)")
        for line in ["inthandler: cancelling child1 and child2",
                     "inthandler: leave", "main: exit"]:
            program.expect(line)
        program.ends(0)
        for line in ["child1: running cleanup", "child2: running cleanup",
                     "child1: SIGUSR1: blocked", "child1: SIGUSR2: unblocked",
                     "child2: SIGUSR1: unblocked", "child2: SIGUSR2: blocked"]:
            if line not in program.printed:
                program.fail(f"it never printed {line!r}")


def drive_select(path):
    with Program(path) as program:
        program.expect("^ticker was woken up")
        program.expect("^main: timeout - repeating")
        program.process.stdin.write(b"ab")
        program.process.stdin.flush()
        for line in ["^main: select returned 1$", "^main: read stdin 'a'",
                     "^main: read stdin 'b'", "^ticker was woken up"]:
            program.expect(line)
        # It does not look for the end of its input.
        program.process.stdin.close()
        program.expect("^main: select returned 1$")
        program.process.stderr.close()
        program.interrupt()
        if program.process.wait() not in (-signal.SIGINT, -signal.SIGPIPE):
            program.fail(f"it ended with {program.process.returncode}")


def drive_httpd(path):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    with Program(path, str(port)) as program:
        program.expect(f"^listening on port {port}")
        # All at once: each has a thread before any has its request.
        clients = [socket.create_connection(("127.0.0.1", port))
                   for _ in range(CONNECTIONS)]
        for _ in clients:
            program.expect("^connection established")
        for client in reversed(clients):
            client.sendall(b"GET / HTTP/1.0\n\n")
        for client in clients:
            with client, client.makefile("rb") as f:
                answer = f.read()
                if not (answer.startswith(b"HTTP/1.0 200 Ok\r\n")
                        and answer.endswith(b"that it's serving data.\r\n")):
                    program.fail(f"it answers {answer!r}")
        program.interrupt()
        program.expect(r"^\*\*Break")
        program.ends(0)


def main():
    try:
        directory, name = sys.argv[1:]
        drive = {"sig": drive_sig, "select": drive_select,
                 "httpd": drive_httpd}[name]
    except (ValueError, KeyError):
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    drive(f"{directory}/test_{name}")


if __name__ == "__main__":
    main()
