"""The few words that many records share, what says nothing, and how sentences list names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

Strategy = Literal["feature-extraction", "partial-freeze", "full-fine-tune", "scratch"]
STRATEGIES: tuple[Strategy, ...] = (
    "feature-extraction",
    "partial-freeze",
    "full-fine-tune",
    "scratch",
)
Metric = Literal["accuracy", "balanced-accuracy", "macro-f1", "log-loss"]
METRICS: tuple[Metric, ...] = ("accuracy", "balanced-accuracy", "macro-f1", "log-loss")
CONTRACT = 1
KINDS = ("image",)
"""Kinds of input that the engine knows."""
SPLITS = ("train", "validation", "test")
COLUMNS = ("input_column", "label_column", "group_column", "split_column")
"""Options that name a column of a table."""
_NAMED = 10
_NOTHING = frozenset({"None", "nan", "NaT", "<NA>"})


def names(some: Sequence[str]) -> str:
    """Up to ten of the names, quoted, and how many more there are."""
    listed = ", ".join(f"'{name}'" for name in some[:_NAMED])
    return f"{listed} and {len(some) - _NAMED:,} more" if len(some) > _NAMED else listed


def is_nothing(value: Any) -> bool:
    """Whether a value names nothing: None, blanks, not a number, or pandas' NA."""
    return not value.strip() if isinstance(value, str) else str(value) in _NOTHING
