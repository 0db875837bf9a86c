"""Similarity of the target to the source domain, read off the batch norm layers.

A batch norm layer remembers the mean and variance of each channel over the source domain. The
same figures of the target's examples say how far it lies from there: per channel the symmetric
Kullback-Leibler divergence of the two normal distributions,

    D = [(v + (m - M)^2) / V + (V + (m - M)^2) / v] / 4 - 1/2,

with (m, v) of the target and (M, V) remembered; of these the median over the channels of a
layer, and of those the median over the layers. What uniform noise gives through the same
network is D0, and

    similarity = 1 - log(1 + D) / log(1 + D0), held within 0..1:

1 where the target's statistics are the source's own, 0 where the network finds it as foreign as
noise. No figure is set by hand: the scale is the network's own response to noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.records import Similarity

DRAWS = 200
"""Bootstrap samples of the examples."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """What enters one batch norm layer: per image and channel (images, channels) the mean and
    mean square over positions; and what the layer remembers, (channels,) each.
    """

    mean: Floats
    square: Floats
    moving_mean: Floats
    moving_variance: Floats
    epsilon: float


def similarity(target: Sequence[Moments], noise: Sequence[Moments], *, seed: int) -> Similarity:
    """Similarity with a 95 % bootstrap interval over examples, from one `Moments` a layer.

    Null, with the reason, where there is no batch norm or where noise does not differ.
    """
    if not target:
        return unknown("the backbone has no batch norm layers")
    whole = np.ones((1, len(noise[0].mean)))
    scale = float(np.log1p(divergences(noise, whole)[0]))
    if not np.isfinite(scale) or scale <= 0:
        return unknown("noise passes the backbone's batch norm layers like its source domain")
    images = len(target[0].mean)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(images, np.full(images, 1 / images), size=DRAWS)
    found = divergences(target, np.concatenate([np.ones((1, images)), draws]))
    values = np.clip(1 - np.log1p(found) / scale, 0, 1)
    low, high = np.percentile(values[1:], [2.5, 97.5])
    value = float(values[0])
    return Similarity(value=value, low=min(float(low), value), high=max(float(high), value))


def unknown(reason: str) -> Similarity:
    """Similarity that cannot be measured, and why."""
    return Similarity(value=None, low=None, high=None, reason=reason)


def divergences(layers: Sequence[Moments], weights: Floats) -> NDArray[np.float64]:
    """Median over layers of the median over channels, for each row of `weights` (draws, images)."""
    return np.asarray(np.median([_of_layer(layer, weights) for layer in layers], axis=0))


def _of_layer(layer: Moments, weights: Floats) -> NDArray[np.float64]:
    share = np.asarray(weights, np.float64) / weights.sum(axis=1, keepdims=True)
    mean = share @ np.asarray(layer.mean, np.float64)
    variance = share @ np.asarray(layer.square, np.float64) - mean**2
    return np.asarray(
        np.median(
            divergence(
                mean,
                np.maximum(variance, 0) + layer.epsilon,
                np.asarray(layer.moving_mean, np.float64),
                np.asarray(layer.moving_variance, np.float64) + layer.epsilon,
            ),
            axis=-1,
        )
    )


def divergence(mean: Floats, variance: Floats, mean_2: Floats, variance_2: Floats) -> Floats:
    """Half the sum of both Kullback-Leibler divergences of two normal distributions."""
    apart = (mean - mean_2) ** 2
    return (variance + apart) / variance_2 / 4 + (variance_2 + apart) / variance / 4 - 0.5
