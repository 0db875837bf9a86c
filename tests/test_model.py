from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotl import model
from autotl.builtin import embedded
from autotl.builtin.embedded import network
from autotl.errors import PluginError
from autotl.model.weights import BATCH
from autotl.records import (
    Backbone,
    Head,
    InputSizes,
    LocatedBackbone,
    Preprocessing,
    Recipe,
    to_json,
)

SIZE = 32
CLASSES = 3
STAGES = embedded.STAGES
LAST = len(STAGES)
FIRST, CHANNELS = network.WIDTHS["stage1"], network.FEATURES
PATCH = network.PATCH
PREPROCESSING = Preprocessing(
    size=SIZE, scale=1 / 255, mean=embedded.MEAN, deviation=embedded.DEVIATION
)


def located(build: str = "autotl.builtin.embedded.network:build", **changes: Any) -> Any:
    backbone = Backbone(
        name="small",
        build=build,
        stages=STAGES,
        input_sizes=InputSizes(least=32, most=128, default=SIZE),
        preprocessing=PREPROCESSING,
        parameters=1,
        license="Apache-2.0",
        source_domain="none",
    )
    return LocatedBackbone(
        backbone=dataclasses.replace(backbone, **changes),
        distribution="tests",
        input_size=SIZE,
        preprocessing=PREPROCESSING,
        weights=None,
        weights_sha256=None,
    )


def recipe(boundary: int, last: int, taps: tuple[int, ...], **changes: Any) -> Recipe:
    given = Recipe(
        backbone="small",
        strategy="partial-freeze",
        input_size=SIZE,
        pretrained=True,
        boundary=boundary,
        last=last,
        taps=taps,
    )
    return dataclasses.replace(given, **changes)


SCRATCH = recipe(0, LAST, (LAST,), pretrained=False, strategy="scratch")


def jitter(net: Any, seed: int) -> None:
    """Give batch norm layers statistics and factors as a trained network has."""
    draw = np.random.default_rng(seed)
    for variable in net.weights:
        if variable.name in ("gamma", "beta", "moving_mean", "moving_variance"):
            variable.assign(draw.uniform(0.5, 1.5, variable.shape).astype("float32"))


@pytest.fixture(scope="module")
def fresh() -> tuple[Any, list[np.ndarray]]:
    """One network for all tests, and the weights that each of them starts with."""
    built = model.build(located(), pretrained=False, seed=1)
    jitter(built, 2)
    return built, [np.asarray(variable.value) for variable in built.weights]


@pytest.fixture
def net(fresh: Any) -> Any:
    built, weights = fresh
    for variable, value in zip(built.weights, weights, strict=True):
        variable.assign(value)
    return built


@pytest.fixture
def pixels() -> np.ndarray:
    draw = np.random.default_rng(3)
    return draw.integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)


def values(net: Any) -> dict[str, np.ndarray]:
    return {variable.path: np.asarray(variable.value) for variable in net.weights}


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {path for path, value in before.items() if not np.array_equal(value, after[path])}


def stored(net: Any, wanted: Recipe, prepared: np.ndarray) -> Any:
    """What the trial with this recipe reads, computed from the network."""
    if model.head_only(wanted):
        import keras

        wants = [(tap, True) for tap in wanted.taps]
        pooled = keras.tree.flatten(model.outputs(net, STAGES, wants)(prepared, training=False))
        return np.concatenate([np.asarray(tensor) for tensor in pooled], axis=1)
    if wanted.boundary == 0:
        return prepared
    return model.below(net, STAGES, wanted.boundary)(prepared, training=False)


def softmax(logits: Any) -> np.ndarray:
    shifted = np.exp(np.asarray(logits) - np.max(logits, axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


# ---- parts and the whole ----


@pytest.mark.parametrize(
    "wanted",
    [
        *(recipe(k, k + 1, (LAST,)) for k in range(LAST)),
        *(recipe(k, LAST, (LAST,)) for k in (0, 3)),
        recipe(2, 4, (3, 5)),
        recipe(LAST, LAST, (LAST,), strategy="feature-extraction"),
        recipe(LAST, LAST, (3, LAST), strategy="feature-extraction"),
        recipe(4, 4, (4,), strategy="feature-extraction", head=Head(hidden=5, dropout=0.3)),
        SCRATCH,
    ],
    ids=lambda r: f"{r.strategy}-{r.boundary}-{r.last}-{r.taps}",
)
def test_stored_then_trained_part_equals_the_whole(
    net: Any, pixels: np.ndarray, wanted: Recipe
) -> None:
    import keras

    features = sum(net.get_layer(STAGES[tap - 1]).output.shape[-1] for tap in wanted.taps)
    draw = np.random.default_rng(4)
    standard = tuple(draw.uniform(0.5, 2, (2, features)).astype("float32"))
    trained = model.trainable(net, STAGES, wanted, CLASSES, standard=standard, seed=5)
    whole = model.full(net, STAGES, wanted, trained, PREPROCESSING, temperature=1.7)
    reads = stored(net, wanted, model.prepare(pixels, PREPROCESSING))
    expected = softmax(trained(reads, training=False) / 1.7)
    assert trained.output_shape == (None, CLASSES)
    np.testing.assert_allclose(whole(pixels.astype("float32")), expected, atol=2e-6)
    assert isinstance(trained.get_layer(model.HEAD), keras.Model)


def test_only_the_stages_after_the_boundary_and_the_head_are_trained(net: Any) -> None:
    trained = model.trainable(net, STAGES, recipe(2, 4, (LAST,)), CLASSES, seed=1)
    stages = {variable.path.split("_")[0] for variable in trained.trainable_variables}
    assert stages == {*STAGES[2:4], "logits/kernel", "logits/bias"}


def test_flags_are_set_anew_for_each_recipe(net: Any) -> None:
    model.trainable(net, STAGES, recipe(LAST - 1, LAST, (LAST,)), CLASSES, seed=1)
    model.trainable(net, STAGES, SCRATCH, CLASSES, seed=1)
    assert all(layer.trainable for layer in net.layers)


def test_pretrained_batch_norm_keeps_its_statistics_in_training(
    net: Any, pixels: np.ndarray
) -> None:
    prepared = model.prepare(pixels, PREPROCESSING)
    trained = model.trainable(net, STAGES, recipe(0, LAST, (LAST,)), CLASSES, seed=1)
    before = values(net)
    active, inactive = trained(prepared, training=True), trained(prepared, training=False)
    np.testing.assert_array_equal(active, inactive)
    assert not changed(before, values(net))
    names = {variable.name for variable in trained.trainable_variables}
    assert names == {"kernel", "bias"}


def test_batch_norm_of_random_weights_trains(net: Any, pixels: np.ndarray) -> None:
    trained = model.trainable(net, STAGES, SCRATCH, CLASSES, seed=1)
    before = values(net)
    trained(model.prepare(pixels, PREPROCESSING), training=True)
    moved = {path.split("/")[-1] for path in changed(before, values(net))}
    assert moved == {"moving_mean", "moving_variance"}
    assert {"gamma", "beta"} <= {variable.name for variable in trained.trainable_variables}


def test_dropout_acts_in_training_only(net: Any) -> None:
    wanted = recipe(LAST, LAST, (LAST,), head=Head(dropout=0.5))
    trained = model.trainable(net, STAGES, wanted, CLASSES, seed=1)
    reads = np.ones((2, trained.input_shape[1]), "float32")
    quiet = np.asarray(trained(reads, training=False))
    np.testing.assert_array_equal(quiet, trained(reads, training=False))
    assert not np.allclose(quiet, trained(reads, training=True))


def test_the_whole_follows_the_training(net: Any, pixels: np.ndarray) -> None:
    import keras

    wanted = recipe(LAST - 2, LAST, (LAST,))
    trained = model.trainable(net, STAGES, wanted, CLASSES, seed=1)
    whole = model.full(net, STAGES, wanted, trained, PREPROCESSING)
    reads = np.asarray(stored(net, wanted, model.prepare(pixels, PREPROCESSING)))
    before = values(net)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trained.compile(optimizer=keras.optimizers.SGD(0.01), loss=loss)
    trained.train_on_batch(reads, np.array([0, 1, 2, 0]))
    moved = changed(before, values(net))
    assert moved
    assert all(path.startswith(STAGES[-2:]) for path in moved)
    expected = softmax(trained(reads, training=False))
    np.testing.assert_allclose(whole(pixels.astype("float32")), expected, atol=2e-6)


def test_a_deviation_of_nought_divides_by_one(net: Any) -> None:
    wanted = recipe(1, 1, (1,))
    mean, deviation = np.full(FIRST, 2, "float32"), np.zeros(FIRST, "float32")
    trained = model.trainable(net, STAGES, wanted, 2, standard=(mean, deviation), seed=1)
    head = trained.get_layer(model.HEAD).get_layer(model.STANDARDISE)
    np.testing.assert_array_equal(head(np.full((1, FIRST), 5, "float32")), np.full((1, FIRST), 3))


@pytest.mark.parametrize(
    ("boundary", "last", "taps"),
    [
        (0, 0, (LAST,)),
        (2, LAST, (LAST - 1,)),
        (3, 4, (2, LAST)),
        (-1, 3, (LAST,)),
        (0, 3, ()),
        (0, 3, (LAST + 1,)),
        (0, 3, (5, 4)),
        (0, 3, (5, 5)),
    ],
)
def test_recipes_that_do_not_fit_are_refused(
    boundary: int, last: int, taps: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"must lie|rising stage"):
        model.check(recipe(boundary, last, taps), STAGES)


# ---- preprocessing ----


@settings(max_examples=30, deadline=None)
@given(
    scale=st.floats(1e-3, 1),
    mean=st.tuples(*[st.floats(-2, 2)] * 3),
    deviation=st.tuples(*[st.floats(0.1, 2)] * 3),
    channels=st.sampled_from(["RGB", "BGR"]),
)
def test_prepare_is_what_the_record_says(
    scale: float, mean: Any, deviation: Any, channels: Any
) -> None:
    wanted = Preprocessing(size=2, scale=scale, mean=mean, deviation=deviation, channels=channels)
    pixels = np.arange(0, 240, 10, dtype=np.uint8).reshape(2, 2, 2, 3)
    prepared = model.prepare(pixels, wanted)
    order = pixels if channels == "RGB" else pixels[..., ::-1]
    expected = (order * np.float64(scale) - np.array(mean)) / np.array(deviation)
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(prepared, expected, rtol=1e-5, atol=1e-4 * np.abs(expected).max())


def test_layers_prepare_as_the_function_does(net: Any, pixels: np.ndarray) -> None:
    wanted = recipe(LAST, LAST, (LAST,))
    trained = model.trainable(net, STAGES, wanted, CLASSES, seed=1)
    swapped = dataclasses.replace(PREPROCESSING, channels="BGR")
    whole = model.full(net, STAGES, wanted, trained, swapped)
    expected = softmax(trained(stored(net, wanted, model.prepare(pixels, swapped))))
    np.testing.assert_allclose(whole(pixels.astype("float32")), expected, atol=2e-6)


# ---- files ----


def test_trained_weights_come_back(net: Any, tmp_path: Path) -> None:
    path = tmp_path / "best.weights.npz"
    standard = (np.full(CHANNELS, 0.25, "float32"), np.full(CHANNELS, 2, "float32"))
    wanted = recipe(3, LAST, (LAST,), head=Head(hidden=4))
    first = model.trainable(net, STAGES, wanted, CLASSES, standard=standard, seed=1)
    model.save_trained(first, path)
    other = model.build(located(), pretrained=False, seed=9)
    second = model.trainable(
        other, STAGES, wanted, CLASSES, standard=model.read_standard(path), seed=8
    )
    model.load_trained(second, path)
    reads = np.random.default_rng(1).random((2, *first.input_shape[1:]), "float32")
    np.testing.assert_array_equal(first(reads), second(reads))
    np.testing.assert_array_equal(model.read_standard(path), standard)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_weights_of_another_recipe_are_refused_and_change_nothing(net: Any, tmp_path: Path) -> None:
    path = tmp_path / "best.weights.npz"
    model.save_trained(model.trainable(net, STAGES, recipe(3, LAST, (LAST,)), 2, seed=1), path)
    trained = model.trainable(net, STAGES, recipe(3, LAST, (LAST,)), CLASSES, seed=2)
    before = values(trained)
    with pytest.raises(ValueError, match="does not fit the model at"):
        model.load_trained(trained, path)
    assert not changed(before, values(trained))


def test_a_cut_weights_file_is_refused(net: Any, tmp_path: Path) -> None:
    path = tmp_path / "best.weights.npz"
    trained = model.trainable(net, STAGES, recipe(LAST - 1, LAST, (LAST,)), 2, seed=1)
    model.save_trained(trained, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a whole weights file"):
        model.load_trained(trained, path)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")
@pytest.mark.parametrize(
    "wanted", [SCRATCH, recipe(LAST, LAST, (3, LAST))], ids=["scratch", "head"]
)
def test_the_saved_model_loads_in_plain_keras_and_predicts(
    pixels: np.ndarray, tmp_path: Path, wanted: Recipe
) -> None:
    import keras

    net = model.build(located(), pretrained=False, seed=7)
    trained = model.trainable(net, STAGES, wanted, CLASSES, seed=1)
    model.save_trained(trained, tmp_path / "t.weights.npz")
    expected = softmax(trained(stored(net, wanted, model.prepare(pixels, PREPROCESSING))) / 2)
    np.save(tmp_path / "pixels.npy", pixels)
    # Random weights stand for pretrained ones here, so the same seed must give them again.
    untrained = dataclasses.replace(wanted, pretrained=False)
    spec = {
        "located": to_json(located()),
        "recipe": to_json(untrained),
        "classes": CLASSES,
        "seed": 7,
        "weights": str(tmp_path / "t.weights.npz"),
        "temperature": 2.0,
        "out": str(tmp_path / "model.keras"),
    }
    told = []
    saved = model.save_final(spec, lambda *step: told.append(step))
    assert saved["size"] == (tmp_path / "model.keras").stat().st_size
    predicted = model.predict_pixels(
        {
            "model": spec["out"],
            "pixels": str(tmp_path / "pixels.npy"),
            "out": str(tmp_path / "p.npy"),
        },
        lambda *step: told.append(step),
    )
    probabilities = np.load(tmp_path / "p.npy")
    assert predicted == {"examples": 4, "classes": CLASSES}
    assert told[-1] == ("predict", 4, 4)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, expected, atol=2e-6)
    many = np.resize(pixels, (BATCH + 6, SIZE, SIZE, 3))
    np.save(tmp_path / "pixels.npy", many)
    again = {"model": spec["out"], "pixels": str(tmp_path / "pixels.npy")}
    model.predict_pixels(again | {"out": str(tmp_path / "many.npy")}, lambda *_: None)
    np.testing.assert_allclose(
        np.load(tmp_path / "many.npy"), np.resize(expected, (len(many), CLASSES)), atol=2e-6
    )
    plain = keras.models.load_model(spec["out"])
    assert plain.input_shape == (None, SIZE, SIZE, 3)


# ---- building, checking ----


def test_the_seed_makes_the_random_weights() -> None:
    first, second, other = (
        values(model.build(located(), pretrained=False, seed=seed)) for seed in (1, 1, 2)
    )
    assert not changed(first, second)
    assert changed(first, other)


def test_parameters_above_each_boundary(net: Any) -> None:
    above = model.count_above(net, STAGES)
    assert above[0] == net.count_params()
    assert above[-1] == 0
    assert above[0] - above[1] == PATCH * PATCH * 3 * FIRST + 4 * FIRST
    assert list(above) == sorted(above, reverse=True)
    assert model.stage_shapes(net, STAGES)[0] == (SIZE // PATCH, SIZE // PATCH, FIRST)
    assert model.stage_shapes(net, STAGES)[-1] == (2, 2, CHANNELS)


def small(*, shortcut_past: bool = False) -> Any:
    import keras

    inputs = keras.Input((SIZE, SIZE, 3))
    a = keras.layers.Conv2D(4, 3, padding="same", name="a")(inputs)
    b = keras.layers.Conv2D(4, 3, padding="same", name="b")(a)
    end = keras.layers.Add(name="c")([a, b] if shortcut_past else [b, b])
    return keras.Model(inputs, end)


@pytest.mark.parametrize(
    ("stages", "problem"),
    [
        (("a", "c"), ""),
        (("a", "b", "c"), "stage b is not a cut"),
        (("a", "x", "c"), "no layer is named x"),
        (("c", "a", "c"), "stage a does not come after"),
        (("a", "b"), "the output is not that of the last stage"),
        ((), "no stages"),
    ],
)
def test_stages_that_are_no_cuts_are_found(stages: tuple[str, ...], problem: str) -> None:
    found = model.cut_problem(small(shortcut_past=True), stages, SIZE)
    assert found.startswith(problem) if problem.startswith("stage") else problem in found
    assert bool(found) == bool(problem)


def test_networks_of_another_shape_are_refused() -> None:
    import keras

    net = small()
    two = keras.Model(net.input, [net.get_layer("a").output, net.output])
    assert "one output" in model.cut_problem(two, ("a", "c"), SIZE)
    assert "the input is" in model.cut_problem(net, ("a", "c"), 64)
    assert "not a keras.Model" in model.cut_problem("net", ("a",), SIZE)


def fake_plugin(monkeypatch: pytest.MonkeyPatch, build: Any) -> None:
    module = types.ModuleType("fake_backbone")
    module.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fake_backbone", module)


def failing(error: BaseException) -> Any:
    def build(input_size: int, weights: Path | None) -> Any:
        raise error

    return build


@pytest.mark.parametrize("error", [ValueError("shape"), OSError("no file"), KeyError("layer")])
def test_a_plugin_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    fake_plugin(monkeypatch, failing(error))
    with pytest.raises(PluginError, match="backbone small of tests could not be built"):
        model.build(located("fake_backbone:build"), pretrained=False, seed=1)


class ResourceExhaustedError(Exception):
    """Named as TensorFlow's: it is recognised by name."""


LACKS = [MemoryError(), ResourceExhaustedError()]


@pytest.mark.parametrize("error", LACKS)
def test_lack_of_memory_is_not_the_plugins_fault(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    fake_plugin(monkeypatch, failing(error))
    with pytest.raises(type(error)):
        model.build(located("fake_backbone:build"), pretrained=False, seed=1)


@pytest.mark.parametrize("error", LACKS)
def test_lack_of_memory_is_not_the_converters_fault(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    import tf2onnx

    from autotl import convert

    def convert_(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(tf2onnx.tfonnx, "process_tf_graph", convert_)
    with pytest.raises(type(error)):
        convert.to_onnx(small())


def test_pretrained_without_weights_is_an_error() -> None:
    with pytest.raises(PluginError, match="no pretrained weights"):
        model.build(located(), pretrained=True, seed=1)


def test_an_input_in_a_list_becomes_a_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    def build(input_size: int, weights: Path | None) -> Any:
        net = small()
        return keras.Model([net.input], net.output)

    fake_plugin(monkeypatch, build)
    net = model.build(
        located("fake_backbone:build", stages=("a", "b", "c")), pretrained=False, seed=1
    )
    assert net(np.zeros((1, SIZE, SIZE, 3), "float32")).shape == (1, SIZE, SIZE, 4)
