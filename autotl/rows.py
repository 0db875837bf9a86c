"""Rows of images as a worker reads them: of a stored array, or decoded when they are asked for.

What is too large for the store is not kept. Its rows are decoded, a block at a time, by the process
that has the data set, for whichever process opens them; neither holds more than a few blocks.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from autotl import errors
from autotl.errors import AutotlError, WorkerError

A = TypeVar("A")
B = TypeVar("B")
Pixels = NDArray[np.uint8]

BLOCK = 64
"""Rows that are decoded and sent at a time."""
AHEAD = 3
SUFFIX = ".rows"
_LONGEST = 1 << 16
"""Bytes of a question."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Images of one size: `shape` (n, height, width, 3), and `read` of one row, uint8."""

    shape: tuple[int, ...]
    read: Callable[[int], Pixels]


class Server:
    """Decodes the rows of its sources for whoever opens `path(name)`, until it is closed.

    Every reader gets a thread; decoding is shared among as many threads as there are cores. What
    `read` raises of our errors is raised in the reader.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = dict(sources)
        self._folder = tempfile.TemporaryDirectory(prefix="autotl-rows-")
        self._address = str(Path(self._folder.name) / "socket")
        self._listener = Listener(self._address, family="AF_UNIX")
        self._pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        self._closed = False
        for name, source in self._sources.items():
            about = {"address": self._address, "name": name, "shape": list(source.shape)}
            self.path(name).write_text(json.dumps(about), "utf-8")
        self._waiting = threading.Thread(target=self._accept, daemon=True)
        self._waiting.start()

    def path(self, name: str) -> Path:
        """What `opened` takes for the source of that name."""
        return Path(self._folder.name) / f"{name}{SUFFIX}"

    def close(self) -> None:
        """Take no more questions, and remove the socket."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):  # it wakes the thread that waits for a reader
            Client(self._address, family="AF_UNIX").close()
        self._waiting.join()
        self._pool.shutdown(cancel_futures=True)
        self._folder.cleanup()

    def _accept(self) -> None:
        with self._listener:
            while True:
                connection = self._listener.accept()
                if self._closed:
                    return
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection[Any, Any]) -> None:
        with connection, contextlib.suppress(EOFError, OSError):  # the reader has gone
            while True:
                asked = json.loads(connection.recv_bytes(_LONGEST))
                try:
                    found = self._block(self._sources[asked["name"]], asked["rows"])
                except AutotlError as error:
                    connection.send_bytes(json.dumps({"error": errors.as_json(error)}).encode())
                else:
                    connection.send_bytes(b"{}")
                    connection.send_bytes(found.tobytes())

    def _block(self, source: Source, rows: Sequence[int]) -> Pixels:
        return np.stack(list(self._pool.map(source.read, rows)))


class Decoded:
    """Rows that a `Server` decodes: indexed as an array of `shape` is, by its first axis only."""

    dtype = np.dtype(np.uint8)

    def __init__(self, address: str, name: str, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        self._address, self._name = address, name
        self._own = threading.local()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Pixels:
        rows = np.arange(len(self))[key]
        if rows.ndim == 0:
            (one,) = self._block([int(rows)])
            return np.asarray(one)
        starts = range(0, len(rows), BLOCK)
        blocks = [self._block(rows[start : start + BLOCK].tolist()) for start in starts]
        return np.concatenate(blocks) if blocks else np.zeros((0, *self.shape[1:]), np.uint8)

    def _block(self, rows: list[int]) -> Pixels:
        try:
            connection = self._connected()
            connection.send_bytes(json.dumps({"name": self._name, "rows": rows}).encode())
            about = json.loads(connection.recv_bytes())
            content = b"" if "error" in about else connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise WorkerError("The process that decodes the images is gone.") from error
        if "error" in about:
            raise errors.from_json(about["error"])
        return np.frombuffer(content, np.uint8).reshape(len(rows), *self.shape[1:])

    def _connected(self) -> Connection[Any, Any]:
        """The connection of this thread: a question and its answer must not meet another's."""
        if not hasattr(self._own, "connection"):
            self._own.connection = Client(self._address, family="AF_UNIX")
        connection: Connection[Any, Any] = self._own.connection
        return connection


def opened(path: str | Path) -> Any:
    """A stored array, memory-mapped, or `Decoded` rows."""
    if Path(path).suffix == SUFFIX:
        return Decoded(**json.loads(Path(path).read_text("utf-8")))
    return np.load(path, mmap_mode="r", allow_pickle=False)


def ahead(make: Callable[[A], B], items: Iterable[A], threads: int = 2) -> Iterator[B]:
    """`make` of each item in order, a few made in threads before they are asked for."""
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()
