"""The same python in several layouts of its code.

Where a function begins in a line of the cache changes what a lock costs by 3 to
5 %: stock CPython differs by as much from itself when its code is moved by 16
bytes.  So a python is linked again with its code moved by some bytes, and each
run takes one of the layouts at random, as it takes one of the heap (measure.py).
Code moves by what the compiler aligns it to and no less: 16 bytes of GCC 12, of
GCC 14 a line of 64, where it is other lines of the cache and other entries of the
branch predictor that it gets.
See Mytkowicz et al., Producing Wrong Data Without Doing Anything Obviously
Wrong!, 2009.
"""

import os
import re
import subprocess
import tempfile

# How often it is moved by the alignment: with 16 bytes over a line of the cache.
STEPS = (1, 2, 3)

# GNU ld places .text.unlikely before the other code (ld --verbose).
PADDING = """\
    .section .text.unlikely,"ax",%progbits
    .skip {offset}
    .section .note.GNU-stack,"",%progbits
"""

QUESTION = ("import sysconfig; v = sysconfig.get_config_var; print(v('CC'), "
            "v('LINKFORSHARED') or '', v('Py_ENABLE_SHARED'), sep='\\n')")


def alignment(python):
    """The bytes to which the code of an executable is aligned."""
    sections = subprocess.run(["readelf", "-SW", python], check=True,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, env={**os.environ, "LC_ALL": "C"})
    return int(re.search(r"\] \.text +PROGBITS .* (\d+)$", sections.stdout,
                         re.M)[1])


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
    align = alignment(python)
    for step in STEPS:
        other = f"{python}.moved{step}"
        if (not os.path.exists(other)
                or os.path.getmtime(other) < os.path.getmtime(python)):
            link(directory, os.path.basename(other), step * align, cc,
                 linkforshared)
        paths.append(other)
    return paths
