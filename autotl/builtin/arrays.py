"""The loader of NumPy arrays: `.npz` files, and arrays given through the Python API.

    (images, labels)                      a pair
    {"images": ..., "labels": ...}        also x/y; classes, splits and groups beside them
    {"x_train": ..., "y_train": ..., "x_test": ..., "y_test": ...}        given splits

An `.npz` file holds the same names. It is read without pickle.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.builtin import tf_datasets
from autotl.builtin.array_values import Scaling, classes_and_labels, scaling, to_pixels
from autotl.builtin.frames import holds_frames
from autotl.builtin.split_names import split_of_word, words_of
from autotl.errors import DataError
from autotl.hookspecs import hookimpl
from autotl.records import SPLITS, Dataset, Loader, is_nothing

NAME = "arrays"
EXPECTED = (
    "Expected images and labels of equal length: a pair (images, labels), or the names images "
    "and labels (or x and y), or x_train, y_train, x_test and y_test."
)
_ROLES = {
    "images": ("x", "images", "image", "imgs", "pixels", "inputs"),
    "labels": ("y", "labels", "label", "targets", "target"),
}
_ROLE_OF = {word: role for role, words in _ROLES.items() for word in words}
_EXTRAS = {
    "classes": ("classes", "class_names", "classnames", "label_names"),
    "splits": ("splits", "split"),
    "groups": ("groups", "group"),
}
_EXTRA_OF = {word: role for role, words in _EXTRAS.items() for word in words}


@dataclass(frozen=True, kw_only=True)
class Named:
    """Arrays by role: images and labels for each split (None: without splits), and extras."""

    images: Mapping[str | None, Any]
    labels: Mapping[str | None, Any]
    extras: Mapping[str, Any]
    passed_over: tuple[str, ...]


def matches(data: Any, options: Mapping[str, Any]) -> str | None:
    """Why `data` is arrays: an `.npz` file, a pair of arrays, or a mapping that names them."""
    if isinstance(data, str | os.PathLike):
        path = Path(data).expanduser()
        is_archive = path.suffix.lower() == ".npz" and path.is_file()
        return "it is an .npz file" if is_archive else None
    if tf_datasets.among(data) or holds_frames(data):
        return None
    if isinstance(data, Mapping):
        return "it is a mapping of arrays"
    if isinstance(data, tuple | list) and len(data) == 2:
        return "it is a pair of images and labels"
    return None


def load(data: Any, options: Mapping[str, Any]) -> Dataset:
    """The arrays as a dataset, in their order; images stay as they are until they are read.

    Images are (n, height, width) or (n, height, width, 1|3|4), or a sequence of such single
    images; integers 0 to 255 (0 to 65,535 for uint16) or floats 0 to 1 or 0 to 255. Labels are
    whole numbers, strings, or one-hot rows. Raises `DataError` for anything else, regression
    and multi-label targets among it.
    """
    named = _sorted_out(_mapping(data))
    order = [split for split in (None, *SPLITS) if split in named.images]
    images = [_images(named.images[split], split) for split in order]
    targets = [_labels(named.labels[split], split) for split in order]
    for split, pictures, target in zip(order, images, targets, strict=True):
        if len(pictures) != len(target):
            raise DataError(
                f"There are {len(pictures):,} images but {len(target):,} labels{_of(split)}."
            )
    classes, labels = classes_and_labels(targets, named.extras.get("classes"))
    how = scaling([image for pictures in images for image in _spans(pictures)])
    rows = _Rows(images, how)
    groups, alone = _groups(named, len(labels))
    return Dataset(
        kind="image",
        ids=tuple(_ids(order, images)),
        labels=labels,
        classes=classes,
        read=rows.read,
        groups=groups,
        splits=_splits(named, order, images),
        warnings=(*how.remarks, *alone, *_passed_over(named)),
    )


class _Rows:
    """Single images out of one array a split, scaled as they are read."""

    def __init__(self, images: Sequence[Any], how: Scaling) -> None:
        self._images = images
        self._ends = np.cumsum([len(pictures) for pictures in images])
        self._how = how

    def read(self, row: int) -> Any:
        """Encoded bytes, or uint8 pixels (height, width) or (height, width, channels)."""
        part = int(np.searchsorted(self._ends, row, side="right"))
        first = int(self._ends[part - 1]) if part else 0
        image = self._images[part][row - first]
        return image if isinstance(image, bytes) else to_pixels(np.asarray(image), self._how)


def _mapping(data: Any) -> Mapping[str, Any]:
    if isinstance(data, str | os.PathLike):
        return _archive(Path(data).expanduser())
    if isinstance(data, Mapping):
        return data
    if isinstance(data, tuple | list) and len(data) == 2:
        return {"images": data[0], "labels": data[1]}
    raise DataError(f"A {type(data).__name__} is not a pair of arrays.", hint=EXPECTED)


def _archive(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        what = "is no file" if path.exists() else "does not exist"
        raise DataError(f"{path} {what}.", hint="Give the path of an .npz file.")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except MemoryError:
        raise
    except Exception as error:  # zipfile, its decompressors and NumPy each raise their own types
        raise DataError(
            f"{path} cannot be read as an .npz file without pickle: {error}",
            hint="Save plain arrays: numpy.savez(file, images=..., labels=...).",
        ) from error


def _sorted_out(arrays: Mapping[str, Any]) -> Named:
    roles: dict[str, dict[str | None, Any]] = {"images": {}, "labels": {}}
    extras: dict[str, Any] = {}
    passed_over = []
    for name, values in arrays.items():
        role, split = _role(str(name))
        if role in _EXTRAS:
            extras[role] = values
        elif role is None:
            passed_over.append(str(name))
        elif split in roles[role]:
            raise DataError(f"Two arrays give the {role}{_of(split)}.", details=_shapes(arrays))
        else:
            roles[role][split] = values
    found = Named(
        images=roles["images"],
        labels=roles["labels"],
        extras=extras,
        passed_over=tuple(passed_over),
    )
    _check_roles(found, arrays)
    return found


def _role(name: str) -> tuple[str | None, str | None]:
    """("images"|"labels"|an extra|None, split or None) that an array's name says."""
    if extra := _EXTRA_OF.get(name.casefold()):
        return extra, None
    words = words_of(name)
    roles = [role for word in words if (role := _ROLE_OF.get(word))]
    splits = [split for word in words if (split := split_of_word(word))]
    if len(roles) != 1 or len(splits) > 1 or len(roles) + len(splits) != len(words):
        return None, None
    return roles[0], splits[0] if splits else None


def _check_roles(found: Named, arrays: Mapping[str, Any]) -> None:
    if not found.images or found.images.keys() != found.labels.keys():
        raise DataError(
            "The names of the arrays do not say which are images and which their labels.",
            details=_shapes(arrays),
            hint=EXPECTED,
        )
    if None in found.images and len(found.images) > 1:
        raise DataError(
            "There are images both with and without a split in their name.", details=_shapes(arrays)
        )


def _shapes(arrays: Mapping[str, Any]) -> tuple[str, ...]:
    lines = [f"{name}: {_shape(values)}" for name, values in arrays.items()]
    return tuple(lines[:12])


def _shape(values: Any) -> str:
    if isinstance(values, np.ndarray):
        return f"{values.dtype} {values.shape}"
    return type(values).__name__


def _images(values: Any, split: str | None) -> Any:
    """An array (n, height, width[, channels]), or a sequence of single images or bytes."""
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return values
    array = np.asarray(values)
    good = array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (1, 3, 4))
    if good and array.dtype.kind in "buif":
        return array
    hint = ""
    if array.ndim == 4 and array.shape[1] in (1, 3, 4):
        hint = "The channels seem to come first: numpy.moveaxis(images, 1, -1) moves them."
    elif array.ndim == 2:
        hint = "Flat rows of pixels need their shape: images.reshape(n, height, width)."
    raise DataError(
        f"The images{_of(split)} are {array.dtype} of shape {array.shape}, not numbers of shape "
        "(n, height, width) or (n, height, width, 1|3|4).",
        hint=hint,
    )


def _labels(values: Any, split: str | None) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(f"The labels{_of(split)} are of unequal lengths.") from error


def _spans(images: Any) -> Iterator[Any]:
    """The pixels in pieces: blocks of an array, or single images of a sequence."""
    if isinstance(images, np.ndarray):
        for start in range(0, len(images), 1024):
            yield images[start : start + 1024]
    else:
        yield from (image for image in images if not isinstance(image, bytes))


def _ids(order: Sequence[str | None], images: Sequence[Any]) -> Iterator[str]:
    for split, pictures in zip(order, images, strict=True):
        prefix = f"{split}/" if split else ""
        yield from (f"{prefix}{row:06d}" for row in range(len(pictures)))


def _splits(
    named: Named, order: Sequence[str | None], images: Sequence[Any]
) -> tuple[str, ...] | None:
    if order == [None]:
        return _extra(named, "splits", len(images[0]))
    return tuple(
        str(split) for split, some in zip(order, images, strict=True) for _ in range(len(some))
    )


def _groups(named: Named, count: int) -> tuple[tuple[str, ...] | None, list[str]]:
    """Each image's group, one of its own where it names none; and a remark on those."""
    groups = _extra(named, "groups", count)
    if groups is None:
        return None, []
    without = groups.count("")
    what = "1 image names" if without == 1 else f"{without:,} images name"
    return (
        tuple(group or f"\0{row}" for row, group in enumerate(groups)),
        [f"{what} no group: each is one of its own."] if without else [],
    )


def _extra(named: Named, role: str, count: int) -> tuple[str, ...] | None:
    if role not in named.extras:
        return None
    given = named.extras[role]
    found = np.asarray(given, dtype=object if isinstance(given, list | tuple) else None).ravel()
    values = tuple("" if is_nothing(value) else str(value) for value in found)
    if len(values) != count:
        raise DataError(f"There are {count:,} images but {len(values):,} {role}.")
    if role == "splits":
        return tuple(split_of_word(value.casefold()) or value for value in values)
    return values


def _passed_over(named: Named) -> tuple[str, ...]:
    if not named.passed_over:
        return ()
    names = ", ".join(named.passed_over[:8])
    return (f"Arrays whose names say neither images nor labels were passed over: {names}.",)


def _of(split: str | None) -> str:
    return f" of the {split} split" if split else ""


@hookimpl
def autotl_loaders() -> list[Loader]:
    """The loader `arrays`."""
    return [
        Loader(
            name=NAME,
            description="images and labels in an .npz file, or as arrays through the Python API",
            matches=matches,
            load=load,
        )
    ]
