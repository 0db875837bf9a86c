"""Opening, reopening and locking a run folder."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping
from importlib import metadata
from itertools import takewhile
from pathlib import Path
from platform import python_version
from shlex import quote
from typing import Any

import filelock
import msgspec

from autotl.errors import DiskError, RunFolderError
from autotl.files import look, write_atomically
from autotl.run.folder import LOCK, Run
from autotl.run.journal import Journal, disk

SCHEMA = "autotl-run/1"
LEAST_FREE_BYTES = 64 << 20
LONGEST_STEM = 200
"""Bytes of the data's name in the run folder's; file systems allow 255 in all."""

_FACTS = {"schema": str, "name": str, "request": dict, "versions": dict, "plugins": dict}
_LOST = "Put back a copy of it if there is one, or start a new run."
_OWN_REMAINS = re.compile(r"\.lock|\.writing-.*")
_UNFINISHED = re.compile(r"\.(writing|gate|probe)-.+")
_LEFT_IN = (".*", "trials/*/.*", "export/.*")
_NAMED = (
    "autotl",
    "keras",
    "keras-tuner",
    "numpy",
    "onnx",
    "onnxruntime",
    "pillow",
    "scikit-learn",
    "tensorflow",
    "tf2onnx",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that decide results, by name; ours also
    where it runs from a folder without being installed.
    """
    found = {"python": python_version(), "autotl": "not installed"}
    for name in _NAMED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def open_run(
    out: Path | None,
    request: Mapping[str, Any],
    *,
    name: str,
    plugins: Mapping[str, str] | None = None,
) -> Run:
    """A new run in `out`, or in a new folder `autotl-runs/NAME-N` where `out` is None.

    `request` is JSON-ready; `plugins` maps distributions to versions. Raises `RunFolderError`
    where `out` is not empty, a file, or not writable, `DiskError` where the disk is full.
    """
    root = Path("autotl-runs") if out is None else out
    made = _missing(root.absolute())
    folder = _new_folder(root, name) if out is None else _empty_folder(root)
    if out is None:
        made = (folder.absolute(), *made)
    with disk(folder):
        _check_free(folder)
        lock = _lock(folder)
        try:
            described = {
                "schema": SCHEMA,
                "name": name,
                "request": dict(request),
                "versions": versions(),
                "plugins": dict(plugins or {}),
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
            text = msgspec.json.format(msgspec.json.encode(described), indent=2)
            write_atomically(folder / "run.json", lambda path: _write(path, text))
            journal = Journal.open(folder / "journal.jsonl")
            return Run(folder, described, lock, journal, fresh=True, made=made)
        except BaseException:
            lock.release()
            raise


def reopen(path: Path | str, *, read_only: bool = False, locked: bool = False) -> Run:
    """The run that `path` holds, locked for this process; with `read_only` neither locked nor
    changed in any way, or where it is to be `locked`, with its journal left as it is.

    Raises `RunFolderError` where there is no run, another process works on it, or its journal is
    damaged before its last line. A torn last line is cut off; files that a killed process had not
    finished are removed.
    """
    folder = Path(path)
    described = _described(folder)
    journal = folder / "journal.jsonl"
    if read_only and not locked:
        return Run(folder, described, None, Journal.read(journal))
    if not os.access(folder, os.W_OK):
        raise RunFolderError(
            f"{folder} cannot be written: Permission denied.",
            hint="Go on with it as the user whose it is, or copy it.",
        )
    with disk(folder):
        _check_free(folder)
        lock = _lock(folder)
        try:
            known = Journal.read(journal) if read_only else Journal.open(journal)
            run = Run(folder, described, lock, known)
            _sweep(folder)
            return run
        except BaseException:
            lock.release()
            raise


def _sweep(folder: Path) -> None:
    """Remove what a killed process had not finished; only for the holder of the lock."""
    for path in (path for pattern in _LEFT_IN for path in folder.glob(pattern)):
        if not _UNFINISHED.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _missing(folder: Path) -> tuple[Path, ...]:
    """The folder and those above it that do not exist, the lowest first."""
    return tuple(takewhile(lambda path: look(path) is None, (folder, *folder.parents)))


def _new_folder(root: Path, name: str) -> Path:
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"
    stem = stem.encode()[:LONGEST_STEM].decode(errors="ignore")
    with disk(root):
        root.mkdir(exist_ok=True)
        number = 1
        while True:
            folder = root / f"{stem}-{number}"
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
            else:
                return folder


def _empty_folder(out: Path) -> Path:
    if look(out) not in (None, "folder"):
        raise RunFolderError(f"{out} is a file.", hint="Name a folder that does not exist yet.")
    with disk(out):
        out.mkdir(parents=True, exist_ok=True)
        names = [path.name for path in out.iterdir()]
    if "run.json" in names:
        raise RunFolderError(
            f"{out} holds another run.",
            hint=f"Continue it with `autotl resume {quote(str(out))}`, or name another folder.",
        )
    if not all(_OWN_REMAINS.fullmatch(name) for name in names):
        raise RunFolderError(
            f"{out} is not empty and holds no run.", hint="Name a new or an empty folder."
        )
    return out


def _described(folder: Path) -> dict[str, Any]:
    file = folder / "run.json"
    if look(file) != "file":
        said = "holds no run: run.json is missing" if look(folder) else "does not exist"
        raise RunFolderError(f"{folder} {said}.", hint="Name the folder that `autotl fit` made.")
    try:
        found = msgspec.json.decode(file.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise RunFolderError(f"{file} cannot be read: {error}.", hint=_LOST) from error
    if not isinstance(found, dict):
        raise RunFolderError(f"{file} cannot be read: it holds no JSON object.", hint=_LOST)
    if missing := sorted(_FACTS.keys() - found):
        raise RunFolderError(f"{file} is incomplete: {', '.join(missing)} missing.", hint=_LOST)
    if found["schema"] != SCHEMA:
        raise RunFolderError(
            f"{file} has schema {found['schema']}; this autotl reads {SCHEMA}.",
            hint="Use the version of autotl that wrote it, or start a new run.",
        )
    if wrong := sorted(name for name, kind in _FACTS.items() if type(found[name]) is not kind):
        raise RunFolderError(
            f"{file} is damaged: {', '.join(wrong)} of another kind than autotl writes.",
            hint=_LOST,
        )
    return found


def _check_free(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise DiskError(
            f"Only {free / 1e6:.0f} MB are free where {folder} lies; "
            f"a run needs at least {LEAST_FREE_BYTES / 1e6:.0f} MB.",
            hint="Free some space, or name a folder on another disk with --out.",
        )


def _lock(folder: Path) -> filelock.FileLock:
    lock = filelock.FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise RunFolderError(
            f"Another process is working on {folder}.", hint="Wait until it ends, or end it."
        ) from error
    return lock


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
