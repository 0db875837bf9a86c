"""The look at a model file before it is loaded: what is refused, and with which words."""

from __future__ import annotations

import mmap
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autotl.errors import UsageError
from autotl.modelfile import shapes, tensors
from autotl.modelfile.tensors import RefusedError, check_text, shown
from autotl.modelfile.walking import MalformedError, slim

if TYPE_CHECKING:
    import onnx

MOST_BYTES = 2**31 - 1
"""What protobuf can hold; a larger model keeps its weights in a file beside it."""
MOST_METADATA = 4_000_000
"""Characters of all notes in the file; a card of a thousand classes has about 30,000."""
MOST_ENTRIES = 1_000
STANDARD = ("", "ai.onnx", "ai.onnx.ml")
"""The domains of ONNX's own operators."""


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A model file that was looked at: its notes by key, and the files beside it with its weights.

    `path` is as given.
    """

    path: Path
    metadata: Mapping[str, str]
    external: tuple[Path, ...]


def examined(path: Path) -> ModelFile:
    """Look at an ONNX file without using it.

    Raises `UsageError` for what is no whole ONNX file, and for what could harm: weights that lie
    outside the file's folder or are not as large as their shapes say; values of more than
    `tensors.MOST_ELEMENTS` elements, as far as shapes are known; notes of more than
    `MOST_METADATA` characters; operators or functions that are not ONNX's own.
    """
    try:
        return _examined(path)
    except MalformedError as error:
        raise UsageError(
            f"{path} cannot be opened as an ONNX model: {error}.",
            hint="Name the model.onnx that `autotl fit` wrote, or its run folder.",
        ) from error
    except RefusedError as error:
        raise UsageError(
            f"{path} is refused: {error}.",
            hint="No sound export is like that. Take the model from where you trust it, or export "
            "it again with ONNX's own operators.",
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def problems(path: Path) -> tuple[str, ...]:
    """What onnx's own checker, shape inference included, finds wrong in a file that was looked at:
    a few lines, or none.
    """
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # onnx's own exceptions have no common base
        return tuple(str(error).splitlines()[:5]) or (repr(error),)
    return ()


def _examined(path: Path) -> ModelFile:
    folder = _own_folder(path)
    mark = f"autotl-{secrets.token_hex(16)}"
    with _mapped(path) as content:
        model = _parsed(slim(content, mark))
    metadata = _notes(model)
    _check_operators(model)
    external = {
        found
        for tensor in tensors.tensors(model.graph)
        if (found := tensors.check(tensor, folder, mark)) is not None
    }
    shapes.check(model)
    return ModelFile(path=path, metadata=metadata, external=tuple(sorted(external)))


def _own_folder(path: Path) -> Path:
    """The folder that the file lies in; its weights may lie there too, and nowhere else."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise RefusedError("it is not a regular file")
    if status.st_size > MOST_BYTES:
        raise RefusedError(
            f"it has {status.st_size:,} bytes, and an ONNX file cannot have more than "
            f"{MOST_BYTES:,}"
        )
    folder = path.parent.resolve()
    if path.is_symlink() and not path.resolve().is_relative_to(folder):
        raise RefusedError(f"it is a symbolic link to {path.resolve()}; name that file")
    return folder


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    """The content, of which only what is looked at is read from the disk."""
    with path.open("rb") as handle:
        if path.stat().st_size == 0:
            yield memoryview(b"")
            return
        # closed with its last view: an error on the way keeps views in its traceback
        yield memoryview(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))


def _parsed(content: bytes) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise MalformedError("it is not protobuf of a model") from error
    if not model.HasField("graph") or not model.graph.node:
        raise MalformedError("there is no graph in it")
    return model


def _notes(model: onnx.ModelProto) -> dict[str, str]:
    entries = model.metadata_props
    check_text(*(word for entry in entries for word in (entry.key, entry.value)))
    size = sum(len(entry.key) + len(entry.value) for entry in entries)
    if size > MOST_METADATA or len(entries) > MOST_ENTRIES:
        raise RefusedError(
            f"its metadata has {len(entries):,} entries and {size:,} characters, more than "
            f"{MOST_ENTRIES:,} and {MOST_METADATA:,}"
        )
    found = {entry.key: entry.value for entry in entries}
    if len(found) < len(entries):
        raise RefusedError("its metadata has two entries of one name")
    return found


def _check_operators(model: onnx.ModelProto) -> None:
    if len(model.functions):
        check_text(model.functions[0].name)
        raise RefusedError(
            f"it defines operators of its own ({shown(model.functions[0].name)}); "
            "onnx.inliner.inline_local_functions puts them where they are used"
        )
    if len(model.training_info):
        raise RefusedError("it holds graphs for training")
    for node in _nodes(model.graph):
        check_text(node.op_type, node.domain, node.name, *node.input, *node.output)
        if node.domain not in STANDARD:
            raise RefusedError(
                f"its operator {shown(node.op_type)} is of the domain {shown(node.domain)}, "
                "not of ONNX"
            )
    for value in (*model.graph.input, *model.graph.output):
        sides = value.type.tensor_type.shape.dim
        check_text(value.name, *(side.dim_param for side in sides))


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    yield from graph.node
    for inner in tensors.inner_graphs(graph):
        yield from _nodes(inner)
