"""Whether a value of a graph is larger than memory, as far as that is known without running it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from autotl.modelfile.tensors import MOST_ELEMENTS, MOST_RANK, RefusedError, inner_graphs, shown

if TYPE_CHECKING:
    import onnx

MOST_KNOWN = 2**20
"""Numbers in all the lists that are worked out from constants: shape inference holds every one of
them, and by joining a list with itself thirty times it holds a thousand million."""

MOST_KNOWN_INSIDE = 2**24
"""Graphs inside nodes, times values of the model: inference goes through what it knows of all for
each such graph, about a second's work for so many."""


def check(model: onnx.ModelProto) -> None:
    """Raise `RefusedError` where a value of the graph has more than `MOST_ELEMENTS` elements, or a
    negative side, and where there are so many graphs in it that it would take long to find out.
    What shapes the file itself claims is not believed; the model is changed.
    """
    import onnx

    _check_inner(model.graph)
    _check_values(model.graph.input)
    _check_lists(model.graph)
    _forget(model.graph)
    try:
        found = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # onnx's own, and protobuf's for a model that it cannot write
        line = (str(error).splitlines() or [""])[0]
        raise RefusedError(f"its shapes cannot be worked out: {shown(line, 200)}") from error
    for graph in _all(found.graph):
        _check_values((*graph.value_info, *graph.output))


def _all(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for inner in inner_graphs(graph):
        yield from _all(inner)


def _check_inner(graph: onnx.GraphProto) -> None:
    """Bound what inference would go through for the graphs inside nodes."""
    inner, values = -1, 0
    for each in _all(graph):
        inner += 1
        values += len(each.input) + len(each.initializer) + len(each.sparse_initializer)
        values += sum(len(node.output) for node in each.node)
    if inner * values > MOST_KNOWN_INSIDE:
        raise RefusedError(
            f"its nodes hold {inner:,} graphs, too many for a model of {values:,} values"
        )


def _forget(graph: onnx.GraphProto) -> None:
    """Take out the shapes that the file claims of what it computes: where one contradicts what
    follows from the operators, inference keeps neither.
    """
    graph.ClearField("value_info")
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    for inner in inner_graphs(graph):
        _forget(inner)


def _check_values(values: Iterable[onnx.ValueInfoProto]) -> None:
    for value in values:
        tensor = value.type.tensor_type
        known = [int(side.dim_value) for side in tensor.shape.dim if side.HasField("dim_value")]
        if any(side < 0 for side in known):
            raise RefusedError(f"the value {shown(value.name)} has a negative side: {known[:8]}")
        if math.prod(known) > MOST_ELEMENTS:
            sides = " × ".join(
                str(side.dim_value) if side.HasField("dim_value") else "?"
                for side in tensor.shape.dim
            )
            raise RefusedError(
                f"the value {shown(value.name)} has {shown(sides)[1:-1]} elements, "
                f"more than {MOST_ELEMENTS:,} in all"
            )


def _check_lists(graph: onnx.GraphProto) -> None:
    """Bound the lists that inference would work out number by number, before it does."""
    total = _add_lists(graph, {})
    if total > MOST_KNOWN:
        raise RefusedError(
            f"its operators make lists of {total:,} numbers from constants, more than "
            f"{MOST_KNOWN:,}"
        )


def _add_lists(graph: onnx.GraphProto, outer: Mapping[str, int]) -> int:
    """How many numbers inference would know of all values in the graph and those inside it."""
    sizes = dict(outer) | {
        each.name: math.prod(each.dims) for each in graph.initializer if _list(each)
    }
    total = 0
    for node in graph.node:
        total += sum(_add_lists(inner, sizes) for inner in inner_graphs_of(node))
        size = _list_size(node, sizes)
        if size is not None:
            sizes |= dict.fromkeys(node.output, size)
            total += size
        if total > MOST_KNOWN:
            break
    return total


def inner_graphs_of(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that one node holds."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _list_size(node: onnx.NodeProto, sizes: Mapping[str, int]) -> int | None:
    """The most numbers of a node's output that inference knows one by one; None for a node of
    which it knows none.
    """
    if node.op_type == "Constant":
        return max((_attribute_size(each) for each in node.attribute), default=0)
    if node.op_type == "Shape":
        return MOST_RANK
    given = [sizes.get(name) for name in node.input if name]
    known = [size for size in given if size is not None]
    if len(known) < len(given) or not _propagates(node.op_type):
        return None
    return sum(known) if node.op_type == "Concat" else max(known, default=0)


def _propagates(operator: str) -> bool:
    import onnx

    return bool(
        onnx.defs.has(operator) and onnx.defs.get_schema(operator).has_data_propagation_function
    )


def _attribute_size(attribute: onnx.AttributeProto) -> int:
    tensor = attribute.t if attribute.HasField("t") and _list(attribute.t) else None
    return max(len(attribute.ints), 0 if tensor is None else math.prod(tensor.dims))


def _list(tensor: onnx.TensorProto) -> bool:
    return len(tensor.dims) < 2
