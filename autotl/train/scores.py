"""Metrics of logits on labelled rows, and which of two is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.records import Metric


def metrics(logits: NDArray[Any], labels: NDArray[Any]) -> dict[str, float]:
    """Every `Metric` of logits (n, classes) for labels (n,), over the classes that occur."""
    from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

    chosen = logits.argmax(axis=1)
    every = np.arange(logits.shape[1])
    return {
        "accuracy": float(accuracy_score(labels, chosen)),
        "balanced-accuracy": float(
            recall_score(labels, chosen, labels=np.unique(labels), average="macro", zero_division=0)
        ),
        "macro-f1": float(f1_score(labels, chosen, average="macro", zero_division=0)),
        "log-loss": float(log_loss(labels, probabilities(logits), labels=every)),
    }


def probabilities(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Softmax over the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def rank(found: Mapping[str, float], metric: Metric) -> tuple[float, float]:
    """To be compared by `>`: the metric, ties settled by the lower log loss."""
    first = -found["log-loss"] if metric == "log-loss" else found[metric]
    return first, -found["log-loss"]
