"""The gate that every exported file must pass: its structure, then its answers.

The answers are compared in two steps, so that a fault is seen at its full size. On pixels that
are already resized, the file must equal the Keras model up to rounding. From raw images it also
resizes, where a level's difference here and there is allowed: the resize is compared by itself,
and the answers must agree in class and, in the median, in figures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autotl.calls import Progress
from autotl.errors import ParityError
from autotl.export import structure
from autotl.export.graph import IMAGE, LABEL, PIXELS, PROBABILITIES
from autotl.export.parity import (
    AGREEMENT,
    EXTREME,
    MEDIAN,
    Apart,
    Probabilities,
    compare,
    tolerance,
)
from autotl.pixels import decode, pillow_warnings_ignored, resize
from autotl.records import Dataset, Parity, Preprocessing

if TYPE_CHECKING:
    import onnxruntime

    from autotl.worker import Worker

MOST_ROWS = 1_000
BATCH = 32
FEW = 32
"""Rows on which the slow comparisons run: without optimisation, and of the resize alone."""

READERS = 4
READ_AHEAD = 8
"""Decoded images held at once: photographs of 12 megapixels take 36 MB each."""

MOST_LEVELS = 2
"""Each of the resize's two passes rounds to whole levels, where two faithful ones may fall on
either side of a tie; the second makes of one level's difference at most two."""

MOST_APART = 1e-4
"""Share of values that two faithful resizes may have more than one level apart; met: 1e-7."""

SAMPLE = 64
"""Validation rows, spread over all, on which the Keras model's responses are measured."""

SHAPES = ((1, 1), (37, 53), (211, 13), (9, 150))
"""Heights and widths of made-up images, in addition to the data's own."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The file to be examined and what it is held against. `rows` are validation rows of
    `dataset`, one or more; `keras_model` is the saved model that the file was made from.
    """

    path: Path
    keras_model: Path
    dataset: Dataset
    rows: Sequence[int]
    preprocessing: Preprocessing
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the file and the Keras model give: float32 (n, classes) each, row by row.

    `raw` is the file's on the images at their own size, `exact` the file's on the stored
    `pixels`, `reference` Keras's on the same. After the `names` of the examined rows come made-up
    images. `plain` is the file's on the first of `pixels` without optimisations. `resize_off` is
    the largest difference of the file's resize in levels, `resize_apart` the share of values, 0 to
    1, that differ by more than one. `tolerance` bounds the largest rounding
    difference, `typical` the median one: few rows that respond strongly must not hide a fault
    in all the others.
    """

    names: tuple[str, ...]
    pixels: Pixels
    raw: Probabilities
    exact: Probabilities
    plain: Probabilities
    reference: Probabilities
    resize_off: float
    resize_apart: float
    tolerance: float
    typical: float
    level_response: float


def examine(
    subject: Subject, worker: Worker, *, progress: Progress | None = None
) -> tuple[Parity, tuple[str, ...]]:
    """Put the file through every check: the parity figures, and the checks in words.

    Raises `ParityError` with figures and the worst examples at the first that fails.
    """
    checks = structure.check(subject.path, subject.dataset.classes)
    session = open_session(subject.path)
    _check_signature(session, len(subject.dataset.classes))
    answers = _ask(subject, session, worker, progress or _silent)
    parity = judge(answers)
    return parity, (*checks, *_said(answers))


def spread(rows: Sequence[int], most: int = MOST_ROWS) -> tuple[int, ...]:
    """At most so many of the rows, evenly from first to last."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int)
    return tuple(rows[place] for place in np.unique(places))


def open_session(model: Path | bytes, *, optimised: bool = True) -> onnxruntime.InferenceSession:
    """An onnxruntime session on the processor; raises `ParityError` where it does not load."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise ParityError(
            "onnxruntime does not load the exported model.",
            details=tuple(str(error).splitlines()[:5]),
        ) from error


def judge(answers: Answers) -> Parity:
    """The figures of a faithful file; raises `ParityError` where they are not."""
    count = len(answers.names)
    if answers.resize_off > MOST_LEVELS or answers.resize_apart > MOST_APART:
        raise ParityError(
            "The exported model resizes images otherwise than training did.",
            details=(
                f"largest difference: {answers.resize_off:.0f} of 255 levels, "
                f"allowed: {MOST_LEVELS}",
                f"share of values more than one level apart: {answers.resize_apart:.1e}, "
                f"allowed: {MOST_APART:.0e}",
            ),
        )
    names = (*answers.names, *(f"made-up image {n}" for n in range(len(answers.pixels) - count)))
    exact = compare(answers.exact, answers.reference)
    _check_rounding("On resized pixels the exported model", exact, answers, names)
    plain = compare(answers.plain, answers.exact[: len(answers.plain)])
    _check_rounding("Without onnxruntime's optimisations the exported model", plain, answers, names)
    raw = compare(answers.raw[:count], answers.reference[:count])
    _check_raw(raw, answers)
    return Parity(
        examples=count,
        top1_agreement=raw.agreement,
        explained=int((~raw.agree).sum() - raw.unexplained(_margin(answers)).sum()),
        median_difference=raw.median,
        largest_difference=raw.largest,
        tolerance=answers.tolerance,
        optimised_difference=plain.largest,
    )


def _margin(answers: Answers) -> float:
    """The lead below which one level's difference of the resize may turn the class."""
    return 2 * max(answers.tolerance, answers.level_response)


def _check_rounding(what: str, apart: Apart, answers: Answers, names: Sequence[str]) -> None:
    turned = apart.unexplained(2 * answers.tolerance)
    faithful = apart.largest <= answers.tolerance and apart.median <= answers.typical
    if not faithful or turned.any():
        raise ParityError(
            f"{what} answers otherwise than it should.",
            details=(
                f"largest difference of a probability: {apart.largest:.2e}, "
                f"allowed: {answers.tolerance:.2e}",
                f"median difference: {apart.median:.2e}, allowed: {answers.typical:.2e}",
                f"same class: {apart.agreement:.2%}",
                *apart.worst(names),
            ),
        )


def _check_raw(raw: Apart, answers: Answers) -> None:
    turned = raw.unexplained(_margin(answers))
    if 1 - turned.mean() < AGREEMENT or not raw.median <= MEDIAN:
        raise ParityError(
            "From raw images the exported model answers otherwise than the trained one.",
            details=(
                f"same class: {raw.agreement:.2%}; {turned.sum()} of {len(turned)} differ by more "
                f"than a lead of {_margin(answers):.2e} explains",
                f"median difference: {raw.median:.2e}, allowed: {MEDIAN:.0e}",
                *raw.worst(answers.names),
            ),
        )


def _said(answers: Answers) -> tuple[str, ...]:
    made_up = len(answers.pixels) - len(answers.names)
    return (
        f"onnxruntime's optimisations change nothing ({len(answers.plain)} images)",
        f"resizes as training did, within {answers.resize_off:.0f} of 255 levels "
        f"({answers.resize_apart:.1e} of the values by more than one)",
        f"equals the Keras model on {len(answers.names)} resized images and {made_up} made-up ones",
        f"agrees from raw validation images ({len(answers.names)})",
        "labels are those of the largest probabilities",
    )


def _check_signature(session: onnxruntime.InferenceSession, classes: int) -> None:
    found = tuple(
        tuple((value.name, value.type, tuple(value.shape)) for value in values)
        for values in (session.get_inputs(), session.get_outputs())
    )
    if found != structure.declared(classes):
        raise ParityError(
            "onnxruntime sees other inputs or outputs than the declared ones.",
            details=(f"found: {found}",),
        )


# ---- asking the file and the Keras model ----


def _ask(
    subject: Subject,
    session: onnxruntime.InferenceSession,
    worker: Worker,
    progress: Progress,
) -> Answers:
    rows = spread(subject.rows)
    with pillow_warnings_ignored():
        pixels, raw, levels = _from_raw(subject, rows, session, progress)
    sample = spread(range(len(rows)), SAMPLE)
    made_up = range(len(rows), len(pixels))
    reference, responses = _reference(subject, pixels, (*sample, *made_up), worker, progress)
    return Answers(
        names=tuple(subject.dataset.ids[row] for row in rows),
        pixels=pixels,
        raw=raw,
        exact=_in_batches(session, pixels, BATCH),
        plain=_in_batches(open_session(subject.path, optimised=False), pixels[:FEW], FEW // 4),
        reference=reference,
        resize_off=float(np.flatnonzero(levels).max(initial=0)),
        resize_apart=float(levels[2:].sum() / levels.sum()),
        tolerance=tolerance(max(responses["tiny"]), EXTREME),
        typical=tolerance(float(np.median(responses["tiny"]))),
        level_response=max(responses["level"][: len(sample)]),
    )


def _from_raw(
    subject: Subject,
    rows: Sequence[int],
    session: onnxruntime.InferenceSession,
    progress: Progress,
) -> tuple[Pixels, Probabilities, NDArray[np.int64]]:
    """Resized pixels and the file's answers, one image at a time at its own size; and of how many
    values the file's resize differs by so many levels (256,).
    """
    size, policy = subject.preprocessing.size, subject.preprocessing.resize
    total = len(rows) + len(SHAPES) + 2
    pixels = np.empty((total, size, size, 3), np.uint8)
    raw = np.empty((total, len(subject.dataset.classes)), np.float32)
    front = open_session(_front_of(subject.path))
    levels = np.zeros(256, np.int64)
    for place, image in enumerate(_images(subject.dataset, rows, size, subject.seed)):
        pixels[place] = resize(image, size, policy)
        raw[place] = _run(session, image[None], subject.dataset.classes)[0]
        if place < FEW or place >= len(rows):
            (resized,) = front.run([PIXELS], {IMAGE: image[None]})
            off = np.abs(resized[0] - pixels[place].astype(np.float32)).astype(np.uint8)
            levels += np.bincount(off.ravel(), minlength=256)
        progress("gate", place + 1, total)
    return pixels, raw, levels


def _images(dataset: Dataset, rows: Sequence[int], size: int, seed: int) -> Iterator[Pixels]:
    """The rows decoded, then made-up images: noise of several shapes, all black, all white."""
    with ThreadPoolExecutor(max_workers=READERS) as pool:
        for start in range(0, len(rows), READ_AHEAD):
            part = rows[start : start + READ_AHEAD]
            yield from pool.map(lambda row: decode(dataset.read(row)), part)
    generator = np.random.default_rng(seed)
    for shape in SHAPES:
        yield generator.integers(0, 256, (*shape, 3), np.uint8)
    for level in (0, 255):
        yield np.full((size, size, 3), level, np.uint8)


def _run(
    session: onnxruntime.InferenceSession, images: Pixels, classes: Sequence[str]
) -> Probabilities:
    probabilities, labels = _outputs(session, images)
    best = [classes[place] for place in probabilities.argmax(axis=1)]
    if best != list(labels):
        raise ParityError(
            "The exported model's labels are not those of its largest probabilities.",
            details=(f"labels: {list(labels)[:5]}", f"largest: {best[:5]}"),
        )
    return probabilities


def _outputs(
    session: onnxruntime.InferenceSession, images: Pixels
) -> tuple[Probabilities, Sequence[str]]:
    try:
        probabilities, labels = session.run([PROBABILITIES, LABEL], {IMAGE: images})
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise ParityError(
            f"The exported model fails on images of shape {images.shape}.",
            details=tuple(str(error).splitlines()[:5]),
        ) from error
    return probabilities, labels


def _in_batches(session: onnxruntime.InferenceSession, pixels: Pixels, batch: int) -> Probabilities:
    parts = [
        _outputs(session, pixels[start : start + batch])[0]
        for start in range(0, len(pixels), batch)
    ]
    return np.concatenate(parts)


def _front_of(path: Path) -> bytes:
    """The part of the file from the image to the resized pixels, as a model of its own."""
    import onnx
    from onnx.utils import Extractor

    try:
        part = Extractor(onnx.load_model(path)).extract_model([IMAGE], [PIXELS])
    except (KeyError, ValueError) as error:
        raise ParityError("The exported model has no resize of its own.") from error
    content: bytes = part.SerializeToString()
    return content


def _reference(
    subject: Subject,
    pixels: Pixels,
    sample: Sequence[int],
    worker: Worker,
    progress: Progress,
) -> tuple[Probabilities, dict[str, list[float]]]:
    with tempfile.TemporaryDirectory(prefix=".gate-", dir=subject.path.parent) as folder:
        stored, out = Path(folder, "pixels.npy"), Path(folder, "reference.npy")
        np.save(stored, pixels, allow_pickle=False)
        responses = worker.call(
            "autotl.export.reference:answers",
            {
                "model": str(subject.keras_model),
                "pixels": str(stored),
                "out": str(out),
                "sample": list(sample),
                "seed": subject.seed,
            },
            progress=progress,
        )
        return np.load(out, allow_pickle=False), responses


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""
