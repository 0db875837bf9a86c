"""What is to be labelled: paths, folders, encoded bytes, arrays, or a generator of these."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sized
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.errors import DataError, UsageError
from autotl.files import look
from autotl.pixels import IMAGE_SUFFIXES, printable

Content = Path | bytes | NDArray[np.uint8] | Callable[[], Any]
"""Encoded, or pixels, or where they come from: a file, or what gives bytes or pixels when asked."""
Item = tuple[str, Content]
"""The id of an input, and where its pixels come from."""


def items(inputs: Any) -> tuple[Iterable[Item], int]:
    """Every input with its id, folders as the images in them; and how many there are.

    What has a length is looked through at once; what has none (a generator) is taken item by item,
    and its number is 0. Raises `UsageError` and `DataError`, for a generator when it comes to it.
    """
    if isinstance(inputs, np.ndarray) and inputs.ndim == 4:
        return ((str(number), image) for number, image in enumerate(inputs)), len(inputs)
    single = isinstance(inputs, str | bytes | os.PathLike | np.ndarray)
    every = [inputs] if single else inputs
    if not isinstance(every, Iterable):
        raise _unknown(inputs)
    found = (item for number, given in enumerate(every) for item in _found(given, number))
    if not isinstance(every, Sized):
        return found, 0
    known = list(found)
    return known, len(known)


def _found(given: Any, number: int) -> Iterator[Item]:
    if isinstance(given, bytes | np.ndarray):
        yield str(number), given
        return
    if not isinstance(given, str | os.PathLike):
        raise _unknown(given)
    name = os.fsdecode(given)
    path = Path(name)
    found = look(path)
    if found == "folder":
        yield from in_folder(path)
        return
    if found is None:
        raise UsageError(f"There is no file or folder {path}.")
    yield printable(name), path


def _unknown(given: Any) -> UsageError:
    return UsageError(
        f"An input of type {type(given).__name__} cannot be labelled.",
        hint="Give paths, encoded bytes, or uint8 arrays.",
    )


def in_folder(folder: Path) -> Iterator[Item]:
    """The images in a folder and in those below it, by path; raises `DataError` for none."""
    paths = sorted(
        path
        for above, _, names in os.walk(folder, onerror=_raise_unlisted)
        for path in (Path(above, name) for name in names)
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )
    if not paths:
        raise DataError(
            f"There are no images in {folder}.",
            hint=f"Files are known by their suffix: {', '.join(sorted(IMAGE_SUFFIXES))}.",
        )
    yield from ((printable(str(path)), path) for path in paths)


def _raise_unlisted(error: OSError) -> None:
    raise DataError(
        f"The folder {error.filename} cannot be listed: {error.strerror}.",
        hint="Check its permissions, or leave it out.",
    ) from error
