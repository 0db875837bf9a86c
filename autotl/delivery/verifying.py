"""`verify`: an exported file checked again as it lies there, and evaluated on data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl import loading
from autotl.calls import Progress
from autotl.delivery.judging import Tally
from autotl.errors import DataError, ParityError, UnreadableError
from autotl.export import parity, structure
from autotl.export.graph import EMBEDDING
from autotl.files import expanded, file_ref, look, sha256
from autotl.modelfile import open_session, problems
from autotl.plugins import discover
from autotl.prediction import Model, open_model, predict_items
from autotl.prediction.model import INPUT, LABEL, PROBABILITIES
from autotl.records import Dataset, Interval, Verified, VerifiedData, names
from autotl.request import named_options
from autotl.split import split

SHAPES = ((1, 1), (37, 53), (211, 13), (96, 128))
"""Heights and widths of made-up images."""
BATCHES = (1, 3)
LARGEST, MEDIAN = 1e-3, 1e-4
"""How far probabilities may be off with other optimisations or in another batch: the largest of
all, and the median. Sound models were met up to 1e-5."""
LARGEST_INT8, MEDIAN_INT8 = 0.15, 0.04
"""The same for a file of 8 bits with other optimisations: a sum on the edge of a step falls to
another side in integers than in floats, and the layers behind make of one step many. Sound models
were met up to 0.06 and 0.02; one that saturates its weights lay at 0.27 and 0.06 or further off."""
OFF = 0.005
"""Share of the test rows by which a sound file may be off its card, and one row in any case: ties
that fall otherwise."""
AGAIN = "Take the file from where you trust it, or export it again."
SEED = 20261127

Images = NDArray[np.uint8]
Pair = tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]


def verify(
    model: str | Path,
    data: Any = None,
    *,
    loader: str | None = None,
    input_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    split_column: str | None = None,
    disabled_plugins: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> Verified:
    """Check an exported model (a `model.onnx` or its run folder) as it lies there, and evaluate it
    on `data` where that is given.

    Without data: the file is safe to open and sound ONNX, onnxruntime gives the same answers with
    all its optimisations and with none, alone and in batches, and labels are those of the largest
    probabilities. `data` is what `fit` takes, with any of the model's classes (the columns of a
    table are named as there). Where it is what
    the model was made from, the run's own test rows are found again and the accuracy is compared
    with the card's.

    Raises `ParityError` where a check fails, `UsageError` for a file that is refused, `DataError`
    for data that cannot be used or holds a class that the model does not know.
    """
    options = named_options(
        loader=loader,
        input_column=input_column,
        label_column=label_column,
        group_column=group_column,
        split_column=split_column,
    )
    opened = open_model(model)
    checks = checked(opened)
    found = None
    if data is not None:
        found = _on_data(opened, data, options, disabled_plugins, progress)
    return Verified(
        model=str(opened.path),
        size=opened.path.stat().st_size,
        sha256=sha256(opened.path),
        classes=opened.classes,
        checks=checks,
        data=found,
        beside=tuple(file_ref(path, opened.path.parent) for path in opened.beside),
    )


# ---- the file ----


def checked(model: Model) -> tuple[str, ...]:
    """The checks that the file passed, in words; raises `ParityError` at the first that fails."""
    return (
        "the file keeps within its folder and says nothing absurd",
        *_structure(model),
        *_answers(model),
    )


def _structure(model: Model) -> tuple[str, ...]:
    if _ours(model):
        try:
            return structure.check(model.path, model.classes, _features(model))
        except ParityError as error:
            raise ParityError(error.message, details=error.details, hint=AGAIN) from error
    if found := problems(model.path):
        raise ParityError(f"{model.path} is not valid ONNX.", details=found, hint=AGAIN)
    return ("onnx.checker passes", "inputs and outputs are those that the card names")


def _ours(model: Model) -> bool:
    """Whether every name that the card tells is the one that our own export gives."""
    embedding = _told(model.card, "outputs", "embedding")
    return (model.input, model.probabilities, model.label) == (INPUT, PROBABILITIES, LABEL) and (
        embedding in (None, EMBEDDING)
    )


def _features(model: Model) -> int | None:
    """The length of the embedding, None where the card names none, 0 where it has no length."""
    if _told(model.card, "outputs", "embedding") is None:
        return None
    shapes = [each.shape for each in model.session.get_outputs() if each.name == EMBEDDING]
    lengths = [shape[-1] for shape in shapes if shape and isinstance(shape[-1], int)]
    return lengths[0] if lengths else 0


def _answers(model: Model) -> tuple[str, ...]:
    """Whether the answers to made-up images hang on optimisations or on the batch."""
    plain = open_session(model.path, optimised=False)
    pairs: list[Pair] = []
    alone: list[Pair] = []
    for images in _made_up(model):
        whole = _asked(model, model.session, images)
        pairs.append((_asked(model, plain, images), whole))
        if len(images) > 1:
            each = [_asked(model, model.session, image[None]) for image in images]
            alone.append((np.concatenate(each), whole))
    count = sum(len(whole) for _, whole in pairs)
    eight_bits = _told(model.card, "precision") == "int8"
    bounds = (LARGEST_INT8, MEDIAN_INT8) if eight_bits else (LARGEST, MEDIAN)
    if eight_bits:
        others, wholes = (np.concatenate(side) for side in zip(*pairs, strict=True))
        pairs = [(others, wholes)]
    how = "Without onnxruntime's optimisations"
    off = [_same(f"{how} the model answers otherwise.", *pair, *bounds) for pair in pairs]
    off += [_same("One by one the model answers otherwise.", *pair) for pair in alone]
    labels = ["labels are those of the largest probabilities"] if model.label else []
    return (
        f"onnxruntime's optimisations and the batch change {'little' if eight_bits else 'nothing'} "
        f"({count} made-up images of several sizes, largest difference {max(off):.1e})",
        *labels,
    )


def _made_up(model: Model) -> Iterator[Images]:
    """Batches of noise of several shapes, and all black and all white."""
    generator = np.random.default_rng(SEED)
    tall, wide = model.sides
    shapes = {(tall or height, wide or width) for height, width in SHAPES}
    for batch in BATCHES[:1] if model.alone else BATCHES:
        for shape in sorted(shapes):
            yield generator.integers(0, 256, (batch, *shape, 3), np.uint8)
    for level in (0, 255):
        yield np.full((1, *max(shapes), 3), level, np.uint8)


def _asked(model: Model, session: Any, images: Images) -> NDArray[np.floating[Any]]:
    wanted = [model.probabilities, *([model.label] if model.label else [])]
    try:
        probabilities, *labels = session.run(wanted, {model.input: images})
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise ParityError(
            f"The model fails on images of shape {images.shape}.",
            details=tuple(str(error).splitlines()[:5]),
            hint=AGAIN,
        ) from error
    if probabilities.shape != (len(images), len(model.classes)):
        raise ParityError(
            f"The model gives probabilities of shape {probabilities.shape} for images of shape "
            f"{images.shape} and {len(model.classes)} classes.",
            hint=AGAIN,
        )
    sums = probabilities.sum(axis=1, dtype=np.float64)
    if not (np.abs(sums - 1) < LARGEST).all() or probabilities.min() < 0:
        raise ParityError(
            "What the model gives as probabilities does not add up to 1.",
            details=(f"sums: {sums[:5].tolist()}",),
            hint=AGAIN,
        )
    best = [model.classes[place] for place in probabilities.argmax(axis=1)]
    if labels and list(labels[0]) != best:
        raise ParityError(
            "The model's labels are not those of its largest probabilities.",
            details=(f"labels: {list(labels[0])[:5]}", f"largest: {best[:5]}"),
            hint=AGAIN,
        )
    given: NDArray[np.floating[Any]] = probabilities
    return given


def _same(
    message: str,
    other: NDArray[Any],
    whole: NDArray[Any],
    largest: float = LARGEST,
    median: float = MEDIAN,
) -> float:
    """The largest difference; raises `ParityError` for probabilities further apart."""
    apart = parity.compare(other, whole)
    turned = int(apart.unexplained(2 * largest).sum())
    if not (apart.largest <= largest and apart.median <= median) or turned:
        raise ParityError(
            message,
            details=(
                f"largest difference of a probability: {apart.largest:.2e}, allowed: {largest:g}",
                f"median difference: {apart.median:.2e}, allowed: {median:g}",
                f"another class: {turned} of {len(whole)}",
            ),
            hint=AGAIN,
        )
    return apart.largest


# ---- data ----


def _on_data(
    model: Model,
    data: Any,
    options: Mapping[str, str],
    disabled: tuple[str, ...],
    progress: Progress | None,
) -> VerifiedData:
    loaded = loading.load(
        _given(data),
        discover(disabled=disabled).loaders,
        options=options,
        progress=progress,
        to_learn=False,
    )
    dataset = loaded.dataset
    labels, notes = _labels(model, dataset)
    fingerprint = loaded.record.fingerprint
    own = fingerprint == _told(model.card, "data", "fingerprint")
    rows, which = _rows(model, loaded, own=own)
    tally = Tally(model)
    inputs = [(dataset.ids[row], partial(_read, dataset, row)) for row in rows]
    predicted = predict_items(model, inputs, progress=progress)
    for each, row in zip(predicted, rows, strict=True):
        tally.add(each, labels[row])
    scores = tally.scores()
    card, examples = _card_accuracy(model.card)
    difference = None
    if own and card is not None and examples == scores.examples:
        told = round(card.value * examples)
        difference = abs(told - round(scores.accuracy.value * scores.examples))
        _check_difference(difference, examples, scores.accuracy.value, card.value)
    elif own and card is not None:
        notes += (f"The card's test rows were {examples}, those found again {scores.examples}.",)
    return VerifiedData(
        fingerprint=fingerprint,
        rows=which,
        scores=scores,
        card=card,
        card_examples=examples,
        difference=difference,
        notes=(*filter(None, [dataset.found]), *loaded.record.warnings, *notes),
    )


def _given(data: Any) -> Any:
    """What loaders get: an absolute path or an embedded name as text; anything else as it is."""
    if not isinstance(data, str | Path):
        return data
    path = expanded(Path(data))
    return str(path.resolve()) if str(data) and look(path) else str(data)


def _read(dataset: Dataset, row: int) -> Any:
    try:
        return dataset.read(row)
    except (UnreadableError, OSError, MemoryError):
        raise
    except Exception as error:  # from a plugin's `read`: it makes this one example unusable
        raise UnreadableError(f"Reading it failed: {error!r}.") from error


def _labels(model: Model, dataset: Dataset) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Of each row its class's place in the model's, and a remark on classes without rows."""
    places = {name: place for place, name in enumerate(model.classes)}
    unknown = [name for name in dataset.classes if name not in places]
    if unknown:
        raise DataError(
            f"The model does not know the class{'es' * (len(unknown) > 1)} {names(unknown)}.",
            details=(f"its classes: {names(model.classes)}",),
            hint="Is this data for this model? Are the classes spelt alike?",
        )
    missing = [name for name in model.classes if name not in dataset.classes]
    notes = (f"The data has no example of {names(missing)}.",) if missing else ()
    return tuple(places[dataset.classes[label]] for label in dataset.labels), notes


def _rows(model: Model, loaded: loading.Loaded, *, own: bool) -> tuple[Sequence[int], Any]:
    dataset = loaded.dataset
    seed = _told(model.card, "seed")
    if own and isinstance(seed, int) and 0 <= seed < 2**32:
        return split(dataset, loaded.hashes, seed=seed).test, "run's test rows"
    if dataset.splits is not None and "test" in dataset.splits:
        return [row for row, name in enumerate(dataset.splits) if name == "test"], "test split"
    return range(len(dataset.ids)), "all"


def _told(card: Mapping[str, Any], *keys: str) -> Any:
    """What a card says under these keys, None where it does not."""
    found: Any = card
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _card_accuracy(card: Mapping[str, Any]) -> tuple[Interval | None, int | None]:
    examples = _told(card, "metrics", "examples")
    figures = [_told(card, "metrics", "accuracy", key) for key in ("value", "low", "high")]
    known = all(isinstance(figure, int | float) and 0 <= figure <= 1 for figure in figures)
    if not known or not isinstance(examples, int) or examples < 1:
        return None, None
    value, low, high = map(float, figures)
    return Interval(value=value, low=low, high=high), examples


def _check_difference(difference: int, examples: int, now: float, then: float) -> None:
    most = max(1, int(OFF * examples))
    if difference > most:
        raise ParityError(
            "On its own test rows the model is not as good as its card says."
            if now < then
            else "On its own test rows the model is better than its card says.",
            details=(
                f"accuracy: {now:.4f}, the card says {then:.4f}",
                f"{difference} of {examples} images, allowed: {most}",
            ),
            hint="The file, the card or what decodes images is not what it was. " + AGAIN,
        )
