"""What the benchmark's rows say of predictions and of transfer's benefits, by known answers."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from autotl.records import Prediction
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
