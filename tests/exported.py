"""A tiny model built as a trained one is, exported once for the tests of what comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from autotl.export import asking, export
from autotl.files import file_ref
from autotl.records import Dataset
from autotl.worker import Worker
from tests.test_export import (
    DATASET,
    LOCATED,
    PREPROCESSING,
    ROWS,
    SEARCH,
    SPLIT,
    evaluation,
    photograph,
)

FEATURES = 36

BUILDER = """
import keras
import numpy as np
from keras import layers


def net(filters=24):
    keras.utils.set_random_seed(5)
    pixels = keras.Input((16, 16, 3), name="pixels")
    x = layers.Rescaling([1 / 60, 1 / 70, 1 / 80], [-2.1, -1.7, -1.5])(pixels)
    jitter = {"moving_mean_initializer": keras.initializers.RandomNormal(0, 0.3)}
    jitter["moving_variance_initializer"] = keras.initializers.RandomUniform(0.5, 2)
    for width in (12, filters, 36):
        x = layers.Conv2D(width, 3, padding="same")(x)
        x = layers.BatchNormalization(**jitter)(x)
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    inputs = keras.Input((36,), name="pooled")
    wide = keras.initializers.RandomNormal(0, 3)
    logits = layers.Dense(3, kernel_initializer=wide, name="logits")(inputs)
    head = keras.Model(inputs, logits, name="head")
    # every class is the likeliest of some colours
    colours = np.random.default_rng(1).integers(0, 256, (200, 1, 1, 3))
    images = np.broadcast_to(colours, (200, 16, 16, 3)).astype(np.float32)
    found = np.asarray(keras.Model(pixels, head(x))(images))
    kernel = np.asarray(head.get_layer("logits").kernel) * 2 / found.std(axis=0)
    head.get_layer("logits").set_weights([kernel, -2 * found.mean(axis=0) / found.std(axis=0)])
    scaled = layers.Rescaling(1 / 1.5, name="temperature")(head(x))
    return keras.Model(pixels, layers.Softmax(name="probabilities")(scaled))


def build(spec, progress):
    net().save(spec["out"])
    return {}


def large(spec, progress):
    \"\"\"Seven kernels of 320 MB.\"\"\"
    pixels = keras.Input((16, 16, 3), name="pixels")
    x = layers.Rescaling(1 / 255)(pixels)
    x = layers.Conv2D(64, 3, name="convolution")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(9000, kernel_initializer=keras.initializers.Constant(0.02))(x)
    for number in range(7):
        start = keras.initializers.Constant((-1) ** number / 9000)
        x = layers.Dense(9000, kernel_initializer=start)(x)
    keras.Model(pixels, layers.Dense(3, activation="softmax")(x)).save(spec["out"])
    return {}
"""


@contextmanager
def worker(modules: Path) -> Iterator[Worker]:
    """A worker that can call `tiny_headed:build` and `:large`; the module is put in `modules`."""
    (modules / "tiny_headed.py").write_text(BUILDER)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(modules))
        with Worker() as opened:
            yield opened


def run_export(folder: Path, opened: Any, dataset: Dataset = DATASET, **options: Any) -> Any:
    """The step, on the `model.keras` in the folder."""
    return export(
        evaluation(file_ref(folder / "model.keras", folder)),
        SEARCH,
        dataset,
        SPLIT,
        LOCATED,
        card={"seed": 7},
        worker=opened,
        run_folder=folder,
        **options,
    )


def subject(folder: Path, **changed: Any) -> asking.Subject:
    """What the exported model is held against."""
    given: dict[str, Any] = {
        "keras_model": folder / "model.keras",
        "dataset": DATASET,
        "rows": ROWS,
        "preprocessing": PREPROCESSING,
        "folder": folder,
    }
    return asking.Subject(**given | changed)


def labelled_by(path: Path) -> Dataset:
    """The data with the labels that the file gives, most of them at least: one in ten is wrong."""
    session = onnxruntime.InferenceSession(str(path))
    labels = []
    for row in range(len(DATASET.ids)):
        (scores,) = session.run(["probabilities"], {"image": photograph(row)[None]})
        labels.append(int(scores[0].argmax() + (row % 10 == 0)) % 3)
    return replace(DATASET, labels=tuple(labels))


def asked(path: Path, output: str, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One output of a file."""
    found = onnxruntime.InferenceSession(str(path)).run([output], {"image": images})[0]
    return np.asarray(found)
