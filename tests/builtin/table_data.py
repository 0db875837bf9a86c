"""Tables beside folders of small images, for the tests of the loaders that read them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.images import encoded, pattern

SPECIES = ("ant", "bee", "cat")


def images(folder: Path, count: int = 12, *, suffix: str = ".png") -> list[str]:
    """`count` images 000, 001, ... of three classes in turn; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:03d}{suffix}" for number in range(count)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(encoded(pattern(number % 3, number), suffix))
    return names


def species(count: int = 12) -> list[str]:
    return [SPECIES[number % 3] for number in range(count)]


def csv_text(columns: Mapping[str, Sequence[Any]], delimiter: str = ",") -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return stream.getvalue()


def write_csv(
    path: Path,
    columns: Mapping[str, Sequence[Any]],
    *,
    delimiter: str = ",",
    encoding: str = "utf-8",
) -> str:
    path.write_bytes(csv_text(columns, delimiter).encode(encoding))
    return str(path)


def write_lines(
    path: Path, columns: Mapping[str, Sequence[Any]], *, ascii_only: bool = True
) -> str:
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    text = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
    path.write_bytes(text.encode())
    return str(path)


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any]], **options: Any) -> str:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({name: list(values) for name, values in columns.items()})
    metadata = options.pop("metadata", None)
    if metadata:
        table = table.replace_schema_metadata(metadata)
    parquet.write_table(table, path, **options)
    return str(path)
