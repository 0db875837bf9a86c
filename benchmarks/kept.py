"""A benchmark's finished rows: JSON lines beside the script."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

ALIKE = {
    "0887f2cda42829e5979153a715d6d1a2a24b78647515007eab8be6bad6bd8e5b": (
        "9c8a8d814cdb5612453f8ea1102f4523c1f17afebd629f495ac2db8fab4f414e"
    ),
    "9c8a8d814cdb5612453f8ea1102f4523c1f17afebd629f495ac2db8fab4f414e": (
        "045a1d77e94d26093a68a30e3e026ee8afcae99ba891373b36b5c82ccf4b6481"
    ),
}
"""Digests of trainers that train alike, the newest last: `confirm.jsonl` has trainings by both of a
pair that gave the same wherever no cap let the clock count, which a test holds it to. Those here
differ in what they do with groups and copies, of which these cells have none: the second of three
let them fall into several folds.
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
    return [row | {"code": last(row["code"])} if "code" in row else row for row in rows]


def last(code: str) -> str:
    """The digest of the last trainer that trains as this one."""
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
