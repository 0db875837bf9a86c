"""Whole files: written under another name and renamed, named by their SHA-256."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path

from autotl.records import FileRef


def sha256(path: Path) -> str:
    """The SHA-256 of the file's content, in hex. Raises `OSError` where it cannot be read."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def file_ref(path: Path, root: Path) -> FileRef:
    """The record that names `path` relative to the folder `root`.

    Raises `ValueError` where the file lies outside `root`, `OSError` where it cannot be read.
    """
    relative = path.resolve().relative_to(root.resolve()).as_posix()
    return FileRef(path=relative, sha256=sha256(path), size=path.stat().st_size)


def write_atomically(path: Path, writer: Callable[[Path], None]) -> Path:
    """Have `writer` write a file, then give it its name: readers see all of it or nothing.

    `writer` gets a temporary path in the same folder (made where missing) with the suffixes of
    `path`. The file is on the disk (fsync) before it is renamed. Whatever `writer` raises goes
    through, and nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".writing-{uuid.uuid4().hex[:12]}{''.join(path.suffixes)}"
    try:
        writer(temporary)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def sync(path: Path) -> None:
    """Flush a file, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
