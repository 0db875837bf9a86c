"""Which stages a head alone reads: all of them side by side, unless the tap's probe is better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.measure import probes
from autotl.measure.size import Labels


def together(
    outputs: Sequence[NDArray[np.floating[Any]]],
    labels: Labels,
    classes: int,
    fold: NDArray[np.int64],
    *,
    tap: int,
    tapped: probes.Linear,
    bundles: Sequence[int] | None = None,
) -> tuple[float, tuple[int, ...]]:
    """Accuracy 0..1 of the linear probe of all stages side by side, and the stages (1-based) that a
    head alone reads.

    `outputs` are the averaged outputs (n, channels) by stage, `tapped` the probe of stage `tap`;
    `bundles` as in `probes.standard_error`.
    All are read unless that one is better by more than a standard error of the paired difference:
    what the early stages hold beside it helps most far from the source domain (Head2Toe, Evci 2022,
    arXiv 2201.03529, without its selection of features).
    """
    whole = probes.linear(np.concatenate(outputs, axis=1), labels, classes, fold)
    apart = tapped.right.astype(float) - whole.right
    worse = float(apart.mean()) > probes.standard_error(apart, bundles)
    return whole.accuracy, (tap,) if worse else tuple(range(1, len(outputs) + 1))
