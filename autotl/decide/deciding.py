"""The choice itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist

from autotl.decide import reasons, scenario
from autotl.decide.coefficients import (
    Coefficients,
    Rate,
    measurer_digest,
    shipped,
    trainer_digest,
)
from autotl.decide.prediction import WIDTH, Forecast, forecasts, pair_deviation, possible
from autotl.errors import PluginError, ResourceError, UsageError
from autotl.records import Budget, Decision, Measurements, Speed, Strategy

MOST_RACE = 0.4
"""The runner-up's largest share of the budget, where both are as likely to be the better one."""

BUILDINGS = 10.0
"""Models built, in terms of `Speed.fixed`, by the probe's trial, evaluation and export."""
KEPT_SECONDS = 15.0
"""Seconds that these take beside."""
LARGEST_RESERVE = 1 / 3

SETTLING = 500
"""Validation rows under which scores cannot settle a small margin: the runner-up is not raced."""

RACED = 3
"""Trials of a race: the probe, the choice and the runner-up."""

SHORTEST = reasons.SHORTEST
ALWAYS = reasons.ALWAYS

Forecasts = dict[Strategy, Forecast]


def decide(
    measurements: Measurements,
    budget: Budget,
    *,
    epochs: Mapping[Strategy, int],
    strategy: Strategy | None = None,
    frozen: str | None = None,
    tap: str | None = None,
    learning_rate: float | None = None,
    seconds_left: float | None = None,
    coefficients: Coefficients | None = None,
) -> Decision:
    """Choose a strategy, or take the one that the user named and say what the engine would do.

    So for the last stage that partial freeze leaves `frozen`, the stage that feature extraction
    reads (`tap`), both by name, and the `learning_rate` of the others.

    `epochs` are those of each strategy's default recipe (1 where only a head is fitted), by which
    its seconds are predicted. `seconds_left` is what the budget still holds (None: all of
    `budget.seconds`). With a budget, a strategy predicted to take longer than that less the
    `reserve` cannot be chosen (where all would, the quickest is, to be cut short); without one the
    choice does not depend on measured seconds.

    Raises `ResourceError` where nothing of the budget is left, `PluginError` or `UsageError` where
    the named one is impossible, `InternalError` where the coefficients are missing.
    """
    own, measurements = measurements, with_stages(measurements, frozen, None)
    named = with_stages(measurements, None, tap)
    known, digest = (coefficients, "given") if coefficients else shipped()
    found = forecasts(measurements, known, epochs)
    if ALWAYS in found:  # the others do not read a tap that was named
        found[ALWAYS] = forecasts(named, known, epochs)[ALWAYS]
    left = seconds_left if seconds_left is not None else budget.seconds
    outcome = _outcome(measurements, known, found, strategy, left, budget.trials)
    chosen, stages = outcome.chosen, measurements.stages
    (boundary, taps), higher = cut(chosen, named), _rates(measurements, known)
    given = {"boundary": frozen, "taps": tap, "learning_rate": learning_rate}
    settled = reasons.settled(named, own, frozen, tap, learning_rate, higher.get(chosen))
    faster = reasons.faster(higher, chosen) if learning_rate is None else ()
    return Decision(
        backbone=measurements.backbone,
        input_size=measurements.input_size,
        strategy=chosen,
        engine=outcome.engine,
        forced=outcome.forced,
        boundary=boundary,
        frozen=stages[:boundary],
        taps=taps,
        tap=tuple(stages[tap - 1] for tap in taps),
        learning_rate=learning_rate or 0.0,
        runner_up=outcome.rival,
        margin=_margin(found, chosen, outcome.rival),
        race=outcome.race,
        scenario=scenario.name(measurements, known.thresholds),
        reasons=(*settled, *reasons.sentences(measurements, known, found, outcome), *faster),
        predicted={name: one.shown for name, one in found.items()},
        coefficients=digest,
        provisional=known.provisional or bool(outcome.changed),
        fixed=tuple(name for name, value in given.items() if value is not None),
        reads=cut(ALWAYS, named)[1],
        rates={name: one.factor for name, one in higher.items()},
    )


def _outcome(
    measurements: Measurements,
    known: Coefficients,
    found: Forecasts,
    strategy: Strategy | None,
    left: float | None,
    trials: int | None,
) -> reasons.Outcome:
    kept = 0.0 if left is None else reserve(measurements.speed, left)
    affordable = _affordable(found, left, kept)
    engine = _engine(affordable, known)
    chosen = _named(strategy, measurements) or engine
    others = {name: one for name, one in affordable.items() if name != chosen}
    rival = _first(others) if others else None
    wanted = 0.0 if strategy or rival is None else _race(found, chosen, rival, known)
    room = None if left is None else left - kept
    settles = not 0 < measurements.size.validation < SETTLING  # 0: not counted
    counted = trials is None or trials >= RACED
    raced = rival if rival != ALWAYS and settles and counted else None
    return reasons.Outcome(
        chosen=chosen,
        engine=engine,
        forced=strategy is not None,
        rival=rival,
        close=wanted > 0,
        kept=engine != _first(affordable),
        settles=settles,
        counted=counted,
        race=_granted(wanted, found[chosen], found[raced], room) if raced else 0.0,
        left=left,
        reserve=kept,
        changed=_changed(known),
    )


def _changed(known: Coefficients) -> tuple[str, ...]:
    """What is of another version than that which the coefficients hold for."""
    trainer = () if known.code == trainer_digest() else ("the trainer or its recipes",)
    measurer = () if known.measurer == measurer_digest() else ("the measurements",)
    return trainer + measurer


def _rates(measurements: Measurements, known: Coefficients) -> dict[Strategy, Rate]:
    """The learning rates that hold for this backbone with so many examples."""
    own = [one for one in known.rates if one.backbone == measurements.backbone]
    enough = [one for one in own if measurements.size.train >= one.examples]
    return {one.strategy: one for one in sorted(enough, key=lambda one: one.examples)}


def reserve(speed: Speed, left: float) -> float:
    """Seconds of those left that no training may be planned into: the probe, evaluation and export
    need them. At most a third.
    """
    return min(BUILDINGS * speed.fixed + KEPT_SECONDS, max(left, 0.0) * LARGEST_RESERVE)


def _affordable(found: Forecasts, left: float | None, kept: float) -> Forecasts:
    """What is predicted to fit the seconds left without those kept back, at `SHORTEST` of its
    length or more; where nothing does, the quickest, to be cut short. Raises `ResourceError` where
    no seconds are left.
    """
    if left is None:
        return found
    quickest = min(found, key=lambda name: found[name].shown.minutes)
    if left <= 0:
        raise ResourceError(
            "The budget was used up before the first training: the quickest strategy, "
            f"{quickest}, is predicted to take {found[quickest].shown.minutes * 60:.0f} s.",
            hint="Give a larger --budget.",
        )
    room = (left - kept) / SHORTEST
    fitting = {name: one for name, one in found.items() if one.shown.minutes * 60 <= room}
    return fitting or {quickest: found[quickest]}


def _engine(found: Forecasts, known: Coefficients) -> Strategy:
    """The best generalist, unless predictions of others are better by more than the standard error
    of the difference, of which the highest is taken (so that what few data sets have taught does
    not win over what holds on most of them; Renggli 2020, arXiv 2010.06402). The highest prediction
    where the generalist cannot be chosen.
    """
    held = known.generalist
    if held not in found:
        return _first(found)
    clearly = {
        name: one
        for name, one in found.items()
        if name != held and one.log_odds - found[held].log_odds > pair_deviation(name, held, known)
    }
    return _first(clearly) if clearly else held


def _first(found: Forecasts) -> Strategy:
    """The highest prediction; of equal ones the more frozen."""
    return max(found, key=lambda name: found[name].log_odds)


def _named(strategy: Strategy | None, measurements: Measurements) -> Strategy | None:
    if strategy is None or strategy in possible(measurements):
        return strategy
    if not measurements.pretrained:
        raise PluginError(
            f"{strategy} needs pretrained weights, and none of {measurements.backbone} are here.",
            hint="Supply them with --weights FILE, or take --strategy scratch.",
        )
    why, lower = measurements.no_partial_freeze.rstrip("."), ", ".join(measurements.stages[:-1])
    named = f"Name the last stage to freeze with --frozen ({lower}), or take"
    raise UsageError(
        f"{strategy} is impossible with {measurements.backbone}: "
        + (f"{why}." if why else "it has no boundary below its tap."),
        hint=f"{'Take' if why or not lower else named} another --strategy or --backbone.",
    )


def _margin(found: Forecasts, chosen: Strategy, rival: Strategy | None) -> float:
    if rival is None:
        return 0.0
    return found[chosen].shown.accuracy - found[rival].shown.accuracy


def _race(found: Forecasts, chosen: Strategy, rival: Strategy, known: Coefficients) -> float:
    """The runner-up's share: `MOST_RACE` on a tie, falling with the odds that it is the better."""
    apart = found[chosen].log_odds - found[rival].log_odds
    error = pair_deviation(chosen, rival, known)
    if apart > WIDTH * error:
        return 0.0
    if error <= 0:
        return MOST_RACE
    return MOST_RACE * min(2 * NormalDist().cdf(-apart / error), 1.0)


def _granted(wanted: float, chosen: Forecast, rival: Forecast, room: float | None) -> float:
    """The runner-up's share of `room` seconds: at least what `SHORTEST` of its training takes, and
    0 where that is over `MOST_RACE` or would not leave as much for the chosen one.
    """
    if not wanted or room is None:
        return wanted
    share = max(wanted, SHORTEST * rival.shown.minutes * 60 / room)
    rest = SHORTEST * chosen.shown.minutes * 60 / room
    return share if share <= MOST_RACE and share + rest <= 1 else 0.0


def cut(chosen: Strategy, measurements: Measurements) -> tuple[int, tuple[int, ...]]:
    """Boundary and taps: the head alone reads what was measured to serve it, while whatever is
    trained by gradient ends with the last stage.
    """
    if chosen == "feature-extraction":
        taps = measurements.reads or (measurements.tap,)
        return max(taps), taps
    last = (len(measurements.stages),)
    return (measurements.boundary if chosen == "partial-freeze" else 0), last


def with_stages(measurements: Measurements, frozen: str | None, tap: str | None) -> Measurements:
    """The measurements with the boundary and the tap that the user named in place of those that
    were proposed.
    """
    if frozen is not None and not measurements.no_partial_freeze:
        most = len(measurements.stages) - 1
        measurements = replace(measurements, boundary=_stage(frozen, measurements, most))
    if tap is not None:
        most = len(measurements.stages)
        own = _stage(tap, measurements, most)
        measurements = replace(measurements, tap=own, reads=(own,))
    return measurements


def _stage(name: str, measurements: Measurements, most: int) -> int:
    """The number (1-based) of a stage within 1..most; `UsageError` that lists them else."""
    allowed = measurements.stages[:most]
    for number, stage in enumerate(allowed, 1):
        if stage.lower() == name.lower():
            return number
    raise UsageError(
        f"{measurements.backbone} has no stage '{name}' that this could be.",
        hint=f"Possible: {', '.join(allowed)}.",
    )
