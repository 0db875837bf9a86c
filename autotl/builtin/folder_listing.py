"""Folders listed and drawn; no listing opens a file.

Listings go `DEEPEST` levels down and no further. A link that leads back to a folder above itself,
the data's own folder included, is not followed, and no more than `MOST_FOLDERS` directories are
listed for one set of data.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePath

from autotl.errors import DataError
from autotl.pixels import IMAGE_SUFFIXES, printable

DEEPEST = 8
"""How many levels below the data images are looked for, the data's own included."""
MOST_FOLDERS = 50_000
"""Directories that a tree may have."""
_MOST_LISTINGS = 5_000
_SYSTEM_NAMES = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"})


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One directory: names of its folders and of its image files, sorted; other files' endings.

    `circles` are the names of links to a folder above it or to itself, which are no folders of it;
    `above` identifies these folders, from the data's own on.
    """

    path: Path
    folders: tuple[str, ...]
    images: tuple[str, ...]
    others: tuple[str, ...]
    circles: tuple[str, ...] = ()
    above: tuple[tuple[int, int], ...] = ()

    def below(self, name: str) -> Listing:
        """The listing of the folder `name` in it."""
        return listing(self.path / name, self.above)


@dataclass(kw_only=True)
class Walk:
    """What was met on walks through one set of data: directories, and the paths of links that were
    not followed and of folders with more in them than was looked into.
    """

    folders: int = 0
    circles: list[str] = field(default_factory=list)
    too_deep: list[str] = field(default_factory=list)

    def through(
        self, folder: Listing, depth: int = DEEPEST, path: str = ""
    ) -> Iterator[tuple[str, Listing]]:
        """(path with forward slashes, listing) of `folder`, whose path is given, and of each folder
        in it, a folder before what it holds. Raises `DataError` for too many directories.
        """
        self.folders += 1
        if self.folders > MOST_FOLDERS:
            raise DataError(
                f"There are more than {MOST_FOLDERS:,} folders in the data.",
                hint="Name a folder that holds fewer, or give a table of files and labels.",
            )
        yield path, folder
        self.circles += [f"{path}/{name}" if path else name for name in folder.circles]
        if depth <= 1 and folder.folders:
            self.too_deep.append(path)
            return
        for name in folder.folders:
            inner = f"{path}/{name}" if path else name
            yield from self.through(folder.below(name), depth - 1, inner)


def listing(path: Path, above: tuple[tuple[int, int], ...] = ()) -> Listing:
    """What a directory holds, hidden and system files left out; `above` identifies the folders of
    the data that it lies in. Raises `DataError`.
    """
    above = (*above, _identity(path))
    folders: list[str] = []
    circles: list[str] = []
    images, others = [], []
    for entry in _entries(path):
        suffix = PurePath(entry.name).suffix.lower()
        if _is_folder(entry):
            (circles if _identity(Path(entry.path)) in above else folders).append(entry.name)
        elif _is_image(entry):
            images.append(entry.name)
        else:
            others.append(suffix or "no ending")
    return Listing(
        path=path,
        folders=tuple(sorted(folders)),
        images=tuple(sorted(images)),
        others=tuple(sorted(others)),
        circles=tuple(sorted(circles)),
        above=above,
    )


def shows_image(path: Path) -> bool:
    """Whether an image lies directly in the folder, which is listed as far as the first one."""
    return any(not _is_folder(entry) and _is_image(entry) for entry in _entries(path))


def holds_images(folder: Listing, depth: int = DEEPEST) -> bool:
    """Whether an image lies in the folder or in one at most `depth` - 1 levels below it.

    No more than `_MOST_LISTINGS` directories are looked into.
    """
    walk = Walk().through(folder, depth)
    return any(found.images for _, found in islice(walk, _MOST_LISTINGS))


def has_class_folders(folder: Listing, depth: int = DEEPEST - 1) -> bool:
    """Whether a folder in this one holds images, or one at most `depth` - 1 levels below it."""
    return any(holds_images(folder.below(name), depth - 1) for name in folder.folders)


def tree(root: Path, *, depth: int = 3, most: int = 4) -> list[str]:
    """A few lines that draw a directory: at most `most` folders a level, `depth` levels."""
    return _branches(listing(root), f"{printable(str(root)).rstrip('/')}/", depth, most)


def folder_names(folders: Sequence[str], most: int = 5) -> str:
    """Folders as a sentence names them: a/, b/ and c/."""
    named = [f"{printable(name)}/" for name in folders[:most]]
    if len(folders) > most:
        return f"{', '.join(named)} and {len(folders) - most} more"
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def passed_over(others: Iterable[str]) -> list[str]:
    """A remark on files in class folders that are no images, by their endings."""
    counted = Counter(others)
    if not counted:
        return []
    kinds = ", ".join(f"{count} {printable(kind)}" for kind, count in counted.most_common(5))
    return [f"Files in class folders that are no images were passed over: {kinds}."]


def not_followed(circles: Sequence[str]) -> list[str]:
    """A remark on links that lead back, by their paths."""
    if not circles:
        return []
    named = folder_names(circles)
    return [f"Links that lead back to a folder above them were not followed: {named}."]


def _entries(path: Path) -> Iterator[os.DirEntry[str]]:
    """What a directory holds, hidden and system files left out; raises `DataError`."""
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.name.casefold() not in _SYSTEM_NAMES:
                    yield entry
    except OSError as error:
        raise DataError(
            f"The folder {path} cannot be listed: {error.strerror}.",
            hint="Check its permissions, or move it elsewhere.",
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


def _is_image(entry: os.DirEntry[str]) -> bool:
    suffix = PurePath(entry.name).suffix.lower()
    return suffix in IMAGE_SUFFIXES and (entry.is_symlink() or entry.is_file())


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"The folder {path} cannot be looked at: {error.strerror}.") from error
    return found.st_dev, found.st_ino


def _branches(folder: Listing, name: str, depth: int, most: int) -> list[str]:
    amounts = ((len(folder.images), "image"), (len(folder.others), "other file"))
    held = ", ".join(f"{count:,} {what}{'s' * (count > 1)}" for count, what in amounts if count)
    lines = [f"{name}  {held}".rstrip()]
    shown = folder.folders[:most] if depth > 1 else ()
    for child in shown:
        below = _branches(folder.below(child), f"{printable(child)}/", depth - 1, most)
        lines += [f"  {line}" for line in below]
    lines += [f"  {printable(name)}/  leads back" for name in folder.circles[:most]]
    if hidden := len(folder.folders) - len(shown):
        lines.append(f"  ({hidden:,}{' more' if shown else ''} folders)")
    return lines
