"""One child process, the two pipes to it, and its part of the log."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import IO, Any

from autotl.errors import WorkerError

_ROOT = str(Path(__file__).absolute().parents[2])
_TAIL_BYTES = 4096
_TAIL_LINES = 20
_CLOSING_SECONDS = 2.0


class Process:
    """One child, the pipes to and from it, and where its part of the log begins."""

    def __init__(self, environment: dict[str, str], log: IO[bytes]) -> None:
        self._log = log
        self._log_start = 0
        self._rest = b""
        self._ended = False
        self.mark_log()
        # TensorFlow writes code to temporary files, which a killed process does not remove
        self._temporary = tempfile.TemporaryDirectory(
            prefix="autotl-worker-", ignore_cleanup_errors=True
        )
        environment = environment | {"TMPDIR": self._temporary.name}
        request_end, self._requests = os.pipe()
        self._responses, response_end = os.pipe()
        try:
            self.popen = _start((request_end, response_end), environment, log)
        except BaseException:
            os.close(self._requests)
            os.close(self._responses)
            self._temporary.cleanup()
            raise
        finally:
            os.close(request_end)
            os.close(response_end)
        self._open = True
        self._poll = select.poll()
        self._poll.register(self._responses, select.POLLIN | select.POLLHUP)

    def mark_log(self) -> None:
        """Let the log's tail begin here."""
        self._log_start = os.fstat(self._log.fileno()).st_size

    def alive(self) -> bool:
        """Whether it can still be given work."""
        return self._open and not self._ended and self.popen.poll() is None

    def finished(self) -> bool:
        """Whether nothing more can come: the process is gone and all it wrote was read."""
        if self._ended:
            return True
        if self.popen.poll() is None:
            return False
        return not self._poll.poll(0)

    def send(self, message: dict[str, Any]) -> None:
        """Write one line; of a process that died meanwhile the answer's absence will tell."""
        line = memoryview(json.dumps(message).encode() + b"\n")
        with contextlib.suppress(BrokenPipeError):
            while line:
                line = line[os.write(self._requests, line) :]

    def receive(self, timeout: float) -> list[dict[str, Any]]:
        """Whole messages that arrive within `timeout` seconds."""
        if self._ended or not self._poll.poll(timeout * 1000):
            return []
        chunk = os.read(self._responses, 1 << 16)
        self._ended = not chunk
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    def memory(self) -> int | None:
        """Private bytes of the process, or None when it is gone."""
        import psutil

        try:
            info = psutil.Process(self.popen.pid).memory_info()
        except psutil.Error:
            return None
        return int(info.rss - getattr(info, "shared", 0))

    def tail(self) -> tuple[str, ...]:
        """The last lines that it printed since `mark_log`."""
        end = os.fstat(self._log.fileno()).st_size
        start = max(self._log_start, end - _TAIL_BYTES)
        text = os.pread(self._log.fileno(), end - start, start).decode(errors="replace")
        return tuple(line for line in text.splitlines() if line.strip())[-_TAIL_LINES:]

    def end(self) -> None:
        """Let an idle process go: it leaves when its pipe closes."""
        os.close(self._requests)
        self._requests = -1
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(_CLOSING_SECONDS)

    def kill(self) -> None:
        """Kill it with what it started, close the pipes and remove its temporary files."""
        if self.popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()
        self._open = False
        for descriptor in (self._requests, self._responses):
            if descriptor >= 0:
                os.close(descriptor)
        self._temporary.cleanup()


def _start(
    ends: tuple[int, int], environment: dict[str, str], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise WorkerError(
            "No worker process can be started: this Python does not know its own executable.",
            hint="Run autotl with an ordinary Python interpreter.",
        )
    return subprocess.Popen(
        [sys.executable, "-P", "-X", "faulthandler", "-m", "autotl.worker", *map(str, ends)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=os.environ | environment,
        pass_fds=ends,
        start_new_session=True,  # Ctrl-C in the terminal goes to the parent alone
    )


def libraries_environment(threads: int | None) -> dict[str, str]:
    """What the libraries of the child must find in the environment before they are imported."""
    found = {
        **_where_autotl_lies(),
        "PYTHONHASHSEED": "0",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # TensorFlow leaves oneDNN off on some processors where it halves a training step
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),
    }
    if threads is not None:
        names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        found |= dict.fromkeys(names, str(threads))
    return found


def _where_autotl_lies() -> dict[str, str]:
    """PYTHONPATH with our root, unless that is where packages are installed: there it is found
    anyway, and ahead of the standard library packages could shadow its modules.
    """
    if _ROOT in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        return {}
    path = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([_ROOT, path] if path else [_ROOT])}


def search_path() -> list[str]:
    """The parent's module search path with absolute entries, so that plugins are found there."""
    try:
        here: str | None = str(Path.cwd())
    except FileNotFoundError:
        here = None
    paths = [entry if os.path.isabs(entry) else (here and f"{here}/{entry}") for entry in sys.path]  # noqa: PTH117
    return [path.rstrip("/") or "/" for path in paths if path]
