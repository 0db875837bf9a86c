"""What the probes say about depth: which stage to tap, and where to cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autotl.measure import probes

TRAINED_SHARE = 0.75
"""Share of the parameters that the proposed boundary leaves to be trained."""


def tap(right: Sequence[NDArray[np.bool_]], bundles: Sequence[int] | None = None) -> int:
    """The stage (1-based) whose linear probe is best.

    `right[i]` (n,) says which examples the probe of stage i + 1 got right. A later stage is
    preferred while it is within one standard error of the paired difference to the best one
    (`bundles` as in `probes.standard_error`).
    """
    best = max(range(len(right)), key=lambda i: (right[i].mean(), i))
    for stage in range(len(right) - 1, best, -1):
        apart = right[best].astype(float) - right[stage]
        if apart.mean() <= probes.standard_error(apart, bundles):
            return stage + 1
    return best + 1


def boundary(
    right: Sequence[NDArray[np.bool_]],
    parameters_above: Sequence[int],
    top: int,
    bundles: Sequence[int] | None = None,
) -> int:
    """The proposed k for partial freeze, below the tap `top`; 0 where there is none.

    The latest cut above which at least `TRAINED_SHARE` of the parameters lie; and if the depth
    curve already falls before that cut, its highest stage: what comes after it does not serve
    this data and is better trained. `right` and `bundles` as in `tap`.
    """
    share = [n / parameters_above[0] for n in parameters_above]
    latest = max((k for k in range(len(share)) if share[k] >= TRAINED_SHARE), default=0)
    latest = min(latest, top - 1)
    return tap(right[:latest], bundles) if latest > 0 else 0
