"""The three benefits of transfer, by curves whose figures are known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autotl.records import FileRef, Trial, TrialResult
from autotl.report.benefits import benefits, curve, sentence
from tests.trials import recipe

FILE = FileRef(path="x", sha256="0", size=1)


def trial(number: int, strategy: str, *accuracies: float, origin: str = "default") -> Trial:
    history = tuple(
        {"epoch": float(epoch), "accuracy": value} | ({"train-loss": 1.0} if epoch else {})
        for epoch, value in enumerate(accuracies)
    )
    result = TrialResult(
        metrics={"accuracy": max(accuracies)},
        epochs=len(accuracies),
        seconds=1.0,
        weights=FILE,
        predictions=FILE,
        stopped="epochs",
        history=history if len(accuracies) > 1 else ({"accuracy": accuracies[0]},),
    )
    return Trial(
        number=number,
        origin=origin,
        recipe=recipe(strategy, pretrained=strategy != "scratch"),
        hyperparameters={},
        status="finished",
        seconds=1.0,
        result=result,
    )


def test_a_training_without_a_step_is_no_training() -> None:
    result = trial(1, "full-fine-tune", 0.9, 0.9).result
    assert result is not None
    history = tuple({k: v for k, v in one.items() if k != "train-loss"} for one in result.history)
    start = replace(
        trial(1, "full-fine-tune", 0.9, 0.9),
        result=replace(result, history=history, stopped="deadline"),
    )
    scratch = trial(2, "scratch", 0.1, 0.5)
    assert benefits([start, scratch]) is None
    found = benefits([start, trial(3, "partial-freeze", 0.7, 0.8), scratch])
    assert found is not None
    assert found["transferred"]["trial"] == 3


def test_a_curves_figures() -> None:
    found = curve([0.2, 0.4, 0.6, 0.65, 0.6], threshold=0.62)
    assert (found.start, found.asymptote, found.reached) == (0.2, 0.65, 3)
    assert found.slope == pytest.approx((0.65 - 0.2) / 3)  # .605 is nine tenths of the way
    flat = curve([0.5, 0.5], threshold=0.9)
    assert (flat.slope, flat.reached) == (0.0, None)


def test_the_best_of_each_kind_are_compared() -> None:
    trials = [
        trial(0, "feature-extraction", 0.9),
        trial(1, "full-fine-tune", 0.7, 0.8, 0.85),
        trial(2, "partial-freeze", 0.6, 0.7),
        trial(3, "scratch", 0.2, 0.5, 0.6),
        trial(4, "full-fine-tune", 0.9, 0.95, origin="longer"),
    ]
    found = benefits(trials)
    assert found is not None
    assert (found["transferred"]["trial"], found["scratch"]["trial"]) == (1, 3)
    assert (found["transferred"]["reached"], found["scratch"]["reached"]) == (0, 2)
    told = sentence(found)
    assert "full-fine-tune started 50.0 points higher" in told
    assert "rose 12.5 points slower an epoch and came 25.0 points higher" in told
    assert "after 0 epochs, scratch after 2" in told


def test_there_is_nothing_to_tell_without_both() -> None:
    assert benefits([trial(1, "full-fine-tune", 0.7, 0.8)]) is None
    assert benefits([trial(0, "feature-extraction", 0.9), trial(1, "scratch", 0.2, 0.3)]) is None
    worse = benefits([trial(1, "full-fine-tune", 0.2, 0.3), trial(2, "scratch", 0.2, 0.9)])
    assert worse is not None
    assert "never level" in sentence(worse)
