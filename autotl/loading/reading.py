"""Every example read once, in threads: hashed, and decoded where it must be judged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from autotl.calls import Progress
from autotl.errors import UnreadableError
from autotl.pixels import content_hash, pillow_warnings_ignored, readable_side, shorter_side
from autotl.records import Dataset

_ROWS_A_TASK = 16
_MOST_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One example: SHA-256 in hex of its content, its shorter side in pixels (0 where that is
    not known), and why it cannot be used, if so.
    """

    hash: str
    side: int
    fault: str | None = None


def read_all(
    dataset: Dataset, rows: Sequence[int], *, decoding: bool, progress: Progress | None
) -> list[Reading]:
    """The readings of these rows, in order. No more than a few images are in memory at a time.

    Without `decoding` a torn image may pass: its header is all that is looked at.
    """
    tasks = [rows[start : start + _ROWS_A_TASK] for start in range(0, len(rows), _ROWS_A_TASK)]
    readings: list[Reading] = []
    for some in _in_threads(lambda task: [_read(dataset, row, decoding) for row in task], tasks):
        readings += some
        if progress is not None:
            progress("reading examples", len(readings), len(rows))
    return readings


def _in_threads(
    work: Callable[[Sequence[int]], list[Reading]], tasks: Sequence[Sequence[int]]
) -> Iterator[list[Reading]]:
    pool = ThreadPoolExecutor(max_workers=min(_MOST_THREADS, os.cpu_count() or 1))
    try:
        with pillow_warnings_ignored():
            yield from pool.map(work, tasks)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(dataset: Dataset, row: int, decoding: bool) -> Reading:
    digest = ""
    try:
        content = dataset.read(row)
        digest = content_hash(content)
        side = readable_side(content) if decoding else shorter_side(content)
    except UnreadableError as error:
        return Reading(hash=digest, side=0, fault=error.message)
    except OSError as error:
        return Reading(hash=digest, side=0, fault=f"It cannot be read: {error.strerror or error}.")
    except MemoryError:
        raise
    except Exception as error:  # from a plugin's `read`: it makes this one example unusable
        return Reading(hash=digest, side=0, fault=f"Reading it failed: {error!r}.")
    return Reading(hash=digest, side=side)
