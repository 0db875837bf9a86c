"""The search's loop: fixed trials, then proposals; each runs in the worker and is journalled."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from autotl.calls import Caller, Progress
from autotl.records import (
    Budget,
    Decision,
    Ledger,
    LocatedBackbone,
    Measurements,
    Metric,
    SearchRecord,
    StoredPixels,
    Trial,
)
from autotl.search import planning, selection
from autotl.search.course import PASSED, State, allowance, enough, hopeless, take
from autotl.search.proposing import base_of, run_proposals, settled_by
from autotl.search.trainers import Local, Trainer
from autotl.search.trials import Setting, logits_of
from autotl.train import default

STOPPED = {
    "trials": "the number of trials was reached",
    "budget": "the rest of the budget would not do for another trial",
    "space": "the search space is exhausted",
    "perfect": "no validation row is wrong any more",
    "no-improvement": "many trials in a row brought no improvement",
}


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
    bundles: Sequence[int] | None = None,
    trainer: Trainer | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> SearchRecord:
    """Train the probe, the decision's strategy and what the oracle proposes; select the best.

    `budget` holds what was asked for, `seconds_left()` what is left of it now (not asked where
    `budget.seconds` is None). `folder` is the activation cache, `run_folder` takes `trials/` and
    `tensorboard/`. `test_rows` helps to estimate what evaluation will take. Rows with the same
    number in `bundles` (of training rows, then of validation rows) are in one fold, and count once
    in errors. `trainer` trains the trials, by default the worker. Trials in the ledger are not run
    again, but what they tried must be what would be tried now.

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
        trainer=trainer or Local(worker=worker),
        ledger=ledger,
        run_folder=Path(run_folder),
        folder=Path(folder),
        progress=progress,
        tensorboard=tensorboard,
        test_rows=test_rows,
        bundles=bundles,
        clock=clock,
    )
    return _searched(setting)


def _searched(setting: Setting) -> SearchRecord:
    begun, state = setting.clock(), State()
    fixed = _fixed(setting)
    stopped = _run_fixed(setting, state, fixed)
    longer = None if stopped else _longer(setting, state, len(fixed))
    if longer is not None:
        stopped = _run_longer(setting, state, longer)
    first = len(fixed) + (longer is not None)
    stopped = stopped or run_proposals(setting, state, first)
    return _record(setting, state, stopped, setting.clock() - begun)


# ---- the fixed trials ----


def _fixed(setting: Setting) -> tuple[planning.Step, ...]:
    decision, measurements = setting.decision, setting.measurements
    several = len(decision.reads) > 1
    own = decision.taps if "taps" in decision.fixed else None  # of a decision without `reads`
    taps = None if several else decision.reads or own
    probe = default("feature-extraction", measurements, taps=taps)
    if not measurements.pretrained:
        probe = replace(probe, pretrained=False)
    head = default("feature-extraction", measurements, taps=decision.reads) if several else None
    runner_up = None
    if decision.race > 0 and decision.runner_up:
        runner_up = planning.rated(default(decision.runner_up, measurements), decision.rates)
    return planning.fixed_trials(decision.race, probe, base_of(setting), runner_up, head)


def _run_fixed(setting: Setting, state: State, fixed: tuple[planning.Step, ...]) -> str:
    """Run the fixed trials; says why the search must stop, or "" where it may go on."""
    for one in fixed:
        if enough(setting, state):
            state.notes.append(f"{_untried(one)}: {STOPPED['trials']}.")
            return "trials"
        given = allowance(setting, state, one)
        if given is None and one.origin in PASSED:
            state.notes.append(_no_time(one))
        elif given is None:
            state.notes.append(
                f"{_untried(one)}: the rest of the budget would not do for one epoch."
            )
            return "budget"
        else:
            take(setting, state, [(one, {}, given)])
    return ""


def _no_time(one: planning.Step) -> str:
    return f"{_untried(one)}: its share of the budget would not do for half of its training."


def _untried(one: planning.Step) -> str:
    several = selection.head_only(one.recipe) and len(one.recipe.taps) > 1
    what = PASSED["head"] if several else PASSED.get(one.origin)
    return f"{what} was not tried" if what else f"{one.recipe.strategy} was not trained"


def _longer(setting: Setting, state: State, number: int) -> planning.Step | None:
    """The longer training of the better of the fixed trials that train stages, if there is one.

    That is where a budget helps most: what is proposed beside a default recipe rarely wins.
    """
    stages = [t for t in state.trials if not selection.head_only(t.recipe)]
    order = selection.ranked(stages, setting.metric, len(setting.labels))
    if not order:
        return None
    return planning.Step(number=number, origin="longer", recipe=planning.longer(order[0].recipe))


def _run_longer(setting: Setting, state: State, one: planning.Step) -> str:
    """Run it, or pass it over where time is short; says why the search must stop, or ""."""
    if enough(setting, state):
        return "trials"
    replayed = setting.ledger.replay(one.number)
    settled = "" if replayed else settled_by(setting, state, one.recipe)
    given = None if settled else allowance(setting, state, one)
    if given is not None:
        take(setting, state, [(one, {}, given)])
    elif not settled:
        state.notes.append(_no_time(one))
    return settled


# ---- the outcome ----


def _record(setting: Setting, state: State, stopped: str, seconds: float) -> SearchRecord:
    trials, read = state.trials, partial(logits_of, setting)
    chosen = selection.best(trials, setting.metric, setting.labels, read, setting.crossed)
    if chosen is None:
        raise hopeless(state)
    comparable = len(selection.finished(trials))
    return SearchRecord(
        best=chosen,
        probe=trials[0],
        trials=len(trials),
        failed=len(trials) - comparable,
        comparable=comparable,
        metric=setting.metric,
        stopped=STOPPED[stopped],
        notes=(*state.notes, *_notes(setting, trials, chosen, comparable)),
        seconds=seconds,
    )


def _notes(setting: Setting, trials: Sequence[Trial], chosen: Trial, comparable: int) -> list[str]:
    if comparable < 2:
        return []
    notes = [
        f"The validation score was selected among {comparable} trials and is therefore optimistic; "
        "the test figures are not."
    ]
    proposed = any(trial.origin == selection.PROPOSAL for trial in trials)
    if len(setting.labels) < selection.FEW and proposed:
        did = f"trial {chosen.number} did" if chosen.origin == selection.PROPOSAL else "none did"
        notes.append(
            f"On under {selection.FEW} validation rows a proposal must beat the best of the other "
            f"trials by more than one standard error: {did}."
        )
    if chosen.number == 0:
        notes.append(
            "The linear probe was kept: no other trial was better by more than one validation row "
            "(within one row, the lower log loss decides)."
        )
    return notes
