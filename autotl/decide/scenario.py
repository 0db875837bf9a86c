"""The table of four scenarios, which the reasons show beside the decision; it decides nothing."""

from __future__ import annotations

from autotl.decide.coefficients import Thresholds
from autotl.decide.features import features, per_class
from autotl.records import Measurements, Strategy

TABLE: dict[tuple[bool, bool], Strategy] = {
    (False, True): "feature-extraction",
    (False, False): "partial-freeze",
    (True, True): "full-fine-tune",
    (True, False): "scratch",
}
"""By (much data, near)."""


def much(measured: Measurements, lines: Thresholds) -> bool:
    """Whether there is much data."""
    return per_class(measured) >= lines.per_class


def near(measured: Measurements, lines: Thresholds) -> bool:
    """Whether the target is near the source domain; without any evidence it is not."""
    similarity, gap = measured.similarity.value, features(measured)[3]
    if similarity is not None:
        return similarity >= lines.similarity
    return gap is not None and gap >= lines.gap


def name(measured: Measurements, lines: Thresholds) -> str:
    """The scenario in words."""
    amount = "much data" if much(measured, lines) else "little data"
    return f"{amount}, {'near' if near(measured, lines) else 'far'}"


def proposed(measured: Measurements, lines: Thresholds) -> Strategy:
    """What the table alone would choose."""
    return TABLE[much(measured, lines), near(measured, lines)]
