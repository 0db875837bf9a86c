"""Linear and nearest-neighbour probes on pooled stage outputs: NumPy and closed forms only.

A probe asks how much of the classes a stage already tells apart. The linear one is ridge
regression on one-hot targets; a fold's scatter matrix is made once for every strength.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.measure.size import Labels, interleaved
from autotl.records import CurvePoint

NEIGHBOURS = 5
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Ridge strengths tried, in units of the mean eigenvalue of the features' scatter matrix."""
CURVE = (0.25, 0.5)
"""Shares of the training rows at which the learning curve is measured, besides all of them."""

Floats = NDArray[np.floating[Any]]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A cross-validated linear probe: accuracy 0..1, the strength chosen (absolute), and which
    rows (n,) were right when their fold was left out.
    """

    accuracy: float
    strength: float
    right: NDArray[np.bool_]


def standardise(features: Floats) -> Matrix:
    """`features` (n, d) with mean 0 and deviation 1 by column; constant columns become 0."""
    wide = np.asarray(features, np.float64)
    centred = wide - wide.mean(axis=0)
    deviation = np.sqrt((centred**2).mean(axis=0))
    floor = np.finfo(np.float32).eps * np.abs(wide).max(axis=0, initial=0.0)
    return np.where(deviation > floor, centred / np.where(deviation > floor, deviation, 1.0), 0.0)


def linear(features: Floats, labels: Labels, classes: int, fold: NDArray[np.int64]) -> Linear:
    """The linear probe of `features` (n, d), cross-validated over `fold` (n,).

    Features are standardised over all n rows, which sees no label. Of the strengths, the one
    with the least squared error of left-out rows is taken: a smoother judge than accuracy,
    hence less flattered by the choice.
    """
    targets, z = one_hot(labels, classes), standardise(features)
    strengths = _strengths(z)
    predicted = np.empty((len(strengths), *targets.shape))
    for number in np.unique(fold):
        out = fold == number
        predicted[:, out] = _paths(z[~out], targets[~out], z[out], strengths)
    errors = ((predicted - targets) ** 2).sum(axis=(1, 2))
    best = int(errors.argmin())
    right = predicted[best].argmax(axis=1) == labels
    return Linear(accuracy=float(right.mean()), strength=strengths[best], right=right)


def standard_error(apart: Floats, bundles: Sequence[int] | None = None) -> float:
    """Of the mean of paired differences (n,). Those of rows with the same number in `bundles` (n,)
    are not independent, and are added up first (cluster-robust, with the factor for few; Liang and
    Zeger 1986); infinite where all are of one.
    """
    units = np.arange(len(apart)) if bundles is None else np.unique(bundles, return_inverse=True)[1]
    count = int(units.max()) + 1
    if count == len(apart):
        return float(np.std(apart) / np.sqrt(count))
    if count < 2:
        return np.inf
    sums = np.bincount(units.reshape(-1), np.asarray(apart, np.float64) - np.mean(apart))
    return float(np.sqrt((sums**2).sum() * count / (count - 1))) / len(apart)


def neighbours(
    features: Floats, labels: Labels, classes: int, fold: NDArray[np.int64], k: int = NEIGHBOURS
) -> float:
    """Accuracy of the k-NN probe by cosine on standardised `features`, neighbours from other folds.

    Each neighbour has one vote; of equal counts the smaller label wins.
    """
    unit = standardise(features)
    norm = np.linalg.norm(unit, axis=1, keepdims=True)
    unit = unit / np.where(norm > 0, norm, 1.0)
    votes = one_hot(labels, classes)
    right = 0
    for number in np.unique(fold):
        out, rest = fold == number, fold != number
        k_here = min(k, int(rest.sum()))
        near = np.argpartition(-(unit[out] @ unit[rest].T), k_here - 1, axis=1)[:, :k_here]
        right += int((votes[rest][near].sum(axis=1).argmax(axis=1) == labels[out]).sum())
    return right / len(labels)


def curve(
    features: Floats,
    labels: Labels,
    classes: int,
    fold: NDArray[np.int64],
    whole: Linear,
    *,
    seed: int,
) -> tuple[CurvePoint, ...]:
    """The linear probe's learning curve: trained on a quarter, a half and all of the other folds.

    Each point is judged on every left-out row, with the strength of `whole` (the probe of all
    rows) scaled to the number trained on; `examples` is the number of rows trained on, in the mean
    over the rows that are judged.
    """
    order = interleaved(labels, seed=seed)
    points = []
    for share in CURVE:
        right, used = 0, 0
        for number in np.unique(fold):
            rest = order[fold[order] != number]
            rows = rest[: max(round(share * len(rest)), 2)]
            out = np.flatnonzero(fold == number)
            strength = whole.strength * len(rows) / len(labels)
            predicted = predict(features[rows], labels[rows], classes, features[out], strength)
            right += int((predicted == labels[out]).sum())
            used += len(out) * len(rows)
        seen = round(used / len(labels))
        points.append(CurvePoint(examples=seen, accuracy=right / len(labels)))
    left = np.unique(fold, return_counts=True)[1]
    seen = round(len(labels) - float((left**2).sum()) / len(labels))
    return (*points, CurvePoint(examples=seen, accuracy=whole.accuracy))


def predict(
    features: Floats, labels: Labels, classes: int, others: Floats, strength: float
) -> NDArray[np.int64]:
    """Labels (m,) of `others` (m, d) by the linear probe of an absolute strength fitted to
    `features` (n, d).
    """
    mean = np.asarray(features, np.float64).mean(axis=0)
    z = standardise(features)
    deviation = np.asarray(features, np.float64).std(axis=0)
    used = np.abs(z).max(axis=0, initial=0.0) > 0
    new = (np.asarray(others, np.float64)[:, used] - mean[used]) / deviation[used]
    scores = new @ solve(z[:, used], one_hot(labels, classes), strength)
    found: NDArray[np.int64] = (scores + one_hot(labels, classes).mean(axis=0)).argmax(axis=1)
    return found


def solve(centred: Matrix, targets: Matrix, strength: float) -> Matrix:
    """Ridge weights (d, classes) for centred features (n, d), by the smaller of both systems."""
    targets = targets - targets.mean(axis=0)
    n, d = centred.shape
    if d <= n:
        scatter = centred.T @ centred + strength * np.eye(d)
        return np.asarray(np.linalg.solve(scatter, centred.T @ targets))
    gram = centred @ centred.T + strength * np.eye(n)
    return np.asarray(centred.T @ np.linalg.solve(gram, targets))


def mirror_drop(
    features: Floats,
    mirrored: Floats,
    rows: NDArray[np.int64],
    labels: Labels,
    classes: int,
    fold: NDArray[np.int64],
    strength: float,
) -> tuple[float, float]:
    """Accuracy of the linear probe of that strength on the sample's `rows`, plain and mirrored.

    `features` (n, d) and `labels` (n,) are of the sample, `mirrored` (len(rows), d) of the
    mirrored rows. Each row is judged by the probe that did not see its fold.
    """
    plain = turned = 0
    for number in np.unique(fold):
        out = np.flatnonzero(fold[rows] == number)
        rest = fold != number
        both = np.concatenate([features[rows[out]], mirrored[out]])
        found = predict(features[rest], labels[rest], classes, both, strength)
        truth = labels[rows[out]]
        plain += int((found[: len(out)] == truth).sum())
        turned += int((found[len(out) :] == truth).sum())
    return plain / len(rows), turned / len(rows)


def one_hot(labels: Labels, classes: int) -> Matrix:
    """`labels` (n,) as (n, classes) of zeros and ones."""
    return np.asarray(np.eye(classes)[np.asarray(labels)])


def _strengths(z: Matrix) -> list[float]:
    """Absolute strengths: `STRENGTHS` times the mean eigenvalue of `z`'s scatter matrix."""
    scale = float((z**2).sum()) / max(min(z.shape), 1)
    return [share * (scale or 1.0) for share in STRENGTHS]


def _paths(z: Matrix, targets: Matrix, others: Matrix, strengths: Sequence[float]) -> Matrix:
    """Predictions (strengths, m, classes) for `others` (m, d) by ridge fits to `z` (n, d).

    The smaller of both systems is solved, made once for every strength.
    """
    from scipy.linalg import solve as solve_positive

    centre, mean = z.mean(axis=0), targets.mean(axis=0)
    a, b, t = z - centre, others - centre, targets - mean
    if a.shape[1] <= len(a):
        scatter, left, right = a.T @ a, b, a.T @ t
    else:
        scatter, left, right = a @ a.T, b @ a.T, t
    found = []
    for strength in strengths:
        system = scatter + strength * np.eye(len(scatter))
        found.append(mean + left @ solve_positive(system, right, assume_a="pos"))
    return np.stack(found)
