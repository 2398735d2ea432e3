#!/usr/bin/env -S python3 -B
"""Parts of the standard library that block in threads: ssl, asyncio, pools,
http, subprocess, readline.

usage: prove tests/stdlib.t
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "programs"))
import servers


def main():
    openssl = servers.need("openssl", "openssl")
    with servers.directory() as tmp:
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", f"{tmp}/key.pem", "-out", f"{tmp}/cert.pem"],
            check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return servers.run_tests("use_stdlib.py", tmp)


if __name__ == "__main__":
    sys.exit(main())
