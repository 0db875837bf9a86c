"""The loader of class folders, with or without train, validation and test folders above them.

    DATA/CLASS/IMAGE          or          DATA/train/CLASS/IMAGE, DATA/test/CLASS/IMAGE, ...

Only directories are listed here; images are opened one at a time by `Dataset.read`. Where images
lie deeper, `nested_folders` reads them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autotl.builtin.folder_listing import (
    Listing,
    folder_names,
    has_class_folders,
    holds_images,
    listing,
    not_followed,
    passed_over,
)
from autotl.builtin.folder_splits import EXPECTED, Part, parts_of, root_of, unexpected
from autotl.builtin.ids import unlike
from autotl.builtin.look_alikes import look_alikes
from autotl.builtin.near_misses import unsorted
from autotl.builtin.nested_folders import NESTED, TOP, is_deep
from autotl.builtin.split_names import split_of
from autotl.files import image_bytes
from autotl.hookspecs import hookimpl
from autotl.pixels import printable
from autotl.records import Dataset, Loader

NAME = "image-folders"


def matches(data: Any, options: Mapping[str, Any]) -> str | None:
    """Why `data` looks like image folders: a folder with images, and not in folders of classes'
    folders.
    """
    if not isinstance(data, str | os.PathLike) or not Path(data).expanduser().is_dir():
        return None
    top = listing(Path(data).expanduser())
    if not holds_images(top) or is_deep(top):
        return None
    given = [name for name in top.folders if split_of(name)]
    if given and any(holds_images(top.below(name)) for name in given):
        return f"it is a folder of images with {folder_names(given)}"
    return "it is a folder of images"


def load(data: Any, options: Mapping[str, Any]) -> Dataset:
    """The examples of the class folders, in the order of splits, class names and file names.

    Ids are paths relative to `data` with forward slashes; classes are the folder names, sorted.
    Raises `DataError`, with what was found, for a folder that is laid out in another way.
    """
    root = root_of(data)
    top = listing(root)
    parts, remarks = parts_of(top)
    _refuse_nested(root, parts)
    _refuse_unsorted(top, parts)
    examples, more = _examples(parts)
    if not examples:
        raise unexpected(root, f"The folder {data} holds no class folders with images.")
    classes = sorted({name for _, name, _ in examples})
    number = {name: place for place, name in enumerate(classes)}
    files = tuple(file for _, _, file in examples)
    base = root.absolute()
    return Dataset(
        kind="image",
        ids=unlike([printable(file) for file in files]),
        labels=tuple(number[name] for _, name, _ in examples),
        classes=tuple(classes),
        read=lambda row: image_bytes(base / files[row]),
        splits=None if parts[0].split is None else tuple(str(split) for split, _, _ in examples),
        warnings=(*remarks, *more, *look_alikes(classes, "classes")),
    )


def _refuse_nested(root: Path, parts: Sequence[Part]) -> None:
    nested = [
        folder
        for part in parts
        for _, folder in part.classes
        if not folder.images and has_class_folders(folder)
    ]
    if not nested:
        return
    only = len(nested) == 1 and len(parts[0].classes) == 1
    guess = f" Did you mean {nested[0].path}?" if only else ""
    message = (
        f"{folder_names([folder.path.relative_to(root).as_posix() for folder in nested])} "
        f"{'holds' if len(nested) == 1 else 'hold'} folders where images were expected.{guess}"
    )
    error = unexpected(root, message)
    if not only:
        error.hint += (
            f" Folders in class folders are read with --loader {NESTED} (the class is the path) or "
            f"--loader {TOP} (the class is the first folder)."
        )
    raise error


def _refuse_unsorted(top: Listing, parts: Sequence[Part]) -> None:
    """Raise `DataError` for one folder such as images/, where a table or names tell the classes."""
    held = [(name, folder) for part in parts for name, folder in part.classes if folder.images]
    if len({name for name, _ in held}) != 1:
        return
    name, folder = held[0]
    if hint := unsorted(name, folder, top):
        raise unexpected(
            top.path,
            f"All images lie in folders that are named {printable(name)}/, which is no class.",
            hint=f"{hint} {EXPECTED}",
        )


def _examples(parts: Sequence[Part]) -> tuple[list[tuple[str | None, str, str]], list[str]]:
    """(split, class, relative path) of every image, and remarks on what was passed over."""
    examples: list[tuple[str | None, str, str]] = []
    remarks: list[str] = []
    others: list[str] = []
    circles: list[str] = []
    for part in parts:
        circles += part.circles
        for name, folder in part.classes:
            path = f"{part.prefix}{folder.path.name}"
            others += folder.others
            circles += [f"{path}/{link}" for link in folder.circles]
            examples += [(part.split, name, f"{path}/{image}") for image in folder.images]
            if not folder.images:
                remarks.append(f"The folder {printable(path)}/ holds no images: left out.")
            elif has_class_folders(folder):
                remarks.append(
                    f"Folders inside the class folder {printable(path)}/ are not read: "
                    f"--loader {TOP} reads them as of that class, --loader {NESTED} as classes."
                )
    return examples, [*remarks, *passed_over(others), *not_followed(circles)]


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
