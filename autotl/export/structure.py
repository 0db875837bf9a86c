"""What can be said of an ONNX file by reading it: inputs, outputs, operators, shapes, card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autotl.errors import ParityError
from autotl.export.card import KEY
from autotl.export.graph import IMAGE, LABEL, OPSET, PROBABILITIES

if TYPE_CHECKING:
    import onnx

Signature = tuple[tuple[str, str, tuple[str | int, ...]], ...]

STANDARD = ("", "ai.onnx")
_TYPES = {"tensor(uint8)": "UINT8", "tensor(float)": "FLOAT", "tensor(string)": "STRING"}


def declared(classes: int) -> tuple[Signature, Signature]:
    """Inputs and outputs (name, type, dimensions) that every exported file has."""
    return (
        ((IMAGE, "tensor(uint8)", ("batch", "height", "width", 3)),),
        (
            (PROBABILITIES, "tensor(float)", ("batch", classes)),
            (LABEL, "tensor(string)", ("batch",)),
        ),
    )


def check(path: Path, classes: Sequence[str]) -> tuple[str, ...]:
    """Read the file and give the checks that it passed, in words; raises `ParityError`."""
    import onnx

    model = onnx.load_model(path, load_external_data=False)
    _check_valid(model)
    inputs, outputs = declared(len(classes))
    _check_values("inputs", model.graph.input, inputs)
    _check_values("outputs", model.graph.output, outputs)
    _check_operators(model)
    _check_self_contained(model)
    _check_card(model, classes)
    return (
        "onnx.checker and strict shape inference pass",
        "inputs and outputs are as declared",
        f"standard operators of opset {OPSET} only, all in one file",
        "the card names the classes",
    )


def _check_valid(model: onnx.ModelProto) -> None:
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
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


def _check_self_contained(model: onnx.ModelProto) -> None:
    from onnx import TensorProto

    outside = [
        array.name
        for array in model.graph.initializer
        if array.data_location == TensorProto.EXTERNAL
    ]
    if outside:
        raise ParityError(
            "The exported model keeps numbers outside its own file.", details=tuple(outside[:5])
        )


def _check_card(model: onnx.ModelProto, classes: Sequence[str]) -> None:
    notes = {entry.key: entry.value for entry in model.metadata_props}
    if json.loads(notes.get(KEY, "{}")).get("classes") != list(classes):
        raise ParityError("The exported model's card is missing or names other classes.")
