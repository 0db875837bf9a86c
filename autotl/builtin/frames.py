"""The loader of pandas data frames, given through the Python API; pandas is not imported here.

frame                                        a column of images and one of labels
{"train": frame, "test": frame}              given splits
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from autotl.builtin.split_names import split_of
from autotl.builtin.table import Table, checked_names, empty, is_missing, listed, shown, text_of
from autotl.builtin.table_examples import dataset
from autotl.errors import DataError, UnreadableError
from autotl.hookspecs import hookimpl
from autotl.records import COLUMNS, SPLITS, Dataset, Loader

NAME = "frames"
_AS_PNG = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "I", "I;16"})
_MOST_FRAMES = 16
"""In a sequence: more are not looked at."""
_EXPECTED = 'Give a frame, or {"train": frame, "validation": frame, "test": frame}.'


def is_frame(data: Any) -> bool:
    """Whether it is a pandas data frame, or of a class made of one."""
    return any(
        kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"
        for kind in type(data).__mro__
    )


def holds_frames(data: Any) -> bool:
    """Whether it is several data frames, or a mapping in which a split is one.

    A frame of labels beside an array of images is none of these.
    """
    if isinstance(data, tuple | list):
        return 0 < len(data) <= _MOST_FRAMES and all(map(is_frame, data))
    if not isinstance(data, Mapping):
        return False
    found = [name for name, value in data.items() if is_frame(value)]
    return bool(found) and (len(found) == len(data) or any(map(_split_of, found)))


def matches(data: Any, options: Mapping[str, Any]) -> str | None:
    """Why `data` is a data frame, or several."""
    if is_frame(data):
        return "it is a pandas data frame"
    if not holds_frames(data):
        return None
    return f"it is a {'mapping' if isinstance(data, Mapping) else 'sequence'} of pandas data frames"


def load(data: Any, options: Mapping[str, Any]) -> Dataset:
    """The examples of the frame, in its order; of several in the order train, validation, test.

    The column of images holds paths (relative to the current folder), encoded bytes, uint8 arrays
    (height, width) or (height, width, 1|3|4), or PIL images. Labels of a categorical column keep
    the order of its categories. Each of several frames must have the columns that are used. Raises
    `DataError` and `UsageError`.
    """
    return dataset(_table(data), options)


def _table(data: Any) -> Table:
    if is_frame(data):
        return _joined([data], None, "the data frame")
    if not isinstance(data, Mapping) or not data:
        several = holds_frames(data)
        raise DataError(
            f"A {type(data).__name__} of data frames does not say of which split each is."
            if several
            else f"A {type(data).__name__} is no pandas data frame.",
            hint=_EXPECTED,
        )
    by_split: dict[str, Any] = {}
    for name, frame in data.items():
        split = _split_of(name)
        if split is None:
            raise DataError(f"'{shown(name)}' is the name of no split.", hint=_EXPECTED)
        if not is_frame(frame):
            raise DataError(
                f"'{shown(name)}' is a {type(frame).__name__}, not a pandas data frame.",
                hint=_EXPECTED,
            )
        if by_split.setdefault(split, frame) is not frame:
            raise DataError(f"Two data frames are of the {split} split.", hint="Join them first.")
    order = [split for split in SPLITS if split in by_split]
    return _joined([by_split[split] for split in order], order, "the data frames")


def _split_of(name: Any) -> str | None:
    return split_of(name) if isinstance(name, str) else None


def _joined(frames: Sequence[Any], order: Sequence[str] | None, name: str) -> Table:
    names = [checked_names(name, [str(column) for column in one.columns]) for one in frames]
    columns = tuple(dict.fromkeys(column for some in names for column in some))
    lengths = [len(frame) for frame in frames]
    if not sum(lengths):
        raise empty(name)
    cells = _cells(frames, names, columns)
    lock = threading.Lock()
    held = {
        column: _reader(cells[column], lock) for column in columns if _holds_images(cells[column])
    }
    shown_cells = {column: [None if v is None else "" for v in cells[column]] for column in held}
    table = Table(
        name=name,
        folders=(Path.cwd(),),
        columns=columns,
        rows=sum(lengths),
        values=(cells | shown_cells).__getitem__,
        place=_places(order, lengths),
        held=held,
        orders=_orders(frames, names, cells),
        splits=_splits(order, lengths),
        lacking=_lacking(order, names, columns),
    )
    _refuse_mixed(table, cells)
    return table


def _lacking(
    order: Sequence[str] | None, names: Sequence[Sequence[str]], columns: Sequence[str]
) -> dict[str, str]:
    """Of each column that not all frames have, the first split whose frame lacks it."""
    lacking: dict[str, str] = {}
    for split, some in zip(order or (), names, strict=False):
        for column in set(columns).difference(some):
            lacking.setdefault(column, split)
    return lacking


def _places(order: Sequence[str] | None, lengths: Sequence[int]) -> Any:
    """What says where a row is: its position, as `iloc` counts it."""
    names = [f"iloc {row}" for length in lengths for row in range(length)]
    splits = _splits(order, lengths)
    return lambda row: names[row] if splits is None else f"{splits[row]} {names[row]}"


def _splits(order: Sequence[str] | None, lengths: Sequence[int]) -> tuple[str, ...] | None:
    if order is None:
        return None
    return tuple(split for split, length in zip(order, lengths, strict=True) for _ in range(length))


def _cells(
    frames: Sequence[Any], names: Sequence[Sequence[str]], columns: Sequence[str]
) -> dict[str, list[Any]]:
    """The values of each column in plain Python, None where pandas says that there is none, and
    where a frame lacks the column.
    """
    cells: dict[str, list[Any]] = {column: [] for column in columns}
    for frame, some in zip(frames, names, strict=True):
        for place, column in enumerate(some):
            series = frame.iloc[:, place]
            pairs = zip(series.tolist(), series.isna().tolist(), strict=True)
            cells[column] += [None if gone else _plain(value) for value, gone in pairs]
        for column in set(columns).difference(some):
            cells[column] += [None] * len(frame)
    return cells


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _orders(
    frames: Sequence[Any], names: Sequence[Sequence[str]], cells: Mapping[str, Sequence[Any]]
) -> dict[str, tuple[str, ...]]:
    """The categories of categorical columns, those of all frames after each other; none of a
    column that holds other values too, as only some frames have it as categories.
    """
    orders: dict[str, dict[str, None]] = {}
    for frame, columns in zip(frames, names, strict=True):
        for column, kind in zip(columns, frame.dtypes.tolist(), strict=True):
            categories = getattr(kind, "categories", None)
            if categories is not None:
                orders.setdefault(column, {}).update(dict.fromkeys(map(text_of, categories)))
    return {
        column: tuple(found)
        for column, found in orders.items()
        if found.keys() >= {text_of(value) for value in cells[column] if not is_missing(value)}
    }


# ---- images ----


def _is_image(value: Any) -> bool:
    if isinstance(value, dict):
        return isinstance(value.get("bytes"), bytes)
    return isinstance(value, bytes | bytearray | memoryview) or _is_pixels(value) or _is_pil(value)


def _is_pixels(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim in (2, 3)


def _is_pil(value: Any) -> bool:
    return any(
        kind.__name__ == "Image" and kind.__module__ == "PIL.Image" for kind in type(value).__mro__
    )


def _holds_images(cells: Sequence[Any]) -> bool:
    return any(_is_image(value) for value in cells)


def _refuse_mixed(table: Table, cells: Mapping[str, Sequence[Any]]) -> None:
    for column in table.held:
        odd = [
            row
            for row, value in enumerate(cells[column])
            if value is not None and not _is_image(value)
        ]
        if odd:
            raise DataError(
                f"Column '{shown(column)}' of {table.name} holds images and other things: "
                f"{type(cells[column][odd[0]]).__name__} in {listed(table, odd)}.",
                hint="Give paths in all rows, or bytes, arrays or PIL images in all.",
            )


def _reader(cells: Sequence[Any], lock: threading.Lock) -> Any:
    def read(row: int) -> Any:
        value = cells[row]
        if value is None:
            raise UnreadableError("The data frame holds no image there.")
        if isinstance(value, dict):
            return value["bytes"]
        if _is_pil(value):
            with lock:  # Pillow loads a file when it is first looked at
                return _encoded(value)
        return value if isinstance(value, np.ndarray) else bytes(value)

    return read


def _encoded(image: Any) -> Any:
    """A PIL image as the bytes of a PNG, which the one decoder reads, or upright RGB pixels."""
    from PIL import ImageOps

    if image.mode not in _AS_PNG:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    stream = BytesIO()
    image.save(stream, "PNG", exif=image.getexif(), compress_level=1)
    return stream.getvalue()


@hookimpl
def autotl_loaders() -> list[Loader]:
    """The loader `frames`."""
    return [
        Loader(
            name=NAME,
            description="pandas data frames of images (paths, bytes, arrays) and labels, through "
            "the Python API",
            matches=matches,
            load=load,
            options=COLUMNS,
        )
    ]
