"""Examples kept as resized uint8 pixels, so that no trial decodes any; where they do not fit the
store, rows are decoded when they are read.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autotl import pixels
from autotl.activations import store
from autotl.calls import Progress
from autotl.errors import DataError, UnreadableError
from autotl.records import Dataset, LocatedBackbone, SetAside, StoredPixels
from autotl.rows import Server, Source
from autotl.scaling import check_resize

VERSION = 1
"""Raised whenever decoding or resizing gives other pixels than before."""
TYPES: dict[str, Any] = {"labels": np.int32, "decode": np.float64}
"""Of the parts that are not pixels."""
TIMED = 16
"""Rows on which decoding is timed."""
SMALL = 64
"""Side to which they are resized then: what that takes depends more on the image itself."""

_log = logging.getLogger("autotl")


@dataclass(frozen=True, kw_only=True)
class StoredRows:
    """Rows of a dataset, uint8 (len(rows), size, size, 3), in the order of `rows`: what
    `autotl.rows.opened` opens at `path`.

    `rows` are those asked for without the unreadable ones, which are in `set_aside`. `key` is a
    digest of their content and size.
    """

    path: Path
    rows: tuple[int, ...]
    key: str
    set_aside: tuple[SetAside, ...] = ()


def store_pixels(
    dataset: Dataset,
    hashes: Sequence[str],
    split_rows: tuple[Sequence[int], Sequence[int]],
    located: LocatedBackbone,
    *,
    folder: Path,
    crops: bool = True,
    progress: Progress | None = None,
) -> StoredPixels:
    """Decode training and validation rows, and store them in two sizes.

    The larger one, with a margin, is of the training rows; without `crops`, which says that
    augmented views may be cut from it, it is left out. `hashes` are SHA-256 (hex) of the content
    of each example; equal content, rows, labels and sizes find the entries of an earlier call, and
    only missing ones are filled. Where they do not fit the store, a server of this process decodes
    them whenever they are read, until the `holding` block around this ends; that is logged. Raises
    `DataError` where an example can no longer be read, `ResourceError` where the disk is full or
    `folder` cannot be written.
    """
    train, validation = split_rows
    rows = [*train, *validation]
    size = located.preprocessing.size
    margin = size * 8 // 7
    labels = [dataset.labels[row] for row in rows]
    content = [hashes[row] for row in rows]
    policy = located.preprocessing.resize
    key = store.key_of("pixels", *_decoder(), content, labels, len(train), size, margin, policy)
    images = _Images(dataset=dataset, rows=rows, hashes=content, policy=policy)
    shapes = {"pixels": (len(rows), size, size, 3), "margin": (len(train), margin, margin, 3)}
    keys = {part: store.key_of(key, part) for part in (*shapes, "labels", "decode")}
    paths = {part: store.find(folder, name) for part, name in keys.items()}
    parts = {**shapes, "labels": (len(rows),), "decode": (1,)}
    # room is asked for both at once, wanted or not: what is measured holds for a later `crops` too
    size_left = sum(math.prod(shape) for part, shape in shapes.items() if paths[part] is None)
    stored = not size_left or store.fits(folder, size_left)
    wanted = [*shapes] if crops else ["pixels"]
    kept = [*(wanted if stored else ()), "labels", "decode"]
    missing = {part: parts[part] for part in kept if paths[part] is None}
    if missing:
        _keep(images, labels, missing, keys, folder, progress)
        paths = {part: store.find(folder, name) for part, name in keys.items()}
    if not stored:
        left = [part for part in wanted if paths[part] is None]
        paths |= _served(images, {part: shapes[part] for part in left})
    return StoredPixels(
        pixels=str(paths["pixels"]),
        margin=str(paths["margin"] or "") if crops else "",
        labels=str(paths["labels"]),
        train=len(train),
        validation=len(validation),
        size=size,
        margin_size=margin,
        classes=len(dataset.classes),
        key=key,
        stored=stored,
        decode=float(np.load(str(paths["decode"]), allow_pickle=False)[0]),
    )


def _keep(
    images: _Images,
    labels: Sequence[int],
    shapes: Mapping[str, tuple[int, ...]],
    keys: Mapping[str, str],
    folder: Path,
    progress: Progress | None,
) -> None:
    """Store parts of these shapes: pixels, labels, the seconds that decoding a row takes."""
    types = [TYPES.get(part, np.uint8) for part in shapes]
    names = [keys[part] for part in shapes]
    with store.arrays(folder, names, list(shapes.values()), types) as made:
        arrays = dict(zip(shapes, made, strict=True))
        if "labels" in arrays:
            arrays["labels"][:] = labels
        pictures = [array for part, array in arrays.items() if part not in TYPES]
        begun = time.perf_counter()
        failed = _fill(images, pictures, progress) if pictures else {}
        seconds = (time.perf_counter() - begun) / max(map(len, pictures), default=1)
        if "decode" in arrays:
            arrays["decode"][:] = seconds if pictures else _seconds(images)
        if failed:
            raise images.changed(failed)


def store_rows(
    dataset: Dataset,
    rows: Sequence[int],
    hashes: Sequence[str],
    located: LocatedBackbone,
    folder: Path,
    progress: Progress | None = None,
) -> StoredRows:
    """Decode rows (the test split, say) and store them at the input size.

    Unreadable ones are set aside, and the store is then filled again for the others. What does not
    fit the store is decoded whenever it is read, as in `store_pixels`. Raises `ResourceError` as
    that does.
    """
    size, resize = located.preprocessing.size, located.preprocessing.resize
    content = [hashes[row] for row in rows]
    key = store.key_of("rows", *_decoder(), content, size, resize)
    path = store.find(folder, key)
    if path is not None:
        return StoredRows(path=path, rows=tuple(rows), key=key)
    images = _Images(dataset=dataset, rows=rows, hashes=content, policy=resize)
    shape = (len(rows), size, size, 3)
    stored = store.fits(folder, math.prod(shape))
    failed: dict[int, str] = {}
    try:
        if stored:
            with store.arrays(folder, [key], [shape], [np.uint8]) as arrays:
                failed = _fill(images, arrays, progress)
                if failed:
                    raise images.changed(failed)
        else:
            failed = _fill(images, [], progress)
            if failed:
                raise images.changed(failed)
    except DataError:
        kept = [row for position, row in enumerate(rows) if position not in failed]
        if not failed or not kept:
            raise
        again = store_rows(dataset, kept, hashes, located, folder, progress)
        aside = tuple(SetAside(id=dataset.ids[rows[p]], reason=failed[p]) for p in sorted(failed))
        return replace(again, set_aside=aside + again.set_aside)
    path = folder / f"{key}.npy" if stored else _served(images, {"rows": shape})["rows"]
    return StoredRows(path=path, rows=tuple(rows), key=key)


def _decoder() -> tuple[int, str]:
    """What decodes and resizes."""
    return VERSION, metadata.version("pillow")


@dataclass(frozen=True, kw_only=True)
class _Images:
    """Rows of a dataset, and SHA-256 of what each held when it was loaded."""

    dataset: Dataset
    rows: Sequence[int]
    hashes: Sequence[str]
    policy: Literal["squash", "crop"]

    def sized(self, position: int, sizes: Sequence[int]) -> list[NDArray[np.uint8]]:
        """uint8 (size, size, 3) for each size.

        Raises `UnreadableError` or OSError, also where the content is another by now.
        """
        content = self.dataset.read(self.rows[position])
        if pixels.content_hash(content) != self.hashes[position]:
            raise UnreadableError("Its content is not what was loaded.")
        largest = max(sizes, default=1)
        if pixels.shorter_side(content) >= largest:  # nothing grows, so nothing grows huge
            return pixels.resized(content, sizes, self.policy)
        image = pixels.decode(content)
        height, width, _ = image.shape
        check_resize(height, width, largest, self.policy)
        return [pixels.resize(image, size, self.policy) for size in sizes]

    def resized(self, position: int, size: int) -> NDArray[np.uint8]:
        """uint8 (size, size, 3); raises `DataError` where `sized` raises."""
        try:
            return self.sized(position, [size])[0]
        except (UnreadableError, OSError) as error:
            raise self.changed({position: str(error)}) from error

    def changed(self, failed: dict[int, str]) -> DataError:
        """What to say of rows that cannot be read any more (position → why)."""
        lines = tuple(f"{self.dataset.ids[self.rows[p]]}: {failed[p]}" for p in sorted(failed))
        return DataError(
            f"{len(failed)} examples cannot be read any more as they were loaded.",
            hint="Was the data changed while it was being used? Start again once it is at rest. "
            "Otherwise take these examples out.",
            details=lines[:10],
        )


def _fill(
    images: _Images, arrays: Sequence[NDArray[Any]], progress: Progress | None
) -> dict[int, str]:
    """Fill the arrays (shorter ones with the first rows only); position → why it failed."""
    count = max(map(len, arrays), default=len(images.rows))

    def one(position: int) -> str | None:
        wanted = [array for array in arrays if position < len(array)]
        try:
            found = images.sized(position, [array.shape[1] for array in wanted])
        except (UnreadableError, OSError) as error:
            return str(error)
        for array, image in zip(wanted, found, strict=True):
            array[position] = image
        return None

    failed: dict[int, str] = {}
    threads = ThreadPoolExecutor(_cores())
    try:
        with pixels.pillow_warnings_ignored():
            tasks = {threads.submit(one, position): position for position in range(count)}
            for done, task in enumerate(as_completed(tasks), start=1):
                reason = task.result()
                if reason is not None:
                    failed[tasks[task]] = reason
                if progress is not None:
                    progress("decode", done, count)
    finally:  # Ctrl-C must not wait for all that is still queued
        threads.shutdown(cancel_futures=True)
    return failed


def _served(images: _Images, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Path]:
    """Where rows of these shapes are decoded when they are read, until they are let go."""
    sources = {
        name: Source(shape=shape, read=partial(images.resized, size=shape[1]))
        for name, shape in shapes.items()
    }
    _log.warning(
        "the images would take %.3g GB as pixels, for which the store has no room (its cap, or the "
        "disk), so they are decoded anew for every pass; AUTOTL_CACHE_GB sets another cap, "
        "AUTOTL_CACHE another folder",
        sum(map(math.prod, shapes.values())) / 1e9,
    )
    quiet = ExitStack()
    quiet.enter_context(pixels.pillow_warnings_ignored())
    server = Server(sources)
    quiet.callback(server.close)
    store.when_let_go(quiet.close)
    return {name: server.path(name) for name in shapes}


def _seconds(images: _Images) -> float:
    """Seconds that decoding a row takes, timed on a few, with every core at it."""
    count = len(images.rows)
    chosen = range(0, count, max(1, count // TIMED))[:TIMED]
    begun = time.perf_counter()
    with pixels.pillow_warnings_ignored(), ThreadPoolExecutor(_cores()) as threads:
        list(threads.map(partial(images.resized, size=SMALL), chosen))
    return (time.perf_counter() - begun) / len(chosen)


def _cores() -> int:
    return len(os.sched_getaffinity(0))
