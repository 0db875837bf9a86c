from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from autotl_keras_applications import autotl_backbones

from autotl import model
from autotl.errors import PluginError
from autotl.records import Backbone, LocatedBackbone
from autotl.testing import check_backbone

BACKBONES = {backbone.name: backbone for backbone in autotl_backbones()}
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
    with pytest.raises(PluginError, match=r"conv_preds.*no_top\.h5 is wanted"):
        build(SMALL, 64, path)


def test_a_file_of_another_width_is_refused(net: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    save_h5(net, path)
    with pytest.raises(PluginError, match=r"does not fit MobileNet_0\.5"):
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


def test_preprocessing_is_that_of_keras() -> None:
    import keras

    pixels = np.arange(0, 252, dtype=np.uint8).reshape(1, 12, 7, 3)
    expected = keras.applications.mobilenet_v2.preprocess_input(pixels.astype("float32"))
    found = model.prepare(pixels, SMALL.preprocessing)
    np.testing.assert_allclose(found, expected, atol=3e-7)


@pytest.mark.slow
def test_every_build_has_its_stages_and_parameters_in_any_order_of_building() -> None:
    """Some applications number layers by process; building twice, in two orders, shows it."""
    names: dict[str, list[str]] = {}
    for name in [*BACKBONES, *reversed(BACKBONES)]:
        backbone = BACKBONES[name]
        built = build(backbone, 32 if name in names else 96)
        assert built.count_params() == backbone.parameters
        assert model.count_above(built, backbone.stages)[0] == backbone.parameters
        layers = [layer.name for layer in built.layers[1:]]
        assert names.setdefault(name, layers) == layers


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "alpha", "size"),
    [("MobileNet-0.25", 0.25, 128), ("MobileNet", 1.0, 224), ("MobileNetV2-0.35", 0.35, 96),
     ("MobileNetV2", 1.0, 160), ("MobileNetV2-1.4", 1.4, 224)],
)  # fmt: skip
def test_files_and_addresses_are_those_that_keras_asks_for(
    monkeypatch: pytest.MonkeyPatch, name: str, alpha: float, size: int
) -> None:
    import keras
    from keras.src.utils import file_utils

    class AskedError(Exception):
        pass

    def get_file(file: str, origin: str, **_: Any) -> str:
        raise AskedError(file, origin)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    family = getattr(keras.applications, name.partition("-")[0])
    with pytest.raises(AskedError) as asked:
        family(input_shape=(size, size, 3), alpha=alpha, include_top=False, weights="imagenet")
    offered = [(weights.file, weights.url) for weights in BACKBONES[name].weights]
    assert asked.value.args in offered


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNet-0.25", "MobileNetV2-0.35"])
def test_a_backbone_of_each_family_conforms(name: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    trained = model.build(located(BACKBONES[name], 96), pretrained=False, seed=99)
    save_h5(trained, path)
    check_backbone(BACKBONES[name], weights=path)
