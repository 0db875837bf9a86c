"""What a run will take from the decision on, and which budgets would suffice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from autotl.decide.deciding import MOST_RACE, reserve
from autotl.decide.reasons import ALWAYS, SHORTEST
from autotl.records import Budget, Decision, Foreseen, Measurements, RunEstimate
from autotl.request import typed

LONGER = 3.0
"""Times the length of a default training that the search's longer one has."""
PROVEN = 1000
"""Validation rows that an exported model is held against, at most."""
WRITING = 3.0
"""Seconds of evaluation, export and report that depend on neither model nor rows, about."""
BUILT = 4
"""Models that evaluation and export build, load or convert."""
RAW = 2.0
"""Passes that a raw image costs: alone it takes about twice its part of a batch."""
CLOSELY = 70
"""Validation rows and made-up images that the gate looks at more closely."""
LOOKS, DRAWN = 7, 5
"""Passes of each of these: for any file, and more for one whose weights were rounded."""
CALIBRATED, COMPARED = 256, 4000
"""Training rows that give the ranges of 8 bits, and validation rows that 8 bits are judged on."""
TURNS, LEAST_TURN, MOST_TIMED = 41, 0.04, 20.0
"""Turns in which a variant and the model are timed, the least seconds of one, the most of all."""
BATCH = 32
"""Resized images that are timed at once, after a raw one."""
OVER = 1.1
"""Times what is left of the budget, from which it is said that the run takes longer."""
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
    rows are held out. `natural` is the input size that the images would bear, `decode` the seconds
    that decoding an image takes. `ended` are the origins of the trials that ended; `several` says
    that the backbone was not compared with others that are here. An `embedding` and `variants`
    ("int8", "float16") are exported too.
    """

    decision: Decision
    unlimited: Decision
    measured: Measurements
    budget: Budget
    left: float | None
    spent: float
    test: int
    natural: int = 0
    decode: float = 0.0
    ended: tuple[str, ...] = ()
    several: bool = False
    embedding: bool = False
    variants: tuple[str, ...] = ()


def estimate(ahead: Ahead) -> RunEstimate:
    """The estimate, by the decision's predicted minutes and the measured speed (pure)."""
    room = None if ahead.left is None else max(_room(ahead, ahead.left + ahead.spent), 0.0)
    grown = max(ahead.natural / ahead.measured.input_size, 1.0)
    larger = ahead.left is not None and grown > 1 and not _left_out(ahead)
    trials = ahead.budget.trials
    counted = trials is None or trials > _fixed(ahead.unlimited)
    found = RunEstimate(
        trainings=tuple(_trainings(ahead, room)),
        finishing=finishing(ahead),
        most=None,
        budget=ahead.budget.seconds,
        suffices=None if _left_out(ahead) else friendly(_holds(ahead, 1.0)),
        longer=friendly(_holds(ahead, 1.0, LONGER)) if counted else None,
        larger=friendly(_holds(ahead, grown**2)) if larger else None,
        larger_size=ahead.natural if larger else None,
        several=ahead.several,
    )
    if ahead.left is None or room is None:
        return replace(found, warnings=tuple(_limited(ahead)))
    used = _heads(ahead) + room + found.finishing
    return replace(
        found,
        most=max(ahead.left, found.planned, used),
        warnings=(*_limited(ahead), *_warnings(ahead, ahead.left, found)),
    )


def friendly(holds: Callable[[float], bool]) -> float | None:
    """The smallest budget that one would type and that holds with a margin; None where none of a
    week does.
    """
    return next((seconds for seconds in TYPED if holds(MARGIN * seconds)), None)


def finishing(ahead: Ahead) -> float:
    """Seconds of evaluation and export, about: models are built or loaded, the test rows pass
    through two, validation rows through the model and each file, raw and resized.
    """
    speed, size = ahead.measured.speed, ahead.measured.size
    proof, compared = min(size.validation, PROVEN), min(size.validation, COMPARED)
    gate = (RAW + 2) * proof + LOOKS * CLOSELY
    passes = 2 * ahead.test + gate + (proof if ahead.embedding else 0)
    decoded = ahead.test * _decodings(ahead) + proof
    if "int8" in ahead.variants:
        passes += CALIBRATED + 2 * RAW * compared + LOOKS * CLOSELY
        decoded += CALIBRATED + compared
    if "float16" in ahead.variants:
        passes += gate + DRAWN * CLOSELY
        decoded += proof
    timed = len(ahead.variants) * sum(_timed(n * speed.forward) for n in (RAW, BATCH))
    built = WRITING + BUILT * speed.fixed
    return built + speed.forward * passes + _decode(ahead) * decoded + timed


def _timed(seconds: float) -> float:
    """Seconds that timing two files takes where either runs as long: each twice a turn at least."""
    return min(TURNS * max(LEAST_TURN, 4 * seconds), MOST_TIMED)


def _decode(ahead: Ahead) -> float:
    return ahead.decode or ahead.measured.speed.decode


def _decodings(ahead: Ahead) -> int:
    """How often a test row is decoded: once to be stored, else for each that reads it."""
    return 3 if ahead.measured.speed.decode else 1


def _trainings(ahead: Ahead, room: float | None) -> Iterator[Foreseen]:
    """In the order of the search; the clock's share is what it would give each."""
    decision = ahead.decision
    if "probe" not in ahead.ended:
        yield Foreseen(role="heads", strategy=ALWAYS, seconds=_heads(ahead), given=None)
    if decision.strategy == ALWAYS or ahead.budget.trials == 1:
        return
    alone = "default" in ahead.ended
    for role, strategy, share in (
        ("default", decision.strategy, 1.0 - decision.race),
        ("runner-up", decision.runner_up, decision.race),
    ):
        if strategy is None or share <= 0 or role in ahead.ended:
            continue
        yield Foreseen(
            role=role,  # type: ignore[arg-type]
            strategy=strategy,
            seconds=_seconds(ahead, decision, role),
            given=None if room is None else room * (1.0 if alone else share),
        )


def _seconds(ahead: Ahead, decision: Decision, role: str) -> float:
    """Of the training of that role; 0 where it ended, or where there is none."""
    strategy = decision.strategy if role == "default" else decision.runner_up
    if strategy is None or role in ahead.ended:
        return 0.0
    return 60 * decision.predicted[strategy].minutes


def _heads(ahead: Ahead) -> float:
    """Of the probe, and of a head on all stages where there is one: one pass serves both."""
    if "probe" in ahead.ended:
        return 0.0
    found = ahead.decision.predicted.get(ALWAYS)
    speed, size = ahead.measured.speed, ahead.measured.size
    once = speed.forward * (size.train + size.validation) if found is None else 60 * found.minutes
    return once + (speed.fixed if len(ahead.decision.reads) > 1 else 0.0)


def _left_out(ahead: Ahead) -> bool:
    """Whether the number of trials leaves no training but heads."""
    return ahead.budget.trials == 1 and ahead.unlimited.strategy != ALWAYS


def _fixed(decision: Decision) -> int:
    """Trials before a longer training: the probe, the choice, the runner-up, another head."""
    return 2 + (decision.race > 0) + (len(decision.reads) > 1)


def _room(ahead: Ahead, total: float) -> float:
    """Seconds that a budget of `total` leaves for trainings, by the decision's rule and by the
    search's.
    """
    measured, left = ahead.measured, total - ahead.spent
    speed, proof = measured.speed, min(measured.size.validation, PROVEN)
    passes = speed.forward * (3 * ahead.test + 2 * proof)
    passes += _decode(ahead) * (_decodings(ahead) * ahead.test + proof)
    after = max(LEAST_KEPT, KEPT_BUILDINGS * speed.fixed) + passes
    kept = min(after, total * KEPT_SHARE)
    return min(left - reserve(speed, left), left - _heads(ahead) - kept)


def _holds(ahead: Ahead, grown: float, longer: float = 0.0) -> Callable[[float], bool]:
    """Whether a budget holds the trainings that would be chosen without a clock, evaluation and
    export: the choice in whole, within its part of the time where the runner-up is raced, and then
    one `longer` times as long. With `grown` times the pixels all of it takes as many times as long.
    """
    decision = ahead.unlimited
    chosen = grown * _seconds(ahead, decision, "default")
    race = min(decision.race, MOST_RACE)
    rival = 0.0 if race <= 0 else grown * _seconds(ahead, decision, "runner-up")
    again = (grown - 1.0) * (ahead.measured.seconds + _heads(ahead))
    after = grown * finishing(ahead)

    def holds(total: float) -> bool:
        room, left = _room(ahead, total - again), total - again - ahead.spent
        rest = left - _heads(ahead) - after
        if decision.strategy == ALWAYS:
            return room >= 0 and rest >= 0
        own = min(room * (1.0 - race), room - SHORTEST * rival)
        ends = rest >= min(room, chosen + rival)
        return own >= chosen and ends and (not longer or room >= chosen * (1.0 + longer) + rival)

    return holds


def _limited(ahead: Ahead) -> Iterator[str]:
    """What the number of trials leaves out."""
    if _left_out(ahead):
        best = ahead.unlimited
        figure = best.predicted[best.strategy].accuracy
        yield (
            f"--trials 1 leaves out {best.strategy} (predicted {figure:.3f}): only a head is "
            "fitted, and more time would change nothing; --trials 2 holds it."
        )


def _warnings(ahead: Ahead, left: float, found: RunEstimate) -> Iterator[str]:
    """That the clock changed the choice, that it cuts the chosen training short, or that it does
    not hold what comes after.
    """
    asked = typed(round(ahead.budget.seconds or 0.0, 1))
    cut = () if _left_out(ahead) else tuple(_shortened(ahead, asked, found))
    yield from cut
    if found.planned > OVER * left:
        needs = "" if cut or _left_out(ahead) else f" The whole needs {_needed(ahead, found)}."
        yield (
            f"{asked} does not hold evaluation and export, which are never cut short: about "
            f"{found.planned:.0f} s are to come, and {left:.0f} s are left.{needs}"
        )


def _shortened(ahead: Ahead, asked: str, found: RunEstimate) -> Iterator[str]:
    decision, best = ahead.decision, ahead.unlimited.strategy
    own, needed = decision.predicted[decision.strategy], _needed(ahead, found)
    if decision.strategy != best:
        other = decision.predicted[best]
        figures = f"predicted {other.accuracy:.3f} [{other.low:.3f}, {other.high:.3f}]"
        does = "" if other.accuracy > own.accuracy else "which does best on most data, "
        yield (
            f"{asked} does not hold {best} ({does}{figures}), so {decision.strategy} (predicted "
            f"{own.accuracy:.3f}) is the choice; {best} needs {needed}."
        )
        return
    raced = any(one.role == "runner-up" for one in found.trainings)
    beside = f" beside the runner-up, {decision.runner_up}" if raced else ""
    for one in found.trainings:
        if one.role == "default" and one.shortened:
            yield (
                f"{asked} leaves about {one.span:.0f} s for {best}{beside}, of {one.seconds:.0f} s "
                f"that its whole training takes: the predicted {own.accuracy:.3f} may not be "
                f"reached. The whole needs {needed}."
            )


def _needed(ahead: Ahead, found: RunEstimate) -> str:
    named = found.suffices if found.larger_size is None else found.larger
    if named is None:
        return "more than a week"
    own = " with this backbone" if found.several else ""
    return f"about --budget {typed(named)}{own}{_at(ahead)}"


def _at(ahead: Ahead) -> str:
    if ahead.natural <= ahead.measured.input_size:
        return ""
    return f", then with the {ahead.natural} pixels that the images would bear"
