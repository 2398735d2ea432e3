#!/usr/bin/env -S python3 -B
"""PyGObject: GLib's own threads call Python, and threads of Python run GLib's loops.

usage: prove tests/programs/glib.t
"""

import sys

import servers

if __name__ == "__main__":
    sys.exit(servers.run_system_module_tests("use_glib.py", "gi python3-gi"))
