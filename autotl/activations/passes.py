"""Outputs of a backbone's stages, computed once and stored (runs in a worker).

The engine is onnxruntime where there are enough images to pay for the conversion, else keras.
The converted backbone is itself an entry of the store; before it becomes one, both engines are
compared on the first image.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from autotl.activations import store
from autotl.activations.identity import identity
from autotl.calls import Progress
from autotl.errors import InternalError, ResourceError
from autotl.records import LocatedBackbone
from autotl.rows import ahead

if TYPE_CHECKING:
    import keras

Read = Callable[[int, int], NDArray[np.uint8]]
Wants = Sequence[tuple[int, bool]]
Engine = Literal["auto", "keras", "onnxruntime"]
Forward = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]

VERSION = 2
BATCH = 32
WORTH = 1500 * 160 * 160
"""Pixels (images × side²) from which onnxruntime's gain exceeds the conversion's seconds."""
AGREEMENT = 1e-3
"""Largest difference between the engines, as a share of the output's standard deviation."""
HALF_LIMIT = 60000.0
"""Values beyond this are kept in float32 (float16 ends at 65,504)."""


class _TooLargeForHalfError(Exception):
    """A stage output does not fit float16."""


def ensure(
    *,
    folder: Path,
    key: str,
    read: Read,
    count: int,
    located: LocatedBackbone,
    pretrained: bool,
    seed: int,
    wants: Wants,
    progress: Progress | None = None,
    engine: Engine = "auto",
    build: Callable[[], keras.Model] | None = None,
) -> tuple[Path, ...]:
    """The stored outputs of the wanted (stage, pooled), computed where they are not yet there.

    `key` names the images, `read(start, stop)` gives them, uint8 (stop - start, size, size, 3),
    of `count` in all. Each path is a `.npy` for memory-mapping: (count, height, width, channels)
    float16, or float32 where a value exceeds float16's range; pooled ones (count, channels)
    float32. All that is missing comes from one pass. `build` spares building the backbone where
    the caller has it. Raises `ResourceError` on a full disk or where outputs are not finite,
    `InternalError` where the engines disagree.
    """
    chosen = engine_for(count, located.input_size) if engine == "auto" else engine
    about = identity(located, pretrained, seed)
    keys = [store.key_of("stage", VERSION, key, count, about, chosen, *want) for want in wants]
    found = [store.find(folder, k) for k in keys]
    missing = [i for i, path in enumerate(found) if path is None]
    if missing:
        build = build or partial(_built, located, pretrained, seed)
        left = [wants[i] for i in missing]
        forward = _forward(chosen, folder, located, build, left, about, read)
        _compute(folder, [keys[i] for i in missing], forward, read, count, located, progress)
    return tuple(folder / f"{k}.npy" for k in keys)


def outputs_size(located: LocatedBackbone, net: keras.Model, stage: int, count: int) -> int:
    """Bytes that the stored output of a stage (1-based, not pooled, float16) takes."""
    shape = net.get_layer(located.backbone.stages[stage - 1]).output.shape[1:]
    return 2 * count * int(np.prod(shape))


def batches(count: int, size: int = BATCH) -> Iterator[tuple[int, int]]:
    """(start, stop) of consecutive batches."""
    return ((start, min(start + size, count)) for start in range(0, count, size))


def engine_for(count: int, side: int) -> Engine:
    """What `ensure` takes for a pass over `count` images of side × side pixels."""
    return "onnxruntime" if count * side * side >= WORTH else "keras"


def _built(located: LocatedBackbone, pretrained: bool, seed: int) -> keras.Model:
    from autotl import model

    return model.build(located, pretrained=pretrained, seed=seed)


def _forward(
    engine: Engine,
    folder: Path,
    located: LocatedBackbone,
    build: Callable[[], keras.Model],
    wants: Wants,
    about: list[Any],
    read: Read,
) -> Forward:
    if engine == "keras":
        from autotl import model

        return _keras_forward(model.outputs(build(), located.backbone.stages, tuple(wants)))
    from autotl import convert

    key = store.key_of("onnx", VERSION, about)
    path = store.find(folder, key, ".onnx") or _convert(folder, key, build(), located, read)
    return _onnx_forward(convert.read(path), [_output(*want) for want in wants])


def _output(stage: int, pooled: bool) -> str:
    return f"pooled_{stage}" if pooled else f"stage_{stage}"


def _keras_forward(outputs: keras.Model) -> Forward:
    import keras
    import tensorflow as tf

    def run(x: Any) -> Any:
        return keras.tree.flatten(outputs(x, training=False))

    signature = [tf.TensorSpec((None, *outputs.input_shape[1:]), tf.float32)]
    graph = tf.function(run, input_signature=signature, jit_compile=False)
    return lambda x: [np.asarray(y) for y in graph(x)]


def _onnx_forward(proto: Any, names: list[str]) -> Forward:
    """The part of a converted backbone that gives the outputs named."""
    import onnxruntime

    from autotl import convert

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    part = convert.cut(proto, names).SerializeToString()
    session = onnxruntime.InferenceSession(part, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: list(session.run(names, {name: x}))


def _convert(
    folder: Path, key: str, net: keras.Model, located: LocatedBackbone, read: Read
) -> Path:
    """The backbone with every stage as an output, pooled and not, as an entry of the store.

    Keras answers on the processor: an accelerator's shorter arithmetic would look like a fault.
    """
    import keras

    from autotl import convert, model

    stages = located.backbone.stages
    wants = [(n, pooled) for n in range(1, len(stages) + 1) for pooled in (False, True)]
    names = [_output(*want) for want in wants]
    outputs = model.outputs(net, stages, wants)
    proto = convert.to_onnx(outputs, output_names=names)
    first = model.prepare(read(0, 1), located.preprocessing)
    with keras.device("cpu:0"):
        expected = _keras_forward(outputs)(first)
    found = _onnx_forward(proto, names)(first)
    for name, one, other in zip(names, expected, found, strict=True):
        spread = max(float(one.std()), 0.01 * float(np.abs(one).max()), 1e-6)
        difference = float(np.max(np.abs(one - other))) / spread
        if not difference <= AGREEMENT:
            raise InternalError(
                f"onnxruntime and Keras disagree on {name} of {located.backbone.name}, by "
                f"{difference:.2g} of its standard deviation.",
                hint="Please report this, with the versions of onnxruntime and keras.",
            )
    content = proto.SerializeToString()
    store.make_room(folder, len(content))
    return store.make(folder, key, partial(_write, content), ".onnx")


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _compute(
    folder: Path,
    keys: Sequence[str],
    forward: Forward,
    read: Read,
    count: int,
    located: LocatedBackbone,
    progress: Progress | None,
) -> None:
    from autotl import model

    def prepared(start: int, stop: int) -> NDArray[np.float32]:
        return model.prepare(read(start, stop), located.preprocessing)

    shapes = [y.shape[1:] for y in forward(prepared(0, 1))]
    for half in (True, False):
        dtypes = [np.float16 if half and len(shape) == 3 else np.float32 for shape in shapes]
        try:
            with store.arrays(folder, keys, [(count, *s) for s in shapes], dtypes) as arrays:
                parts = ahead(lambda part: (*part, prepared(*part)), batches(count), threads=1)
                for start, stop, x in parts:
                    for array, y in zip(arrays, forward(x), strict=True):
                        _check(y, array.dtype, located.backbone.name)
                        array[start:stop] = y
                    if progress is not None:
                        progress("features", stop, count)
            return
        except _TooLargeForHalfError:
            continue


def _check(y: NDArray[np.float32], dtype: Any, name: str) -> None:
    largest = float(np.max(np.abs(y), initial=0.0))
    if not np.isfinite(largest):
        raise ResourceError(
            f"{name} gives values that are not finite: its weights or its preprocessing are wrong.",
            hint="Check the weights file, or choose another backbone with --backbone.",
        )
    if dtype == np.float16 and largest > HALF_LIMIT:
        raise _TooLargeForHalfError
