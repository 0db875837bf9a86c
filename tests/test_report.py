"""The documents of a run: what `report.json` says of what was not measured."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from autotl.fitted import Inspection
from autotl.records import (
    STRATEGIES,
    Budget,
    Decision,
    LoadRecord,
    Prediction,
    SetAside,
    SplitRecord,
)
from autotl.report import terminal
from autotl.report.document import _backbone, _data, _decision, overrun

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


def test_reasons_are_wrapped_between_words() -> None:
    reasons = ["One.", "A margin within the interval is settled by validation [sic]."]
    console = Console(width=30, file=io.StringIO())
    console.print(terminal._reasons(reasons))
    told = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert told == [
        "Reasons",
        "  - One.",
        "  - A margin within the",
        "    interval is settled by",
        "    validation [sic].",
    ]


def test_examples_that_were_set_aside_are_listed_once() -> None:
    early, late = SetAside(id="a.png", reason="torn"), SetAside(id="b.png", reason="gone")
    load = LoadRecord(
        fingerprint="f",
        loader="l",
        reason="r",
        kind="image",
        examples=9,
        classes=("x", "y"),
        per_class=(4, 5),
        median_side=9,
        set_aside=(early,),
        warnings=("few",),
    )
    split = SplitRecord(train=5, validation=2, test=2, dropped=0, digest="d", notes=("kept",))
    evaluation: Any = SimpleNamespace(set_aside=(early, late))
    found = _data(load, split, evaluation)
    assert [each["id"] for each in found["set_aside"]] == ["a.png", "b.png"]
    assert found["warnings"] == ["few", "kept"]


@pytest.mark.parametrize("pretrained", [True, False])
def test_only_weights_that_the_model_grew_from_are_named(
    pretrained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import tiny_backbone

    located = tiny_backbone.located(Path("tiny.npz"))
    located = replace(located, backbone=replace(located.backbone, weights_license="research only"))
    best = SimpleNamespace(recipe=SimpleNamespace(pretrained=pretrained))
    run: Any = SimpleNamespace(located=located, search=SimpleNamespace(best=best))
    found = _backbone(run)
    named = (found["weights_license"], found["weights_sha256"], found["source_domain"])
    assert named == (("research only", "0" * 64, "noise") if pretrained else (None, None, None))
    assert found["license"] == "Apache-2.0"


def test_an_overrun_of_the_budget_is_explained() -> None:
    steps = {"load": 1.0, "measure": 75.0, "search": 2.0, "evaluate": 26.0, "export": 56.0}
    told = overrun(steps, Budget(seconds=120.0, trials=None))
    assert told is not None
    assert told.startswith("The run took 160 s, 40 s more than its budget of 120 s: measure 75 s, ")
    assert "export 56 s, evaluate 26 s." in told
    assert overrun(steps, Budget(seconds=None, trials=3)) is None
    # 5 % or 5 s, whichever is more
    assert overrun(steps, Budget(seconds=153.0, trials=None)) is None
    assert overrun({"load": 24.9}, Budget(seconds=20.0, trials=None)) is None
    assert overrun({"load": 25.1}, Budget(seconds=20.0, trials=None)) is not None
