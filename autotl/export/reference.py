"""In a worker: what the Keras model itself answers, and how it answers to small changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.calls import Progress
from autotl.rows import opened

BATCH = 32
RELATIVE_CHANGE = 1e-6
CHANGED_SHARE = 0.01
"""Share of values that move by one level for `level`. Two faithful resizes differ in
fewer than one value in a thousand."""

Answer = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def answers(spec: dict[str, Any], progress: Progress) -> dict[str, list[float]]:
    """Write a saved model's probabilities for stored pixels, and measure its responses.

    `spec`: model (`.keras`), pixels (uint8 (n, size, size, 3), as `rows.opened` opens them), out
    (`.npy` float32 (n, classes), written), sample (row numbers), seed. Everything runs on the
    processor in float32: an accelerator's shorter arithmetic would be taken for a fault of the
    export.
    Returns, for each row of the sample, the largest change of a probability when the inputs
    change by a relative 1e-6 (`tiny`) and when one value in a hundred moves by one level
    (`level`).
    """
    import keras

    pixels = opened(spec["pixels"])
    with keras.device("cpu:0"):
        answer = _loaded(spec["model"])
        probabilities = []
        for start in range(0, len(pixels), BATCH):
            probabilities.append(answer(pixels[start : start + BATCH].astype(np.float32)))
            progress("reference", min(start + BATCH, len(pixels)), len(pixels))
        np.save(spec["out"], np.concatenate(probabilities), allow_pickle=False)
        return _responses(answer, pixels[spec["sample"]], spec["seed"])


def _loaded(path: str) -> Answer:
    import keras
    import tensorflow as tf

    model = keras.models.load_model(path, compile=False)
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
    run = tf.function(lambda images: model(images, training=False), input_signature=signature)
    return lambda images: np.asarray(run(images), np.float32)


def _responses(answer: Answer, pixels: NDArray[np.uint8], seed: int) -> dict[str, list[float]]:
    generator = np.random.default_rng(seed)
    found: dict[str, list[float]] = {"tiny": [], "level": []}
    for start in range(0, len(pixels), BATCH):
        images = pixels[start : start + BATCH].astype(np.float32)
        signs = generator.choice(np.array([-1, 1], np.float32), images.shape)
        moved = signs * (generator.random(images.shape) < CHANGED_SHARE)
        changed = {
            "tiny": images * (1 + np.float32(RELATIVE_CHANGE) * signs),
            "level": np.clip(images + moved, 0, 255).astype(np.float32),
        }
        before = answer(images)
        for name, inputs in changed.items():
            found[name] += np.abs(answer(inputs) - before).max(axis=1).tolist()
    return found
