"""How far the images are from the source domain: the pass through the network, in a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl import model
from autotl.calls import Progress
from autotl.errors import PluginError
from autotl.files import sha256
from autotl.measure import similarity
from autotl.measure.similarity import Moments, Reference
from autotl.records import LocatedBackbone, Similarity

if TYPE_CHECKING:
    import keras


NOISE = 64
"""Images of uniform noise that fix the foot of the scale."""
BATCH = 32


def compare(
    net: keras.Model,
    located: LocatedBackbone,
    images: NDArray[np.uint8],
    seed: int,
    progress: Progress,
) -> Similarity:
    """Similarity of `images` (n, size, size, 3) to the source domain of the pretrained `net`.

    By batch norm where the network has it, else by the reference statistics; by stage, and by
    Frechet distance, where there is what these need. None, with the reason, where there is neither.
    """
    import keras

    if located.weights is None:
        return similarity.unknown("there are no pretrained weights")
    layers = [x for x in net.layers if isinstance(x, keras.layers.BatchNormalization)]
    reference = _reference(located)
    if not layers and reference is None:
        return similarity.unknown(
            "the backbone has no batch norm layers, and no reference statistics of this input size"
        )
    forward = _moments(net, layers, located.backbone.stages[-1])
    size = located.input_size
    noise = np.random.default_rng(seed).integers(0, 256, (NOISE, size, size, 3), dtype=np.uint8)
    target = _passed(forward, located, images, "similarity", progress)
    foil = _passed(forward, located, noise, "similarity of noise", progress)
    return similarity.similarity(
        _by_layer(layers, target),
        _by_layer(layers, foil),
        stages=_stage_of(net, layers, located.backbone.stages),
        outputs=(target[-1], foil[-1]),
        reference=reference,
        seed=seed,
    )


def _reference(located: LocatedBackbone) -> Reference | None:
    """The statistics of the last stage that came with the backbone, where they are of the same
    input size.
    """
    given = located.backbone.reference_statistics
    if given is None or given.size != located.input_size:
        return None
    stage, name = located.backbone.stages[-1], located.backbone.name
    with resources.as_file(resources.files(given.package) / given.file) as path:
        if not path.is_file() or sha256(path) != given.sha256:
            raise PluginError(
                f"The reference statistics of {name} are missing or damaged: {path}.",
                hint=f"Install {located.distribution} again.",
            )
        arrays = np.load(path, allow_pickle=False)
        return Reference(mean=arrays[f"{stage}/mean"], covariance=arrays[f"{stage}/covariance"])


def _passed(
    forward: Callable[[Any], list[NDArray[np.float32]]],
    located: LocatedBackbone,
    images: NDArray[np.uint8],
    what: str,
    progress: Progress,
) -> list[NDArray[np.float32]]:
    batches = []
    for start in range(0, len(images), BATCH):
        some = np.asarray(images[start : start + BATCH])
        batches.append(forward(model.prepare(some, located.preprocessing)))
        progress(what, min(start + BATCH, len(images)), len(images))
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def _moments(
    net: keras.Model, layers: list[Any], stage: str
) -> Callable[[Any], list[NDArray[np.float32]]]:
    """A pass that gives each batch norm input's mean and mean square per image and channel, and
    then the stage's mean output.
    """
    import keras
    import tensorflow as tf

    ends = [*(layer.input for layer in layers), net.get_layer(stage).output]
    outputs = keras.Model(net.input, ends)

    def moments(x: Any) -> Any:
        *maps, last = keras.tree.flatten(outputs(x, training=False))
        axes = [tuple(range(1, len(m.shape) - 1)) for m in maps]
        pairs = [
            (tf.reduce_mean(m, a), tf.reduce_mean(tf.square(m), a))
            for m, a in zip(maps, axes, strict=True)
        ]
        return [*(moment for pair in pairs for moment in pair), tf.reduce_mean(last, (1, 2))]

    graph = tf.function(moments, reduce_retracing=True)
    return lambda x: [np.asarray(moment) for moment in graph(x)]


def _by_layer(layers: list[Any], passed: list[NDArray[np.float32]]) -> list[Moments]:
    return [
        Moments(
            mean=passed[2 * i],
            square=passed[2 * i + 1],
            moving_mean=np.asarray(layer.moving_mean),
            moving_variance=np.asarray(layer.moving_variance),
            epsilon=layer.epsilon,
        )
        for i, layer in enumerate(layers)
    ]


def _stage_of(net: keras.Model, layers: list[Any], stages: Sequence[str]) -> list[int]:
    """The stage (0-based) that each layer lies in; len(stages) for one above the last."""
    found = dict.fromkeys((layer.name for layer in layers), len(stages))
    for stage in range(len(stages), 0, -1):
        for name in model.layers_up_to(net, stages, stage) & found.keys():
            found[name] = stage - 1
    return [found[layer.name] for layer in layers]
