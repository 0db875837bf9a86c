"""How much worse a variant of a file is: the difference of two accuracies on the same rows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from autotl.records import Interval

Right = NDArray[np.bool_]

_Z = 1.959963984540054
"""The standard normal's quantile of a two-sided 95 %."""

_MOST_ROWS = 1_000_000


def difference(of_model: Right, of_variant: Right) -> Interval:
    """Accuracy of the variant less that of the model on the same rows, (n,) each, n > 0.

    The interval is Newcombe's tenth for paired proportions (R. G. Newcombe, "Improved confidence
    intervals for the difference between binomial proportions based on paired data", Statistics in
    Medicine 17, 1998, 2635-2650): the Wilson intervals of both, put together with the correlation
    of the rows, corrected for continuity.
    """
    both = int((of_model & of_variant).sum())
    gained = int((~of_model & of_variant).sum())
    lost = int((of_model & ~of_variant).sum())
    return paired(both, gained, lost, len(of_model) - both - gained - lost)


def paired(both: float, first: float, second: float, neither: float) -> Interval:
    """The difference of two shares of the same n > 0 rows: right in both, the first alone, the
    second alone, in neither. The first's less the second's.
    """
    n = both + first + second + neither
    one, two = (both + first) / n, (both + second) / n
    (low1, high1), (low2, high2) = _wilson(one, n), _wilson(two, n)
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    excess = both * neither - first * second
    if excess > 0:
        excess = max(excess - n / 2, 0.0)
    phi = excess / math.sqrt(product) if product else 0.0

    def apart(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))

    value = one - two
    return Interval(
        value=value,
        low=max(value - apart(one - low1, high2 - two), -1.0),
        high=min(value + apart(high1 - one, two - low2), 1.0),
    )


def _wilson(share: float, n: float) -> tuple[float, float]:
    middle = (share + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n)) / (1 + _Z * _Z / n)
    return min(max(middle - half, 0.0), share), max(min(middle + half, 1.0), share)


def rows_needed(of_model: Right, of_variant: Right, least: float) -> int | None:
    """Rows on which the same shares would put the lower bound above `least`, to two figures; None
    where no number of rows would.
    """
    n = len(of_model)
    both, lost = int((of_model & of_variant).sum()), int((of_model & ~of_variant).sum())
    gained = int((~of_model & of_variant).sum())
    shares = [count / n for count in (both, gained, lost, n - both - gained - lost)]

    def enough(rows: float) -> bool:
        return paired(*(share * rows for share in shares)).low > least

    if not enough(_MOST_ROWS):
        return None
    rows = float(n)
    while not enough(rows):
        rows *= 1.02
    step = int(10 ** max(math.floor(math.log10(rows)) - 1, 0))
    return math.ceil(rows / step) * step
