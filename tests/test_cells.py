"""What the benchmark's rows say of predictions and of transfer's benefits, by known answers."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from autotl.decide import coefficients
from autotl.errors import ResourceError
from autotl.records import Prediction
from tests.test_decide import measured
from tests.test_regret import ACCURACIES, rows


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("trained")


def curved(data: str, curves: dict[str, list[float]], **stopped: str) -> list[dict[str, Any]]:
    made = rows(data)
    for row in made:
        if row["strategy"] in curves and row["share"] == 1.0:
            row["curve"] = curves[row["strategy"]]
            row["stopped"] = stopped.get(row["strategy"], "epochs")
        elif row["strategy"]:
            row["curve"] = [0.5]
    return made


def test_benefits_of_transfer_are_those_of_the_curves(trained: ModuleType) -> None:
    gained = importlib.import_module("gained")
    curves = {
        "partial-freeze": [0.6, 0.7, 0.8],
        "full-fine-tune": [0.6, 0.7, 0.7],
        "scratch": [0.1, 0.3, 0.7],
    }
    found = trained.runs(curved("x", curves))
    (pair,) = gained.pairs(found)
    assert (pair.transferred.start, pair.scratch.start) == (0.6, 0.1)
    assert (pair.transferred.reached, pair.scratch.reached) == (1, 2)
    assert gained.table(found).splitlines()[2] == (
        "| 200 (1) | +50.0 (+50.0 to +50.0) | -20.0 (-20.0 to -20.0) | +10.0 (+10.0 to +10.0) "
        "| 100% | 1, 2 |"
    )


def test_a_training_that_a_cap_ended_is_no_benefit(trained: ModuleType) -> None:
    gained = importlib.import_module("gained")
    curves = {name: [0.1, 0.5] for name in ("partial-freeze", "full-fine-tune", "scratch")}
    found = trained.runs(curved("x", curves, scratch="deadline"))
    assert gained.pairs(found) == []
    assert "No cell" in gained.table(found)


def test_predictions_are_judged_by_coefficients_of_other_sets(
    trained: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted = importlib.import_module("predicted")
    found = trained.runs([row for name in "xyz" for row in rows(name)])
    known = predicted.left_out_coefficients(found)
    assert {name: one.data for name, one in known.items()} == {
        "x": ("y", "z"),
        "y": ("x", "z"),
        "z": ("x", "y"),
    }
    plain = predicted.decision_of(known["x"], found[0])
    told = {
        name: Prediction(accuracy=value + 0.1, low=value + 0.05, high=1.0, minutes=1 / 12)
        for name, value in ACCURACIES.items()
    }
    told["scratch"] = replace(told["scratch"], low=0.0)
    monkeypatch.setattr(predicted, "decision_of", lambda *_: replace(plain, predicted=told))
    every = predicted.outcomes(found)
    assert len(every) == 12
    assert {one.inside for one in every if one.strategy == "scratch"} == {True}
    assert {one.inside for one in every if one.strategy != "scratch"} == {False}
    assert [one.error for one in every] == pytest.approx([10.0] * 12)
    assert [one.times for one in every] == pytest.approx([2.0] * 12)
    assert "| scratch (3) | 100% | +10.0 | 10.0 | 2.00, 2.00, 2.00 |" in predicted.table(found)


def test_the_interval_of_a_signal_is_the_jackknifes(trained: ModuleType) -> None:
    signals = importlib.import_module("signals")
    second = (1.0, 3.0, 2.0, 4.0, 6.0, 5.0, 7.0)
    pairs = {name: (float(i), y) for i, (name, y) in enumerate(zip("abcdefg", second, strict=True))}
    whole, without = stats.spearmanr(*zip(*pairs.values(), strict=True)).statistic, []
    for out in pairs:
        kept = [pair for name, pair in pairs.items() if name != out]
        without.append(stats.spearmanr(*zip(*kept, strict=True)).statistic)
    error = math.sqrt(6 / 7 * float(np.sum((np.array(without) - np.mean(without)) ** 2)))
    half = stats.t.ppf(0.975, 6) * error
    assert whole - half > -1
    low, high = max(whole - half, -1.0), min(whole + half, 1.0)
    assert signals._told([pairs]) == f"{whole:+.2f} ({low:+.2f} to {high:+.2f})"


class Canned:
    """A bench that trains nothing, and notes what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.trainings = 0
        self.labels = folder / "labels.npy"
        np.save(self.labels, np.zeros(10))

    def fingerprint(self, path: Path) -> str:
        return f"of {path}"

    def examples(self, path: Path) -> int:
        return 1000

    def prepared(self, path: Path, cell: Any, test: int) -> tuple[dict[str, Any], Any]:
        return {"pixels": SimpleNamespace(labels=self.labels, train=8)}, np.zeros(4)

    def opened(self, path: Path, cell: Any, test: int) -> tuple[dict[str, Any], Any, Any]:
        one = measured(per_class=40, pretrained=0.7, random=0.4, first=0.5, similarity=0.6)
        return *self.prepared(path, cell, test), one

    def proxies(self, asked: Any) -> dict[str, float]:
        return {}

    def trained(self, asked: Any, recipe: Any, truth: Any, most: float | None) -> dict[str, Any]:
        self.trainings += 1
        if recipe["strategy"] == "scratch":
            raise ResourceError("Training diverged.")
        return {"accuracy": 0.5, "seconds": 1.0}

    def probed(self, asked: Any, recipe: Any, truth: Any) -> tuple[dict[str, Any], Any]:
        return self.trained(asked, recipe, truth, None), asked

    def together(self, asked: Any, recipe: Any, tap: int) -> dict[str, Any]:
        return {"together": 0.6, "reads": [1]}


def test_a_stopped_cell_goes_on_where_it_was(trained: ModuleType, tmp_path: Path) -> None:
    strategies = importlib.import_module("strategies")
    bench = Canned(tmp_path)
    cell = {"data": "flowers", "backbone": "embedded", "input_size": 64, "limit": 200, "seed": 1}
    cell["code"] = "c"

    def missing(known: list[dict[str, Any]]) -> list[dict[str, Any]]:
        bench.trainings = 0
        return list(strategies._missing(bench, tmp_path, cell, lambda: known))

    def named(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        return [(row["strategy"], row["share"], row["variant"]) for row in found]

    whole = missing([])
    assert named(whole)[0] == (None, None, "")
    assert len(set(named(whole))) == len(whole) == 1 + 4 + 3 + 4
    assert [row["strategy"] for row in whole if "failure" in row] == ["scratch"] * 2
    assert {row["measurer"] for row in whole} == {coefficients.measurer_digest()}
    for done in range(len(whole)):
        assert named(missing(whole[:done])) == named(whole[done:])
        heads = {0: 0, 1: 0}.get(done, 1)  # whose head the others start from
        assert bench.trainings == len(whole) - max(done, 1) + heads
    assert missing(whole) == []
    assert bench.trainings == 0
    bare = [{k: v for k, v in row.items() if k != "reads"} for row in whole]
    assert named(missing(bare)) == [("feature-extraction", 1.0, "all stages")]
    other = [row | {"fingerprint": "another"} for row in whole]
    assert named(missing(other)) == named(whole)
