"""Batches for training and validation: from stored outputs of stage k, or from stored pixels.

Whichever it is, epoch e reads view e mod V of every example, and the views are the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from autotl import activations, model
from autotl.activations import passes, store
from autotl.train import augment
from autotl.train.job import Job, opened

if TYPE_CHECKING:
    import keras

A = TypeVar("A")
B = TypeVar("B")
Floats = NDArray[np.float32]
AHEAD = 3


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a model reads. `train(rows, view)` and `validation(start, stop)` give float32."""

    train: Callable[[NDArray[np.intp], int], Floats]
    validation: Callable[[int, int], Floats]
    views: int


def views_of(job: Job) -> int:
    """Views that differ: as many as the recipe says, one without augmentation."""
    numbers = job.recipe.numbers
    return max(1, numbers.views) if numbers.augment != "none" else 1


def inputs(job: Job, net: keras.Model) -> Inputs:
    """Features for a head alone; stored outputs where they fit the store; else pixels."""
    recipe = job.recipe
    if model.head_only(recipe):
        return stored(job, net, [(tap, True) for tap in recipe.taps])
    if recipe.boundary == 0:
        return from_pixels(job, lambda prepared: prepared)
    count = job.pixels.train * views_of(job) + job.pixels.validation
    size = passes.outputs_size(job.located, net, recipe.boundary, count)
    if store.fits(job.folder, size):
        return stored(job, net, [(recipe.boundary, False)])
    return from_pixels(job, frozen(net, job.stages, recipe.boundary))


def stored(job: Job, net: keras.Model, wants: list[tuple[int, bool]]) -> Inputs:
    """From the store, filled where it must be. Several wants (pooled) are put side by side."""
    whole = ensure_view(job, net, wants, 0)
    views = [whole, *(ensure_view(job, net, wants, number) for number in range(1, views_of(job)))]
    train = job.pixels.train
    return Inputs(
        train=lambda rows, view: beside([array[rows] for array in views[view]]),
        validation=lambda start, stop: beside([a[train + start : train + stop] for a in whole]),
        views=len(views),
    )


def ensure_view(
    job: Job, net: keras.Model | None, wants: list[tuple[int, bool]], view: int
) -> list[NDArray[Any]]:
    """Stored outputs for one view: view 0 of training and validation rows, others of training."""
    pixels, margin = opened(job.pixels.pixels), opened(job.pixels.margin)
    level = job.recipe.numbers.augment
    name = augment.name(level, view, job.view_seed)
    whole = name == "whole"
    count = len(pixels) if whole else job.pixels.train

    def read(start: int, stop: int) -> NDArray[np.uint8]:
        rows = np.arange(start, stop)
        if whole:
            return pixels[rows]
        return augment.views(pixels, margin, rows, level=level, seed=job.view_seed, number=view)

    paths = activations.ensure(
        folder=job.folder,
        key=f"{job.pixels.key}-{name}",
        read=read,
        count=count,
        located=job.located,
        pretrained=job.recipe.pretrained,
        seed=job.seed,
        wants=wants,
        progress=job.progress,
        net=net,
    )
    return [opened(path) for path in paths]


def from_pixels(job: Job, then: Callable[[Floats], Floats]) -> Inputs:
    """Views drawn from stored pixels as they are needed, prepared, and handed to `then`."""
    pixels, margin = opened(job.pixels.pixels), opened(job.pixels.margin)
    train, numbers = job.pixels.train, job.recipe.numbers

    def prepared(images: NDArray[np.uint8]) -> Floats:
        return then(model.prepare(images, job.located.preprocessing))

    return Inputs(
        train=lambda rows, view: prepared(
            augment.views(
                pixels, margin, rows, level=numbers.augment, seed=job.view_seed, number=view
            )
        ),
        validation=lambda start, stop: prepared(pixels[train + start : train + stop]),
        views=views_of(job),
    )


def frozen(net: keras.Model, stages: tuple[str, ...], k: int) -> Callable[[Floats], Floats]:
    """The stages up to `k`, run anew for each batch and rounded as the store would round them."""
    import tensorflow as tf

    part = model.below(net, stages, k)
    graph = tf.function(lambda x: part(x, training=False), reduce_retracing=True)

    def run(prepared: Floats) -> Floats:
        result = np.asarray(graph(prepared))
        half = result.astype(np.float16)
        return half.astype(np.float32) if np.isfinite(half).all() else result

    return run


def beside(parts: list[NDArray[Any]]) -> Floats:
    """Arrays side by side along the last axis, float32."""
    joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
    return np.asarray(joined, np.float32)


def ahead(make: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """`make` of each item in order, a few made in threads before they are asked for."""
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(2) as threads:
        try:
            for item in items:
                waiting.append(threads.submit(make, item))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()
