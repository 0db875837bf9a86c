from __future__ import annotations

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


def test_names_are_matched_without_regard_to_case() -> None:
    asked = request(data="x", strategy="Partial-Freeze", metric="Macro-F1")
    assert (asked.strategy, asked.metric) == ("partial-freeze", "macro-f1")


def test_round_trip() -> None:
    asked = request(data="photos", budget="5m", trials=2, seed=7, disabled_plugins=["a"])
    assert from_json(Request, to_json(asked)) == asked
