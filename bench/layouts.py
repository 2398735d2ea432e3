"""The same python in several layouts of its code.

Where a function begins in a line of the cache changes what a lock costs by 3 to
5 %: stock CPython differs by as much from itself when its code is moved by 16
bytes.  So a python is linked again with its code moved by some bytes, and each
run takes one of the layouts at random, as it takes one of the heap (measure.py).
See Mytkowicz et al., Producing Wrong Data Without Doing Anything Obviously
Wrong!, 2009.
"""

import os
import subprocess
import tempfile

# Over a line of the cache, by the alignment of functions.
OFFSETS = (16, 32, 48)

# GNU ld places .text.unlikely before the other code (ld --verbose).
PADDING = """\
    .section .text.unlikely,"ax",%progbits
    .skip {offset}
    .section .note.GNU-stack,"",%progbits
"""

QUESTION = ("import sysconfig; v = sysconfig.get_config_var; print(v('CC'), "
            "v('LINKFORSHARED') or '', v('Py_ENABLE_SHARED'), sep='\\n')")


def link(directory, name, offset, cc, linkforshared):
    """Link the python of a build directory again, as `name`."""
    with tempfile.TemporaryDirectory() as scratch:
        padding = os.path.join(scratch, "padding.o")
        subprocess.run([*cc.split(), "-c", "-x", "assembler", "-",
                        "-o", padding], check=True, capture_output=True,
                       text=True, input=PADDING.format(offset=offset))
        subprocess.run(["make", "-s", "-C", directory, name,
                        f"BUILDPYTHON={name}",
                        f"LINKFORSHARED={linkforshared} {padding}"],
                       check=True, capture_output=True, text=True,
                       stdin=subprocess.DEVNULL)


def of(python):
    """The paths of the layouts of the python at this path, itself the first.

    Only those of a build directory whose code is in the executable can be had;
    of others there is the one layout.
    """
    directory, name = os.path.split(python)
    if not os.path.exists(os.path.join(directory, "pybuilddir.txt")):
        return [python]
    cc, linkforshared, shared = subprocess.run(
        [python, "-I", "-c", QUESTION], check=True, stdin=subprocess.DEVNULL,
        capture_output=True, text=True).stdout.split("\n")[:3]
    if shared == "1":
        return [python]
    paths = [python]
    for offset in OFFSETS:
        other = f"{python}.moved{offset}"
        if (not os.path.exists(other)
                or os.path.getmtime(other) < os.path.getmtime(python)):
            link(directory, os.path.basename(other), offset, cc, linkforshared)
        paths.append(other)
    return paths
