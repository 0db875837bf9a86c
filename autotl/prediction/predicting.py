"""Images through an open model: batched by shape, in order, one answer an input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autotl.calls import Progress
from autotl.errors import UnreadableError, UsageError
from autotl.prediction.inputs import Item, items
from autotl.prediction.model import Model, open_model
from autotl.prediction.reading import Pixels, decoded
from autotl.scaling import check_resize, most_pixels

BATCH = 16
"""Images that are run together, where neighbours are of one shape."""

MOST_FAILED = 16
"""Images that a model fails on, where it has answered none yet, until it is given up."""

_MOST_BATCH_BYTES = 64_000_000
_BATCHES_AHEAD = 3
_OFF_ONE = 0.01


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What the model says of one input.

    `id` is the path as given or found, with escapes for bytes that are no UTF-8, or the number
    of an array. `top` holds the most probable (label, probability) pairs, best first. `abstained`
    says that the best probability is below the threshold of the model's card; `label` is the most
    probable class all the same. An input that cannot be read, or that the model fails on, has
    `error` and nothing else.
    """

    id: str
    label: str | None = None
    probability: float | None = None
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None
    abstained: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model gave for one input: probabilities (classes,) and label, or `error`."""

    id: str
    probabilities: NDArray[np.floating[Any]] | None = None
    label: str | None = None
    error: str | None = None


def predict(
    model: str | Path | Model,
    inputs: Any,
    *,
    top: int = 1,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> Iterator[Predicted]:
    """Label images with an exported model, one `Predicted` an input, in order.

    `model` is a `model.onnx`, the run folder that holds one, or what `open_model` gave. `inputs` is
    one input or a sequence or generator of them: paths of image files, paths of folders (searched
    through, sorted by path), encoded bytes, or uint8 pixels (height, width),
    (height, width, 1|3|4); a four-dimensional array is a sequence of images. Images keep their
    own size. An image that cannot be read, or that the model fails on, yields a record with
    `error`.

    Images are decoded ahead while the model runs, three batches at most and 128 MB of pixels, so a
    folder of any size needs as much memory as a small one. A generator is taken from as far as
    that and no further; `progress` then hears 0 as the total.

    Raises at once `UsageError` for a missing path and for a file that is not such a model,
    `DataError` for a folder without images; for what a generator gives, when it comes to it.
    `UsageError` also where the model fails on every image, or on the first sixteen.
    """
    if top < 1 or batch < 1:
        raise UsageError(f"top and batch must be at least 1, not {top} and {batch}.")
    spinning = batch == 1 or _decoded_before(inputs)
    opened = model if isinstance(model, Model) else open_model(model, spinning=spinning)
    found, total = items(inputs)
    return _predicted(opened, answers(opened, found, batch=batch), top, total, progress)


def _decoded_before(inputs: Any) -> bool:
    """Whether the inputs are arrays, as far as the first one tells: then no thread of ours decodes,
    whom threads of onnxruntime that wait would keep from the processor.
    """
    sequence = isinstance(inputs, Sequence) and not isinstance(inputs, str | bytes)
    first = inputs[0] if sequence and len(inputs) else inputs
    return isinstance(first, np.ndarray)


def predict_items(
    model: Model, inputs: Iterable[Item], *, top: int = 1, progress: Progress | None = None
) -> Iterator[Predicted]:
    """As `predict`, of inputs that have their ids."""
    total = len(inputs) if isinstance(inputs, Sized) else 0
    return _predicted(model, answers(model, inputs), top, total, progress)


def answers(model: Model, inputs: Iterable[Item], *, batch: int = BATCH) -> Iterator[Answer]:
    """What the model gives for every item, in order; one that it fails on has `error`.

    Raises `UsageError` where it fails on all, or on the first `MOST_FAILED` that it is asked.
    """
    held: list[Answer] = []
    first: UsageError | None = None
    works, failed = False, 0
    given = _answered(model, inputs, batch)
    try:
        for answer, fault in given:
            works = works or answer.probabilities is not None
            held.append(answer)
            if fault is not None and not works:
                first, failed = first or fault, failed + 1
                if failed == MOST_FAILED:
                    raise first
            if works or first is None:
                yield from held
                held.clear()
        if first is not None and not works:
            raise first
    finally:
        given.close()  # type: ignore[attr-defined]


def _answered(
    model: Model, inputs: Iterable[Item], batch: int
) -> Iterator[tuple[Answer, UsageError | None]]:
    """The same, with what the model failed by where it failed."""
    alike: list[tuple[str, Pixels]] = []
    coming = decoded(inputs, ahead=_BATCHES_AHEAD * batch)
    try:
        for name, found in coming:
            image, fault = _usable(model, found)
            if alike and (image is None or image.shape != alike[0][1].shape):
                yield from _asked(model, alike)
                alike = []
            if image is None:
                yield Answer(id=name, error=fault), None
                continue
            alike.append((name, image))
            if len(alike) >= _most(model, image, batch):
                yield from _asked(model, alike)
                alike = []
        if alike:
            yield from _asked(model, alike)
    finally:
        coming.close()  # type: ignore[attr-defined]


def _usable(model: Model, found: Pixels | str) -> tuple[Pixels | None, str | None]:
    """The pixels where the model can take them; else why not."""
    if isinstance(found, str):
        return None, found
    height, width = found.shape[:2]
    if not all(
        want in (None, side) for want, side in zip(model.sides, (height, width), strict=True)
    ):
        tall, wide = (side or "any" for side in model.sides)
        return None, (
            f"The model takes images of {wide} × {tall} pixels only, and this one has "
            f"{width} × {height}: resize it as the model was trained, or have the graph do so."
        )
    try:
        if model.size is not None:
            check_resize(height, width, model.size, _policy(model))
    except UnreadableError as error:
        return None, error.message
    return found, None


def _policy(model: Model) -> Literal["squash", "crop"]:
    return "crop" if model.crops else "squash"


def _most(model: Model, image: Pixels, batch: int) -> int:
    """How many images of this shape are run together."""
    height, width = image.shape[:2]
    on_the_way = most_pixels(height, width, model.size, _policy(model)) if model.size else 0
    size = max(image.nbytes, 3 * on_the_way)
    return min(1 if model.alone else batch, max(1, _MOST_BATCH_BYTES // size))


def _asked(
    model: Model, alike: Sequence[tuple[str, Pixels]]
) -> Iterator[tuple[Answer, UsageError | None]]:
    """The answers to images of one shape, run together; one by one where that fails."""
    try:
        given = _run(model, alike)
    except UsageError as error:
        if len(alike) > 1:
            for one in alike:
                yield from _asked(model, [one])
        else:
            yield Answer(id=alike[0][0], error=" ".join((error.message, *error.details))), error
        return
    yield from ((each, None) for each in given)


def _run(model: Model, alike: Sequence[tuple[str, Pixels]]) -> list[Answer]:
    """The answers to images of one shape, run together; raises `UsageError` where that fails."""
    stacked = np.stack([image for _, image in alike]) if len(alike) > 1 else alike[0][1][None]
    wanted = [model.probabilities, *([model.label] if model.label else [])]
    try:
        given = model.session.run(wanted, {model.input: stacked})
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise UsageError(
            f"The model fails on images of shape {stacked.shape}.",
            details=tuple(str(error).splitlines()[:1]),
            hint="`autotl verify` tells whether the file is sound.",
        ) from error
    probabilities = given[0]
    _check(probabilities, (len(alike), len(model.classes)))
    labels: Any = (
        given[1] if model.label else [model.classes[n] for n in probabilities.argmax(axis=1)]
    )
    if model.label and labels.shape != (len(alike),):
        raise UsageError(f"The model gives labels of shape {labels.shape} for {len(alike)} images.")
    return [
        Answer(id=name, probabilities=row, label=str(label))
        for (name, _), row, label in zip(alike, probabilities, labels, strict=True)
    ]


def _check(probabilities: NDArray[np.floating[Any]], shape: tuple[int, int]) -> None:
    """Raise `UsageError` for what cannot be one probability a class."""
    if probabilities.shape != shape:
        raise UsageError(
            f"The model gives probabilities of shape {probabilities.shape}, not {shape}."
        )
    # straight to the ufuncs: a small network answers one image within a millisecond
    sums = np.add.reduce(probabilities, axis=1).tolist()
    near = all(1 - _OFF_ONE <= each <= 1 + _OFF_ONE for each in sums)
    if near and np.minimum.reduce(probabilities, axis=None) >= -_OFF_ONE:
        return
    worst = probabilities[int(np.argmax(np.nan_to_num(np.abs(np.array(sums) - 1), nan=np.inf)))]
    raise UsageError(
        f"What the model gives as probabilities does not add up to 1: {worst[:5].tolist()}"
        f"{'...' * (shape[1] > 5)}.",
        hint="Logits need a softmax in the graph.",
    )


def _predicted(
    model: Model, given: Iterator[Answer], top: int, total: int, progress: Progress | None
) -> Iterator[Predicted]:
    try:
        for done, answer in enumerate(given, start=1):
            yield _labelled(model, answer, top)
            if progress is not None:
                progress("predict", done, total)
    finally:
        given.close()  # type: ignore[attr-defined]


def _labelled(model: Model, answer: Answer, top: int) -> Predicted:
    if answer.probabilities is None:
        return Predicted(id=answer.id, error=answer.error)
    row = answer.probabilities
    order = [row.argmax()] if top == 1 else np.argsort(-row, kind="stable")[:top]
    best = float(row[order[0]])
    return Predicted(
        id=answer.id,
        label=answer.label,
        probability=best,
        top=tuple((model.classes[place], float(row[place])) for place in order),
        abstained=model.threshold is not None and best < model.threshold,
    )
