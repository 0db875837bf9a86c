"""In a worker: what the Keras model itself answers, and how it answers to small changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl.calls import Progress
from autotl.errors import ParityError
from autotl.export.features import with_features
from autotl.model import after_pooling
from autotl.rows import opened

if TYPE_CHECKING:
    import keras

BATCH = 32
RELATIVE_CHANGE = 1e-6
CHANGED_SHARE = 0.01
"""Share of values that move by one level for `level`. Two faithful resizes differ in
fewer than one value in a thousand."""

ROUNDED = 256
"""Numbers from which a kernel is rounded to float16, as in the exported file."""

DRAWS = 4
"""Roundings that are tried: of a small model's few weights, one may happen to change little."""

_STEPS = 2.0**11
"""Steps of the fraction of a float16."""

AS_READ = 1e-4
"""Largest difference of a probability by which the head's answer to the features may be off."""

Floats = NDArray[np.float32]
Answer = Callable[[Floats], tuple[Floats, Floats]]


def answers(spec: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Write a saved model's probabilities for stored pixels, and measure its responses.

    `spec`: model (`.keras`), pixels (uint8 (n, size, size, 3), as `rows.opened` opens them), out
    (`.npy` float32 (n, classes), written), sample (row numbers), seed; features (`.npy` float32
    (n, features), written) or None; float16 (whether to measure what rounding the weights does).
    Everything runs on the processor in float32: an accelerator's shorter arithmetic would be taken
    for a fault of the export.
    Returns, for each row of the sample, the largest change of a probability when the inputs
    change by a relative 1e-6 (`tiny`), when one value in a hundred moves by one level (`level`),
    and when the weights are rounded to float16 (`float16`); `embedding` and `embedding_float16` are
    the largest changes of a feature under the first and the last. Raises `ParityError` where the
    features are not what the head reads.
    """
    import keras

    pixels = opened(spec["pixels"])
    sample = pixels[spec["sample"]]
    with keras.device("cpu:0"):
        model = keras.models.load_model(spec["model"], compile=False)
        answer = _answering(model, embedding=spec["features"] is not None)
        given: tuple[list[Floats], list[Floats]] = ([], [])
        for start in range(0, len(pixels), BATCH):
            for parts, part in zip(given, answer(_floats(pixels[start:], BATCH)), strict=True):
                parts.append(part)
            progress("reference", min(start + BATCH, len(pixels)), len(pixels))
        np.save(spec["out"], np.concatenate(given[0]), allow_pickle=False)
        if spec["features"] is not None:
            _check_read(model, given[1][0], given[0][0])
            np.save(spec["features"], np.concatenate(given[1]), allow_pickle=False)
        found = _responses(answer, sample, spec["seed"])
        if spec["float16"]:
            found["float16"], found["embedding_float16"] = _rounding(
                model, answer, sample, spec["seed"]
            )
        return found


def _floats(pixels: NDArray[np.uint8], most: int) -> Floats:
    return pixels[:most].astype(np.float32)


def _answering(model: keras.Model, *, embedding: bool) -> Answer:
    """What gives a batch's probabilities and features; the latter are empty where not asked for."""
    import tensorflow as tf

    whole = with_features(model) if embedding else model
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
    run = tf.function(lambda images: whole(images, training=False), input_signature=signature)

    def answer(images: Floats) -> tuple[Floats, Floats]:
        found = run(images)
        scores, features = found if embedding else (found, np.zeros((len(images), 0)))
        return np.asarray(scores, np.float32), np.asarray(features, np.float32)

    return answer


def _check_read(model: keras.Model, features: Floats, probabilities: Floats) -> None:
    """Raise unless the head makes those probabilities of the features."""
    off = np.abs(np.asarray(after_pooling(model)(features)) - probabilities).max()
    if not off <= AS_READ:
        raise ParityError(
            "The embedding is not what the model's head reads.",
            details=(f"the head's answers to it are off by {off:.2e}, allowed: {AS_READ:.0e}",),
        )


def _responses(answer: Answer, pixels: NDArray[np.uint8], seed: int) -> dict[str, list[float]]:
    generator = np.random.default_rng(seed)
    found: dict[str, list[float]] = {"tiny": [], "level": [], "embedding": []}
    for start in range(0, len(pixels), BATCH):
        images = _floats(pixels[start:], BATCH)
        signs = generator.choice(np.array([-1, 1], np.float32), images.shape)
        moved = signs * (generator.random(images.shape) < CHANGED_SHARE)
        changed = {
            "tiny": images * (1 + np.float32(RELATIVE_CHANGE) * signs),
            "level": np.clip(images + moved, 0, 255).astype(np.float32),
        }
        before, features = answer(images)
        for name, inputs in changed.items():
            after, others = answer(inputs)
            found[name] += np.abs(after - before).max(axis=1).tolist()
            if name == "tiny":
                found["embedding"] += np.abs(others - features).max(axis=1, initial=0).tolist()
    return found


def _rounding(
    model: keras.Model, answer: Answer, pixels: NDArray[np.uint8], seed: int
) -> tuple[list[float], list[float]]:
    """The largest change of a probability and of a feature of each row when the kernels become
    float16, of several draws: all rows share the errors of one. Kernels that float16 cannot hold
    stay; the model is left rounded.

    A kernel's numbers get float16's eleven digits, each at another scale, for in the file they bear
    the factors of the batch norm behind them; pretrained ones are often of 16 bits as they are.
    """
    generator = np.random.default_rng(seed)
    starts = range(0, len(pixels), BATCH)
    kernels = [(one, np.asarray(one.value)) for one in model.variables]
    kernels = [(one, values) for one, values in kernels if is_kernel(values) and fits(values)]
    before = [answer(_floats(pixels[start:], BATCH)) for start in starts]
    changes = np.zeros((2, len(pixels)))
    for _ in range(DRAWS):
        for one, values in kernels:
            scales = generator.uniform(0.5, 1, values.shape)
            fraction, exponent = np.frexp(values * scales)
            shorter = np.ldexp(np.round(fraction * _STEPS) / _STEPS, exponent)
            one.assign((shorter / scales).astype(np.float32))
        for start, known in zip(starts, before, strict=True):
            found = answer(_floats(pixels[start:], BATCH))
            for kind, (old, new) in enumerate(zip(known, found, strict=True)):
                off = np.abs(new - old).max(axis=1, initial=0)
                part = changes[kind, start : start + BATCH]
                np.maximum(part, off, out=part)
    return changes[0].tolist(), changes[1].tolist()


def is_kernel(values: NDArray[Any]) -> bool:
    """Whether an array is a big float32 one of two sides or more, as kernels are and the means and
    deviations by which a head standardises are not: those cost accuracy and hold few bytes.
    """
    sides = sum(side > 1 for side in values.shape)
    return values.dtype == np.float32 and values.size >= ROUNDED and sides > 1


def fits(values: NDArray[np.float32]) -> bool:
    """Whether float16 holds numbers as large."""
    return bool(np.abs(values).max(initial=0) <= np.finfo(np.float16).max)
