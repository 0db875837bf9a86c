"""The images that a table names: their files found, or the cells that hold them."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from autotl.builtin.table import Table, is_nested, listed, shown, sketch, text_of
from autotl.errors import DataError, UnreadableError
from autotl.files import image_bytes
from autotl.pixels import IMAGE_SUFFIXES

_ALL_BUT = 0.05
"""Share of the rows that the one folder that holds their images may lack."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Of each row its image's id and key (equal keys are one image), and what reads it."""

    ids: tuple[str, ...]
    keys: tuple[str, ...]
    read: Callable[[int], Any]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A folder of images: file by name, and files by name without ending."""

    path: str
    names: frozenset[str]
    stems: Mapping[str, Sequence[str]]

    def file(self, text: str) -> str | None:
        """The file of that name, or the only one of that stem."""
        if text in self.names:
            return os.path.join(self.path, text)  # noqa: PTH118 - a million times
        found = self.stems.get(text, ())
        return os.path.join(self.path, found[0]) if len(found) == 1 else None  # noqa: PTH118


def is_path(text: str) -> bool:
    """Whether the text ends as the name of an image file does."""
    return PurePath(text.replace("\\", "/")).suffix.lower() in IMAGE_SUFFIXES


def are_found(table: Table, texts: Sequence[str]) -> bool:
    """Whether nearly all texts name images in a folder of the table or in one below it."""
    least = (1 - _ALL_BUT) * len(texts)
    found = (_located(texts, folder)[0] for folder in table.folders)
    return any(sum(path is not None for path in paths) >= least for paths in found)


def pictures(table: Table, column: str, rows: Sequence[int]) -> Pictures:
    """The images of these rows; raises `DataError` where the column cannot mean images."""
    cells = table.values(column)
    if column in table.held:
        return _held(table, column, rows)
    several = [row for row in rows if is_nested(cells[row])]
    if several:
        raise DataError(
            f"Column '{shown(column)}' of {table.name} holds nested values, not paths: "
            f"{listed(table, several)}.",
            hint="Give one path a row.",
        )
    texts = [text_of(cells[row]).strip() for row in rows]
    _refuse_urls(table, column, rows, texts)
    known = sorted({text for text in texts if text})
    folder, files, remarks = _in_folders(known, table.folders)
    file_of = dict(zip(known, files, strict=True))
    if not any(files):
        raise _none(table, column, known)
    paths = [None if not text else file_of[text] or str(folder / text) for text in texts]
    keys = [
        f"\0{row}" if path is None else _shortest(path)
        for row, path in zip(rows, paths, strict=True)
    ]
    ids = [
        table.place(row) if path is None else _id(folder, key)
        for row, path, key in zip(rows, paths, keys, strict=True)
    ]
    places = [table.place(row) for row in rows]
    return Pictures(
        ids=tuple(ids),
        keys=tuple(keys),
        read=lambda number: _content(paths[number], places[number]),
        remarks=remarks,
    )


def _held(table: Table, column: str, rows: Sequence[int]) -> Pictures:
    read = table.held[column]
    return Pictures(
        ids=tuple(f"{row:06d}" for row in rows),
        keys=tuple(f"\0{row}" for row in rows),
        read=lambda number: read(rows[number]),
    )


def _id(folder: Path, path: str) -> str:
    """The path relative to the folder where it lies below, with forward slashes."""
    below = Path(path)
    name = below.relative_to(folder) if below.is_relative_to(folder) else below
    return name.as_posix().encode("utf-8", "backslashreplace").decode()


def _content(path: str | None, place: str) -> bytes:
    if path is None:
        raise UnreadableError(f"The table names no image in {place}.")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - one name for both calls
            raise UnreadableError(f"What {place} names is no file.")
        return image_bytes(Path(path))
    except ValueError as error:
        raise UnreadableError(f"What {place} names can be no file's name.") from error


def _refuse_urls(table: Table, column: str, rows: Sequence[int], texts: Sequence[str]) -> None:
    remote = [row for row, text in zip(rows, texts, strict=True) if _URL.match(text)]
    if remote:
        first = next(text for text in texts if _URL.match(text))
        raise DataError(
            f"Column '{shown(column)}' of {table.name} holds URLs, such as {shown(first)} "
            f"({listed(table, remote)}).",
            hint="Download the images first, and write their file names into the table.",
        )


def _none(table: Table, column: str, texts: Sequence[str]) -> DataError:
    if not texts:
        return DataError(f"Column '{shown(column)}' of {table.name} is empty.")
    return DataError(
        f"None of the {len(texts):,} images that column '{shown(column)}' of {table.name} names "
        f"is there: {', '.join(shown(text) for text in texts[:3])}.",
        details=sketch(table),
        hint=f"{relative_to(table)} File names alone, with or without ending, are "
        "looked for there and in one folder below that holds most of them; --input-column names "
        "another column.",
    )


def relative_to(table: Table) -> str:
    """In a sentence: the folders that paths in the table are relative to."""
    first, *second = table.folders
    also = f", or to {second[0]}, to which the table is a link" if second else ""
    return f"Paths are relative to {first}{also}."


# ---- files ----


def _in_folders(
    texts: Sequence[str], folders: Sequence[Path]
) -> tuple[Path, list[str | None], tuple[str, ...]]:
    """The first folder where one of the texts names a file, else the first, and what is there."""
    for folder in folders:
        files, remarks = _located(texts, folder)
        if any(files):
            return folder, files, remarks
    return folders[0], [None] * len(texts), ()


def _located(texts: Sequence[str], folder: Path) -> tuple[list[str | None], tuple[str, ...]]:
    """Of each text the file that it names, None where there is none; and remarks.

    Names alone are looked for in one folder below where none of them is a file's name here: else
    one that is missing here would be taken for another image that only is called alike.
    """
    base = str(folder)
    found = [_as_written(text, base) for text in texts]
    bare = [place for place, text in enumerate(texts) if text and not re.search(r"[/\\]", text)]
    if not bare or any(found[place] for place in bare):
        return found, ()
    chosen = _chosen([_place(path) for path in _folders(folder)], [texts[n] for n in bare], folder)
    if chosen is None:
        return found, ()
    for number in bare:
        found[number] = chosen.file(texts[number])
    where = os.path.relpath(chosen.path, base)
    count = sum(found[number] is not None for number in bare)
    endings = any(found[number] and not is_path(texts[number]) for number in bare)
    how = " by their names without ending" if endings else ""
    return found, (f"{_share(count, len(texts))} found {_in_words(where)}{how}.",)


def _share(count: int, of: int) -> str:
    verb = "was" if count == 1 else "were"
    return "The images were" if count == of else f"{count:,} of {of:,} images {verb}"


def _in_words(where: str) -> str:
    return "in the table's folder" if where == "." else f"in {shown(where)}/"


def _as_written(text: str, base: str) -> str | None:
    for one in _spellings(text):
        path = os.path.join(base, one)  # noqa: PTH118 - a million times
        if os.path.isfile(path):  # noqa: PTH113 - False for a name that no file can have
            return path
    return None


def _shortest(path: str) -> str:
    """The path without what leads nowhere: "." and slashes doubled, and a folder that ".." leaves
    unless it is a link, as what lies above a link lies elsewhere.
    """
    if "/../" not in path:
        return os.path.normpath(path)
    parts: list[str] = []
    for part in path.split("/")[1:]:
        if part == ".." and (not parts or _is_left("/" + "/".join(parts))):
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def _is_left(folder: str) -> bool:
    """Whether ".." behind the folder leads to where it is listed."""
    return not folder.endswith("/..") and not os.path.islink(folder)  # noqa: PTH114


def _spellings(text: str) -> Iterable[str]:
    """The text, then with ~ put in, Windows' slashes turned, letters composed and decomposed."""
    if not text:
        return
    yield text
    if text.startswith("~"):
        yield os.path.expanduser(text)  # noqa: PTH111 - leaves what has no home as it is
    turned = text.replace("\\", "/")
    if turned != text:
        yield turned
    if not text.isascii():
        yield unicodedata.normalize("NFC", turned)
        yield unicodedata.normalize("NFD", turned)


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            below = [entry.name for entry in entries if entry.is_dir() and entry.name[0] != "."]
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be listed: {error.strerror}.") from error
    return [folder, *(folder / name for name in sorted(below))]


def _place(folder: Path) -> _Place:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if is_path(entry.name)]
    except OSError:  # what may not be listed holds nothing for us
        names = []
    stems: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        stems[name[: name.rindex(".")]].append(name)
    return _Place(path=str(folder), names=frozenset(names), stems=stems)


def _chosen(places: Sequence[_Place], texts: Sequence[str], folder: Path) -> _Place | None:
    """The one folder that holds nearly all of the images, or else most of them (the others are then
    missing); raises `DataError` where several folders below hold nearly all.
    """
    counts = [sum(place.file(text) is not None for text in texts) for place in places]
    least = (1 - _ALL_BUT) * len(texts)
    good = [place for place, count in zip(places, counts, strict=True) if count >= least]
    if len(good) > 1 and good[0].path != str(folder):
        several = ", ".join(f"{shown(Path(place.path).name)}/" for place in good[:5])
        raise DataError(
            f"{len(good)} folders beside the table hold the images that it names: {several}.",
            hint="Write the folder into the table's paths.",
        )
    if good:
        return good[0]
    most = max(counts)
    if 2 * most < len(texts) or counts.count(most) > 1:
        return None
    return places[counts.index(most)]
