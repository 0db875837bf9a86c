"""Tables in text files: CSV by any usual delimiter, and JSON lines, in UTF-8 or UTF-16."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import string
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

from autotl.builtin.table import Table, checked_names, empty, folders_of, is_number, shown
from autotl.errors import DataError
from autotl.pixels import IMAGE_SUFFIXES

DELIMITED = (".csv", ".tsv", ".tab")
LINES = (".jsonl", ".ndjson")
_DELIMITERS = {",": "", ";": "semicolons", "\t": "tabs", "|": "pipes"}
_SAMPLE = 65_536
_SAMPLED_ROWS = 50
_UTF8 = "Save it as UTF-8 (in a spreadsheet: 'CSV UTF-8')."
_FOLDER = "Give the folder of class folders that it lies in, or a table of files and labels."
_SEPARATOR = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_BINARY = (
    (b"PK\x03\x04", "a spreadsheet or a ZIP archive", "Save the table as CSV."),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet", "Save the table as CSV."),
    (b"\x1f\x8b", "compressed", "Unpack it first."),
    (b"PAR1", "Parquet", "Give it the ending .parquet."),
    (b"%PDF", "a PDF", "Save the table as CSV."),
    (b"\x89PNG", "an image", _FOLDER),
    (b"\xff\xd8\xff", "an image", _FOLDER),
)


def read_text_table(path: Path) -> Table:
    """The table in a CSV or JSON-lines file; raises `DataError` that names file and line."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    for magic, what, hint in _BINARY:
        if raw.startswith(magic):
            raise DataError(f"{path} is no text table but {what}.", hint=hint)
    text, odd = _text(path, raw)
    if not text.strip("".join(_DELIMITERS) + string.whitespace):
        raise _nothing(path)
    as_lines = path.suffix.lower() in LINES or (
        path.suffix.lower() not in DELIMITED and text.lstrip().startswith("{")
    )
    return _json_lines(path, text, odd) if as_lines else _delimited(path, text, odd)


def _nothing(path: Path) -> DataError:
    return DataError(f"{path} is empty.", hint="A table has a line of names, then rows.")


def _text(path: Path, raw: bytes) -> tuple[str, str]:
    """The file's text, and its encoding where it is an unusual one."""
    encoding, skipped, odd = "utf-8", 0, ""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if raw.startswith(mark):
            encoding, skipped, odd = name, len(mark), name[:6].upper() if "16" in name else ""
    try:
        text = raw[skipped:].decode(encoding)
    except UnicodeDecodeError as error:
        before = raw[skipped : skipped + error.start].decode(encoding, "replace")
        byte = raw[skipped + error.start]
        raise DataError(
            f"{path} is not {odd or 'UTF-8'}: byte 0x{byte:02x} in line {before.count(chr(10)) + 1}"
            f" (position {skipped + error.start}).",
            hint=_UTF8,
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path} holds a null character in line {line}: no text?", hint=_UTF8)
    return text, odd


# ---- CSV ----


def _delimited(path: Path, text: str, odd: str) -> Table:
    name, skipped = shown_name(path), 0
    said = _SEPARATOR.match(text)
    if said:
        delimiter, text, skipped = said[1], text[said.end() :], 1
    else:
        delimiter = _delimiter(text, tabs_first=path.suffix.lower() in (".tsv", ".tab"))
    records = _records(name, text, delimiter, skipped)
    _, header = next(records, (0, []))
    if not header:
        raise _nothing(path)
    _refuse_headless(name, header)
    columns = checked_names(name, header)
    lines, rows = [], []
    wrong: list[tuple[int, int]] = []
    for line, row in records:
        if len(row) == len(columns):
            lines.append(line)
            rows.append(row)
        else:
            wrong.append((line, len(row)))
    if wrong:
        raise _ragged(name, len(columns), wrong)
    if not rows:
        raise empty(name)
    cells = dict(zip(columns, zip(*rows, strict=True), strict=True))
    usual = "tabs" if path.suffix.lower() in (".tsv", ".tab") else ""
    told = _DELIMITERS.get(delimiter, f"delimiter '{delimiter}'")
    return Table(
        name=name,
        folders=folders_of(path),
        columns=columns,
        rows=len(rows),
        values=cells.__getitem__,
        place=lambda row: f"line {lines[row]}",
        odd=", ".join(filter(None, (told if told != usual else "", odd))),
    )


def shown_name(path: Path) -> str:
    """The file's name in sentences."""
    return shown(path.name)


def _delimiter(text: str, *, tabs_first: bool) -> str:
    """The delimiter by which the first rows have the most columns, as many in each."""
    best, chosen = (0.0, 1), "\t" if tabs_first else ","
    for delimiter in sorted(_DELIMITERS, key=lambda one: tabs_first and one != "\t"):
        stream = io.StringIO(text[:_SAMPLE], newline="")
        try:
            rows = list(islice(csv.reader(stream, delimiter=delimiter), _SAMPLED_ROWS))
        except csv.Error:
            continue
        rows = [row for row in (rows[:-1] if len(text) > _SAMPLE else rows) if any(row)]
        width = len(rows[0]) if rows else 0
        if width < 2:
            continue
        if tabs_first and delimiter == "\t":
            return delimiter
        share = sum(len(row) == width for row in rows) / len(rows)
        if (share, width) > best:
            best, chosen = (share, width), delimiter
    return chosen


def _records(name: str, text: str, delimiter: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, cells) of every record that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1 + skipped
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            unended = str(error) == "unexpected end of data"
            raise DataError(
                f"{name}, line {line}: {'a quote is not closed' if unended else error}.",
                hint='Values with a quote or the delimiter in them stand in "quotes", a quote in '
                'them is doubled: "".',
            ) from error
        if any(cell.strip() for cell in row):
            yield line, row


def _refuse_headless(name: str, header: Sequence[str]) -> None:
    """Raise `DataError` where the first line is a row already."""
    paths = [cell for cell in header if PurePath(cell.strip()).suffix.lower() in IMAGE_SUFFIXES]
    numbers = [cell for cell in header if is_number(cell)]
    if paths or len(numbers) == len(header):
        raise DataError(
            f"The first line of {name} looks like a row, not like names of columns: "
            f"{', '.join(shown(cell) for cell in header[:6])}.",
            hint="Put a line of names above it, such as: file,label",
        )


def _ragged(name: str, width: int, wrong: Sequence[tuple[int, int]]) -> DataError:
    what = "row has" if len(wrong) == 1 else "rows have"
    return DataError(
        f"{len(wrong):,} {what} not the {width} cells that the first line of {name} has.",
        details=tuple(f"line {line}: {count} cells" for line, count in wrong[:10]),
        hint='Is a delimiter missing, or one in a value that does not stand in "quotes"?',
    )


# ---- JSON lines ----


def _json_lines(path: Path, text: str, odd: str) -> Table:
    name = shown_name(path)
    numbers, objects = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            numbers.append(number)
            objects.append(_object(name, number, line))
    columns = tuple(dict.fromkeys(key for one in objects for key in one))
    if not columns:
        raise empty(name)
    names = checked_names(name, columns)
    keys = dict(zip(names, columns, strict=True))
    cells = {column: [one.get(key) for one in objects] for column, key in keys.items()}
    return Table(
        name=name,
        folders=folders_of(path),
        columns=names,
        rows=len(objects),
        values=cells.__getitem__,
        place=lambda row: f"line {numbers[row]}",
        odd=odd,
    )


def _object(name: str, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise DataError(
            f"{name}, line {number}: {reason}.", hint="Write one JSON object a line."
        ) from error
    if not isinstance(found, dict):
        raise DataError(
            f"{name}, line {number} is JSON, but no object: {shown(line)}.",
            hint='Write one object a line, such as {"file": "a.png", "label": "cat"}.',
        )
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key '{shown(twice)}' occurs twice")
    return found
