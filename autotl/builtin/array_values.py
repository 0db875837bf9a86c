"""What the numbers in arrays mean: grey values as uint8 pixels, targets as classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.errors import DataError

_DIM = 64
"""Integers that nowhere reach this are taken as they are, and the user is told."""
_OVERSHOT = 0.05
"""Share of their largest value by which floats may lie outside 0 to 1, or 0 to 255, and are cut off
there: rounding does that, and resizing with a sharp kernel.
"""


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """What every value is multiplied by before it is rounded to uint8 and cut off at 0 and 255, and
    remarks on it.
    """

    factor: float
    remarks: tuple[str, ...] = ()


def scaling(pieces: Iterable[Any]) -> Scaling:
    """How values become 0 to 255, from the range of all of them; raises `DataError`.

    Floats and whole numbers that lie between 0 and 1 are multiplied by 255, uint16 with values
    above 255 is divided by 257, what lies between 0 and 255 stays. Floats may lie outside by 5 % of
    the largest value; they are cut off.
    """
    least, most, kinds = _range(pieces)
    if not np.isfinite([least, most]).all():
        raise DataError("The images hold values that are not finite numbers.")
    slack = _OVERSHOT if "f" in kinds else 0.0
    top = 1 if most <= 1 + slack else 255
    if least < -slack * most or (least < 0 and top == 255 and most < _DIM):
        raise DataError(
            f"The images hold values from {least:g} to {most:g}: negative ones are no pixels.",
            hint="Undo the normalisation: give 0 to 255 as uint8, or floats from 0 to 1.",
        )
    if most <= top * (1 + slack):
        return Scaling(factor=255.0 / top, remarks=_remarks(least, most, top, kinds))
    if most <= 65535 and kinds <= {"u", "i"}:
        remark = f"The images hold values up to {most:g}: 16 bits were made 8 by value / 257."
        return Scaling(factor=1 / 257, remarks=(remark,))
    raise DataError(
        f"The images hold values up to {most:g}: neither 0 to 1 nor 0 to 255.",
        hint="Give 0 to 255 as uint8, or floats from 0 to 1.",
    )


def _remarks(least: float, most: float, top: int, kinds: set[str]) -> tuple[str, ...]:
    """What is said of values that were found to mean 0 to `top`."""
    if least < 0 or most > top:
        also = " and multiplied by 255" if top == 1 else ""
        return (
            f"The images hold values from {least:.9g} to {most:.9g}, a little outside 0 to {top}: "
            f"they were cut off there{also}.",
        )
    if top == 1:
        remark = "All values of the images lie between 0 and 1: they were multiplied by 255."
        return () if kinds == {"b"} else (remark,)
    dim = f"The largest value of the images is {most:g} of 255: they are taken as they are."
    return (dim,) if most < _DIM else ()


def to_pixels(image: NDArray[Any], how: Scaling) -> NDArray[np.uint8]:
    """The image's values as uint8 of the same shape."""
    if image.dtype == np.uint8 and how.factor == 1.0:
        return image
    grey = np.rint(image.astype(np.float64) * how.factor)
    return np.clip(grey, 0, 255).astype(np.uint8)


def classes_and_labels(
    targets: Sequence[NDArray[Any]], names: Any = None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Class names, and each target's place among them.

    `targets` are one array a split: whole numbers, strings or booleans (n,) or (n, 1), or one-hot
    rows (n, classes). With `names`, whole numbers are places in them and strings occur in them;
    without, the classes are the distinct values, sorted. Raises `DataError`.
    """
    columns = [column(target) for target in targets]
    if len({column.dtype.kind for column in columns}) > 1:
        raise DataError("The labels of one split are numbers and of another strings.")
    values = np.concatenate(columns)
    if names is None:
        distinct, places = np.unique(values, return_inverse=True)
        return tuple(str(value) for value in distinct), tuple(places.tolist())
    classes = tuple(str(name) for name in np.asarray(names).ravel())
    if len(set(classes)) != len(classes):
        raise DataError("A class name occurs twice.")
    return classes, _places(values, classes)


def column(target: NDArray[Any]) -> NDArray[Any]:
    """What `classes_and_labels` takes as integers or strings (n,); raises `DataError`."""
    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    if target.dtype.kind == "T" or (
        target.dtype == object and all(isinstance(value, str) for value in target.flat)
    ):
        target = target.astype(np.str_)
    if target.ndim == 2 and target.dtype.kind in "buif":
        return _from_one_hot(target)
    if target.ndim != 1 or target.dtype.kind not in "buifUS":
        raise DataError(
            f"The labels are {target.dtype} of shape {target.shape}, not one class an example."
        )
    if target.dtype.kind == "f":
        return _whole(target)
    if target.dtype.kind == "S":
        return np.char.decode(target, "utf-8", "replace")
    return target if target.dtype.kind == "U" else target.astype(np.int64)


def _range(pieces: Iterable[Any]) -> tuple[float, float, set[str]]:
    least, most = 0.0, 0.0
    kinds: set[str] = set()
    for piece in pieces:
        values = np.asarray(piece)
        if values.dtype.kind not in "buif":
            raise DataError(f"An image is {values.dtype} of shape {values.shape}, not numbers.")
        kinds.add(values.dtype.kind)
        if values.size:
            least, most = np.minimum(least, values.min()), np.maximum(most, values.max())
    return (float(least), float(most), kinds) if kinds else (0.0, 255.0, kinds)


def _from_one_hot(target: NDArray[Any]) -> NDArray[np.int64]:
    if not np.isin(target, (0, 1)).all():
        raise DataError(
            f"The labels are rows of {target.shape[1]} numbers (regression or soft targets); "
            "classification needs one class an example."
        )
    several = int((target.sum(axis=1) != 1).sum())
    if several:
        raise DataError(
            f"{several:,} of {len(target):,} examples bear several labels or none (multi-label); "
            "classification needs one class an example."
        )
    return np.asarray(target.argmax(axis=1), dtype=np.int64)


def _whole(target: NDArray[Any]) -> NDArray[np.int64]:
    fractions = target[~np.isfinite(target) | (target != np.rint(target))]
    if fractions.size:
        raise DataError(
            f"The labels are numbers such as {fractions[0]:g}, not classes (regression).",
            hint="Give whole numbers or strings, one a class.",
        )
    return target.astype(np.int64)


def _places(values: NDArray[Any], classes: tuple[str, ...]) -> tuple[int, ...]:
    if values.dtype.kind == "U":
        place = {name: number for number, name in enumerate(classes)}
        if unknown := sorted(set(values.tolist()) - place.keys()):
            raise DataError(f"The label '{unknown[0]}' is none of the {len(classes)} class names.")
        return tuple(place[name] for name in values.tolist())
    if values.size and not (values.min() >= 0 and values.max() < len(classes)):
        raise DataError(
            f"The labels run from {values.min()} to {values.max()}, but there are "
            f"{len(classes)} class names."
        )
    return tuple(values.tolist())
