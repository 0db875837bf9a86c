"""A Keras model as an ONNX graph: the one place that knows the converter's faults.

Runs in a worker. What is met here, each with a script of ten lines in `benchmarks/upstream/` that
shows it and says when a newer version has mended it:

- `captured_constants.py`: tf2onnx makes every captured constant (a Normalization's mean, say) a
  required input of the graph, and `onnx.checker` passes such a file. Only what is not captured is
  named as an input here (TensorFlow hands a large constant in like an input), and the graph's
  inputs are compared with what was asked.
- `pad_into_max_pool.py`: a zero Pad before a MaxPool is right, but onnxruntime before 1.32 folds it
  into the pooling, whose own padding means minus infinity, and gives wrong numbers. The Pad gets
  the value 1e-30 instead of 0, which is not folded and changes no result.
- `grouped_convolution.py`: tf2onnx does not look into a function that must be compiled
  (`jit_compile=True`), as Keras's grouped convolutions are on TensorFlow. Such functions are put in
  line here before it sees the graph.
- `exact_gelu.py`: tf2onnx has no Erfc, which the exact Gelu is made of. 1 - Erf is written instead.

tf2onnx leaves operations that it does not know in the graph, even when told not to go on. Each
operator is looked up here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotl.errors import ParityError

if TYPE_CHECKING:
    import keras
    import onnx

MOST_OPSET = 18
"""The newest opset that tf2onnx writes."""

BATCH = "batch"
"""Name of the dimension that every input and output leads with."""

NEARLY_ZERO = 1e-30
MUST_COMPILE = "_XlaMustCompile"
"""Attribute of TensorFlow's functions, and of calls of them, that are never put in line."""

STANDARD_DOMAINS = frozenset({"", "ai.onnx"})


def to_onnx(
    model: keras.Model,
    *,
    opset: int = MOST_OPSET,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    apart: Sequence[keras.Variable] = (),
) -> onnx.ModelProto:
    """The model's inference as an ONNX graph with a dynamic batch and fixed other dimensions.

    Inputs and outputs keep the model's order and dtypes and bear the given names (default: the
    model's own input and output names). Standard operators only. Variables `apart` are no constants
    but further inputs, named by their paths: tf2onnx holds no more than 2 GiB. Raises `ParityError`
    when the model cannot be converted whole, ValueError when names do not fit or the opset is too
    new.
    """
    import keras

    if opset > MOST_OPSET:
        raise ValueError(f"opset {opset} is newer than {MOST_OPSET}, the newest there is")
    inputs = _names(input_names or [t.name for t in model.inputs], model.inputs, "inputs")
    tensors = keras.tree.flatten(model.output)
    outputs = _names(output_names or model.output_names, tensors, "outputs")
    if set(inputs) & set(outputs):
        raise ValueError(f"{sorted(set(inputs) & set(outputs))} name an input and an output")
    inputs += [variable.path for variable in apart]
    proto = _converted(model, opset, inputs, outputs, apart)
    _keep_padding(proto.graph)
    _name_batch([*proto.graph.input[: len(model.inputs)], *proto.graph.output])
    _check(proto, inputs, outputs)
    return proto


def read(path: Path) -> onnx.ModelProto:
    """A graph from its file."""
    import onnx

    return onnx.load(path)


def cut(proto: onnx.ModelProto, outputs: Sequence[str]) -> onnx.ModelProto:
    """The part of a converted graph that gives some of its outputs, in the order asked for."""
    import onnx.utils

    inputs = [value.name for value in proto.graph.input]
    return onnx.utils.Extractor(proto).extract_model(inputs, list(outputs))


def _names(names: Sequence[str], tensors: Sequence[Any], what: str) -> list[str]:
    if len(names) != len(tensors) or len(set(names)) != len(names):
        raise ValueError(f"{list(names)} are not {len(tensors)} different names of {what}")
    return list(names)


def _converted(
    model: keras.Model,
    opset: int,
    inputs: list[str],
    outputs: list[str],
    apart: Sequence[keras.Variable],
) -> onnx.ModelProto:
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    function = _traced(model, apart)
    captured = {inner.name for _, inner in function.graph.captures}
    ins = [t.name for t in function.inputs if t.name not in captured]
    outs = [t.name for t in function.outputs]
    if len(ins) != len(inputs):
        raise ParityError(f"{model.name} cannot be converted: it takes {len(ins)} arrays")
    try:
        graph = _inlined(tf2onnx.tf_loader.from_function(function, ins, outs), ins, outs)
        proto = _written(
            graph,
            model.name,
            opset=opset,
            input_names=ins,
            output_names=outs,
            tensors_to_rename=dict(zip(ins + outs, inputs + outputs, strict=True)),
        )
    except Exception as error:
        if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
            raise  # the worker tells lack of memory by these two
        raise ParityError(f"{model.name} cannot be converted to ONNX: {error}") from error
    return proto


def _written(graph: Any, name: str, **options: Any) -> onnx.ModelProto:
    """A TensorFlow GraphDef as ONNX, as `tf2onnx.convert` writes it, in less memory and time.

    To pass over an optimiser that fails (MobileNetV3 has one) tf2onnx copies the graph, weights and
    all, before each of some 30 steps. Here that is done where one does fail, and only then.
    """
    import tensorflow as tf
    import tf2onnx

    def optimised(passing_over: bool) -> Any:
        with tf.Graph().as_default() as given:
            tf.import_graph_def(graph, name="")
            written = tf2onnx.tfonnx.process_tf_graph(
                given, continue_on_error=False, custom_op_handlers={"Erfc": (_erfc, [])}, **options
            )
        try:
            return tf2onnx.optimizer.optimize_graph(written, catch_errors=passing_over)
        except Exception as error:
            if isinstance(error, MemoryError):
                raise
            return None

    with _constants_left_alone(tf2onnx.graph.Node):
        slim = optimised(passing_over=False) or optimised(passing_over=True)
        proto: onnx.ModelProto = slim.make_model(f"converted from {name}")
    return proto


@contextmanager
def _constants_left_alone(node: Any) -> Iterator[None]:
    """Have tf2onnx not write constants anew after each optimiser.

    protobuf keeps what a message held before, so each time would take the weights once more. What
    is written in the end is not read from there.
    """
    update = node.update_proto

    def update_proto(self: Any, *given: Any, **options: Any) -> None:
        if not self.is_const():
            update(self, *given, **options)

    node.update_proto = update_proto
    try:
        yield
    finally:
        node.update_proto = update


def _traced(model: keras.Model, apart: Sequence[keras.Variable] = ()) -> Any:
    """The inference as a concrete function; every output an operation of its own."""
    import keras
    import tensorflow as tf

    count = len(model.inputs)

    def infer(*given: Any) -> list[Any]:
        arrays, values = given[:count], given[count:]
        state = list(zip(apart, values, strict=True))
        with keras.StatelessScope(state_mapping=state) if state else nullcontext():
            result = model(list(arrays) if count > 1 else arrays[0], training=False)
        return [tf.identity(tensor) for tensor in keras.tree.flatten(result)]

    signature = [tf.TensorSpec((None, *t.shape[1:]), t.dtype) for t in model.inputs]
    signature += [tf.TensorSpec(tuple(one.shape), one.dtype) for one in apart]
    return tf.function(infer).get_concrete_function(*signature)


def _inlined(graph: Any, inputs: list[str], outputs: list[str]) -> Any:
    """A TensorFlow GraphDef without calls of functions that must be compiled."""
    import tensorflow as tf
    import tf2onnx

    functions = graph.library.function
    nodes = [*graph.node, *(node for function in functions for node in function.node_def)]
    if not any(MUST_COMPILE in node.attr for node in nodes):
        return graph
    for each in [*nodes, *functions]:
        each.attr.pop(MUST_COMPILE, None)
    for function in functions:
        function.attr.pop("_noinline", None)
    with tf.Graph().as_default():
        tf.import_graph_def(graph, name="")
        return tf2onnx.tf_loader.tf_optimize(inputs, outputs, graph)


def _erfc(graph: Any, node: Any, name: str, _: list[Any]) -> None:
    """Write a node of tf2onnx's graph that is an Erfc as 1 - Erf."""
    import numpy as np
    import tf2onnx

    (given,), dtype = node.input, graph.get_dtype(node.output[0])
    one = np.ones((), tf2onnx.utils.map_onnx_to_numpy_type(dtype))
    constant = graph.make_const(f"{name}/one", one)
    error = graph.make_node("Erf", [given], dtypes=[dtype], shapes=[graph.get_shape(given)])
    node.type = "Sub"
    graph.replace_inputs(node, [constant.output[0], error.output[0]])


def _keep_padding(graph: onnx.GraphProto) -> None:
    """Give each zero Pad that feeds a MaxPool a value that onnxruntime does not fold."""
    import numpy as np
    import onnx

    pooled = {node.input[0] for node in graph.node if node.op_type == "MaxPool"}
    constants = {array.name: onnx.numpy_helper.to_array(array) for array in graph.initializer}
    for node in graph.node:
        if node.op_type != "Pad" or node.output[0] not in pooled:
            continue
        given = node.input[2] if len(node.input) > 2 else ""
        if given and np.any(constants.get(given, np.ones(())) != 0):
            continue
        name = f"{node.output[0]}/nearly_zero"
        graph.initializer.append(onnx.numpy_helper.from_array(np.float32(NEARLY_ZERO), name))
        rest = node.input[3:]
        del node.input[2:]
        node.input.extend([name, *rest])


def _name_batch(values: Sequence[onnx.ValueInfoProto]) -> None:
    for value in values:
        value.type.tensor_type.shape.dim[0].dim_param = BATCH


def _check(proto: onnx.ModelProto, inputs: list[str], outputs: list[str]) -> None:
    """Raise `ParityError` unless the graph is whole: names, domains, types."""
    import onnx

    found = [v.name for v in proto.graph.input], [v.name for v in proto.graph.output]
    if found != (inputs, outputs):
        raise ParityError(f"the converted graph has inputs and outputs {found}, not as asked")
    foreign = {n.op_type for n in proto.graph.node if not onnx.defs.has(n.op_type, n.domain)}
    foreign |= {n.op_type for n in proto.graph.node if n.domain not in STANDARD_DOMAINS}
    if foreign:
        raise ParityError(f"{', '.join(sorted(foreign))} cannot be converted to ONNX")
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ParityError(f"the converted graph is not valid: {error}") from error
