"""A training's state on the disk between epochs, so that a killed one goes on where it was."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.files import write_atomically
from autotl.records import to_json
from autotl.train.job import Job

Floats = NDArray[np.float32]

FILE = "checkpoint.npz"
EVERY = 20.0
"""Seconds of training after which a checkpoint is worth its writing."""
_PLAIN = ("epoch", "step", "best", "best_epoch", "history", "last_validation", "seconds", "at")
_log = logging.getLogger("autotl")


@dataclass(kw_only=True)
class State:
    """Where a training stands.

    `weights` and `logits` are those of the best epoch so far, ranked `best`; `seconds` what the
    epochs of earlier sittings took; `at` the position in the schedule that was reached, 0 to 1.
    """

    epoch: int = 0
    step: int = 0
    best: tuple[float, float] = (-math.inf, -math.inf)
    best_epoch: int = 0
    weights: list[NDArray[Any]] = field(default_factory=list)
    logits: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    history: list[dict[str, float]] = field(default_factory=list)
    last_validation: float = 0.0
    seconds: float = 0.0
    at: float = 0.0


def write(job: Job, state: State, compiled: list[NDArray[Any]]) -> None:
    """Write the state, and what the steps had changed by then, in one step."""
    about = {name: getattr(state, name) for name in _PLAIN}
    about |= {"of": _of(job), "batch": job.batch}
    arrays = {f"compiled-{i}": array for i, array in enumerate(compiled)}
    arrays |= {f"weights-{i}": array for i, array in enumerate(state.weights)}
    arrays |= {"logits": state.logits, "about": np.array(json.dumps(about))}

    def save(path: Path) -> None:
        with path.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)

    write_atomically(job.out / FILE, save)


def read(job: Job) -> tuple[State, list[NDArray[Any]]] | None:
    """The state of an earlier sitting of the same job; None where there is none, or it is damaged
    or another job's, which is logged.
    """
    path = job.out / FILE
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        about = json.loads(str(arrays["about"]))
        of, _ = about.pop("of"), about.pop("batch")
        state = State(
            **about | {"best": tuple(about["best"])},
            weights=_numbered(arrays, "weights"),
            logits=arrays["logits"],
        )
    except Exception as error:  # a damaged archive raises nearly anything
        _log.warning("the checkpoint %s is damaged, so its trial begins anew: %s", path, error)
        return None
    if of != _of(job):
        _log.warning("the checkpoint %s is another trial's, so this one begins anew", path)
        return None
    return state, _numbered(arrays, "compiled")


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a checkpoint in a trial's folder says: the epoch that it was written after, 0 where
    there is none, and the examples of a step.
    """

    epoch: int = 0
    batch: int | None = None


def left(out: Path) -> Left:
    """The checkpoint in the folder, as far as one who does not train needs it."""
    try:
        with (out / FILE).open("rb") as stream, np.load(stream, allow_pickle=False) as found:
            about = json.loads(str(found["about"]))
        return Left(epoch=int(about["epoch"]), batch=int(about["batch"]))
    except Exception:  # none, or damaged: a damaged archive raises nearly anything
        return Left()


def remove(out: Path) -> None:
    """Drop the checkpoint of a trial that has ended."""
    (out / FILE).unlink(missing_ok=True)


def _numbered(arrays: dict[str, NDArray[Any]], kind: str) -> list[NDArray[Any]]:
    count = sum(name.startswith(f"{kind}-") for name in arrays)
    return [arrays[f"{kind}-{i}"] for i in range(count)]


def _of(job: Job) -> Any:
    """What the training is a function of, as JSON gives it back."""
    located = dataclasses.replace(job.located, weights=None)
    facts = [to_json(job.recipe), to_json(located), job.pixels.key, job.seed, job.view_seed]
    return json.loads(json.dumps([*facts, job.batch, job.metric]))
