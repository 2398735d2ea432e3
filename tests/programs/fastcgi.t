#!/usr/bin/env -S python3 -B
"""Trac's FastCGI server (flup's), behind nginx under wrk.

usage: prove tests/programs/fastcgi.t
"""

import os
import sys

import load
import servers
import wsgi_app

CONFIGURATION = """
daemon off;
master_process off;
pid {tmp}/pid;
error_log stderr;
events {{ worker_connections 200; }}
http {{
    access_log off;
    client_body_temp_path {tmp}/body;
    proxy_temp_path {tmp}/proxy;
    fastcgi_temp_path {tmp}/fastcgi;
    uwsgi_temp_path {tmp}/uwsgi;
    scgi_temp_path {tmp}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            fastcgi_pass unix:{tmp}/socket;
            fastcgi_param PATH_INFO $uri;
            fastcgi_param SCRIPT_NAME "";
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param SERVER_NAME $server_name;
            fastcgi_param SERVER_PORT $server_port;
            fastcgi_param SERVER_PROTOCOL $server_protocol;
        }}
    }}
}}
"""


def main():
    servers.need_packages()
    nginx = servers.need("nginx", "nginx")
    tap = load.Tap()
    port = servers.free_port()
    with servers.directory() as tmp:
        wsgi_app.make_files(tmp)
        with open(f"{tmp}/nginx.conf", "w") as f:
            f.write(CONFIGURATION.format(tmp=tmp, port=port))
        with (servers.server(
                  [servers.PYTHON, f"{servers.HERE}/wsgi_app.py", "fastcgi",
                   f"{tmp}/socket", tmp],
                  lambda: os.path.exists(f"{tmp}/socket"),
                  env=servers.environment()),
              servers.server(
                  [nginx, "-p", tmp, "-c", f"{tmp}/nginx.conf", "-e", "stderr"],
                  lambda: servers.answers(port))):
            load.test(tap, "fastcgi", port)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
