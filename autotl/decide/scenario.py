"""The table of four scenarios, which the reasons show beside the decision; it decides nothing."""

from __future__ import annotations

from autotl.decide.coefficients import Thresholds
from autotl.decide.features import CLIMBS, doubled, features, per_class
from autotl.records import Measurements, Strategy

TABLE: dict[tuple[bool, bool], Strategy] = {
    (False, True): "feature-extraction",
    (False, False): "partial-freeze",
    (True, True): "full-fine-tune",
    (True, False): "scratch",
}
"""By (much data, near)."""


def much(measured: Measurements, lines: Thresholds) -> bool:
    """Whether there is much data: so many examples a class, or as many as the probe can use."""
    return per_class(measured) >= lines.per_class or climbs(measured) is False


def climbs(measured: Measurements) -> bool | None:
    """Whether twice the examples would still help the probe; None where its curve is not known."""
    gained = doubled(measured)
    return None if gained is None else gained >= CLIMBS


def near(measured: Measurements, lines: Thresholds) -> bool | None:
    """Whether the target is near the source domain; None where nothing tells."""
    similarity, gap = measured.similarity.value, features(measured)[3]
    if similarity is not None:
        return similarity >= lines.similarity
    return None if gap is None else gap >= lines.gap


def name(measured: Measurements, lines: Thresholds) -> str:
    """The scenario in words."""
    amount = "much data" if much(measured, lines) else "little data"
    words = {True: "near", False: "far", None: "distance unknown"}
    return f"{amount}, {words[near(measured, lines)]}"


def proposed(measured: Measurements, lines: Thresholds) -> Strategy | None:
    """What the table alone would choose; None where the distance is not known."""
    close = near(measured, lines)
    return None if close is None else TABLE[much(measured, lines), close]
