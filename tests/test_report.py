"""The documents of a run: what `report.json` says of what was not measured."""

from __future__ import annotations

from typing import Any

import pytest

from autotl.fitted import Inspection
from autotl.records import STRATEGIES, Decision, Prediction
from autotl.report import terminal
from autotl.report.document import _decision

FIGURES = Prediction(accuracy=0.9, low=0.8, high=0.95, minutes=1.0)


@pytest.fixture
def decision() -> Decision:
    return Decision(
        backbone="tiny",
        input_size=32,
        strategy="scratch",
        engine="scratch",
        forced=False,
        boundary=0,
        frozen=(),
        taps=(1,),
        tap=("one",),
        learning_rate=0.0,
        runner_up=None,
        margin=0.0,
        race=0.0,
        scenario="little-far",
        reasons=(),
        predicted={"scratch": FIGURES, "feature-extraction": FIGURES},
        coefficients="0",
        provisional=True,
    )


def test_a_strategy_that_is_impossible_is_null(decision: Decision) -> None:
    nothing: Any = None
    for told in (
        _decision(decision),
        Inspection(nothing, nothing, nothing, nothing, decision).document()["decision"],
    ):
        assert tuple(told["predicted"]) == STRATEGIES
        assert told["predicted"]["scratch"] == {
            "accuracy": 0.9,
            "low": 0.8,
            "high": 0.95,
            "minutes": 1.0,
        }
        assert told["predicted"]["partial-freeze"] is None
        assert told["predicted"]["full-fine-tune"] is None


def test_the_terminal_shows_what_is_possible(decision: Decision) -> None:
    assert terminal._strategies(decision).row_count == 2
