"""The networks themselves; runs in a worker. One function a backbone, as the contract asks.

Keras is asked for random weights and the file is loaded here, so Keras never looks in its cache
or on the network, and pretrained and random networks have the same graph. All layers that Keras
makes here have fixed names, but for the input layer, which is no stage.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def _mobilenet(input_size: int, weights: Path | None, alpha: float) -> keras.Model:
    from keras.applications import MobileNet

    return _network(MobileNet, input_size, weights, alpha)


def _mobilenet_v2(input_size: int, weights: Path | None, alpha: float) -> keras.Model:
    from keras.applications import MobileNetV2

    return _network(MobileNetV2, input_size, weights, alpha)


def _network(
    family: Callable[..., keras.Model], input_size: int, weights: Path | None, alpha: float
) -> keras.Model:
    """The network without its classifier: (batch, size, size, 3) in -1..1 → last feature map.

    Raises ValueError when the file at `weights` is not an HDF5 file (`.h5`) of just this network.
    """
    model = family(
        input_shape=(input_size, input_size, 3),
        alpha=alpha,
        include_top=False,
        weights=None,
        name=f"{family.__name__}_{alpha:g}",
    )
    if weights is not None:
        _load(model, weights)
    return model


def _load(model: keras.Model, weights: Path) -> None:
    """Load a file that holds as many layers as `model`, in its order (names may differ)."""
    held = _layers_with_weights(weights)
    wanted = [layer.name for layer in model.layers if layer.weights]
    if len(held) > len(wanted):
        extra = ", ".join(held[len(wanted) :])
        raise ValueError(
            f"{weights} holds more than {model.name} without its classifier (at its end: {extra}); "
            "a file whose name ends in no_top.h5 is wanted"
        )
    if len(held) < len(wanted):
        raise ValueError(
            f"{weights} holds {len(held)} layers with weights, {model.name} has {len(wanted)}"
        )
    try:
        model.load_weights(weights)
    except ValueError as error:
        raise ValueError(f"{weights} does not fit {model.name}: {error}") from error


def _layers_with_weights(path: Path) -> list[str]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            group: Any = file.get("model_weights", file)
            names = [_text(name) for name in group.attrs["layer_names"]]
            return [name for name in names if len(group[name].attrs["weight_names"])]
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} is not an HDF5 file of Keras weights: {error}") from error


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def mobilenet_0_25(input_size: int, weights: Path | None) -> keras.Model:
    """MobileNet, width 0.25."""
    return _mobilenet(input_size, weights, 0.25)


def mobilenet_0_5(input_size: int, weights: Path | None) -> keras.Model:
    """MobileNet, width 0.5."""
    return _mobilenet(input_size, weights, 0.5)


def mobilenet_0_75(input_size: int, weights: Path | None) -> keras.Model:
    """MobileNet, width 0.75."""
    return _mobilenet(input_size, weights, 0.75)


def mobilenet_1_0(input_size: int, weights: Path | None) -> keras.Model:
    """MobileNet, width 1.0."""
    return _mobilenet(input_size, weights, 1.0)


def mobilenet_v2_0_35(input_size: int, weights: Path | None) -> keras.Model:
    """MobileNetV2, width 0.35."""
    return _mobilenet_v2(input_size, weights, 0.35)


def mobilenet_v2_0_5(input_size: int, weights: Path | None) -> keras.Model:
    """MobileNetV2, width 0.5."""
    return _mobilenet_v2(input_size, weights, 0.5)


def mobilenet_v2_0_75(input_size: int, weights: Path | None) -> keras.Model:
    """MobileNetV2, width 0.75."""
    return _mobilenet_v2(input_size, weights, 0.75)


def mobilenet_v2_1_0(input_size: int, weights: Path | None) -> keras.Model:
    """MobileNetV2, width 1.0."""
    return _mobilenet_v2(input_size, weights, 1.0)


def mobilenet_v2_1_3(input_size: int, weights: Path | None) -> keras.Model:
    """MobileNetV2, width 1.3."""
    return _mobilenet_v2(input_size, weights, 1.3)


def mobilenet_v2_1_4(input_size: int, weights: Path | None) -> keras.Model:
    """MobileNetV2, width 1.4."""
    return _mobilenet_v2(input_size, weights, 1.4)
