"""Figures and names as a page shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

UNKNOWN = "not measured"
NORMAL = 1.96
"""Standard errors of a 95 % interval."""
_JOINERS = "\u200c\u200d"
"""Unprintable, but parts of letters and of emoji."""


def percent(value: float | None) -> str:
    """A share in per cent: "98.5 %"."""
    return UNKNOWN if value is None else f"{100 * value:.1f} %"


def span(figure: Mapping[str, float] | None) -> str:
    """The 95 % interval of a share: "97.1 to 99.2 %"."""
    return (
        UNKNOWN if figure is None else f"{100 * figure['low']:.1f} to {100 * figure['high']:.1f} %"
    )


def interval(figure: Mapping[str, float] | None) -> str:
    """A share with its 95 % interval: "98.5 % (97.1 to 99.2)"."""
    if figure is None:
        return UNKNOWN
    return f"{percent(figure['value'])} ({100 * figure['low']:.1f} to {100 * figure['high']:.1f})"


def share(right: int, of: int) -> dict[str, float] | None:
    """The share of `right` ones with its 95 % Wilson interval; None of none."""
    if not of:
        return None
    value, z = right / of, NORMAL
    middle = (value + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(value * (1 - value) / of + z * z / (4 * of * of))
    return {"value": value, "low": max(0.0, middle - half), "high": min(1.0, middle + half)}


def points(value: float) -> str:
    """A difference of two shares: "1.5 points"."""
    return f"{100 * value:.1f} points"


def number(value: float | None) -> str:
    """Three decimals: "0.123"."""
    return UNKNOWN if value is None else f"{value:.3f}"


def count(many: int, one: str, several: str | None = None) -> str:
    """How many of what: "1 image", "2,000 images"."""
    return f"{many:,} {one if many == 1 else several or one + 's'}"


def seconds(value: float) -> str:
    """A duration: "0.7 s", "42 s", "3.5 min", "2.1 h"."""
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.1f} min" if value < 5400 else f"{value / 3600:.1f} h"


def name(text: Any) -> str:
    """What a user or a plugin named, in one line, without what would steer the text around it."""
    told = "".join(
        c if c.isprintable() or c in _JOINERS else c.encode("unicode_escape").decode()
        for c in str(text)
    )
    return told if told.strip() else "(no name)"
