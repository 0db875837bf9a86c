"""The loader of class folders, with or without train, validation and test folders above them.

    DATA/CLASS/IMAGE          or          DATA/train/CLASS/IMAGE, DATA/test/CLASS/IMAGE, ...

Only directories are listed here; images are opened one at a time by `Dataset.read`. No listing
goes deeper than four levels, so that circles of symbolic links end.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

from autotl.builtin.split_names import split_of
from autotl.errors import DataError
from autotl.hookspecs import hookimpl
from autotl.pixels import IMAGE_SUFFIXES, printable
from autotl.records import SPLITS, Dataset, Loader

NAME = "image-folders"
EXPECTED = (
    "Expected one folder a class, DATA/CLASS/IMAGE, or the same under split folders, "
    "DATA/train/CLASS/IMAGE, DATA/test/CLASS/IMAGE and perhaps DATA/valid/CLASS/IMAGE."
)
_SYSTEM_NAMES = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"})
_DEPTH = 4
_MOST_LISTINGS = 5_000


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One directory: names of its folders and of its image files, sorted; other files' endings."""

    path: Path
    folders: tuple[str, ...]
    images: tuple[str, ...]
    others: tuple[str, ...]

    def below(self, name: str) -> Listing:
        """The listing of the folder `name` in it."""
        return listing(self.path / name)


@dataclass(frozen=True, kw_only=True)
class Part:
    """The class folders of one split; `split` is None and `prefix` empty without split folders."""

    split: str | None
    prefix: str
    classes: tuple[tuple[str, Listing], ...]


def matches(data: Any, options: Mapping[str, Any]) -> str | None:
    """Why `data` looks like image folders: a folder with images at most four levels down."""
    if not isinstance(data, str | os.PathLike) or not Path(data).expanduser().is_dir():
        return None
    top = listing(Path(data).expanduser())
    if not holds_images(top):
        return None
    given = [name for name in top.folders if split_of(name)]
    if given and any(holds_images(top.below(name)) for name in given):
        return f"it is a folder of images with {_names(given)}"
    return "it is a folder of images"


def load(data: Any, options: Mapping[str, Any]) -> Dataset:
    """The examples of the class folders, in the order of splits, class names and file names.

    Ids are paths relative to `data` with forward slashes; classes are the folder names, sorted.
    Raises `DataError`, with what was found, for a folder that is laid out in another way.
    """
    root = _root(data)
    top = listing(root)
    parts, remarks = _parts(top)
    _refuse_nested(root, parts)
    examples, more = _examples(parts)
    if not examples:
        raise _unexpected(root, f"The folder {data} holds no class folders with images.")
    classes = sorted({name for _, name, _ in examples})
    number = {name: place for place, name in enumerate(classes)}
    files = tuple(file for _, _, file in examples)
    base = root.absolute()
    return Dataset(
        kind="image",
        ids=tuple(printable(file) for file in files),
        labels=tuple(number[name] for _, name, _ in examples),
        classes=tuple(classes),
        read=lambda row: (base / files[row]).read_bytes(),
        splits=None if parts[0].split is None else tuple(str(split) for split, _, _ in examples),
        warnings=(*remarks, *more, *_look_alikes(classes)),
    )


def listing(path: Path) -> Listing:
    """What a directory holds, hidden and system files left out; raises `DataError`."""
    folders, images, others = [], [], []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.casefold() in _SYSTEM_NAMES:
                    continue
                suffix = PurePath(entry.name).suffix.lower()
                if _is_folder(entry):
                    folders.append(entry.name)
                elif suffix in IMAGE_SUFFIXES and (entry.is_symlink() or entry.is_file()):
                    images.append(entry.name)
                else:
                    others.append(suffix or "no ending")
    except OSError as error:
        raise DataError(f"The folder {path} cannot be listed: {error.strerror}.") from error
    return Listing(
        path=path,
        folders=tuple(sorted(folders)),
        images=tuple(sorted(images)),
        others=tuple(sorted(others)),
    )


def holds_images(folder: Listing, depth: int = _DEPTH) -> bool:
    """Whether an image lies in the folder or in one at most `depth` - 1 levels below it.

    No more than `_MOST_LISTINGS` directories are looked into.
    """
    return any(found.images for found in islice(_walk(folder, depth), _MOST_LISTINGS))


def _walk(folder: Listing, depth: int) -> Iterator[Listing]:
    yield folder
    if depth > 1:
        for name in folder.folders:
            yield from _walk(folder.below(name), depth - 1)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


def _root(data: Any) -> Path:
    if not isinstance(data, str | os.PathLike):
        raise DataError(f"Image folders are named by a path, not by a {type(data).__name__}.")
    root = Path(data).expanduser()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f"{data} {what}.", hint=EXPECTED)
    return root


def _parts(top: Listing) -> tuple[list[Part], list[str]]:
    """The split folders with their class folders, or one part for all; and remarks."""
    below = {name: top.below(name) for name in top.folders}
    with_classes = [
        name for name in below if split_of(name) and _has_class_folders(below[name], _DEPTH - 1)
    ]
    if not with_classes:
        _refuse_unlabelled(top, below)
        return [Part(split=None, prefix="", classes=_classes(top, below))], _beside(top)
    folder_of = _one_folder_a_split(top, with_classes)
    parts = [
        Part(split=split, prefix=f"{name}/", classes=_classes(below[name]))
        for split in SPLITS
        if (name := folder_of.get(split))
    ]
    remarks = [line for name in with_classes for line in _beside(below[name])]
    return parts, [*_beside(top), *_unused(below, with_classes), *remarks]


def _has_class_folders(folder: Listing, depth: int) -> bool:
    return any(holds_images(folder.below(name), depth - 1) for name in folder.folders)


def _classes(
    folder: Listing, below: Mapping[str, Listing] | None = None
) -> tuple[tuple[str, Listing], ...]:
    """(class name, listing) of each folder; names in Unicode's composed form, as typed."""
    known = below or {}
    return tuple(
        (unicodedata.normalize("NFC", printable(name)), known.get(name) or folder.below(name))
        for name in folder.folders
    )


def _one_folder_a_split(top: Listing, names: Iterable[str]) -> dict[str, str]:
    folders = defaultdict(list)
    for name in names:
        folders[str(split_of(name))].append(name)
    for split, twice in folders.items():
        if len(twice) > 1:
            raise _unexpected(top.path, f"{_names(twice)} all name the {split} split: keep one.")
    if "train" not in folders:
        raise _unexpected(top.path, f"There is {_names(list(names))} but no train folder.")
    return {split: name for split, (name,) in folders.items()}


def _refuse_unlabelled(top: Listing, below: Mapping[str, Listing]) -> None:
    with_images = [name for name in below if below[name].images]
    if with_images and all(split_of(name) for name in with_images):
        raise _unexpected(
            top.path, f"{_names(with_images)} hold images directly, without class folders."
        )
    if not with_images and top.images:
        raise _unexpected(
            top.path,
            f"The folder {top.path} holds {len(top.images)} images directly, "
            "so that their classes are not known.",
        )


def _refuse_nested(root: Path, parts: Sequence[Part]) -> None:
    nested = [
        folder
        for part in parts
        for _, folder in part.classes
        if not folder.images and _has_class_folders(folder, _DEPTH - 1)
    ]
    if not nested:
        return
    only = len(nested) == 1 and len(parts[0].classes) == 1
    guess = f" Did you mean {nested[0].path}?" if only else ""
    raise _unexpected(
        root,
        f"{_names([folder.path.relative_to(root).as_posix() for folder in nested])} "
        f"{'holds' if len(nested) == 1 else 'hold'} folders where images were expected.{guess}",
    )


def _examples(parts: Sequence[Part]) -> tuple[list[tuple[str | None, str, str]], list[str]]:
    """(split, class, relative path) of every image, and remarks on what was passed over."""
    examples: list[tuple[str | None, str, str]] = []
    remarks: list[str] = []
    others: Counter[str] = Counter()
    for part in parts:
        for name, folder in part.classes:
            path = f"{part.prefix}{folder.path.name}"
            others.update(folder.others)
            examples += [(part.split, name, f"{path}/{image}") for image in folder.images]
            if not folder.images:
                remarks.append(f"The folder {printable(path)}/ holds no images: left out.")
            elif _has_class_folders(folder, _DEPTH - 1):
                remarks.append(f"Folders inside the class folder {printable(path)}/ are not read.")
    if others:
        kinds = ", ".join(f"{count} {printable(kind)}" for kind, count in others.most_common(5))
        remarks.append(f"Files in class folders that are no images were passed over: {kinds}.")
    return examples, remarks


def _beside(folder: Listing) -> list[str]:
    if not folder.images:
        return []
    where = printable(folder.path.name)
    count = len(folder.images)
    what = "image belongs to no class and is" if count == 1 else "images belong to no class and are"
    return [f"{count:,} {what} not used: directly in {where}/."]


def _unused(below: Mapping[str, Listing], used: Sequence[str]) -> list[str]:
    rest = [name for name in below if name not in used and holds_images(below[name], _DEPTH - 1)]
    if not rest:
        return []
    return [f"Not used, as no split with class folders: {_names(rest)} beside {_names(used)}."]


def _look_alikes(classes: Sequence[str]) -> list[str]:
    alike = defaultdict(list)
    for name in classes:
        alike["".join(name.split()).casefold()].append(name)
    return [
        "These classes differ only by case or blanks: " + ", ".join(f"'{n}'" for n in names) + "."
        for names in alike.values()
        if len(names) > 1
    ]


def _unexpected(root: Path, message: str) -> DataError:
    return DataError(message, details=("Found:", *tree(root)), hint=EXPECTED)


def tree(root: Path, *, depth: int = 3, most: int = 4) -> list[str]:
    """A few lines that draw a directory: at most `most` folders a level, `depth` levels."""
    return _branches(listing(root), f"{printable(str(root)).rstrip('/')}/", depth, most)


def _branches(folder: Listing, name: str, depth: int, most: int) -> list[str]:
    amounts = ((len(folder.images), "image"), (len(folder.others), "other file"))
    held = ", ".join(f"{count:,} {what}{'s' * (count > 1)}" for count, what in amounts if count)
    lines = [f"{name}  {held}".rstrip()]
    shown = folder.folders[:most] if depth > 1 else ()
    for child in shown:
        below = _branches(folder.below(child), f"{printable(child)}/", depth - 1, most)
        lines += [f"  {line}" for line in below]
    if hidden := len(folder.folders) - len(shown):
        lines.append(f"  ({hidden:,}{' more' if shown else ''} folders)")
    return lines


def _names(folders: Sequence[str], most: int = 5) -> str:
    named = [f"{printable(name)}/" for name in folders[:most]]
    if len(folders) > most:
        return f"{', '.join(named)} and {len(folders) - most} more"
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


@hookimpl
def autotl_loaders() -> list[Loader]:
    """The loader `image-folders`."""
    return [
        Loader(
            name=NAME,
            description="one folder a class, with or without train, valid and test folders",
            matches=matches,
            load=load,
        )
    ]
