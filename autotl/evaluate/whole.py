"""What a whole model says of stored pixels; called in a worker by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl import activations, model
from autotl.calls import Progress
from autotl.records import LocatedBackbone, Recipe, from_json
from autotl.rows import opened

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float32]

COMPARED = 8
"""Rows that the model itself predicts too, where features were computed by another engine."""
AGREEMENT = 1e-3
"""Largest difference of a probability between the two."""
BLOCK = 4096
"""Rows whose features are in memory at a time."""

_log = logging.getLogger("autotl")


def predict(spec: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Probabilities of a model for stored pixels: `model.predict_pixels`, by a shorter way.

    `spec`: what that takes, and located, recipe (JSON), folder (the store's), key (a name of the
    pixels' content), seed, passed (rows that passed the backbone in training). Where only the
    head was trained and the backbone was converted for those rows, onnxruntime computes what the
    head reads, as it did in training. The model itself answers for the first rows, and for all,
    with a warning, where the two do not agree.
    """
    located = from_json(LocatedBackbone, spec["located"])
    recipe = from_json(Recipe, spec["recipe"])
    engine = activations.engine_for(spec["passed"], located.input_size)
    if not (model.head_only(recipe) and recipe.pretrained and engine == "onnxruntime"):
        return model.predict_pixels(spec, progress)
    import keras

    net = keras.models.load_model(spec["model"], compile=False)
    with activations.holding():
        probabilities = _by_features(net, _features(spec, located, recipe, progress))
    difference = _difference(net, opened(spec["pixels"])[:COMPARED], probabilities)
    if difference <= AGREEMENT:
        return model.write_probabilities(probabilities, Path(spec["out"]))
    _log.warning(
        "onnxruntime's features give other probabilities than the model, by %.2g: the model "
        "predicts by itself, which takes longer",
        difference,
    )
    return model.predict_pixels(spec, progress)


def _features(
    spec: Mapping[str, Any], located: LocatedBackbone, recipe: Recipe, progress: Progress
) -> list[Floats]:
    """Averaged outputs of each tap, of every row of the pixels, memory-mapped."""
    pixels = opened(spec["pixels"])
    paths = activations.ensure(
        folder=Path(spec["folder"]),
        key=spec["key"],
        read=lambda start, stop: np.asarray(pixels[start:stop]),
        count=len(pixels),
        located=located,
        pretrained=True,
        seed=spec["seed"],
        wants=[(tap, True) for tap in recipe.taps],
        progress=lambda _, done, total: progress("predict", done, total),
        engine="onnxruntime",
    )
    return [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]


def _by_features(net: keras.Model, taps: list[Floats]) -> Floats:
    """Keras answers on the processor, here and below: an accelerator's shorter arithmetic would
    look like a fault.
    """
    import keras

    head = model.after_pooling(net)
    blocks = []
    with keras.device("cpu:0"):
        for start in range(0, len(taps[0]), BLOCK):
            block = np.concatenate([tap[start : start + BLOCK] for tap in taps], axis=1)
            blocks.append(np.asarray(head(block, training=False), np.float32))
    return np.concatenate(blocks)


def _difference(net: keras.Model, pixels: NDArray[np.uint8], probabilities: Floats) -> float:
    """Largest difference of a probability from what the model itself says of the first rows."""
    import keras

    with keras.device("cpu:0"):
        own = np.asarray(net(np.asarray(pixels, np.float32), training=False))
    return float(np.abs(own - probabilities[: len(own)]).max())
