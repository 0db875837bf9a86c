"""A table as data: columns of equal length, wherever they came from, and its cells in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autotl.errors import DataError

NESTED = ("nested values",)
"""A cell of several values that nobody asked for, so that they were not read."""
_WIDEST = 40
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns by name, in the table's order.

    `values(column)` gives its cells, None where there is nothing. `held` are the columns whose
    cells are images themselves, each with what reads one of them; `values` gives "" there. Paths
    are relative to the first of `folders` that holds any image. `place(row)` says where a row is
    to be found ("line 7").
    `orders` are the classes of a column in an order of its own; `splits` is each row's given
    split where no column says it, and `lacking` the columns that not all splits have, each with a
    split that lacks it; `odd` is what is unusual about the file, in a few words.
    """

    name: str
    folders: tuple[Path, ...]
    columns: tuple[str, ...]
    rows: int
    values: Callable[[str], Sequence[Any]]
    place: Callable[[int], str]
    held: Mapping[str, Callable[[int], Any]] = field(default_factory=dict)
    orders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    splits: tuple[str, ...] | None = None
    lacking: Mapping[str, str] = field(default_factory=dict)
    odd: str = ""


def folders_of(path: Path) -> tuple[Path, ...]:
    """The folder of a table's file, and that of the file to which it is a link, if so."""
    here, there = path.parent.resolve(), path.resolve().parent
    return (here,) if here == there else (here, there)


def checked_names(name: str, given: Sequence[str]) -> tuple[str, ...]:
    """The columns' names without blanks around; nameless ones are numbered. Raises `DataError` for
    a name that occurs twice.
    """
    names = [text.strip() or f"column {place}" for place, text in enumerate(given, 1)]
    column, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        places = [str(place) for place, other in enumerate(names, 1) if other == column]
        raise DataError(
            f"{name} has {count} columns named '{shown(column)}' (number {' and '.join(places)}).",
            hint="Rename all but one of them.",
        )
    return tuple(names)


def empty(name: str) -> DataError:
    """The error for a table without rows."""
    return DataError(f"{name} has no rows.", hint="Give a row for each image.")


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, not a number, or blanks."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_nested(value: Any) -> bool:
    """Whether a cell holds several values."""
    return isinstance(value, list | tuple | dict | set) or getattr(value, "ndim", 0) > 0


def is_number(text: str) -> bool:
    """Whether the text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def text_of(value: Any) -> str:
    """A cell as text that can be written anywhere: "" for nothing, 7 for 7.0."""
    if is_missing(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).encode("utf-8", "backslashreplace").decode()


def shown(text: Any) -> str:
    """A value in words of a sentence: short, and without what would steer a terminal."""
    words = NESTED[0] if text is NESTED else text_of(text)
    cut = words if len(words) <= _WIDEST else words[: _WIDEST - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def sketch(table: Table, columns: Sequence[str] | None = None) -> tuple[str, ...]:
    """A line on each column (twelve at most) with its first three values."""
    lines = []
    for column in (table.columns if columns is None else columns)[:12]:
        if column in table.held:
            lines.append(f"{shown(column)}: images")
            continue
        some = [value for value in table.values(column) if not is_missing(value)][:_SHOWN]
        values = ", ".join(f"'{shown(value)}'" for value in some)
        lines.append(f"{shown(column)}: {values or 'empty'}")
    hidden = len(table.columns) - 12 if columns is None else 0
    return (*lines, *([f"and {hidden} more columns"] if hidden > 0 else []))


def listed(table: Table, rows: Sequence[int], most: int = 5) -> str:
    """The places of the first few rows, and how many more there are."""
    places = ", ".join(table.place(row) for row in rows[:most])
    return f"{places} and {len(rows) - most:,} more" if len(rows) > most else places
