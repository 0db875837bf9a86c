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
