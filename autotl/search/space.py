"""The declared search space around a default recipe, and recipes from values in it (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autotl.records import Recipe

Value = str | int | float
AUGMENTED = ("flip", "crop", "flip-crop")
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


def space(base: Recipe, *, stages: int, orientation_matters: bool) -> tuple[Dimension, ...]:
    """The dimensions to search for the strategy of `base`, a default recipe.

    `stages` is the backbone's number of stages. Flips are left out where orientation matters.
    The default recipe itself is the point where every dimension has its default.
    """
    shared = (_rate(base, "", ()), *_augment(base, orientation_matters))
    if base.strategy == "feature-extraction":
        return _head_only(base, stages, orientation_matters)
    if base.strategy == "partial-freeze":
        return (_boundary(base, stages), *shared, _dropout(base), _smoothing(base))
    if base.strategy == "full-fine-tune":
        return (*shared, _backbone_rate(base), _dropout(base), _smoothing(base))
    return (*shared, _decay(base), _dropout(base), _smoothing(base))


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
    """The default recipe `base` with the proposed values put in. Raises KeyError for a value
    that no dimension has.
    """
    recipe = base
    for name, value in values.items():
        recipe = _SETTERS[name](recipe, value)
    return recipe


# ---- dimensions ----


def _head_only(base: Recipe, stages: int, orientation_matters: bool) -> tuple[Dimension, ...]:
    gradient = ("gradient",)
    return (
        _choice("solver", base.head.solver, ("logistic-regression", "gradient")),
        _taps(base, stages),
        _rate(base, "solver", gradient),
        replace(
            _choice("hidden", base.head.hidden, (0, 256)), parent="solver", parent_values=gradient
        ),
        replace(_dropout(base), parent="solver", parent_values=gradient),
        *_augment(base, orientation_matters, parent="solver", parent_values=gradient),
    )


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


def _smoothing(base: Recipe) -> Dimension:
    return _choice("label_smoothing", base.numbers.label_smoothing, (0.0, 0.1))


def _backbone_rate(base: Recipe) -> Dimension:
    return _choice("backbone_rate", base.numbers.backbone_rate, (0.1, 0.3, 1.0))


def _decay(base: Recipe) -> Dimension:
    decay = max(base.numbers.weight_decay, 1e-6)
    return Dimension(name="weight_decay", default=decay, low=decay / 10, high=decay * 10)


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
    "solver": _with_head("solver"),
    "hidden": _with_head("hidden"),
    "dropout": _with_head("dropout"),
    "learning_rate": _with_number("learning_rate"),
    "backbone_rate": _with_number("backbone_rate"),
    "weight_decay": _with_number("weight_decay"),
    "label_smoothing": _with_number("label_smoothing"),
    "augment": _with_augment,
    "views": _with_number("views"),
    "boundary": lambda recipe, value: replace(recipe, boundary=value),
    "taps": _with_taps,
}
