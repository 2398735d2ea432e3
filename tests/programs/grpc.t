#!/usr/bin/env -S python3 -B
"""gRPC: a server and its clients in one process, with the threads of its C library.

usage: prove tests/programs/grpc.t
"""

import sys

import servers

if __name__ == "__main__":
    sys.exit(servers.run_system_module_tests("use_grpc.py", "grpc python3-grpcio"))
