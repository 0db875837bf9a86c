"""What a network with ImageNet weights says of Tiny ImageNet: targets for the distillation.

The teacher sees the very crops that the student sees, enlarged (Beyer et al. 2022, "Knowledge
distillation: a good teacher is patient and consistent"), in a few fixed views of every image, so
that it runs once and not in every epoch. It gives its averaged features, and class scores by a
linear classifier that is trained on them here.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from autotl.builtin.embedded import pictures

if TYPE_CHECKING:
    import keras

log = logging.getLogger("autotl.builtin.embedded.teacher")

NAME, SIZE, FEATURES = "MobileNetV2", 128, 1280
"""The teacher in `keras.applications`, its input size, and the length of its features."""
BATCH = 64
SHARD = 5000
"""Images a file of features; what is finished is not computed again."""

Features = npt.NDArray[np.float16]


def network(weights: str) -> keras.Model:
    """Return the teacher without classifier, averaged, for images 0..255 of 128 pixels.

    `weights` is "imagenet" (Keras's own file, downloaded or from its cache) or a weights file.
    """
    import keras

    body = keras.applications.MobileNetV2(
        input_shape=(SIZE, SIZE, 3), include_top=False, weights=weights, pooling="avg"
    )
    inputs = keras.Input((SIZE, SIZE, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, -1.0)(inputs)
    return keras.Model(inputs, body(scaled, training=False))


def features(
    weights: str, images: pictures.Pixels, where: list[pictures.Boxes], work: Path
) -> list[Features]:
    """Return the teacher's features of each view, `(n, 1280)` float16, memory-mapped; computed
    where they are not in `work` yet.
    """
    views: list[Features] = []
    net = None
    for view, boxes in enumerate(where):
        path = work / f"teacher-{view}.npy"
        done = work / f"teacher-{view}.json"
        shape = (len(images), FEATURES)
        ready = json.loads(done.read_text("utf-8")) if done.is_file() and path.is_file() else 0
        mode: Any = "r+" if ready else "w+"
        array = np.lib.format.open_memmap(path, mode=mode, dtype=np.float16, shape=shape)
        for start in range(ready, len(images), SHARD):
            net = net or network(weights)
            stop = min(start + SHARD, len(images))
            for first in range(start, stop, BATCH):
                rows = np.arange(first, min(first + BATCH, stop))
                crops = pictures.crop(images[rows], boxes.of(rows), SIZE)
                array[rows] = np.asarray(net.predict_on_batch(crops))
            array.flush()
            done.write_text(json.dumps(stop), encoding="utf-8")
            log.info("teacher, view %d of %d: %d images", view + 1, len(where), stop)
        views.append(array)
    return views


def moments(views: list[Features]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return mean and deviation `(1280,)` of the features, from every fiftieth image."""
    some = np.concatenate([view[::50] for view in views]).astype(np.float32)
    return some.mean(axis=0), some.std(axis=0) + 1e-6


def classifier(
    views: list[Features], labels: pictures.Labels, work: Path, *, epochs: int, seed: int
) -> keras.Model:
    """Return a linear classifier from standardised features to 200 class scores, trained once."""
    import keras

    mean, deviation = moments(views)
    model = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(200)])
    path = work / "teacher-head.weights.h5"
    if path.is_file():
        model.load_weights(path)
        return model
    rng = np.random.default_rng([seed, 1])
    batch = min(256, len(labels))
    steps = len(labels) // batch
    rate = keras.optimizers.schedules.CosineDecay(1e-3, epochs * steps)
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    for epoch in range(epochs):
        view, order = views[epoch % len(views)], rng.permutation(len(labels))
        model.reset_metrics()
        for step in range(steps):
            rows = np.sort(order[step * batch : (step + 1) * batch])
            x = (view[rows].astype(np.float32) - mean) / deviation
            logs = model.train_on_batch(x, labels[rows], return_dict=True)
        log.info("teacher's classifier, epoch %d: %s", epoch + 1, logs)
    unfinished = path.with_name("unfinished-head.weights.h5")
    model.save_weights(unfinished)
    unfinished.replace(path)
    return model
