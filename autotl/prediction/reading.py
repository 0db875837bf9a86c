"""Images decoded ahead, in threads, while the model runs: as many as memory is to hold."""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autotl.errors import UnreadableError
from autotl.pixels import MAX_PIXELS, decode
from autotl.prediction.inputs import Content, Item

Pixels = NDArray[np.uint8]

MOST_THREADS = 8
MOST_FILE = 2**30
"""Bytes of one encoded image; the largest that is decoded has fewer even without compression."""
MOST_BYTES = 128_000_000
"""Decoded pixels that may wait; those that the threads are at come on top, one image a thread."""


def decoded(items: Iterable[Item], *, ahead: int) -> Iterator[tuple[str, Pixels | str]]:
    """Every item's id with its pixels, uint8 (height, width, 3), or why there are none, in order.

    `ahead` is how many items are taken before they are wanted. Pixels that need no decoding pass
    through. However it ends, no thread is left.
    """
    gate = _Gate()
    pool = ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1), "autotl-decode")
    waiting: deque[tuple[str, Pixels | Future[Pixels | str]]] = deque()
    coming = enumerate(items)
    try:
        with _pillow_quiet():
            while True:
                for number, (name, content) in islice(coming, ahead - len(waiting)):
                    plain = _plain(content)
                    later = pool.submit(_pixels, content, gate, number) if plain is None else plain
                    waiting.append((name, later))
                if not waiting:
                    return
                name, found = waiting.popleft()
                image = found.result() if isinstance(found, Future) else found
                gate.left(image if isinstance(found, Future) else "")
                yield name, image
    finally:
        gate.close()
        pool.shutdown(wait=True, cancel_futures=True)


class _Gate:
    """Lets threads decode while the pixels that wait are few, and always the one that is next."""

    def __init__(self) -> None:
        self.bytes = 0
        self.next = 0
        self.open = True
        self.change = threading.Condition()

    def enter(self, number: int) -> bool:
        """Wait until item `number` may be decoded; False where nobody wants it any longer."""
        with self.change:
            self.change.wait_for(
                lambda: not self.open or self.bytes < MOST_BYTES or number == self.next
            )
            return self.open

    def add(self, image: Pixels | str) -> None:
        """Pixels that wait from here on."""
        with self.change:
            self.bytes += _bytes(image)

    def left(self, image: Pixels | str) -> None:
        """They were taken."""
        with self.change:
            self.bytes -= _bytes(image)
            self.next += 1
            self.change.notify_all()

    def close(self) -> None:
        """Let every thread go."""
        with self.change:
            self.open = False
            self.change.notify_all()


def _bytes(image: Pixels | str) -> int:
    return 0 if isinstance(image, str) else image.nbytes


def _plain(content: Content) -> Pixels | None:
    """The content where it is what `decode` would give of it."""
    if not isinstance(content, np.ndarray) or content.dtype != np.uint8 or content.ndim != 3:
        return None
    fits = content.shape[2] == 3 and 0 < content.shape[0] * content.shape[1] <= MAX_PIXELS
    return content if fits else None


def _pixels(content: Content, gate: _Gate, number: int) -> Pixels | str:
    """The decoded image, or why there is none."""
    if not gate.enter(number):
        return ""
    image = _read(content)
    gate.add(image)
    return image


def _read(content: Content) -> Pixels | str:
    try:
        given = content() if callable(content) else content
        return decode(_whole(given) if isinstance(given, Path) else given)
    except UnreadableError as error:
        return error.message
    except OSError as error:
        return f"The file cannot be read: {error.strerror}."


def _whole(path: Path) -> bytes:
    with path.open("rb") as handle:
        content = handle.read(MOST_FILE + 1)
    if len(content) > MOST_FILE:
        raise UnreadableError(f"The file has more than {MOST_FILE:,} bytes.")
    return content


# ---- Pillow's remarks ----

_lock = threading.Lock()
_users: list[bool] = []
"""One entry for each that is at it; the first says whether the filter is ours to take out."""


@contextmanager
def _pillow_quiet() -> Iterator[None]:
    """Pillow's remarks ignored, as in `pixels.pillow_warnings_ignored`, but fit for generators:
    several may be open at once and end in any order, and other code may set filters meanwhile.
    """
    quiet = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
    filters: list[object] = warnings.filters  # type: ignore[assignment]
    with _lock:
        _users.append(quiet not in filters)
        if len(_users) == 1 and _users[0]:
            filters.insert(0, quiet)
    try:
        yield
    finally:
        with _lock:
            ours = _users[0]
            _users.pop()
            if not _users and ours and quiet in warnings.filters:
                warnings.filters.remove(quiet)  # type: ignore[attr-defined]
