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
from autotl.builtin.table import Table, checked_names, empty, is_missing, listed, shown
from autotl.builtin.table_examples import dataset
from autotl.errors import DataError, UnreadableError
from autotl.hookspecs import hookimpl
from autotl.records import COLUMNS, SPLITS, Dataset, Loader

NAME = "frames"
_AS_PNG = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "I", "I;16"})


def is_frame(data: Any) -> bool:
    """Whether it is a pandas data frame, or of a class made of one."""
    return any(
        kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"
        for kind in type(data).__mro__
    )


def are_frames(data: Any) -> bool:
    """Whether it is a mapping from names of splits to data frames."""
    return (
        isinstance(data, Mapping)
        and bool(data)
        and all(isinstance(name, str) and split_of(name) is not None for name in data)
        and all(map(is_frame, data.values()))
    )


def matches(data: Any, options: Mapping[str, Any]) -> str | None:
    """Why `data` is a data frame, or one for each split."""
    if is_frame(data):
        return "it is a pandas data frame"
    return "it is a mapping of pandas data frames" if are_frames(data) else None


def load(data: Any, options: Mapping[str, Any]) -> Dataset:
    """The examples of the frame, in its order; of several in the order train, validation, test.

    The column of images holds paths (relative to the current folder), encoded bytes, uint8 arrays
    (height, width) or (height, width, 1|3|4), or PIL images. Labels of a categorical column keep
    the order of its categories. Raises `DataError` and `UsageError`.
    """
    return dataset(_table(data), options)


def _table(data: Any) -> Table:
    if is_frame(data):
        return _joined([data], None, "the data frame")
    if not are_frames(data):
        raise DataError(
            f"A {type(data).__name__} is no pandas data frame.",
            hint='Give a frame, or {"train": frame, "test": frame}.',
        )
    by_split: dict[str, Any] = {}
    for name, frame in data.items():
        if by_split.setdefault(str(split_of(name)), frame) is not frame:
            raise DataError(f"Two data frames are of the {split_of(name)} split.")
    order = [split for split in SPLITS if split in by_split]
    return _joined([by_split[split] for split in order], order, "the data frames")


def _joined(frames: Sequence[Any], order: Sequence[str] | None, name: str) -> Table:
    columns = checked_names(name, [str(column) for column in frames[0].columns])
    for frame in frames[1:]:
        others = checked_names(name, [str(column) for column in frame.columns])
        if unlike := sorted(set(columns) ^ set(others)):
            raise DataError(f"Not all of {name} have the column '{shown(unlike[0])}'.")
    lengths = [len(frame) for frame in frames]
    if not sum(lengths):
        raise empty(name)
    cells = {column: _cells(frames, column) for column in columns}
    lock = threading.Lock()
    held, shown_cells = {}, {}
    table_place = _places(order, lengths)
    for column in columns:
        if _holds_images(cells[column]):
            held[column] = _reader(cells[column], lock)
            shown_cells[column] = [None if is_missing(v) else "" for v in _plain(cells[column])]
    table = Table(
        name=name,
        folders=(Path.cwd(),),
        columns=columns,
        rows=sum(lengths),
        values=(cells | shown_cells).__getitem__,
        place=table_place,
        held=held,
        orders=_orders(frames, columns),
        splits=_splits(order, lengths),
    )
    _refuse_mixed(table, cells)
    return table


def _places(order: Sequence[str] | None, lengths: Sequence[int]) -> Any:
    """What says where a row is: its position, as `iloc` counts it."""
    names = [f"iloc {row}" for length in lengths for row in range(length)]
    splits = _splits(order, lengths)
    return lambda row: names[row] if splits is None else f"{splits[row]} {names[row]}"


def _splits(order: Sequence[str] | None, lengths: Sequence[int]) -> tuple[str, ...] | None:
    if order is None:
        return None
    return tuple(split for split, length in zip(order, lengths, strict=True) for _ in range(length))


def _cells(frames: Sequence[Any], column: str) -> list[Any]:
    """The column's values in plain Python, None where pandas says that there is none."""
    cells: list[Any] = []
    for frame in frames:
        names = checked_names("", [str(name) for name in frame.columns])
        series = frame.iloc[:, names.index(column)]
        values, missing = series.tolist(), series.isna().tolist()
        cells += [None if gone else value for value, gone in zip(values, missing, strict=True)]
    return [os.fspath(value) if isinstance(value, os.PathLike) else value for value in cells]


def _orders(frames: Sequence[Any], columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The categories of categorical columns, those of all frames after each other."""
    orders: dict[str, dict[str, None]] = {}
    for frame in frames:
        names = checked_names("", [str(name) for name in frame.columns])
        for number, column in enumerate(names):
            categories = getattr(frame.dtypes.iloc[number], "categories", None)
            if categories is not None:
                orders.setdefault(column, {}).update(dict.fromkeys(map(str, categories)))
    return {column: tuple(found) for column, found in orders.items()}


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


def _plain(cells: Sequence[Any]) -> list[Any]:
    return [None if value is None else "" for value in cells]


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
