"""What a run will take from the decision on, and which budgets would suffice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from autotl.decide.deciding import MOST_RACE, reserve
from autotl.decide.reasons import ALWAYS, SHORTEST
from autotl.records import Budget, Decision, Foreseen, Measurements, RunEstimate
from autotl.request import typed

LONGER = 3.0
"""Times the length of a default training that the search's longer one has."""
PROVEN = 1000
"""Validation rows that an exported model is held against, at most."""
WRITING = 2.0
"""Seconds of evaluation and export that depend on neither model nor rows, about."""
BUILT = 3
"""Models that evaluation and export build or load."""
LEAST_KEPT, KEPT_BUILDINGS, KEPT_SHARE = 15.0, 10.0, 1 / 3
"""What the search keeps back of a budget beside passes: seconds or buildings, whichever is more,
and no more than a share of the budget."""
MARGIN = 0.9
"""Share of a budget that is named which what it is for may take: no two runs are equally fast."""

TYPED = tuple(
    float(seconds)
    for seconds in (
        *(15, 30, 45, 60, 90),
        *range(2 * 60, 20 * 60, 60),
        *range(20 * 60, 60 * 60, 5 * 60),
        *range(3600, 3 * 3600, 900),
        *range(3 * 3600, 12 * 3600, 1800),
        *range(12 * 3600, 7 * 86400, 3600),
    )
)
"""Budgets that one would type, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What there is to estimate by. `unlimited` is the decision that a run without a clock would
    take; `left` seconds of the budget are left (None: no clock), `spent` were spent so far; `test`
    rows are held out. `natural` is the input size that the images would bear.
    """

    decision: Decision
    unlimited: Decision
    measured: Measurements
    budget: Budget
    left: float | None
    spent: float
    test: int
    natural: int = 0


def estimate(ahead: Ahead) -> RunEstimate:
    """The estimate, by the decision's predicted minutes and the measured speed (pure)."""
    room = None if ahead.left is None else max(_room(ahead, ahead.left + ahead.spent), 0.0)
    grown = max(ahead.natural / ahead.measured.input_size, 1.0)
    larger = ahead.left is not None and grown > 1
    suffices = friendly(_holds(ahead, 1.0))
    enlarged = friendly(_holds(ahead, grown**2)) if larger else None
    named = enlarged if larger else suffices
    return RunEstimate(
        trainings=tuple(_trainings(ahead, room)),
        finishing=finishing(ahead.measured, ahead.test),
        most=None if ahead.left is None else max(ahead.left, 0.0),
        budget=ahead.budget.seconds,
        suffices=suffices,
        longer=friendly(_holds(ahead, 1.0, LONGER)),
        larger=enlarged,
        larger_size=ahead.natural if larger else None,
        warnings=tuple(_warnings(ahead, room, named)),
    )


def friendly(holds: Callable[[float], bool]) -> float | None:
    """The smallest budget that one would type and that holds with a margin; None where none of a
    week does.
    """
    return next((seconds for seconds in TYPED if holds(MARGIN * seconds)), None)


def finishing(measured: Measurements, test: int) -> float:
    """Seconds of evaluation and export, about: models are built or loaded, the test rows pass
    through two and the file, validation rows through the model and the file.
    """
    speed = measured.speed
    proof = min(measured.size.validation, PROVEN)
    passes = speed.forward * (3 * test + 2 * proof) + speed.decode * (test + proof)
    return WRITING + BUILT * speed.fixed + passes


def _trainings(ahead: Ahead, room: float | None) -> Iterator[Foreseen]:
    """In the order of the search; the clock's share is what it would give each."""
    decision, most = ahead.decision, ahead.budget.trials
    yield Foreseen(role="heads", strategy=ALWAYS, seconds=_heads(ahead), given=None)
    if decision.strategy == ALWAYS or most == 1:
        return
    for role, strategy, share in (
        ("default", decision.strategy, 1.0 - decision.race),
        ("runner-up", decision.runner_up, decision.race),
    ):
        if strategy is None or share <= 0:
            continue
        yield Foreseen(
            role=role,  # type: ignore[arg-type]
            strategy=strategy,
            seconds=_seconds(decision, strategy),
            given=None if room is None else room * share,
        )


def _seconds(decision: Decision, strategy: str) -> float:
    return 60 * decision.predicted[strategy].minutes


def _heads(ahead: Ahead) -> float:
    """Of the probe, and of a head on all stages where there is one: one pass serves both."""
    found = ahead.decision.predicted.get(ALWAYS)
    speed, size = ahead.measured.speed, ahead.measured.size
    once = speed.forward * (size.train + size.validation) if found is None else 60 * found.minutes
    return once + (speed.fixed if len(ahead.decision.reads) > 1 else 0.0)


def _room(ahead: Ahead, total: float) -> float:
    """Seconds that a budget of `total` leaves for trainings, by the decision's rule and by the
    search's.
    """
    measured, left = ahead.measured, total - ahead.spent
    speed, proof = measured.speed, min(measured.size.validation, PROVEN)
    passes = speed.forward * (3 * ahead.test + 2 * proof)
    passes += speed.decode * (3 * ahead.test + proof)
    after = max(LEAST_KEPT, KEPT_BUILDINGS * speed.fixed) + passes
    kept = min(after, total * KEPT_SHARE)
    return min(left - reserve(speed, left), left - _heads(ahead) - kept)


def _holds(ahead: Ahead, grown: float, longer: float = 0.0) -> Callable[[float], bool]:
    """Whether a budget holds the trainings that would be chosen without a clock: the choice in
    whole, within its part of the time where the runner-up is raced, and then one `longer` times as
    long. With `grown` times the pixels all of it takes as many times as long.
    """
    decision = ahead.unlimited
    chosen = grown * _seconds(decision, decision.strategy)
    race = min(decision.race, MOST_RACE)
    rival = decision.runner_up if race > 0 else None
    other = 0.0 if rival is None else grown * _seconds(decision, rival)
    again = (grown - 1.0) * (ahead.measured.seconds + _heads(ahead))

    def holds(total: float) -> bool:
        room = _room(ahead, total - again)
        if decision.strategy == ALWAYS:
            return room >= 0
        own = min(room * (1.0 - race), room - SHORTEST * other)
        return own >= chosen and (not longer or room >= chosen * (1.0 + longer) + other)

    return holds


def _warnings(ahead: Ahead, room: float | None, named: float | None) -> Iterator[str]:
    """That the clock changed the choice, or that it cuts the chosen training short."""
    decision, best = ahead.decision, ahead.unlimited.strategy
    if room is None:
        return
    asked = typed(round(ahead.budget.seconds or 0.0, 1))
    needed = "more than a week" if named is None else f"about --budget {typed(named)}"
    at = _at(ahead)
    own = decision.predicted[decision.strategy]
    if decision.strategy != best:
        other = decision.predicted[best]
        figures = f"predicted {other.accuracy:.3f} [{other.low:.3f}, {other.high:.3f}]"
        does = "" if other.accuracy > own.accuracy else "which does best on most data, "
        yield (
            f"{asked} does not hold {best} ({does}{figures}), so {decision.strategy} (predicted "
            f"{own.accuracy:.3f}) is the choice; {best} needs {needed}{at}."
        )
    elif decision.strategy != ALWAYS and 60 * own.minutes > room:
        yield (
            f"{asked} leaves about {room:.0f} s for {best}, of {60 * own.minutes:.0f} s that its "
            f"whole training takes: the predicted {own.accuracy:.3f} may not be reached. The whole "
            f"needs {needed}{at}."
        )


def _at(ahead: Ahead) -> str:
    if ahead.natural <= ahead.measured.input_size:
        return ""
    return f", then with the {ahead.natural} pixels that the images would bear"
