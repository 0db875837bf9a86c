"""A three-stage network and a data set of coloured noise, for tests of store and training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from autotl.pixels import content_hash
from autotl.records import (
    Backbone,
    Dataset,
    InputSizes,
    LocatedBackbone,
    Preprocessing,
)

SIZE = 16
STAGES = ("one", "two", "three")


def build(input_size: int, weights: Path | None) -> Any:
    import keras
    from keras import layers

    inputs = keras.Input((input_size, input_size, 3), name="image")
    x = inputs
    for name, filters in zip(STAGES, (6, 8, 10), strict=True):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", name=f"{name}_conv")(x)
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
        x = layers.ReLU(name=name)(x)
    net = keras.Model(inputs, x)
    if weights is not None:
        with np.load(weights) as arrays:
            net.set_weights([arrays[f"a{i}"] for i in range(len(arrays.files))])
    return net


def save_weights(path: Path, seed: int = 7) -> None:
    """As if pretrained: random kernels, jittered statistics."""
    import keras

    keras.utils.set_random_seed(seed)
    draw = np.random.default_rng(seed)
    arrays = {}
    for i, variable in enumerate(build(SIZE, None).weights):
        value = np.asarray(variable.value)
        if variable.name in ("gamma", "moving_variance"):
            value = draw.uniform(0.5, 1.5, value.shape).astype(np.float32)
        arrays[f"a{i}"] = value
    np.savez(path, **arrays)


def located(weights: Path | None = None, size: int = SIZE) -> LocatedBackbone:
    preprocessing = Preprocessing(size=size, scale=1 / 127.5, mean=(1.0, 1.0, 1.0))
    backbone = Backbone(
        name="Tiny",
        build="tiny_backbone:build",
        stages=STAGES,
        input_sizes=InputSizes(least=8, most=64, default=SIZE),
        preprocessing=preprocessing,
        parameters=2000,
        license="Apache-2.0",
        source_domain="noise",
    )
    return LocatedBackbone(
        backbone=backbone,
        distribution="tests",
        input_size=size,
        preprocessing=preprocessing,
        weights=None if weights is None else str(weights),
        weights_sha256=None if weights is None else "0" * 64,
    )


def images(count: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise with one colour stronger than the others: uint8 (count, 20, 24, 3), labels (count,)."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    pixels = draw.integers(0, 160, (count, 20, 24, 3))
    pixels[np.arange(count), :, :, labels] += 60
    return pixels.astype(np.uint8), labels


def dataset(count: int, classes: int = 3, seed: int = 0) -> tuple[Dataset, list[str]]:
    pixels, labels = images(count, classes, seed)
    made = Dataset(
        kind="image",
        ids=tuple(f"{i}.png" for i in range(count)),
        labels=tuple(int(label) for label in labels),
        classes=tuple("abcdefgh"[:classes]),
        read=lambda i: pixels[i],
    )
    return made, [content_hash(one) for one in pixels]
