#!/bin/sh
# The harness of bench/: what it calls a difference, what it refuses, and that
# it measures, draws and writes.

. "$(dirname "$0")/tap.sh"

run_py() {
    PYTHONPATH=$top/bench python3 -B "$@"
}

# ---- statistics

cat > "$tmp/check_stats.py" <<'END'
import random
import stats

assert stats.quartiles([5]) == (5, 5, 5)
assert stats.quartiles([1, 2, 3, 4, 5]) == (2, 3, 4)
values = list(range(1, 101))
assert stats.percentile(values, 50) == 50
assert stats.percentile(values, 99) == 99
assert stats.percentile(values, 100) == 100
assert stats.percentile([7], 1) == 7

# From tables of the sign test: 2 / 2**8 is below 1 %, 2 / 2**7 is not;
# of 20 values the 4th from either end.
assert stats.median_interval(range(7)) is None
assert stats.median_interval(range(8)) == (0, 7)
assert stats.median_interval(range(1, 21)) == (4, 17)
assert stats.MIN_PAIRS == 8

# Pairs: a machine that gets ten times slower halfway hides nothing.
base = [100, 101, 99, 100] * 2 + [1000, 1010, 990, 1000] * 2
other = [b / 1.2 for b in base]
found = stats.compare(base, other)
assert found["verdict"] == stats.FASTER, found
assert abs(found["ratio"] - 1.2) < 0.001, found
assert stats.compare(other, base)["verdict"] == stats.SLOWER
# Where more is better it is the other way round.
assert stats.compare(base, other, "higher")["verdict"] == stats.SLOWER
# No verdict without enough pairs, however large the difference.
found = stats.compare([100] * 7, [1] * 7)
assert found["verdict"] == stats.TOO_FEW and found["low"] is None, found
try:
    stats.compare([1, 2], [1])
except ValueError:
    pass
else:
    raise AssertionError("figures that are no pairs are compared")

# A planted difference is found in noise, and pure noise is none: in 1,000
# comparisons as good as always, as the level says.
rng = random.Random(5)
def sample(n, factor):
    return [factor * rng.lognormvariate(0, 0.05) for _ in range(n)]
wrong = sum(stats.compare(sample(16, 1), sample(16, 1))["verdict"] != stats.SAME
            for _ in range(1000))
assert wrong <= 20, f"{wrong} of 1,000 times noise is called a difference"
found = sum(stats.compare(sample(16, 1.2), sample(16, 1))["verdict"]
            == stats.FASTER for _ in range(1000))
assert found >= 950, f"{found} of 1,000 times a difference of 20 % is found"
# One wild figure does not make a difference, and does not hide one.
noise = sample(16, 1)
assert stats.compare([50.0] + sample(15, 1), noise)["verdict"] == stats.SAME
assert stats.compare([0.01] + sample(15, 1.5), noise)["verdict"] == stats.FASTER
END
ok "a planted difference is a win, pure noise is none" run_py "$tmp/check_stats.py"

cat > "$tmp/check_report.py" <<'END'
import report

same = {"ratio": 1.04, "low": 0.98, "high": 1.1, "verdict": "no difference"}
assert "1.04" not in report.verdict(same), "a ratio inside the noise is shown"
assert "no difference" in report.verdict(same)
assert report.verdict({"ratio": 2, "low": 1.9, "high": 2.1,
                       "verdict": "faster"}) == "2.00 [1.90, 2.10]"
assert "slower" in report.verdict({"ratio": .5, "low": .4, "high": .6,
                                   "verdict": "slower"})

def goal(low, high):
    return report.goal({"comparisons": [
        {"base": "mine, 1 core", "other": "pth", "wanted": 2.0,
         "low": low, "high": high}]})
assert goal(2.1, 2.2) == "2 met"
assert goal(1.9, 2.2) == "2 within noise"
assert goal(1.8, 1.9) == "2 missed"
assert goal(None, None) == ""
assert report.goal({"comparisons": [
    {"base": "stock, 1 core", "other": "pth", "wanted": 2.0, "low": 3, "high": 4},
    {"base": "stock, 1 core", "other": "patched", "wanted": 10.0,
     "low": 3, "high": 4}]}) == "pth: 2 met; patched: 10 missed"

assert report.figure(53.14, "ns") == "53.1 ns"
assert report.figure(12345, "ns") == "12.3 us"
assert report.figure(0.02, "s") == "20.0 ms"
assert report.figure(15360, "bytes") == "15.0 KiB"
assert report.figure(33123, "1/s") == "33.1 k/s"
END
ok "the table shows no ratio where there is no difference" run_py "$tmp/check_report.py"

# ---- wrong usage

bench() {
    run "$top/bench/run" "$@"
}
bench --case no_such_case stock="$STOCK_PYTHON" pth="$PTH_PYTHON"
one_error "a case that is not there is an error" 'no case is called no_such_case'
is "which is a wrong usage" $status 2
bench stock=/nowhere/python pth="$PTH_PYTHON"
one_error "a python that is not there is an error" '/nowhere/python is no python .*make build'
bench "$STOCK_PYTHON"
one_error "a python without a name is an error" 'NAME=PATH'
bench a="$STOCK_PYTHON" b="$STOCK_PYTHON"
one_error "without a python with Pth there is nothing to compare" 'with-pth'
bench a="$STOCK_PYTHON" a="$PTH_PYTHON"
one_error "a name given twice is an error" 'named twice'
bench --pairs 0 a="$STOCK_PYTHON" b="$PTH_PYTHON"
one_error "no pairs are an error" 'above 0'
bench --pairs 1 --case lock --output /proc/nowhere/x.json \
    stock="$STOCK_PYTHON" pth="$PTH_PYTHON"
one_error "an output that cannot be written is an error, at once" 'cannot write'
run "$top/bench/publish" "$tmp/none.json"
one_error "publish says that there is no JSON" 'bench/run first'
echo '{}' > "$tmp/other.json"
run "$top/bench/publish" "$tmp/other.json"
one_error "publish says that a file is not its JSON" 'not what bench/run writes'
is "and writes nothing" "$(ls "$tmp" | grep -c benchmarks)" 0
run "$top/bench/publish"
is "publish without a file is a wrong usage" $status 2

# ---- a failing case

cat > "$tmp/failing" <<END
#!/bin/sh
# Tells what it is, and fails at everything else.
case "\$*" in
    *sysconfig*) exec "$PTH_PYTHON" "\$@" ;;
esac
echo 'this one fails' >&2
exit 3
END
chmod +x "$tmp/failing"
bench --pairs 1 --case lock --output "$tmp/failing.json" \
    stock="$STOCK_PYTHON" pth="$tmp/failing"
is "a case that fails is the exit status" $status 1
like "and is named with its last words" "$err" 'lock: .*this one fails'
like "and the table says so" "$out" 'Lock.acquire, release .*failed'

# ---- a run

ok "a run" "$top/bench/run" --quick --pairs 2 --case lock --case handoff_lock \
    --case peers_switch --case latency_fd --case lock_beside_0_lock \
    --output "$tmp/run.json" stock="$STOCK_PYTHON" pth="$PTH_PYTHON"
like "the table has the case" "$out" '^Lock ping-pong .*us'
like "and says in how many layouts each was" "$out" '^pth: .* 4 layouts$'
like "two pairs are too few to tell" "$out" 'Lock ping-pong .*too few pairs'
cat > "$tmp/check_json.py" <<'END'
import json
import sys
with open(sys.argv[1]) as f:
    document = json.load(f)
assert document["machine"]["kernel"] and document["machine"]["processor"]
assert document["load"]["seconds"] > 0
assert document["pythons"]["pth"]["threads"] == "pth"
assert document["pythons"]["pth"]["compiler"].startswith("GCC")
assert {"greenlet", "gevent", "asyncio", "Python 2.7"} == set(document["peers"])
cases = {case["name"]: case for case in document["cases"]}
runs = cases["handoff_lock"]["runs"]
assert list(runs) == ["stock, 1 core", "stock, all cores", "pth"], list(runs)
assert all(len(r) == 2 and r[0]["value"] > 0 for r in runs.values()), runs
assert len(cases["latency_fd"]["runs"]["pth"][0]["samples"]) >= 10
END
ok "the JSON names machine, pythons and peers, and holds each run" \
    python3 "$tmp/check_json.py" "$tmp/run.json"
# A function that every python has, where it is in each layout.
places=$(for moved in '' .moved1 .moved2 .moved3; do
    nm "$PTH_PYTHON$moved" | awk '$3 == "PyLong_FromLong" { print $1 }'
done | sort -u | wc -l)
is "a python is measured in four layouts of its code" "$places" 4
like "which are linked anew with it" \
    "$(find "$PTH_PYTHON.moved3" -newer "$PTH_PYTHON")" 'moved3$'
cat > "$tmp/check_alignment.py" <<'END'
import subprocess
import sys
import layouts

source, where = sys.argv[1:]
for align in 64, 128:
    subprocess.run(["cc", "-x", "c", "-", "-o", where,
                    f"-falign-functions={align}"],
                   check=True, text=True, input="int main(void) { return 0; }")
    assert layouts.alignment(where) == align, (align, layouts.alignment(where))
assert layouts.alignment(source) in (16, 32, 64), layouts.alignment(source)
END
ok "by what the compiler has aligned it to" \
    run_py "$tmp/check_alignment.py" "$PTH_PYTHON" "$tmp/aligned"
ok "publish writes a document" "$top/bench/publish" "$tmp/run.json" "$tmp/docs"
like "with the table" "$(cat "$tmp/docs/benchmarks.md")" '^\| Lock ping-pong \|'
unlike "and no place left open" "$(cat "$tmp/docs/benchmarks.md")" '@[a-z]'
like "and the short one" "$(cat "$tmp/docs/benchmarks.md")" \
    '^\| two threads hand a lock to each other, there and back \|'
for f in blocked latency; do
    is "and the picture $f as PNG" \
        "$(head -c 4 "$tmp/docs/benchmarks/$f.png" | tr -d '\211')" PNG
    like "and as SVG" "$(cat "$tmp/docs/benchmarks/$f.svg")" '</svg>'
done

# ---- what is published

grep '^| ' "$top/README.md" > "$tmp/readme"
ok "README has a table" test -s "$tmp/readme"
is "and it is that of docs/benchmarks.md" \
    "$(grep -vxFf "$top/docs/benchmarks.md" "$tmp/readme")" ""
like "and a picture" "$(cat "$top/README.md")" \
    '^!\[.*\]\(docs/benchmarks/blocked\.svg\)'
ok "which is there" test -s "$top/docs/benchmarks/blocked.svg"

# ---- each measuring program gives a figure, in both pythons

for python in "$STOCK_PYTHON" "$PTH_PYTHON"; do
    name=$(basename "$(dirname "$python")")
    measure() {
        run env BENCH_SECONDS=0.001 "$python" -E -s -B "$top/bench/programs/$@"
        like "$name: $*" "$status $out$err" '^0 \{.*"value": [0-9.e+]*[1-9]'
    }
    for statement in $(sed -n 's/^    "\([a-z0-9_]*\)": ($/\1/p' "$top/bench/programs/single.py"); do
        measure single.py $statement
    done
    measure single.py lock --with-thread
    for kind in lock simplequeue queue condition event semaphore barrier; do
        measure handoff.py $kind
    done
    for how in lock sleep recv compute; do
        measure handoff.py lock 5 $how
    done
    measure threads.py start_join
    measure threads.py many 20
    measure threads.py pool 4
    measure threads.py ring 5
    measure threads.py memory 50
    for what in fd sleep queue; do
        measure latency.py $what 5
    done
    measure echo.py threads 3 0.1
    measure echo.py threads 1 0.1 1
    measure echo.py asyncio 3 0.1
    for what in sha256 zlib decimal python logging; do
        measure parallel.py $what 2
    done
done

done_testing
