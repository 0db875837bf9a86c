from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotl import convert
from autotl.errors import ParityError


def sessions(proto: Any) -> list[Any]:
    """The graph in onnxruntime as users run it, and without any optimisation."""
    import onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    made = []
    for level in (levels.ORT_ENABLE_ALL, levels.ORT_DISABLE_ALL):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        made.append(onnxruntime.InferenceSession(proto.SerializeToString(), options))
    return made


def shake(net: Any, seed: int = 1) -> None:
    draw = np.random.default_rng(seed)
    for variable in net.weights:
        low, high = (0.5, 1.5) if variable.name == "moving_variance" else (-0.5, 0.6)
        variable.assign(draw.uniform(low, high, variable.shape).astype("float32"))


def assert_equal(net: Any, proto: Any, arrays: np.ndarray, tolerance: float = 1e-5) -> None:
    import keras

    expected = [np.asarray(t) for t in keras.tree.flatten(net(arrays, training=False))]
    for session in sessions(proto):
        assert len(session.get_inputs()) == 1
        found = session.run(None, {session.get_inputs()[0].name: arrays})
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            assert np.abs(one - other).max() <= tolerance * max(other.std(), 1e-3)


def classifier() -> Any:
    """Every kind of layer that a network of ours holds, with negative values before the pooling."""
    import keras

    layers = keras.layers
    pixels = keras.Input((16, 16, 3), name="pixels")
    x = keras.ops.take(pixels, [2, 1, 0], axis=-1)
    x = layers.Rescaling([1 / 127.5, 0.01, 0.02], [-1.0, -2.0, -1.0])(x)
    x = layers.Conv2D(8, 3, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.ZeroPadding2D(1)(layers.Rescaling(1.0, -20.0)(x))
    x = layers.MaxPooling2D(3, 2, name="pool")(x)
    y = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    y = layers.DepthwiseConv2D(3, strides=2)(y)
    y = layers.ReLU(6.0)(layers.Conv2D(8, 1, use_bias=False)(y))
    y = layers.Add(name="map")([y, layers.AveragePooling2D(2)(x)])
    pooled = layers.GlobalAveragePooling2D(name="pooled")(y)
    z = layers.Normalization(mean=np.arange(8.0), variance=np.full(8, 9.0))(pooled)
    z = layers.Dense(4)(layers.Dropout(0.5)(z))
    z = layers.Softmax(name="probabilities")(layers.Rescaling(0.5)(z))
    net = keras.Model(pixels, [z, pooled, net_map(y)])
    shake(net)
    return net


def net_map(tensor: Any) -> Any:
    import keras

    return keras.layers.Activation("linear", name="kept")(tensor)


@pytest.fixture(scope="module")
def converted() -> tuple[Any, Any]:
    net = classifier()
    return net, convert.to_onnx(net, output_names=["probabilities", "pooled", "map"])


@pytest.mark.parametrize("batch", [1, 5])
def test_the_graph_gives_what_the_model_gives(converted: Any, batch: int) -> None:
    net, proto = converted
    draw = np.random.default_rng(batch)
    assert_equal(net, proto, draw.integers(0, 256, (batch, 16, 16, 3)).astype("float32"))


@pytest.mark.parametrize("level", [0, 255])
def test_the_graph_agrees_at_the_extremes(converted: Any, level: int) -> None:
    net, proto = converted
    assert_equal(net, proto, np.full((2, 16, 16, 3), level, "float32"))


def test_names_types_and_opset_are_as_asked(converted: Any) -> None:
    _, proto = converted
    session = sessions(proto)[0]
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("pixels", ["batch", 16, 16, 3])]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [
        ("probabilities", ["batch", 4]),
        ("pooled", ["batch", 8]),
        ("map", ["batch", 4, 4, 8]),
    ]
    assert [(o.domain, o.version) for o in proto.opset_import if not o.domain] == [("", 18)]
    assert {node.domain for node in proto.graph.node} == {""}


def test_constants_do_not_become_inputs(converted: Any) -> None:
    _, proto = converted
    assert [value.name for value in proto.graph.input] == ["pixels"]


def test_padding_before_max_pooling_is_not_folded(converted: Any) -> None:
    import onnx

    net, proto = converted
    constants = {a.name: onnx.numpy_helper.to_array(a) for a in proto.graph.initializer}
    pools = [node.input[0] for node in proto.graph.node if node.op_type == "MaxPool"]
    pads = [node for node in proto.graph.node if node.op_type == "Pad" and node.output[0] in pools]
    assert [float(constants[pad.input[2]]) for pad in pads] == [np.float32(convert.NEARLY_ZERO)]
    draw = np.random.default_rng(1)
    pixels = draw.integers(0, 256, (2, 16, 16, 3)).astype("float32")
    import keras

    pool = keras.Model(net.input, net.get_layer("pool").output)
    values = np.asarray(pool(pixels))
    assert values[:, 1:-1, 1:-1].max() < 0, "the case needs negative values beside the padding"
    assert (values[:, 0] == 0).all(), "the case needs padding to win"


def test_the_input_can_be_renamed(converted: Any) -> None:
    import keras

    inputs = keras.Input((4, 4, 3))
    net = keras.Model(inputs, keras.layers.Conv2D(2, 3, name="out")(inputs))
    proto = convert.to_onnx(net, opset=17, input_names=["image"], output_names=["features"])
    assert [value.name for value in proto.graph.input] == ["image"]
    assert [value.name for value in proto.graph.output] == ["features"]
    assert [o.version for o in proto.opset_import if not o.domain] == [17]
    assert_equal(net, proto, np.ones((3, 4, 4, 3), "float32"))


def test_a_cut_keeps_the_outputs_asked_for(converted: Any, tmp_path: Path) -> None:
    net, proto = converted
    path = tmp_path / "whole.onnx"
    path.write_bytes(proto.SerializeToString())
    part = convert.cut(convert.read(path), ["pooled"])
    pixels = np.full((2, 16, 16, 3), 7, "float32")
    for session in sessions(part):
        (found,) = session.run(None, {"pixels": pixels})
        np.testing.assert_allclose(found, net(pixels, training=False)[1], rtol=1e-4, atol=1e-5)
    assert [value.name for value in part.graph.output] == ["pooled"]
    assert len(part.graph.node) < len(proto.graph.node)


@pytest.mark.parametrize(
    ("groups", "filters", "changed"),
    [
        (2, 8, {}),
        (4, 8, {"strides": 2, "padding": "same"}),
        (8, 8, {"padding": "same", "use_bias": False}),
        (8, 16, {"dilation_rate": 2}),
    ],
)
def test_grouped_convolutions_are_converted(groups: int, filters: int, changed: Any) -> None:
    import keras

    inputs = keras.Input((16, 16, 8))
    x = keras.layers.Conv2D(filters, 3, groups=groups, **changed)(inputs)
    net = keras.Model(inputs, keras.layers.ReLU()(x))
    shake(net)
    proto = convert.to_onnx(net)
    (found,) = (node for node in proto.graph.node if node.op_type == "Conv")
    assert {a.name: a.i for a in found.attribute}["group"] == groups
    draw = np.random.default_rng(groups)
    assert_equal(net, proto, draw.normal(size=(3, 16, 16, 8)).astype("float32"))


def test_a_grouped_convolution_inside_another_function_is_converted() -> None:
    import keras
    import tensorflow as tf

    class Compiled(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = keras.layers.Conv2D(4, 3, groups=2)

        def build(self, shape: Any) -> None:
            self.inner.build(shape)

        def call(self, x: Any) -> Any:
            return tf.function(lambda given: 2.0 * self.inner(given))(x)

    inputs = keras.Input((8, 8, 4))
    net = keras.Model(inputs, Compiled()(inputs))
    shake(net)
    draw = np.random.default_rng(1)
    arrays = draw.normal(size=(3, 8, 8, 4)).astype("float32")
    assert_equal(net, convert.to_onnx(net), arrays)


def test_an_exact_gelu_is_converted() -> None:
    import keras

    inputs = keras.Input((4, 4, 3))
    net = keras.Model(inputs, keras.layers.Activation("gelu")(inputs))
    arrays = np.linspace(-12, 12, 2 * 48, dtype="float32").reshape(2, 4, 4, 3)
    assert_equal(net, convert.to_onnx(net), arrays, 1e-6)


def test_an_operation_that_cannot_be_converted_is_an_error() -> None:
    import keras

    inputs = keras.Input((16, 16, 3))
    resized = keras.layers.Resizing(8, 8, interpolation="bicubic", antialias=True)(inputs)
    with pytest.raises(ParityError, match="ScaleAndTranslate"):
        convert.to_onnx(keras.Model(inputs, resized))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"opset": 19}, "newer than 18"),
        ({"output_names": ["a"]}, "3 different names of outputs"),
        ({"output_names": ["a", "a", "b"]}, "3 different names of outputs"),
        ({"input_names": ["x", "y"]}, "1 different names of inputs"),
        ({"output_names": ["pixels", "a", "b"]}, "name an input and an output"),
    ],
)
def test_names_that_do_not_fit_are_refused(converted: Any, names: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert.to_onnx(converted[0], **names)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["MobileNet", "MobileNetV2"])
def test_mobilenets_convert(family: str) -> None:
    import keras

    net = getattr(keras.applications, family)(
        input_shape=(64, 64, 3), alpha=0.5, include_top=False, weights=None, pooling="avg"
    )
    draw = np.random.default_rng(1)
    for variable in net.weights:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(draw.uniform(0.5, 1.5, variable.shape).astype("float32"))
    proto = convert.to_onnx(net, input_names=["image"], output_names=["features"])
    assert_equal(net, proto, draw.uniform(-1, 1, (3, 64, 64, 3)).astype("float32"), 1e-4)


@pytest.mark.slow
def test_convnext_converts() -> None:
    import keras

    net = keras.applications.ConvNeXtTiny(
        input_shape=(64, 64, 3), include_top=False, weights=None, pooling="avg"
    )
    draw = np.random.default_rng(1)
    for variable in net.weights:
        if variable.name == "gamma":  # 1e-6 at first: no block would count
            variable.assign(draw.uniform(0.5, 1.5, variable.shape).astype("float32"))
    proto = convert.to_onnx(net)
    groups = {a.i for n in proto.graph.node for a in n.attribute if a.name == "group"}
    assert groups == {1, 96, 192, 384, 768}
    assert_equal(net, proto, draw.uniform(0, 255, (3, 64, 64, 3)).astype("float32"), 1e-4)


def test_an_optimiser_that_fails_is_passed_over(
    converted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tf2onnx import optimizer

    class Failing:
        graph_been_opt = False

        def optimize(self, graph: Any, _: int) -> Any:
            for node in graph.get_nodes():
                graph.remove_node(node.name)
            raise ValueError("max() arg is an empty sequence")

    net, before = converted
    steps = {"failing": Failing, **optimizer._get_optimizers()}
    monkeypatch.setattr(optimizer, "_get_optimizers", lambda: steps)
    after = convert.to_onnx(net)
    assert sorted(node.op_type for node in after.graph.node) == sorted(
        node.op_type for node in before.graph.node
    )


MEASURED = """
import sys
import keras
from autotl import convert


def net(width):
    given = tensor = keras.Input((8, 8, width))
    for _ in range(10):
        tensor = keras.layers.Conv2D(width, 1)(tensor)
    return keras.Model(given, tensor)

large = net(1024)
convert.to_onnx(net(8))

def peak():  # kB; not ru_maxrss, which counts what the process that started this one held
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1])

before = peak()
proto = convert.to_onnx(large)
print((peak() - before) * 1024 / proto.ByteSize())
"""


def test_conversion_takes_memory_for_some_copies_of_the_weights() -> None:
    """TensorFlow makes some 16 on the way; tf2onnx as it comes would make it 77."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True
    )
    assert float(done.stdout.split()[-1]) < 30
