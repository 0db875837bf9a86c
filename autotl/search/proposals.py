"""What to try next, by keras-tuner. Runs in the worker, so that the parent never imports keras.

A proposal is a function of the space, a seed and the trials before it: a fresh oracle is told
these, and asked once. Random and Bayesian ones are told through the public `populate_space`;
Hyperband proposes them again itself, and hears their scores. So a resumed search proposes
what the unbroken one did, no state file is read, and each proposal costs one step of the oracle.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import keras_tuner
from keras_tuner.errors import FailedTrialError

from autotl.calls import Progress
from autotl.records import from_json
from autotl.search.space import Dimension

OBJECTIVE = "score"
INITIAL = 8
"""Finished trials before the Bayesian oracle leaves off drawing at random."""
LOST = -1e9
"""Score of a failed trial in successive halving: Hyperband waits for ever for a rung's failed ones,
and so would never let the best go on."""
FACTOR = 3
"""Of so many trials of a rung, one goes on to the next, which has so many times the epochs."""


def propose(spec: Mapping[str, Any], progress: Progress) -> dict[str, dict[str, Any] | None]:
    """The next values, active dimensions only; `values` is None where the space is exhausted.

    `spec`: space (a list of `Dimension`), seed (positive), known (what was tried, in order, each
    with values and score, higher is better, None where it failed), kind: "random" (draws without
    repetition, whatever the scores), "bayesian" (steered by scores from `INITIAL` of them on) or
    "halving" (Hyperband; parts: of the epochs of the longest trial), for which `known` must be
    what it proposed itself, with the same seed. Its values hold "tuner/epochs", in parts, and
    more (`space.rung`).
    """
    space = declared([from_json(Dimension, item) for item in spec["space"]])
    known = spec["known"]
    oracle = _oracle(spec, known)(
        objective=keras_tuner.Objective(OBJECTIVE, "max"),
        hyperparameters=space,
        allow_new_entries=False,
        tune_new_entries=False,
        seed=spec["seed"],
        max_consecutive_failed_trials=len(known) + 2,
    )
    with tempfile.TemporaryDirectory(prefix="autotl-oracle-") as folder:
        scores = [one["score"] for one in known]
        lost = LOST if spec["kind"] == "halving" else None
        tuner = Asking(oracle, scores=scores, lost=lost, directory=folder)
        tuner.search(verbose=0)
    return {"values": tuner.proposed}


def declared(dimensions: Sequence[Dimension]) -> Any:
    """The `keras_tuner.HyperParameters` of a space, conditional dimensions included."""
    space = keras_tuner.HyperParameters()
    named = {one.name: one for one in dimensions}
    for one in dimensions:
        with ExitStack() as scopes:
            for child in _conditional(one, named):
                scopes.enter_context(
                    space.conditional_scope(child.parent, list(child.parent_values))
                )
            if one.values:
                space.Choice(one.name, list(one.values), default=one.default)
            else:
                space.Float(one.name, one.low, one.high, sampling="log", default=one.default)
    return space


def _conditional(one: Dimension, named: Mapping[str, Dimension]) -> list[Dimension]:
    """The dimension and those it hangs on, outermost first, as far as they have a parent."""
    if not one.parent:
        return []
    return [*_conditional(named[one.parent], named), one]


def _oracle(spec: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> Any:
    oracles = keras_tuner.oracles
    if spec["kind"] == "halving":
        endless = {"hyperband_iterations": None, "max_epochs": spec["parts"], "factor": FACTOR}
        return partial(oracles.HyperbandOracle, **endless)
    adaptive = spec["kind"] == "bayesian"
    base = oracles.BayesianOptimizationOracle if adaptive else oracles.RandomSearchOracle

    class Continued(base):  # type: ignore[misc, valid-type]
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            number = int(trial_id)
            if number < len(known):
                return {"status": "RUNNING", "values": dict(known[number]["values"])}
            answer: dict[str, Any] = super().populate_space(trial_id)
            return answer

    first = {"num_initial_points": INITIAL} if adaptive else {}
    return partial(Continued, max_trials=len(known) + 1, **first)


class Asking(keras_tuner.Tuner):  # type: ignore[misc]
    """Answers what is known, and keeps the first proposal that is not."""

    def __init__(
        self,
        oracle: Any,
        *,
        scores: Sequence[float | None],
        lost: float | None,
        directory: str,
    ) -> None:
        super().__init__(oracle, directory=directory, project_name="search")
        self.scores = scores
        self.lost = lost
        self.proposed: dict[str, Any] | None = None

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float | dict[str, float]:
        """The known score; for a failed trial `lost`, or `FailedTrialError` where that is None.
        The new proposal is kept, and its score, with which the search ends, is of no account.
        """
        number = int(trial.trial_id)
        if number >= len(self.scores):
            self.proposed = {k: _plain(v) for k, v in trial.hyperparameters.values.items()}
            self.oracle.max_trials = len(self.scores) + 1
            return {OBJECTIVE: 0.0}
        score = self.lost if self.scores[number] is None else self.scores[number]
        if score is None:
            raise FailedTrialError("failed when it was run")
        return {OBJECTIVE: score}


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
