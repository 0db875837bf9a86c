"""What trains the trials: the worker of this machine, or whoever else takes the same calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from autotl.calls import Caller, Progress

TRAINING = "autotl.train.trial:run"


class Trainer(Protocol):
    """What trains trials, up to `width` of them at once."""

    @property
    def width(self) -> int:
        """How many trials may be begun together."""

    def prepare(self, spec: dict[str, Any]) -> None:
        """Called with each trial's spec before it is trained, in order and in one thread. What it
        adds to the spec is for `train`.
        """

    def train(self, spec: dict[str, Any], deadline: float | None, progress: Progress | None) -> Any:
        """The JSON of a `TrialResult` for a spec of `autotl.train.trial:run`; its files are then
        in the spec's `out`. May be called from several threads where `width` is over 1.
        """

    def stop(self) -> None:
        """End what is being trained in other threads."""


@dataclass(frozen=True, kw_only=True)
class Local:
    """The trainer of one machine: the worker, one trial after the other."""

    worker: Caller

    @property
    def width(self) -> int:
        """One."""
        return 1

    def prepare(self, spec: dict[str, Any]) -> None:
        """Nothing."""

    def train(self, spec: dict[str, Any], deadline: float | None, progress: Progress | None) -> Any:
        """Train in the worker."""
        return self.worker.call(TRAINING, spec, deadline=deadline, progress=progress)

    def stop(self) -> None:
        """Nothing: an interrupted call ends its process itself."""
