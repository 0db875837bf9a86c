"""One trial: what is fixed in a search, the worker's call, and what a failure is."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from autotl.errors import DiskError, ResourceError, RunFolderError, WorkerError
from autotl.files import checked
from autotl.records import (
    Budget,
    Decision,
    FileRef,
    Ledger,
    LocatedBackbone,
    Measurements,
    Metric,
    Recipe,
    StoredPixels,
    Trial,
    TrialResult,
    from_json,
    to_json,
)
from autotl.search import planning, selection
from autotl.search.scalars import write_scalars

Progress = Callable[[str, int, int], None]

TRIAL, VIEWS = 2, 3
STARTS = 2
"""A trial that was started so often without an end is given up."""


class Caller(Protocol):
    """What the search needs of a worker."""

    def call(
        self,
        function: str,
        spec: dict[str, Any],
        *,
        deadline: float | None = None,
        progress: Progress | None = None,
    ) -> Any:
        """Run `function` ("module:function") on a JSON spec in another process."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What does not change in one search; `test_rows` is None where nobody knows."""

    decision: Decision
    measurements: Measurements
    pixels: StoredPixels
    located: LocatedBackbone
    budget: Budget
    seconds_left: Callable[[], float | None]
    metric: Metric
    seed: int
    worker: Caller
    ledger: Ledger
    run_folder: Path
    folder: Path
    progress: Progress | None
    tensorboard: bool
    test_rows: int | None
    clock: Callable[[], float]

    @cached_property
    def rows(self) -> planning.Rows:
        """How many there are, the test rows estimated where they are not known."""
        train, validation = self.pixels.train, self.pixels.validation
        test = (train + validation) // 4 if self.test_rows is None else self.test_rows
        return planning.Rows(train=train, validation=validation, test=test)

    @cached_property
    def reserve(self) -> float:
        """Seconds kept back for what comes after the search."""
        return planning.reserve(self.measurements.speed, self.rows, self.budget.seconds or 0.0)

    @cached_property
    def labels(self) -> NDArray[Any]:
        """Of the validation rows."""
        return self.crossed.labels[self.pixels.train :]

    @cached_property
    def crossed(self) -> selection.Crossed:
        """Labels and out-of-fold logits of training and validation rows."""
        labels = np.load(self.pixels.labels, mmap_mode="r", allow_pickle=False)
        return selection.Crossed(labels=labels, logits=partial(crossed_of, self))


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A trial to be run: `values` is what the oracle proposed, `allowance` the seconds it may
    take (infinite where no clock limits it).
    """

    number: int
    origin: str
    recipe: Recipe
    values: dict[str, Any]
    allowance: float


def attempt(setting: Setting, planned: Planned, probe: Trial | None) -> Trial:
    """The ledger's record of the trial, else run it and tell the ledger. `probe` is trial 0.

    Raises `RunFolderError` where the ledger's trial of this number was another one, or its
    predictions are not as they were written.
    """
    done = setting.ledger.replay(planned.number)
    if done is None:
        done = _run(setting, planned, probe)
        setting.ledger.finished(done)
        if setting.tensorboard:
            write_scalars(setting.run_folder / "tensorboard", done)
    elif (done.recipe, done.hyperparameters) != (planned.recipe, planned.values):
        raise RunFolderError(
            f"Trial {planned.number} in the journal is not the one that this search would try.",
            hint="Start a new run: the versions, data or options are not those of this one.",
            details=(f"journal: {done.recipe}", f"now: {planned.recipe}"),
        )
    elif done.result is not None:
        checked(done.result.predictions, setting.run_folder)
    return done


def _run(setting: Setting, planned: Planned, probe: Trial | None) -> Trial:
    trial = Trial(
        number=planned.number,
        origin=planned.origin,
        recipe=planned.recipe,
        hyperparameters=planned.values,
        status="failed",
        seconds=0.0,
        seed=planning.seed_of(setting.seed, TRIAL, planned.number),
    )
    out = setting.run_folder / "trials" / f"{planned.number:03d}"
    if out.exists():
        shutil.rmtree(out)
    starts = setting.ledger.starts(planned.number)
    if starts >= STARTS:
        return replace(
            trial, failure=f"It was started {starts} times, and each time the program ended in it."
        )
    out.mkdir(parents=True)
    setting.ledger.started(planned.number, planned.recipe, planned.values)
    begun = setting.clock()
    try:
        result = _train(setting, trial, out, planned.allowance, probe)
    except (ResourceError, WorkerError) as error:
        shutil.rmtree(out)
        if isinstance(error, DiskError):
            raise
        return replace(trial, failure=str(error), seconds=setting.clock() - begun)
    return replace(trial, status="finished", result=result, seconds=setting.clock() - begun)


def _train(
    setting: Setting, trial: Trial, out: Path, allowance: float, probe: Trial | None
) -> TrialResult:
    deadline = None if math.isinf(allowance) else allowance
    answer = setting.worker.call(
        "autotl.train.trial:run",
        {
            "recipe": to_json(trial.recipe),
            "located": to_json(setting.located),
            "pixels": to_json(setting.pixels),
            "metric": setting.metric,
            "seed": trial.seed,
            "view_seed": planning.seed_of(setting.seed, VIEWS),
            "folder": str(setting.folder),
            "out": str(out),
            "run_folder": str(setting.run_folder),
            "probe": _probe_weights(setting, trial, probe),
            "deadline": deadline,
        },
        deadline=None if deadline is None else _hard(setting, deadline),
        progress=_labelled(setting.progress, trial),
    )
    result = from_json(TrialResult, answer)
    if not all(math.isfinite(value) for value in result.metrics.values()):
        raise ResourceError(f"Its metrics are not finite: {result.metrics}.")
    return result


def _hard(setting: Setting, deadline: float) -> float:
    """Seconds after which a trial is killed that did not keep its deadline by itself."""
    return 1.25 * deadline + 15.0 + 3.0 * setting.measurements.speed.fixed


def _labelled(progress: Progress | None, trial: Trial) -> Progress | None:
    if progress is None:
        return None
    label = f"trial {trial.number}, {trial.recipe.strategy}"
    return lambda what, done, total: progress(f"{label}: {what}", done, total)


def _probe_weights(setting: Setting, trial: Trial, probe: Trial | None) -> str | None:
    """Trial 0's weights file, where this trial's head reads the same features."""
    if probe is None or probe.result is None:
        return None
    same = probe.recipe.taps == trial.recipe.taps and not trial.recipe.head.hidden
    if not same or probe.recipe.pretrained != trial.recipe.pretrained:
        return None
    return str(checked(probe.result.weights, setting.run_folder))


def logits_of(setting: Setting, trial: Trial) -> NDArray[np.float32]:
    """Validation logits (validation, classes) of a finished trial."""
    assert trial.result is not None
    return _read(setting, trial.result.predictions)


def crossed_of(setting: Setting, trial: Trial) -> NDArray[np.float32] | None:
    """Out-of-fold logits (train + validation, classes), None for a trial without them."""
    assert trial.result is not None
    return _read(setting, trial.result.crossed) if trial.result.crossed else None


def _read(setting: Setting, file: FileRef) -> NDArray[np.float32]:
    path = checked(file, setting.run_folder)
    logits: NDArray[np.float32] = np.load(path, allow_pickle=False)
    return logits
