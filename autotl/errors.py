"""Every error that autotl raises on purpose, with the exit code the command line gives it.

AutotlError
├── UsageError            2  an option or argument that cannot be meant
│   └── RunFolderError    2  `--out` holds another run, the run is locked or does not match
├── DataError             3  the data cannot be used
│   └── UnreadableError   3  one example cannot be decoded (set aside by loading and prediction)
├── PluginError           4  a plugin, backbone or its weights cannot be used
├── ResourceError         5  budget, memory or disk does not suffice
│   ├── DiskError         5  the disk is full, or a folder that we need cannot be written
│   ├── OutOfMemoryError  5  a worker went past its memory ceiling or was killed for memory
│   ├── DeadlineError     5  a worker call went past its deadline
│   └── SearchError       5  every trial failed
├── ParityError           6  the exported model did not pass its gate
├── WorkerError           1  a worker process died for a reason that is not memory or time
└── InternalError         1  a bug of ours
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FAULT_OF_CONVERSION = (
    "This is a fault of the conversion or of the runtime, not of the data; no model file was "
    "written. Please report it with the versions in run.json; another --backbone may do meanwhile."
)


class AutotlError(Exception):
    """An error with a message for a person: what happened, where, and what to do.

    `message` is one or two sentences; `hint` says what to do; `details` are lines such as the
    files or values concerned. What they name may be no UTF-8: it is escaped, so that they can be
    written anywhere.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = _writable(message)
        self.hint = _writable(hint)
        self.details = tuple(map(_writable, details))

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  {line}" for line in self.details), *self._hint()])

    def _hint(self) -> list[str]:
        return [self.hint] if self.hint else []


def _writable(text: str) -> str:
    """The text with escapes for what a file's name has of bytes that are no UTF-8."""
    text = str(text)  # a plugin may give something else
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()


class UsageError(AutotlError):
    """An option or argument that cannot be meant."""

    exit_code = 2


class RunFolderError(UsageError):
    """The run folder holds another run, is locked by another process, or does not match."""


class DataError(AutotlError):
    """The data cannot be used."""

    exit_code = 3


class UnreadableError(DataError):
    """One example cannot be decoded."""


class PluginError(AutotlError):
    """A plugin, a backbone or a backbone's weights cannot be used."""

    exit_code = 4


class ResourceError(AutotlError):
    """Budget, memory or disk does not suffice."""

    exit_code = 5


class DiskError(ResourceError):
    """The disk is full, or a folder that we need cannot be written: no fault of what met it."""


class OutOfMemoryError(ResourceError):
    """A worker went past its memory ceiling or was killed for memory."""


class DeadlineError(ResourceError):
    """A worker call went past its deadline."""


class SearchError(ResourceError):
    """Every trial failed."""


class ParityError(AutotlError):
    """The exported model did not pass its gate; no file was written."""

    exit_code = 6

    def __init__(self, message: str, *, hint: str = "", details: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint or FAULT_OF_CONVERSION, details=details)


class WorkerError(AutotlError):
    """A worker process died for a reason that is neither memory nor time."""


class InternalError(AutotlError):
    """A bug of ours: the message holds what a report needs."""


def as_json(error: AutotlError) -> dict[str, Any]:
    """The error as a JSON value; one of a class from elsewhere as the class of this tree above."""
    known = next(each for each in type(error).__mro__ if each.__module__ == __name__)
    return {
        "class": known.__name__,
        "message": str(error.message),
        "hint": str(error.hint),
        "details": [str(line) for line in error.details],
    }


def from_json(told: Mapping[str, Any]) -> AutotlError:
    """The error that `as_json` told of."""
    kind = globals()[told["class"]]
    made: AutotlError = kind(told["message"], hint=told["hint"], details=tuple(told["details"]))
    return made
