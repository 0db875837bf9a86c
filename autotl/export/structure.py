"""What can be said of an ONNX file by reading it: inputs, outputs, operators, shapes, card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotl.errors import ParityError
from autotl.export.card import KEY
from autotl.export.graph import EMBEDDING, IMAGE, LABEL, OPSET, PROBABILITIES
from autotl.export.outside import check_place, data_file

if TYPE_CHECKING:
    import onnx

Signature = tuple[tuple[str, str, tuple[str | int, ...]], ...]

STANDARD = ("", "ai.onnx")
_TYPES = {"tensor(uint8)": "UINT8", "tensor(float)": "FLOAT", "tensor(string)": "STRING"}


def declared(classes: int, features: int | None = None) -> tuple[Signature, Signature]:
    """Inputs and outputs (name, type, dimensions) that every exported file has; `features` is the
    length of its embedding, where that was asked for.
    """
    outputs: Signature = (
        (PROBABILITIES, "tensor(float)", ("batch", classes)),
        (LABEL, "tensor(string)", ("batch",)),
    )
    if features is not None:
        outputs += ((EMBEDDING, "tensor(float)", ("batch", features)),)
    return ((IMAGE, "tensor(uint8)", ("batch", "height", "width", 3)),), outputs


def features_of(path: Path) -> int | None:
    """The length of the embedding that a file gives, or None where it gives none."""
    import onnx

    graph = onnx.load_model(path, load_external_data=False).graph
    found = [_signature(value) for value in graph.output if value.name == EMBEDDING]
    return int(found[0][2][-1]) if found else None


def check(path: Path, classes: Sequence[str], features: int | None = None) -> tuple[str, ...]:
    """Read the file and give the checks that it passed, in words; raises `ParityError`."""
    import onnx

    model = onnx.load_model(path, load_external_data=False)
    # before the checker, which follows whatever path it finds
    beside = check_place(list(_tensors(model)), path)
    _check_valid(model, path)
    inputs, outputs = declared(len(classes), features)
    _check_values("inputs", model.graph.input, inputs)
    _check_values("outputs", model.graph.output, outputs)
    _check_operators(model)
    _check_card(model, classes)
    where = f"big numbers in {data_file(path).name} beside it" if beside else "all in one file"
    return (
        "onnx.checker and strict shape inference pass",
        "inputs and outputs are as declared",
        f"standard operators of opset {OPSET} only, {where}",
        "the card names the classes",
    )


def _check_valid(model: onnx.ModelProto, path: Path) -> None:
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ParityError(
            "The exported model is not valid ONNX.", details=tuple(str(error).splitlines()[:5])
        ) from error


def _check_values(what: str, values: Sequence[onnx.ValueInfoProto], expected: Signature) -> None:
    found = tuple(_signature(value) for value in values)
    wanted = tuple((name, _TYPES[kind], shape) for name, kind, shape in expected)
    if found != wanted:
        raise ParityError(
            f"The exported model's {what} are not the declared ones.",
            details=(f"declared: {wanted}", f"found: {found}"),
        )


def _signature(value: onnx.ValueInfoProto) -> tuple[str, str, tuple[str | int, ...]]:
    from onnx import TensorProto

    tensor = value.type.tensor_type
    sides = tuple(side.dim_param or int(side.dim_value) for side in tensor.shape.dim)
    return value.name, TensorProto.DataType.Name(tensor.elem_type), sides


def _check_operators(model: onnx.ModelProto) -> None:
    foreign = {
        f"{node.domain}:{node.op_type}"
        for node in _nodes(model.graph)
        if node.domain not in STANDARD
    }
    foreign |= {entry.domain for entry in model.opset_import if entry.domain not in STANDARD}
    foreign |= {f"function {function.name}" for function in model.functions}
    if foreign:
        raise ParityError(
            "The exported model has operators that are not standard.",
            details=tuple(sorted(foreign)),
        )
    if not all(entry.version >= OPSET for entry in model.opset_import):
        raise ParityError(f"The exported model is of an opset below {OPSET}.")


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of the graphs inside them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Every tensor in a message, however deep it lies: attributes, inner graphs, functions."""
    from onnx import TensorProto

    if isinstance(message, TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(one)


def _check_card(model: onnx.ModelProto, classes: Sequence[str]) -> None:
    notes = {entry.key: entry.value for entry in model.metadata_props}
    if json.loads(notes.get(KEY, "{}")).get("classes") != list(classes):
        raise ParityError("The exported model's card is missing or names other classes.")
    found = _labels(model.graph)
    if found != tuple(classes):
        raise ParityError(
            "The exported model's labels are not those of its card.",
            details=(f"labels: {found[:5]}", f"card: {tuple(classes)[:5]}"),
        )


def _labels(graph: onnx.GraphProto) -> tuple[str, ...]:
    """The strings that the output `label` is looked up in, in their order; () where it is not."""
    made = {name: node for node in graph.node for name in node.output}
    node = made.get(LABEL)
    while node is not None and node.op_type == "Identity":
        node = made.get(node.input[0])
    sources = [node.input[0]] if node is not None and node.op_type == "Gather" else []
    constants = [
        attribute.t
        for node in graph.node
        if node.op_type == "Constant" and set(node.output) & set(sources)
        for attribute in node.attribute
    ]
    constants += [array for array in graph.initializer if array.name in sources]
    return tuple(text.decode() for array in constants for text in array.string_data)
