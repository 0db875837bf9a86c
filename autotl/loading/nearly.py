"""What no loader reads but what could be made into what one reads: archives, loose arrays."""

from __future__ import annotations

import zipfile
from pathlib import Path
from shlex import quote

from autotl.errors import DataError

_UNPACK = {
    ".zip": "unzip {archive} -d {folder}",
    ".tar": "mkdir -p {folder} && tar -xf {archive} -C {folder}",
    ".rar": "unrar x {archive} {folder}/",
    ".7z": "7z x {archive} -o{folder}",
}
_TARRED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
_AS_TAR = dict.fromkeys(_TARRED, ".tar")


def nearly(path: Path) -> DataError | None:
    """The error for an archive or a file of arrays, or for a folder of nothing else; None for
    what is neither.
    """
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    else:
        files = [path]
    if not files or not all(each.is_file() for each in files):
        return None
    if all(_ending(each) for each in files):
        return _archives(files)
    if all(each.suffix.lower() == ".npy" for each in files):
        return _arrays(path, len(files))
    return None


def _ending(path: Path) -> str | None:
    """The ending of an archive's name; None of another file's."""
    name = path.name.lower()
    return next((ending for ending in (*_TARRED, *_UNPACK) if name.endswith(ending)), None)


def _archives(files: list[Path]) -> DataError:
    first = files[0]
    ending = str(_ending(first))
    folder = first.with_name(first.name[: -len(ending)] or "unpacked")
    if folder.exists():  # what is in it stays what it is
        folder = folder.with_name(f"{folder.name}-unpacked")
    inside = _only_folder(first) if ending == ".zip" else None
    command = _UNPACK[_AS_TAR.get(ending, ending)].format(
        archive=quote(str(first)), folder=quote(str(folder))
    )
    named = ", ".join(each.name for each in files[:5])
    several = f" and {len(files) - 5} more" if len(files) > 5 else ""
    return DataError(
        f"{named}{several} {'is an archive' if len(files) == 1 else 'are archives'}: "
        "images are read from folders.",
        hint=f"Unpack it first: {command}; then: autotl fit "
        f"{quote(str(folder / inside if inside else folder))}",
    )


def _only_folder(archive: Path) -> str | None:
    """The folder that holds everything in a zip file; None where there is none, or no telling."""
    try:
        with zipfile.ZipFile(archive) as opened:
            parts = [name.split("/") for name in opened.namelist()]
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return None  # torn or odd: it is refused all the same, only without naming a folder
    held = [each for each in parts if each[0] != "__MACOSX"]
    first = {each[0] for each in held}
    # a class folder alone is no data: what is looked for holds folders in turn
    deep = any(len(each) > 2 and each[2] for each in held)
    (only,) = first if len(first) == 1 else (None,)
    return only if deep and only not in ("", ".", "..", None) else None


def _arrays(path: Path, count: int) -> DataError:
    files = f"{count} .npy file{'s' * (count > 1)}"
    what = f"The folder {path} holds arrays ({files})" if path.is_dir() else f"{path} is one array"
    return DataError(
        f"{what}: which are images and which their labels is not known.",
        hint="Put them into one file, numpy.savez('data.npz', images=..., labels=...), or give "
        "them in Python: autotl.fit((images, labels)).",
    )
