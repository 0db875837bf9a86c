"""The input size: what the images would bear, or less where the budget is better spent so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from autotl.decide.coefficients import Coefficients, shipped
from autotl.decide.deciding import reserve
from autotl.decide.prediction import Forecast, forecasts
from autotl.decide.reasons import ALWAYS
from autotl.records import Measurements, Strategy

PROBED = 2000
"""Training rows that measuring passes twice more, at most."""
GRAPHS = 4
"""Times the building of a training model that measuring builds for, about."""

Best = tuple[float, Strategy, Forecast]


def input_size(
    candidates: Sequence[Measurements],
    epochs: Sequence[Mapping[Strategy, int]],
    *,
    seconds_left: float,
    strategy: Strategy | None = None,
    coefficients: Coefficients | None = None,
) -> tuple[int, str]:
    """One of the candidates' input sizes, and why it is not the largest ("" where it is).

    `candidates` are what is known of the data at each size, smallest first, and `epochs` those of
    the default recipes there. Each size is worth the best strategy (or the one named) whose whole
    training fits what measuring leaves of `seconds_left`: the mean log odds that it gains over the
    probe, less what halving the size costs it (`Coefficients.doubling`). Feature extraction is
    trained in any case, so it counts wherever measuring fits. Of equals the larger size is taken;
    where nothing fits at all, the smallest.
    """
    known = coefficients or shipped()[0]
    largest = candidates[-1].input_size
    worth: dict[int, Best] = {}
    for one, counts in zip(candidates, epochs, strict=True):
        found = {
            name: forecast
            for name, forecast in forecasts(one, known, counts).items()
            if strategy in (None, name) and _fits(name, forecast, _room(one, seconds_left))
        }
        if found:
            name = max(found, key=lambda n: found[n].log_odds + _lost(n, one, largest, known))
            value = found[name].log_odds + _lost(name, one, largest, known)
            worth[one.input_size] = (round(value, 9), name, found[name])
    if not worth:
        return candidates[0].input_size, _nothing(candidates[0].input_size, largest, seconds_left)
    size = max(worth, key=lambda one: (worth[one][0], one))
    if size == largest:
        return size, ""
    _, name, here = worth[size]
    there = forecasts(candidates[-1], known, epochs[-1])[name].shown.minutes
    room = max(_room(candidates[-1], seconds_left), 0.0) / 60
    return size, (
        f"The input is {size} pixels: at {largest}, which the images would bear, {name} would take "
        f"{there:.1f} minutes where there are {room:.1f}; here it takes {here.shown.minutes:.1f}."
    )


def _nothing(size: int, largest: int, seconds_left: float) -> str:
    if size == largest:
        return ""
    return (
        f"The input is {size} pixels, the least: no whole training fits the "
        f"{seconds_left / 60:.1f} minutes that are left at any size."
    )


def _fits(name: Strategy, forecast: Forecast, room: float) -> bool:
    return room >= 0 if name == ALWAYS else forecast.shown.minutes * 60 <= room


def _room(one: Measurements, seconds_left: float) -> float:
    """Seconds that measuring, evaluation and export leave."""
    passes = one.size.train + one.size.validation + 2 * min(one.size.train, PROBED)
    left = seconds_left - one.speed.forward * passes - GRAPHS * one.speed.fixed
    return left - reserve(one.speed, left)


def _lost(name: Strategy, one: Measurements, largest: int, known: Coefficients) -> float:
    return known.doubling.get(name, 0.0) * math.log2(one.input_size / largest)
