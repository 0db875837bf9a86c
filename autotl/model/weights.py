"""Trained weights and whole models as files, and what a worker is called to do with them."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autotl.files import sha256, write_atomically
from autotl.model.assembly import HEAD, STANDARDISE, full, trainable
from autotl.model.cuts import build
from autotl.records import LocatedBackbone, Recipe, from_json
from autotl.rows import opened

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from autotl.model.assembly import Standard

BATCH = 64
"""Images a step in `predict_pixels`."""


def save_trained(model: keras.Model, path: Path, standard: Standard | None = None) -> None:
    """Write every weight of a `trainable` model, and a standardisation, to a `.npz` file.

    `standard` is (mean, deviation), by default the model's own. Arrays are keyed by their position
    and name; the file is replaced in one step.
    """
    arrays = {key: np.asarray(variable.value) for key, variable in _keyed(model)}
    mean, deviation = standard or _standard_of(model)
    arrays |= {f"{STANDARDISE}/mean": mean, f"{STANDARDISE}/deviation": deviation}

    def write(part: Path) -> None:
        with part.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)

    write_atomically(path, write)


def _keyed(model: keras.Model) -> list[tuple[str, Any]]:
    return [(f"{i:04d}/{variable.name}", variable) for i, variable in enumerate(model.weights)]


def _standard_of(model: keras.Model) -> Standard:
    layer = model.get_layer(HEAD).get_layer(STANDARDISE)
    mean = np.asarray(layer.input_mean, np.float32)
    return mean, np.sqrt(np.asarray(layer.input_variance, np.float32))


def read_standard(path: Path) -> Standard:
    """(mean, deviation), each float32 (features,), of a file that `save_trained` wrote.

    Raises ValueError when the file is damaged.
    """
    arrays = _read(path)
    return arrays[f"{STANDARDISE}/mean"], arrays[f"{STANDARDISE}/deviation"]


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise ValueError(f"{path} is not a whole weights file: {error}") from error


def load_trained(model: keras.Model, path: Path) -> None:
    """Assign the weights that `save_trained` wrote for a model of the same recipe.

    The standardisation is not assigned: hand `read_standard(path)` to `trainable`. Raises
    ValueError, and changes nothing, when the file is damaged or names or shapes do not fit.
    """
    wanted = _keyed(model)
    arrays = {key: a for key, a in _read(path).items() if not key.startswith(STANDARDISE)}
    shapes = {key: tuple(variable.shape) for key, variable in wanted}
    found = {key: array.shape for key, array in arrays.items()}
    if shapes != found:
        differing = sorted(dict(shapes.items() ^ found.items()))
        raise ValueError(f"{path} does not fit the model at {', '.join(differing[:5])}")
    for key, variable in wanted:
        variable.assign(arrays[key])


def save_final(
    spec: Mapping[str, Any], progress: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Write the whole model, with a trial's weights, as a `.keras` file of plain Keras layers.

    `spec`: located, recipe, classes, seed, weights (what `save_trained` wrote), temperature, out.
    Returns sha256 (hex) and size (bytes) of the file.
    """
    located = from_json(LocatedBackbone, spec["located"])
    recipe = from_json(Recipe, spec["recipe"])
    weights, out = Path(spec["weights"]), Path(spec["out"])
    net = build(located, pretrained=recipe.pretrained, seed=spec["seed"])
    stages = located.backbone.stages
    trained = trainable(
        net, stages, recipe, spec["classes"], standard=read_standard(weights), seed=spec["seed"]
    )
    load_trained(trained, weights)
    temperature = spec.get("temperature", 1.0)
    whole = full(net, stages, recipe, trained, located.preprocessing, temperature)
    write_atomically(out, whole.save)
    return {"sha256": sha256(out), "size": out.stat().st_size}


def predict_pixels(
    spec: Mapping[str, Any], progress: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Probabilities that a saved model gives for stored pixels.

    `spec`: model (`.keras`), pixels (uint8 (n, size, size, 3), as `rows.opened` opens them), out
    (`.npy`, float32 (n, classes), written). Returns examples and classes.
    """
    import keras

    net = keras.models.load_model(spec["model"], compile=False)
    pixels = opened(spec["pixels"])
    rows = []
    for start in range(0, len(pixels), BATCH):
        batch = np.asarray(pixels[start : start + BATCH], np.float32)
        # a last batch of another size would be traced anew, which takes longer than to fill it up
        whole = (
            np.resize(batch, (BATCH, *batch.shape[1:])) if start and len(batch) < BATCH else batch
        )
        rows.append(np.asarray(net.predict_on_batch(whole), np.float32)[: len(batch)])
        progress("predict", min(start + BATCH, len(pixels)), len(pixels))
    probabilities = np.concatenate(rows or [np.zeros((0, net.output_shape[-1]), np.float32)])
    return write_probabilities(probabilities, Path(spec["out"]))


def write_probabilities(probabilities: NDArray[np.float32], out: Path) -> dict[str, Any]:
    """Write (n, classes) to a `.npy` file; returns examples and classes."""

    def write(part: Path) -> None:
        with part.open("wb") as stream:
            np.save(stream, probabilities, allow_pickle=False)

    write_atomically(out, write)
    return {"examples": len(probabilities), "classes": int(probabilities.shape[1])}
