"""Images kept in a file on disk that has no name: it is gone when the process is."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.errors import DiskError

SPARE = 512 * 2**20
"""Bytes of the disk that stay free."""
_LOOK_EVERY = 64 * 2**20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """Where one image lies: encoded bytes where `dtype` is None, else an array's values."""

    offset: int
    length: int
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...]


class Spool:
    """Images added one after the other, then read in any order, from several threads at once."""

    def __init__(self, folder: Path) -> None:
        """A new file on the disk of `folder`, which is made where missing; raises `DiskError`."""
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 stays open
        except OSError as error:
            raise DiskError(
                f"The cache folder {folder} cannot be used: {error.strerror}.",
                hint="Set AUTOTL_CACHE to a folder that can be written, on a disk with room.",
            ) from error
        weakref.finalize(self, self._file.close)
        self._size = 0
        self._looked_at = -_LOOK_EVERY
        self._shapes: dict[tuple[int, ...], tuple[int, ...]] = {}

    def add(self, image: bytes | NDArray[Any]) -> Slot:
        """Write an image; raises `DiskError` where the disk has no room."""
        encoded = isinstance(image, bytes)
        content = image if isinstance(image, bytes) else np.ascontiguousarray(image).tobytes()
        shape = () if isinstance(image, bytes) else image.shape
        self._check_room()
        slot = Slot(
            offset=self._size,
            length=len(content),
            dtype=None if encoded else image.dtype,  # type: ignore[union-attr]
            shape=self._shapes.setdefault(shape, shape),
        )
        try:
            written = 0
            while written < len(content):
                written += self._file.write(memoryview(content)[written:])
        except OSError as error:
            raise self._full(error) if error.errno in _FULL else error from error
        self._size += len(content)
        return slot

    def read(self, slot: Slot) -> bytes | NDArray[Any]:
        """The image that was added."""
        parts, offset, left = [], slot.offset, slot.length
        while left and (part := os.pread(self._file.fileno(), left, offset)):
            parts.append(part)
            offset, left = offset + len(part), left - len(part)
        content = b"".join(parts)
        if slot.dtype is None:
            return content
        return np.frombuffer(content, slot.dtype).reshape(slot.shape)

    def _check_room(self) -> None:
        if self._size - self._looked_at < _LOOK_EVERY:
            return
        self._looked_at = self._size
        if shutil.disk_usage(self._folder).free < SPARE:
            raise self._full(None)

    def _full(self, error: OSError | None) -> DiskError:
        return DiskError(
            f"The disk of {self._folder} is full after {self._size / 1e6:,.0f} MB of images.",
            hint="Set AUTOTL_CACHE to a folder on a disk with more room, or give fewer images: "
            "dataset.take(n), where the dataset never ends.",
            details=() if error is None else (str(error),),
        )
