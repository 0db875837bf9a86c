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
    CopyGroup,
    Decision,
    LoadRecord,
    Pictured,
    Pictures,
    Prediction,
    SetAside,
    SplitRecord,
    Suspect,
)
from autotl.report import terminal
from autotl.report.document import _backbone, _data, decided, overrun
from autotl.report.writing import model_card

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
        decided(decision),
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


def test_both_documents_say_the_same_of_the_learning_rate(decision: Decision) -> None:
    nothing: Any = None
    four: Any = (nothing, nothing, nothing, nothing)
    for asked in (0.0, 0.125):
        own = replace(decision, learning_rate=asked)
        inspected = Inspection(*four, own, 0.25).document()["decision"]
        for key, value in decided(own, 0.25).items():
            assert inspected[key] == value, key
        assert inspected["learning_rate"] == (asked or None)
        assert inspected["recipe_learning_rate"] == 0.25
    assert decided(decision)["recipe_learning_rate"] is None


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
    found = _data(load, split, evaluation, ("one of a class",))
    assert [each["id"] for each in found["set_aside"]] == ["a.png", "b.png"]
    assert found["warnings"] == ["few", "kept", "one of a class"]


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


NOT_TRAINED = "full-fine-tune was not trained: the number of trials was reached."


def report(decision: Decision, **search: Any) -> dict[str, Any]:
    """A report of a run, as far as the card and the summary read it; `search` is added to it."""
    best = {"strategy": "feature-extraction", "boundary": 1, "taps": [1]}
    figure = {"value": 0.9, "low": 0.8, "high": 0.95}
    known = ("accuracy", "balanced_accuracy", "macro_f1", "linear_probe", "majority")
    others = ("log_loss", "calibration_error", "calibration_error_before", "temperature")
    parity = {"top1_agreement": 1.0, "median_difference": 0.0, "largest_difference": 0.0}
    kept: Any = {"per_class": [], "examples": 9, "abstention": None}
    preprocessing = {"resize": "squash"}
    named = {"name": "tiny", "license": "Apache-2.0", "stages": ["one"], "source_domain": None}
    return {
        "run": "digits-1",
        "versions": {"autotl": "0.1.0"},
        "seed": 0,
        "overrun": None,
        "seconds": {"total": 9.0},
        "data": {
            "classes": ["x", "y"],
            "examples": 20,
            "fingerprint": "f",
            "split": {"train": 5, "validation": 6, "test": 9},
            "warnings": [],
            "set_aside": [],
        },
        "backbone": {
            **named,
            "parameters": 10,
            "weights_license": None,
            "weights_sha256": None,
            "preprocessing": preprocessing,
        },
        "decision": {**decided(decision), "reasons": ["The probe says so."]},
        "search": {
            "trials": 1,
            "selected_among": 1,
            "notes": [],
            "transfer": None,
            "best": {"number": 0, "recipe": best},
            **search,
        },
        "evaluation": {**kept, **dict.fromkeys(known, figure), **dict.fromkeys(others, 0.1)},
        "export": {
            "opset": 18,
            "parity": {"examples": 6, **parity},
            "features": None,
            "variants": [],
        },
    }


def test_variants_are_told_of_kept_or_not(decision: Decision) -> None:
    told = report(decision)
    told["export"]["features"] = 40
    told["export"]["variants"] = [
        {"kind": "int8", "kept": False, "reason": "not shown to be faster"},
        {"kind": "float16", "kept": True, "reason": "same label"},
    ]
    card = model_card(told)
    assert "- `model.int8.onnx` was not written: not shown to be faster\n" in card
    assert "- `model.float16.onnx` is written: same label\n" in card
    assert "`embedding`, the 40 features" in card
    lines = shown(terminal.summary(told, "runs/digits-1"))
    assert "  - model.int8.onnx was not written: not shown to be faster" in lines


def test_the_summary_names_a_page_only_where_there_is_one(decision: Decision) -> None:
    told = report(decision)
    assert "runs/x/report.html, runs/x/report.json" in "\n".join(
        shown(terminal.summary(told, "runs/x"))
    )
    without = "\n".join(shown(terminal.summary(told, "runs/x", page=False)))
    assert "Report  runs/x/report.json, runs/x/MODEL_CARD.md" in without
    assert "report.html" not in without


@pytest.mark.parametrize(
    ("shown", "doubts", "groups", "words"),
    [
        (
            20,
            26,
            40,
            "20 of 26 labels in doubt, 0 pairs of near-copies and 1 of 40 groups of copies",
        ),
        (1, 1, 1, "1 label in doubt, 0 pairs of near-copies and 1 group of copies"),
        (3, None, 0, "3 labels in doubt, 0 pairs of near-copies and 1 group of copies"),
    ],
)
def test_the_line_of_the_pictures_says_what_it_leaves_out(
    shown: int, doubts: int | None, groups: int, words: str
) -> None:
    suspect = Suspect(example=Pictured(id="a", label=0), borne=1)
    copies = (CopyGroup(examples=2, ids=("a", "b"), labels=(0, 0)),)
    record = Pictures(suspects=(suspect,) * shown, doubts=doubts, copies=copies, groups=groups)
    assert terminal.step_line(record) == f"{words} to look at in report.html"


def test_a_threshold_is_told_of(decision: Decision) -> None:
    told = report(decision)
    share = {"value": 0.5, "low": 0.4, "high": 0.6}
    told["evaluation"]["abstention"] = {
        "target_precision": 0.9,
        "threshold": 0.75,
        "bound": 0.91,
        "coverage": share,
        "precision": share,
    }
    assert "give no answer under a confidence of 0.750, which" in model_card(told)
    text = " ".join(shown(terminal.summary(told, "runs/digits-1")))
    assert "Of the test images 50.0 % (40.0 to 60.0) are answered, of which 50.0" in " ".join(
        text.split()
    )


def shown(renderables: list[Any], width: int = 100) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    for one in renderables:
        console.print(one)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_choice_that_was_not_trained_is_called_neither_searched_nor_selected(
    decision: Decision,
) -> None:
    chosen = replace(decision, strategy="full-fine-tune")
    told = report(chosen, notes=[NOT_TRAINED])
    card = model_card(told)
    assert "## Why full-fine-tune was chosen\n" in card
    assert f"- {NOT_TRAINED}\n" in card
    assert "searched" not in card
    assert "optimistic" not in card
    assert f"  - {NOT_TRAINED}" in shown(terminal.summary(told, "runs/digits-1"))
    assert "## The search" not in model_card(report(chosen))


def test_the_benefits_of_transfer_are_in_card_and_summary(decision: Decision) -> None:
    side = {"strategy": "scratch", "start": 0.1, "slope": 0.1, "asymptote": 0.8, "reached": 9}
    theirs = {**side, "trial": 2, "cut_short": False}
    ours = {**theirs, "trial": 1, "strategy": "full-fine-tune", "start": 0.6, "reached": 2}
    told = report(decision, transfer={"transferred": ours, "scratch": theirs})
    sentence = "Against scratch, full-fine-tune started 50.0 points higher on validation"
    assert f"- {sentence}" in model_card(told)
    assert any(line.startswith(sentence) for line in shown(terminal.summary(told, "runs/x")))
