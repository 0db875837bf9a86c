"""Cross-validation folds that keep copies of one image, and examples of one group, together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDS = 5

Labels = NDArray[np.integer[Any]]
Bundles = Sequence[int] | NDArray[np.int64]


def fold_numbers(
    labels: Labels,
    *,
    seed: int,
    count: int = FOLDS,
    bundles: Bundles | None = None,
) -> NDArray[np.int64]:
    """Stratified fold, 0 .. count-1, of every row of `labels` (n,).

    Rows with the same number in `bundles` (n,) are in one fold, however many folds that leaves
    empty, and every class is in several where it is of several bundles. The rows of a class that is
    of one bundle are parted: else no probe would see the class that it is judged by.
    """
    if bundles is not None and len(np.unique(bundles)) < len(labels):
        return _bundle_folds(np.asarray(labels), np.asarray(bundles), seed, count)
    rng = np.random.default_rng(seed)
    fold = np.empty(len(labels), np.int64)
    start = 0
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        fold[rows] = (start + np.arange(len(rows))) % count
        start += len(rows)
    return fold


def _bundle_folds(
    labels: Labels, bundles: NDArray[np.int64], seed: int, count: int
) -> NDArray[np.int64]:
    """Bundles in a random order, the large ones first, each to the fold that has least of what it
    holds, in shares of the classes; of equal ones to the smallest.
    """
    bundle = _torn(labels, bundles)
    label = np.unique(labels, return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(bundle)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    rows_of = np.split(np.argsort(bundle, kind="stable"), np.cumsum(sizes)[:-1])
    total = np.bincount(label)
    held, filled = np.zeros((count, len(total))), np.zeros(count)
    fold = np.empty(len(labels), np.int64)
    for number in order:
        rows = rows_of[number]
        has, counts = np.unique(label[rows], return_counts=True)
        fullness = ((2 * held[:, has] + counts) * counts / total[has]).sum(axis=1)
        whole = held[:, has] + counts >= total[has]  # the class would be in no other fold
        alone = (whole & (counts < total[has])).any(axis=1)
        place = int(np.lexsort((filled, fullness.round(9), alone))[0])
        fold[rows] = place
        held[place, has] += counts
        filled[place] += len(rows)
    return fold


def _torn(labels: Labels, bundles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bundles numbered anew from 0; the rows of a class that is of a single one are each their own,
    where there are several.
    """
    numbers = np.unique(bundles, return_inverse=True)[1].reshape(-1)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) > 1 and len(np.unique(numbers[rows])) == 1:
            numbers[rows] = numbers.max() + 1 + np.arange(len(rows))
    if len(np.unique(numbers)) == 1:
        return np.arange(len(labels))
    return np.asarray(np.unique(numbers, return_inverse=True)[1].reshape(-1), np.int64)
