"""The loaders of trees of folders, where images lie below the folders of their classes.

    nested-folders     DATA/animals/cat/IMAGE      the class is the path of folders: animals/cat
    top-folders        DATA/cat/outdoors/IMAGE     the class is the first folder: cat
    grouped-folders    DATA/cat/patient7/IMAGE     the same, and what lies in one folder below a
                                                   class stays on one side of every split

Train, validation and test folders may lie above the classes, for top-folders and grouped-folders
also directly in them. Whether a folder in a class is a session, a patient or a kind of its own, no
name tells for certain: so `grouped-folders` is never taken unless it is named. A group's name
counts across classes: cat/patient7 and dog/patient7 are one group.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autotl.builtin.folder_listing import (
    DEEPEST,
    Listing,
    Walk,
    folder_names,
    holds_images,
    listing,
    not_followed,
    passed_over,
    shows_image,
)
from autotl.builtin.folder_splits import (
    class_name,
    parts_of,
    root_of,
    unexpected,
    with_classes,
)
from autotl.builtin.ids import unlike
from autotl.builtin.look_alikes import look_alikes
from autotl.builtin.split_names import split_of
from autotl.errors import DataError
from autotl.files import image_bytes
from autotl.hookspecs import hookimpl
from autotl.pixels import printable
from autotl.records import SPLITS, Dataset, Loader

NESTED = "nested-folders"
TOP = "top-folders"
GROUPED = "grouped-folders"


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A folder with images of its own: its split, the names of the folders from the class down to
    it, its path below the data, and its images' file names.
    """

    split: str | None
    names: tuple[str, ...]
    path: str
    images: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The folders with images, in the order of splits and paths, and remarks on the rest."""

    leaves: tuple[Leaf, ...]
    remarks: tuple[str, ...]


def is_deep(top: Listing) -> bool:
    """Whether some class folder holds no images but folders that do, and more than one folder lies
    where class folders are expected (a single one rather wraps the data).
    """
    splits = [top.below(name) for name in with_classes(top)]
    places = splits or [top]
    deep = [
        place.path / name
        for place in places
        for name in place.folders
        if not shows_image(place.path / name) and holds_images(place.below(name))
    ]
    wrapped = len(deep) == 1 and len(places[0].folders) == 1
    return bool(deep) and not wrapped


def matches(data: Any, options: Mapping[str, Any], *, how: str) -> str | None:
    """Why `data` is a tree of folders that the loader `how` reads: `grouped-folders` only where it
    is named, the others also where class folders hold folders with images.
    """
    if not isinstance(data, str | os.PathLike) or not Path(data).expanduser().is_dir():
        return None
    top = listing(Path(data).expanduser())
    named = str(options.get("loader", "")).casefold() == how
    if not holds_images(top) or not (named or (how != GROUPED and is_deep(top))):
        return None
    try:
        leaves = _tree(top).leaves
    except DataError:  # the layout is refused with its reason when it is loaded
        return _what(how) if named or how == NESTED else None
    if not named and how not in _candidates(leaves):
        return None
    return _reason(how, leaves)


def load(data: Any, options: Mapping[str, Any], *, how: str) -> Dataset:
    """The examples of the tree, in the order of splits and paths.

    Ids are paths relative to `data` with forward slashes. Raises `DataError`, with what was found,
    where no folder below the data holds images, and for too many folders.
    """
    root = root_of(data)
    found = _tree(listing(root))
    if not found.leaves:
        raise unexpected(root, f"The folder {data} holds no folders with images.")
    leaves = found.leaves if how == NESTED else _split_inside(found.leaves)
    rows = [(leaf, image) for leaf in leaves for image in leaf.images]
    classes = sorted({_class(how, leaf) for leaf in leaves})
    number = {name: place for place, name in enumerate(classes)}
    files = tuple(f"{leaf.path}/{image}" for leaf, image in rows)
    ids = unlike([printable(file) for file in files])
    base = root.absolute()
    groups = tuple(map(_group, (leaf for leaf, _ in rows), ids)) if how == GROUPED else None
    return Dataset(
        kind="image",
        ids=ids,
        labels=tuple(number[_class(how, leaf)] for leaf, _ in rows),
        classes=tuple(classes),
        read=lambda row: image_bytes(base / files[row]),
        groups=groups,
        splits=None if leaves[0].split is None else tuple(str(leaf.split) for leaf, _ in rows),
        warnings=(*found.remarks, *_about(how, leaves), *look_alikes(classes, "classes")),
    )


def _tree(top: Listing) -> Tree:
    """Every folder with images at most `DEEPEST` levels down; raises `DataError`."""
    parts, remarks = parts_of(top)
    walk = Walk()
    leaves: list[Leaf] = []
    others: list[str] = []
    for part in parts:
        walk.circles += part.circles
        for name, folder in part.classes:
            first = f"{part.prefix}{folder.path.name}"
            before = len(leaves)
            for path, found in walk.through(folder, DEEPEST - 1 - bool(part.split), first):
                others += found.others
                if found.images:
                    inner = path.split("/")[first.count("/") + 1 :]
                    leaf = Leaf(
                        split=part.split,
                        names=(name, *map(class_name, inner)),
                        path=path,
                        images=found.images,
                    )
                    leaves.append(leaf)
            if len(leaves) == before:
                remarks.append(f"The folder {printable(first)}/ holds no images: left out.")
    return Tree(
        leaves=tuple(leaves), remarks=(*remarks, *passed_over(others), *_not_followed(walk))
    )


def _not_followed(walk: Walk) -> list[str]:
    remarks = not_followed(walk.circles)
    if walk.too_deep:
        named = folder_names(walk.too_deep)
        remarks.append(f"Folders more than {DEEPEST} levels down are not read: those in {named}.")
    return remarks


def _split_inside(leaves: tuple[Leaf, ...]) -> tuple[Leaf, ...]:
    """The leaves with the splits that folders directly in the classes name, where all do."""
    if not _swapped(leaves):
        return leaves
    moved = [
        Leaf(
            split=split_of(leaf.names[1]),
            names=(leaf.names[0], *leaf.names[2:]),
            path=leaf.path,
            images=leaf.images,
        )
        for leaf in leaves
    ]
    return tuple(sorted(moved, key=lambda leaf: (SPLITS.index(str(leaf.split)), leaf.path)))


def _swapped(leaves: Sequence[Leaf]) -> bool:
    """Whether the folders are CLASS/SPLIT/... throughout, train among the splits."""
    if any(leaf.split is not None or len(leaf.names) < 2 for leaf in leaves):
        return False
    splits = {split_of(leaf.names[1]) for leaf in leaves}
    return None not in splits and "train" in splits and len(splits) > 1


def _candidates(leaves: Sequence[Leaf]) -> tuple[str, ...]:
    """The loaders that may be meant: `nested-folders` alone where no two classes' folders are
    named alike, numbers aside, and none holds images beside folders.
    """
    if _swapped(leaves):
        return (TOP,)
    firsts = defaultdict(set)
    for leaf in leaves:
        for name in leaf.names[1:] or ("",):
            firsts[_bare(name)].add(leaf.names[0])
    recurs = any(len(found) > 1 for found in firsts.values())
    mixed = any(len(leaf.names) == 1 for leaf in leaves)
    return (NESTED, TOP) if recurs or mixed or "" in firsts else (NESTED,)


def _bare(name: str) -> str:
    """A folder's name without case, digits and what parts words: "" of a date."""
    return re.sub(r"[\W\d_]+", "", name.casefold())


def _class(how: str, leaf: Leaf) -> str:
    return "/".join(leaf.names) if how == NESTED else leaf.names[0]


def _group(leaf: Leaf, name: str) -> str:
    """The folder directly in the class; an image that lies in none is a group of its own."""
    return leaf.names[1] if len(leaf.names) > 1 else name


def _what(how: str) -> str:
    return f"it is a tree of folders: {_DESCRIPTIONS[how]}"


def _reason(how: str, leaves: Sequence[Leaf]) -> str:
    classes = {each: len({_class(each, leaf) for leaf in leaves}) for each in (NESTED, TOP)}
    deep = next((leaf for leaf in leaves if len(leaf.names) > 1), leaves[0])
    example = _class(how, deep)
    inside = " with train, validation or test folders in them" if _swapped(leaves) else ""
    if how == NESTED:
        return (
            f"it is a tree of folders: the class is the path, such as {example} "
            f"({_count(classes[NESTED])}); --loader {TOP} takes the first folder "
            f"({_count(classes[TOP])})"
        )
    told = f"it is a tree of folders{inside}: the class is the first folder, such as {example} "
    if how == TOP:
        return (
            f"{told}({_count(classes[TOP])}), whatever lies below; --loader {GROUPED} also keeps "
            f"what lies in one folder below it together, as of one patient or session"
            + ("" if inside else f"; --loader {NESTED} takes the path ({_count(classes[NESTED])})")
        )
    groups = {leaf.names[1] for leaf in _split_inside(tuple(leaves)) if len(leaf.names) > 1}
    return (
        f"{told}({_count(classes[TOP])}), and each folder below it a group "
        f"({len(groups):,}) that stays on one side of every split; --loader {TOP} has no groups"
    )


def _count(classes: int) -> str:
    return f"{classes:,} class{'es' * (classes != 1)}"


def _about(how: str, leaves: Sequence[Leaf]) -> list[str]:
    """A remark on folders named as sessions or patients are, whose images are parted."""
    inner = {leaf.names[1] for leaf in leaves if len(leaf.names) > 1}
    bare = {_bare(name) for name in inner}
    if how != TOP or not inner or len(bare) > len(inner) / 3:
        return []
    return [
        f"Images of one folder below a class, such as {folder_names(sorted(inner)[:2])}, may come "
        "into training and test alike; if each is a patient or a session, figures will be too "
        f"good: --loader {GROUPED} keeps each on one side."
    ]


_DESCRIPTIONS = {
    NESTED: "folders in folders, the class is the path",
    TOP: "folders in folders, the class is the first folder",
    GROUPED: "folders in folders, the class is the first folder, each folder in it a group",
}


@hookimpl
def autotl_loaders() -> list[Loader]:
    """The loaders `nested-folders`, `top-folders` and `grouped-folders`."""
    return [
        Loader(
            name=name,
            description=description,
            matches=partial(matches, how=name),
            load=partial(load, how=name),
        )
        for name, description in _DESCRIPTIONS.items()
    ]
