"""The declared search space around a default recipe, and recipes from values in it (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autotl.records import Recipe

Value = str | int | float
AUGMENTED = ("flip", "crop", "flip-crop")
UNEQUAL = 1.5
"""Imbalance from which on class weights are worth a try."""
CROPPED = ("crop", "flip-crop")
"""Levels at which every further view is another one; a flip has two."""


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One hyperparameter: a choice among `values`, or where these are empty a number between
    `low` and `high` on a logarithmic scale. Where `parent` is named, it is only drawn when that
    earlier dimension has one of `parent_values`. `default` is the default recipe's value.
    """

    name: str
    default: Value
    values: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    parent: str = ""
    parent_values: tuple[Value, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What successive halving says of a trial: parts of the default's epochs in all, parts that
    the proposal had before, and which proposal (counted from 0) it goes on from, if any.
    """

    parts: int
    before: int
    parent: int | None

    def epochs(self, whole: int, parts: int, *, anew: bool) -> int:
        """Epochs to train where the default has `whole`, cut into `parts`; all `anew`, or those
        that are new.
        """
        total = math.ceil(whole * self.parts / parts)
        return total if anew else total - math.ceil(whole * self.before / parts)


def space(
    base: Recipe, *, stages: int, orientation_matters: bool, imbalance: float = 1.0
) -> tuple[Dimension, ...]:
    """The dimensions to search for the strategy of `base`, a default recipe.

    `stages` is the backbone's number of stages, `imbalance` the largest class over the smallest.
    Flips are left out where orientation matters, class weights where classes are about equal.
    The default recipe itself is the point where every dimension has its default.
    """
    weights = (_number("class_weights", base, (0.0, 0.5, 1.0)),) if imbalance > UNEQUAL else ()
    if base.strategy == "feature-extraction":
        return (*_head_only(base, stages, orientation_matters), *_under_gradient(weights))
    shared = (
        _rate(base, "", ()),
        *_augment(base, orientation_matters),
        _decay(base),
        _dropout(base),
        _number("label_smoothing", base, (0.0, 0.1)),
        _number("mixup", base, (0.0, 0.2)),
        _number("average", base, (0.0, 0.99)),
        *weights,
    )
    if base.strategy == "scratch":
        return (*shared, _number("warmup", base, (0.05, 0.1, 0.2)))
    transferred = (
        _number("backbone_rate", base, (0.1, 0.3, 1.0)),
        _number("layer_decay", base, (0.8, 1.0)),
        _number("unfreeze", base, (0.0, 0.1)),
    )
    if base.strategy == "partial-freeze":
        return (_boundary(base, stages), *shared, *transferred)
    return (*shared, *transferred)


def rung(values: Mapping[str, Any]) -> Rung | None:
    """What successive halving added to the values; None where it proposed nothing."""
    if "tuner/epochs" not in values:
        return None
    parent = values.get("tuner/trial_id")
    return Rung(
        parts=int(values["tuner/epochs"]),
        before=int(values["tuner/initial_epoch"]),
        parent=None if parent is None else int(parent),
    )


def defaults(dimensions: Sequence[Dimension]) -> dict[str, Value]:
    """The values of the default recipe, active dimensions only."""
    chosen: dict[str, Value] = {}
    for dimension in dimensions:
        if is_active(dimension, chosen):
            chosen[dimension.name] = dimension.default
    return chosen


def is_active(dimension: Dimension, values: Mapping[str, Value]) -> bool:
    """Whether the dimension counts, given the active values of those declared before it."""
    return not dimension.parent or values.get(dimension.parent) in dimension.parent_values


def recipe_of(base: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The default recipe `base` with the proposed values put in, those of successive halving
    (`rung`) aside. Raises KeyError for a value that no dimension has.
    """
    recipe = base
    for name, value in values.items():
        if not name.startswith("tuner/"):
            recipe = _SETTERS[name](recipe, value)
    return recipe


# ---- dimensions ----


def _head_only(base: Recipe, stages: int, orientation_matters: bool) -> tuple[Dimension, ...]:
    return (
        _choice("solver", base.head.solver, ("logistic-regression", "gradient")),
        _taps(base, stages),
        _rate(base, "solver", ("gradient",)),
        *_under_gradient(
            (
                _choice("hidden", base.head.hidden, (0, 256)),
                _dropout(base),
                _l2(base),
                _number("epochs", base, (5, 10, 20)),
                _number("mixup", base, (0.0, 0.2)),
            )
        ),
        *_augment(base, orientation_matters, parent="solver", parent_values=("gradient",)),
    )


def _under_gradient(dimensions: Sequence[Dimension]) -> tuple[Dimension, ...]:
    return tuple(replace(d, parent="solver", parent_values=("gradient",)) for d in dimensions)


def _number(name: str, base: Recipe, values: Sequence[Value]) -> Dimension:
    return _choice(name, getattr(base.numbers, name), values)


def _choice(name: str, default: Value, values: Sequence[Value]) -> Dimension:
    """A choice that always holds the default, in the order of `values` (numbers: rising)."""
    offered = tuple(values) if default in values else (default, *values)
    if not isinstance(default, str):
        offered = tuple(sorted(offered))
    return Dimension(name=name, default=default, values=offered)


def _rate(base: Recipe, parent: str, parent_values: tuple[Value, ...]) -> Dimension:
    rate = base.numbers.learning_rate
    return Dimension(
        name="learning_rate",
        default=rate,
        low=rate / 4,
        high=rate * 4,
        parent=parent,
        parent_values=parent_values,
    )


def _augment(
    base: Recipe,
    orientation_matters: bool,
    *,
    parent: str = "",
    parent_values: tuple[Value, ...] = (),
) -> tuple[Dimension, ...]:
    levels = ("none", "crop") if orientation_matters else ("none", *AUGMENTED)
    level = replace(
        _choice("augment", base.numbers.augment, levels), parent=parent, parent_values=parent_values
    )
    if not base.boundary:
        return (level,)
    views = max(2, base.numbers.views)
    more = replace(
        _choice("views", views, (views, 2 * views)), parent="augment", parent_values=CROPPED
    )
    return (level, more)


def _boundary(base: Recipe, stages: int) -> Dimension:
    above = min(stages, *base.taps)
    near = range(max(1, base.boundary - 1), min(above - 1, base.boundary + 1) + 1)
    return _choice("boundary", base.boundary, tuple(near))


def _taps(base: Recipe, stages: int) -> Dimension:
    own = base.taps[-1]
    near = {base.taps, (stages,)}
    if own > 1:
        near |= {(own - 1,), (own - 1, own)}
    return _choice("taps", _written(base.taps), tuple(_written(taps) for taps in sorted(near)))


def _written(taps: Sequence[int]) -> str:
    return "+".join(str(tap) for tap in taps)


def _dropout(base: Recipe) -> Dimension:
    return _choice("dropout", base.head.dropout, (0.0, 0.2, 0.4))


def _decay(base: Recipe) -> Dimension:
    decay = max(base.numbers.weight_decay, 1e-6)
    return Dimension(name="weight_decay", default=decay, low=decay / 10, high=decay * 10)


def _l2(base: Recipe) -> Dimension:
    decay = max(base.head.l2, 1e-6)
    return Dimension(name="l2", default=decay, low=decay / 10, high=decay * 100)


# ---- values into recipes ----


def _with_number(name: str) -> Any:
    return lambda recipe, value: replace(recipe, numbers=replace(recipe.numbers, **{name: value}))


def _with_head(name: str) -> Any:
    return lambda recipe, value: replace(recipe, head=replace(recipe.head, **{name: value}))


def _with_augment(recipe: Recipe, level: Any) -> Recipe:
    views = 1 if level == "none" else max(2, recipe.numbers.views)
    if not recipe.boundary:
        views = recipe.numbers.views
    return replace(recipe, numbers=replace(recipe.numbers, augment=level, views=views))


def _with_taps(recipe: Recipe, written: Any) -> Recipe:
    taps = tuple(int(tap) for tap in str(written).split("+"))
    return replace(recipe, taps=taps, boundary=max(taps), last=max(taps))


_SETTERS: dict[str, Any] = {
    **{name: _with_head(name) for name in ("solver", "hidden", "dropout", "l2")},
    **{
        name: _with_number(name)
        for name in (
            "learning_rate",
            "backbone_rate",
            "layer_decay",
            "unfreeze",
            "weight_decay",
            "warmup",
            "label_smoothing",
            "mixup",
            "average",
            "class_weights",
            "epochs",
            "views",
        )
    },
    "augment": _with_augment,
    "boundary": lambda recipe, value: replace(recipe, boundary=value),
    "taps": _with_taps,
}
