from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from autotl_keras_applications import autotl_backbones
from autotl_keras_applications.networks import NETWORKS, Network

from autotl import model
from autotl.errors import PluginError
from autotl.records import Backbone, LocatedBackbone
from autotl.testing import check_backbone

BACKBONES = {backbone.name: backbone for backbone in autotl_backbones()}
NETWORK = {network.name: network for network in NETWORKS}
SMALL = BACKBONES["MobileNet-0.25"]


def located(backbone: Backbone, size: int, weights: Path | None = None) -> LocatedBackbone:
    return LocatedBackbone(
        backbone=backbone,
        distribution="autotl-keras-applications",
        input_size=size,
        preprocessing=dataclasses.replace(backbone.preprocessing, size=size),
        weights=None if weights is None else str(weights),
        weights_sha256=None,
    )


def build(backbone: Backbone, size: int, weights: Path | None = None) -> Any:
    return model.build(located(backbone, size, weights), pretrained=weights is not None, seed=1)


def save_h5(net: Any, path: Path, dtype: str = "float32", extra: str | None = None) -> None:
    """Write the legacy layout that Keras's own weights files have, with `extra` as a classifier."""
    layers = [(layer.name, layer.weights) for layer in net.layers if layer.weights]
    with h5py.File(path, "w") as file:
        for name, weights in layers:
            group = file.create_group(name)
            names = [f"{name}/{variable.name}:0" for variable in weights]
            group.attrs["weight_names"] = [spelt.encode() for spelt in names]
            for spelt, variable in zip(names, weights, strict=True):
                group.create_dataset(spelt, data=np.asarray(variable.value).astype(dtype))
        held = [name for name, _ in layers]
        if extra:
            held.append(extra)
            group = file.create_group(extra)
            group.attrs["weight_names"] = [b"kernel:0"]
            group.create_dataset("kernel:0", data=np.zeros((1, 1, 256, 1000), dtype))
        file.attrs["layer_names"] = [name.encode() for name in held]


@pytest.fixture(scope="module")
def net() -> Any:
    return build(SMALL, 64)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_weights_file_makes_the_network_that_it_came_from(
    net: Any, tmp_path: Path, dtype: str
) -> None:
    path = tmp_path / "mobilenet.h5"
    for variable in net.weights:
        variable.assign(np.asarray(variable.value).astype(dtype).astype("float32"))
    save_h5(net, path, dtype)
    loaded = build(SMALL, 96, path)
    for found, expected in zip(loaded.weights, net.weights, strict=True):
        np.testing.assert_array_equal(found.value, expected.value)
    assert [layer.name for layer in loaded.layers[1:]] == [layer.name for layer in net.layers[1:]]


def test_a_file_with_a_classifier_is_refused(net: Any, tmp_path: Path) -> None:
    path = tmp_path / "mobilenet_2_5_224_tf.h5"
    save_h5(net, path, extra="conv_preds")
    with pytest.raises(PluginError, match=r"conv_preds.*no_top\.h5 .*is wanted"):
        build(SMALL, 64, path)


def test_a_file_of_another_width_is_refused(net: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    save_h5(net, path)
    with pytest.raises(PluginError, match=r"does not fit MobileNet-0\.5"):
        build(BACKBONES["MobileNet-0.5"], 64, path)


def test_a_file_of_another_family_is_refused(net: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    save_h5(net, path)
    with pytest.raises(PluginError, match="holds 54 layers with weights"):
        build(BACKBONES["MobileNetV2-0.35"], 64, path)


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.h5"
    path.write_bytes(content)
    with pytest.raises(PluginError, match="is not an HDF5 file of Keras weights"):
        build(SMALL, 64, path)


def test_a_cut_file_is_refused(net: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    save_h5(net, path)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(PluginError):
        build(SMALL, 64, path)


@pytest.mark.parametrize(
    ("name", "module"),
    [("MobileNet", "mobilenet"), ("ResNet50", "resnet"), ("DenseNet121", "densenet")],
)
def test_preprocessing_is_that_of_keras(name: str, module: str) -> None:
    import keras

    pixels = np.arange(0, 252, dtype=np.uint8).reshape(1, 12, 7, 3)
    preprocess = getattr(keras.applications, module).preprocess_input
    expected = preprocess(pixels.astype("float32"))
    found = model.prepare(pixels, BACKBONES[name].preprocessing)
    np.testing.assert_allclose(found, expected, atol=3e-6)


def test_layers_are_numbered_anew_in_each_network() -> None:
    first = build(BACKBONES["MobileNetV3Small"], 32)
    second = build(BACKBONES["MobileNetV3Small"], 32)
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]
    assert second.get_layer("activation_17").output is second.outputs[0]


def test_a_name_that_is_no_network_is_an_attribute_error() -> None:
    from autotl_keras_applications import build as module

    with pytest.raises(AttributeError, match="no network 'NoSuch'"):
        _ = module.NoSuch


def test_a_file_of_a_network_that_normalises_otherwise_is_refused(tmp_path: Path) -> None:
    import keras

    path = tmp_path / "efficientnet.h5"
    theirs = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    save_h5(theirs, path)  # as it is before it is adapted: mean 0 and variance 1
    with pytest.raises(PluginError, match="another preprocessing"):
        build(BACKBONES["EfficientNetB0"], 32, path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNet-0.25", "MobileNetV2-0.35"])
def test_the_parts_make_the_whole(name: str) -> None:
    from autotl.records import Recipe

    backbone = BACKBONES[name]
    built = build(backbone, 64)
    draw = np.random.default_rng(1)
    for variable in built.weights:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(draw.uniform(0.5, 1.5, variable.shape).astype("float32"))
    pixels = draw.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    preprocessing = located(backbone, 64).preprocessing
    prepared = model.prepare(pixels, preprocessing)
    last = len(backbone.stages)
    for k in range(1, last):
        recipe = Recipe(
            backbone=name,
            strategy="partial-freeze",
            input_size=64,
            pretrained=True,
            boundary=k,
            last=last,
            taps=(last,),
        )
        trained = model.trainable(built, backbone.stages, recipe, 3, seed=1)
        stored = model.below(built, backbone.stages, k)(prepared, training=False)
        logits = np.asarray(trained(stored, training=False))
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        whole = model.full(built, backbone.stages, recipe, trained, preprocessing)
        np.testing.assert_allclose(whole(pixels.astype("float32")), expected, atol=1e-5)


def least(backbone: Backbone) -> int:
    """The least input size that Keras asks for the files with and that has no single-point map."""
    return max(64, backbone.input_sizes.least)


OTHER_SIZES = [("MobileNet-0.25", 128), ("MobileNetV2-0.35", 96), ("MobileNetV2", 160)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`input_shape` is undefined or non-square")
@pytest.mark.parametrize(
    ("name", "size"),
    [*((one.name, least(BACKBONES[one.name])) for one in NETWORKS), *OTHER_SIZES],
)
def test_a_network_is_kerass_own_however_many_were_built_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, size: int
) -> None:
    """Keras is left to fetch "its" file, of random weights, and to preprocess the pixels.

    Layers are named as in a process that built nothing else, and the same at random, at another
    size and with the file; `build` looks at every stage.
    """
    import keras
    from keras.src.utils import file_utils

    network, backbone, path = NETWORK[name], BACKBONES[name], tmp_path / "weights.h5"
    keras.backend.clear_session()
    theirs = keras_own(network, size, None)
    kinds = (keras.layers.InputLayer, keras.layers.Rescaling, keras.layers.Normalization)
    names = [layer.name for layer in theirs.layers if not isinstance(layer, kinds)]
    shake(theirs, network.normalised)
    save_h5(theirs, path)
    asked: list[tuple[str, str, str]] = []

    def get_file(file: str, origin: str, file_hash: str = "", **_: Any) -> str:
        asked.append((file, origin, file_hash))
        return str(path)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    theirs = keras_own(network, size, "imagenet")
    pixels = np.random.default_rng(1).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    module = importlib.import_module(family(network).__module__.replace("keras.src", "keras"))
    preprocessed = module.preprocess_input(pixels.astype("float32"))
    expected = np.asarray(theirs(preprocessed, training=False))
    del theirs
    assert_listed(asked, backbone)
    at_random = described(build(backbone, size + backbone.input_sizes.multiple_of))
    ours = build(backbone, size, path)
    assert described(ours) == at_random
    assert [layer for layer, *_ in at_random] == names
    assert ours.count_params() == backbone.parameters
    assert model.count_above(ours, backbone.stages)[0] == backbone.parameters
    prepared = model.prepare(pixels, located(backbone, size).preprocessing)
    found = np.asarray(ours(prepared, training=False))
    assert expected.std() > 0
    assert np.abs(found - expected).max() <= 1e-3 * expected.std()


def assert_listed(asked: list[tuple[str, str, str]], backbone: Backbone) -> None:
    """What Keras asks for is a file of the backbone's; a SHA-256 that Keras states is held."""
    assert asked
    listed = {(one.file, one.url): one.sha256 for one in backbone.weights}
    for file, url, digest in asked:
        assert listed[file, url] == (digest if len(digest) == 64 else None)


def described(net: Any) -> list[tuple[str, str, list[tuple[str, tuple[int, ...]]]]]:
    """Name, kind and weights of the layers after the input."""
    return [
        (layer.name, type(layer).__name__, [(one.name, tuple(one.shape)) for one in layer.weights])
        for layer in net.layers[1:]
    ]


def family(network: Network) -> Any:
    import keras

    return getattr(keras.applications, network.function)


def keras_own(network: Network, size: int, weights: str | None) -> Any:
    """The network as Keras gives it, with the preprocessing that is inside it."""
    alpha = {name: value for name, value in network.arguments.items() if name == "alpha"}
    shape = (size, size, 3)
    return family(network)(include_top=False, input_shape=shape, weights=weights, **alpha)


def shake(net: Any, normalised: Any) -> None:
    """Statistics that no batch norm starts with, and those of a Normalization as stated.

    With larger changes an EfficientNetV2 answers rounding as if it were another image.
    """
    import keras

    draw = np.random.default_rng(1)
    for layer in net.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            for variable, values in zip(layer.weights, normalised, strict=False):
                variable.assign(np.reshape(values, variable.shape))
            continue
        for variable in layer.weights:
            if variable.name in ("gamma", "moving_variance"):
                variable.assign(draw.uniform(0.9, 1.1, variable.shape).astype("float32"))


CONFORMING = (
    "MobileNet-0.25",
    "MobileNetV2-0.35",
    "MobileNetV3Small",
    "MobileNetV3Large",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "EfficientNetV2S",
    "ResNet50",
    "ResNet50V2",
    "DenseNet121",
    "VGG16",
    "Xception",
    "InceptionV3",
    "InceptionResNetV2",
    "NASNetMobile",
    "ConvNeXtTiny",
)
"""The smallest of every kind; the others have no other layers, as the next test says."""


@pytest.mark.slow
def test_networks_have_no_kinds_of_layers_but_those_of_one_that_is_put_through_all_checks() -> None:
    import keras

    def kinds(network: Network) -> set[str]:
        net = build(BACKBONES[network.name], least(BACKBONES[network.name]))
        return {type(layer).__name__ for layer in net.layers}

    held: dict[str, list[set[str]]] = {}
    for name in CONFORMING:
        held.setdefault(family(NETWORK[name]).__module__, []).append(kinds(NETWORK[name]))
    for network in NETWORKS:
        if network.name not in CONFORMING and "alpha" not in network.arguments:
            own = family(network).__module__
            own = own.replace("vgg19", "vgg16")
            assert kinds(network) in held[own], network.name
            keras.backend.clear_session()


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFORMING)
def test_a_backbone_of_each_family_conforms(name: str, tmp_path: Path) -> None:
    import keras

    path, backbone = tmp_path / "weights.h5", BACKBONES[name]
    keras.utils.set_random_seed(99)
    theirs = keras_own(NETWORK[name], backbone.input_sizes.default, None)
    shake(theirs, NETWORK[name].normalised)
    save_h5(theirs, path)
    check_backbone(backbone, weights=path)
