"""What transfer brought: the three benefits of Torrey and Shavlik (2009), against scratch.

"Transfer learning", in Handbook of Research on Machine Learning Applications, figure 2: a higher
start, a higher slope, a higher asymptote of the accuracy over training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autotl.records import Trial, to_json
from autotl.report.trained import made

DEFAULTS = ("default", "runner-up")
"""Origins of the trials that are compared: alike in length and numbers."""
RISEN = 0.9
"""Share of the way from start to asymptote over which the slope is taken."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Accuracy, 0 to 1, on validation rows: before the first epoch, gained per epoch until `RISEN`
    of the way, and the best; `reached` is how many epochs it took to at least what scratch's best
    was, None where that never was.
    """

    start: float
    slope: float
    asymptote: float
    reached: int | None


def curve(accuracies: Sequence[float], threshold: float) -> Curve:
    """The figures of one training from its accuracies before it and after each epoch."""
    start, best = accuracies[0], max(accuracies)
    goal = start + RISEN * (best - start)
    risen = next(epoch for epoch, value in enumerate(accuracies) if value >= goal)
    return Curve(
        start=start,
        slope=(accuracies[risen] - start) / risen if risen else 0.0,
        asymptote=best,
        reached=next((e for e, value in enumerate(accuracies) if value >= threshold), None),
    )


def benefits(trials: Sequence[Trial]) -> dict[str, Any] | None:
    """The curves of the best transferred training and of the best from scratch among the default
    recipes, by their trials' numbers; None unless the run has finished both.
    """
    trained = [one for one in trials if one.origin in DEFAULTS and one.result]
    trained = [one for one in trained if one.result and made(one.result.history)]
    sides = {
        "transferred": [trial for trial in trained if trial.recipe.pretrained],
        "scratch": [trial for trial in trained if not trial.recipe.pretrained],
    }
    if not all(sides.values()):
        return None
    best = {name: max(some, key=lambda t: max(_accuracies(t))) for name, some in sides.items()}
    threshold = max(_accuracies(best["scratch"]))
    return {
        name: {"trial": trial.number, "strategy": trial.recipe.strategy, "cut_short": _cut(trial)}
        | to_json(curve(_accuracies(trial), threshold))
        for name, trial in best.items()
    }


def _cut(trial: Trial) -> bool:
    return trial.result is not None and trial.result.stopped == "deadline"


def sentence(found: dict[str, Any]) -> str:
    """The benefits in words, in points of accuracy."""
    ours, theirs = found["transferred"], found["scratch"]

    def apart(key: str, more: str, less: str) -> str:
        points = 100 * (ours[key] - theirs[key])
        return f"{abs(points):.1f} points {more if points >= 0 else less}"

    when = (
        f"it was level with the best of scratch after {ours['reached']} epochs, scratch after "
        f"{theirs['reached']}"
        if ours["reached"] is not None
        else "it was never level with the best of scratch"
    )
    short = [side["strategy"] for side in (ours, theirs) if side["cut_short"]]
    return (
        f"Against scratch, {ours['strategy']} started {apart('start', 'higher', 'lower')} on "
        f"validation, rose {apart('slope', 'faster', 'slower')} an epoch and came "
        f"{apart('asymptote', 'higher', 'lower')}; {when}"
        + (f" (the budget cut {' and '.join(short)} short)." if short else ".")
    )


def _accuracies(trial: Trial) -> list[float]:
    if trial.result is None:
        return []
    return [epoch["accuracy"] for epoch in trial.result.history if "epoch" in epoch]
