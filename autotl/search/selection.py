"""Which trial is best on the validation rows, and whose weights stay on disk (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.records import Metric, Trial

FEW = 200
"""Validation rows under which a trial must beat the probe by more than one standard error."""
KEPT = 3

Logits = Callable[[Trial], NDArray[np.float32]]


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
    goes first, then fewer seconds. The others follow by score, then log loss. `log-loss` itself
    knows no ties but equality.
    """
    done = finished(trials)
    if not done:
        return []
    tied = 0.0 if metric == "log-loss" else (1.0 + 1e-6) / rows
    top = max(_score(trial, metric) for trial in done)
    near = [trial for trial in done if _score(trial, metric) >= top - tied]
    far = [trial for trial in done if _score(trial, metric) < top - tied]
    near.sort(key=lambda t: (_loss(t), t.seconds, t.number))
    far.sort(key=lambda t: (-_score(t, metric), _loss(t), t.seconds, t.number))
    return near + far


def best(
    trials: Sequence[Trial], metric: Metric, labels: NDArray[Any], logits: Logits
) -> Trial | None:
    """The selected trial; None where none finished.

    With fewer than `FEW` validation rows only trials that beat trial 0, the probe, by more than
    one standard error of the paired difference stand against it.
    """
    order = ranked(eligible(trials, metric, labels, logits), metric, len(labels))
    return order[0] if order else None


def eligible(
    trials: Sequence[Trial], metric: Metric, labels: NDArray[Any], logits: Logits
) -> list[Trial]:
    """The finished trials that may be selected: the probe where no other is left."""
    done = finished(trials)
    probe = next((trial for trial in done if trial.number == 0), None)
    if probe is None or len(labels) >= FEW:
        return done
    base = logits(probe)
    better = [
        trial
        for trial in done
        if trial is not probe and clearly_better(logits(trial), base, labels, metric)
    ]
    return better or [probe]


def clearly_better(
    logits: NDArray[Any], base: NDArray[Any], labels: NDArray[Any], metric: Metric
) -> bool:
    """Whether the paired difference of scores is over one standard error (by the jackknife,
    which for accuracy is the usual standard error of a mean).
    """
    sign = -1.0 if metric == "log-loss" else 1.0
    difference, error = paired_difference(logits, base, labels, metric)
    return sign * difference > error * (1 + 1e-9)


def paired_difference(
    logits: NDArray[Any], base: NDArray[Any], labels: NDArray[Any], metric: Metric
) -> tuple[float, float]:
    """(difference of the metric, its jackknife standard error) of two predictions of one set."""
    classes, rows = logits.shape[1], len(labels)
    first, second = (_evidence(x, labels, metric) for x in (logits, base))
    whole = _metric(first, labels, classes, metric) - _metric(second, labels, classes, metric)
    keep = ~np.eye(rows, dtype=bool)
    left_out = np.array(
        [
            _metric(first[k], labels[k], classes, metric)
            - _metric(second[k], labels[k], classes, metric)
            for k in keep
        ]
    )
    spread = float(np.square(left_out - left_out.mean()).sum())
    return whole, math.sqrt(spread * (rows - 1) / rows)


def kept(trials: Sequence[Trial], metric: Metric, rows: int) -> set[int]:
    """Numbers of the trials whose weights stay: the probe, the best three, and every one that
    could still be selected after later trials (tied with the top and not behind another of these
    in both score and log loss).
    """
    order = ranked(trials, metric, rows)
    keep = {0, *(trial.number for trial in order[:KEPT])}
    ahead = -math.inf
    for trial in order:  # the tied ones come first, by rising log loss
        if _score(trial, metric) > ahead:
            keep.add(trial.number)
            ahead = _score(trial, metric)
    return keep


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
