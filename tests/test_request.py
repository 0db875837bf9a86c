from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotl.errors import UsageError
from autotl.records import Budget, from_json, to_json
from autotl.request import Request, request, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (" 2 M ", 120),
        (7, 7),
    ],
)
def test_durations_known(text: str | int, expected: float) -> None:
    assert seconds(text) == expected


@given(st.integers(1, 10**6), st.sampled_from([("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]))
def test_durations_scale(number: int, unit: tuple[str, int]) -> None:
    assert seconds(f"{number}{unit[0]}") == number * unit[1]


@pytest.mark.parametrize("text", ["", "ten minutes", "10x", "-5m", "0", "1m 2q", "inf", "nan"])
def test_durations_refused(text: str) -> None:
    with pytest.raises(UsageError):
        seconds(text)


def test_budget_is_ten_minutes_where_nothing_is_said() -> None:
    assert request(data="x").budget == Budget(seconds=600.0, trials=None)
    assert request(data="x", trials=3).budget == Budget(seconds=None, trials=3)
    assert request(data="x", trials=3, budget="5m").budget == Budget(seconds=300.0, trials=3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strategy": "finetune"}, "full-fine-tune"),
        ({"metric": "acuracy"}, "Did you mean 'accuracy'"),
        ({"trials": 0}, "at least 1"),
        ({"seed": -1}, "--seed"),
        ({"budget": "soon"}, "10m"),
    ],
)
def test_values_that_cannot_be_meant(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        request(data="x", **options)  # type: ignore[arg-type]
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"seed": "7"},
        {"seed": 1.0},
        {"seed": None},
        {"trials": 2.5},
        {"trials": "3"},
        {"budget": timedelta(minutes=5)},
        {"budget": 10**400},
        {"budget": [600]},
        {"weights": 3},
        {"weights": "~nobody-of-this-name/w.h5"},
        {"backbone": Path("MobileNetV2")},
        {"backbone": None},
        {"loader": 3},
        {"metric": None},
        {"strategy": 1},
        {"tensorboard": "no"},
        {"disabled_plugins": 3},
        {"disabled_plugins": [3]},
        {"data": os.fsdecode(b"caf\xe9")},
        {"weights": os.fsdecode(b"caf\xe9.h5")},
    ],
)
def test_values_that_run_json_cannot_hold_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        request(**{"data": "x", **options})
    str(caught.value).encode()


def test_values_of_other_types_that_mean_the_same_become_plain() -> None:
    asked = request(
        data=np.str_("photos"),
        budget=np.float32(90),
        trials=np.int64(2),
        seed=np.uint8(7),
        weights=Path("w.h5"),
        backbone=np.str_("embedded"),
        tensorboard=np.True_,  # type: ignore[arg-type]
        disabled_plugins="odd",
    )
    plain = request(
        data="photos",
        budget=90,
        trials=2,
        seed=7,
        weights="w.h5",
        backbone="embedded",
        tensorboard=True,
        disabled_plugins=["odd"],
    )
    assert to_json(asked) == to_json(plain)
    assert from_json(Request, to_json(asked)) == asked


def test_a_weights_file_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for weights in ("w.h5", Path("w.h5"), "~/w.h5", tmp_path / "w.h5"):
        assert request(data="x", weights=weights).weights == str(tmp_path / "w.h5")


def test_names_are_matched_without_regard_to_case() -> None:
    asked = request(data="x", strategy="Partial-Freeze", metric="Macro-F1")
    assert (asked.strategy, asked.metric) == ("partial-freeze", "macro-f1")


def test_what_belongs_to_a_strategy_needs_it_named() -> None:
    for options, strategy in (
        ({"frozen": "stage2"}, "partial-freeze"),
        ({"tap": "stage2"}, "feature-extraction"),
        ({"learning_rate": 0.01}, "scratch"),
    ):
        asked = request(data="x", strategy=strategy, **options)  # type: ignore[arg-type]
        assert from_json(Request, to_json(asked)) == asked
        with pytest.raises(UsageError, match="without the strategy") as caught:
            request(data="x", **options)  # type: ignore[arg-type]
        assert strategy in str(caught.value.hint)
        other = "feature-extraction" if strategy != "feature-extraction" else "scratch"
        with pytest.raises(UsageError, match=f"not for {other}"):
            request(data="x", strategy=other, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"input_size": 0},
        {"input_size": 64.5},
        {"frozen": "", "strategy": "partial-freeze"},
        {"tap": 3, "strategy": "feature-extraction"},
        {"learning_rate": 0.0, "strategy": "scratch"},
        {"learning_rate": "fast", "strategy": "scratch"},
        {"learning_rate": float("nan"), "strategy": "scratch"},
        {"resize": "stretch"},
        {"resize": 3},
        {"target_precision": 0.0},
        {"target_precision": 1.0},
        {"target_precision": 95},
        {"target_precision": "high"},
        {"int8": "yes"},
        {"int8_points": 0},
        {"int8_points": 2},
        {"int8_points": 100},
        {"float16": 2},
        {"embedding": None},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        request(data="x", **options)


def test_options_of_the_exported_model_are_kept() -> None:
    asked = request(
        data="x",
        resize="Crop",
        target_precision=0.95,
        embedding=True,
        int8=True,
        int8_points=0.5,
        float16=True,
    )
    assert (asked.resize, asked.target_precision, asked.int8_points) == ("crop", 0.95, 0.5)
    assert asked.embedding
    assert asked.int8
    assert asked.float16
    assert from_json(Request, to_json(asked)) == asked


def test_a_run_of_before_these_options_is_read() -> None:
    told = to_json(request(data="x"))
    for key in ("resize", "target_precision", "embedding", "int8", "int8_points", "float16"):
        del told[key]
    assert from_json(Request, told) == request(data="x")


def test_round_trip() -> None:
    asked = request(data="photos", budget="5m", trials=2, seed=7, disabled_plugins=["a"])
    assert from_json(Request, to_json(asked)) == asked
