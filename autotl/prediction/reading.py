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
from autotl.files import image_bytes
from autotl.pixels import MAX_PIXELS, decode
from autotl.prediction.inputs import Content, Item

Pixels = NDArray[np.uint8]

MOST_THREADS = 8
MOST_BYTES = 128_000_000
"""Decoded pixels that may wait; those that the threads are at come on top, one image a thread."""


def decoded(items: Iterable[Item], *, ahead: int) -> Iterator[tuple[str, Pixels | str]]:
    """Every item's id with its pixels, uint8 (height, width, 3), or why there are none, in order.

    `ahead` is how many items are taken before they are wanted. Pixels that need no decoding pass
    through. However it ends, no thread is left; where it is never ended, as by a script that stops
    halfway, its threads end with the interpreter.
    """
    work = _Ahead(min(MOST_THREADS, os.cpu_count() or 1))
    waiting: deque[tuple[str, Pixels | Future[Pixels | str]]] = deque()
    coming = iter(items)
    try:
        with _pillow_quiet():
            while True:
                for name, content in islice(coming, ahead - len(waiting)):
                    plain = _plain(content)
                    waiting.append((name, work.ask(content) if plain is None else plain))
                if not waiting:
                    return
                name, found = waiting.popleft()
                yield name, work.taken(found) if isinstance(found, Future) else found
    finally:
        work.close()


class _Ahead:
    """Threads that decode, in order, while the pixels that wait are few.

    None of them ever waits for room: whoever takes an image sets threads to work again. The
    interpreter's exit joins threads before it ends generators, so one that waited would hang it.
    """

    def __init__(self, threads: int) -> None:
        self.pool = ThreadPoolExecutor(threads, "autotl-decode")
        self.lock = threading.Lock()
        self.todo: deque[tuple[Content, Future[Pixels | str]]] = deque()
        self.idle = threads
        self.bytes = 0

    def ask(self, content: Content) -> Future[Pixels | str]:
        """What will be the image, or why there is none."""
        later: Future[Pixels | str] = Future()
        with self.lock:
            self.todo.append((content, later))
        self._start()
        return later

    def taken(self, later: Future[Pixels | str]) -> Pixels | str:
        """The image once it is there; it waits no longer. Images are taken as they were asked for:
        then nothing waits while one is not begun, and there is room for it.
        """
        image = later.result()
        with self.lock:
            self.bytes -= _bytes(image)
        self._start()
        return image

    def close(self) -> None:
        """End every thread, each after the image that it is at."""
        with self.lock:
            self.todo.clear()
        self.pool.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> None:
        """Set to work as many threads as there is work for, where there is room."""
        with self.lock:
            count = min(self.idle, len(self.todo)) if self.bytes < MOST_BYTES else 0
            self.idle -= count
        for _ in range(count):
            self.pool.submit(self._work)

    def _work(self) -> None:
        """Decode until there is no work or no room."""
        while (job := self._next()) is not None:
            content, later = job
            try:
                image = _read(content)
            except BaseException as error:  # it is raised where the image is taken
                later.set_exception(error)
                continue
            with self.lock:
                self.bytes += _bytes(image)
            later.set_result(image)

    def _next(self) -> tuple[Content, Future[Pixels | str]] | None:
        with self.lock:
            if self.todo and self.bytes < MOST_BYTES:
                return self.todo.popleft()
            self.idle += 1
            return None


def _bytes(image: Pixels | str) -> int:
    return 0 if isinstance(image, str) else image.nbytes


def _plain(content: Content) -> Pixels | None:
    """The content where it is what `decode` would give of it."""
    if not isinstance(content, np.ndarray) or content.dtype != np.uint8 or content.ndim != 3:
        return None
    fits = content.shape[2] == 3 and 0 < content.shape[0] * content.shape[1] <= MAX_PIXELS
    return content if fits else None


def _read(content: Content) -> Pixels | str:
    try:
        given = content() if callable(content) else content
        return decode(image_bytes(given) if isinstance(given, Path) else given)
    except UnreadableError as error:
        return error.message
    except OSError as error:
        return f"The file cannot be read: {error.strerror}."


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
