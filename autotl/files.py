"""Whole files: found, written under another name and renamed, named by their SHA-256."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from autotl.errors import RunFolderError, UnreadableError, UsageError

if TYPE_CHECKING:
    from autotl.records import FileRef

_START_ANEW = "Start a new run in another folder."
_PUT_BACK = f"Put the file back as it was, or: {_START_ANEW[0].lower()}{_START_ANEW[1:]}"
MOST_IMAGE = 2**30
"""Bytes of one encoded image; the largest that is decoded has fewer even without compression."""
_NOWHERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


def look(path: Path) -> Literal["file", "folder", "other"] | None:
    """What lies there; None where nothing does, as under a name that no file can have.

    Raises `UsageError` where a folder on the way may not be searched.
    """
    try:
        mode = path.stat().st_mode
    except ValueError:  # a null character
        return None
    except OSError as error:
        if error.errno in _NOWHERE:
            return None
        raise UsageError(
            f"{path} cannot be looked at: {error.strerror}.",
            hint="Check the permissions of the folders above it.",
        ) from error
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "other"


def expanded(path: Path) -> Path:
    """The path with a leading ~ put in, or as it is where there is no such user."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def out_folder(out: str | Path | None) -> Path | None:
    """The folder that `--out` names, None where it is not given; raises `UsageError` for ""."""
    if out is None:
        return None
    if not str(out).strip():
        raise UsageError("--out is empty.", hint="Name a new folder, or leave the option out.")
    if "\0" in str(out):
        raise UsageError(f"--out is {str(out)!r}: no file's name holds a null character.")
    return expanded(Path(out))


def homeless(path: Path) -> bool:
    """Whether an expanded path still begins with a ~, for which there is no home folder."""
    return path.parts[:1] != () and path.parts[0].startswith("~")


def cache_home() -> Path:
    """The folder for what can be made again: `AUTOTL_CACHE`, by default the user's cache folder for
    autotl. Raises `UsageError` where that is in a home folder that there is not.
    """
    import platformdirs  # here, so that prediction need not load it

    named = os.environ.get("AUTOTL_CACHE")
    folder = expanded(Path(named or platformdirs.user_cache_path("autotl")))
    if homeless(folder):
        raise UsageError(
            f"The cache folder {folder} cannot be found: there is no home folder for its ~.",
            hint="Set AUTOTL_CACHE to a folder, by its whole path.",
        )
    return folder


def sha256(path: Path) -> str:
    """The SHA-256 of the file's content, in hex. Raises `OSError` where it cannot be read."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def file_ref(path: Path, root: Path) -> FileRef:
    """The record that names `path` relative to the folder `root`.

    Raises `ValueError` where the file lies outside `root`, `OSError` where it cannot be read.
    """
    from autotl.records import FileRef  # here, so that prediction need not load the records

    relative = path.resolve().relative_to(root.resolve()).as_posix()
    return FileRef(path=relative, sha256=sha256(path), size=path.stat().st_size)


def checked(ref: FileRef, root: Path) -> Path:
    """The absolute path of a recorded file; raises `RunFolderError` unless it is as recorded."""
    path = (root / ref.path).resolve()
    if not path.is_relative_to(root.resolve()):
        raise RunFolderError(
            f"The journal names a file outside the run folder: {ref.path}.", hint=_START_ANEW
        )
    if look(path) != "file":
        raise RunFolderError(
            f"{path} is missing, but the journal says it was written.", hint=_PUT_BACK
        )
    if path.stat().st_size != ref.size or sha256(path) != ref.sha256:
        raise RunFolderError(
            f"{path} is not the file that the run wrote: its content differs.", hint=_PUT_BACK
        )
    return path


def image_bytes(path: Path) -> bytes:
    """The content of an image's file.

    Raises `UnreadableError` for what is no regular file, since to open a pipe would wait for who
    writes into it and a device has no end, and for more than `MOST_IMAGE` bytes; `OSError` where
    the file cannot be read.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise UnreadableError("It is not a regular file.")
    if about.st_size > MOST_IMAGE:
        raise UnreadableError(f"The file has more than {MOST_IMAGE:,} bytes.")
    with path.open("rb") as handle:
        content = handle.read(MOST_IMAGE + 1)  # it may have grown
    if len(content) > MOST_IMAGE:
        raise UnreadableError(f"The file has more than {MOST_IMAGE:,} bytes.")
    return content


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
