"""System calls of whole programs: what tools/demo counts, and strace's table."""

import importlib.machinery
import importlib.util
import os
import subprocess

import cases

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def load_demo():
    path = os.path.join(TOP, "tools", "demo")
    loader = importlib.machinery.SourceFileLoader("demo", path)
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("demo", loader))
    loader.exec_module(module)
    return module


def strace_table(python, program):
    """The table of strace -c, all threads."""
    result = subprocess.run(
        ["strace", "-f", "-c", "-S", "calls", python, "-I", program],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, check=True)
    lines = result.stderr.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("%"))
    return "\n".join(line.rstrip() for line in lines[first:])


def measure(pythons, progress):
    """What goes into the JSON: for each program and python the numbers of
    system calls, of futex calls and of those that wait; the seconds without
    strace; and strace's own table of the first program."""
    demo = load_demo()
    demo.check_strace()
    paths = [info["path"] for info in pythons.values()]
    found = []
    for name, title in cases.PROGRAMS.items():
        progress(f"strace of {name}")
        program = os.path.join(TOP, "bench", "programs", name)
        counts = [demo.count_calls(path, program) for path in paths]
        seconds = demo.measure_time(paths, program)
        found.append({"name": name, "title": title, "pythons": {
            label: {"calls": c[0], "futex": c[1], "futex_wait": c[2],
                    "seconds": s}
            for label, c, s in zip(pythons, counts, seconds)}})
        if name == next(iter(cases.PROGRAMS)):
            found[-1]["strace"] = {
                label: strace_table(info["path"], program)
                for label, info in pythons.items()}
    return found
