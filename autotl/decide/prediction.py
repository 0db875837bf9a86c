"""Predicted accuracy and minutes of each strategy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

from autotl.decide.coefficients import Coefficients
from autotl.decide.features import accuracy_of, best, features, odds, tapped
from autotl.records import STRATEGIES, Measurements, Prediction, Strategy

WIDTH = NormalDist().inv_cdf(0.975)
"""Standard errors on either side of a 95 % interval."""

VALIDATED = 1 / 4
"""Validation rows a training row where none were given, as in what the coefficients were fitted on.
"""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Log odds of the predicted test accuracy, and the prediction as it is shown."""

    log_odds: float
    shown: Prediction


def forecasts(
    measured: Measurements, known: Coefficients, epochs: Mapping[Strategy, int]
) -> dict[Strategy, Forecast]:
    """What is predicted for each strategy that is possible, in the order of `STRATEGIES`;
    `epochs` are those of its default recipe.
    """
    return {name: _forecast(name, measured, known, epochs[name]) for name in possible(measured)}


def possible(measured: Measurements) -> tuple[Strategy, ...]:
    """Strategies that the weights and stages allow: only scratch without pretrained weights."""
    if not measured.pretrained:
        return ("scratch",)
    return tuple(s for s in STRATEGIES if s != "partial-freeze" or measured.boundary > 0)


def _forecast(
    strategy: Strategy, measured: Measurements, known: Coefficients, epochs: int
) -> Forecast:
    line = known.strategies[strategy]
    centre = reference(measured) + line.intercept
    for weight, value, scale in zip(line.weights, features(measured), known.features, strict=True):
        if value is not None:
            held = min(max(value, scale.low), scale.high)
            centre += weight * (held - scale.mean) / scale.deviation
    half = WIDTH * line.deviation
    shown = Prediction(
        accuracy=accuracy_of(centre),
        low=accuracy_of(centre - half),
        high=accuracy_of(centre + half),
        minutes=seconds(strategy, measured, known, epochs) / 60,
    )
    return Forecast(log_odds=centre, shown=shown)


def reference(measured: Measurements) -> float:
    """Log odds of the probe that strategies are predicted from: that of the stages which a head
    alone reads; without pretrained weights the best random one.
    """
    probe = tapped(measured) or best(measured, pretrained=False)
    if probe is None:
        return 0.0
    together = measured.together if len(measured.reads) > 1 else None
    return odds(probe.linear if together is None else together, probe.examples)


def seconds(strategy: Strategy, measured: Measurements, known: Coefficients, epochs: int) -> float:
    """Predicted seconds of one training of so many epochs on this machine, validation included."""
    line, train = known.strategies[strategy], max(measured.size.train, 1)
    held = min(max(train, line.examples[0]), line.examples[1])
    passes = math.exp(line.passes[0] + line.passes[1] * math.log(held))
    trained = passes * epochs * train * unit(strategy, measured)
    return measured.speed.fixed + trained + _validating(strategy, measured, epochs)


def _validating(strategy: Strategy, measured: Measurements, epochs: int) -> float:
    """Seconds that the validation rows take beyond those that the coefficients hold: below the
    boundary once, above it in every epoch.
    """
    speed, size = measured.speed, measured.size
    rows = max(size.validation - VALIDATED * size.train, 0.0)
    above = 0.0 if strategy == "feature-extraction" else speed.share_above[_cut(strategy, measured)]
    once, each = speed.forward * (1.0 - above), speed.forward * above + speed.decode
    return rows * (once + epochs * each)


def unit(strategy: Strategy, measured: Measurements) -> float:
    """Seconds of one example in what the strategy does over and over."""
    speed = measured.speed
    if strategy == "feature-extraction":
        return speed.forward + speed.decode
    return speed.train * speed.share_above[_cut(strategy, measured)] + speed.decode


def _cut(strategy: Strategy, measured: Measurements) -> int:
    return measured.boundary if strategy == "partial-freeze" else 0


def pair_deviation(a: Strategy, b: Strategy, known: Coefficients) -> float:
    """Standard error, in log odds, of the predicted difference between two strategies."""
    return known.pairs[" ".join(sorted((a, b)))]
