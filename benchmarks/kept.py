"""A benchmark's finished rows: JSON lines beside the script."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any


def read(path: Path) -> list[dict[str, Any]]:
    """The rows that are there; a last line that was torn is no row."""
    text = path.read_text("utf-8") if path.is_file() else ""
    whole = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]


def keep(path: Path, row: dict[str, Any]) -> None:
    """Add a row, after cutting off a torn one; several processes may do so at once."""
    with path.open("a+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)
        stream.write(json.dumps(row).encode() + b"\n")
