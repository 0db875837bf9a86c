"""What a model in some runtime and the Keras model answer to the same images, for the gate.

Images come as they are in the files, then made-up ones of odd shapes and extreme levels. Every row
is asked at its own size, and on pixels that are already resized in a larger batch; some also one by
one of a second runtime (onnxruntime without its optimisations, say).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autotl.calls import Progress
from autotl.errors import ParityError
from autotl.export.parity import EXTREME, TIMES_ROUNDED, Probabilities, tolerance
from autotl.pixels import decode, pillow_warnings_ignored, resize
from autotl.records import Dataset, Preprocessing

if TYPE_CHECKING:
    from autotl.worker import Worker

MOST_ROWS = 1_000
BATCH = 32
FEW = 64
"""Validation rows, spread over all, for what is slow: the second runtime, the resize by itself and
the Keras model's responses."""

READERS = 4
READ_AHEAD = 8
"""Decoded images held at once: photographs of 12 megapixels take 36 MB each."""

SHAPES = ((1, 1), (37, 53), (211, 13), (9, 150))
"""Heights and widths of made-up images, in addition to the data's own."""

Pixels = NDArray[np.uint8]
Answer = tuple[Probabilities, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model as it will be run, to be held against the Keras model that it was made from.

    `answer` takes uint8 (batch, height, width, 3), RGB, of any size to float32 probabilities
    (batch, classes) and a label for each; `resized` gives the float32 pixels (batch, size, size, 3)
    that it makes of them; `plain` answers in a second way that must agree, where there is one;
    `embedding` gives float32 (batch, features), where it has that output.
    """

    answer: Callable[[Pixels], Answer]
    resized: Callable[[Pixels], NDArray[np.float32]]
    plain: Callable[[Pixels], Answer] | None = None
    embedding: Callable[[Pixels], NDArray[np.float32]] | None = None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a candidate is held against: the saved Keras model and `rows`, one or more, of `dataset`
    (validation rows). `folder` takes temporary files. `features` is the length of the embedding
    that it must give, None for none; `float16` says that its weights were rounded.
    """

    keras_model: Path
    dataset: Dataset
    rows: Sequence[int]
    preprocessing: Preprocessing
    folder: Path
    seed: int = 0
    features: int | None = None
    float16: bool = False


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Embeddings (n, features) of the stored pixels side by side, in shares of the largest feature:
    the largest difference of each row, and the bounds of the largest and of the median one.
    """

    off: NDArray[np.float64]
    tolerance: float
    typical: float


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the candidate and the Keras model give: float32 (n, classes) each, row by row.

    `raw` is the candidate's on the images at their own size, `exact` the candidate's on the stored
    `pixels`, `reference` Keras's on the same. After the `names` of the examined rows come made-up
    images. Of the rows `few` there are more: `plain` is the second way's on the raw images, one by
    one, `through` the candidate's on what its own resize makes of them. `resize_off` is the largest
    difference of the candidate's resize in levels, `resize_apart` the share of values, 0 to 1, that
    differ by more than one. `tolerance` bounds the largest rounding difference, `typical` the
    median one: few rows that respond strongly must not hide a fault in all the others. `same` are
    the bounds for two ways to run one file, where they are others. `level_response` is the largest
    change of a probability where one value in a hundred moves by a level.
    """

    names: tuple[str, ...]
    pixels: Pixels
    raw: Probabilities
    exact: Probabilities
    few: tuple[int, ...]
    plain: Probabilities | None
    through: Probabilities
    reference: Probabilities
    resize_off: float
    resize_apart: float
    tolerance: float
    typical: float
    level_response: float
    same: tuple[float, float] | None = None
    embedded: Embedded | None = None


@dataclass(frozen=True, kw_only=True)
class _FromRaw:
    """The part of the answers that needs the images at their own size. `levels` (256,) counts by
    how many levels the candidate's resize is off.
    """

    pixels: Pixels
    raw: Probabilities
    plain: Probabilities | None
    through: Probabilities
    levels: NDArray[np.int64]


def spread(rows: Sequence[int], most: int = MOST_ROWS) -> tuple[int, ...]:
    """At most so many of the rows, evenly from first to last."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int)
    return tuple(rows[place] for place in np.unique(places))


def ask(
    subject: Subject, candidate: Candidate, worker: Worker, progress: Progress | None = None
) -> Answers:
    """Ask both models; raises `ParityError` where the candidate fails or names another label than
    that of its largest probability.
    """
    heard = progress or _silent
    rows = spread(subject.rows)
    few = (
        *spread(range(len(rows)), FEW),
        *range(len(rows), len(rows) + len(SHAPES) + 2),
    )
    with pillow_warnings_ignored():
        found = _from_raw(subject, candidate, rows, few, heard)
    reference, features, responses = _reference(subject, found.pixels, few, worker, heard)
    made_up = len(SHAPES) + 2
    same = _bounds(responses["tiny"])
    largest, typical = _bounds(responses["tiny"], responses.get("float16"))
    return Answers(
        names=tuple(subject.dataset.ids[row] for row in rows),
        pixels=found.pixels,
        raw=found.raw,
        exact=in_batches(candidate, found.pixels, subject.dataset.classes),
        few=few,
        plain=found.plain,
        through=found.through,
        reference=reference,
        resize_off=float(np.flatnonzero(found.levels).max(initial=0)),
        resize_apart=float(found.levels[2:].sum() / found.levels.sum()),
        tolerance=largest,
        typical=typical,
        level_response=max(responses["level"][:-made_up]),
        same=same,
        embedded=_embedded(candidate, found.pixels, features, responses),
    )


def _bounds(tiny: Sequence[float], rounded: Sequence[float] | None = None) -> tuple[float, float]:
    """The largest difference that is rounding, and the largest median one, from the responses to
    tiny changes and, where weights were rounded, to that.
    """
    more = [0.0] if rounded is None else rounded
    return (
        max(tolerance(max(tiny), EXTREME), TIMES_ROUNDED * max(more)),
        max(tolerance(float(np.median(tiny))), TIMES_ROUNDED * float(np.median(more))),
    )


def _embedded(
    candidate: Candidate,
    pixels: Pixels,
    reference: NDArray[np.float32] | None,
    responses: dict[str, list[float]],
) -> Embedded | None:
    if reference is None:
        return None
    if candidate.embedding is None:
        raise ParityError("The exported model gives no embedding, and was to give one.")
    starts = range(0, len(pixels), BATCH)
    given = np.concatenate([candidate.embedding(pixels[at : at + BATCH]) for at in starts])
    scale = float(np.abs(reference).max()) or 1.0
    shares = {name: [one / scale for one in values] for name, values in responses.items()}
    largest, typical = _bounds(shares["embedding"], shares.get("embedding_float16"))
    off = np.abs(given.astype(np.float64) - reference).max(axis=1) / scale
    return Embedded(off=off, tolerance=largest, typical=typical)


def in_batches(candidate: Candidate, pixels: Pixels, classes: Sequence[str]) -> Probabilities:
    """The candidate's probabilities of images of one size, `BATCH` at a time."""
    parts = [
        probabilities_of(candidate.answer, pixels[start : start + BATCH], classes)
        for start in range(0, len(pixels), BATCH)
    ]
    return np.concatenate(parts)


def probabilities_of(
    answer: Callable[[Pixels], Answer], images: Pixels, classes: Sequence[str]
) -> Probabilities:
    """The probabilities (batch, classes), once the labels are seen to be those of the largest."""
    probabilities, labels = answer(images)
    best = [classes[place] for place in probabilities.argmax(axis=1)]
    if best != list(labels):
        raise ParityError(
            "The exported model's labels are not those of its largest probabilities.",
            details=(f"labels: {list(labels)[:5]}", f"largest: {best[:5]}"),
        )
    return probabilities


def raw_images(dataset: Dataset, rows: Sequence[int]) -> Iterator[list[Pixels]]:
    """The rows decoded at their own size, in order, `READ_AHEAD` at a time."""
    with ThreadPoolExecutor(max_workers=READERS) as pool:
        for start in range(0, len(rows), READ_AHEAD):
            part = rows[start : start + READ_AHEAD]
            yield list(pool.map(lambda row: decode(dataset.read(row)), part))


def alike(images: Sequence[Pixels]) -> Iterator[Pixels]:
    """Neighbours of one shape as one batch (n, height, width, 3)."""
    for _, group in groupby(images, lambda image: image.shape):
        yield np.stack(list(group))


def _made_up(size: int, seed: int) -> list[Pixels]:
    """Noise of several shapes, all black, all white."""
    generator = np.random.default_rng(seed)
    noise = [generator.integers(0, 256, (*shape, 3), np.uint8) for shape in SHAPES]
    return [*noise, *(np.full((size, size, 3), level, np.uint8) for level in (0, 255))]


def _from_raw(
    subject: Subject,
    candidate: Candidate,
    rows: Sequence[int],
    few: Sequence[int],
    progress: Progress,
) -> _FromRaw:
    size, policy = subject.preprocessing.size, subject.preprocessing.resize
    classes, slow = subject.dataset.classes, set(few)
    made_up = _made_up(size, subject.seed)
    pixels = np.empty((len(rows) + len(made_up), size, size, 3), np.uint8)
    raw: list[Probabilities] = []
    plain: list[Probabilities] = []
    through: list[Probabilities] = []
    levels = np.zeros(256, np.int64)
    place = 0
    for images in (*raw_images(subject.dataset, rows), made_up):
        raw += [probabilities_of(candidate.answer, batch, classes) for batch in alike(images)]
        for image in images:
            pixels[place] = resize(image, size, policy)
            if place in slow:
                own = _levels(candidate.resized(image[None]))
                off = np.abs(own[0].astype(np.int64) - pixels[place])
                levels += np.bincount(off.ravel(), minlength=256)
                through.append(probabilities_of(candidate.answer, own, classes))
                if candidate.plain is not None:
                    plain.append(probabilities_of(candidate.plain, image[None], classes))
            place += 1
        progress("gate", place, len(pixels))
    return _FromRaw(
        pixels=pixels,
        raw=np.concatenate(raw),
        plain=np.concatenate(plain) if plain else None,
        through=np.concatenate(through),
        levels=levels,
    )


def _levels(resized: NDArray[np.float32]) -> Pixels:
    """The candidate's resized pixels as uint8; raises `ParityError` for what is no whole level."""
    levels: Pixels = np.clip(np.nan_to_num(resized), 0, 255).astype(np.uint8)
    if not np.array_equal(levels, resized):
        raise ParityError("The exported model's resized pixels are no whole levels of 0 to 255.")
    return levels


def _reference(
    subject: Subject,
    pixels: Pixels,
    sample: Sequence[int],
    worker: Worker,
    progress: Progress,
) -> tuple[Probabilities, NDArray[np.float32] | None, dict[str, list[float]]]:
    with tempfile.TemporaryDirectory(prefix=".gate-", dir=subject.folder) as folder:
        stored, out = Path(folder, "pixels.npy"), Path(folder, "reference.npy")
        features = None if subject.features is None else Path(folder, "features.npy")
        np.save(stored, pixels, allow_pickle=False)
        responses = worker.call(
            "autotl.export.reference:answers",
            {
                "model": str(subject.keras_model),
                "pixels": str(stored),
                "out": str(out),
                "sample": list(sample),
                "seed": subject.seed,
                "features": None if features is None else str(features),
                "float16": subject.float16,
            },
            progress=progress,
        )
        embedding = None if features is None else np.load(features, allow_pickle=False)
        return np.load(out, allow_pickle=False), embedding, responses


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""
