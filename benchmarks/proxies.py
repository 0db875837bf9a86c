"""Scores of the literature for how well features transfer, as cross-checks of the probes.

- LogME (You 2021, arXiv 2102.11005): log evidence of a Bayesian linear regression on each class's
  indicator, per example, its two precisions found by fixed-point steps.
- H-score (Bao 2019), shrunk (Ibrahim 2021, arXiv 2110.06893): trace of the features' shrunk inverse
  covariance times the covariance of the class means.

LEEP (Nguyen 2020) needs the source classifier's probabilities, which backbones here do not carry.
Pure NumPy and scikit-learn; `strategies.py` keeps the figures, `signals.py` tells what they add.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]

STEPS = 100
TOLERANCE = 1e-3


def scores(pretrained: list[Floats], random: list[Floats], some: Any, labels: Labels) -> Any:
    """Both scores of the last stage by name: "pretrained", and where there are `random` outputs, of
    the rows `some`, "random" and "same rows", the pretrained ones of these.
    """
    sides = []
    if pretrained:
        sides.append(("pretrained", pretrained[-1], labels))
    if random:
        sides.append(("random", random[-1], labels[some]))
        sides += [("same rows", outputs[some], labels[some]) for outputs in pretrained[-1:]]
    return {
        name: {"logme": logme(last, theirs), "h-score": h_score(last, theirs)}
        for name, last, theirs in ((name, np.asarray(x, np.float64), y) for name, x, y in sides)
    }


def logme(features: Floats, labels: Labels) -> float:
    """Mean over classes of the log evidence per example of `features` (n, d) for `labels` (n,)."""
    n, d = features.shape
    u, s, _ = np.linalg.svd(features, full_matrices=False)
    squares = s**2
    evidences = []
    for label in np.unique(labels):
        y = (labels == label).astype(np.float64)
        z = (u.T @ y) ** 2
        outside = max(float(y @ y - z.sum()), 0.0)
        evidences.append(_evidence(n, d, squares, z, outside))
    return float(np.mean(evidences))


def _evidence(n: int, d: int, squares: Floats, z: Floats, outside: float) -> float:
    """Log evidence per example at the fixed point of the precisions alpha and beta."""
    alpha, beta = 1.0, 1.0
    for _ in range(STEPS):
        ratio = alpha / beta
        gamma = float((squares / (squares + ratio)).sum())
        weights = float((squares * z / (squares + ratio) ** 2).sum())
        residual = float((z / (1 + squares / ratio) ** 2).sum()) + outside
        alpha, beta = gamma / (weights + 1e-12), (n - gamma) / (residual + 1e-12)
        if abs(alpha / beta - ratio) <= TOLERANCE * ratio:
            break
    log_determinant = float(np.log(alpha + beta * squares).sum()) + (d - len(squares)) * np.log(
        alpha
    )
    fitted = beta * residual + alpha * weights
    evidence = d * np.log(alpha) + n * np.log(beta) - log_determinant - fitted
    evidence -= n * np.log(2 * np.pi)
    return float(evidence / 2 / n)


def h_score(features: Floats, labels: Labels) -> float:
    """Shrunk H-score of `features` (n, d) for `labels` (n,)."""
    from sklearn.covariance import ledoit_wolf

    centred = features - features.mean(axis=0)
    covariance, shrinkage = ledoit_wolf(centred, assume_centered=True)
    means = np.zeros_like(centred)
    for label in np.unique(labels):
        means[labels == label] = centred[labels == label].mean(axis=0)
    between = means.T @ means / len(means)
    return float((1 - shrinkage) * np.trace(np.linalg.solve(covariance, between)))
