"""What a model's probabilities are worth: figures with intervals, and calibration."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.records import Abstention, Bin, ClassScore, Evaluation, FileRef, Interval, Mistake

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]

FEWEST = 100
"""Validation rows under which the temperature stays 1."""
TEMPERATURES = (0.25, 4.0)
BINS, LEAST_IN_BIN = 15, 10
EQUAL_BINS = 10
"""Bins of equal width in a reliability diagram."""
RESAMPLES = 2000

# ---- calibration ----


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """The temperature within `TEMPERATURES` that minimises the log loss of logits (n, classes).

    1 with fewer than `FEWEST` rows, and where no other lowers the loss.
    """
    from scipy.optimize import minimize_scalar

    if len(labels) < FEWEST:
        return 1.0
    wide = np.asarray(logits, np.float64)
    low, high = (math.log(bound) for bound in TEMPERATURES)
    found = minimize_scalar(
        lambda t: _loss(wide / math.exp(t), labels), bounds=(low, high), method="bounded"
    )
    temperature = float(math.exp(found.x))
    return temperature if _loss(wide / temperature, labels) < _loss(wide, labels) else 1.0


def _loss(logits: Floats, labels: Labels) -> float:
    from scipy.special import logsumexp

    own = logits[np.arange(len(labels)), labels]
    return float((logsumexp(logits, axis=1) - own).mean())


def calibration_error(probabilities: Floats, labels: Labels) -> float:
    """Expected calibration error, 0 to 1: rows sorted by confidence fall into bins of equal size,
    and |accuracy - mean confidence| is averaged over rows.

    There are `BINS` bins, fewer where each would have under `LEAST_IN_BIN` rows: the error of the
    perfectly calibrated grows with the number of bins.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    bins = min(BINS, max(1, len(labels) // LEAST_IN_BIN))
    gaps = [
        abs(float((right[part] - confidence[part]).sum())) for part in np.array_split(order, bins)
    ]
    return sum(gaps) / len(labels)


def reliability(probabilities: Floats, labels: Labels) -> tuple[Bin, ...]:
    """`EQUAL_BINS` bins of equal width over 0 .. 1 of confidence; a bound belongs to the upper."""
    confidence = np.asarray(probabilities.max(axis=1), np.float64)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * EQUAL_BINS).astype(int), EQUAL_BINS - 1)
    found = []
    for number in range(EQUAL_BINS):
        own, some = place == number, bool((place == number).any())
        found.append(
            Bin(
                low=number / EQUAL_BINS,
                high=(number + 1) / EQUAL_BINS,
                examples=int(own.sum()),
                confidence=min(float(confidence[own].mean()), 1.0) if some else None,
                accuracy=wilson(right[own]) if some else None,
            )
        )
    return tuple(found)


def without_temperature(probabilities: Floats, temperature: float) -> Floats:
    """What the model would have said at temperature 1."""
    from scipy.special import softmax

    tiny = np.finfo(np.float32).tiny
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), tiny))
    unscaled: Floats = softmax(logs * temperature, axis=1)
    return unscaled


# ---- figures ----


def figures(
    probabilities: Floats,
    labels: Labels,
    *,
    classes: Sequence[str],
    train_labels: Labels,
    probe: Floats | None,
    temperature: float,
    model: FileRef,
    predictions: FileRef,
    seed: int,
    set_aside: tuple[Any, ...] = (),
    abstention: Abstention | None = None,
    mistakes: tuple[Mistake, ...] | None = None,
    begun: float | None = None,
) -> Evaluation:
    """Every figure of probabilities (test, classes) against labels (test,) in 0 .. classes - 1.

    `probe` are the linear probe's probabilities of the same rows. `begun` is the start by
    `time.monotonic`.
    """
    from sklearn.metrics import confusion_matrix

    told = probabilities.argmax(axis=1)
    right = told == labels
    majority = int(np.bincount(train_labels, minlength=len(classes)).argmax())
    confusion = confusion_matrix(labels, told, labels=np.arange(len(classes)))
    balanced, macro = bootstrap(confusion, seed=seed)
    before = without_temperature(probabilities, temperature)
    return Evaluation(
        examples=len(labels),
        accuracy=wilson(right),
        balanced_accuracy=balanced,
        macro_f1=macro,
        log_loss=_log_loss(probabilities, labels),
        per_class=_per_class(labels, told, classes),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        majority=wilson(labels == majority),
        linear_probe=None if probe is None else wilson(probe.argmax(axis=1) == labels),
        calibration_error=calibration_error(probabilities, labels),
        calibration_error_before=calibration_error(before, labels),
        temperature=temperature,
        model=model,
        predictions=predictions,
        set_aside=tuple(set_aside),
        abstention=abstention,
        reliability=reliability(probabilities, labels),
        mistakes=mistakes,
        seconds=0.0 if begun is None else time.monotonic() - begun,
    )


def wilson(right: NDArray[np.bool_]) -> Interval:
    """The share of True with its 95 % Wilson interval."""
    from scipy.stats import binomtest

    found = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    value = float(right.mean())
    return Interval(
        value=value, low=min(float(found.low), value), high=max(float(found.high), value)
    )


def _log_loss(probabilities: Floats, labels: Labels) -> float:
    from sklearn.metrics import log_loss

    wide = np.asarray(probabilities, np.float64)
    wide /= wide.sum(axis=1, keepdims=True)
    return float(log_loss(labels, wide, labels=np.arange(wide.shape[1])))


def _per_class(labels: Labels, told: Labels, classes: Sequence[str]) -> tuple[ClassScore, ...]:
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(
        labels, told, labels=np.arange(len(classes)), zero_division=0.0
    )
    return tuple(
        ClassScore(
            name=name,
            examples=int(examples),
            precision=float(precision),
            recall=float(recall),
            f1=float(f1),
        )
        for name, precision, recall, f1, examples in zip(classes, *columns, strict=True)
    )


def bootstrap(confusion: NDArray[Any], *, seed: int) -> tuple[Interval, Interval]:
    """Balanced accuracy and macro-F1 with 95 % percentile bootstrap intervals over rows.

    `confusion` is (true, predicted). Balanced accuracy is the mean recall of the classes that
    have rows, macro-F1 the mean over classes that have rows or were predicted. Drawing n rows
    with replacement is a multinomial draw of the table's cells, so that is drawn.
    """
    true, told = np.nonzero(confusion)
    counts = confusion[true, told]
    rows = int(counts.sum())
    generator = np.random.default_rng(np.random.SeedSequence([seed, RESAMPLES]))
    drawn = generator.multinomial(rows, counts / rows, size=RESAMPLES)
    samples = _averages(np.vstack([counts[None], drawn]), true, told, len(confusion))
    return _percentiles(samples[0]), _percentiles(samples[1])


def _averages(
    drawn: NDArray[Any], true: Labels, told: Labels, classes: int
) -> tuple[Floats, Floats]:
    """(balanced accuracy, macro-F1) of each row of counts of the cells (true, told)."""
    every = np.arange(classes)
    by_true, by_told = (true[:, None] == every), (told[:, None] == every)
    support, predicted = drawn @ by_true, drawn @ by_told
    right = drawn @ (by_true & by_told)
    recall = np.divide(right, support, out=np.zeros(right.shape), where=support > 0)
    both = support + predicted
    f1 = np.divide(2 * right, both, out=np.zeros(right.shape), where=both > 0)
    return recall.sum(axis=1) / (support > 0).sum(axis=1), f1.sum(axis=1) / (both > 0).sum(axis=1)


def _percentiles(samples: Floats) -> Interval:
    """The first sample is the figure itself, the others are resampled."""
    value = float(samples[0])
    low, high = (float(x) for x in np.percentile(samples[1:], [2.5, 97.5]))
    return Interval(value=value, low=min(low, value), high=max(high, value))
