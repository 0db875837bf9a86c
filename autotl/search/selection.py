"""Which trial is best on the validation rows, and whose weights stay on disk (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.records import Metric, Recipe, Trial

FEW = 200
"""Validation rows under which a proposal must beat the `incumbent` by more than one standard error:
on out-of-fold predictions where both have them (heads alone, if each class has two rows and the
deadline left time for folds), else on the validation rows."""
KEPT = 3
PROPOSAL = "proposal"
"""The origin of a trial that the oracle proposed."""

Logits = Callable[[Trial], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Crossed:
    """Labels of training and validation rows, a trial's out-of-fold logits for them, if any, and
    their bundles: rows of which the number is the same are not independent.
    """

    labels: NDArray[Any]
    logits: Callable[[Trial], NDArray[np.float32] | None]
    bundles: NDArray[Any] | None = None


def score(metrics: dict[str, float], metric: Metric) -> float:
    """The objective, higher is better: log loss with its sign turned."""
    return -metrics[metric] if metric == "log-loss" else metrics[metric]


def metric_value(logits: NDArray[Any], labels: NDArray[Any], metric: Metric) -> float:
    """A metric of logits (n, classes) against labels (n,), as `TrialResult.metrics` has it."""
    return _metric(_evidence(logits, labels, metric), labels, logits.shape[1], metric)


def finished(trials: Sequence[Trial]) -> list[Trial]:
    """Those that have a result."""
    return [trial for trial in trials if trial.result is not None]


def ranked(trials: Sequence[Trial], metric: Metric, rows: int) -> list[Trial]:
    """Finished trials, best first.

    Those within one example (1 / rows) of the highest score are tied: among them lower log loss
    goes first, then the earlier trial. The others follow by score, then log loss. `log-loss` itself
    knows no ties but equality.
    """
    done = finished(trials)
    if not done:
        return []
    tied = 0.0 if metric == "log-loss" else (1.0 + 1e-6) / rows
    top = max(_score(trial, metric) for trial in done)
    near = [trial for trial in done if _score(trial, metric) >= top - tied]
    far = [trial for trial in done if _score(trial, metric) < top - tied]
    near.sort(key=lambda t: (_loss(t), t.number))
    far.sort(key=lambda t: (-_score(t, metric), _loss(t), t.number))
    return near + far


def best(
    trials: Sequence[Trial],
    metric: Metric,
    labels: NDArray[Any],
    logits: Logits,
    crossed: Crossed | None = None,
) -> Trial | None:
    """The first of the `eligible` trials as they are `ranked`; None where none finished."""
    order = ranked(eligible(trials, metric, labels, logits, crossed), metric, len(labels))
    return order[0] if order else None


def eligible(
    trials: Sequence[Trial],
    metric: Metric,
    labels: NDArray[Any],
    logits: Logits,
    crossed: Crossed | None = None,
) -> list[Trial]:
    """The finished trials that may be selected: the `incumbent` where no other is left.

    With `FEW` validation rows or more none that scores below trial 0, the probe, on these, not by
    one example either. With fewer only proposals that beat the incumbent by more than one standard
    error of the paired difference, on out-of-fold predictions where `crossed` has them of both.
    """
    done = finished(trials)
    probe = next((trial for trial in done if trial.number == 0), None)
    if len(labels) >= FEW and probe is not None:
        return [trial for trial in done if _score(trial, metric) >= _score(probe, metric)]
    held = incumbent(done, metric, len(labels))
    if len(labels) >= FEW or held is None:
        return done
    whole, base = crossed.logits(held) if crossed else None, logits(held)
    every = crossed.bundles if crossed else None
    some = None if every is None else every[-len(labels) :]

    def beats(trial: Trial) -> bool:
        if _score(trial, metric) < _score(held, metric):
            return False
        if crossed and whole is not None and (own := crossed.logits(trial)) is not None:
            return clearly_better(own, whole, crossed.labels, metric, every)
        return clearly_better(logits(trial), base, labels, metric, some)

    return [one for one in done if one.origin == PROPOSAL and beats(one)] or [held]


def incumbent(done: Sequence[Trial], metric: Metric, rows: int) -> Trial | None:
    """What proposals must beat where validation rows are few: the first of the trials that every
    search has, as they are `ranked`. They are few, so the highest score flatters little, and of
    several rules it lost the least (`benchmarks/regret.py`).
    """
    fixed = [trial for trial in done if trial.origin != PROPOSAL]
    return next(iter(ranked(fixed, metric, rows)), None)


def clearly_better(
    logits: NDArray[Any],
    base: NDArray[Any],
    labels: NDArray[Any],
    metric: Metric,
    bundles: NDArray[Any] | None = None,
) -> bool:
    """Whether the paired difference of scores is over one standard error (by the jackknife,
    which for accuracy is the usual standard error of a mean).
    """
    sign = -1.0 if metric == "log-loss" else 1.0
    difference, error = paired_difference(logits, base, labels, metric, bundles)
    return sign * difference > error * (1 + 1e-9)


def paired_difference(
    logits: NDArray[Any],
    base: NDArray[Any],
    labels: NDArray[Any],
    metric: Metric,
    bundles: NDArray[Any] | None = None,
) -> tuple[float, float]:
    """(difference of the metric, its jackknife standard error) of two predictions of one set; rows
    with the same number in `bundles` (n,) are left out together.
    """
    classes, rows = logits.shape[1], len(labels)
    first, second = (_evidence(x, labels, metric) for x in (logits, base))

    def difference(of: NDArray[Any] | slice) -> float:
        sides = (_metric(x[of], labels[of], classes, metric) for x in (first, second))
        return next(sides) - next(sides)

    whole = difference(slice(None))
    units = np.arange(rows)
    if bundles is not None:
        units = np.unique(bundles, return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(units)
    count = len(sizes)
    if count < 2:
        return whole, math.inf
    times: NDArray[Any] = np.ones(count)
    if metric == "log-loss":
        left_out = (rows * whole - np.bincount(units, first - second)) / (rows - sizes)
    else:  # single rows alike in label and both answers leave the same behind
        single, several = np.flatnonzero(sizes[units] == 1), np.flatnonzero(sizes > 1)
        alike = np.stack([labels, first, second], axis=1)[single]
        _, ones, same = np.unique(alike, axis=0, return_index=True, return_counts=True)
        without = [np.arange(rows) != row for row in single[ones]]
        without += [units != unit for unit in several]
        left_out = np.array([difference(of) for of in without])
        times = np.concatenate([same, np.ones(len(several))])
    spread = float(times @ np.square(left_out - np.average(left_out, weights=times)))
    return whole, math.sqrt(spread * (count - 1) / count)


def kept(standing: Sequence[Trial], trials: Sequence[Trial], metric: Metric, rows: int) -> set[int]:
    """Numbers of the trials whose weights stay: the probe, the best three, and every one that
    could still be selected after later trials (tied with the top and not behind another of these
    in both score and log loss).

    Those in `standing` may be selected. Where they are under three, the best of the others make
    up the number: a training may go on from them.
    """
    order = ranked(standing, metric, rows)
    others = [trial for trial in ranked(trials, metric, rows) if trial not in order]
    keep = {0, *(trial.number for trial in [*order, *others][:KEPT])}
    ahead = -math.inf
    for trial in order:  # the tied ones come first, by rising log loss
        if _score(trial, metric) > ahead:
            keep.add(trial.number)
            ahead = _score(trial, metric)
    return keep


def head_only(recipe: Recipe) -> bool:
    """Whether a recipe trains nothing but the head."""
    return recipe.boundary >= max(recipe.taps)


def since_best(trials: Sequence[Trial], metric: Metric, rows: int) -> int:
    """How many trials were run after the one that first came within one example of the top."""
    done = finished(trials)
    if not done:
        return 0
    slack = 0.0 if metric == "log-loss" else 1.0 / rows
    top = max(_score(trial, metric) for trial in done)
    first = next(i for i, t in enumerate(trials) if t.result and _score(t, metric) >= top - slack)
    return len(trials) - 1 - first


def _score(trial: Trial, metric: Metric) -> float:
    assert trial.result is not None
    return score(trial.result.metrics, metric)


def _loss(trial: Trial) -> float:
    assert trial.result is not None
    return trial.result.metrics["log-loss"]


def _evidence(logits: NDArray[Any], labels: NDArray[Any], metric: Metric) -> NDArray[Any]:
    """What a metric needs of each row: its log loss, else the predicted class."""
    if metric != "log-loss":
        return np.asarray(logits.argmax(axis=1))
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    own = wide[np.arange(len(labels)), labels]
    return np.asarray(np.log(np.exp(wide).sum(axis=1)) - own)


def _metric(evidence: NDArray[Any], labels: NDArray[Any], classes: int, metric: Metric) -> float:
    if metric == "log-loss":
        return float(evidence.mean())
    if metric == "accuracy":
        return float((evidence == labels).mean())
    cells = np.bincount(labels * classes + evidence, minlength=classes**2)
    table = cells.reshape(classes, classes)
    right, true, told = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    if metric == "balanced-accuracy":
        return float((right[true > 0] / true[true > 0]).mean())
    seen = true + told > 0
    return float((2 * right[seen] / (true + told)[seen]).mean())
