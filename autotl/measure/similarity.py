"""Similarity of the target to the source domain: 0 like noise, 1 like the source itself.

A batch norm layer remembers the mean and variance of each channel over the source domain. The
same figures of the target's examples say how far it lies from there: per channel the symmetric
Kullback-Leibler divergence of the two normal distributions,

    D = [(v + (m - M)^2) / V + (V + (m - M)^2) / v] / 4 - 1/2,

with (m, v) of the target and (M, V) remembered; of these the median over the channels of a
layer, and of those the median over the layers (of a stage, for the figure of the stage).

Where reference statistics came with a backbone, there is another distance: that of Frechet between
the normal distributions of the last stage's averaged outputs (Heusel 2017), in the reference's
first `COMPONENTS` principal components scaled to variance 1, over their number,

    D = [|m|^2 + sum_i (1 - sqrt(l_i))^2] / components - (components + 5) / 4n,

with m the mean there and l_i the eigenvalues of the covariance. What is taken off is what n images
of the source itself would give, to the first order: without it few images look foreign.

Either way D0 is what uniform noise gives through the same network, and

    similarity = 1 - log(1 + D) / log(1 + D0), held within 0..1.

No figure is set by hand: the scale is the network's own response to noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.records import Similarity

DRAWS = 200
"""Bootstrap samples of the examples."""
COMPONENTS = 32
LEAST = 1e-6
"""Share of the largest eigenvalue under which a component is left out."""

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


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Mean (channels,) and covariance (channels, channels) of a stage's averaged output over held
    out images of the source domain.
    """

    mean: Floats
    covariance: Floats


def similarity(
    target: Sequence[Moments],
    noise: Sequence[Moments],
    *,
    stages: Sequence[int] = (),
    outputs: tuple[Floats, Floats] | None = None,
    reference: Reference | None = None,
    seed: int,
) -> Similarity:
    """Similarity with a 95 % bootstrap interval over examples, from one `Moments` a layer.

    `stages` is the stage of each layer; `outputs` the averaged outputs (images, channels) of target
    and noise that belong to `reference`. Null, with the reason, where there is neither batch norm
    nor reference, or where noise does not differ.
    """
    by_reference = _by_reference(outputs, reference, seed) if outputs and reference else None
    found = _by_batch_norm(target, noise, seed) if target else None
    if found is None:
        return by_reference or unknown(
            "noise passes the backbone's batch norm layers like its source domain"
            if target
            else "the backbone has neither batch norm layers nor reference statistics"
        )
    return replace(
        found,
        stages=_by_stage(target, noise, stages),
        frechet=by_reference.value if by_reference else None,
    )


def _by_batch_norm(
    target: Sequence[Moments], noise: Sequence[Moments], seed: int
) -> Similarity | None:
    whole = np.ones((1, len(noise[0].mean)))
    return _scaled(
        lambda weights: divergences(target, weights),
        float(divergences(noise, whole)[0]),
        len(target[0].mean),
        seed,
    )


def _by_reference(
    outputs: tuple[Floats, Floats], reference: Reference, seed: int
) -> Similarity | None:
    target, noise = (whitened(one, reference) for one in outputs)
    foot = float(frechet(noise, np.ones((1, len(noise))))[0])
    found = _scaled(lambda weights: frechet(target, weights), foot, len(target), seed)
    return None if found is None else replace(found, frechet=found.value)


def _scaled(
    distances: Callable[[Floats], NDArray[np.float64]], noise: float, images: int, seed: int
) -> Similarity | None:
    """From distances for weights (draws, images) to the scale whose foot is that of noise."""
    scale = float(np.log1p(noise))
    if not np.isfinite(scale) or scale <= 0:
        return None
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(images, np.full(images, 1 / images), size=DRAWS)
    found = distances(np.concatenate([np.ones((1, images)), draws]))
    values = np.clip(1 - np.log1p(found) / scale, 0, 1)
    low, high = np.percentile(values[1:], [2.5, 97.5])
    value = float(values[0])
    return Similarity(value=value, low=min(float(low), value), high=max(float(high), value))


def _by_stage(
    target: Sequence[Moments], noise: Sequence[Moments], stages: Sequence[int]
) -> tuple[float | None, ...]:
    """Similarity of each stage up to the last that has batch norm; None where one has none."""
    if not stages:
        return ()
    found: list[float | None] = []
    for stage in range(max(stages) + 1):
        inside = [i for i, one in enumerate(stages) if one == stage]
        apart, foot = (
            float(divergences([side[i] for i in inside], np.ones((1, len(side[0].mean))))[0])
            if inside
            else 0.0
            for side in (target, noise)
        )
        scale = np.log1p(foot)
        value = 1 - np.log1p(apart) / scale if scale > 0 and np.isfinite(scale) else np.nan
        found.append(float(np.clip(value, 0, 1)) if np.isfinite(value) else None)
    return tuple(found)


def whitened(outputs: Floats, reference: Reference) -> NDArray[np.float64]:
    """`outputs` (n, channels) in the reference's first components, scaled: (n, components)."""
    values, vectors = np.linalg.eigh(np.asarray(reference.covariance, np.float64))
    first = np.argsort(values)[::-1][:COMPONENTS]
    first = first[values[first] > LEAST * max(values.max(), 0.0)]
    centred = np.asarray(outputs, np.float64) - reference.mean
    return np.asarray(centred @ (vectors[:, first] / np.sqrt(values[first])))


def frechet(outputs: Floats, weights: Floats) -> NDArray[np.float64]:
    """Frechet distance of `outputs` (images, components) to mean 0 and covariance 1, over the
    components and without what so few images explain, for each row of `weights` (draws, images).
    """
    found = []
    for row in np.asarray(weights, np.float64):
        share = row / row.sum()
        mean = share @ outputs
        centred = (outputs - mean) * np.sqrt(share)[:, None]
        deviations = np.linalg.svd(centred, compute_uv=False)
        missing = outputs.shape[1] - len(deviations)
        apart = (mean**2).sum() + ((1 - deviations) ** 2).sum() + missing
        few = (outputs.shape[1] + 5) / 4 * (share**2).sum()
        found.append(max(apart / outputs.shape[1] - few, 0.0))
    return np.array(found)


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
