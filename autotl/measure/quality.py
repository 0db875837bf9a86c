"""What of the examples is said twice, or doubtful, by distances between averaged stage outputs.

A near-copy lies closer to another example than `NEAR` times the median distance to the nearest one,
the rule and the figure of cleanlab's Datalab
(https://docs.cleanlab.ai/stable/cleanlab/datalab/guide/issue_type_description.html). A doubtful
label is one that none of the nearest neighbours bears while all of them bear the same other one. Of
a class of which chance alone would make many so (a rare one), it is only told where there are far
fewer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.measure.probes import standardise
from autotl.measure.size import Labels
from autotl.records import Size

NEAR = 0.13
NEIGHBOURS = 5
ROUNDING = 1e-6
"""Cosine distance up to which two outputs are the same in float32."""
OFTEN, FEWER = 0.05, 1 / 3
"""Share of a class that chance alone would call doubtful from which on that counts, and the part
of it under which what was found is not chance.
"""
AT_ONCE = 1000
"""Validation rows that are compared with the sample at once."""
NAMED = 20
"""Doubtful examples that are named at most."""
PAIRS = 12
"""Pairs of near-copies that are named at most."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Of each row (n,): the nearest others, nearest first (n, k), and their distances (n, k)."""

    places: NDArray[np.int64]
    distances: NDArray[np.float64]


def judged(
    counts: Size,
    features: Floats,
    labels: Labels,
    validation: Floats | None,
    name: Callable[[int], str],
) -> Size:
    """`counts` with what `features` (n, d) and `labels` (n,) of the sample say.

    `validation` (m, d) are the same stage's outputs of validation rows, None where they were not
    passed; `name(i)` is the id of row i of the sample. Effective size is the training examples,
    near-copies counted once and doubtful ones left out, times the evenness of the classes: the
    exponential of their entropy over their number. Copies are looked for among these rows alone: of
    a sample of many there are more, and the effective size is less.
    """
    if len(features) <= 1:
        return counts
    found = nearest(features)
    limit = near(found)
    copies = len(features) - groups(found, limit)
    doubts = doubtful(found, labels)
    share = (len(features) - copies) / len(features) * (1 - len(doubts) / len(features))
    leaks = None if validation is None else leaked(features, validation, limit)
    return replace(
        counts,
        examined=len(features),
        near_copies=copies,
        near_leaks=leaks,
        doubts=len(doubts),
        doubtful=tuple(name(int(row)) for row in doubts[:NAMED]),
        borne=tuple(int(labels[found.places[row, 0]]) for row in doubts[:NAMED]),
        near_pairs=tuple((name(a), name(b)) for a, b in pairs(found, labels, limit)[:PAIRS]),
        effective=counts.train * share * evenness(labels, counts.classes),
    )


def nearest(features: Floats, count: int = NEIGHBOURS) -> Neighbours:
    """The `count` nearest other rows of each row of `features` (n, d), by cosine distance."""
    unit = _unit(standardise(features))
    apart = 1 - unit @ unit.T
    np.fill_diagonal(apart, np.inf)
    count = min(count, len(apart) - 1)
    some = np.argpartition(apart, count - 1, axis=1)[:, :count]
    order = np.take_along_axis(apart, some, axis=1).argsort(axis=1, kind="stable")
    places = np.take_along_axis(some, order, axis=1)
    distances = np.take_along_axis(apart, places, axis=1)
    return Neighbours(places=places, distances=np.maximum(distances, 0.0))


def near(found: Neighbours) -> float:
    """The distance up to which an example is a near-copy."""
    return max(NEAR * float(np.median(found.distances[:, 0])), ROUNDING)


def groups(found: Neighbours, limit: float) -> int:
    """How many examples there are where near-copies, and theirs in turn, count as one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = np.nonzero(found.distances <= limit)
    n = len(found.distances)
    pairs = (np.ones(len(rows)), (rows, found.places[rows, columns]))
    return int(connected_components(coo_array(pairs, shape=(n, n)), directed=False)[0])


def pairs(found: Neighbours, labels: Labels, limit: float) -> list[tuple[int, int]]:
    """Near-copies two by two, each pair once, the lower row first.

    Pairs of different labels come first, and of the rest those that differ at all; then the nearer.
    """
    rows, columns = np.nonzero(found.distances <= limit)
    apart = {
        (min(row, other), max(row, other)): float(found.distances[row, column])
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        for other in (int(found.places[row, column]),)
    }
    return sorted(
        apart,
        key=lambda pair: (
            bool(labels[pair[0]] == labels[pair[1]]),
            apart[pair] <= ROUNDING,
            apart[pair],
            pair,
        ),
    )


def doubtful(found: Neighbours, labels: Labels) -> NDArray[np.int64]:
    """Rows whose neighbours all bear one label, and another than theirs, nearest ones first."""
    theirs, own = np.asarray(labels)[found.places], np.asarray(labels)
    agree = (theirs == theirs[:, :1]).all(axis=1) & (theirs[:, 0] != own)
    agree &= found.places.shape[1] == NEIGHBOURS
    expected, counts = by_chance(own), np.bincount(own)
    seen = np.bincount(own[agree], minlength=len(counts)) / np.maximum(counts, 1)
    rows = np.flatnonzero(agree & ~((expected > OFTEN) & (seen > FEWER * expected))[own])
    order = found.distances[rows].mean(axis=1).argsort(kind="stable")
    return np.asarray(rows[order])


def by_chance(labels: Labels) -> NDArray[np.float64]:
    """Share of each class (classes,) that were doubtful if neighbours' labels were drawn by the
    classes' shares.
    """
    all_alike = (np.bincount(np.asarray(labels)) / len(labels)) ** NEIGHBOURS
    return np.asarray(all_alike.sum() - all_alike)


def leaked(features: Floats, others: Floats, limit: float) -> int:
    """How many of `others` (m, d) lie within `limit` of a row of `features` (n, d)."""
    both = _unit(standardise(np.concatenate([features, others])))
    own, theirs = both[: len(features)], both[len(features) :]
    found = 0
    for first in range(0, len(theirs), AT_ONCE):
        apart = 1 - theirs[first : first + AT_ONCE] @ own.T
        found += int((apart.min(axis=1, initial=np.inf) <= limit).sum())
    return found


def evenness(labels: Labels, classes: int) -> float:
    """exp(entropy of the classes) over their number: 1 where all have the same count."""
    shares = np.bincount(np.asarray(labels), minlength=classes) / max(len(labels), 1)
    some = shares[shares > 0]
    return float(np.exp(-(some * np.log(some)).sum())) / classes


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norm > 0, norm, 1.0))
