"""One trial: what is fixed in a search, the worker's call, and what a failure is."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.calls import Caller, Progress
from autotl.errors import (
    AutotlError,
    DiskError,
    OutOfMemoryError,
    ResourceError,
    RunFolderError,
    WorkerError,
)
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
from autotl.search.trainers import Trainer
from autotl.train import checkpoint

TRIAL, VIEWS = 2, 3
STARTS = 2
"""A trial that was started so often without an end is given up."""


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
    trainer: Trainer
    ledger: Ledger
    run_folder: Path
    folder: Path
    progress: Progress | None
    tensorboard: bool
    test_rows: int | None
    bundles: Sequence[int] | None
    clock: Callable[[], float]

    @cached_property
    def rows(self) -> planning.Rows:
        """How many there are, the test rows estimated where they are not known."""
        train, validation = self.pixels.train, self.pixels.validation
        test = (train + validation) // 4 if self.test_rows is None else self.test_rows
        return planning.Rows(
            train=train,
            validation=validation,
            test=test,
            decode=self.pixels.decode,
            stored=self.pixels.stored,
        )

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
        bundles = None if self.bundles is None else np.asarray(self.bundles)
        return selection.Crossed(labels=labels, logits=partial(crossed_of, self), bundles=bundles)


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


@dataclass(frozen=True, kw_only=True)
class Before:
    """The trials that a trial takes weights from: trial 0, and the one that it goes on from."""

    probe: Trial | None
    parent: Trial | None = None


@dataclass(frozen=True, kw_only=True)
class _Begun:
    """A trial that is in the journal as started."""

    trial: Trial
    spec: dict[str, Any]
    out: Path
    allowance: float
    at: float


def attempt(setting: Setting, plans: Sequence[tuple[Planned, Before]]) -> list[Trial]:
    """The ledger's records of trials, in order; those that are not there are run, together where
    the trainer is wide enough, and the ledger is told of each when it ends.

    Raises `RunFolderError` where the ledger's trial of a number was another one, or its
    predictions are not as they were written.
    """
    found: dict[int, Trial] = {}
    running: list[_Begun] = []
    for planned, before in plans:
        one = _begun(setting, planned, before)
        if isinstance(one, _Begun):
            running.append(one)
        else:
            found[planned.number] = one
    for trial in _trials(setting, running):
        _ended(setting, trial)
        found[trial.number] = trial
    return [found[planned.number] for planned, _ in plans]


def _ended(setting: Setting, trial: Trial) -> None:
    setting.ledger.finished(trial)
    checkpoint.remove(folder_of(setting, trial.number))
    if setting.tensorboard:
        write_scalars(setting.run_folder / "tensorboard", trial)


def folder_of(setting: Setting, number: int) -> Path:
    """Where a trial's files lie."""
    return setting.run_folder / "trials" / f"{number:03d}"


def _begun(setting: Setting, planned: Planned, before: Before) -> _Begun | Trial:
    """The trial begun, or the ledger's record of it: a replayed, given up or failed one."""
    done = setting.ledger.replay(planned.number)
    if done is not None:
        _check_replayed(setting, planned, done)
        return done
    trial = Trial(
        number=planned.number,
        origin=planned.origin,
        recipe=planned.recipe,
        hyperparameters=planned.values,
        status="failed",
        seconds=0.0,
        seed=planning.seed_of(setting.seed, TRIAL, planned.number),
        parent=None if before.parent is None else before.parent.number,
    )
    out = folder_of(setting, planned.number)
    left = checkpoint.left(out)
    if not left.epoch:
        shutil.rmtree(out, ignore_errors=True)
    starts = setting.ledger.starts(planned.number, left.epoch)
    if starts >= STARTS:
        shutil.rmtree(out, ignore_errors=True)
        told = f"It was started {starts} times, and each time the program ended in it."
        trial = replace(trial, failure=told)
        _ended(setting, trial)
        return trial
    out.mkdir(parents=True, exist_ok=True)
    spec = _spec(setting, trial, out, planned.allowance, before) | {"batch": left.batch}
    setting.ledger.started(planned.number, planned.recipe, planned.values, left.epoch)
    one = _Begun(trial=trial, spec=spec, out=out, allowance=planned.allowance, at=setting.clock())
    try:
        setting.trainer.prepare(spec)
    except (ResourceError, WorkerError) as error:
        trial = _failed(setting, one, error)
        _ended(setting, trial)
        return trial
    return one


def _check_replayed(setting: Setting, planned: Planned, done: Trial) -> None:
    if (done.recipe, done.hyperparameters) != (planned.recipe, planned.values):
        raise RunFolderError(
            f"Trial {planned.number} in the journal is not the one that this search would try.",
            hint="Start a new run: the versions, data or options are not those of this one.",
            details=(f"journal: {done.recipe}", f"now: {planned.recipe}"),
        )
    if done.result is not None:
        checked(done.result.predictions, setting.run_folder)


def _trials(setting: Setting, running: Sequence[_Begun]) -> Iterator[Trial]:
    """What came of trials, as they end; an error that ends the search is raised when the others
    have ended or were stopped.
    """
    if len(running) < 2:
        yield from (_run(setting, one) for one in running)
        return
    with ThreadPoolExecutor(len(running)) as threads:
        tasks = [threads.submit(_run, setting, one) for one in running]
        fatal: list[BaseException] = []
        try:
            for task in as_completed(tasks):
                error = task.exception()
                if error is None:
                    yield task.result()
                else:
                    fatal.append(error)
                    setting.trainer.stop()
        finally:
            if not all(task.done() for task in tasks):
                setting.trainer.stop()
    if fatal:
        raise fatal[0]


def _run(setting: Setting, one: _Begun) -> Trial:
    try:
        result = _trained(setting, one)
    except (ResourceError, WorkerError) as error:
        return _failed(setting, one, error)
    seconds = max(setting.clock() - one.at, result.seconds)
    return replace(one.trial, status="finished", result=result, seconds=seconds)


def _failed(setting: Setting, one: _Begun, error: AutotlError) -> Trial:
    """The trial as it is recorded; a full disk is no fault of its, and is raised."""
    full = isinstance(error, DiskError)
    if not (full and checkpoint.left(one.out).epoch):
        shutil.rmtree(one.out, ignore_errors=True)
    if full:
        raise error
    return replace(one.trial, failure=str(error), seconds=setting.clock() - one.at)


def _trained(setting: Setting, one: _Begun) -> TrialResult:
    """The result; where memory does not do for a step, one of half the examples is tried once."""
    batch = one.spec["batch"] or min(one.trial.recipe.numbers.batch, setting.pixels.train)
    try:
        return _train(setting, one, one.spec)
    except OutOfMemoryError:
        gradient = one.trial.recipe.head.solver == "gradient"
        left = one.allowance - (setting.clock() - one.at)
        if not gradient or batch < 2 or left < planning.MINIMUM:
            raise
        return _train(setting, one, one.spec | {"batch": batch // 2, "deadline": _seconds(left)})


def _train(setting: Setting, one: _Begun, spec: dict[str, Any]) -> TrialResult:
    deadline = spec["deadline"]
    hard = None if deadline is None else _hard(setting, deadline)
    answer = setting.trainer.train(spec, hard, _labelled(setting.progress, one.trial))
    result = from_json(TrialResult, answer)
    if not all(math.isfinite(value) for value in result.metrics.values()):
        raise ResourceError(f"Its metrics are not finite: {result.metrics}.")
    return result


def _seconds(allowance: float) -> float | None:
    return None if math.isinf(allowance) else allowance


def _spec(
    setting: Setting, trial: Trial, out: Path, allowance: float, before: Before
) -> dict[str, Any]:
    """What `autotl.train.trial:run` is called with."""
    parent = before.parent.result if before.parent else None
    return {
        "recipe": to_json(trial.recipe),
        "located": to_json(setting.located),
        "pixels": to_json(setting.pixels),
        "metric": setting.metric,
        "seed": trial.seed,
        "view_seed": planning.seed_of(setting.seed, VIEWS),
        "folder": str(setting.folder),
        "out": str(out),
        "run_folder": str(setting.run_folder),
        "probe": _probe_weights(setting, trial, before.probe),
        "parent": str(checked(parent.weights, setting.run_folder)) if parent else None,
        "deadline": _seconds(allowance),
        "batch": None,
        "bundles": _bundles(setting),
    }


def _bundles(setting: Setting) -> list[int] | None:
    """Those of all rows, where a trial makes folds."""
    few = len(setting.labels) < selection.FEW
    return list(setting.bundles) if few and setting.bundles is not None else None


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
