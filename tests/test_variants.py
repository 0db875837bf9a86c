"""The benchmark's variants of the default recipes: what they are, and what they gain."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from autotl.model.assembly import check
from autotl.records import STRATEGIES, to_json
from autotl.train import default
from tests.test_decide import measured


@pytest.fixture
def variants(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("variants")


def row(data: str, accuracy: float, variant: str = "", limit: int = 200) -> dict[str, Any]:
    strategy = "feature-extraction" if variant in ("", "all stages") else "full-fine-tune"
    about = {"data": data, "backbone": "b", "limit": limit, "seed": 1, "code": "c"}
    return about | {"strategy": strategy, "share": 1.0, "variant": variant, "accuracy": accuracy}


def test_the_variants_are_recipes_that_can_be_built(variants: ModuleType) -> None:
    one = measured()
    recipes = {name: default(name, one) for name in STRATEGIES}
    made = variants.variants(recipes, len(one.stages))
    assert set(made) == {"all stages", "early", *variants.RATES}
    for recipe in made.values():
        check(recipe, one.stages)
    assert made["all stages"].taps == tuple(range(1, len(one.stages) + 1))
    assert (made["early"].boundary, made["early"].last) == (0, round(len(one.stages) / 3))
    rate = recipes["full-fine-tune"].numbers.learning_rate
    assert made["rate x 3"].numbers.learning_rate == pytest.approx(3 * rate)
    assert variants.variants({"scratch": recipes["scratch"]}, len(one.stages)) == {}


def test_gains_are_paired_and_each_data_set_counts_once(variants: ModuleType) -> None:
    rows = [row("x", 0.5), row("x", 0.6, "all stages"), row("y", 0.5), row("y", 0.5, "all stages")]
    rows += [row("x", 0.7, limit=50), row("z", 0.9, "all stages")]
    told = variants.table(rows)
    assert "| all stages, feature-extraction | 200 (2) | +5.0 (+0.0 to +10.0) | 50% |" in told
    assert told.count("all stages") == 1


def test_the_best_rate_is_held_against_similarity(variants: ModuleType) -> None:
    rows: list[dict[str, Any]] = []
    for data, similarity, best in (("x", 0.2, "rate x 3"), ("y", 0.5, ""), ("z", 0.9, "rate / 3")):
        one = to_json(measured(similarity=similarity))
        rows.append(row(data, 0.0) | {"strategy": None, "share": None, "measurements": one})
        rows += [
            row(data, 0.9 if name == best else 0.5, name) | {"strategy": "full-fine-tune"}
            for name in ("", *variants.RATES)
        ]
    assert "rank correlation -1.00" in variants.table(rows)
    assert "too few data sets" in variants.table(rows[:4])


def faster(
    variants: ModuleType, gains: dict[int, list[float]], backbone: str = "b"
) -> list[dict[str, Any]]:
    """Rows in which full fine-tuning gains so much from the higher rate, a data set each."""
    rows: list[dict[str, Any]] = []
    for limit, found in gains.items():
        for number, gain in enumerate(found):
            one = row(f"set {number}", 0.5, limit=limit) | {"strategy": "full-fine-tune"}
            one |= {"backbone": backbone}
            rows += [one, one | {"variant": "rate x 3", "accuracy": 0.5 + gain}]
    return rows


def test_a_higher_rate_holds_from_where_it_is_better_at_every_size(variants: ModuleType) -> None:
    worse, better = [-0.1, -0.2, 0.0, -0.1, 0.1], [0.1, 0.2, 0.1, 0.3, 0.1]
    mixed = [0.2, 0.1, -0.2, 0.1, -0.1]
    rows = faster(variants, {100: worse, 900: better, 400: mixed, 2000: better})
    rows += faster(variants, {100: worse, 900: worse}, backbone="c")
    (found,) = variants.rates(rows)
    assert (found.backbone, found.strategy, found.factor) == ("b", "full-fine-tune", 3.0)
    assert found.examples == 900
    assert variants.rates(faster(variants, {100: better, 400: mixed})) == ()
    assert variants.rates(faster(variants, {400: better[:4]})) == ()  # too few data sets
    assert variants.rates([]) == ()


def test_a_row_that_was_made_again_counts_once(variants: ModuleType) -> None:
    rows = [row("x", 0.5), row("x", 0.9, "all stages"), row("x", 0.6, "all stages")]
    assert "| 200 (1) | +10.0 " in variants.table(rows)


def test_every_cell_has_all_stages_and_some_a_higher_rate(variants: ModuleType) -> None:
    one = measured()
    recipes = {name: default(name, one) for name in STRATEGIES}

    def planned(backbone: str, limit: int) -> list[str]:
        cell = {"backbone": backbone, "limit": limit}
        return list(variants.planned(recipes, len(one.stages), cell))

    assert planned("embedded", 200) == ["all stages", "early", *variants.RATES]
    assert planned("embedded", 5000) == ["all stages", "rate x 3"]
    assert planned("MobileNetV2", 200) == ["all stages", "rate x 3"]
