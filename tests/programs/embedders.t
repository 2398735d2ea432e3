#!/usr/bin/env -S python3 -B
"""Servers that embed Python, and call it from threads of their own, under wrk:
uWSGI, and mod_wsgi in an Apache with threads.

usage: prove tests/programs/embedders.t
"""

import os
import shutil
import sys

import load
import servers
import wsgi_app

INSTALLED = os.path.join(servers.BUILD, "installed/prefix")
# The programs of tools/get-embedders.
EMBEDDERS = os.path.join(servers.BUILD, "embedders")

APACHE = """
ServerRoot {tmp}
ServerName localhost
PidFile {tmp}/pid
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule wsgi_module {embedders}/mod_wsgi.so
ErrorLog /dev/stderr
LogLevel crit
StartServers 1
ServerLimit 1
ThreadsPerChild {threads}
MaxRequestWorkers {threads}
MinSpareThreads 1
MaxSpareThreads {threads}
WSGIPythonPath {here}
WSGIScriptAlias / {tmp}/script.py
<Directory {tmp}>
    Require all granted
</Directory>
"""
MODULES = "/usr/lib/apache2/modules"


def environment():
    return dict(os.environ, LD_LIBRARY_PATH=f"{INSTALLED}/lib",
                PYTHONHOME=INSTALLED, PYTHONDONTWRITEBYTECODE="1")


def uwsgi(tmp, port):
    # Without a Content-Length that it makes itself, HTTP/1.1 clients have to be
    # told that it closes the connection.
    return servers.server(
        [f"{EMBEDDERS}/uwsgi", "--http-socket", f"127.0.0.1:{port}",
         "--threads", str(wsgi_app.THREADS), "--enable-threads",
         "--listen", "100", "--add-header", "Connection: close",
         "--pythonpath", servers.HERE, "--wsgi-file", f"{tmp}/script.py",
         "--need-app", "--disable-logging", "--die-on-term"],
        lambda: servers.answers(port), env=environment())


def mod_wsgi(tmp, port):
    apache = servers.need("apache2", "apache2")
    with open(f"{tmp}/apache.conf", "w") as f:
        # Some threads are in between two requests.
        f.write(APACHE.format(tmp=tmp, port=port, modules=MODULES,
                              here=servers.HERE, embedders=EMBEDDERS,
                              threads=wsgi_app.THREADS + 5))
    # Apache itself gives up being root, and the clone may be in a directory that
    # only root reads.
    return servers.server(
        [apache, "-f", f"{tmp}/apache.conf", "-DFOREGROUND"],
        lambda: servers.answers(port), user="www-data", reads_all=True,
        env=environment())


def main():
    for path in [f"{INSTALLED}/bin/python3", EMBEDDERS]:
        if not os.path.exists(path):
            sys.exit(f"there is no {path}: run 'make programs'")
    tap = load.Tap()
    for name, start in [("uWSGI", uwsgi), ("mod_wsgi", mod_wsgi)]:
        port = servers.free_port()
        with servers.directory(owner="www-data") as tmp:
            wsgi_app.make_files(tmp)
            shutil.copy(f"{servers.HERE}/wsgi_script.py", f"{tmp}/script.py")
            with start(tmp, port):
                load.test(tap, name, port)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
