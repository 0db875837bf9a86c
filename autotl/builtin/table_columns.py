"""Which column of a table holds the images, which the labels, groups and splits."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from autotl.builtin.split_names import split_of
from autotl.builtin.table import Table, is_missing, is_nested, is_number, shown, sketch, text_of
from autotl.builtin.table_images import are_found, is_path, relative_to
from autotl.errors import DataError, UsageError

ROLES = ("input", "label", "group", "split")
NONE = "none"
"""What leaves out a group or split column that would be found."""
_SAMPLED = 200
_MOSTLY = 0.5
_UNLIKE = 0.5
"""Share of a sample of a column's values that must differ where they are names of images."""
_NAMELESS = re.compile(r"column \d+|Unnamed: \d+")
_CODES = frozenset({"id", "ids", "name", "names", "number", "no", "num", "idx", "index", "code"})
_WORDS = {
    "input": frozenset(
        (
            *("file", "files", "filename", "filenames", "filepath", "path", "paths", "filepaths"),
            *("image", "images", "img", "imgs", "picture", "photo", "photograph", "jpg", "png"),
            *("imagepath", "imagefile", "imagename", "imageid", "input", "x", "relative", "full"),
        )
    ),
    "label": frozenset(
        (
            *("label", "labels", "class", "classes", "target", "targets", "category", "categories"),
            *("species", "diagnosis", "dx", "y", "breed", "classname", "labelname", "finding"),
        )
    ),
    "group": frozenset(
        (
            *("group", "groups", "patient", "patients", "subject", "subjects", "video", "videos"),
            *("person", "participant", "patientid", "subjectid", "videoid", "groupid", "lesion"),
        )
    ),
    "split": frozenset({"split", "splits", "subset", "partition", "set", "data", "dataset"}),
}


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The column of each role, and the options that would settle what was found, not named."""

    input: str
    label: str
    group: str | None
    split: str | None
    found: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def find(table: Table, options: Mapping[str, Any]) -> Columns:
    """The columns that `options` name (`input_column` and so on), the others by name and content.

    Raises `DataError`, with what was looked at, where none or several could be meant, and
    `UsageError` for a name that is no column.
    """
    named = _named(table, options)
    free = [column for column in table.columns if column not in named.values()]
    group = named.get("group") if "group" in named else _group(table, free)
    free = [column for column in free if column != group]
    split = named.get("split")
    remarks: tuple[str, ...] = ()
    if "split" not in named and table.splits is None:
        split, remarks = _split(table, free)
        free = [column for column in free if column != split]
    picture = named.get("input") or _input(table, free)
    rest = [column for column in free if column != picture]
    if "label" not in named and "group" not in named and group is not None:
        if not rest:
            rest, group = [group], None
        elif _may_be_label(table, group, rest):
            message = f"Two columns of {table.name} could hold the labels"
            raise _undecided(message, table, [group, *_usable(table, rest)], "label")
    label = named.get("label") or _label(table, rest)
    chosen = {"input": picture, "label": label, "group": group, "split": split}
    found = [role for role in ROLES if chosen[role] is not None and role not in named]
    return Columns(
        input=picture,
        label=label,
        group=group,
        split=split,
        found=tuple(f"--{role}-column" for role in found),
        remarks=remarks,
    )


# ---- named ----


def _named(table: Table, options: Mapping[str, Any]) -> dict[str, str | None]:
    """The column by role, None where it is to be left out."""
    named: dict[str, str | None] = {}
    for role in ROLES:
        given = options.get(f"{role}_column")
        if given is None:
            continue
        left_out = role in ("group", "split") and str(given).casefold() == NONE
        named[role] = None if left_out else _column(table, role, str(given))
    if named.get("split") and table.splits is not None:
        raise UsageError(
            "--split-column says nothing where each split is a table of its own.",
            hint="Leave it out.",
        )
    taken = [column for column in named.values() if column is not None]
    for column in taken:
        if taken.count(column) > 1:
            roles = [f"--{role}-column" for role in ROLES if named.get(role) == column]
            raise UsageError(f"{' and '.join(roles)} name one column, '{shown(column)}'.")
    return named


def _column(table: Table, role: str, given: str) -> str:
    alike = [column for column in table.columns if column.casefold() == given.strip().casefold()]
    if given in table.columns or len(alike) == 1:
        return given if given in table.columns else alike[0]
    names = {column.casefold(): column for column in table.columns}
    near = difflib.get_close_matches(given.casefold(), names, n=1)
    guess = f" Did you mean '{shown(names[near[0]])}'?" if near else ""
    raise UsageError(
        f"{table.name} has no column '{shown(given)}' (--{role}-column).{guess}",
        details=sketch(table),
        hint=f"Its columns: {_quoted(table.columns)}.",
    )


# ---- found ----


def _input(table: Table, free: Sequence[str]) -> str:
    candidates = [column for column in free if column in table.held or _holds_paths(table, column)]
    if not candidates:
        candidates = [column for column in free if _holds_names(table, column)]
    clear = [column for column in candidates if _says(column, "input")]
    best = clear if len(candidates) > 1 and clear else candidates
    if len(best) == 1:
        return best[0]
    if best:
        raise _undecided(
            f"Several columns of {table.name} could name the images", table, best, "input"
        )
    raise _undecided(f"No column of {table.name} names images that are there", table, None, "input")


def _holds_paths(table: Table, column: str) -> bool:
    texts = _sample(table, column)
    return bool(texts) and sum(map(is_path, texts)) > _MOSTLY * len(texts)


def _holds_names(table: Table, column: str) -> bool:
    """Whether the values are names of image files without ending."""
    texts = _sample(table, column)
    if len(set(texts)) <= _UNLIKE * len(texts):
        return False
    return bool(texts) and are_found(table, texts)


def _sample(table: Table, column: str) -> list[str]:
    """The first values as text, empty where they are nested."""
    some = list(islice((v for v in table.values(column) if not is_missing(v)), _SAMPLED))
    return [] if any(map(is_nested, some)) else [text_of(value).strip() for value in some]


def _may_be_label(table: Table, group: str, rest: Sequence[str]) -> bool:
    """Whether the group column may as well hold the classes: its name is one word and the only
    other column holds numbers, more than the two of yes and no, and is not called as labels are.
    """
    others = _usable(table, rest)
    if len(others) != 1 or group.casefold() not in _WORDS["group"] or _says(others[0], "label"):
        return False
    different = {text_of(value) for value in table.values(others[0])}
    return _are_numbers(table, others[0]) and len(different) > 2


def _usable(table: Table, columns: Sequence[str]) -> list[str]:
    """The columns that have a name, and that all splits have, or else those with a name."""
    others = [column for column in columns if not _NAMELESS.fullmatch(column)]
    return [column for column in others if column not in table.lacking] or others


def _are_numbers(table: Table, column: str) -> bool:
    texts = _sample(table, column)
    return bool(texts) and all(map(is_number, texts))


def _label(table: Table, free: Sequence[str]) -> str:
    by_name = [column for column in free if _says(column, "label")]
    if any(column.casefold() == "x" and _are_numbers(table, column) for column in free):
        by_name = [column for column in by_name if column.casefold() != "y"]  # where it is, as x
    by_name = _one_of_equals(table, by_name) if len(by_name) > 1 else by_name
    if len(by_name) == 1:
        return by_name[0]
    if by_name:
        message = f"Several columns of {table.name} could hold the labels"
        raise _undecided(message, table, by_name, "label")
    others = _usable(table, free)
    if len(others) == 1:
        return others[0]
    if others:
        message = f"No column of {table.name} is clearly the one of the labels"
        error = _undecided(message, table, others, "label")
        if all({text_of(value) for value in table.values(one)} <= {"0", "1"} for one in others):
            error.hint += " Columns of 0 and 1, one a class, want to be one column of class names."
        raise error
    raise DataError(
        f"{table.name} has no column that could hold labels.",
        details=sketch(table),
        hint="Add a column of class names; --label-column and --input-column name columns.",
    )


def _one_of_equals(table: Table, columns: list[str]) -> list[str]:
    """One of columns that say the same in other words (the number and the name of a class, say):
    the first of words; all of them where they say different things.
    """
    texts = [[text_of(value) for value in table.values(column)] for column in columns]
    pairs = set(zip(*texts, strict=True))
    if any(len(set(one)) != len(pairs) for one in texts):
        return columns
    words = [
        column
        for column, one in zip(columns, texts, strict=True)
        if not any(text.isdecimal() for text in one)
    ]
    return (words or columns)[:1]


def _group(table: Table, free: Sequence[str]) -> str | None:
    clear = [column for column in free if _says(column, "group")]
    several = [column for column in clear if len({text_of(v) for v in table.values(column)}) > 1]
    if len(several) > 1:
        raise _undecided(
            f"Several columns of {table.name} could name groups", table, several, "group"
        )
    return several[0] if several else None


def _split(table: Table, free: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """The column of splits, and a remark on one that is so called and names none."""
    remarks = []
    clear = []
    for column in (column for column in free if _says(column, "split")):
        texts = {text_of(value).strip() for value in table.values(column)}
        known = {text for text in texts if split_of(text)}
        if known and known < texts:
            raise _no_splits(table, column, sorted(texts - known))
        if known:
            clear.append(column)
        else:
            remarks.append(f"Column '{shown(column)}' names no splits, and is not used.")
    if len(clear) > 1:
        raise _undecided(f"Several columns of {table.name} name splits", table, clear, "split")
    return (clear[0] if clear else None), tuple(remarks)


def splits(table: Table, column: str, rows: Sequence[int]) -> tuple[str, ...]:
    """The split of each of these rows; raises `DataError` for a value that names none."""
    cells = table.values(column)
    texts = [text_of(cells[row]).strip() for row in rows]
    found = [split_of(text) for text in texts]
    if None in found:
        unknown = {text for text, split in zip(texts, found, strict=True) if split is None}
        raise _no_splits(table, column, sorted(unknown))
    return tuple(str(split) for split in found)


def _no_splits(table: Table, column: str, unknown: Sequence[str]) -> DataError:
    several = ", ".join(f"'{shown(text)}'" for text in unknown[:3])
    return DataError(
        f"Column '{shown(column)}' of {table.name} names splits, but also {several}.",
        hint="Known are train, validation (valid, val, dev) and test; "
        "--split-column none leaves the column out, another name takes another one.",
    )


def _says(column: str, role: str) -> bool:
    """Whether all words of the name speak of the role, at least one of them clearly."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", column)
    words = [word for word in re.split(r"[^0-9a-z]+", parted.casefold()) if word]
    clear = _WORDS[role] - ({"data", "dataset"} if role == "split" else set())
    fillers = _WORDS[role] | _CODES
    if role == "input":
        clear = clear | {"id"}
    return any(word in clear for word in words) and all(word in fillers for word in words)


def _undecided(message: str, table: Table, columns: Sequence[str] | None, role: str) -> DataError:
    listed = sketch(table, columns)
    hint = f"Name it: --{role}-column NAME" + (
        ", or 'none'." if role in ("group", "split") else "."
    )
    if role == "input" and not columns:
        hint += f" {relative_to(table)}"
    return DataError(f"{message}.", details=listed, hint=hint)


def _quoted(columns: Iterable[str]) -> str:
    return ", ".join(f"'{shown(column)}'" for column in islice(columns, 20))
