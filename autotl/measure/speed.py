"""Seconds on this machine, timed on a few batches; runs in a worker (keras inside functions).

Every figure is the least of a few repeats: what else the machine does can only add.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl import model
from autotl.records import LocatedBackbone, Numbers, Recipe, Speed

if TYPE_CHECKING:
    import keras

BATCH = 32
LARGE_SIDE, BATCH_OF_LARGE = 128, 16
"""Pixels a side from which images take long enough each, and how many of them are a batch."""
REPEATS = 2
CUTS = 4


def batch(side: int) -> int:
    """Images to time with, of that many pixels a side."""
    return BATCH_OF_LARGE if side >= LARGE_SIDE else BATCH


def measure(
    net: keras.Model, located: LocatedBackbone, images: NDArray[np.float32], classes: int, seed: int
) -> Speed:
    """Time a forward pass part by part, then building and running one training step (k = 0).

    `images` are prepared, float32 (batch, size, size, 3), as many as `batch` says. A step above
    boundary k is taken to last as long, in proportion, as the forward pass above k: backward passes
    cost about twice their forward ones at every depth. Leaves the weights of `net` as they were.
    """
    stages = located.backbone.stages
    seconds, above = _by_part(net, stages, images)
    fixed, train = _training(net, located, images, classes, seed)
    count = len(images)
    return Speed(forward=seconds / count, train=train / count, share_above=above, fixed=fixed)


def forward(net: keras.Model, images: NDArray[np.float32]) -> float:
    """Seconds an image of a forward pass over prepared `images`."""
    graph = _graph(net.input, net.output)
    return least(functools.partial(_finished, graph, images), REPEATS) / len(images)


def _by_part(
    net: keras.Model, stages: Sequence[str], images: NDArray[np.float32]
) -> tuple[float, tuple[float, ...]]:
    """Seconds of a forward pass of `images`, and the share of it that is left above each boundary,
    timed at `CUTS` of them.

    Between two timed boundaries it falls evenly with the stages; building a graph for each of
    many stages would cost more than it tells.
    """
    n = len(stages)
    timed = sorted({0, n, *(round(n * cut / CUTS) for cut in range(1, CUTS))})
    seconds = _segments(net, [stages[k - 1] for k in timed[1:]], images)
    left = 1 - np.concatenate([[0.0], np.cumsum(seconds)]) / sum(seconds)
    shares = np.interp(np.arange(n + 1), timed, left)
    return sum(seconds), tuple(float(share) for share in shares)


def _segments(net: keras.Model, stages: Sequence[str], images: NDArray[np.float32]) -> list[float]:
    """Seconds of one batch from each of `stages` to the next, the first from the input."""
    seconds = []
    start, x = net.input, images
    for name in stages:
        end = net.get_layer(name).output
        graph = _graph(start, end)
        y = graph(x)
        seconds.append(least(functools.partial(_finished, graph, x), REPEATS))
        start, x = end, y
    return seconds


def _graph(start: Any, end: Any) -> Callable[[Any], Any]:
    import keras
    import tensorflow as tf

    part = keras.Model(start, end)
    return tf.function(functools.partial(part, training=False))  # type: ignore[no-any-return]


def _finished(graph: Callable[[Any], Any], x: Any) -> Any:
    return graph(x).numpy()


def _training(
    net: keras.Model, located: LocatedBackbone, images: NDArray[np.float32], classes: int, seed: int
) -> tuple[float, float]:
    """Seconds to build one training model and its first step, and of a later step."""
    import keras
    import tensorflow as tf

    stages = located.backbone.stages
    n = len(stages)
    recipe = Recipe(
        backbone=located.backbone.name,
        strategy="full-fine-tune",
        input_size=located.input_size,
        pretrained=True,
        boundary=0,
        last=n,
        taps=(n,),
        numbers=Numbers(),
    )
    begun = time.perf_counter()
    trained = model.trainable(net, stages, recipe, classes, seed=seed)
    kept = net.get_weights()
    optimizer = keras.optimizers.AdamW(0.0)
    optimizer.build(trained.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def one(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(y, trained(x, training=True))
        variables = trained.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    step = tf.function(one)
    x, y = tf.constant(images), tf.constant(np.arange(len(images)) % classes)
    step(x, y).numpy()
    first = time.perf_counter() - begun
    later = least(lambda: step(x, y).numpy(), REPEATS)
    net.set_weights(kept)
    return max(first - later, 0.0), later


def least(call: Callable[[], Any], repeats: int) -> float:
    """The least seconds that `call` took."""
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)
