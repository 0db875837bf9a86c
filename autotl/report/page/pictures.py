"""Thumbnails as data URIs."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autotl.errors import RunFolderError
from autotl.files import checked
from autotl.records import FileRef, from_json


def embedded(thumbnail: Mapping[str, Any] | None, folder: Path) -> str | None:
    """The JPEG of a file in the run folder; None where there is none, or not the one that the run
    wrote.
    """
    if thumbnail is None:
        return None
    try:
        path = checked(from_json(FileRef, thumbnail), folder)
        content = path.read_bytes()
    except (RunFolderError, OSError):
        return None
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()
