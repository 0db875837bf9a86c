"""`model.onnx` with its weights stored as float16, beside it as `model.float16.onnx`.

Only the storing is shorter: a Cast in front of each weight makes it float32, once, when a runtime
loads the file, and everything is computed as before. So the file must pass the same gate as the
model's own, with bounds from what rounding its weights does to the Keras model itself.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl.calls import Progress
from autotl.errors import AutotlError, DiskError, ParityError
from autotl.export import outside, runtime
from autotl.export.asking import Subject
from autotl.export.card import add
from autotl.export.gate import examine
from autotl.export.reference import fits, is_kernel
from autotl.export.timing import paces, said
from autotl.records import Quantised

if TYPE_CHECKING:
    import onnx

    from autotl.worker import Worker

FLOAT16 = "model.float16.onnx"

_STORED, _CAST = "/float16", "/from_float16"


def float16(
    model: Path, subject: Subject, worker: Worker, *, progress: Progress | None = None
) -> Quantised:
    """Store the weights as float16; kept where the file passes the gate, whatever its speed."""
    began = time.monotonic()
    with outside.staging(subject.folder) as room:
        out = Path(room) / FLOAT16
        try:
            size, left = write(model, out)
            check(model, out)
            parity, checks = examine(out, replace(subject, float16=True), worker, progress=progress)
        except DiskError:
            raise
        except AutotlError as error:
            outside.remove(subject.folder / FLOAT16)
            reason = " ".join((error.message, *error.details))
            found = Quantised(kind="float16", kept=False, reason=reason)
            return replace(found, seconds=time.monotonic() - began)
        sessions = [runtime.open_session(path) for path in (model, out)]
        times = paces(sessions, subject)
        file, data = outside.place(out, subject.folder)
    beyond = f"; {len(left)} weights beyond float16's range stay float32" if left else ""
    return Quantised(
        kind="float16",
        kept=True,
        reason="; ".join(("it passed the model's gate", *map(said, times))) + beyond,
        rows=parity.examples,
        paces=times,
        size=size,
        size_float=sum(one.stat().st_size for one in outside.files(model)),
        parity=parity,
        checks=checks,
        file=file,
        data=data,
        seconds=time.monotonic() - began,
    )


def write(model: Path, out: Path, *, largest: int = outside.LARGEST) -> tuple[int, list[str]]:
    """Write `model` with its weights as float16 to `out`; gives the bytes, and the names of those
    that float16 cannot hold, which stay as they are.
    """
    graph, arrays = outside.open_apart(model)
    shorter: dict[str, NDArray[Any]] = {}
    left = []
    for name, values in arrays.items():
        if is_kernel(values) and fits(values):
            _cast(graph, name)
            shorter[name + _STORED] = values.astype(np.float16)
        else:
            left += [name] if is_kernel(values) else []
            shorter[name] = values
    add(graph, {"precision": "float16"})
    return outside.save(graph, shorter, out, largest=largest), left


def check(model: Path, out: Path) -> None:
    """Raise `ParityError` unless the file is the model with nothing changed but kernels rounded.

    The gate's bounds for rounded weights are wide where a model responds strongly to them.
    """
    from onnx import numpy_helper

    given, arrays = outside.open_apart(model)
    found, stored = outside.open_apart(out)
    # rounded, some are too small to be taken out of the graph
    small = {one.name: one for one in found.graph.initializer}
    halved = [name for name in small if name.endswith(_STORED)]
    stored |= {name: numpy_helper.to_array(small.pop(name)) for name in halved}
    casts = {node.output[0] for node in found.graph.node if node.name.endswith(_CAST)}
    nodes = [node for node in found.graph.node if not node.name.endswith(_CAST)]
    wrong = [
        name
        for name, values in arrays.items()
        if not np.array_equal(
            values.astype(np.float16) if name in casts else values,
            stored.get(name + _STORED if name in casts else name, np.zeros(0)),
        )
    ]
    same = nodes == list(given.graph.node)
    if wrong or not same or list(small.values()) != list(given.graph.initializer):
        raise ParityError(
            "The float16 file is not the model with its kernels rounded.",
            details=tuple(wrong[:5]) or ("other nodes or small constants",),
        )


def _cast(model: onnx.ModelProto, name: str) -> None:
    """Make of the input `name` what a Cast gives of a shorter one."""
    from onnx import TensorProto, helper

    stored = name + _STORED
    (value,) = (one for one in model.graph.input if one.name == name)
    value.name, value.type.tensor_type.elem_type = stored, TensorProto.FLOAT16
    node = helper.make_node("Cast", [stored], [name], name=name + _CAST, to=TensorProto.FLOAT)
    model.graph.node.insert(0, node)
