"""From a table to a dataset: columns settled, labels and images found, doubles left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autotl.builtin import table_columns
from autotl.builtin.ids import unlike
from autotl.builtin.look_alikes import look_alikes
from autotl.builtin.table import Table, is_nested, shown, text_of
from autotl.builtin.table_columns import Columns
from autotl.builtin.table_images import Pictures, pictures
from autotl.builtin.table_labels import labels
from autotl.errors import DataError
from autotl.records import Dataset

_NAMED = 3
_USES = {"input": "images", "label": "labels", "group": "groups", "split": "splits"}


def dataset(table: Table, options: Mapping[str, Any]) -> Dataset:
    """The examples of a table in the order of its rows; raises `DataError` and `UsageError`."""
    columns = table_columns.find(table, options)
    _refuse_lacking(table, columns)
    told = labels(table, columns.label, named="--label-column" not in columns.found)
    images = pictures(table, columns.input, told.rows)
    place_of = {name: number for number, name in enumerate(told.classes)}
    numbers = tuple(place_of[text] for text in told.texts)
    words = _group_words(table, columns.group, told.rows)
    splits = _splits(table, columns.split, told.rows)
    facts = [("label", told.texts), ("group", words), ("split", splits)]
    kept, doubles = _once(table, told.rows, images, [fact for fact in facts if fact[1]])
    groups, remarks = _groups(words, kept)
    return Dataset(
        kind="image",
        ids=unlike([images.ids[place] for place in kept]),
        labels=tuple(numbers[place] for place in kept),
        classes=told.classes,
        read=lambda row: images.read(kept[row]),
        groups=groups,
        splits=None if splits is None else tuple(splits[place] for place in kept),
        found=_found(table, columns, told.classes),
        warnings=(*columns.remarks, *images.remarks, *told.remarks, *remarks, *doubles),
    )


def _refuse_lacking(table: Table, columns: Columns) -> None:
    """Raise `DataError` where a split does not have a column that is used."""
    for role in table_columns.ROLES:
        column = getattr(columns, role)
        if column in table.lacking:
            leave = ", or 'none'" if role == "group" else ""
            raise DataError(
                f"Not all of {table.name} have the column '{shown(column)}', by which the "
                f"{_USES[role]} would be told: that of the {table.lacking[column]} split has not.",
                hint=f"Add it there, or name another column: --{role}-column NAME{leave}.",
            )


def _group_words(table: Table, column: str | None, rows: Sequence[int]) -> list[str] | None:
    """Each row's group as it is written, "" where it names none."""
    if column is None:
        return None
    cells = table.values(column)
    if any(is_nested(cells[row]) for row in rows):
        raise DataError(
            f"Column '{shown(column)}' of {table.name} holds nested values, not names of groups.",
            hint="--group-column names another column, or none.",
        )
    return [text_of(cells[row]).strip() for row in rows]


def _groups(
    words: Sequence[str] | None, kept: Sequence[int]
) -> tuple[tuple[str, ...] | None, list[str]]:
    """The group of each row that is kept, one of its own where it names none; and remarks."""
    if words is None:
        return None, []
    remarks = look_alikes(sorted({words[place] for place in kept} - {""}), "groups")
    without = sum(not words[place] for place in kept)
    if without:
        what = "1 row names" if without == 1 else f"{without:,} rows name"
        remarks.insert(0, f"{what} no group: each is one of its own.")
    return tuple(words[place] or f"\0{place}" for place in kept), remarks


def _splits(table: Table, column: str | None, rows: Sequence[int]) -> tuple[str, ...] | None:
    if column is not None:
        return table_columns.splits(table, column, rows)
    return None if table.splits is None else tuple(table.splits[row] for row in rows)


def _once(
    table: Table,
    rows: Sequence[int],
    images: Pictures,
    facts: Sequence[tuple[str, Sequence[str] | None]],
) -> tuple[list[int], list[str]]:
    """Places of the first row of every image, and a remark on the others; raises `DataError` where
    they say something else of it.
    """
    first: dict[str, int] = {}
    doubles, contrary = [], []
    for place, key in enumerate(images.keys):
        known = first.setdefault(key, place)
        if known == place:
            continue
        doubles.append(place)
        unlike = [
            (what, values) for what, values in facts if values and values[known] != values[place]
        ]
        contrary += [(known, place, *unlike[0])] if unlike else []
    if contrary:
        raise _contrary(table, rows, images, contrary)
    if not doubles:
        return list(first.values()), []
    shown_rows = ", ".join(f"{table.place(rows[n])} ({images.ids[n]})" for n in doubles[:_NAMED])
    what = "1 row names" if len(doubles) == 1 else f"{len(doubles):,} rows name"
    more = f" and {len(doubles) - _NAMED:,} more" if len(doubles) > _NAMED else ""
    remark = f"{what} an image that an earlier row names alike: left out, {shown_rows}{more}."
    return list(first.values()), [remark]


def _contrary(
    table: Table,
    rows: Sequence[int],
    images: Pictures,
    contrary: Sequence[tuple[int, int, str, Sequence[str]]],
) -> DataError:
    lines = [
        f"{shown(images.ids[place])}: {what} '{shown(values[known])}' in "
        f"{table.place(rows[known])}, '{shown(values[place])}' in {table.place(rows[place])}"
        for known, place, what, values in contrary[:10]
    ]
    count = len({place for place, *_ in contrary})
    what = "image is" if count == 1 else "images are"
    return DataError(
        f"{count:,} {what} named twice in {table.name}, with a different {contrary[0][2]}.",
        details=tuple(lines),
        hint="Keep one row an image. Several labels an image (multi-label) are not supported.",
    )


def _found(table: Table, columns: Columns, classes: Sequence[str]) -> str:
    """What was found, in a sentence that nobody can miss."""
    odd = f" ({table.odd})" if table.odd else ""
    parts = [
        f"images by column '{shown(columns.input)}'",
        f"labels by '{shown(columns.label)}' ({_first(classes)})",
    ]
    for what, column in (("groups", columns.group), ("splits", columns.split)):
        parts += [f"{what} by '{shown(column)}'"] if column is not None else []
    settle = f"; {_all_of(columns.found)} to name others" if columns.found else ""
    used = (columns.input, columns.label, columns.group, columns.split)
    rest = [column for column in table.columns if column not in used]
    unused = f"; not used: {_first(rest)}" if rest else ""
    rows = "1 row" if table.rows == 1 else f"{table.rows:,} rows"
    return f"{rows} of {table.name}{odd}: {', '.join(parts)}{unused}{settle}"


def _first(names: Sequence[str]) -> str:
    listed = ", ".join(f"'{shown(name)}'" for name in names[:_NAMED])
    return f"{listed} and {len(names) - _NAMED:,} more" if len(names) > _NAMED else listed


def _all_of(options: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(options[:-1]), options[-1])))
