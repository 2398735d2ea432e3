"""Tables of what was measured."""

import os

import cases
import stats

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def summarize(result):
    """The result of a case as it goes into the JSON."""
    case = result["case"]
    values = {label: [figures["value"] for figures in runs]
              for label, runs in result["runs"].items()}
    summary = {
        "name": case.name, "group": case.group, "title": case.title,
        "unit": case.unit, "better": case.better, "error": result["error"],
        "curve": case.curve, "runs": result["runs"],
        "medians": {}, "quartiles": {}, "comparisons": [],
    }
    if not all(values.values()):
        return summary
    for label, figures in values.items():
        low, median, high = stats.quartiles(figures)
        summary["medians"][label] = median
        summary["quartiles"][label] = [low, high]
    subjects = [v for v in result["variants"]
                if not v.is_stock and v.label not in case.peers]
    for base in values:
        if base in [v.label for v in subjects]:
            continue
        for other in subjects:
            summary["comparisons"].append({
                "base": base, "other": other.label,
                "wanted": case.wanted.get(cases.stock_variant(base)),
                **stats.compare(values[base], values[other.label],
                                case.better)})
    return summary


# What a figure is divided by, and what it is called then.
SCALES = {
    "ns": ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1, "ns")),
    "s": ((1, "s"), (1e-3, "ms"), (1e-6, "us")),
    "bytes": ((2 ** 20, "MiB"), (2 ** 10, "KiB"), (1, "B")),
    "1/s": ((1e3, "k/s"), (1, "/s")),
    "%": ((1, "%"),),
    "": ((1, ""),),
}


def figure(value, unit):
    """A figure with three digits that say something, and its unit."""
    for divisor, name in SCALES[unit]:
        if abs(value) >= divisor:
            break
    scaled = value / divisor
    digits = 0 if abs(scaled) >= 100 else 1 if abs(scaled) >= 10 else 2
    return f"{scaled:,.{digits}f} {name}".strip()


def spread(quartiles):
    """The quartiles, in percent of their middle."""
    low, high = quartiles
    middle = (low + high) / 2
    return f"±{(high - low) / 2 / middle:.0%}" if middle else ""


def verdict(comparison):
    """What the comparison says: a ratio only where there is a difference."""
    c = comparison
    if c["verdict"] == stats.TOO_FEW:
        return f"({c['ratio']:.2f}, {c['verdict']})"
    ratio = "" if c["verdict"] == stats.SAME else f"{c['ratio']:.2f} "
    word = "" if c["verdict"] == stats.FASTER else f" {c['verdict']}"
    return f"{ratio}[{c['low']:.2f}, {c['high']:.2f}]{word}"


def goal(case):
    """Whether the case is as many times better as wanted."""
    said = {}
    for c in case["comparisons"]:
        wanted = c["wanted"]
        if wanted is None or c["low"] is None:
            continue
        if c["high"] < wanted:
            word = "missed"
        elif c["low"] < wanted:
            word = "within noise"
        else:
            word = "met"
        said.setdefault(c["other"], []).append(f"{wanted:g} {word}")
    several = len({c["other"] for c in case["comparisons"]}) > 1
    return "; ".join((f"{other}: " if several else "") + ", ".join(words)
                     for other, words in said.items())


def cell(case, label):
    return (figure(case["medians"][label], case["unit"]) + " "
            + spread(case["quartiles"][label]))


def wide_table(chosen):
    """A row a case, a column a python and a ratio."""
    labels = list(dict.fromkeys(label for c in chosen for label in c["runs"]))
    pairs = list(dict.fromkeys(
        (d["base"], d["other"]) for c in chosen for d in c["comparisons"]))
    header = [*labels, *(f"{base} / {other}" for base, other in pairs)]
    has_goals = any(c["wanted"] for case in chosen for c in case["comparisons"])
    rows = []
    for case in chosen:
        if not case["medians"]:
            rows.append([case["title"], "failed"])
            continue
        row = [case["title"]]
        row += [cell(case, label) if label in case["medians"] else ""
                for label in labels]
        found = {(d["base"], d["other"]): verdict(d)
                 for d in case["comparisons"]}
        row += [found.get(pair, "") for pair in pairs]
        rows.append(row + ([goal(case)] if has_goals else []))
    return header + (["goal"] if has_goals else []), rows


def long_table(chosen):
    """A row a python of each case, a column a ratio."""
    subjects = list(dict.fromkeys(
        d["other"] for c in chosen for d in c["comparisons"]))
    rows = []
    for case in chosen:
        if not case["medians"]:
            rows.append([case["title"], "failed"])
            continue
        rows.append([case["title"]])
        for label in case["medians"]:
            found = {d["other"]: verdict(d) for d in case["comparisons"]
                     if d["base"] == label}
            rows.append(["    " + label, cell(case, label),
                         *(found.get(s, "") for s in subjects)])
    return ["", *(f"ratio to {s}" for s in subjects)], rows


LONG = {"peers", "io"}


def tables(document):
    """(group, header, rows) of each group: lists of cells."""
    for group, title in cases.GROUPS.items():
        chosen = [c for c in document["cases"] if c["group"] == group]
        if chosen:
            table = long_table if group in LONG else wide_table
            header, rows = table(chosen)
            header = [title, *header]
            rows = [row + [""] * (len(header) - len(row)) for row in rows]
            yield group, header, rows
    if document["programs"]:
        yield "programs", *programs_table(document)


def short_table(document):
    """(header, rows): the medians of cases.SHORT."""
    found = {c["name"]: c for c in document["cases"] if c["medians"]}
    chosen = [found[name] for name in cases.SHORT if name in found]
    labels = list(dict.fromkeys(label for c in chosen for label in c["medians"]))
    rows = []
    for case in chosen:
        medians = case["medians"]
        rows.append([cases.SHORT[case["name"]], *(
            figure(medians[label], case["unit"]) if label in medians else ""
            for label in labels)])
    for program in document["programs"]:
        if program["title"] == cases.PROGRAMS["lock_pingpong.py"]:
            calls = {label: f"{program['pythons'][name]['futex']:,}"
                     for label in labels for name in program["pythons"]
                     if label in (name, cases.STOCK_N.replace("stock", name))}
            rows.append(["futex calls of 20,000 round trips",
                         *(calls.get(label, "") for label in labels)])
    return ["", *labels], rows


def programs_table(document):
    header = ["Whole programs", "", *document["pythons"]]
    rows = []
    for program in document["programs"]:
        found = program["pythons"].values()
        name = program["title"]
        for key, title in (("calls", "system calls"), ("futex", "futex calls"),
                           ("futex_wait", "futex calls that wait")):
            rows.append([name, title, *(f"{p[key]:,}" for p in found)])
            name = ""
        rows.append(["", "seconds", *(f"{p['seconds']:.3f}" for p in found)])
    return header, rows


def configure_options(python):
    # Without where this repository happens to be.
    return (python["configure"] or "").replace(TOP + os.sep, "")


def describe(document):
    """What was measured where, a line each."""
    m, load = document["machine"], document["load"]
    yield (f"{m['processor']}, {m['cores']} cores, "
           f"{m['memory'] / 2 ** 30:.0f} GiB; {m['system']}, "
           f"Linux {m['kernel']}, {m['libc']}")
    for name, p in document["pythons"].items():
        layouts = len(p["layouts"])
        yield (f"{name}: CPython {p['version']}, {p['threads']} threads"
               f" ({p['threads_version']}), {p['compiler']},"
               f" configure {configure_options(p) or 'without options'},"
               f" {layouts} layout{'s' if layouts > 1 else ''}")
    for name, p in document["peers"].items():
        yield f"{name}: {p['version'] or 'not here: ' + p['missing']}"
    yield (f"{document['date']}, mode {document['mode']}, "
           f"{load['seconds'] / 60:.1f} minutes; load average "
           f"{load['before']} before, {load['after']} after; other processes"
           f" kept {load['others']:.2f} processors busy")


QUIET = 0.05


def warnings(document):
    if document["load"]["others"] > QUIET:
        yield ("The machine was not quiet: other processes kept "
               f"{document['load']['others']:.2f} processors busy. Do not "
               "trust these figures.")


EXPLAIN = f"""\
Medians, with half the distance of the quartiles in percent. Ratios are those of
pairs, above 1 where GNU Pth threads are better: their median, and an interval
that holds it with a probability of {stats.LEVEL:.0%} or more. Where 1 is in that
interval there is no difference."""


def text(document):
    """Everything, for a terminal."""
    lines = list(describe(document))
    lines += ["", EXPLAIN]
    for _, header, rows in tables(document):
        lines.append("")
        widths = [max(len(row[i]) for row in [header, *rows])
                  for i in range(len(header))]
        for row in [header, *rows]:
            lines.append("  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths))).rstrip())
    lines += [""] + [f"WARNING: {w}" for w in warnings(document)]
    return "\n".join(lines).rstrip()


def markdown(header, rows, numbers_from=1):
    """A table for docs/."""
    lines = ["| " + " | ".join(header) + " |",
             "|" + "".join("---|" if i < numbers_from else "--:|"
                           for i in range(len(header)))]
    for row in rows:
        # Markdown would eat the indent.
        cells = ["&nbsp;&nbsp;" + c.strip() if c.startswith(" ") else c
                 for c in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
