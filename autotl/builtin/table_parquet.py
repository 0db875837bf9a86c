"""Tables in Parquet files; columns of images are read a group of rows at a time."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from autotl.builtin.table import NESTED, Table, checked_names, empty, folders_of, shown
from autotl.errors import DataError, UnreadableError

SUFFIXES = (".parquet", ".pq")
MAGIC = b"PAR1"
_KEPT_BYTES = 256_000_000
"""Of groups of rows that were read last; one is kept in any case."""


def read_parquet_table(path: Path) -> Table:
    """The table in a Parquet file; raises `DataError` where it cannot be read.

    A column of bytes, or of structs of bytes and path as in Hugging Face's files, holds images.
    """
    from pyarrow import parquet

    name = shown(path.name)
    with _told(name):
        file = parquet.ParquetFile(path)
        schema = file.schema_arrow
        given = schema.names
    columns = checked_names(name, given)
    if not file.metadata.num_rows:
        raise empty(name)
    groups = _Groups(path, file)
    real = dict(zip(columns, given, strict=True))
    held = {
        column: groups.reader(key, struct=not _is_bytes(schema.field(key).type))
        for column, key in real.items()
        if _is_bytes(schema.field(key).type) or _is_image(schema.field(key).type)
    }
    orders = _class_names(schema)

    @cache
    def values(column: str) -> Sequence[Any]:
        with _told(name):
            return _cells(file, real[column], column in held, orders.get(column))

    return Table(
        name=name,
        folders=folders_of(path),
        columns=columns,
        rows=file.metadata.num_rows,
        values=values,
        place=lambda row: f"row {row + 1}",
        held=held,
        orders=orders,
    )


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What pyarrow raises at broken files in words; `ValueError` is text that is no UTF-8."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or ["unknown"])[0].strip().rstrip(".")
        raise DataError(
            f"{name} cannot be read as Parquet: {reason}.", hint="Write it again."
        ) from error


def _is_bytes(kind: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    )


def _is_image(kind: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_struct(kind)
        and kind.get_field_index("bytes") >= 0
        and _is_bytes(kind.field("bytes").type)
    )


def _cells(file: Any, key: str, is_held: bool, classes: Sequence[str] | None) -> Sequence[Any]:
    """A column's values, dates and the like as text; of one that holds images "", and None where
    there is none.
    """
    import pyarrow
    from pyarrow import types

    if is_held:
        cells: list[Any] = []
        for batch in file.iter_batches(batch_size=64, columns=[key]):
            cells += ["" if there else None for there in batch.column(0).is_valid().to_pylist()]
        return cells
    kind = file.schema_arrow.field(key).type
    if types.is_nested(kind):
        return [NESTED] * file.metadata.num_rows
    column = file.read(columns=[key]).column(key)
    if not _is_plain(kind):
        column = column.cast(pyarrow.string())
    values: list[Any] = column.to_pylist()
    if classes is None:
        return values
    return [
        classes[value] if isinstance(value, int) and 0 <= value < len(classes) else value
        for value in values
    ]


def _is_plain(kind: Any) -> bool:
    """Whether the values are text, numbers or booleans in Python too."""
    from pyarrow import types

    return bool(
        types.is_dictionary(kind)
        or types.is_large_string(kind)
        or types.is_string(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_null(kind)
    )


def _class_names(schema: Any) -> dict[str, tuple[str, ...]]:
    """Names of the classes of columns that hold their numbers, as Hugging Face's files tell."""
    told = (schema.metadata or {}).get(b"huggingface")
    try:
        features = json.loads(told)["info"]["features"] if told else {}
        return {
            column.strip(): tuple(map(str, feature["names"]))
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, TypeError, KeyError, AttributeError):  # another version's metadata
        return {}


class _Groups:
    """Groups of rows of the file's image columns: the last ones that were read, under a lock."""

    def __init__(self, path: Path, file: Any) -> None:
        self._path = path
        self._file = file
        self._lock = threading.Lock()
        sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        self._ends = list(accumulate(sizes))
        self._kept: OrderedDict[tuple[str, int], Any] = OrderedDict()

    def reader(self, key: str, *, struct: bool) -> Callable[[int], bytes]:
        """What gives the bytes of a row of the column."""

        def read(row: int) -> bytes:
            with self._lock:
                value = self._value(key, row)
            content = value.get("bytes") if struct and value is not None else value
            if content is None:
                raise UnreadableError(f"Row {row + 1} holds no bytes in '{shown(key)}'.")
            return bytes(content)

        return read

    def _value(self, key: str, row: int) -> Any:
        number = bisect_right(self._ends, row)
        first = self._ends[number - 1] if number else 0
        if (key, number) not in self._kept:
            group = self._file.read_row_group(number, columns=[key]).column(key)
            self._kept[key, number] = group
            while len(self._kept) > 1 and sum(g.nbytes for g in self._kept.values()) > _KEPT_BYTES:
                self._kept.popitem(last=False)
        self._kept.move_to_end((key, number))
        return self._kept[key, number][row - first].as_py()
