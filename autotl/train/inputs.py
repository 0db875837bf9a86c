"""Batches for training and validation: from stored outputs of stage k, or from stored pixels.

Whichever it is, epoch e reads view e mod V of every example, and the views are the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl import activations, model
from autotl.activations import passes, store
from autotl.errors import InternalError
from autotl.rows import opened
from autotl.train import augment
from autotl.train.job import Job, Progress
from autotl.train.job import read as read_job

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float32]
Net = Callable[[], "keras.Model"]
"""The backbone's network with the weights that training starts from, built when asked for."""

IN_MEMORY = 2**29
"""Bytes of one view's features up to which a head is trained on them all at once."""
HELD = 2
"""Views held in memory: a flip has two."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a model reads. `train(rows, view)` and `validation(start, stop)` give float32.

    `whole(view)` gives all training rows of a view, where they are features for a head alone and
    within `IN_MEMORY`; else it is None.
    """

    train: Callable[[NDArray[np.intp], int], Floats]
    validation: Callable[[int, int], Floats]
    views: int
    whole: Callable[[int], Floats] | None = None


def views_of(job: Job) -> int:
    """Views that are read: as many as the recipe says, or has epochs for; one if they are alike."""
    numbers = job.recipe.numbers
    return max(1, min(numbers.views, numbers.epochs)) if numbers.augment != "none" else 1


def inputs(job: Job, net: Net) -> Inputs:
    """Features for a head alone; stored outputs where they fit the store; else pixels."""
    recipe = job.recipe
    if model.head_only(recipe):
        return features(job, net)
    if recipe.boundary == 0:
        return from_pixels(job, lambda prepared: prepared)
    if _in_store(job, net):
        return stored(job, net, [(recipe.boundary, False)])
    return from_pixels(job, frozen(net(), job.stages, recipe.boundary))


def pooled(job: Job, net: Net) -> Floats:
    """Averaged outputs of the taps side by side, of all rows as they are (view 0)."""
    return beside(ensure_view(job, net, [(tap, True) for tap in job.recipe.taps], 0))


def features(job: Job, net: Net) -> Inputs:
    """Averaged outputs of the taps side by side, in memory where they are few enough."""
    found = stored(job, net, [(tap, True) for tap in job.recipe.taps])
    count = job.pixels.train
    width = found.validation(0, 0).shape[1]
    if 4 * width * count > IN_MEMORY:
        return found
    whole = functools.lru_cache(HELD)(lambda view: found.train(np.arange(count), view))
    return replace(found, train=lambda rows, view: whole(view)[rows], whole=whole)


def stored(job: Job, net: Net, wants: list[tuple[int, bool]]) -> Inputs:
    """From the store, filled where it must be. Several wants (pooled) are put side by side."""
    whole = ensure_view(job, net, wants, 0)
    views = [whole, *(ensure_view(job, net, wants, number) for number in range(1, views_of(job)))]
    train = job.pixels.train
    return Inputs(
        train=lambda rows, view: beside([array[rows] for array in views[view]]),
        validation=lambda start, stop: beside([a[train + start : train + stop] for a in whole]),
        views=len(views),
    )


def ensure_view(job: Job, net: Net, wants: list[tuple[int, bool]], view: int) -> list[NDArray[Any]]:
    """Stored outputs for one view: view 0 of training and validation rows, others of training."""
    return [opened(path) for path in view_paths(job, net, wants, view)]


def view_paths(job: Job, net: Net, wants: list[tuple[int, bool]], view: int) -> tuple[Path, ...]:
    """Where the store has them, once they are there."""
    name = augment.name(job.recipe.numbers.augment, view, job.view_seed)
    whole, views = name == "whole", _views(job)

    def read(start: int, stop: int) -> NDArray[np.uint8]:
        return np.asarray(views(np.arange(start, stop), view))

    return activations.ensure(
        folder=job.folder,
        key=f"{job.pixels.key}-{name}",
        read=read,
        count=job.pixels.train + (job.pixels.validation if whole else 0),
        located=job.located,
        pretrained=job.recipe.pretrained,
        seed=job.seed,
        wants=wants,
        progress=job.progress,
        build=net,
    )


def needed(spec: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """What a trial will read, called in a worker with the spec of `trial.run`: `entries`, paths of
    the store's files, filled here, and whether it starts from `stored` outputs (else it reads the
    pixels, unless it trains a head alone).

    An entry's record (`.json`) goes with it.
    """
    job = read_job(spec, progress)
    net = functools.cache(
        functools.partial(model.build, job.located, pretrained=job.recipe.pretrained, seed=job.seed)
    )
    recipe, views = job.recipe, range(views_of(job))
    alone = model.head_only(recipe)
    taps, boundary = [(tap, True) for tap in recipe.taps], [(recipe.boundary, False)]
    stored_ = not alone and _in_store(job, net)
    wanted = [(taps, view) for view in views] if alone else []
    if not alone and recipe.pretrained:
        wanted += [(taps, 0)]
    if stored_:
        wanted += [(boundary, view) for view in views]
    with activations.holding():
        paths = [path for want, view in wanted for path in view_paths(job, net, want, view)]
    return {"entries": sorted({str(path) for path in paths}), "stored": stored_}


def _in_store(job: Job, net: Net) -> bool:
    """Whether training starts from stored outputs of stage k, for which there is room."""
    if job.recipe.boundary == 0 or job.stored is not None:
        return bool(job.recipe.boundary and job.stored)
    count = job.pixels.train * views_of(job) + job.pixels.validation
    size = passes.outputs_size(job.located, net(), job.recipe.boundary, count)
    return store.fits(job.folder, size)


def from_pixels(job: Job, then: Callable[[Floats], Floats]) -> Inputs:
    """Views drawn from the pixels as they are needed, prepared, and handed to `then`."""
    pixels, views = opened(job.pixels.pixels), _views(job)
    train = job.pixels.train

    def prepared(images: NDArray[np.uint8]) -> Floats:
        return then(model.prepare(images, job.located.preprocessing))

    return Inputs(
        train=lambda rows, view: prepared(views(rows, view)),
        validation=lambda start, stop: prepared(pixels[train + start : train + stop]),
        views=views_of(job),
    )


def _views(job: Job) -> Callable[[NDArray[np.intp], int], NDArray[np.uint8]]:
    """What reads a view of some rows. Pixels are opened when a row of them is wanted: a node of a
    cluster may have the entries of the store and not the pixels.
    """
    level = job.recipe.numbers.augment
    pixels, margin = (
        functools.cache(functools.partial(opened, path))
        for path in (job.pixels.pixels, job.pixels.margin)
    )

    def read(rows: NDArray[np.intp], number: int) -> NDArray[np.uint8]:
        if augment.cropped(level, number) and not job.pixels.margin:
            raise InternalError(
                f"A view with '{level}' is to be cut from pixels that were stored without a margin."
            )
        cut_from = margin() if augment.cropped(level, number) else pixels()
        return augment.views(
            pixels(), cut_from, rows, level=level, seed=job.view_seed, number=number
        )

    return read


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
