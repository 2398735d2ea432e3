#!/usr/bin/env -S python3 -B
"""Compiled modules, in C, C++, Cython and Rust, in several threads at once.

usage: prove tests/programs/modules.t
"""

import sys

import servers

if __name__ == "__main__":
    sys.exit(servers.run_system_module_tests(
        "use_modules.py", "numpy python3-numpy", "lxml python3-lxml",
        "cryptography python3-cryptography", "pydantic_core python3-pydantic",
        "uvloop python3-uvloop", "zmq python3-zmq"))
