"""The few words that many records share."""

from __future__ import annotations

from typing import Literal

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
