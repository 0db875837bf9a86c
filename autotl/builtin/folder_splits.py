"""The split folders above class folders: which there are, and what of a layout is refused."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autotl.builtin.folder_listing import (
    Listing,
    folder_names,
    has_class_folders,
    holds_images,
    tree,
)
from autotl.builtin.near_misses import boxes, unlabelled
from autotl.builtin.split_names import split_of
from autotl.errors import DataError
from autotl.pixels import printable
from autotl.records import SPLITS

EXPECTED = (
    "Expected one folder a class, DATA/CLASS/IMAGE, or the same under split folders, "
    "DATA/train/CLASS/IMAGE, DATA/test/CLASS/IMAGE and perhaps DATA/valid/CLASS/IMAGE."
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """The class folders of one split; `split` is None and `prefix` empty without split folders.

    `circles` are the paths of links beside the class folders that lead back, and, in the first
    part, of those beside the split folders.
    """

    split: str | None
    prefix: str
    classes: tuple[tuple[str, Listing], ...]
    circles: tuple[str, ...]


def root_of(data: Any) -> Path:
    """The folder that `data` names; raises `DataError` where it names none."""
    if not isinstance(data, str | os.PathLike):
        raise DataError(f"Image folders are named by a path, not by a {type(data).__name__}.")
    root = Path(data).expanduser()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f"{data} {what}.", hint=EXPECTED)
    return root


def with_classes(top: Listing) -> list[str]:
    """The names of split folders that hold class folders."""
    return [name for name in top.folders if split_of(name) and has_class_folders(top.below(name))]


def parts_of(top: Listing) -> tuple[list[Part], list[str]]:
    """The split folders with their class folders, or one part for all; and remarks.

    Raises `DataError`, with what was found, where images have no class folders, where two folders
    name one split, or none names train.
    """
    below = {name: top.below(name) for name in top.folders}
    _refuse_boxes(top, below)
    given = [name for name in below if split_of(name) and has_class_folders(below[name])]
    if not given:
        _refuse_unlabelled(top, below)
        classes = _classes(top, below)
        return [Part(split=None, prefix="", classes=classes, circles=top.circles)], _beside(top)
    folder_of = _one_folder_a_split(top, given)
    parts = [
        Part(
            split=split,
            prefix=f"{name}/",
            classes=_classes(below[name]),
            circles=tuple(f"{name}/{link}" for link in below[name].circles),
        )
        for split in SPLITS
        if (name := folder_of.get(split))
    ]
    parts[0] = replace(parts[0], circles=(*top.circles, *parts[0].circles))
    remarks = [line for name in given for line in _beside(below[name])]
    return parts, [*_beside(top), *_unused(below, given), *remarks]


def class_name(name: str) -> str:
    """A folder's name as a class: printable, and in Unicode's composed form, as typed."""
    return unicodedata.normalize("NFC", printable(name))


def unexpected(root: Path, message: str, *, hint: str = EXPECTED) -> DataError:
    """The error for a layout that cannot be read, with a drawing of what was found."""
    return DataError(message, details=("Found:", *tree(root)), hint=hint)


def _classes(
    folder: Listing, below: Mapping[str, Listing] | None = None
) -> tuple[tuple[str, Listing], ...]:
    """(class name, listing) of each folder."""
    known = below or {}
    return tuple(
        (class_name(name), known.get(name) or folder.below(name)) for name in folder.folders
    )


def _one_folder_a_split(top: Listing, names: Iterable[str]) -> dict[str, str]:
    folders = defaultdict(list)
    for name in names:
        folders[str(split_of(name))].append(name)
    for split, twice in folders.items():
        if len(twice) > 1:
            raise unexpected(
                top.path, f"{folder_names(twice)} all name the {split} split: keep one."
            )
    if "train" not in folders:
        raise unexpected(
            top.path,
            f"There is {folder_names(list(names))} but no train folder.",
            hint=f"Add DATA/train/CLASS/IMAGE, or name one folder alone: it is split for you. "
            f"{EXPECTED}",
        )
    return {split: name for split, (name,) in folders.items()}


def _refuse_boxes(top: Listing, below: Mapping[str, Listing]) -> None:
    if sign := boxes(top, below):
        raise unexpected(
            top.path,
            f"{printable(str(top.path))} looks like data for object detection: {sign}. "
            "Boxes are not learned here: an image gets one label as a whole.",
            hint="Cut each box out and put it into a folder of its class, or give a table with "
            "the columns file and label, one label an image.",
        )


def _refuse_unlabelled(top: Listing, below: Mapping[str, Listing]) -> None:
    with_images = [name for name in below if below[name].images]
    if with_images and all(split_of(name) for name in with_images):
        first = below[with_images[0]]
        raise unexpected(
            top.path,
            f"{folder_names(with_images)} hold images directly, without class folders.",
            hint=unlabelled(first, EXPECTED, top=top),
        )
    if not with_images and top.images:
        count = len(top.images)
        held = "1 image directly, so that its class is"
        if count > 1:
            held = f"{count:,} images directly, so that their classes are"
        raise unexpected(
            top.path,
            f"The folder {top.path} holds {held} not known.",
            hint=unlabelled(top, EXPECTED, top=top),
        )


def _beside(folder: Listing) -> list[str]:
    if not folder.images:
        return []
    where = printable(folder.path.name)
    count = len(folder.images)
    what = "image belongs to no class and is" if count == 1 else "images belong to no class and are"
    return [f"{count:,} {what} not used: directly in {where}/."]


def _unused(below: Mapping[str, Listing], used: Sequence[str]) -> list[str]:
    rest = [name for name in below if name not in used and holds_images(below[name])]
    if not rest:
        return []
    return [
        f"Not used, as no split with class folders: {folder_names(rest)} beside "
        f"{folder_names(used)}."
    ]
