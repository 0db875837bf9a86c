"""The few figures of the measurements that predictions are made from."""

from __future__ import annotations

import math

from autotl.records import Measurements, Probe

FEATURES = ("examples", "probe", "slope", "gap", "similarity")
"""In this order: log of training examples per class; log odds of the pretrained probe at the tap;
how many log odds the probe gains per e-fold of examples; log odds of the best pretrained probe
over the best random one, brought to as many examples by that gain; similarity. A figure that was
not measured is None."""
CLIMBS = 0.01
"""Accuracy that twice the examples would add to the probe, from which on its curve climbs."""


def features(measured: Measurements) -> tuple[float | None, ...]:
    """One figure for each of `FEATURES`."""
    reference, foil = tapped(measured), best(measured, pretrained=False)
    own = best(measured, pretrained=True)
    gap = None
    if own is not None and foil is not None:
        gap = odds(own.linear, own.examples) - odds(foil.linear, foil.examples)
        gap -= (slope(measured) or 0.0) * math.log(own.examples / foil.examples)
    return (
        math.log(per_class(measured)),
        None if reference is None else odds(reference.linear, reference.examples),
        slope(measured) if reference is not None else None,
        gap,
        measured.similarity.value,
    )


def per_class(measured: Measurements) -> float:
    """Training examples a class, on average."""
    return max(measured.size.train, 1) / max(measured.size.classes, 1)


def tapped(measured: Measurements) -> Probe | None:
    """The pretrained probe at the tap; None without pretrained weights."""
    name = measured.stages[measured.tap - 1]
    return next((p for p in measured.probes if p.pretrained and p.stage == name), None)


def best(measured: Measurements, *, pretrained: bool) -> Probe | None:
    """The best linear probe of one kind."""
    kind = [probe for probe in measured.probes if probe.pretrained == pretrained]
    return max(kind, key=lambda probe: probe.linear, default=None)


def slope(measured: Measurements) -> float | None:
    """Log odds of the probe's accuracy gained per e-fold of examples, over the whole curve."""
    if len(measured.curve) < 2:
        return None
    first, last = measured.curve[0], measured.curve[-1]
    if last.examples <= first.examples:
        return None
    gained = odds(last.accuracy, last.examples) - odds(first.accuracy, last.examples)
    return gained / math.log(last.examples / first.examples)


def doubled(measured: Measurements) -> float | None:
    """Accuracy that twice the examples would add to the probe, by its learning curve; None where
    there is no curve.
    """
    gained = slope(measured)
    if gained is None:
        return None
    last = measured.curve[-1]
    reached = odds(last.accuracy, last.examples)
    return accuracy_of(reached + gained * math.log(2)) - accuracy_of(reached)


def odds(accuracy: float, examples: int) -> float:
    """Log odds of an accuracy measured on so many examples, half an example kept from 0 and 1."""
    right = accuracy * examples + 0.5
    return math.log(right / (examples + 1 - right))


def accuracy_of(log_odds: float) -> float:
    """The accuracy whose log odds these are."""
    if log_odds < 0:
        return math.exp(log_odds) / (1.0 + math.exp(log_odds))
    return 1.0 / (1.0 + math.exp(-log_odds))
