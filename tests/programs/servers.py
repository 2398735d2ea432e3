"""Start servers for a test, on loopback and below a temporary directory.

What is started ends with the with statement, and also if this process is killed.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("PTH_BUILD", os.path.join(TOP, "build"))
PYTHON = os.environ.get("PTH_PYTHON", os.path.join(BUILD, "pth/python"))
# The packages of tools/get-programs.
PACKAGES = os.path.join(BUILD, "programs")
# Debian's.
SYSTEM_PACKAGES = "/usr/lib/python3/dist-packages"

# Guards against what hangs, no measures of speed, in seconds.
STARTS = 60
RUNS = 600


def need(command, package):
    """The path of a program; without it the test fails."""
    path = shutil.which(command, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if path is None:
        sys.exit(f"{command} is missing: install the package {package}, "
                 f"or run 'tools/install-deps programs'")
    return path


def need_packages():
    for path in [PYTHON, PACKAGES]:
        if not os.path.exists(path):
            sys.exit(f"there is no {path}: run 'make programs'")


def environment():
    """The environment in which programs of ours find the packages."""
    return dict(os.environ, PYTHONPATH=f"{PACKAGES}:{HERE}",
                PYTHONDONTWRITEBYTECODE="1")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


@contextlib.contextmanager
def directory(owner=None):
    """A new temporary directory, for the user `owner` if we are root."""
    # A signal that ends us lets the with statements end.
    for number in [signal.SIGHUP, signal.SIGINT, signal.SIGTERM]:
        signal.signal(number, lambda *args: sys.exit(1))
    # The name of a UNIX socket has 107 bytes at most.
    path = tempfile.mkdtemp(prefix="pth-test.")
    try:
        if owner is not None and os.getuid() == 0:
            shutil.chown(path, owner)
        yield path
    finally:
        shutil.rmtree(path)


@contextlib.contextmanager
def server(command, ready, user=None, reads_all=False, stop=signal.SIGTERM,
           **kwargs):
    """Run a server until the with statement ends.

    command    a list of words
    ready      a function that says if the server answers
    user       whom it runs as, if we are root
    reads_all  it may read what we may, nevertheless
    stop       the signal that ends it
    """
    prefix = [need("setpriv", "util-linux"), "--pdeathsig", stop.name]
    if user is not None and os.getuid() == 0:
        group = pwd.getpwnam(user).pw_gid
        prefix += [f"--reuid={user}", f"--regid={group}", "--init-groups"]
        if reads_all:
            prefix += ["--inh-caps=+dac_override",
                       "--ambient-caps=+dac_override"]
    log = tempfile.TemporaryFile("w+")
    process = subprocess.Popen(prefix + command, stdin=subprocess.DEVNULL,
                               stdout=log, stderr=log, **kwargs)
    try:
        deadline = time.monotonic() + STARTS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                sys.exit(f"{command[0]} does not start: {log.read()[-2000:]}")
            time.sleep(0.05)
        yield process
        if process.poll() is not None:
            log.seek(0)
            sys.exit(f"{command[0]} ended by itself: {log.read()[-2000:]}")
    finally:
        process.send_signal(stop)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


@contextlib.contextmanager
def postgresql():
    """Run a PostgreSQL server; give what libpq has to find in the environment."""
    bin = subprocess.run([need("pg_config", "libpq-dev"), "--bindir"],
                         check=True, capture_output=True, text=True).stdout.strip()
    postgres = need(f"{bin}/postgres", "postgresql")
    port = free_port()
    # It refuses to run as root.
    with directory(owner="postgres") as tmp:
        user = "postgres" if os.getuid() == 0 else None
        result = subprocess.run(
            [f"{bin}/initdb", "-D", f"{tmp}/data", "-U", "postgres",
             "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"],
            cwd=tmp, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            user=user, group=user, extra_groups=user and [])
        if result.returncode != 0:
            sys.exit(f"initdb fails: {result.stderr}")

        def ready():
            return subprocess.run(
                [f"{bin}/pg_isready", "-q", "-h", tmp, "-p", str(port)],
                stdin=subprocess.DEVNULL).returncode == 0

        # SIGINT: PostgreSQL's fast shutdown.
        with server(
                [postgres, "-D", f"{tmp}/data", "-k", tmp, "-h", "127.0.0.1",
                 "-p", str(port), "-c", "fsync=off", "-c", "max_connections=80"],
                ready, user="postgres", stop=signal.SIGINT, cwd=tmp):
            yield dict(PGHOST=tmp, PGPORT=str(port), PGUSER="postgres",
                       PGDATABASE="postgres")


def answers(port):
    """Does somebody listen on the port?"""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def run_tests(program, *args, **variables):
    """Run a test program of this directory with PTH_PYTHON; its TAP is ours.
    Return the exit status."""
    command = [PYTHON, os.path.join(HERE, program), *args]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, timeout=RUNS,
                              env=environment() | variables).returncode
    except subprocess.TimeoutExpired:
        print(f"# {program} did not end", file=sys.stderr)
        return 1


def run_system_module_tests(program, *modules):
    """run_tests() of a program that needs compiled modules of the distribution, which
    load where the distribution's Python is of our version.  Each is given as its name
    and that of its package."""
    def version(python):
        return subprocess.run(
            [python, "-c", "import sys; print(*sys.version_info[:2], sep='.')"],
            check=True, capture_output=True, text=True).stdout.strip()

    need_packages()
    system, ours = "/usr/bin/python3", version(PYTHON)
    if not os.path.exists(system) or version(system) != ours:
        print("1..0 # SKIP the distribution's modules are not compiled for "
              f"Python {ours}")
        return 0
    for module, package in map(str.split, modules):
        if not os.path.exists(f"{SYSTEM_PACKAGES}/{module}"):
            sys.exit(f"{module} is missing: install the package {package}, "
                     f"or run 'tools/install-deps programs'")
    path = environment()["PYTHONPATH"]
    return run_tests(program, PYTHONPATH=f"{path}:{SYSTEM_PACKAGES}")
