"""The networks themselves; runs in a worker. One function a network, as the contract asks.

`autotl_keras_applications.build:NAME` is found by `__getattr__`, from the table. Keras is asked
for random weights and the file is loaded here, so Keras never looks in its cache or on the network,
and pretrained and random networks have the same graph. Layers that Keras numbers by process get
the numbers of a process that built nothing else, and preprocessing layers at the start are taken
away: what they do is stated as data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotl_keras_applications.backbones import function_of
from autotl_keras_applications.networks import NETWORKS, Network

if TYPE_CHECKING:
    import keras

_BY_FUNCTION = {function_of(network): network for network in NETWORKS}
_CLOSE = 1e-3
"""Largest relative difference of a file's normalisation from the stated one."""


def __getattr__(name: str) -> Callable[[int, Path | None], keras.Model]:
    try:
        return partial(_built, _BY_FUNCTION[name])
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no network {name!r}") from None


def _built(network: Network, input_size: int, weights: Path | None) -> keras.Model:
    """The network without classifier and preprocessing: (batch, size, size, 3), preprocessed, →
    last feature map.

    Raises ValueError when the file at `weights` is not an HDF5 file (`.h5`) of just this network.
    """
    import keras

    model = getattr(keras.applications, network.function)(
        input_shape=(input_size, input_size, 3),
        include_top=False,
        weights=None,
        **network.arguments,
    )
    _number_anew(model)
    if weights is not None:
        _load(model, weights, network)
    return _bare(model)


def _number_anew(model: keras.Model) -> None:
    """Number what Keras named itself (layers `add`, `add_1`, weights `variable_7`) within the
    model, in the order of making.
    """
    layers: dict[str, list[tuple[int, Any]]] = {}
    for layer in model.layers:
        kind = _snake(type(layer).__name__)
        if (number := _number(layer.name, kind)) is not None:
            layers.setdefault(kind, []).append((number, layer))
    variables = [
        (number, variable)
        for layer in model.layers
        for variable in layer.weights
        if (number := _number(variable.name, "variable")) is not None
    ]
    for kind, numbered in layers.items():
        for name, layer in _renamed(kind, numbered):
            layer.name = name
    for name, variable in _renamed("variable", variables):
        variable._name = name  # no public way to name it


def _number(name: str, kind: str) -> int | None:
    """The number in a name that Keras made from the kind; None for another name."""
    found = re.fullmatch(rf"{kind}(?:_(\d+))?", name)
    return int(found[1] or 0) if found else None


def _renamed(kind: str, numbered: list[tuple[int, Any]]) -> Iterator[tuple[str, Any]]:
    in_order = sorted(numbered, key=lambda each: each[0])
    for number, (_, one) in enumerate(in_order):
        yield (f"{kind}_{number}" if number else kind), one


def _snake(name: str) -> str:
    """The name of a class as Keras makes names of layers from it: ReLU → re_lu."""
    parted = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", parted).lower()


def _bare(model: keras.Model) -> keras.Model:
    """The model without the preprocessing layers that it starts with."""
    import keras

    kinds = (keras.layers.Rescaling, keras.layers.Normalization)
    leading = takewhile(lambda layer: isinstance(layer, kinds), model.layers[1:])
    left_out = {layer.name for layer in leading}
    if not left_out:
        return model

    def call(layer: Any, *given: Any, **options: Any) -> Any:
        return given[0] if layer.name in left_out else layer(*given, **options)

    inputs = keras.Input(model.input_shape[1:], name=model.layers[0].name)
    bare = keras.models.clone_model(model, input_tensors=inputs, call_function=call)
    for layer in bare.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    return bare


def _load(model: keras.Model, weights: Path, network: Network) -> None:
    """Load a file that holds as many layers as `model`, in its order (names may differ)."""
    held = _layers_with_weights(weights)
    wanted = [layer.name for layer in model.layers if layer.weights]
    if len(held) > len(wanted):
        extra = ", ".join(held[len(wanted) :])
        raise ValueError(
            f"{weights} holds more than {network.name} without its classifier (at its end: "
            f"{extra}); a file whose name ends in no_top.h5 or notop.h5 is wanted"
        )
    if len(held) < len(wanted):
        raise ValueError(
            f"{weights} holds {len(held)} layers with weights, {network.name} has {len(wanted)}"
        )
    try:
        model.load_weights(weights)
    except ValueError as error:
        raise ValueError(f"{weights} does not fit {network.name}: {error}") from error
    if network.normalised is not None:
        _check_normalised(model, weights, network.normalised)


def _check_normalised(model: keras.Model, weights: Path, stated: Any) -> None:
    """Raise ValueError where a file's Normalization, left out here, is not as stated."""
    import keras
    import numpy as np

    (layer,) = (one for one in model.layers if isinstance(one, keras.layers.Normalization))
    found = [np.asarray(value).reshape(-1) for value in layer.get_weights()[:2]]
    if not np.allclose(found, stated, rtol=_CLOSE):
        raise ValueError(f"{weights} is of a network with another preprocessing: {found}")


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
