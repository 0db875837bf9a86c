"""A benchmark's finished rows: JSON lines beside the script."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

ALIKE = {
    "9c8a8d814cdb5612453f8ea1102f4523c1f17afebd629f495ac2db8fab4f414e": (
        "0887f2cda42829e5979153a715d6d1a2a24b78647515007eab8be6bad6bd8e5b"
    ),
}
"""Digests of trainers, and those of later ones that train alike: `confirm.jsonl` has trainings by
both that gave the same, which a test holds it to. The one here keeps groups and copies in one fold,
of which these cells have none.
"""


def read(path: Path, *, renamed: bool = True) -> list[dict[str, Any]]:
    """The rows that are there; a last line that was torn is no row. `code` is the last trainer that
    trains alike, unless `renamed` says that it is to be the one that made the row.
    """
    text = path.read_text("utf-8") if path.is_file() else ""
    whole = text[: text.rfind("\n") + 1]
    rows = [json.loads(line) for line in whole.splitlines()]
    if not renamed:
        return rows
    return [row | {"code": _last(row["code"])} if "code" in row else row for row in rows]


def _last(code: str) -> str:
    while code in ALIKE:
        code = ALIKE[code]
    return code


def keep(path: Path, row: dict[str, Any]) -> None:
    """Add a row, after cutting off a torn one; several processes may do so at once."""
    with path.open("a+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)
        stream.write(json.dumps(row).encode() + b"\n")
