"""A column of labels to classes; what is no class is said."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from autotl.builtin.look_alikes import look_alikes
from autotl.builtin.table import Table, is_nested, listed, shown, text_of
from autotl.errors import DataError

EMPTY_SHARE = 0.05
"""The largest share of rows that may lack a label."""
_FEW = 20
"""So many different values may be classes, whatever they look like."""
_WHOLE = re.compile(r"[+-]?\d+")
_NOTHING = frozenset({"na", "n/a", "nan", "null", "none", "?", "-"})


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The rows that bear a label, their labels in words, the classes in order, and remarks."""

    rows: tuple[int, ...]
    texts: tuple[str, ...]
    classes: tuple[str, ...]
    remarks: tuple[str, ...]


def labels(table: Table, column: str, *, named: bool) -> Labels:
    """The labels of a column; raises `DataError` for what is no class an example.

    Blanks around are taken off, rows without a label left out. Classes are in the column's own
    order where it has one, by number where all are whole numbers, else by their letters. Unless
    the column was `named`, it must not have a label of its own for most rows.
    """
    cells = table.values(column)
    several = [row for row, value in enumerate(cells) if is_nested(value)]
    if several:
        raise DataError(
            f"Column '{shown(column)}' of {table.name} holds several labels a row (multi-label) "
            f"or nested values: {listed(table, several)}.",
            hint="Classification needs one class an example; --label-column names another column.",
        )
    written = [text_of(value) for value in cells]
    texts = [_composed(text) for text in written]
    rows = tuple(row for row, text in enumerate(texts) if text)
    remarks = [*_empty(table, column, texts), *_blanks(table, written, texts)]
    kept = tuple(texts[row] for row in rows)
    counts = Counter(kept)
    _refuse_unnamed(table, column, texts)
    _refuse_measurements(table, column, counts, named=named)
    classes = _ordered(counts, table.orders.get(column))
    return Labels(
        rows=rows,
        texts=kept,
        classes=classes,
        remarks=(*remarks, *_odd(table, rows, kept, classes), *look_alikes(classes, "classes")),
    )


def _refuse_unnamed(table: Table, column: str, texts: Sequence[str]) -> None:
    """Raise `DataError` for labels that are none of the classes that the column itself names."""
    order = table.orders.get(column)
    if order is None:
        return
    known = {"", *map(_composed, order)}
    unnamed = [row for row, text in enumerate(texts) if text not in known]
    if unnamed:
        raise DataError(
            f"Column '{shown(column)}' of {table.name} names {len(order):,} classes, but holds "
            f"'{shown(texts[unnamed[0]])}' too: {listed(table, unnamed)}.",
            hint="Correct these rows, or take them out.",
        )


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


def _ordered(counts: Counter[str], order: Sequence[str] | None) -> tuple[str, ...]:
    if order is not None:
        return tuple(name for name in dict.fromkeys(map(_composed, order)) if name in counts)
    if all(_WHOLE.fullmatch(text) and text.isascii() for text in counts):
        return tuple(sorted(counts, key=_by_number))
    return tuple(sorted(counts))


def _by_number(text: str) -> tuple[bool, int, str, str]:
    """The order of whole numbers of any length, as int() takes a few thousand digits only."""
    digits = text.lstrip("+-").lstrip("0")
    below = text.startswith("-") and bool(digits)
    if not below:
        return (True, len(digits), digits, text)
    turned = digits.translate(str.maketrans("0123456789", "9876543210"))
    return (False, -len(digits), turned, text)


def _empty(table: Table, column: str, texts: Sequence[str]) -> list[str]:
    without = [row for row, text in enumerate(texts) if not text]
    if not without:
        return []
    count = f"{len(without):,} of {len(texts):,} rows"
    if len(without) > EMPTY_SHARE * len(texts):
        raise DataError(
            f"{count} of {table.name} have no label in column '{shown(column)}': "
            f"{listed(table, without)}.",
            hint=f"Label them or take them out: up to {EMPTY_SHARE:.0%} may lack one. "
            "--label-column names another column.",
        )
    return [f"{count} have no label, and are left out: {listed(table, without)}."]


def _blanks(table: Table, written: Sequence[str], texts: Sequence[str]) -> list[str]:
    padded = [row for row, text in enumerate(written) if text != text.strip() and texts[row]]
    if not padded:
        return []
    what = "1 label was" if len(padded) == 1 else f"{len(padded):,} labels were"
    return [f"Blanks around {what} taken off: {listed(table, padded, 3)}."]


def _refuse_measurements(table: Table, column: str, counts: Counter[str], *, named: bool) -> None:
    """Raise `DataError` for fractions, and for a label of its own for most rows."""
    rows = counts.total()
    fractions = [text for text in counts if _is_fraction(text)]
    if len(fractions) > len(counts) / 2 and len(counts) > min(_FEW, rows / 2):
        raise DataError(
            f"Column '{shown(column)}' of {table.name} holds {len(counts):,} different numbers "
            f"such as {shown(fractions[0])}, not classes (regression).",
            hint="--label-column names another column.",
        )
    if not named and len(counts) > max(_FEW, rows / 2):
        raise DataError(
            f"Column '{shown(column)}' of {table.name} holds {len(counts):,} different values in "
            f"{rows:,} rows: names of single rows or measurements (regression), not classes?",
            hint="--label-column names another column, or this one if it is meant.",
        )


def _is_fraction(text: str) -> bool:
    try:
        return not float(text).is_integer()
    except (ValueError, OverflowError):
        return False


def _odd(
    table: Table, rows: Sequence[int], texts: Sequence[str], classes: Sequence[str]
) -> list[str]:
    """A remark on classes whose names may mean that there is none."""
    odd = [name for name in classes if name.casefold() in _NOTHING]
    lines = []
    for name in odd:
        some = [row for row, text in zip(rows, texts, strict=True) if text == name]
        lines.append(f"'{shown(name)}' is taken as a class: {listed(table, some, 3)}.")
    return lines
