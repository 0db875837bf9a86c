"""What a step calls the worker by, and how work tells of its progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many parts of it are done, and of how many."""


class Caller(Protocol):
    """The worker, as far as a step needs it."""

    def call(
        self,
        function: str,
        spec: dict[str, Any],
        *,
        deadline: float | None = None,
        progress: Progress | None = None,
    ) -> Any:
        """Run `function` ("module:function") on a JSON spec in another process; its JSON value.

        Raises `DeadlineError` after `deadline` seconds, `OutOfMemoryError` where its memory does
        not do, `WorkerError` where it dies otherwise, and what the function raises.
        """
