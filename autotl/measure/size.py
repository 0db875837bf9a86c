"""How much there is to learn from: counts, before any network has seen an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.records import LoadRecord, Size, SplitRecord

Labels = NDArray[np.integer[Any]]


def count(load: LoadRecord, split: SplitRecord, labels: Labels) -> Size:
    """Counts of a loaded and split dataset.

    `labels` (train,) are those of the training rows. The figures by class are of training rows
    too, since only they teach; `imbalance` is of all that was loaded, as the user sees it.
    """
    per_class = np.bincount(np.asarray(labels), minlength=len(load.classes))
    return Size(
        examples=load.examples,
        train=len(labels),
        classes=len(load.classes),
        per_class_least=int(per_class.min()),
        per_class_median=float(np.median(per_class)),
        imbalance=max(load.per_class) / max(min(load.per_class), 1),
        duplicates=split.dropped,
        copies=split.copies,
        median_side=load.median_side,
        validation=split.validation,
    )


def draw(labels: Labels, most: int, *, seed: int) -> NDArray[np.int64]:
    """Sorted row numbers of a stratified sample of at most `most` of the rows of `labels` (n,).

    Every class keeps its share to within one row. All rows where there are no more than `most`.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    return np.sort(interleaved(labels, seed=seed)[:most])


def interleaved(labels: Labels, *, seed: int) -> NDArray[np.int64]:
    """A random order of the rows of `labels` (n,) of which every beginning is stratified."""
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        place[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return np.argsort(place, kind="stable")
