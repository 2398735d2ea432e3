"""What the runs of a case say, and what they do not.

Two pythons are compared pair by pair: the figures that they gave in the same
round, one right after the other.  The ratio of a pair is free of whatever slows
the machine for longer than that.  From the ratios comes their median, and an
interval that holds the true median with the probability LEVEL.  The interval
is taken from the ratios' order alone (the sign test turned round; Conover,
Practical Nonparametric Statistics, 3.2): it assumes no distribution, and one
wild pair does not move it.

A difference is called one only if 1.0 is outside of the interval.
"""

import math
import statistics

LEVEL = 0.99

# With fewer pairs even the interval from the smallest to the largest ratio is
# not as sure as LEVEL.
MIN_PAIRS = 8

FASTER = "faster"
SLOWER = "slower"
SAME = "no difference"
TOO_FEW = "too few pairs"


def quartiles(values):
    """The first quartile, the median and the third quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def percentile(values, percent):
    """The smallest value that `percent` of all values do not exceed."""
    ordered = sorted(values)
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(rank, 1) - 1]


def median_interval(values, level=LEVEL):
    """An interval that holds the median with at least the given probability.

    None if there are too few values for any.
    """
    n = len(values)
    # The k-th smallest and the k-th largest value miss the median if fewer
    # than k values fall on one side of it: twice the binomial's tail.
    tail = 0.0
    k = 0
    while k < n:
        tail += math.comb(n, k) / 2 ** n
        if 2 * tail > 1 - level:
            break
        k += 1
    if k == 0:
        return None
    ordered = sorted(values)
    return ordered[k - 1], ordered[n - k]


def compare(base, other, better="lower"):
    """How much better `other` is than `base`: lists of figures, pair by pair.

    Returns a dictionary: "ratio" (above 1 is better), its interval "low" and
    "high" (None with too few pairs), "pairs", and the "verdict".
    """
    if len(base) != len(other):
        raise ValueError("the figures do not come in pairs")
    if better == "lower":
        ratios = [b / o for b, o in zip(base, other)]
    else:
        ratios = [o / b for b, o in zip(base, other)]
    interval = median_interval(ratios)
    low, high = interval or (None, None)
    if interval is None:
        verdict = TOO_FEW
    elif low > 1:
        verdict = FASTER
    elif high < 1:
        verdict = SLOWER
    else:
        verdict = SAME
    return {"ratio": statistics.median(ratios), "low": low, "high": high,
            "pairs": len(ratios), "verdict": verdict}
