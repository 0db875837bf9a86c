"""Rows of images as a worker reads them: of a stored array, or decoded when they are asked for.

What is too large for the store is not kept. Its rows are decoded, a block at a time, by the process
that has the data set, for whichever process opens them; neither holds more than a few blocks.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from autotl import errors
from autotl.errors import AutotlError, DiskError, InternalError, WorkerError

A = TypeVar("A")
B = TypeVar("B")
Pixels = NDArray[np.uint8]

BLOCK = 64
"""Rows that are decoded and sent at a time."""
AHEAD = 3
SUFFIX, PREFIX, SOCKET = ".rows", "autotl-rows-", "socket"
LONGEST_FOLDER = 70
"""Bytes of a folder's name: a socket's whole name may have 104 on some systems."""
PAUSE = 0.2
"""Seconds after which a waiting thread looks whether the server was closed."""
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
    `read` raises is raised in the reader, as an `InternalError` where it is none of our errors.
    Raises `DiskError` where no socket can be made.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        _sweep()
        self._sources = dict(sources)
        try:
            self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, dir=_short())
            self._address = str(Path(self._folder.name) / SOCKET)
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(self._address)
            self._socket.listen()
            self._socket.settimeout(PAUSE)
        except OSError as error:
            raise DiskError(
                f"No socket can be made in {_short()}: {error}",
                hint="Set TMPDIR to another folder.",
            ) from error
        self._pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        self._closed = threading.Event()
        for name, source in self._sources.items():
            about = {"address": self._address, "name": name, "shape": list(source.shape)}
            self.path(name).write_text(json.dumps(about), "utf-8")
        self._waiting = threading.Thread(target=self._accept, daemon=True)
        self._waiting.start()

    def path(self, name: str) -> Path:
        """What `opened` takes for the source of that name."""
        return Path(self._folder.name) / f"{name}{SUFFIX}"

    def close(self) -> None:
        """Answer no more, and remove the socket."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._waiting.join()
        self._socket.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._folder.cleanup()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                accepted, _ = self._socket.accept()
            except TimeoutError:
                continue
            except OSError:  # out of descriptors for a moment, say
                time.sleep(PAUSE)
                continue
            connection = Connection(accepted.detach())
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection[Any, Any]) -> None:
        with connection, contextlib.suppress(EOFError, OSError):  # the reader has gone
            while not self._closed.is_set():
                if not connection.poll(PAUSE):
                    continue
                asked = json.loads(connection.recv_bytes(_LONGEST))
                try:
                    found = self._block(self._sources[asked["name"]], asked["rows"])
                except (Exception, CancelledError) as error:
                    if self._closed.is_set():
                        return
                    told = json.dumps({"error": errors.as_json(_told(error))})
                    connection.send_bytes(told.encode())
                else:
                    connection.send_bytes(b"{}")
                    connection.send_bytes(found.tobytes())

    def _block(self, source: Source, rows: Sequence[int]) -> Pixels:
        return np.stack(list(self._pool.map(source.read, rows)))


def _told(error: BaseException) -> AutotlError:
    if isinstance(error, AutotlError):
        return error
    return InternalError(
        f"Decoding images failed with {type(error).__name__}: {error}",
        hint="This is a bug of autotl or of a plugin; the lines above are its traceback.",
        details=tuple("".join(traceback.format_exception(error)).splitlines()),
    )


def _short() -> str:
    """The folder of temporary files, or the system's where the name of a socket in it would be
    longer than the system allows.
    """
    chosen = tempfile.gettempdir()
    return chosen if len(os.fsencode(chosen)) <= LONGEST_FOLDER else "/tmp"


def _sweep() -> None:
    """Remove what servers left whose process was killed: nobody answers at their sockets."""
    for folder in Path(_short()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
            try:
                asking.connect(str(folder / SOCKET))
            except ConnectionRefusedError:
                shutil.rmtree(folder, ignore_errors=True)


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
