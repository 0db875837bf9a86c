"""The decision's reasons: sentences with figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from autotl.decide import scenario
from autotl.decide.coefficients import Coefficients, Rate
from autotl.decide.features import accuracy_of, best, doubled, features, per_class, tapped
from autotl.decide.prediction import Forecast
from autotl.records import Measurements, Strategy

UNEVEN = 3.0
"""Largest class over smallest, from where on accuracy may be had by neglecting the smallest."""

ENLARGED = 1.5
"""Input size over the images' median shorter side from which on that is worth a word."""

FULL = 0.9
"""Effective size over training examples, below which the difference is said."""

SHORTEST = 0.5
"""Share of its predicted length to which a training may be shortened: the trainer anneals its
schedule to what it is given, and the search begins nothing with less."""


ALWAYS: Strategy = "feature-extraction"
"""Trained in every search, as its linear probe: it needs no share of the budget."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was decided, as far as the reasons tell of it. `close` says that the margin lies within
    the interval, `kept` that the best generalist is the engine's choice though another prediction
    is higher, `settles` that the validation rows are enough to race for it, `counted` that the
    number of trials holds the race too; `race` is the runner-up's share; `left` is seconds of the
    budget, and `reserve` those of them that are kept back; `changed` names what is of another
    version than that which the coefficients hold for.
    """

    chosen: Strategy
    engine: Strategy
    forced: bool
    rival: Strategy | None
    close: bool
    kept: bool
    settles: bool
    counted: bool
    race: float
    left: float | None
    reserve: float
    changed: tuple[str, ...]


def sentences(
    measured: Measurements,
    known: Coefficients,
    found: dict[Strategy, Forecast],
    outcome: Outcome,
) -> tuple[str, ...]:
    """All that speaks for and against the choice, most telling first."""
    return (
        *_choice(found, outcome),
        *_budget(found, outcome),
        *_size(measured, known),
        *_quality(measured),
        *_imbalance(measured),
        *_nearness(measured, known),
        *_probes(measured),
        *_table(measured, known, outcome),
        *_impossible(measured),
        *_beyond(measured, known),
        *_caveats(measured, known, outcome),
    )


def settled(
    measured: Measurements,
    own: Measurements,
    frozen: str | None,
    tap: str | None,
    learning_rate: float | None,
    rate: Rate | None,
) -> Iterator[str]:
    """What the user settled beside the strategy, and what the measurements themselves (`own`) and
    the `rate` that is known of the choice proposed.
    """
    stages = measured.stages
    if frozen is not None:
        would = f"take {stages[own.boundary - 1]}" if own.boundary else "freeze none"
        last = stages[measured.boundary - 1]
        yield f"{last} is the last frozen stage, as asked for; the engine would {would}."
    if tap is not None:
        yield (
            f"The head reads {stages[measured.tap - 1]}, as asked for; the engine would read "
            f"{_read(own)}."
        )
    if learning_rate is not None:
        would = "the recipe's own" if rate is None else f"{rate.factor:g} times the recipe's own"
        yield (
            f"The learning rate is {learning_rate:g}, as asked for; the engine would take {would}."
        )


def faster(rates: Mapping[Strategy, Rate], chosen: Strategy) -> Iterator[str]:
    """The learning rate of the choice, where it is not that of the recipe."""
    if chosen in rates:
        yield (
            f"{chosen} takes {rates[chosen].factor:g} times the learning rate of its recipe: with "
            f"{rates[chosen].backbone} and {rates[chosen].examples:,} training examples or more "
            "that did better."
        )


def _read(measured: Measurements) -> str:
    reads = measured.reads or (measured.tap,)
    return "all stages" if len(reads) > 1 else measured.stages[reads[0] - 1]


def _choice(found: dict[Strategy, Forecast], outcome: Outcome) -> Iterator[str]:
    if outcome.forced:
        other = "the same" if outcome.engine == outcome.chosen else outcome.engine
        yield f"{outcome.chosen} was asked for; the engine would have chosen {other}."
    first = found[outcome.chosen].shown
    sentence = f"{outcome.chosen} is predicted to reach {_percent(first.accuracy)} "
    sentence += f"({_percent(first.low)} to {_percent(first.high)})"
    if outcome.rival is None:
        yield sentence + "; nothing else can be chosen."
        return
    second = found[outcome.rival].shown
    yield sentence + f", {outcome.rival} {_percent(second.accuracy)}."
    if outcome.kept:
        yield (
            f"{outcome.engine} does best on most data sets, and no prediction is better by more "
            "than its standard error."
        )
    if outcome.close:
        margin = 100 * abs(first.accuracy - second.accuracy)
        yield f"The margin of {margin:.1f} points lies within the interval{_settled(outcome)}."


def _settled(outcome: Outcome) -> str:
    if outcome.rival == ALWAYS:
        return f"; {ALWAYS} is tried in any case, since it costs little"
    if not outcome.settles:
        return ", which so few validation rows cannot settle"
    if not outcome.counted:
        return ", but the number of trials does not hold both trainings"
    if outcome.race <= 0:
        return ", but the budget does not hold both trainings"
    if outcome.left is None:
        return f", so {outcome.rival} is trained as well and validation settles it"
    return (
        f", so {outcome.rival} gets {_percent(outcome.race)} of the trainings' time and "
        "validation settles it"
    )


def _budget(found: dict[Strategy, Forecast], outcome: Outcome) -> Iterator[str]:
    if outcome.left is None:
        return
    room = outcome.left - outcome.reserve
    for name, one in found.items():
        seconds, share = one.shown.minutes * 60, _share(name, outcome)
        if seconds <= room * share:
            continue
        shortened = seconds * SHORTEST <= room
        trained = name == outcome.chosen or (name == outcome.rival and outcome.race > 0)
        spoken = "would be shortened" if shortened else "cannot be chosen"
        if trained:
            spoken = "is shortened" if shortened else "is cut short"
        gets = f"; it gets {_percent(share)} of the others" if share < 1 else ""
        yield (
            f"{name} {spoken}: it would take {_time(seconds)}, and the budget has "
            f"{_time(outcome.left)} left, of which {_time(outcome.reserve)} are kept for the "
            f"probe, evaluation and export{gets}."
        )


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} minutes"


def _share(name: Strategy, outcome: Outcome) -> float:
    """The part of the trainings' time that a strategy gets, or would get by itself."""
    if outcome.race <= 0 or name not in (outcome.chosen, outcome.rival):
        return 1.0
    return outcome.race if name == outcome.rival else 1.0 - outcome.race


def _size(measured: Measurements, known: Coefficients) -> Iterator[str]:
    lines = known.thresholds
    amount = "much" if scenario.much(measured, lines) else "little"
    sentence = (
        f"{measured.size.train:,} training examples, {per_class(measured):.0f} a class, are "
        f"{amount} data: the line is {lines.per_class:.0f} a class"
    )
    gained = doubled(measured)
    if gained is None:
        yield sentence + "."
        return
    points = f"{100 * gained:.1f} points by its learning curve"
    if scenario.climbs(measured):
        yield sentence + f"; the probe would still gain from twice as many, {points}."
    else:
        yield sentence + f"; the probe would gain little from twice as many, {points}."


def _quality(measured: Measurements) -> Iterator[str]:
    """Copies, leaks, doubtful labels, and images smaller than the backbone takes."""
    size = measured.size
    if size.near_copies:
        yield (
            f"Near-copies of other training examples: {size.near_copies:,} of the "
            f"{size.examined:,} looked at."
        )
    if size.near_leaks:
        yield (
            f"Near-copies of training examples in validation: {size.near_leaks:,}, by which "
            "validation flatters; splits of your own can keep them together."
        )
    if size.doubts:
        yield (
            f"Doubtful labels: {size.doubts:,} of the {size.examined:,} looked at, whose nearest "
            f"examples all bear one other label; first look at {', '.join(size.doubtful[:3])}."
        )
    if size.effective is not None and size.effective < FULL * size.train:
        yield (
            f"Without copies and doubtful labels, and for the unevenness of the classes, the "
            f"{size.train:,} training examples count like {size.effective:,.0f} at most."
        )
    if ENLARGED * size.median_side < measured.input_size:
        yield (
            f"The images are enlarged: the shorter side of half of them is {size.median_side} "
            f"pixels or less, and the backbone is given {measured.input_size}."
        )


def _imbalance(measured: Measurements) -> Iterator[str]:
    if measured.size.imbalance > UNEVEN:
        yield (
            f"The largest class is {measured.size.imbalance:.1f} times the smallest: "
            "--metric balanced-accuracy is the fairer objective."
        )


def _nearness(measured: Measurements, known: Coefficients) -> Iterator[str]:
    similarity, lines = measured.similarity, known.thresholds
    if similarity.value is None:
        yield f"Similarity to the source domain was not measured: {similarity.reason}."
        gap, close = features(measured)[3], scenario.near(measured, lines)
        if gap is not None:
            yield (
                f"By what pretrained weights give the probe, {_times(gap)}, the target counts as "
                f"{'near' if close else 'far'} (the line is {_times(lines.gap)})."
            )
        return
    word = "near" if scenario.near(measured, lines) else "far"
    yield (
        f"Similarity to the source domain is {similarity.value:.2f} ({similarity.low:.2f} to "
        f"{similarity.high:.2f}): {word} (the line is {lines.similarity:.2f})."
    )


def _probes(measured: Measurements) -> Iterator[str]:
    own, foil = tapped(measured), best(measured, pretrained=False)
    if own is None:
        return
    if foil is not None:
        yield (
            f"A linear probe on pretrained {own.stage} reaches {_percent(own.linear)}, the best "
            f"on random weights {_percent(foil.linear)}."
        )
    else:
        yield (
            f"A linear probe on pretrained {own.stage} reaches {_percent(own.linear)}; random "
            "weights were not probed, since the strategy was given."
        )
    if measured.together is not None and len(measured.stages) > 1:
        worse = f", clearly worse than {own.stage} alone" if len(measured.reads) == 1 else ""
        yield (
            "A linear probe on all stages side by side reaches "
            f"{_percent(measured.together)}{worse}."
        )
    if len(measured.curve) > 1:
        first, last = measured.curve[0], measured.curve[-1]
        yield (
            f"From {first.examples:,} to {last.examples:,} examples the probe goes from "
            f"{_percent(first.accuracy)} to {_percent(last.accuracy)}."
        )


def _table(measured: Measurements, known: Coefficients, outcome: Outcome) -> Iterator[str]:
    prior = scenario.proposed(measured, known.thresholds)
    words = scenario.name(measured, known.thresholds)
    if prior is None:
        yield f"The table of scenarios says nothing: {words}."
    elif prior == outcome.engine:
        yield f"The table of scenarios agrees: {words} means {prior}."
    elif outcome.kept:
        yield (
            f"The table of scenarios would say {prior} for {words}; measured trainings on other "
            f"data speak for {outcome.engine}."
        )
    else:
        yield (
            f"The table of scenarios would say {prior} for {words}; the measurements speak "
            f"for {outcome.engine}."
        )


def _impossible(measured: Measurements) -> Iterator[str]:
    if not measured.pretrained:
        yield "There are no pretrained weights, so only scratch is possible."
    elif measured.no_partial_freeze:
        yield f"partial-freeze is impossible: {measured.no_partial_freeze.rstrip('.')}."
    elif not measured.boundary:
        yield "partial-freeze is impossible: there is no stage to cut at below the tap."


def _beyond(measured: Measurements, known: Coefficients) -> Iterator[str]:
    for value, scale in zip(features(measured), known.features, strict=True):
        if value is None or scale.low <= value <= scale.high:
            continue
        subject, verb, spoken = _SPOKEN[scale.name]
        yield (
            f"{subject} ({spoken(value)}) {verb} outside the range that the coefficients were "
            f"fitted on ({spoken(scale.low)} to {spoken(scale.high)}); its nearer end is used."
        )


def _caveats(measured: Measurements, known: Coefficients, outcome: Outcome) -> Iterator[str]:
    if known.provisional:
        yield (
            f"The coefficients are provisional: {known.rows} cells on {len(known.data)} data sets "
            f"({', '.join(known.data)})."
        )
    weights = known.backbones.get(measured.backbone)
    if weights is None:
        names = ", ".join(sorted(known.backbones))
        yield f"The coefficients were fitted with {names}, not with {measured.backbone}."
    elif measured.weights is not None and measured.weights != weights:
        yield f"The coefficients were fitted with other weights of {measured.backbone}."
    for what in outcome.changed:
        yield f"The coefficients were fitted with another version of {what}."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _times(log: float) -> str:
    return f"odds times {math.exp(log):.2f}"


_SPOKEN: dict[str, tuple[str, str, Callable[[float], str]]] = {
    "examples": ("Examples per class", "lie", lambda log: _count(math.exp(log))),
    "probe": ("The probe's accuracy", "lies", lambda log_odds: _percent(accuracy_of(log_odds))),
    "slope": ("The probe's gain from e times the examples", "lies", _times),
    "gap": ("The probe's gain from pretrained weights", "lies", _times),
    "similarity": ("Similarity", "lies", lambda value: f"{value:.2f}"),
}
"""Each feature in words: subject, verb, and its figure as a reader knows it."""


def _count(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.4g}"
