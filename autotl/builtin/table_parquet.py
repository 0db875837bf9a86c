"""Tables in Parquet files; columns of images are read a block of rows at a time."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from autotl.builtin.table import NESTED, Table, checked_names, empty, folders_of, is_nested, shown
from autotl.errors import DataError, UnreadableError

PARQUET = (".parquet", ".pq")
MAGIC = b"PAR1"
_KEPT_BYTES = 256_000_000
"""Of blocks of rows that were read last, where groups of rows are small."""
_MOST_BYTES = 2**30
"""Of these, where groups are large: several threads read a stretch of rows each, side by side."""
_OPEN = 2
"""Groups of rows that are read side by side, as at the end of one and the start of the next."""
_MOST_ROWS = 64
"""In a block."""


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
    groups = _Groups(file)
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
        raise DataError(
            f"{name} cannot be read as Parquet: {_reason(error)}.", hint="Write it again."
        ) from error


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or ["unknown"])[0].strip().rstrip(".") or "it is cut off"


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
    from pyarrow import types

    if is_held:
        cells: list[Any] = []
        for batch in file.iter_batches(batch_size=_MOST_ROWS, columns=[key]):
            cells += ["" if there else None for there in batch.column(key).is_valid().to_pylist()]
        return cells
    kind = file.schema_arrow.field(key).type
    if types.is_nested(kind):
        return [NESTED] * file.metadata.num_rows
    column = file.read(columns=[key]).column(key)
    values: list[Any] = column.to_pylist() if _is_plain(kind) else _in_words(column)
    return values if classes is None else [_class_name(value, classes) for value in values]


def _in_words(column: Any) -> list[Any]:
    """Dates, durations, identifiers and the like as text; `NESTED` where there is no text of them,
    so that a column that nobody asked for hurts nobody.
    """
    import pyarrow

    if not isinstance(column.type, pyarrow.BaseExtensionType):
        with suppress(pyarrow.ArrowException):
            words: list[Any] = column.cast(pyarrow.string()).to_pylist()
            return words
    try:
        values = column.to_pylist()
    except (pyarrow.ArrowException, ValueError, OverflowError):
        return [NESTED] * len(column)
    return [value if value is None or is_nested(value) else str(value) for value in values]


def _class_name(value: Any, classes: Sequence[str]) -> Any:
    """The name of a class by its number; None for -1, by which Hugging Face says no label. Any
    other value stays as it is.
    """
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0
    if not whole or not -1 <= value < len(classes):
        return value
    return None if value == -1 else classes[int(value)]


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


@dataclass(frozen=True, kw_only=True)
class _Group:
    """A column's group of rows: its number, first row, rows, and bytes in memory, about."""

    number: int
    first: int
    rows: int
    bytes: int

    @property
    def length(self) -> int:
        """Rows that are read at once: a block."""
        return min(_MOST_ROWS, max(1, _KEPT_BYTES // 16 * self.rows // max(1, self.bytes)))

    @property
    def kept(self) -> int:
        """Bytes of blocks that are kept while this group is read."""
        return max(_KEPT_BYTES, min(2 * self.bytes, _MOST_BYTES))

    @property
    def last(self) -> int:
        """The number of the last block."""
        return (self.rows - 1) // self.length

    def end(self, block: int) -> int:
        """The block up to which is read where one is wanted: the last, where all can be kept."""
        return self.last if 2 * self.bytes <= self.kept else block


@dataclass(kw_only=True)
class _Pass:
    """One reading of a column's group of rows from its first block on; `next` is read next."""

    batches: Iterator[Any]
    next: int = 0


class _Groups:
    """Groups of rows of the file's image columns, read block by block: the last blocks that were
    read, under a lock.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, int], Any] = OrderedDict()
        self._kept_bytes = 0
        self._passes: OrderedDict[tuple[str, int], _Pass] = OrderedDict()
        self._broken: dict[tuple[str, int], tuple[int, str]] = {}

    def reader(self, key: str, *, struct: bool) -> Callable[[int], bytes]:
        """What gives the bytes of a row of the column; raises `UnreadableError`."""
        groups = _groups(self._file.metadata, key)
        ends = [group.first + group.rows for group in groups]

        def read(row: int) -> bytes:
            group = groups[bisect_right(ends, row)]
            with self._lock:
                value = self._value(key, group, row)
            content = value.get("bytes") if struct and value is not None else value
            if content is None:
                raise UnreadableError(f"Row {row + 1} holds no bytes in '{shown(key)}'.")
            return bytes(content)

        return read

    def _value(self, key: str, group: _Group, row: int) -> Any:
        block, offset = divmod(row - group.first, group.length)
        place = (key, group.number, block)
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place][offset].as_py()
        since, reason = self._broken.get((key, group.number), (group.last + 1, ""))
        if block < since:
            found, reason = self._read(key, group, block)
            if found is not None:
                return found[offset].as_py()
        raise UnreadableError(f"Row {row + 1} of '{shown(key)}' cannot be read: {reason}.")

    def _read(self, key: str, group: _Group, block: int) -> tuple[Any, str]:
        """The block, None where it cannot be read, and why."""
        import pyarrow

        found, place = None, (key, group.number)
        at = self._pass(key, group, block)
        try:
            while at.next <= group.end(block):
                read = _block(at.batches, key, group.length)
                self._keep((*place, at.next), read, group.kept)
                found = read if at.next == block else found
                at.next += 1
        except (pyarrow.ArrowException, OSError, ValueError, StopIteration) as error:
            self._broken[place] = (at.next, _reason(error))
        if at.next > group.last or place in self._broken:
            del self._passes[place]
        return found, self._broken.get(place, (0, ""))[1]

    def _pass(self, key: str, group: _Group, block: int) -> _Pass:
        """The reading that will come to the block: one that has not passed it, or another."""
        place = (key, group.number)
        at = self._passes.pop(place, None)
        if at is None or at.next > block:
            batches = self._file.iter_batches(
                batch_size=group.length, row_groups=[group.number], columns=[key]
            )
            at = _Pass(batches=batches)
        self._passes[place] = at
        while len(self._passes) > _OPEN:
            self._passes.popitem(last=False)
        return at

    def _keep(self, place: tuple[str, int, int], block: Any, most: int) -> None:
        before = self._kept.pop(place, None)
        self._kept[place] = block
        self._kept_bytes += block.nbytes - (0 if before is None else before.nbytes)
        while len(self._kept) > 1 and self._kept_bytes > most:
            self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes


def _groups(metadata: Any, key: str) -> list[_Group]:
    """The groups of rows, as the column has them."""
    told = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    firsts = accumulate((group.num_rows for group in told), initial=0)
    return [
        _Group(number=number, first=first, rows=group.num_rows, bytes=_bytes(group, key))
        for number, (first, group) in enumerate(zip(firsts, told, strict=False))
    ]


def _bytes(group: Any, key: str) -> int:
    chunks = [group.column(place) for place in range(group.num_columns)]
    return sum(
        chunk.total_uncompressed_size
        for chunk in chunks
        if chunk.path_in_schema == key or chunk.path_in_schema.startswith(f"{key}.")
    )


def _block(batches: Iterator[Any], key: str, length: int) -> Any:
    """The next so many rows of the column, fewer at the end; raises `StopIteration` there."""
    import pyarrow

    parts = [next(batches).column(key)]
    while sum(map(len, parts)) < length and (more := next(batches, None)) is not None:
        parts.append(more.column(key))
    return pyarrow.chunked_array(parts)
