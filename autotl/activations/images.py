"""Examples kept as resized uint8 pixels, so that no trial decodes any."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autotl import pixels
from autotl.activations import store
from autotl.errors import DataError, UnreadableError
from autotl.records import Dataset, LocatedBackbone, SetAside, StoredPixels

Progress = Callable[[str, int, int], None] | None
VERSION = 1
"""Raised whenever decoding or resizing gives other pixels than before."""


@dataclass(frozen=True, kw_only=True)
class StoredRows:
    """Rows of a dataset as `.npy` uint8 (len(rows), size, size, 3), in the order of `rows`.

    `rows` are those asked for without the unreadable ones, which are in `set_aside`.
    """

    path: Path
    rows: tuple[int, ...]
    set_aside: tuple[SetAside, ...] = ()


def store_pixels(
    dataset: Dataset,
    hashes: Sequence[str],
    split_rows: tuple[Sequence[int], Sequence[int]],
    located: LocatedBackbone,
    *,
    folder: Path,
    progress: Progress = None,
) -> StoredPixels:
    """Decode training and validation rows, each once, and store them in two sizes.

    `hashes` are SHA-256 (hex) of the content of each example; equal content, rows, labels and
    sizes find the entries of an earlier call and decode nothing. Raises `DataError` where an
    example can no longer be read, `ResourceError` where the disk is full or `folder` cannot be
    written.
    """
    train, validation = split_rows
    rows = [*train, *validation]
    size = located.preprocessing.size
    margin = size * 8 // 7
    labels = [dataset.labels[row] for row in rows]
    content = [hashes[row] for row in rows]
    policy = located.preprocessing.resize
    key = store.key_of("pixels", *_decoder(), content, labels, len(train), size, margin, policy)
    keys = [store.key_of(key, part) for part in ("pixels", "margin", "labels")]
    paths = [store.find(folder, part) for part in keys]
    if None in paths:
        shapes = [(len(rows), size, size, 3), (len(train), margin, margin, 3), (len(rows),)]
        with store.arrays(folder, keys, shapes, [np.uint8, np.uint8, np.int32]) as arrays:
            arrays[2][:] = labels
            failed = _fill(dataset, rows, content, arrays[:2], policy, progress)
            if failed:
                raise _changed(dataset, rows, failed)
        paths = [store.find(folder, part) for part in keys]
    return StoredPixels(
        pixels=str(paths[0]),
        margin=str(paths[1]),
        labels=str(paths[2]),
        train=len(train),
        validation=len(validation),
        size=size,
        margin_size=margin,
        classes=len(dataset.classes),
        key=key,
    )


def store_rows(
    dataset: Dataset,
    rows: Sequence[int],
    hashes: Sequence[str],
    located: LocatedBackbone,
    folder: Path,
    progress: Progress = None,
) -> StoredRows:
    """Decode rows (the test split, say) and store them at the input size.

    Unreadable ones are set aside, and the store is then filled again for the others. Raises
    `ResourceError` as `store_pixels` does.
    """
    size, resize = located.preprocessing.size, located.preprocessing.resize
    content = [hashes[row] for row in rows]
    key = store.key_of("rows", *_decoder(), content, size, resize)
    path = store.find(folder, key)
    if path is not None:
        return StoredRows(path=path, rows=tuple(rows))
    failed: dict[int, str] = {}
    try:
        with store.arrays(folder, [key], [(len(rows), size, size, 3)], [np.uint8]) as arrays:
            failed = _fill(dataset, rows, content, arrays, resize, progress)
            if failed:
                raise _changed(dataset, rows, failed)
    except DataError:
        kept = [row for position, row in enumerate(rows) if position not in failed]
        if not failed or not kept:
            raise
        again = store_rows(dataset, kept, hashes, located, folder, progress)
        aside = tuple(SetAside(id=dataset.ids[rows[p]], reason=failed[p]) for p in sorted(failed))
        return StoredRows(path=again.path, rows=again.rows, set_aside=aside + again.set_aside)
    return StoredRows(path=folder / f"{key}.npy", rows=tuple(rows))


def _decoder() -> tuple[int, str]:
    """What decodes and resizes."""
    return VERSION, metadata.version("pillow")


def _fill(
    dataset: Dataset,
    rows: Sequence[int],
    hashes: Sequence[str],
    arrays: Sequence[NDArray[Any]],
    resize: Literal["squash", "crop"],
    progress: Progress,
) -> dict[int, str]:
    """Fill the arrays (shorter ones with the first rows only); position → why it failed.

    `hashes` are of the rows' content when it was loaded: what has changed since fails.
    """

    def one(position: int) -> str | None:
        try:
            content = dataset.read(rows[position])
            if pixels.content_hash(content) != hashes[position]:
                return "Its content is not what was loaded."
            image = pixels.decode(content)
        except (UnreadableError, OSError) as error:
            return str(error)
        for array in arrays:
            if position < len(array):
                array[position] = pixels.resize(image, array.shape[1], resize)
        return None

    failed: dict[int, str] = {}
    threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        with pixels.pillow_warnings_ignored():
            tasks = {threads.submit(one, position): position for position in range(len(rows))}
            for done, task in enumerate(as_completed(tasks), start=1):
                reason = task.result()
                if reason is not None:
                    failed[tasks[task]] = reason
                if progress is not None:
                    progress("decode", done, len(rows))
    finally:  # Ctrl-C must not wait for all that is still queued
        threads.shutdown(cancel_futures=True)
    return failed


def _changed(dataset: Dataset, rows: Sequence[int], failed: dict[int, str]) -> DataError:
    lines = tuple(f"{dataset.ids[rows[p]]}: {failed[p]}" for p in sorted(failed))
    return DataError(
        f"{len(failed)} examples cannot be read any more as they were loaded.",
        hint="Was the data changed while it was being used? Start again once it is at rest.",
        details=lines[:10],
    )
