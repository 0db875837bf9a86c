"""The parent's side: calls, their limits, and what is said of a process that died."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from autotl import errors
from autotl.calls import Progress
from autotl.errors import AutotlError, DeadlineError, OutOfMemoryError, WorkerError
from autotl.worker.process import Process, libraries_environment, search_path

TICK = 0.05
CLOSING_SECONDS = 2.0
_SHARE_OF_MEMORY = 0.85
_GROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def memory_ceiling() -> int:
    """Bytes that a worker may take by default: 85 % of the machine's or the container's memory."""
    import psutil

    limits = [int(psutil.virtual_memory().total)]
    groups = [file.read_text().strip() for file in _GROUP_LIMITS if file.is_file()]
    limits += [int(text) for text in groups if text.isdigit()]
    return int(min(limits) * _SHARE_OF_MEMORY)


class Worker:
    """One worker process at a time, started when needed and replaced when it dies or grows.

    `memory_limit` is the ceiling in bytes on its private memory (pages of memory-mapped files do
    not count; None: `memory_ceiling()`). Between calls it is replaced where it holds more than
    `recycle_above` bytes. `threads` bounds the computation threads of the libraries. What it
    prints is appended to `log` (None: a temporary file). `environment` is added to its own.

    Usable from one thread at a time. On Linux the process dies with the thread that started it:
    a process that died idle is replaced at the next call, also where its death is seen only once
    the request was written to it.
    """

    def __init__(
        self,
        *,
        memory_limit: int | None = None,
        recycle_above: int | None = None,
        threads: int | None = None,
        log: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._memory_limit = memory_limit
        self._recycle_above = recycle_above
        self._threads = threads
        self._environment = environment or {}
        self._log_path = log
        self._log: IO[bytes] | None = None
        self._process: Process | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process id of the running worker, or None."""
        return self._process.popen.pid if self._process else None

    def warm(self) -> None:
        """Start the process and have it import keras, without waiting for either."""
        with self._lock:
            fresh = self._process is None or not self._process.alive()
            process = self._running()
            if fresh:
                process.send({"warm": "keras"})

    def call(
        self,
        function: str,
        spec: dict[str, Any],
        *,
        deadline: float | None = None,
        progress: Progress | None = None,
    ) -> Any:
        """Run `function` ("package.module:function") as `function(spec, progress)` in the worker.

        Returns its JSON value. `deadline` is in seconds from now and includes the start of the
        process. Errors of the tree raised there are raised here as the same class; everything
        else as `InternalError` with the traceback in `details`. `DeadlineError`,
        `OutOfMemoryError` and `WorkerError` mean that the process is gone; the next call starts
        another one. Whatever is raised here during the call, Ctrl-C included, ends the process.
        """
        request = {"function": function, "spec": spec}
        json.dumps(request)
        end = None if deadline is None else time.monotonic() + deadline
        with self._lock:
            idle = self._process
            process = self._running()
            try:
                process.send(request)
                answer = self._wait(process, function, end, deadline, progress)
                if answer is None and process is idle:
                    self._discard()
                    process = self._running()
                    process.send(request)
                    answer = self._wait(process, function, end, deadline, progress)
                if answer is None:
                    raise _death(process, function)
            except BaseException:
                self._discard()
                raise
            return self._settle(process, answer)

    def close(self) -> None:
        """End the process; a later call starts another one."""
        with self._lock:
            if self._process is not None:
                self._process.end()
            self._discard()
            if self._log is not None:
                self._log.close()
                self._log = None

    def _running(self) -> Process:
        if self._process is not None and not self._process.alive():
            self._discard()
        if self._process is None:
            environment = libraries_environment(self._threads) | self._environment
            self._process = Process(environment, self._open_log())
            self._process.send({"path": search_path()})
        self._process.mark_log()
        return self._process

    def _open_log(self) -> IO[bytes]:
        if self._log is None:
            if self._log_path is None:
                self._log = tempfile.TemporaryFile("ab+", prefix="autotl-worker-")  # noqa: SIM115
            else:
                self._log_path.parent.mkdir(parents=True, exist_ok=True)
                self._log = self._log_path.open("ab+")
        return self._log

    def _discard(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _wait(
        self,
        process: Process,
        function: str,
        end: float | None,
        deadline: float | None,
        progress: Progress | None,
    ) -> dict[str, Any] | None:
        """The answer, or None where the process died before it began on the request."""
        limit = memory_ceiling() if self._memory_limit is None else self._memory_limit
        checked, begun = 0.0, False
        while True:
            for message in process.receive(TICK):
                if "begun" in message:
                    begun = True
                    continue
                if "progress" not in message:
                    return message
                if progress is not None:
                    what, done, total = message["progress"]
                    progress(what, done, total)
            now = time.monotonic()
            if end is not None and now > end:
                raise DeadlineError(
                    f"{function} was stopped: it took longer than its {deadline:.1f} seconds.",
                    hint="Give a larger budget, or less to do.",
                )
            if now - checked >= TICK:
                checked = now
                _check_memory(process, function, limit)
            if process.finished():
                if begun:
                    raise _death(process, function)
                return None

    def _settle(self, process: Process, answer: dict[str, Any]) -> Any:
        if answer.get("spent") or (
            self._recycle_above is not None and (process.memory() or 0) > self._recycle_above
        ):
            self._discard()
        if "error" in answer:
            raise errors.from_json(answer["error"])
        return answer["result"]


def _check_memory(process: Process, function: str, limit: int) -> None:
    used = process.memory()
    if used is not None and used > limit:
        raise OutOfMemoryError(
            f"{function} was stopped: it took {used / 1e9:.1f} GB of memory, "
            f"more than its ceiling of {limit / 1e9:.1f} GB.",
            hint="Use a smaller backbone or input size, or a machine with more memory.",
        )


def _death(process: Process, function: str) -> AutotlError:
    """What to say of a process that ended without an answer."""
    try:
        code = process.popen.wait(CLOSING_SECONDS)
    except subprocess.TimeoutExpired:
        return WorkerError(
            f"The worker process closed its pipe during {function}.", details=process.tail()
        )
    if code == -signal.SIGKILL:
        return OutOfMemoryError(
            f"The worker process was killed (SIGKILL) during {function}, "
            "most likely by the system for want of memory.",
            hint="Use a smaller backbone or input size, or a machine with more memory.",
            details=process.tail(),
        )
    end = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return WorkerError(
        f"The worker process died with {end} during {function}.",
        hint="The lines above are the last that it printed.",
        details=process.tail(),
    )
