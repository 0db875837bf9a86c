"""The search's loop: fixed trials, then proposals; each runs in the worker and is journalled."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from autotl.errors import ResourceError, SearchError
from autotl.records import (
    Budget,
    Decision,
    Ledger,
    LocatedBackbone,
    Measurements,
    Metric,
    Recipe,
    SearchRecord,
    StoredPixels,
    Trial,
    to_json,
)
from autotl.search import planning, selection
from autotl.search.space import Dimension, defaults, recipe_of, space
from autotl.search.trials import Caller, Planned, Progress, Setting, attempt, logits_of
from autotl.train import default

ORACLE = 1
PATIENCE = 12
"""Trials without a better score after which a search that only the clock limits stops."""
HOPELESS = 4
"""Trials that may fail, with none finished, before the search gives up."""
STOPPED = {
    "trials": "the number of trials was reached",
    "budget": "the rest of the budget would not do for another trial",
    "space": "the search space is exhausted",
    "perfect": "no validation row is wrong any more",
    "no-improvement": f"{PATIENCE} trials in a row brought no improvement",
}


@dataclass
class State:
    """What the trials gave so far, in order, and notes for the report."""

    trials: list[Trial] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def search(
    decision: Decision,
    measurements: Measurements,
    pixels: StoredPixels,
    located: LocatedBackbone,
    *,
    budget: Budget,
    seconds_left: Callable[[], float | None],
    metric: Metric,
    seed: int,
    worker: Caller,
    ledger: Ledger,
    run_folder: Path,
    folder: Path,
    progress: Progress | None = None,
    tensorboard: bool = False,
    test_rows: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> SearchRecord:
    """Train the probe, the decision's strategy and what the oracle proposes; select the best.

    `budget` holds what was asked for, `seconds_left()` what is left of it now (not asked where
    `budget.seconds` is None). `folder` is the activation cache, `run_folder` takes `trials/` and
    `tensorboard/`. `test_rows` helps to estimate what evaluation will take. Trials in the ledger
    are not run again, but what they tried must be what would be tried now.

    Raises `SearchError` when every trial failed, `ResourceError` when nothing of the budget is
    left at the start, `RunFolderError` when the ledger holds another search's trials. An error of
    ours inside a trial (`InternalError`, `PluginError`, ...) ends the search.
    """
    setting = Setting(
        decision=decision,
        measurements=measurements,
        pixels=pixels,
        located=located,
        budget=budget,
        seconds_left=seconds_left,
        metric=metric,
        seed=seed,
        worker=worker,
        ledger=ledger,
        run_folder=Path(run_folder),
        folder=Path(folder),
        progress=progress,
        tensorboard=tensorboard,
        test_rows=test_rows,
        clock=clock,
    )
    return _searched(setting)


def _searched(setting: Setting) -> SearchRecord:
    begun, state = setting.clock(), State()
    fixed = _fixed(setting)
    stopped = _run_fixed(setting, state, fixed) or _run_proposals(setting, state, len(fixed))
    return _record(setting, state, stopped, setting.clock() - begun)


# ---- the fixed trials ----


def _fixed(setting: Setting) -> tuple[planning.Step, ...]:
    decision, measurements = setting.decision, setting.measurements
    probe = default("feature-extraction", measurements)
    if not measurements.pretrained:
        probe = replace(probe, pretrained=False)
    runner_up = None
    if decision.race > 0 and decision.runner_up:
        runner_up = default(decision.runner_up, measurements)
    return planning.fixed_trials(decision.race, probe, _base(setting), runner_up)


def _base(setting: Setting) -> Recipe:
    """The default recipe of the chosen strategy, around which the space lies."""
    decision = setting.decision
    base = default(
        decision.strategy,
        setting.measurements,
        boundary=decision.boundary if decision.strategy == "partial-freeze" else None,
        taps=decision.taps,
        learning_rate=decision.learning_rate if decision.learning_rate > 0 else None,
    )
    return base if setting.measurements.pretrained else replace(base, pretrained=False)


def _run_fixed(setting: Setting, state: State, fixed: tuple[planning.Step, ...]) -> str:
    """Run the fixed trials; says why the search must stop, or "" where it may go on."""
    for one in fixed:
        if _enough(setting, state):
            if one.origin == "runner-up":
                state.notes.append(
                    f"The runner-up {one.recipe.strategy} was not tried: {STOPPED['trials']}."
                )
            return "trials"
        given = _allowance(setting, state, one)
        if given is None and one.origin == "runner-up":
            state.notes.append(
                f"The runner-up {one.recipe.strategy} was not tried: its share of the budget "
                "would not do for half of its training."
            )
        elif given is None:
            state.notes.append(
                f"{one.recipe.strategy} was not trained: the rest of the budget would not do for "
                "one epoch."
            )
            return "budget"
        else:
            _take(setting, state, one, {}, given)
    return ""


# ---- the proposals ----


def _run_proposals(setting: Setting, state: State, number: int) -> str:
    """Run what the oracle proposes, from trial `number` on, until something ends it; says what."""
    base = _base(setting)
    dimensions = space(
        base,
        stages=len(setting.measurements.stages),
        orientation_matters=setting.measurements.orientation_matters,
    )
    while not _enough(setting, state):
        settled = "" if setting.ledger.replay(number) else _settled(setting, state)
        if settled:
            return settled
        values = _proposed(setting, state, dimensions, base, number)
        if values is None:
            return "space"
        one = planning.Step(number=number, origin="proposal", recipe=recipe_of(base, values))
        given = _allowance(setting, state, one)
        if given is None:
            return "budget"
        _take(setting, state, one, values, given)
        number += 1
    return "trials"


def _settled(setting: Setting, state: State) -> str:
    """Why more trials would be pointless although time is left; never where trials are counted."""
    if setting.budget.trials is not None:
        return ""
    scores = [_score(setting, trial) for trial in selection.finished(state.trials)]
    if setting.metric != "log-loss" and max((s for s in scores if s is not None), default=0.0) >= 1:
        return "perfect"
    if selection.since_best(state.trials, setting.metric, len(setting.labels)) >= PATIENCE:
        return "no-improvement"
    return ""


def _proposed(
    setting: Setting,
    state: State,
    dimensions: tuple[Dimension, ...],
    base: Recipe,
    number: int,
) -> dict[str, Any] | None:
    """The oracle's values for a trial; None where the space is exhausted.

    Scores steer it only where no clock does: else two runs would propose different trials.
    """
    known = [
        {"values": tried, "score": _score(setting, trial)}
        for trial in state.trials
        if (tried := _values_of(trial, dimensions, base)) is not None
    ]
    spec = {
        "space": to_json(dimensions),
        "seed": planning.seed_of(setting.seed, ORACLE, number),
        "known": known,
        "adaptive": setting.budget.seconds is None,
    }
    answer = setting.worker.call("autotl.search.proposals:propose", spec)
    values: dict[str, Any] | None = answer["values"]
    return values


def _values_of(
    trial: Trial, dimensions: tuple[Dimension, ...], base: Recipe
) -> dict[str, Any] | None:
    """Where a trial lies in the space; None for one outside it."""
    if trial.origin == "proposal":
        return trial.hyperparameters
    return dict(defaults(dimensions)) if trial.recipe == base else None


def _score(setting: Setting, trial: Trial) -> float | None:
    return selection.score(trial.result.metrics, setting.metric) if trial.result else None


# ---- budget, and what stays on disk ----


def _enough(setting: Setting, state: State) -> bool:
    return setting.budget.trials is not None and len(state.trials) >= setting.budget.trials


def _allowance(setting: Setting, state: State, one: planning.Step) -> float | None:
    """Seconds the trial may take (infinite where no clock limits it); None: do not begin it."""
    ledger = setting.ledger
    if setting.budget.seconds is None or ledger.replay(one.number) is not None:
        return math.inf
    if one.origin == "runner-up" and _begun(ledger, one.number + 1):
        return None  # an earlier sitting passed it over
    left = setting.seconds_left()
    if left is None:
        return math.inf
    if one.origin == "probe" and left <= 0:
        raise ResourceError(
            f"The budget of {setting.budget.seconds:.0f} s was used up before the first trial.",
            hint="Give a larger --budget.",
        )
    speed, rows = setting.measurements.speed, setting.rows
    cost, factor = planning.corrected(one.recipe, speed, rows, state.trials)
    earlier = [trial.seconds for trial in state.trials if trial.origin == "default"]
    spent = sum(earlier) if one.origin == "runner-up" else 0.0
    return planning.allowance(one, cost, factor, left=left, reserve=setting.reserve, spent=spent)


def _begun(ledger: Ledger, number: int) -> bool:
    return ledger.replay(number) is not None or ledger.starts(number) > 0


def _take(
    setting: Setting, state: State, one: planning.Step, values: dict[str, Any], given: float
) -> None:
    """Run or replay one trial, and let go of weights that can no longer be chosen."""
    planned = Planned(
        number=one.number, origin=one.origin, recipe=one.recipe, values=values, allowance=given
    )
    state.trials.append(attempt(setting, planned, state.trials[0] if state.trials else None))
    if len(state.trials) >= HOPELESS and not selection.finished(state.trials):
        raise _hopeless(state)
    read, crossed = partial(logits_of, setting), setting.crossed
    standing = selection.eligible(state.trials, setting.metric, setting.labels, read, crossed)
    keep = selection.kept(standing, setting.metric, len(setting.labels))
    for trial in state.trials:
        if trial.result and trial.number not in keep:
            (setting.run_folder / trial.result.weights.path).unlink(missing_ok=True)


# ---- the outcome ----


def _hopeless(state: State) -> SearchError:
    return SearchError(
        f"Every trial failed ({len(state.trials)} were run).",
        hint="See the causes above; --strategy feature-extraction needs least memory and time.",
        details=tuple(
            f"trial {trial.number}, {trial.recipe.strategy}: {trial.failure}"
            for trial in state.trials
        ),
    )


def _record(setting: Setting, state: State, stopped: str, seconds: float) -> SearchRecord:
    trials, read = state.trials, partial(logits_of, setting)
    chosen = selection.best(trials, setting.metric, setting.labels, read, setting.crossed)
    if chosen is None:
        raise _hopeless(state)
    comparable = len(selection.finished(trials))
    return SearchRecord(
        best=chosen,
        probe=trials[0],
        trials=len(trials),
        failed=len(trials) - comparable,
        comparable=comparable,
        metric=setting.metric,
        stopped=STOPPED[stopped],
        notes=(*state.notes, *_notes(setting, chosen, comparable)),
        seconds=seconds,
    )


def _notes(setting: Setting, chosen: Trial, comparable: int) -> list[str]:
    if comparable < 2:
        return []
    notes = [f"The validation score is that of the best of {comparable} trials, hence optimistic."]
    if chosen.number == 0:
        few = len(setting.labels) < selection.FEW
        how = "by more than one standard error"
        how = (
            how if few else "on the validation rows (within one row, the lower log loss is better)"
        )
        notes.append(f"The linear probe was kept: no other trial beat it {how}.")
    return notes
