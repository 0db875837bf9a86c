"""`model.onnx` in 8 bits, beside it as `model.int8.onnx` where that pays, and in float16.

    int8(model, subject, *, train, points=1.0, progress=None) -> Quantised
    float16(model, subject, worker, *, progress=None) -> Quantised

Both take a `model.onnx` that passed the gate and the `Subject` that it was held against, write into
`subject.folder` what is kept, remove there an older variant that is not, and never raise for a
variant that is unfit: the record says why. int8 reads `train` rows of the data set for its ranges
and the subject's rows for everything else, and needs no keras.

What is stored in 8 bits are the convolutions and what lies between them, as pairs of the standard
QuantizeLinear and DequantizeLinear, weights a scale a channel (one scale for all of MobileNetV2's
costs a third of its accuracy). Everything before the first convolution and after the last pooling
stays float32: it takes no time worth saving, and the head divides by small deviations. Ranges are
the smallest and largest value over the calibration images: percentiles and entropy were no more
accurate, and hold every activation in memory (10 GB for MobileNetV2). All 8 bits of a weight are
used; on processors without VNNI instructions a sum may saturate, so the figures hold for processors
like the one they were measured on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autotl.calls import Progress
from autotl.errors import AutotlError, DiskError, ParityError, UnreadableError
from autotl.export import outside, runtime, structure
from autotl.export.asking import (
    FEW,
    Subject,
    alike,
    probabilities_of,
    raw_images,
    spread,
)
from autotl.export.card import add
from autotl.export.graph import IMAGE, PIXELS
from autotl.export.halves import float16
from autotl.export.parity import ROUNDING, Probabilities, compare
from autotl.export.timing import paces, said
from autotl.export.verdict import Right, difference, rows_needed
from autotl.pixels import decode, pillow_warnings_ignored, resize
from autotl.records import Interval, Quantised, to_json

if TYPE_CHECKING:
    from onnxruntime import InferenceSession as Session

__all__ = ["INT8", "float16", "int8"]

INT8 = "model.int8.onnx"

CALIBRATION = 256
"""Training images, spread over all, that give the ranges; 512 gave the same accuracy."""
CALIBRATED = 8
"""Images that pass at a time; every activation of a batch is in memory at once."""
MOST_ROWS = 4_000
"""Validation rows that both files are asked: enough for half a point."""

TIMES_APART = 2.0
"""How much further from the model one way to run the 8-bit file may be than the other."""

_POOLING = ("ReduceMean", "GlobalAveragePool", "GlobalMaxPool", "ReduceMax")
_CONVOLUTION = "Conv"


def int8(
    model: Path,
    subject: Subject,
    *,
    train: Sequence[int],
    points: float = 1.0,
    progress: Progress | None = None,
) -> Quantised:
    """Quantise to 8 bits; kept where it is faster and less than `points` of a hundred worse.

    Worse is the lower end of the 95 % interval of the accuracies' difference on validation rows.
    Faster means at both batches, a single image at its own size and a batch of resized ones, with
    95 % confidence each.
    """
    began = time.monotonic()
    target = subject.folder / INT8
    with outside.staging(subject.folder) as room, pillow_warnings_ignored():
        out = Path(room) / INT8
        try:
            _write(model, out, subject, train, progress)
            found = _judged(model, out, subject, points, progress)
        except DiskError:
            raise
        except AutotlError as error:
            found = Quantised(kind="int8", kept=False, reason=_told(error))
        if found.kept:
            _put_figures(out, found)
            found = replace(found, checks=(*_structure(out, subject), *found.checks))
            file, data = outside.place(out, subject.folder)
            found = replace(found, file=file, data=data, size=file.size)
        else:
            outside.remove(target)
    return replace(found, seconds=time.monotonic() - began)


def _told(error: AutotlError) -> str:
    return " ".join((error.message, *error.details))


# ---- the file ----


def _write(
    model: Path, out: Path, subject: Subject, train: Sequence[int], progress: Progress | None
) -> None:
    """Write the 8-bit file; raises `ParityError` where there is none to be had."""
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if outside.data_file(model).exists():
        raise ParityError("A model with numbers beside its file is not stored in 8 bits.")
    front, rest, folded = (out.with_name(f"{part}.onnx") for part in ("front", "rest", "folded"))
    images = _Images(subject, spread(train, CALIBRATION), progress)
    try:
        # batch norms are folded into convolutions, which would be done too late in the 8-bit file
        _take_apart(model, front, rest)
        quant_pre_process(str(rest), str(folded), skip_symbolic_shape=True)
        kept = _kept_float(folded)
        quantize_static(
            str(folded),
            str(out),
            images,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept,
        )
    except (ParityError, MemoryError):
        raise
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise ParityError(
            "onnxruntime does not quantise the model.", details=tuple(str(error).splitlines()[:3])
        ) from error
    _join(front, out, model)
    _structure(out, subject)


def _take_apart(model: Path, front: Path, rest: Path) -> None:
    """Write the part of a file up to the resized pixels to `front`, and what follows to `rest`."""
    import onnx
    from onnx.utils import Extractor

    front.write_bytes(runtime.front_of(model))
    whole = onnx.load_model(model)
    outputs = [value.name for value in whole.graph.output]
    onnx.save_model(Extractor(whole).extract_model([PIXELS], outputs), rest)


def _kept_float(path: Path) -> list[str]:
    """Names of the nodes before the first convolution, and from the last pooling on."""
    import onnx

    model = onnx.load_model(path)
    graph = model.graph
    for place, node in enumerate(graph.node):
        node.name = node.name or f"node {place}"
    onnx.save_model(model, path)
    made = {name: node for node in graph.node for name in node.output}
    before = {n.name: [made[i].name for i in n.input if i in made] for n in graph.node}
    convolutions = {node.name for node in graph.node if node.op_type == _CONVOLUTION}
    if not convolutions:
        raise ParityError("The model has no convolution, and nothing else is stored in 8 bits.")
    leading: set[str] = set()
    behind: set[str] = set()
    for node in reversed(graph.node):
        if node.name in leading | convolutions:
            leading.update(before[node.name])
    tail: set[str] = set()
    for node in graph.node:
        if convolutions.intersection(before[node.name]) or behind.intersection(before[node.name]):
            behind.add(node.name)
        starts = node.op_type in _POOLING or tail.intersection(before[node.name])
        if starts and node.name not in leading | convolutions:
            tail.add(node.name)
    return [
        node.name
        for node in graph.node
        if node.name in tail or node.name not in behind | convolutions
    ]


class _Images:
    """Calibration images as the quantiser asks for them: batches, then None."""

    def __init__(self, subject: Subject, rows: Sequence[int], progress: Progress | None) -> None:
        self._batches = self._read(subject, rows, progress)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next batch under the name of the part's input."""
        return next(self._batches, None)

    def _read(
        self, subject: Subject, rows: Sequence[int], progress: Progress | None
    ) -> Iterator[dict[str, NDArray[np.float32]]]:
        size, policy = subject.preprocessing.size, subject.preprocessing.resize
        for start in range(0, len(rows), CALIBRATED):
            images = []
            for row in rows[start : start + CALIBRATED]:
                # the loader has told of it
                with contextlib.suppress(UnreadableError):
                    images.append(resize(decode(subject.dataset.read(row)), size, policy))
            if images:
                yield {PIXELS: np.stack(images).astype(np.float32)}
            if progress is not None:
                progress("int8 ranges", min(start + CALIBRATED, len(rows)), len(rows))


def _join(front: Path, path: Path, model: Path) -> None:
    """Put the 8-bit rest at `path` behind the front, with the model's signature and card."""
    import onnx
    from onnx import compose

    given = onnx.load_model(model, load_external_data=False)
    parts = [onnx.load_model(front), onnx.load_model(path)]
    for part in parts:
        part.ClearField("opset_import")
        part.opset_import.extend(given.opset_import)
        part.ir_version = given.ir_version
        part.graph.ClearField("value_info")
        part.ClearField("metadata_props")
    joined = compose.merge_models(*parts, io_map=[(PIXELS, PIXELS)])
    joined.ClearField("opset_import")
    joined.opset_import.extend(given.opset_import)
    joined.graph.name = joined.producer_name = given.producer_name
    joined.producer_version = ""
    joined.graph.ClearField("output")
    joined.graph.output.extend(given.graph.output)
    joined.graph.ClearField("value_info")
    joined.graph.value_info.extend(given.graph.value_info)
    joined.ClearField("metadata_props")
    joined.metadata_props.extend(given.metadata_props)
    # what was measured of the model is not true of this file; `_put_figures` adds what is
    add(joined, {"precision": "int8", "metrics": None, "abstention": None})
    onnx.save_model(joined, path)


def _put_figures(path: Path, found: Quantised) -> None:
    import onnx

    model = onnx.load_model(path, load_external_data=False)
    measured = ("rows", "accuracy", "accuracy_float", "difference", "paces")
    add(model, {"variant": {name: to_json(found)[name] for name in measured}})
    onnx.save_model(model, path)


def _structure(path: Path, subject: Subject) -> tuple[str, ...]:
    return structure.check(path, subject.dataset.classes, subject.features)


# ---- the verdict ----


def _judged(
    model: Path, out: Path, subject: Subject, points: float, progress: Progress | None
) -> Quantised:
    """Measure both files; raises `ParityError` where the 8-bit one answers inconsistently."""
    rows = spread(subject.rows, MOST_ROWS)
    labels = np.array([subject.dataset.labels[row] for row in rows])
    sessions = [runtime.open_session(path) for path in (model, out)]
    tables, checks = _compared(sessions, (model, out), subject, rows, progress)
    right = [table.argmax(axis=1) == labels for table in tables]
    apart = difference(right[0], right[1])
    times = paces(sessions, subject)
    good, told = _accuracy_said(right, apart, points)
    return Quantised(
        kind="int8",
        kept=good and all(one.ratio.low > 1 for one in times),
        reason="; ".join((told, *map(said, times))),
        rows=len(rows),
        accuracy=float(right[1].mean()),
        accuracy_float=float(right[0].mean()),
        difference=apart,
        paces=times,
        size=out.stat().st_size,
        size_float=model.stat().st_size,
        checks=checks,
    )


def _compared(
    sessions: Sequence[Session],
    paths: tuple[Path, Path],
    subject: Subject,
    rows: Sequence[int],
    progress: Progress | None,
) -> tuple[tuple[Probabilities, Probabilities], tuple[str, ...]]:
    """Both files' probabilities (rows, classes) from raw images, and what was seen of the second:
    it resizes just as the first, and runs alike with and without onnxruntime's optimisations.
    """
    classes, few = subject.dataset.classes, set(spread(range(len(rows)), FEW))
    ask = [runtime.answerer(session) for session in sessions]
    plainly = runtime.answerer(runtime.open_session(paths[1], optimised=False))
    fronts = [runtime.open_session(runtime.front_of(path)) for path in paths]
    tables: list[list[Probabilities]] = [[], [], []]
    done = 0
    for images in raw_images(subject.dataset, rows):
        for batch in alike(images):
            for table, answer in zip(tables, ask, strict=False):
                table.append(probabilities_of(answer, batch, classes))
        for place, image in enumerate(images, start=done):
            if place in few:
                tables[2].append(probabilities_of(plainly, image[None], classes))
                one, other = (front.run([PIXELS], {IMAGE: image[None]})[0] for front in fronts)
                if not np.array_equal(one, other):
                    raise ParityError("The 8-bit file resizes images otherwise than the model.")
        done += len(images)
        if progress is not None:
            progress("int8", done, len(rows))
    model, eight, plain = (np.concatenate(table) for table in tables)
    chosen = sorted(few)
    _check_alike(model[chosen], eight[chosen], plain)
    return (model, eight), (
        f"resizes exactly as the model does ({len(few)} raw images)",
        f"is as near to the model with onnxruntime's optimisations as without ({len(few)} raw "
        "images)",
        f"labels are those of the largest probabilities ({len(rows)} raw images)",
    )


def _check_alike(model: Probabilities, eight: Probabilities, plain: Probabilities) -> None:
    """Raise unless the 8-bit file is as near to the model with onnxruntime's optimisations as
    without; (few, classes) each.

    The two answers themselves may be as far apart as either is from the model: a sum on the edge of
    a step falls to another side in integers than in floats, and the layers behind make of one step
    many. But a sum that saturates, or a fault of the runtime, takes one of them further away.
    """
    found, other = compare(eight, model), compare(plain, model)
    medians = sorted((found.median, other.median))
    largest = sorted((found.largest, other.largest))
    if not all(high <= TIMES_APART * low + ROUNDING for low, high in (medians, largest)):
        raise ParityError(
            "onnxruntime's optimisations take the 8-bit file further from the model, or nearer.",
            details=(
                f"with them: median difference of a probability {found.median:.2e}, largest "
                f"{found.largest:.2e};",
                f"without: median {other.median:.2e}, largest {other.largest:.2e}",
            ),
        )


def _accuracy_said(right: Sequence[Right], apart: Interval, points: float) -> tuple[bool, str]:
    """Whether the variant is within the points, and the figures in words."""
    model, variant = right
    good = apart.low > -points / 100
    within = "within a point" if points == 1 else f"within {points:g} points"
    figures = (
        f"accuracy {variant.mean():.3f} against {model.mean():.3f} on {len(model)} validation "
        f"rows, {100 * apart.value:+.2f} points [{100 * apart.low:+.2f}, {100 * apart.high:+.2f}]"
    )
    if good:
        return True, f"{figures}: {within} with 95 % confidence"
    needed = rows_needed(model, variant, -points / 100)
    more = (
        "if these shares held, no number of rows would do"
        if needed is None
        else f"if these shares held, about {needed:,} rows would be needed"
    )
    return False, f"{figures}: not {within} with 95 % confidence; {more}"
