"""Big arrays apart from the graph: while it is put together, and beside a file that is too large.

No protobuf holds more than 2 GiB, in memory neither where a library serialises it in between. So
the big arrays leave the graph before it is joined, as inputs, and come back when it is written: in
the file, or in one named as it is with `.data` behind, by a path relative to it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl.errors import ParityError
from autotl.files import file_ref, sync
from autotl.records import FileRef

if TYPE_CHECKING:
    import onnx

LARGEST = 1_900_000_000
"""Bytes that one file holds; protobuf's own limit, 2 GiB, leaves no room for the rest."""

SUFFIX = ".data"
BIG = 1024
"""Bytes from which an array may lie apart; shapes, which the checker reads, are smaller."""

_ALIGNED = 4096
"""Arrays begin at multiples of a page, so that a runtime can map the file."""

Arrays = Mapping[str, NDArray[Any]]


def data_file(path: Path) -> Path:
    """Where the big arrays of the file at `path` lie, if they do not lie in it."""
    return path.with_name(path.name + SUFFIX)


def files(path: Path) -> list[Path]:
    """The file at `path`, and what lies beside it."""
    return [one for one in (path, data_file(path)) if one.exists()]


def lift(model: onnx.ModelProto, folder: Path | None = None) -> dict[str, NDArray[Any]]:
    """Take the big arrays out of the graph, each of which becomes an input of it.

    Those that lie beside the file are mapped from `folder`; their paths must have been checked.
    """
    from onnx import helper

    graph, found = model.graph, {}
    for array in [one for one in graph.initializer if _size(one) >= BIG]:
        found[array.name] = _values(array, folder)
        value = helper.make_tensor_value_info(array.name, array.data_type, list(array.dims))
        graph.input.append(value)
        graph.initializer.remove(array)
    return found


def save(model: onnx.ModelProto, arrays: Arrays, path: Path, *, largest: int = LARGEST) -> int:
    """Write the graph with `arrays`, which are inputs of it, as its constants; gives the bytes.

    Where all of it is larger than `largest`, the arrays go to `data_file(path)`.
    """
    import onnx
    from onnx import numpy_helper

    inputs = [value for value in model.graph.input if value.name not in arrays]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    beside = model.ByteSize() + sum(array.nbytes for array in arrays.values()) > largest
    if beside:
        model.graph.initializer.extend(_written(arrays, data_file(path)))
    else:
        constants = (numpy_helper.from_array(array, name) for name, array in arrays.items())
        model.graph.initializer.extend(constants)
    onnx.save_model(model, path)
    return path.stat().st_size + (data_file(path).stat().st_size if beside else 0)


def open_apart(path: Path) -> tuple[onnx.ModelProto, dict[str, NDArray[Any]]]:
    """A file that `structure.check` let through, and its big arrays, as `lift` gives them."""
    import onnx

    model = onnx.load_model(path, load_external_data=False)
    return model, lift(model, path.parent)


def check_place(tensors: Sequence[onnx.TensorProto], path: Path) -> bool:
    """Whether any numbers lie outside the file; raises `ParityError` unless all that do lie in its
    own `data_file`.
    """
    from onnx import TensorProto

    outside = [one for one in tensors if one.data_location == TensorProto.EXTERNAL]
    if not outside:
        return False
    data = data_file(path)
    size = data.stat().st_size if data.is_file() and not data.is_symlink() else None
    bad = [one.name for one in outside if not _lies_in(one, data.name, size)]
    if bad:
        raise ParityError(
            "The exported model keeps numbers outside its own file.",
            details=(f"allowed: whole arrays in {data.name}, a file beside it", *bad[:5]),
        )
    return True


def staging(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder in `folder` for files that have not passed; a killed run's is swept."""
    return tempfile.TemporaryDirectory(prefix=".writing-", dir=folder)


def place(written: Path, folder: Path) -> tuple[FileRef, FileRef | None]:
    """Move a file and what lies beside it into `folder`; returns their records.

    All is on the disk before it has its name, and at no time does a file meet the numbers of
    another: where some are to lie beside it, an older file goes first.
    """
    target, data = folder / written.name, data_file(written)
    beside = data.exists()
    sync(written)
    if beside:
        sync(data)
        target.unlink(missing_ok=True)
        data.replace(data_file(target))
        sync(folder)
    written.replace(target)
    if not beside:
        data_file(target).unlink(missing_ok=True)
    sync(folder)
    return file_ref(target, folder), file_ref(data_file(target), folder) if beside else None


def remove(path: Path) -> None:
    """Remove a file and what lies beside it, if they are there."""
    path.unlink(missing_ok=True)
    data_file(path).unlink(missing_ok=True)


def _size(array: onnx.TensorProto) -> int:
    """Bytes of the values; 0 for strings."""
    from onnx import TensorProto, helper

    if array.data_type == TensorProto.STRING:
        return 0
    item: int = helper.tensor_dtype_to_np_dtype(array.data_type).itemsize
    return int(np.prod(array.dims)) * item


def _values(array: onnx.TensorProto, folder: Path | None) -> NDArray[Any]:
    from onnx import TensorProto, helper, numpy_helper

    if array.data_location != TensorProto.EXTERNAL:
        values: NDArray[Any] = numpy_helper.to_array(array)
        return values
    if folder is None:
        raise ValueError(f"{array.name} lies outside the graph")
    about = {entry.key: entry.value for entry in array.external_data}
    kind = helper.tensor_dtype_to_np_dtype(array.data_type)
    where = folder / about["location"]
    place, shape = int(about.get("offset", 0)), tuple(array.dims)
    return np.memmap(where, kind, "r", offset=place, shape=shape)


def _written(arrays: Arrays, path: Path) -> list[onnx.TensorProto]:
    """Write the arrays one behind the other; gives what stands for them in the graph."""
    from onnx import TensorProto, helper

    constants = []
    with path.open("wb") as file:
        for name, array in arrays.items():
            file.write(b"\0" * (-file.tell() % _ALIGNED))
            start = file.tell()
            np.ascontiguousarray(array).tofile(file)
            one = TensorProto(name=name, dims=array.shape)
            one.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
            one.data_location = TensorProto.EXTERNAL
            about = {"location": path.name, "offset": start, "length": array.nbytes}
            for key, value in about.items():
                one.external_data.add(key=key, value=str(value))
            constants.append(one)
    return constants


def _lies_in(array: onnx.TensorProto, name: str, size: int | None) -> bool:
    about = {entry.key: entry.value for entry in array.external_data}
    numbers = [about.get("offset", "0"), about.get("length", str(_size(array)))]
    if about.get("location") != name or size is None or not all(map(str.isdecimal, numbers)):
        return False
    offset, length = map(int, numbers)
    return length == _size(array) and offset + length <= size
