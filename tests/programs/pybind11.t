#!/usr/bin/env -S python3 -B
"""A C++ module made with pybind11, in many threads.

usage: prove tests/programs/pybind11.t
"""

import subprocess
import sys

import servers


def main():
    servers.need_packages()
    includes = subprocess.run(
        [servers.PYTHON, "-c",
         "import sysconfig as s; paths = s.get_paths();"
         "print(paths['include'], paths['platinclude'],"
         "s.get_config_h_filename().rpartition('/')[0])"],
        check=True, capture_output=True, text=True).stdout.split()
    with servers.directory() as tmp:
        result = subprocess.run(
            [servers.need("g++", "build-essential"), "-O2", "-std=c++17",
             "-shared", "-fPIC", "-fvisibility=hidden",
             *[f"-I{path}" for path in includes],
             f"-I{servers.PACKAGES}/pybind11_include",
             "-o", f"{tmp}/pybind11_threads.so",
             f"{servers.HERE}/pybind11_threads.cpp"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"the module does not compile: {result.stderr[-2000:]}")
        path = servers.environment()["PYTHONPATH"]
        return servers.run_tests("use_pybind11.py", PYTHONPATH=f"{tmp}:{path}")


if __name__ == "__main__":
    sys.exit(main())
