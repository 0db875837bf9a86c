"""The default recipe of each strategy, a function of what was measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from autotl.records import Head, Measurements, Numbers, Recipe, Strategy

Level = Literal["none", "flip", "crop", "flip-crop"]


def default(
    strategy: Strategy,
    measurements: Measurements,
    *,
    boundary: int | None = None,
    taps: tuple[int, ...] | None = None,
    learning_rate: float | None = None,
) -> Recipe:
    """The recipe that a strategy starts from.

    `boundary` defaults to the measured one; `taps` to the measured tap where only the head is
    trained, else to the last stage. Raises ValueError for partial freeze where no boundary is
    proposed.
    """
    stages = len(measurements.stages)
    taps = taps or (measurements.tap if strategy == "feature-extraction" else stages,)
    numbers = _numbers(strategy, measurements)
    if learning_rate is not None:
        numbers = replace(numbers, learning_rate=learning_rate)
    return Recipe(
        backbone=measurements.backbone,
        strategy=strategy,
        input_size=measurements.input_size,
        pretrained=strategy != "scratch",
        boundary=_boundary(strategy, measurements, boundary, taps),
        last=max(taps),
        taps=taps,
        head=_head(strategy),
        numbers=numbers,
    )


def _boundary(
    strategy: Strategy, measurements: Measurements, boundary: int | None, taps: tuple[int, ...]
) -> int:
    if strategy == "feature-extraction":
        return max(taps)
    if strategy != "partial-freeze":
        return 0
    chosen = measurements.boundary if boundary is None else boundary
    if not 0 < chosen < min(taps):
        raise ValueError(f"partial freeze needs a boundary within 1..{min(taps) - 1}, not {chosen}")
    return chosen


def _head(strategy: Strategy) -> Head:
    if strategy == "feature-extraction":
        return Head(solver="logistic-regression")
    return Head(solver="gradient", dropout=0.2 if strategy == "scratch" else 0.1)


def level(measurements: Measurements, *, crop: bool) -> Level:
    """The augmentation that keeps the label: no mirror image where orientation carries it."""
    if measurements.orientation_matters:
        return "crop" if crop else "none"
    return "flip-crop" if crop else "flip"


def epochs(examples: int, *, least: int, most: int, steps: int, batch: int) -> int:
    """Epochs that make about `steps` steps of `batch` examples, within `least` and `most`."""
    return max(least, min(most, round(steps * batch / max(examples, 1))))


def _numbers(strategy: Strategy, measurements: Measurements) -> Numbers:
    train = measurements.size.train
    if strategy == "feature-extraction":
        return Numbers()
    if strategy == "partial-freeze":
        return Numbers(
            epochs=epochs(train, least=5, most=15, steps=500, batch=32),
            learning_rate=5e-4,
            weight_decay=1e-2,
            label_smoothing=0.1,
            augment=level(measurements, crop=False),
            views=2,
        )
    if strategy == "full-fine-tune":
        count = epochs(train, least=5, most=15, steps=1000, batch=32)
        return Numbers(
            epochs=count,
            learning_rate=3e-4,
            weight_decay=1e-2,
            label_smoothing=0.1,
            augment=level(measurements, crop=True),
            views=count,
        )
    count = epochs(train, least=15, most=60, steps=3000, batch=32)
    return Numbers(
        epochs=count,
        learning_rate=2e-3,
        weight_decay=5e-2,
        label_smoothing=0.1,
        augment=level(measurements, crop=True),
        views=count,
    )
