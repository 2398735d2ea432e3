"""Pictures of what was measured, drawn by gnuplot as PNG and SVG."""

import os
import subprocess

import cases
import stats

# Colours that stay apart in print and for the colour-blind (Okabe and Ito).
COLORS = {cases.STOCK_1: "#0072b2", cases.STOCK_N: "#56b4e9"}
MORE_COLORS = ["#d55e00", "#009e73", "#cc79a7"]
FONT = "DejaVu Sans,10"
GREY = "#666666"


class Failed(Exception):
    """gnuplot does not work."""


class Missing(Exception):
    """The run lacks what the picture shows."""


def color_of(label, document):
    ours = [name for name, p in document["pythons"].items()
            if p["threads"] == "pth"]
    if label in ours:
        return MORE_COLORS[ours.index(label) % len(MORE_COLORS)]
    return COLORS.get(cases.stock_variant(label), GREY)


def block(name, rows):
    """A data block of gnuplot."""
    lines = ["\t".join(str(cell) for cell in row) for row in rows]
    return "\n".join([f"${name} << EOD", *lines, "EOD"])


def quote(text):
    return '"' + text.replace('"', '\\"') + '"'


COMMON = """
set datafile separator "\\t"
set border 3 lc rgb "#444444"
set tics nomirror out
set grid lc rgb "#dddddd" lt 1 lw 1
"""


def blocked(document):
    """Hand-off against the number of blocked threads, log-log."""
    points = {}
    for case in document["cases"]:
        if not case["curve"] or not case["medians"]:
            continue
        curve, x = case["curve"]
        kind, _, how = curve.partition(", ")
        if kind != "lock":
            continue
        for label, median in case["medians"].items():
            # There is no 0 on the axis.
            points.setdefault((label, how), []).append((x or 1, median / 1e3))
    if not points:
        raise Missing("no ping-pong beside blocked threads was measured")
    where = {"lock": "", "sleep": ", in sleep()", "recv": ", in recv()"}
    dashes = {"lock": "1", "sleep": "'-'", "recv": "'.'"}
    shapes = {"lock": 7, "sleep": 9, "recv": 5}
    parts, curves = [COMMON], []
    for i, ((label, how), rows) in enumerate(sorted(points.items())):
        if how != "lock" and label not in document["pythons"]:
            # With pthreads it makes no difference where threads are blocked.
            continue
        parts.append(block(f"d{i}", sorted(rows)))
        curves.append(
            f"$d{i} using 1:2 with linespoints lw 2 dt {dashes[how]} "
            f"pt {shapes[how]} ps 0.9 lc rgb {quote(color_of(label, document))} "
            f"title {quote(label + where[how])}")
    for case in document["cases"]:
        if cases.GREENLET in case["medians"] and case["name"] == "peers_switch":
            value = case["medians"][cases.GREENLET] / 1e3
            curves.append(f"{value} with lines lw 1.5 dt '_' lc rgb '{GREY}' "
                          "title 'greenlet, a bare switch'")
    parts.append('set logscale xy\n'
                 'set xrange [0.8:13000]\n'
                 'set xtics ("0" 1, "10" 10, "100" 100, "1,000" 1000, '
                 '"10,000" 10000)\n'
                 'set xlabel "other threads, blocked"\n'
                 'set ylabel "microseconds a round trip"\n'
                 'set bmargin 8\n'
                 'set key at screen 0.5, 0.01 center bottom maxrows 3 Left reverse\n'
                 'set title "Two threads hand a lock to each other, beside '
                 'threads that are blocked"\n'
                 'set ytics format "%g"\n'
                 "plot " + ", \\\n  ".join(curves))
    return "\n".join(parts), (900, 560)


def single(document):
    """The single-threaded cases as ratios, with their intervals."""
    rows = []
    chosen = [c for c in document["cases"]
              if c["group"] == "single" and c["comparisons"]]
    if not chosen:
        raise Missing("no single-threaded case was measured")
    subjects = list(dict.fromkeys(
        c["other"] for case in chosen for c in case["comparisons"]))
    parts, curves = [COMMON], []
    for s, subject in enumerate(subjects):
        rows = []
        for i, case in enumerate(reversed(chosen)):
            c = next((c for c in case["comparisons"] if c["other"] == subject),
                     None)
            if c and c["low"] is not None:
                y = i + (0 if len(subjects) == 1 else 0.15 - 0.3 * s)
                rows.append((c["ratio"], y, c["low"], c["high"]))
        if not rows:
            raise Missing("too few pairs of the single-threaded cases")
        parts.append(block(f"d{s}", rows))
        curves.append(f"$d{s} using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 2 "
                      f"lc rgb {quote(color_of(subject, document))} "
                      + (f"title {quote(subject)}" if len(subjects) > 1
                         else "notitle"))
    tics = ", ".join(f"{quote(case['title'])} {i}"
                     for i, case in enumerate(reversed(chosen)))
    parts.append(
        f"set yrange [-0.7:{len(chosen) - 0.3}]\n"
        f"set ytics ({tics})\n"
        "set grid noytics\n"
        "set arrow from 1, graph 0 to 1, graph 1 nohead lw 2 "
        f"lc rgb '{GREY}' back\n"
        'set xlabel "time of stock / time of GNU Pth: right of the line GNU Pth '
        'is faster"\n'
        'set title "One thread, pinned to a core: median ratio of the pairs and '
        f'its {stats.LEVEL:.0%} interval"\n'
        "set key bottom right\n"
        "plot " + ", \\\n  ".join(curves))
    return "\n".join(parts), (900, 160 + 22 * len(chosen))


def latency(document):
    """Latency beside a CPU-bound thread, as a distribution."""
    case = next((c for c in document["cases"]
                 if c["name"] == "latency_fd" and c["medians"]), None)
    if case is None:
        raise Missing("no latency beside a CPU-bound thread was measured")
    parts, curves = [COMMON], []
    for i, (label, runs) in enumerate(case["runs"].items()):
        samples = sorted(s / 1e6 for run in runs for s in run["samples"])
        step = max(len(samples) // 400, 1)
        rows = [(s, 100 * (k + 1) / len(samples))
                for k, s in enumerate(samples)][::step]
        rows.append((samples[-1], 100))
        parts.append(block(f"d{i}", rows))
        curves.append(f"$d{i} using 1:2 with steps lw 2.5 "
                      f"lc rgb {quote(color_of(label, document))} "
                      f"title {quote(label)}")
    parts.append('set logscale x\n'
                 'set xtics format "%g"\n'
                 'set yrange [0:100]\n'
                 'set ytics format "%g %%"\n'
                 'set xlabel "milliseconds from send() in another process until '
                 'recv() has returned"\n'
                 'set ylabel "of the messages"\n'
                 'set key top left\n'
                 'set title "How long a message waits for its thread while '
                 'another thread computes"\n'
                 "plot " + ", \\\n  ".join(curves))
    return "\n".join(parts), (900, 500)


PLOTS = {"blocked": blocked, "single": single, "latency": latency}


def draw(document, directory):
    """Write the pictures; returns the names of those that could be drawn."""
    drawn = []
    for name, plot in PLOTS.items():
        try:
            script, (width, height) = plot(document)
        except Missing:
            continue
        for terminal, suffix in ((f"pngcairo size {width},{height}", "png"),
                                 (f"svg size {width},{height} dynamic "
                                  "background rgb 'white'", "svg")):
            path = os.path.join(directory, f"{name}.{suffix}")
            try:
                subprocess.run(
                    ["gnuplot"], check=True, text=True, capture_output=True,
                    input=f"set terminal {terminal} font '{FONT}'\n"
                          f"set output {quote(path)}\n{script}\n")
            except FileNotFoundError:
                raise Failed("gnuplot is missing: install the package "
                             "gnuplot-nox (Debian)")
            except subprocess.CalledProcessError as error:
                raise Failed("gnuplot fails: " + error.stderr.strip())
        drawn.append(name)
    return drawn
