"""What the literature says to try beside the four default recipes, and whether it earns its place.

- "all stages": the linear head reads the averaged output of every stage (Head2Toe, Evci 2022,
  without its selection of features). It is trained in every cell, since the product does so, where
  measurement does not speak against it.
- "early": only the first third of the stages is trained, and the head (Lee 2022: where the shift is
  in the input).
- "rate / 3", "rate x 3": full fine-tuning at other learning rates, of which the best may depend on
  similarity (Li 2020).

Pure, but for what `strategies.py` trains by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autotl.decide.coefficients import Rate
from autotl.records import Recipe, Strategy

EVERY = "all stages"
VARIED = {"embedded": (50, 200, 1000), "MobileNetV2": (50,)}
"""Training sizes at which the other variants are trained, by backbone."""
FASTER = "rate x 3"
RATED = {"embedded": (5000, 20000), "MobileNetV2": (200, 1000)}
"""Sizes at which the higher learning rate alone is: not where a run would not take it anyhow."""
THIRD = 1 / 3
RATES = {"rate / 3": 1 / 3, FASTER: 3.0}
RESAMPLES = 2000
LEAST_SETS = 5
"""Data sets, the least that a learning rate is taken from."""
SHIFTED = "brain-mri"
"""Its test folder is of another distribution than its train folder."""


def variants(recipes: Mapping[Strategy, Recipe], stages: int) -> dict[str, Recipe]:
    """Recipes by the variant's name, from the default ones; none without pretrained weights."""
    if "feature-extraction" not in recipes:
        return {}
    full, every = recipes["full-fine-tune"], tuple(range(1, stages + 1))
    made = {EVERY: replace(recipes["feature-extraction"], boundary=stages, last=stages, taps=every)}
    if "partial-freeze" in recipes:
        early = max(1, round(stages * THIRD))
        made["early"] = replace(recipes["partial-freeze"], boundary=0, last=early)
    for name, factor in RATES.items():
        rate = factor * full.numbers.learning_rate
        made[name] = replace(full, numbers=replace(full.numbers, learning_rate=rate))
    return made


def planned(recipes: Mapping[Strategy, Recipe], stages: int, cell: Mapping[str, Any]) -> list[str]:
    """Names of the variants that are trained in a cell."""
    backbone, limit = cell["backbone"], cell["limit"]
    made = variants(recipes, stages)
    if limit in VARIED[backbone]:
        return list(made)
    return [one for one in (EVERY, FASTER) if one in made and (one == EVERY or _rated(cell))]


def _rated(cell: Mapping[str, Any]) -> bool:
    return cell["limit"] in RATED[cell["backbone"]]


def rates(rows: Sequence[Mapping[str, Any]]) -> tuple[Rate, ...]:
    """The higher learning rate, by backbone, from the smallest size on from which it is better at
    every size that `LEAST_SETS` data sets or more were trained at, by a 95 % interval above 0.
    """
    newest = [row for row in rows if row["code"] == rows[-1]["code"]] if rows else []
    found = []
    for backbone in sorted({row["backbone"] for row in newest}):
        own = [row for row in newest if row["backbone"] == backbone and row["data"] != SHIFTED]
        gains = {k[2]: _by_set(g) for k, g in _pairs(own).items() if k[0] == FASTER}
        enough = {size: list(g.values()) for size, g in gains.items() if len(g) >= LEAST_SETS}
        better = {size: _interval(means)[0] > 0 for size, means in sorted(enough.items())}
        held = [s for s in better if all(good for size, good in better.items() if size >= s)]
        if held:
            full: Strategy = "full-fine-tune"
            factor = RATES[FASTER]
            rate = Rate(backbone=backbone, strategy=full, examples=held[0], factor=factor)
            found.append(rate)
    return tuple(found)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: what each variant gains over the strategy that it varies, by size; then whether the
    best learning rate goes with similarity.
    """
    newest = [row for row in rows if row["code"] == rows[-1]["code"]] if rows else []
    pairs = _pairs(newest)
    lines = [
        "| variant of | examples (cells) | points over it, 95 % | better in |",
        "|---|---:|---|---:|",
    ]
    for (variant, strategy, limit), gains in sorted(pairs.items()):
        by_set = _by_set(gains)
        low, high = _interval(list(by_set.values()))
        better = np.mean([gain > 0 for _, gain in gains])
        mean = np.mean(list(by_set.values()))
        lines.append(
            f"| {variant}, {strategy} | {limit:,} ({len(gains)}) "
            f"| {mean:+.1f} ({low:+.1f} to {high:+.1f}) | {better:.0%} |"
        )
    return "\n".join([*lines, "", _rates(newest)])


def _pairs(
    rows: Sequence[Mapping[str, Any]],
) -> dict[tuple[str, str, int], list[tuple[str, float]]]:
    """Data set and gain in points, of each finished pair, by variant, strategy and size."""
    plain = {
        (*_cell(row), row["strategy"]): float(row["accuracy"])
        for row in rows
        if row["share"] == 1.0 and not row["variant"] and "accuracy" in row
    }
    found: dict[tuple[str, str, int], list[tuple[str, float]]] = {}
    newest = {(*_cell(row), row["strategy"], row["variant"]): row for row in rows}
    for row in newest.values():
        base = plain.get((*_cell(row), row["strategy"]))
        if row["variant"] and base is not None and "accuracy" in row:
            key = (row["variant"], row["strategy"], row["limit"])
            found.setdefault(key, []).append((row["data"], 100 * (row["accuracy"] - base)))
    return found


def _cell(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["data"], row["backbone"], row["limit"], row["seed"]


def _by_set(gains: Sequence[tuple[str, float]]) -> dict[str, float]:
    names = sorted({name for name, _ in gains})
    return {name: float(np.mean([g for n, g in gains if n == name])) for name in names}


def _interval(means: Sequence[float]) -> tuple[float, float]:
    """95 % interval of their mean, by drawing data sets with replacement."""
    drawn = np.random.default_rng(0).choice(np.asarray(means), (RESAMPLES, len(means)))
    low, high = np.percentile(drawn.mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _rates(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rank correlation, over data sets and backbones, of mean similarity with the mean logarithm of
    the best rate: cells of one data set are not independent.
    """
    from scipy.stats import spearmanr

    similar = {
        _cell(row): row["measurements"]["similarity"]["value"]
        for row in rows
        if row["strategy"] is None
    }
    tried: dict[tuple[Any, ...], dict[float, float]] = {}
    for row in rows:
        factor = RATES.get(row["variant"], 1.0 if not row["variant"] else None)
        if row["strategy"] == "full-fine-tune" and row["share"] == 1.0 and factor:
            tried.setdefault(_cell(row), {})[factor] = row.get("accuracy", 0.0)
    sets: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
    for cell, found in tried.items():
        if len(found) == 1 + len(RATES) and similar.get(cell) is not None:
            best = float(np.log(max(found, key=lambda factor: found[factor])))
            sets.setdefault(cell[:2], []).append((float(similar[cell]), best))
    means = [np.mean(pairs, axis=0) for pairs in sets.values()]
    if len(means) < 3 or np.ptp([rate for _, rate in means]) == 0:
        return "Best learning rate against similarity: too few data sets, or always the same rate."
    found = spearmanr(*zip(*means, strict=True)).statistic
    return (
        f"Best learning rate against similarity: rank correlation {found:+.2f} over {len(means)} "
        "data sets and backbones."
    )
