"""The linear probe: logistic regression on standardised, average-pooled stage outputs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl import model
from autotl.folds import FOLDS, fold_numbers
from autotl.train import scores
from autotl.train.inputs import Net, pooled
from autotl.train.job import Job

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float32]
STRENGTHS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0)
"""Inverse regularisation strengths `C` (of scikit-learn) tried, in the order tried."""
MIDDLE = 1e-2
TOLERANCE = 1e-3
ITERATIONS = 300
FEW = 200
"""Validation rows under which a probe's strength is chosen, and every recipe that trains only a
head is compared with the probe, by cross-validation over training and validation rows instead."""
ABSENT = -30.0
"""Logit offset of a class that no training row has."""


@dataclass(frozen=True, kw_only=True)
class Linear:
    """logits = (features - mean) / deviation @ kernel + bias; kernel (features, classes).

    `converged` says whether the solver came within its tolerance.
    """

    mean: Floats
    deviation: Floats
    kernel: Floats
    bias: Floats
    converged: bool = True

    def logits(self, features: Floats) -> Floats:
        """float32 (n, classes)."""
        result = ((features - self.mean) / self.deviation) @ self.kernel + self.bias
        return result.astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Start:
    """Standardisation of the head's inputs, None for none, and the last layer's weights, None for
    random ones.
    """

    mean: Floats | None = None
    deviation: Floats | None = None
    kernel: Floats | None = None
    bias: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class Probed:
    """The fitted probe, and its validation logits.

    `crossed` are out-of-fold logits of all rows, None where there were validation rows enough, a
    class has one row or the deadline left no time.
    """

    linear: Linear
    logits: Floats
    train_accuracy: float
    strength: float
    converged: bool
    crossed: Floats | None


@dataclass(frozen=True, kw_only=True)
class Crossed:
    """The strength of the lowest out-of-fold log loss, those logits, and each fold's probe."""

    strength: float
    logits: Floats
    linears: tuple[Linear, ...]


def fit(job: Job, net: Net) -> Probed:
    """Fit on the training rows.

    The strength is chosen by log loss on validation rows, or by stratified cross-validation over
    all rows where these are few.
    """
    train, labels = job.pixels.train, job.labels
    features = pooled(job, net)
    classes = job.pixels.classes
    crossed = None
    if job.pixels.validation < FEW:
        crossed = _by_folds(features, labels, classes, job)
        strength = crossed.strength if crossed else MIDDLE
        linear = _at(features[:train], labels[:train], classes, strength)
    else:
        strength, linear = _by_validation(features, labels, classes, job)
    fitted = linear.logits(features)
    return Probed(
        linear=linear,
        logits=fitted[train:],
        train_accuracy=float((fitted[:train].argmax(axis=1) == labels[:train]).mean()),
        strength=strength,
        converged=linear.converged,
        crossed=crossed.logits if crossed else None,
    )


def start(job: Job, net: Net) -> Start:
    """What the head of a gradient training starts from.

    With pretrained weights its inputs are standardised, and a linear head starts from a probe:
    the job's, where that reads the same taps, else one of middle strength, fitted here.
    """
    if not job.recipe.pretrained:
        return Start()
    features = pooled(job, net)[: job.pixels.train]
    if job.recipe.head.hidden:
        mean, deviation = standard(features)
        return Start(mean=mean, deviation=deviation)
    if job.probe is not None:
        found = read(job.probe, features.shape[1], job.pixels.classes)
        if found:
            return from_linear(found)
    return from_linear(_at(features, job.train_labels, job.pixels.classes, MIDDLE))


def from_linear(linear: Linear) -> Start:
    """The start that gives the probe's logits."""
    return Start(
        mean=linear.mean, deviation=linear.deviation, kernel=linear.kernel, bias=linear.bias
    )


def fold_starts(job: Job, features: Floats) -> tuple[Linear, ...] | None:
    """What `start` gives, for each of the job's folds and from its rows alone; None where the
    deadline leaves no time.
    """
    labels, classes = job.labels, job.pixels.classes
    if job.probe is not None:
        crossed = _by_folds(features, labels, classes, job)
        return crossed.linears if crossed else None
    parts, begun = folds(job), job.elapsed
    found: list[Linear] = []
    for rest, _ in parts:
        found.append(_at(features[rest], labels[rest], classes, MIDDLE))
        if _no_time(job, begun, len(found), len(parts)):
            return None
    return tuple(found)


def read(path: Any, width: int, classes: int) -> Linear | None:
    """The linear probe that `model.save_trained` wrote, where its shape is (width, classes)."""
    with np.load(path, allow_pickle=False) as arrays:
        named = {name.rsplit("/", 1)[-1]: arrays[name] for name in arrays.files}
    if set(named) != {"kernel", "bias", "mean", "deviation"}:
        return None
    if named["kernel"].shape != (width, classes):
        return None
    return Linear(**named)


def _at(features: Floats, labels: NDArray[Any], classes: int, strength: float) -> Linear:
    up_to = [s for s in STRENGTHS if s <= strength]
    *_, last = solve(features, labels, classes, up_to)
    return last


def solve(
    features: Floats, labels: NDArray[Any], classes: int, strengths: Sequence[float]
) -> Iterator[Linear]:
    """Logistic regressions on features standardised here, at rising inverse strengths.

    Each starts from the one before, so the first is the dearest.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, deviation = standard(features)
    scaled = (features - mean) / deviation
    solver = LogisticRegression(max_iter=ITERATIONS, tol=TOLERANCE, warm_start=True)
    for strength in strengths:
        solver.C = strength
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", ConvergenceWarning)
            solver.fit(scaled, labels)
        late = [one for one in told if issubclass(one.category, ConvergenceWarning)]
        for one in told:
            if one not in late:
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        yield replace(_linear(solver, classes, mean, deviation), converged=not late)


def standard(features: Floats) -> tuple[Floats, Floats]:
    """(mean, deviation) by column, float32; a constant column's deviation is 1."""
    wide = features.astype(np.float64)
    mean, deviation = wide.mean(axis=0), wide.std(axis=0)
    floor = np.finfo(np.float32).eps * np.abs(wide).max(axis=0, initial=1.0)
    safe = np.where(deviation > floor, deviation, 1.0)
    return mean.astype(np.float32), safe.astype(np.float32)


def _linear(solver: Any, classes: int, mean: Floats, deviation: Floats) -> Linear:
    kernel, bias = solver.coef_.T, solver.intercept_
    if len(solver.classes_) == 2:
        kernel = np.concatenate([-kernel / 2, kernel / 2], axis=1)
        bias = np.concatenate([-bias / 2, bias / 2])
    every = np.zeros((len(mean), classes), np.float32)
    offsets = np.full(classes, ABSENT, np.float32)
    every[:, solver.classes_], offsets[solver.classes_] = kernel, bias
    return Linear(mean=mean, deviation=deviation, kernel=every, bias=offsets)


def _late(job: Job, tried: int) -> bool:
    """Whether one more of what was `tried` so often would end after the deadline."""
    return job.deadline is not None and job.elapsed * (tried + 1) / tried > job.deadline


def _no_time(job: Job, begun: float, done: int, total: int) -> bool:
    """Whether the rest of `total` like those done since `begun` would end after the deadline."""
    each = (job.elapsed - begun) / done
    return job.deadline is not None and job.elapsed + each * (total - done) > job.deadline


def _by_validation(
    features: Floats, labels: NDArray[Any], classes: int, job: Job
) -> tuple[float, Linear]:
    train = job.pixels.train
    path = solve(features[:train], labels[:train], classes, STRENGTHS)
    best: tuple[float, float, Linear] | None = None
    for tried, (strength, linear) in enumerate(zip(STRENGTHS, path, strict=True), start=1):
        loss = scores.metrics(linear.logits(features[train:]), labels[train:])["log-loss"]
        job.progress("training", tried, len(STRENGTHS))
        if best is None or loss < best[0]:
            best = (loss, strength, linear)
        if loss > best[0] or _late(job, tried):
            break
    assert best is not None
    return best[1], best[2]


def _by_folds(features: Floats, labels: NDArray[Any], classes: int, job: Job) -> Crossed | None:
    """The best strength and its out-of-fold logits; None where a class has one row or the
    deadline leaves no time.
    """
    parts, begun = folds(job), job.elapsed
    if not parts:
        return None
    out = np.zeros((len(STRENGTHS), len(labels), classes), np.float32)
    fitted: list[list[Linear]] = []
    for done, (rest, left) in enumerate(parts, start=1):
        fitted.append(list(solve(features[rest], labels[rest], classes, STRENGTHS)))
        for i, linear in enumerate(fitted[-1]):
            out[i, left] = linear.logits(features[left])
        job.progress("training", done, len(parts))
        if _no_time(job, begun, done, len(parts)):
            return None
    losses = [scores.metrics(one, labels)["log-loss"] for one in out]
    best = int(np.argmin(losses))
    return Crossed(
        strength=STRENGTHS[best],
        logits=out[best],
        linears=tuple(path[best] for path in fitted),
    )


def folds(job: Job) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """(rows to fit, rows left out) of each fold, stratified, over training and validation rows;
    those of one bundle are in one fold.

    The same ones for every trial of a search, so that trials are compared in pairs; there are
    none where a class has one row, or is in no other fold.
    """
    from sklearn.model_selection import StratifiedKFold

    least = int(np.unique(job.labels, return_counts=True)[1].min())
    if least < 2:
        return []
    seed = job.view_seed % 2**32
    if job.bundles is not None:
        fold = fold_numbers(job.labels, seed=seed, bundles=job.bundles)
        parts = [(np.flatnonzero(fold != n), np.flatnonzero(fold == n)) for n in np.unique(fold)]
        classes = len(np.unique(job.labels))
        seen = all(len(np.unique(job.labels[rest])) == classes for rest, _ in parts)
        return parts if seen else []
    splitter = StratifiedKFold(min(FOLDS, least), shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(job.labels)), job.labels))


def as_model(job: Job, linear: Linear) -> keras.Model:
    """The probe as the Keras model of the job's recipe."""
    made = model.head_alone(
        job.recipe,
        len(linear.mean),
        job.pixels.classes,
        standard=(linear.mean, linear.deviation),
        seed=job.seed,
    )
    made.get_layer(model.HEAD).get_layer(model.LOGITS).set_weights([linear.kernel, linear.bias])
    return made
