"""Whether the tensors of a model hold what they say they hold, and lie where they may."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from autotl.modelfile.walking import RAW

if TYPE_CHECKING:
    import onnx

MOST_RANK = 32
MOST_ELEMENTS = 2**28
"""Elements of one value, 1 GiB as float32: of what a graph computes, and of a sparse tensor."""

_BITS = {
    **dict.fromkeys(("UINT2", "INT2"), 2),
    **dict.fromkeys(("UINT4", "INT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("UINT8", "INT8", "BOOL"), 8),
    **dict.fromkeys(("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"), 8),
    "FLOAT8E8M0": 8,
    **dict.fromkeys(("UINT16", "INT16", "FLOAT16", "BFLOAT16"), 16),
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("DOUBLE", "INT64", "UINT64", "COMPLEX64"), 64),
    "COMPLEX128": 128,
}
_FIELD = {
    **dict.fromkeys(("FLOAT", "COMPLEX64"), "float_data"),
    **dict.fromkeys(("DOUBLE", "COMPLEX128"), "double_data"),
    **dict.fromkeys(("UINT32", "UINT64"), "uint64_data"),
    "INT64": "int64_data",
    "STRING": "string_data",
}
"""The field that holds the numbers of a type where it is not `raw_data`; else `int32_data`."""
_NUMBER = {"float_data": 4, "int32_data": 5, "int64_data": 7, "double_data": 10, "uint64_data": 11}

IN_MEMORY = "_ORT_MEM_ADDR_"
"""By this in a location onnxruntime's own code tells an address in memory from a file."""


class RefusedError(Exception):
    """Why the file is refused, as a sentence without its full stop."""


def check_text(*words: str | bytes) -> None:
    """Raise `RefusedError` for words that are not UTF-8, which protobuf gives as bytes."""
    if any(isinstance(word, bytes) for word in words):
        raise RefusedError("a name in it is not UTF-8")


def shown(text: str, most: int = 80) -> str:
    """Words from a file as they may be printed: quoted, escaped, cut."""
    return repr(text if len(text) <= most else text[:most] + "…").replace("\x7f", "\\x7f")


def tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a graph and of the graphs inside it; those of sparse ones too."""
    yield from graph.initializer
    sparse = list(graph.sparse_initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            sparse += [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            sparse += attribute.sparse_tensors
    for each in sparse:
        _check_sides(each.dims, "a sparse tensor", MOST_ELEMENTS)
        yield each.values
        yield each.indices
    for inner in inner_graphs(graph):
        yield from tensors(inner)


def inner_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graphs that the nodes of a graph hold, without those inside them."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs


def check(tensor: onnx.TensorProto, folder: Path, mark: str) -> Path | None:
    """Raise `RefusedError` unless the tensor has as much data as its sides say; the file beside
    the model in `folder` that holds it, where one does. `mark` is that of `slim`.
    """
    from onnx import TensorProto

    check_text(
        tensor.name, *(x for entry in tensor.external_data for x in (entry.key, entry.value))
    )
    what = f"the tensor {shown(tensor.name)}"
    left_out = [entry.value for entry in tensor.external_data if entry.key == mark]
    names = {number: name for name, number in TensorProto.DataType.items()}
    kind = names.get(tensor.data_type, "UNDEFINED")
    if kind not in _BITS and kind != "STRING":
        raise RefusedError(f"{what} is of no type of ONNX that has numbers ({tensor.data_type})")
    elements = _check_sides(tensor.dims, what, None)
    if tensor.data_location == TensorProto.EXTERNAL:
        if left_out or kind == "STRING" or tensor.HasField("raw_data"):
            raise RefusedError(f"{what} says that its data lies outside, and has some")
        return _outside(tensor, what, folder, _size(elements, kind))
    _check_inside(tensor, what, kind, elements, left_out)
    return None


def _check_sides(sides: object, what: str, most: int | None) -> int:
    """The number of elements of a tensor with these sides."""
    found = [int(side) for side in sides]  # type: ignore[attr-defined]
    if len(found) > MOST_RANK or any(side < 0 for side in found):
        raise RefusedError(
            f"{what} has sides that no tensor can have: {shown(str(found[:MOST_RANK]))}"
        )
    elements = math.prod(found)
    if most is not None and elements > most:
        raise RefusedError(f"{what} has {elements:,} elements, more than {most:,}")
    return elements


def _size(elements: int, kind: str) -> int:
    """Bytes of so many elements, packed."""
    return -(-elements * _BITS[kind] // 8)


def _check_inside(
    tensor: onnx.TensorProto, what: str, kind: str, elements: int, left_out: list[str]
) -> None:
    if tensor.HasField("raw_data") and kind != "STRING":
        wanted, there, unit = _size(elements, kind), len(tensor.raw_data), "bytes"
    elif any(int(value.split(":")[0]) == RAW for value in left_out):
        wanted, there, unit = _size(elements, kind), 0, "bytes"
    else:
        name = _FIELD.get(kind, "int32_data")
        wanted, there, unit = _numbers(elements, kind), len(getattr(tensor, name)), "numbers"
        left_out = [x for x in left_out if int(x.split(":")[0]) == _NUMBER.get(name)]
    there += sum(int(value.split(":")[1]) for value in left_out)
    if there != wanted:
        raise RefusedError(
            f"{what} should hold {wanted:,} {unit} of data by its sides, and holds {there:,}"
        )


def _numbers(elements: int, kind: str) -> int:
    """Entries of a list field that so many elements take."""
    if kind in ("COMPLEX64", "COMPLEX128"):
        return 2 * elements
    small = _BITS.get(kind, 8) < 8
    return _size(elements, kind) if small else elements


# ---- data outside the file ----


def _outside(tensor: onnx.TensorProto, what: str, folder: Path, size: int) -> Path:
    told = {entry.key: entry.value for entry in tensor.external_data}
    location = told.get("location", "")
    path = _beside(location, what, folder)
    there = path.stat().st_size
    offset = _number(told.get("offset", "0"), what)
    length = _number(told.get("length", str(size)), what)
    if length != size:
        raise RefusedError(
            f"{what} should have {size:,} bytes by its sides, and {length:,} are named in "
            f"{shown(location)}"
        )
    if offset + length > there:
        raise RefusedError(
            f"{what} lies in {shown(location)} up to byte {offset + length:,}, which has {there:,}"
        )
    return path


def _beside(location: str, what: str, folder: Path) -> Path:
    """The regular file in `folder` or below it that a location names."""
    where = f"{what} lies in {shown(location)}"
    parts = PurePosixPath(location).parts
    bad = not parts or "\0" in location or IN_MEMORY in location or "\\" in location
    if bad or PurePosixPath(location).is_absolute() or PureWindowsPath(location).drive:
        raise RefusedError(f"{where}, which is no place in the model's folder")
    if ".." in parts:
        raise RefusedError(f"{where}, which leads out of the model's folder")
    try:
        for count in range(1, len(parts) + 1):
            mode = os.lstat(folder.joinpath(*parts[:count])).st_mode
            if stat.S_ISLNK(mode):
                raise RefusedError(f"{where}, which is a symbolic link")
    except OSError as error:
        raise RefusedError(f"{where}, which cannot be looked at: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise RefusedError(f"{where}, which is not a regular file")
    return folder.joinpath(*parts)


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise RefusedError(f"{what} lies at {shown(text)} of a file, which is no number of bytes")
    return int(text)
