"""The trials that the oracle proposes: which may be begun together, and when to leave off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from autotl.records import Decision, Measurements, Recipe, Trial, to_json
from autotl.search import planning, selection
from autotl.search.course import Chosen, State, allowance, enough, score, take
from autotl.search.space import Dimension, defaults, recipe_of, rung, space
from autotl.search.trials import Setting
from autotl.train import default

ORACLE = 1
PATIENCE = 12
"""Trials without a better score after which a search that only the clock limits stops."""
BRACKETS = 26
"""The same with successive halving: twice the trials of its first bracket."""
STEERED = 8
"""Finished trials from which on scores may steer (`proposals.INITIAL`)."""
PARTS = (9, 3)
"""Parts of a default's epochs, powers of `proposals.FACTOR`, the most that it has epochs for."""


def base_of(setting: Setting) -> Recipe:
    """The default recipe of the chosen strategy, around which the space lies."""
    return _base(setting.decision, setting.measurements)


def learning_rate(decision: Decision, measurements: Measurements) -> float | None:
    """The rate that the default recipe of the chosen strategy takes: the one asked for, else its
    own times what was decided; None where the head is fitted.
    """
    recipe = _base(decision, measurements)
    fitted = recipe.head.solver == "logistic-regression"
    return None if fitted else recipe.numbers.learning_rate


def _base(decision: Decision, measurements: Measurements) -> Recipe:
    base = default(
        decision.strategy,
        measurements,
        boundary=decision.boundary if decision.strategy == "partial-freeze" else None,
        taps=decision.taps,
        learning_rate=decision.learning_rate if decision.learning_rate > 0 else None,
    )
    if decision.learning_rate <= 0:
        base = planning.rated(base, decision.rates)
    return base if measurements.pretrained else replace(base, pretrained=False)


def run_proposals(setting: Setting, state: State, number: int) -> str:
    """Run what the oracle proposes, from trial `number` on, until something ends it; says what."""
    base = base_of(setting)
    dimensions = tuple(
        one
        for one in space(
            base,
            stages=len(setting.measurements.stages),
            orientation_matters=setting.measurements.orientation_matters,
            imbalance=setting.measurements.size.imbalance,
        )
        if one.name not in setting.decision.fixed
    )
    while not enough(setting, state):
        settled = "" if setting.ledger.replay(number) else settled_by(setting, state, base)
        if settled:
            return settled
        together, stop = _together(setting, state, dimensions, base, number)
        if not together:
            return stop
        take(setting, state, together)
        number += len(together)
    return "trials"


def _together(
    setting: Setting, state: State, dimensions: tuple[Dimension, ...], base: Recipe, number: int
) -> tuple[list[Chosen], str]:
    """The trials from `number` on that may be begun at once, each with its values and seconds, and
    why there are no more. What is proposed never depends on the scores of those beside it.
    """
    found: list[Chosen] = []
    while len(found) < setting.trainer.width and not enough(setting, state, len(found)):
        beside = [values for _, values, _ in found]
        values = _proposed(setting, state, dimensions, base, number + len(found), beside)
        if values is None:
            return found, "space"
        if found and _waits(setting, state, base, values, len(found)):
            break
        recipe, parent = _continued(recipe_of(base, values), values, state)
        one = planning.Step(
            number=number + len(found), origin="proposal", recipe=recipe, parent=parent
        )
        given = allowance(setting, state, one)
        if given is None:
            return found, "budget"
        found.append((one, values, given))
    return found, ""


def _waits(
    setting: Setting, state: State, base: Recipe, values: dict[str, Any], beside: int
) -> bool:
    """Whether a proposal depends on scores of trials that are not yet run."""
    if _parts(base):
        step = rung(values)
        return step is not None and step.parent is not None
    known = len(selection.finished(state.trials))
    return setting.budget.seconds is None and known + beside >= STEERED


def _continued(recipe: Recipe, values: dict[str, Any], state: State) -> tuple[Recipe, int | None]:
    """The recipe with the epochs that successive halving gives it, and the trial it goes on from.

    Where that trial's weights are no longer kept, all its epochs are trained anew.
    """
    found = rung(values)
    if found is None:
        return recipe, None
    proposals = [trial.number for trial in state.trials if trial.origin == "proposal"]
    parent = None if found.parent is None else proposals[found.parent]
    if parent not in state.kept:
        parent = None
    whole = recipe.numbers.epochs
    epochs = found.epochs(whole, _parts(recipe), anew=parent is None)
    return replace(recipe, numbers=replace(recipe.numbers, epochs=epochs)), parent


def settled_by(setting: Setting, state: State, base: Recipe) -> str:
    """Why more trials would be pointless although time is left; never where trials are counted."""
    if setting.budget.trials is not None:
        return ""
    scores = [score(setting, trial) for trial in selection.finished(state.trials)]
    if setting.metric != "log-loss" and max((s for s in scores if s is not None), default=0.0) >= 1:
        return "perfect"
    patience = BRACKETS if _parts(base) else PATIENCE
    if selection.since_best(state.trials, setting.metric, len(setting.labels)) >= patience:
        return "no-improvement"
    return ""


def _proposed(
    setting: Setting,
    state: State,
    dimensions: tuple[Dimension, ...],
    base: Recipe,
    number: int,
    beside: Sequence[dict[str, Any]],
) -> dict[str, Any] | None:
    """The oracle's values for a trial; None where the space is exhausted. `beside` are those of
    trials that are to be run together with it, whose scores are made up.

    Stages are trained by successive halving on epochs: its configurations are drawn whatever the
    scores, which decide only whose training goes on. For heads alone, which take seconds, scores
    steer where no clock does: else two runs would propose different trials.
    """
    parts = _parts(base)
    halving = parts > 0
    steered = "bayesian" if setting.budget.seconds is None else "random"
    known = [
        {"values": tried, "score": score(setting, trial)}
        for trial in state.trials
        if (tried := _values_of(trial, dimensions, base)) is not None
        and (trial.origin == "proposal" or not halving)
    ]
    known += [{"values": values, "score": 0.0} for values in beside]
    spec = {
        "space": to_json(dimensions),
        "seed": planning.seed_of(setting.seed, ORACLE, *([] if halving else [number])),
        "known": known,
        "kind": "halving" if halving else steered,
        "parts": parts,
    }
    answer = setting.worker.call("autotl.search.proposals:propose", spec)
    values: dict[str, Any] | None = answer["values"]
    return values


def _parts(base: Recipe) -> int:
    """Into how many parts successive halving cuts a default's epochs; 0 where it does not."""
    if selection.head_only(base):
        return 0
    return next((parts for parts in PARTS if base.numbers.epochs >= parts), 0)


def _values_of(
    trial: Trial, dimensions: tuple[Dimension, ...], base: Recipe
) -> dict[str, Any] | None:
    """Where a trial lies in the space; None for one outside it. Of others than proposals, those
    that read other taps than the default recipe are found too (the probe of a head on all stages).
    """
    if trial.origin == "proposal":
        return trial.hyperparameters
    taps = [{"taps": value} for one in dimensions if one.name == "taps" for value in one.values]
    points: list[dict[str, Any]] = [dict(defaults(dimensions)) | other for other in ({}, *taps)]
    return next((point for point in points if recipe_of(base, point) == trial.recipe), None)
