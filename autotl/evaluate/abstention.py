"""When to give no answer: the confidence under which a model abstains, for a target precision."""

from __future__ import annotations

import math

import numpy as np

from autotl.evaluate.figures import Floats, Labels, wilson
from autotl.records import Abstention

CONFIDENCE = 0.95


def fit_threshold(
    probabilities: Floats, labels: Labels, target: float
) -> tuple[float | None, float]:
    """The lowest threshold at which answers of that confidence and above are right with at least
    the `target` share, and the lower bound of that share.

    `probabilities` (n, classes) are of validation rows, n > 0. Of the places that a binary search
    over the sorted confidences looks at, each bound is exact (Clopper and Pearson) at an equal part
    of the error of 5 %, so that all hold together (Geifman and El-Yaniv 2017, "Selective
    classification for deep neural networks", algorithm SGR). The threshold is 0 where every row may
    be answered, None where no place has such a bound; the bound is then the best that was met. It
    does not know that the same rows chose the trial and the temperature.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    ranked = np.sort(confidence)
    looks = 1 + math.ceil(math.log2(len(ranked)) + 1)

    def bound(least: float) -> float:
        answered = confidence >= least
        return _bound(int(right[answered].sum()), int(answered.sum()), looks)

    best = bound(0.0)
    if best >= target:
        return 0.0, best
    found: float | None = None
    low, high = 1, len(ranked)
    while low < high:
        place = (low + high) // 2
        met = bound(ranked[place])
        if met >= target:
            found, high = float(ranked[place]), place
        else:
            low = place + 1
        best = met if met >= target or (found is None and met > best) else best
    return found, best


def _bound(right: int, answered: int, looks: int) -> float:
    """The exact lower bound of a share, at one of so many looks."""
    from scipy.stats import binomtest

    test = binomtest(right, answered, alternative="greater")
    interval = test.proportion_ci(confidence_level=1 - (1 - CONFIDENCE) / looks, method="exact")
    return float(interval.low)


def abstention(
    target: float, validation: tuple[Floats, Labels], test: tuple[Floats, Labels]
) -> Abstention:
    """The threshold by validation rows, and what it comes to on test rows: (probabilities, labels)
    each, calibrated alike.
    """
    threshold, bound = fit_threshold(*validation, target)
    if threshold is None:
        return Abstention(target_precision=target, threshold=None, bound=bound)
    probabilities, labels = test
    answered = probabilities.max(axis=1) >= threshold
    right = (probabilities.argmax(axis=1) == labels)[answered]
    return Abstention(
        target_precision=target,
        threshold=threshold,
        bound=bound,
        coverage=wilson(answered),
        precision=wilson(right) if len(right) else None,
    )
