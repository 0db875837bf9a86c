"""Where a search stands: what its trials gave, what is left to spend, whose weights are kept."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from autotl.errors import ResourceError, SearchError
from autotl.records import Ledger, Trial
from autotl.search import planning, selection
from autotl.search.trials import Before, Planned, Setting, attempt, folder_of, logits_of
from autotl.train import checkpoint

HOPELESS = 4
"""Trials that may fail, with none finished, before the search gives up."""

Chosen = tuple[planning.Step, dict[str, Any], float]
"""A trial to come, its hyperparameters, and the seconds that it may take."""


@dataclass
class State:
    """What the trials gave so far, in order; notes for the report; whose weights are kept."""

    trials: list[Trial] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    kept: set[int] = field(default_factory=set)


def score(setting: Setting, trial: Trial) -> float | None:
    """What the search goes by, higher is better; None for a failed trial."""
    return selection.score(trial.result.metrics, setting.metric) if trial.result else None


def enough(setting: Setting, state: State, more: int = 0) -> bool:
    """Whether the trials, and `more` to come, are as many as were asked for."""
    most = setting.budget.trials
    return most is not None and len(state.trials) + more >= most


PASSED = {
    "runner-up": "The runner-up",
    "head": "A head on all stages",
    "longer": "A longer training",
}
"""Origins of fixed trials that are passed over where the budget does not hold them, in words."""


def allowance(setting: Setting, state: State, one: planning.Step) -> float | None:
    """Seconds the trial may take (infinite where no clock limits it); None: do not begin it."""
    ledger = setting.ledger
    if setting.budget.seconds is None or ledger.replay(one.number) is not None:
        return math.inf
    after = range(one.number + 1, one.number + 1 + len(PASSED))
    if one.origin in PASSED and any(_begun(ledger, number) for number in after):
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
    begun = checkpoint.left(folder_of(setting, one.number)).epoch
    cost = replace(cost, epochs=max(cost.epochs - begun, 1))
    earlier = [trial.seconds for trial in state.trials if trial.origin == "default"]
    spent = sum(earlier) if one.origin == "runner-up" else 0.0
    given = planning.allowance(one, cost, factor, left=left, reserve=setting.reserve, spent=spent)
    if given is None:
        shutil.rmtree(folder_of(setting, one.number), ignore_errors=True)
    return given


def _begun(ledger: Ledger, number: int) -> bool:
    return ledger.replay(number) is not None or ledger.starts(number) > 0


def take(setting: Setting, state: State, together: Sequence[Chosen]) -> None:
    """Run or replay trials, and let go of weights that can no longer be chosen."""
    earlier = {trial.number: trial for trial in state.trials}
    plans = []
    for one, values, given in together:
        parent = None if one.parent is None else earlier[one.parent]
        planned = Planned(
            number=one.number,
            origin=one.origin,
            recipe=one.recipe,
            values=values,
            allowance=given,
        )
        plans.append((planned, Before(probe=earlier.get(0), parent=parent)))
    for trial in attempt(setting, plans):
        state.trials.append(trial)
        _let_go(setting, state)


def _let_go(setting: Setting, state: State) -> None:
    if len(state.trials) >= HOPELESS and not selection.finished(state.trials):
        raise hopeless(state)
    read, crossed = partial(logits_of, setting), setting.crossed
    standing = selection.eligible(state.trials, setting.metric, setting.labels, read, crossed)
    rows = len(setting.labels)
    # what was once let go does not come back, whatever a later trial makes of the order
    there = state.kept | {state.trials[-1].number}
    state.kept = there & selection.kept(standing, state.trials, setting.metric, rows)
    for trial in state.trials:
        if trial.result and trial.number not in state.kept:
            (setting.run_folder / trial.result.weights.path).unlink(missing_ok=True)


def hopeless(state: State) -> SearchError:
    """The error for a search none of whose trials finished."""
    return SearchError(
        f"Every trial failed ({len(state.trials)} were run).",
        hint="See the causes above; --strategy feature-extraction needs least memory and time.",
        details=tuple(
            f"trial {trial.number}, {trial.recipe.strategy}: {trial.failure}"
            for trial in state.trials
        ),
    )
