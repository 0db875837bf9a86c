"""What the report advises: only what its figures speak for, and those are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotl.evaluate.figures import wilson
from autotl.report.page import page
from autotl.report.page.advice import advice
from autotl.report.page.wording import share
from tests import pages


@pytest.fixture
def calm(tmp_path: Path) -> dict[str, Any]:
    """A report that speaks for nothing."""
    report = pages.report(pages.records(tmp_path, ("a", "b"), rows=4000, wrong=1))
    report["data"]["set_aside"] = []
    size = report["measurements"]["size"]
    size |= {"doubts": 0, "near_copies": 0, "near_leaks": 0, "imbalance": 1.0}
    report["measurements"]["curve"] = []
    assert advice(report) == []
    return report


def _only(report: dict[str, Any]) -> tuple[str, str]:
    (one,) = advice(report)
    return one.do, one.because


def test_without_evidence_there_is_no_advice(calm: dict[str, Any], tmp_path: Path) -> None:
    assert "speak for nothing in particular" in page(calm, tmp_path)


def test_each_piece_of_advice_names_its_figures(calm: dict[str, Any]) -> None:
    size, found = calm["measurements"]["size"], calm["evaluation"]

    def told(change: dict[str, Any], place: dict[str, Any]) -> tuple[str, str]:
        before = {key: place.get(key) for key in change}
        place |= change
        answer = _only(calm)
        place |= before
        return answer

    do, why = told({"doubts": 3, "doubtful": ["x", "y"], "examined": 90}, size)
    assert "'x', 'y'" in do
    assert "Of 90 training examples looked at, 3 have" in why
    do, why = told({"near_copies": 50, "near_leaks": 2, "examined": 90}, size)
    assert "group" in do
    assert "49 of 90" in why
    assert "2 of 5 validation" in why
    do, why = told({"imbalance": 7.5}, size)
    assert "--metric balanced-accuracy" in do
    assert "7.5 times" in why
    points = [{"examples": 100, "accuracy": 0.8}, {"examples": 200, "accuracy": 0.85}]
    do, why = told({"curve": points}, calm["measurements"])
    assert "more examples" in do
    assert "From 100 to 200 training examples the linear probe rose by 5.0 points" in why
    assert told({"size_reason": "Only 96."}, calm["backbone"])[1] == "Only 96."
    do, why = told({"name": "embedded"}, calm["backbone"])
    assert "autotl-keras-applications" in do
    assert "80.0 %, 70.0 % with random weights" in why
    wide = {"value": 0.8, "low": 0.6, "high": 0.9}
    assert "60.0 to 90.0 %" in told({"accuracy": wide}, found)[1]


def test_a_flat_curve_or_noise_asks_for_no_more_examples(calm: dict[str, Any]) -> None:
    calm["measurements"]["curve"] = [
        {"examples": 100, "accuracy": 0.8},
        {"examples": 200, "accuracy": 0.805},
    ]
    assert advice(calm) == []
    calm["measurements"]["curve"][1]["accuracy"] = 0.85
    for one in calm["measurements"]["probes"]:
        one["examples"] = 60
    assert advice(calm) == [], "five points are within the noise of 60 images"


def _cut(report: dict[str, Any], *accuracies: float) -> None:
    """Have the best training end by the clock with these accuracies on 586 validation rows."""
    report["data"]["split"]["validation"] = 586
    (best,) = (one for one in report["search"]["ledger"] if one["number"] == 1)
    best["recipe"]["numbers"]["epochs"] = 14
    best["history"] = [
        {"epoch": float(epoch), "accuracy": value} | ({"train-loss": 1.0} if epoch else {})
        for epoch, value in enumerate((0.8, *accuracies))
    ]
    result = report["search"]["best"]["result"]
    best["stopped"] = result["stopped"] = "deadline"
    result |= {"history": best["history"], "metrics": {"accuracy": max(accuracies)}}


def test_a_training_that_was_cut_asks_for_time_and_tells_of_a_rise_only_beyond_noise(
    calm: dict[str, Any],
) -> None:
    _cut(calm, 0.5, 0.6, 0.7, 0.75, 0.8)
    do, why = _only(calm)
    assert do == "Give a longer --budget."
    assert why.startswith("The best training was cut by the budget after 5 of 14 epochs.")
    assert "It still rose: the last gave 70.0 %, 75.0 %, 80.0 % on validation." in why
    for flat in ((0.884, 0.887, 0.887), (0.7, 0.8, 0.8), (0.884, 0.886, 0.887)):
        _cut(calm, 0.5, 0.6, *flat)
        why = _only(calm)[1]
        assert "5 of 14 epochs" in why
        assert "What the rest would have gained was not measured." in why
        assert "rose" not in why
    _cut(calm, 0.9, 1.0)
    assert advice(calm) == [], "there is nothing left to gain"


def test_a_strategy_that_was_never_trained_asks_for_time(calm: dict[str, Any]) -> None:
    calm["search"]["ledger"][1]["strategy"] = "scratch"
    best = calm["search"]["best"]["result"]["metrics"]
    best["accuracy"] = 1.0
    assert advice(calm) == [], "there is nothing left to gain"
    best["accuracy"] = 0.9
    do, why = _only(calm)
    assert do.startswith("Give a longer --budget")
    assert why.startswith("full-fine-tune is predicted to reach 85.0 % (70.0 to 95.0) in 2.5 min")
    assert why.endswith("no trial of it was begun.")


@pytest.mark.parametrize("seconds", [None, 600.0])
def test_a_strategy_that_the_number_of_trials_left_out_asks_for_trials(
    seconds: float | None, calm: dict[str, Any]
) -> None:
    calm["search"]["ledger"] = calm["search"]["ledger"][:1]
    calm["search"]["best"] |= {"number": 0}
    calm["budget"] = {"seconds": seconds, "trials": 1}
    assert _only(calm)[0].startswith("Give more --trials")


def test_a_chosen_strategy_that_failed_is_told_of_with_its_failure(calm: dict[str, Any]) -> None:
    calm["search"]["ledger"][1]["strategy"] = "scratch"
    calm["search"]["ledger"][3]["strategy"] = "full-fine-tune"
    do, why = _only(calm)
    assert do == "See why full-fine-tune failed, which was chosen."
    assert why == "Trial 3: <b>no memory</b>"


def test_a_chosen_strategy_that_made_no_step_counts_as_untrained(calm: dict[str, Any]) -> None:
    calm["search"]["ledger"][1]["strategy"] = "scratch"
    calm["search"]["ledger"][2] |= {
        "strategy": "full-fine-tune",
        "history": [{"epoch": 0.0, "accuracy": 0.8}, {"epoch": 1.0, "accuracy": 0.8}],
    }
    assert _only(calm)[1].endswith("the time was up before its first step.")


def test_exact_copies_are_no_near_copies(calm: dict[str, Any]) -> None:
    size = calm["measurements"]["size"]
    size |= {"examined": 1000, "near_copies": 30, "near_leaks": 0, "copies": 30}
    assert advice(calm) == []
    size["near_copies"] = 45
    why = _only(calm)[1]
    assert why == "15 of 1,000 training examples nearly repeat another one, exact copies aside."
    size |= {"near_copies": 30, "near_leaks": 3}  # leaks alone
    assert _only(calm)[1] == "3 of 5 validation images nearly repeat a training one."


@pytest.mark.parametrize("key", ["reason", "instead"])
def test_no_backbone_is_to_be_installed_where_several_are(key: str, calm: dict[str, Any]) -> None:
    calm["backbone"] |= {"name": "embedded", key: "The probes of 3 were compared."}
    assert advice(calm) == []


def test_weak_classes_are_named_with_their_counts(tmp_path: Path) -> None:
    report = pages.report(pages.records(tmp_path, ("a", "b", "c"), rows=600, wrong=1))
    found = report["evaluation"]
    found["confusion"] = [[100, 0, 0], [40, 60, 0], [1, 0, 99]]
    found["accuracy"] = {"value": 259 / 300, "low": 0.82, "high": 0.9}
    (why,) = (one.because for one in advice(report) if "weakest" in one.do)
    assert "Of 1 class" in why
    assert "'b': 60 of 100 right (50.2 to 69.1 %, 200 examples in all)" in why
    assert "most often called 'a'" in why


def test_abstaining_is_advised_where_the_sure_are_right(calm: dict[str, Any]) -> None:
    def one(low: float, many: int, right: float) -> dict[str, Any]:
        return {"low": low, "high": low + 0.1, "examples": many, "accuracy": {"value": right}}

    calm["evaluation"]["reliability"] = [one(0.5, 100, 0.6), one(0.9, 200, 0.98)]
    do, why = _only(calm)
    assert "--target-precision" in do
    assert "Of the 200 test images" in why
    assert "right are 98.0 % (95.0 to 99.2); of the other 100, 60.0 % (50.2 to 69.1)." in why
    calm["evaluation"]["abstention"] = {"target_precision": 0.9, "threshold": 0.0, "bound": 0.95}
    assert advice(calm) == []


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_interval_is_scipy_s(right: int, of: int) -> None:
    right = min(right, of)
    known, found = wilson(np.arange(of) < right), share(right, of)
    assert found is not None
    assert (found["value"], found["low"], found["high"]) == pytest.approx(
        (right / of, known.low, known.high), abs=1e-4
    )
