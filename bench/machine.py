"""What the figures depend on: the machine, the pythons, and who else computes."""

import json
import os
import platform
import subprocess
import time

# Run by each python that is measured.
DESCRIBE = """
import json, platform, sys, sysconfig
thread = getattr(sys, "thread_info", None)
print(json.dumps({
    "version": platform.python_version(),
    "compiler": platform.python_compiler(),
    "configure": sysconfig.get_config_var("CONFIG_ARGS"),
    "flags": sysconfig.get_config_var("PY_CFLAGS"),
    "threads": thread and thread.name,
    "threads_version": thread and thread.version,
}))
"""


def describe_python(python):
    """A dictionary of what the python at this path is.  OSError, ValueError
    or CalledProcessError where it is none."""
    said = subprocess.run([python, "-I", "-c", DESCRIBE], check=True,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)
    return {"path": python, **json.loads(said.stdout)}


def first_line(path, key=None):
    try:
        with open(path) as f:
            for line in f:
                name, _, value = line.partition(":")
                if key is None:
                    return line.strip()
                if name.strip() == key:
                    return value.strip()
    except OSError:
        pass
    return None


def os_name():
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def cpus():
    """The processors that this process may use."""
    return sorted(os.sched_getaffinity(0))


def describe():
    return {
        "processor": first_line("/proc/cpuinfo", "model name")
            or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": len(cpus()),
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "governor": first_line("/sys/devices/system/cpu/cpu%d/cpufreq/"
                               "scaling_governor" % cpus()[0]),
        "kernel": platform.release(),
        "system": os_name(),
        "libc": " ".join(platform.libc_ver()),
    }


class Load:
    """Who else computes while we measure."""

    def __init__(self):
        self.before = os.getloadavg()[0]
        self.start = time.monotonic(), self.machine(), self.ours()

    @staticmethod
    def machine():
        # The seconds that all processors were busy with any process, or taken
        # away by the hypervisor (proc(5)).  Not those of interrupts: loopback
        # traffic of ours is carried in them, and they count for no process.
        with open("/proc/stat") as f:
            user, nice, system, idle, iowait, irq, softirq, steal = map(
                int, f.readline().split()[1:9])
        return (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def ours():
        t = os.times()
        return t.user + t.system + t.children_user + t.children_system

    def report(self):
        clock, machine, ours = self.start
        elapsed = time.monotonic() - clock
        others = (self.machine() - machine) - (self.ours() - ours)
        return {
            "before": round(self.before, 2),
            "after": round(os.getloadavg()[0], 2),
            # How many processors others kept busy, on average.
            "others": round(max(others, 0) / elapsed, 3) if elapsed else 0,
            "seconds": round(elapsed, 1),
        }
