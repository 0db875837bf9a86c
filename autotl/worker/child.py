"""The child's side: it serves calls until the pipe to its parent closes."""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from autotl import errors
from autotl.calls import Progress
from autotl.errors import AutotlError, DiskError, InternalError, OutOfMemoryError

_PAUSE = 0.05
_log = logging.getLogger("autotl.worker")


def serve(request_end: int, response_end: int) -> NoReturn:
    """Serve requests until the pipe to the parent closes."""
    for descriptor in (request_end, response_end):
        os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    _die_first()
    logging.basicConfig(level=logging.INFO)
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(request_end, requests), daemon=True).start()
    answers = _Answers(response_end)
    while True:
        _serve(requests.get(), answers)


def _listen(request_end: int, requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Queue what the parent sends; when its end of the pipe closes, leave at once."""
    with os.fdopen(request_end, "rb") as lines:
        for line in lines:
            requests.put(json.loads(line))
    os._exit(0)


def _die_with_parent() -> None:
    """Have Linux kill this process with the thread that started it.

    The closed pipe alone would do, but for a parent whose forked child keeps it open, and for
    native code here that holds the interpreter's lock.
    """
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _die_first() -> None:
    """Where memory runs out, let Linux take this process rather than the parent."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


class _Answers:
    """The pipe to the parent. Progress is sent at most twenty times a second."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._what = ""
        self._sent = 0.0

    def send(self, message: dict[str, Any]) -> None:
        line = memoryview(json.dumps(message).encode() + b"\n")
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]

    def progress(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self._what or done >= total or now - self._sent >= _PAUSE:
            self._what, self._sent = what, now
            self.send({"progress": [str(what), int(done), int(total)]})


def _serve(request: dict[str, Any], answers: _Answers) -> None:
    if "path" in request:
        sys.path.extend(entry for entry in request["path"] if entry not in sys.path)
    elif "warm" in request:
        _warm(request["warm"])
    else:
        answers.send({"begun": True})
        answers.send(_answer(request["function"], request["spec"], answers.progress))


def _warm(module: str) -> None:
    try:
        importlib.import_module(module)
    except Exception:
        _log.exception("importing %s ahead of the first call failed", module)


def _answer(function: str, spec: dict[str, Any], progress: Progress) -> dict[str, Any]:
    try:
        module, _, name = function.partition(":")
        result = getattr(importlib.import_module(module), name)(spec, progress)
        return {"result": json.loads(json.dumps(result))}
    except BaseException as error:
        traceback.print_exc()
        sys.stderr.flush()
        told = _told(error, function)
        return {"error": errors.as_json(told), "spent": isinstance(told, OutOfMemoryError)}


def _told(error: BaseException, function: str) -> AutotlError:
    """The error of our tree that stands for `error` in the parent."""
    if isinstance(error, AutotlError):
        return error
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return OutOfMemoryError(
            f"{function} ran out of memory: {_first_line(error)}",
            hint="Use a smaller backbone or input size, or a machine with more memory.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskError(
            f"The disk is full: {error}.", hint="Free some space; `autotl cache` shows ours."
        )
    return InternalError(
        f"{function} failed with {type(error).__name__}: {_first_line(error)}",
        hint="This is a bug of autotl or of a plugin; the lines above are its traceback.",
        details=tuple("".join(traceback.format_exception(error)).splitlines()),
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "no message")
