"""An append-only file of JSON lines that survives a kill at any moment."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autotl.errors import DiskError, InternalError, RunFolderError
from autotl.files import sync

Line = dict[str, Any]

_ZEROS = bytes(16)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


class Journal:
    """The lines so far and, unless only read, the open file to append to.

    `lines` are all lines, this sitting's included; `earlier` are the seconds of the sittings
    before this one, each up to its last line.
    """

    def __init__(self, path: Path, lines: list[Line], descriptor: int | None) -> None:
        self.lines = lines
        self.earlier = _seconds(lines)
        self._path = path
        self._descriptor = descriptor
        self._began = time.monotonic()

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Read the file (made where missing), cut a torn last line, begin a sitting.

        Raises `RunFolderError` where an earlier line is damaged or the file cannot be written.
        """
        with disk(path):
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                lines, whole = _parse(path, path.read_bytes())
                os.ftruncate(descriptor, whole)
                sync(path.parent)
                journal = cls(path, lines, descriptor)
                journal.append("sitting", pid=os.getpid())
            except BaseException:
                os.close(descriptor)
                raise
        return journal

    @classmethod
    def read(cls, path: Path) -> Journal:
        """Read the file and leave it as it is; a torn last line is passed over."""
        with disk(path):
            lines, _ = _parse(path, path.read_bytes() if path.exists() else b"")
        return cls(path, lines, None)

    def elapsed(self) -> float:
        """Seconds since this sitting began; 0 where the journal is only read."""
        return 0.0 if self._descriptor is None else time.monotonic() - self._began

    def append(self, kind: str, **facts: Any) -> None:
        """Write one line and see it onto the disk.

        Raises `DiskError` where the disk is full: the file is then as it was before.
        """
        if self._descriptor is None:
            raise InternalError(f"{self._path} was opened to be read only.")
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line: Line = {"kind": kind, "time": now, "at": round(self.elapsed(), 3), **facts}
        line["digest"] = _digest(line)
        with disk(self._path):
            _append(self._descriptor, (json.dumps(line) + "\n").encode())
        self.lines.append(line)

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextlib.contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn what the operating system says of writing at `path` into errors of our tree."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskError(
                f"The disk that holds {path} is full.", hint="Free some space."
            ) from error
        if error.errno in _REFUSED:
            raise RunFolderError(
                f"{path} cannot be written: {error.strerror}.",
                hint="Name a folder that you may write to with --out.",
            ) from error
        raise RunFolderError(
            f"{path} cannot be used: {error.strerror or error}.",
            hint="Name another folder with --out.",
        ) from error


def full_disk(error: BaseException) -> bool:
    """Whether the error says that there is no room on the disk."""
    return isinstance(error, OSError) and error.errno in _FULL


def _append(descriptor: int, content: bytes) -> None:
    before = os.fstat(descriptor).st_size
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def _parse(path: Path, content: bytes) -> tuple[list[Line], int]:
    """The whole lines, and how many bytes they take.

    Only the last line may be torn: without its end, or with blocks that never reached the disk.
    """
    lines: list[Line] = []
    whole = 0
    *ended, torn = content.split(b"\n")
    pieces = [piece + b"\n" for piece in ended] + ([torn] if torn else [])
    for number, piece in enumerate(pieces, start=1):
        line = _line(piece)
        if line is None and number == len(pieces) and (torn or _ZEROS in piece):
            break
        if line is None:
            raise RunFolderError(
                f"{path} is damaged at line {number}.",
                hint="Restore it from a copy, or start a new run.",
            )
        lines.append(line)
        whole += len(piece)
    return lines, whole


def _line(piece: bytes) -> Line | None:
    """The line that the bytes hold, or None where they are not one as it was written."""
    if not piece.endswith(b"\n"):
        return None
    try:
        line = json.loads(piece)
    except ValueError:
        return None
    if not isinstance(line, dict):
        return None
    rest = {name: value for name, value in line.items() if name != "digest"}
    return line if line.get("digest") == _digest(rest) else None


def _digest(line: Line) -> str:
    return hashlib.sha256(json.dumps(line, sort_keys=True).encode()).hexdigest()


def _seconds(lines: list[Line]) -> float:
    total = last = 0.0
    for line in lines:
        if line["kind"] == "sitting":
            total, last = total + last, 0.0
        last = line["at"]
    return total + last
