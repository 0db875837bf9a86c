"""The graph of the embedded network, and its weights as a file of plain arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autotl.builtin.embedded import MEAN

if TYPE_CHECKING:
    import keras
    import numpy.typing as npt

WIDTHS = {"stage1": 48, "stage2": 128, "stage3": 256}
"""Channels of every residual stage; the stem has those of the first."""

HALVING = frozenset({"stage2", "stage3"})
"""The residual stages that halve height and width."""

PATCH = 4
"""Side in pixels of the non-overlapping patches that the stem looks at."""

FEATURES = 640
"""Channels of the last stage, which looks at one position at a time."""

HEAD = "head"
"""The classifier of the training task; in the weights file, not in the network."""

ECHO = "echo"
"""The linear map to the teacher's features while training; neither in the file nor the network."""


def build(input_size: int, weights: Path | None) -> keras.Model:
    """Build the network for preprocessed images, without a head and without pooling.

    Input: float32 `(batch, input_size, input_size, 3)`. Output: float32 feature map
    `(batch, h, h, 640)` with `h` = `input_size` / 16, rounded up. `weights` None leaves the
    random initialisation, drawn from keras's global seed; the graph is the same.

    Raises ValueError when the file at `weights` does not fit the network.
    """
    model = graph(input_size)
    if weights is not None:
        assign(model, read_weights(weights))
    return model


def graph(input_size: int | None) -> keras.Model:
    """Build the randomly initialised network; `input_size` None accepts images of any size."""
    import keras

    inputs = keras.Input((input_size, input_size, len(MEAN)), name="image", dtype="float32")
    x = _convolution(inputs, "stem", WIDTHS["stage1"], size=PATCH, stride=PATCH)
    x = keras.layers.Activation("relu", name="stem")(x)
    for stage in WIDTHS:
        x = _residual(x, stage)
    x = _convolution(x, "stage4", FEATURES, size=1, stride=1)
    x = keras.layers.Activation("relu", name="stage4")(x)
    return keras.Model(inputs, x, name="embedded")


def _residual(x: Any, stage: str) -> Any:
    """Two 3x3 convolutions beside a shortcut; the last layer bears the name of the stage."""
    import keras

    width, stride = WIDTHS[stage], 2 if stage in HALVING else 1
    shortcut = x
    if stride != 1 or x.shape[-1] != width:
        shortcut = _convolution(x, f"{stage}_shortcut", width, size=1, stride=stride)
    x = _convolution(x, f"{stage}_first", width, size=3, stride=stride)
    x = keras.layers.Activation("relu", name=f"{stage}_first_relu")(x)
    x = _convolution(x, f"{stage}_second", width, size=3, stride=1)
    x = keras.layers.Add(name=f"{stage}_add")([x, shortcut])
    return keras.layers.Activation("relu", name=stage)(x)


def _convolution(x: Any, name: str, width: int, *, size: int, stride: int) -> Any:
    """A convolution without bias and its batch norm."""
    import keras

    x = keras.layers.Conv2D(
        width,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return keras.layers.BatchNormalization(name=f"{name}_norm")(x)


def variables(model: keras.Model) -> dict[str, Any]:
    """Map `layer/variable` to the variable, for every weight that a weights file keeps."""
    return {
        f"{layer.name}/{variable.name}": variable
        for layer in model.layers
        for variable in layer.weights
        if layer.name != ECHO
    }


def assign(model: keras.Model, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Copy `arrays`, keyed `layer/variable`, into the variables of `model`.

    Arrays of the training head are skipped where `model` has no head. Raises ValueError, and
    changes nothing, when names or shapes differ or a value is not finite.
    """
    wanted = variables(model)
    extra = {name for name in arrays if name not in wanted and not name.startswith(f"{HEAD}/")}
    if problems := sorted(wanted.keys() - arrays.keys()):
        raise ValueError(f"weights lack {', '.join(problems)}")
    if extra:
        raise ValueError(f"weights hold arrays unknown to the network: {', '.join(sorted(extra))}")
    for name, variable in wanted.items():
        if arrays[name].shape != tuple(variable.shape):
            raise ValueError(
                f"weights {name}: shape {arrays[name].shape}, expected {tuple(variable.shape)}"
            )
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"weights {name}: a value is not finite")
    for name, variable in wanted.items():
        variable.assign(arrays[name].astype(np.float32))


def read_weights(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of a weights file by name, without pickle.

    Raises ValueError when the file is not one.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:
        raise ValueError(f"{path} is not a weights file: {error}") from error


def write_weights(model: keras.Model, path: Path) -> None:
    """Write every weight of `model` to `path`, replacing it in one step.

    Kernels become float16. Vectors stay float32: moving variances may leave float16's range,
    and together they are a hundredth of the file.
    """
    arrays = {}
    for name, variable in variables(model).items():
        array = np.asarray(variable.value)
        arrays[name] = array.astype(np.float16 if array.ndim > 1 else np.float32)
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    unfinished.replace(path)
