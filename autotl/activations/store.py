"""Entries of the store: checked files in one folder, capped, never evicted while in use.

An entry is `KEY.SUFFIX` and, written after it, `KEY.json` with its size and checksum. What a
process uses it holds by a shared lock on `KEY.json`, which the kernel drops when the process
ends; eviction asks for the exclusive lock and passes over what it cannot get.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from autotl.errors import DiskError, UsageError
from autotl.files import cache_home, write_atomically

DEFAULT_CAP = 10 * 10**9
SPARE = 256 * 2**20
WHOLE = 64 * 2**20
CHUNK = 2**20
ABANDONED = 24 * 3600.0
BEING_WRITTEN = 60.0
OURS = re.compile("[0-9a-f]{40}")

REFUSALS = frozenset(
    {errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST}
    | {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
)
"""What the system says of a folder that cannot be used, and of a disk that is full."""

_held: dict[Path, int] = {}
_closing: list[Callable[[], None]] = []
_said: set[str] = set()
_log = logging.getLogger("autotl")

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What the store holds: number of entries, bytes, the cap in bytes, and where it lies."""

    folder: Path
    entries: int
    bytes: int
    cap: int


def cache_folder() -> Path:
    """The store's folder, in `AUTOTL_CACHE`, by default in the user's cache folder for autotl.

    Raises `UsageError` where that is in a home folder that there is not, or `AUTOTL_CACHE_GB` is
    no number.
    """
    if stated := os.environ.get("AUTOTL_CACHE_GB"):
        _gigabytes(stated)
    return cache_home() / "store-1"


@contextmanager
def _refusals(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise DiskError(
            f"The cache folder {folder} cannot be used: {error.strerror}.",
            hint="Set AUTOTL_CACHE to a folder that can be written, on a disk with room; "
            "`autotl cache` shows what ours takes.",
            details=(str(error),),
        ) from error


def _telling(function: Callable[P, R]) -> Callable[P, R]:
    """`DiskError` where the system refuses the folder (first argument, or the default)."""

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        given = args[0] if args else kwargs.get("folder")
        with _refusals(given if isinstance(given, Path) else cache_folder()):
            return function(*args, **kwargs)

    return told


@_telling
def cap(folder: Path | None = None) -> int:
    """Bytes that the store may keep: 10 GB or a fifth of the free disk, whichever is less.

    `AUTOTL_CACHE_GB` sets another figure. Raises `UsageError` where that is not a number.
    """
    folder = folder or cache_folder()
    stated = os.environ.get("AUTOTL_CACHE_GB")
    if stated:
        return _gigabytes(stated)
    return min(DEFAULT_CAP, (_free(folder) + _bytes(folder)) // 5)


@_telling
def usage(folder: Path | None = None) -> Usage:
    """What lies in the store now."""
    folder = folder or cache_folder()
    entries = sum(1 for _ in _records(folder))
    return Usage(folder=folder, entries=entries, bytes=_bytes(folder), cap=cap(folder))


@_telling
def clear(folder: Path | None = None) -> int:
    """Remove every entry that no process is using; gives the bytes that came free."""
    folder = folder or cache_folder()
    before = _bytes(folder)
    for entry in _records(folder):
        _remove_unless_held(entry)
    _sweep(folder, older_than=BEING_WRITTEN)
    return before - _bytes(folder)


def key_of(*parts: Any) -> str:
    """A digest of JSON values: 40 hex digits."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@contextmanager
def holding() -> Iterator[None]:
    """What is found or made inside is let go at the end; what was held before stays held."""
    before, count = set(_held), len(_closing)
    try:
        yield
    finally:
        for path in set(_held) - before:
            os.close(_held.pop(path))
        while len(_closing) > count:
            _closing.pop()()


def when_let_go(close: Callable[[], None]) -> None:
    """Call `close` when the `holding` block ends that this is called in."""
    _closing.append(close)


@_telling
def find(folder: Path, key: str, suffix: str = ".npy") -> Path | None:
    """The whole, undamaged entry, now held by this process; None where there is none.

    A damaged one (other size or checksum than written) is removed.
    """
    path, about = folder / f"{key}{suffix}", folder / f"{key}.json"
    if path in _held and path.exists():
        return path
    if not _hold(path, about):
        return None
    if _whole(path, about):
        with contextlib.suppress(OSError):  # a cache that can only be read serves as well
            os.utime(about)
        return path
    _let_go(path)
    _remove_unless_held(about)
    return None


@_telling
def make(
    folder: Path, key: str, writer: Callable[[Path], None], suffix: str = ".npy", **about: Any
) -> Path:
    """Write an entry, then what is known of it; it is held afterwards. Replaces an older one."""
    path = folder / f"{key}{suffix}"
    _let_go(path)
    write_atomically(path, writer)
    known = {**about, "size": path.stat().st_size, "sha256": _checksum(path)}
    write_atomically(folder / f"{key}.json", lambda p: _write_text(p, json.dumps(known)))
    if not _hold(path, folder / f"{key}.json"):
        raise DiskError(
            f"{path} vanished as soon as it was written.",
            hint="Is another program clearing the cache folder? AUTOTL_CACHE names another.",
        )
    return path


@contextmanager
def arrays(
    folder: Path, keys: Sequence[str], shapes: Sequence[tuple[int, ...]], dtypes: Sequence[Any]
) -> Iterator[list[NDArray[Any]]]:
    """Several arrays to be filled together; they become entries when the block ends well.

    Makes room first and raises `DiskError` where the disk is too small or the folder cannot
    be written. What the block raises goes through.
    """
    sizes = [int(np.prod(s)) * np.dtype(d).itemsize for s, d in zip(shapes, dtypes, strict=True)]
    make_room(folder, sum(sizes))
    drafts = [folder / f".writing-{key}-{os.getpid()}.npy" for key in keys]
    try:
        with _refusals(folder):
            opened = [_mapped(*each) for each in zip(drafts, shapes, dtypes, strict=True)]
        yield list(opened)
        with _refusals(folder):
            for array in opened:
                array.flush()
        del opened
        for key, draft, shape, dtype in zip(keys, drafts, shapes, dtypes, strict=True):
            make(folder, key, partial(_rename, draft), shape=list(shape), dtype=np.dtype(dtype).str)
    finally:
        for draft in drafts:
            with contextlib.suppress(OSError):  # what stopped the block is to be told
                draft.unlink()


@_telling
def fits(folder: Path, size: int) -> bool:
    """Whether `size` more bytes stay within the cap and the disk once idle entries have gone."""
    folder.mkdir(parents=True, exist_ok=True)
    held = sum(path.stat().st_size for path in _held if path.parent == folder and path.exists())
    return held + size <= cap(folder) and size + SPARE <= _free(folder) + _bytes(folder) - held


@_telling
def make_room(folder: Path, size: int) -> None:
    """Evict entries, least recently used first, until `size` bytes fit under the cap.

    What is in use stays, even beyond the cap, and so does what is larger than it: that is told
    once a process. Raises `DiskError` where the disk is full or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder, older_than=ABANDONED)
    limit = cap(folder)
    if size > limit:
        _tell_of_the_cap(folder, size, limit)
    for about in sorted(_records(folder), key=_used):
        if _bytes(folder) + size <= limit:
            break
        _remove_unless_held(about)
    if _free(folder) < size + SPARE:
        raise DiskError(
            f"No free disk for {size / 1e6:,.0f} MB in {folder}.",
            hint="Free some, or set AUTOTL_CACHE to a folder on a larger disk.",
        )


def _mapped(path: Path, shape: tuple[int, ...], dtype: Any) -> np.memmap[Any, Any]:
    """A new array in a file whose blocks are taken, so that filling it cannot meet a full disk.

    Writing to a mapped hole of a full disk ends the process (SIGBUS).
    """
    array: np.memmap[Any, Any] = npy.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        try:
            with path.open("r+b") as handle:
                os.posix_fallocate(handle.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
    return array


def _tell_of_the_cap(folder: Path, size: int, limit: int) -> None:
    if "cap" in _said:
        return
    _said.add("cap")
    _log.warning(
        "what is to be stored, %.3g GB, is larger than the cap of %.3g GB on %s, so it displaces "
        "everything else there; AUTOTL_CACHE_GB sets another cap",
        *(size / 1e9, limit / 1e9, folder),
    )


def _gigabytes(stated: str) -> int:
    try:
        size = int(float(stated) * 10**9)
    except (ValueError, OverflowError):
        size = -1
    if size < 0:
        raise UsageError(
            f"AUTOTL_CACHE_GB is {stated!r}, which is no number of gigabytes.",
            hint="Set it to a number such as 20, or unset it.",
        )
    return size


def _records(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.json") if OURS.fullmatch(path.stem)]


def _free(folder: Path) -> int:
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(existing).free


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _used(about: Path) -> float:
    try:
        return about.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _bytes(folder: Path) -> int:
    return sum(_size(path) for path in folder.glob("*")) if folder.is_dir() else 0


def _rename(old: Path, new: Path) -> None:
    old.replace(new)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text)


def _checksum(path: Path) -> str:
    """SHA-256 of a file, or of its size and 64 spread pieces where it is over 64 MB."""
    with path.open("rb") as handle:
        size = path.stat().st_size
        if size <= WHOLE:
            return hashlib.file_digest(handle, "sha256").hexdigest()
        digest = hashlib.sha256(str(size).encode())
        for start in np.linspace(0, size - CHUNK, WHOLE // CHUNK).astype(int):
            handle.seek(int(start))
            digest.update(handle.read(CHUNK))
        return digest.hexdigest()


def _whole(path: Path, about: Path) -> bool:
    try:
        known = json.loads(about.read_text())
        return bool(known["size"] == path.stat().st_size and known["sha256"] == _checksum(path))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _hold(path: Path, about: Path) -> bool:
    try:
        descriptor = os.open(about, os.O_RDONLY)
    except FileNotFoundError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    if not (path.exists() and about.exists()):
        os.close(descriptor)
        return False
    _let_go(path)
    _held[path] = descriptor
    return True


def _let_go(path: Path) -> None:
    if path in _held:
        os.close(_held.pop(path))


def _remove_unless_held(about: Path) -> None:
    try:
        descriptor = os.open(about, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in [about, *about.parent.glob(f"{about.stem}.*")]:
            path.unlink(missing_ok=True)
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)


def _sweep(folder: Path, *, older_than: float) -> None:
    """Remove drafts, and entries without their record, that nobody has touched for so long."""
    for path in folder.glob("*"):
        lone = OURS.fullmatch(path.stem) and not (folder / f"{path.stem}.json").exists()
        left = lone or path.name.startswith(".writing-")
        if left and _used(path) <= time.time() - older_than:
            path.unlink(missing_ok=True)
