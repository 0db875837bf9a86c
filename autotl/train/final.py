"""What a whole model says of stored pixels, called in a worker once its training is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl import activations, model
from autotl.errors import InternalError
from autotl.records import LocatedBackbone, Recipe, from_json
from autotl.rows import opened

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float32]
Progress = Callable[[str, int, int], None]

COMPARED = 8
"""Rows that the model itself predicts too, where features were computed by another engine."""
AGREEMENT = 1e-3
"""Largest difference of a probability between the two."""


def predict(spec: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Probabilities of a model for stored pixels: `model.predict_pixels`, by a shorter way.

    `spec`: what that takes, and located, recipe (JSON), folder (the store's), key (a name of the
    pixels' content), seed, passed (rows that passed the backbone in training). Where only the
    head was trained and the backbone was converted for those rows, onnxruntime computes what the
    head reads, as it did in training, and the model itself answers for the first rows: raises
    `InternalError` where the two do not agree.
    """
    located = from_json(LocatedBackbone, spec["located"])
    recipe = from_json(Recipe, spec["recipe"])
    engine = activations.engine_for(spec["passed"], located.input_size)
    if not (model.head_only(recipe) and recipe.pretrained and engine == "onnxruntime"):
        return model.predict_pixels(spec, progress)
    import keras

    net = keras.models.load_model(spec["model"], compile=False)
    with activations.holding():
        features = _features(spec, located, recipe, progress)
    probabilities = np.asarray(model.after_pooling(net)(features), np.float32)
    _compare(net, opened(spec["pixels"])[:COMPARED], probabilities)
    return model.write_probabilities(probabilities, Path(spec["out"]))


def _features(
    spec: Mapping[str, Any], located: LocatedBackbone, recipe: Recipe, progress: Progress
) -> Floats:
    """Averaged outputs of the taps side by side, of every row of the pixels."""
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
    return np.concatenate([np.load(path, allow_pickle=False) for path in paths], axis=1)


def _compare(net: keras.Model, pixels: NDArray[np.uint8], probabilities: Floats) -> None:
    own = np.asarray(net.predict_on_batch(np.asarray(pixels, np.float32)))
    difference = float(np.abs(own - probabilities[: len(own)]).max())
    if not difference <= AGREEMENT:
        raise InternalError(
            f"onnxruntime's features give other probabilities than the model, by {difference:.2g}.",
            hint="Please report this, with the versions of onnxruntime and keras.",
        )
