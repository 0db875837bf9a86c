"""The loader of tables: files in which a row names an image and its label.

    file,label,patient            {"file": "a/1.png", "label": "cat"}            images.parquet
    a/1.png,cat,7                 {"file": "a/2.png", "label": "dog"}

Paths are relative to the table's folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autotl.builtin.table import Table
from autotl.builtin.table_examples import dataset
from autotl.builtin.table_files import DELIMITED, LINES, read_text_table
from autotl.builtin.table_parquet import MAGIC, PARQUET, read_parquet_table
from autotl.errors import DataError
from autotl.hookspecs import hookimpl
from autotl.records import COLUMNS, Dataset, Loader

NAME = "tables"
_WHAT = {
    **dict.fromkeys(DELIMITED, "a table in delimited text"),
    **dict.fromkeys(LINES, "a table of JSON lines"),
    **dict.fromkeys(PARQUET, "a table in Parquet"),
}

SUFFIXES = tuple(_WHAT)
"""Endings of tables, in small letters."""


def matches(data: Any, options: Mapping[str, Any]) -> str | None:
    """Why `data` is a table: a file with the ending of one."""
    if not isinstance(data, str | os.PathLike):
        return None
    path = Path(data).expanduser()
    what = _WHAT.get(path.suffix.lower())
    return f"it is {what}" if what and path.is_file() else None


def load(data: Any, options: Mapping[str, Any]) -> Dataset:
    """The examples that the table names, in its order.

    Columns are those that `options` name, else found. Ids are paths relative to the table's
    folder. Raises `DataError` where the table cannot be read or understood, `UsageError` for a
    name that is no column of it.
    """
    return dataset(_table(data), options)


def _table(data: Any) -> Table:
    if not isinstance(data, str | os.PathLike):
        raise DataError(f"A table is named by a path, not by a {type(data).__name__}.")
    path = Path(data).expanduser()
    if not path.is_file():
        what = "is no file" if path.exists() else "does not exist"
        raise DataError(f"{data} {what}.", hint="Give the path of a table.")
    if path.suffix.lower() in PARQUET or _begins(path, MAGIC):
        return read_parquet_table(path)
    return read_text_table(path)


def _begins(path: Path, magic: bytes) -> bool:
    if path.suffix.lower() in _WHAT:
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(len(magic)) == magic
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


@hookimpl
def autotl_loaders() -> list[Loader]:
    """The loader `tables`."""
    return [
        Loader(
            name=NAME,
            description="a table of image paths and labels in CSV, TSV, JSON lines or Parquet",
            matches=matches,
            load=load,
            options=COLUMNS,
        )
    ]
