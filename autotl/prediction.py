"""A carded ONNX file and raw inputs in, labels out: onnxruntime, NumPy and Pillow only."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl.calls import Progress
from autotl.errors import DataError, UnreadableError, UsageError
from autotl.files import expanded, look
from autotl.pixels import IMAGE_SUFFIXES, decode, pillow_warnings_ignored, printable

if TYPE_CHECKING:
    import onnxruntime

CARD_KEY = "autotl"
CARD_SCHEMA = "autotl-card/1"
BATCH = 16
"""Images read ahead and, where they are of one shape, run together."""

_MOST_BATCH_BYTES = 64_000_000

Content = Path | bytes | NDArray[np.uint8]
Item = tuple[str, Content]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What the model says of one input.

    `id` is the path as given or found, with escapes for bytes that are no UTF-8, or the number
    of an array. `top` holds the most probable (label, probability) pairs, best first. An input
    that cannot be read has `error` and nothing else.
    """

    id: str
    label: str | None = None
    probability: float | None = None
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """An open model file, its card and its classes in the order of its probabilities."""

    session: onnxruntime.InferenceSession
    card: Mapping[str, Any]
    classes: tuple[str, ...]


def predict(
    model: str | Path,
    inputs: Any,
    *,
    top: int = 1,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> Iterator[Predicted]:
    """Label images with an exported model, one `Predicted` an input, in order.

    `model` is a `model.onnx` or the run folder that holds one. `inputs` is one input or a
    sequence of them: paths of image files, paths of folders (searched through, sorted by path),
    encoded bytes, or uint8 pixels (height, width), (height, width, 1|3|4); a four-dimensional
    array is a sequence of images. Images keep their own size. An image that cannot be read
    yields a record with `error`.

    Raises at once `UsageError` for a missing path and for a file that is not such a model,
    `DataError` for a folder without images.
    """
    if top < 1 or batch < 1:
        raise UsageError(f"top and batch must be at least 1, not {top} and {batch}.")
    opened = open_model(expanded(Path(model)))
    return _predicted(opened, _items(inputs), top, batch, progress)


def open_model(path: Path) -> Model:
    """Open an exported model; raises `UsageError` saying what is missing."""
    path = path / "model.onnx" if look(path) == "folder" else path
    if look(path) != "file":
        raise UsageError(
            f"There is no model at {path}.",
            hint="Name the model.onnx that `autotl fit` wrote, or its run folder.",
        )
    session = _session(path)
    card = _card(session, path)
    return Model(session=session, card=card, classes=tuple(card["classes"]))


def _session(path: Path) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise UsageError(
            f"{path} cannot be opened as an ONNX model.",
            details=tuple(str(error).splitlines()[:1]),
            hint="Name the model.onnx that `autotl fit` wrote, or its run folder.",
        ) from error


def _card(session: onnxruntime.InferenceSession, path: Path) -> Mapping[str, Any]:
    text = session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
    if text is None:
        raise UsageError(
            f"{path} has no autotl card, so its labels and input are not known.",
            details=(f"missing: '{CARD_KEY}' in the file's metadata",),
            hint="Only models that `autotl fit` exported can be used here.",
        )
    try:
        card = json.loads(text)
    except ValueError as error:
        raise UsageError(f"The autotl card in {path} is not JSON.") from error
    schema = card.get("schema") if isinstance(card, dict) else None
    if schema != CARD_SCHEMA:
        raise UsageError(
            f"The card in {path} is of schema {schema!r}; this autotl reads {CARD_SCHEMA!r}.",
            hint="Use the version of autotl that wrote the file.",
        )
    _check_signature(session, card, path)
    return dict(card)


def _check_signature(
    session: onnxruntime.InferenceSession, card: Mapping[str, Any], path: Path
) -> None:
    """The card's classes must fit the graph's outputs."""
    names = {value.name: value for value in (*session.get_inputs(), *session.get_outputs())}
    classes = card.get("classes")
    fits = isinstance(classes, list) and {"image", "probabilities", "label"} == set(names)
    if not fits or names["probabilities"].shape[-1] != len(card["classes"]):
        raise UsageError(
            f"The card in {path} does not fit its graph.",
            details=(f"inputs and outputs: {', '.join(sorted(names))}",),
        )


# ---- inputs ----


def _items(inputs: Any) -> list[Item]:
    """Every input with its id; folders become the images in them."""
    single = isinstance(inputs, str | bytes | os.PathLike) or (
        isinstance(inputs, np.ndarray) and inputs.ndim < 4
    )
    found: list[Item] = []
    for number, given in enumerate([inputs] if single else inputs):
        found += _found(given, number)
    return found


def _found(given: Any, number: int) -> list[Item]:
    if isinstance(given, bytes | np.ndarray):
        return [(str(number), given)]
    if not isinstance(given, str | os.PathLike):
        raise UsageError(
            f"An input of type {type(given).__name__} cannot be labelled.",
            hint="Give paths, encoded bytes, or uint8 arrays.",
        )
    name = os.fsdecode(given)
    path = Path(name)
    found = look(path)
    if found == "folder":
        return _in_folder(path)
    if found is None:
        raise UsageError(f"There is no file or folder {path}.")
    return [(printable(name), path)]


def _in_folder(folder: Path) -> list[Item]:
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )
    if not paths:
        raise DataError(
            f"There are no images in {folder}.",
            hint=f"Files are known by their suffix: {', '.join(sorted(IMAGE_SUFFIXES))}.",
        )
    return [(printable(str(path)), path) for path in paths]


# ---- predictions ----


def _predicted(
    model: Model, items: Sequence[Item], top: int, batch: int, progress: Progress | None
) -> Iterator[Predicted]:
    done = 0
    with ThreadPoolExecutor(max_workers=min(batch, len(items), os.cpu_count() or 1) or 1) as pool:
        for start in range(0, len(items), batch):
            part = items[start : start + batch]
            with pillow_warnings_ignored():
                images = list(pool.map(_pixels, [content for _, content in part]))
            names = [name for name, _ in part]
            for predicted in _of_part(model, names, images, top):
                yield predicted
                done += 1
                if progress is not None:
                    progress("predict", done, len(items))


def _pixels(content: Content) -> Pixels | str:
    """The decoded image, or why there is none."""
    try:
        return decode(content.read_bytes() if isinstance(content, Path) else content)
    except UnreadableError as error:
        return error.message
    except OSError as error:
        return f"The file cannot be read: {error.strerror}."


def _of_part(
    model: Model, names: Sequence[str], images: Sequence[Pixels | str], top: int
) -> Iterator[Predicted]:
    """Neighbours of one shape go through the model together."""
    pairs = zip(names, images, strict=True)
    for shape, group in groupby(pairs, lambda pair: getattr(pair[1], "shape", None)):
        alike = list(group)
        if shape is None:
            yield from (Predicted(id=name, error=str(reason)) for name, reason in alike)
            continue
        most = max(1, _MOST_BATCH_BYTES // int(np.prod(shape)))
        for start in range(0, len(alike), most):
            yield from _labelled(model, alike[start : start + most], top)


def _labelled(model: Model, alike: Sequence[tuple[str, Any]], top: int) -> Iterator[Predicted]:
    stacked = np.stack([image for _, image in alike])
    probabilities, labels = model.session.run(["probabilities", "label"], {"image": stacked})
    for (name, _), row, label in zip(alike, probabilities, labels, strict=True):
        order = np.argsort(-row, kind="stable")[:top]
        yield Predicted(
            id=name,
            label=str(label),
            probability=float(row[order[0]]),
            top=tuple((model.classes[place], float(row[place])) for place in order),
        )
