from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from autotl.evaluate.abstention import abstention, fit_threshold
from autotl.records import to_json
from autotl.report import abstaining


def drawn(count: int, seed: int) -> tuple[Any, Any]:
    """Two classes; calibrated: a row of confidence c is right with probability c."""
    draw = np.random.default_rng(seed)
    confidence = draw.uniform(0.5, 1.0, count)
    labels = (draw.random(count) > confidence).astype(int)
    return np.stack([confidence, 1 - confidence], axis=1), labels


def precision_from(threshold: float) -> float:
    """Of the drawn rows at or above a confidence."""
    return (1 + max(threshold, 0.5)) / 2


def test_answers_above_the_threshold_reach_the_target() -> None:
    threshold, bound = fit_threshold(*drawn(20_000, 0), 0.9)
    assert threshold is not None
    assert 0.9 <= bound <= precision_from(threshold) < 0.93


def test_nothing_is_withheld_where_all_may_be_answered() -> None:
    sure = np.tile([[0.9, 0.1]], (400, 1))
    threshold, bound = fit_threshold(sure, np.zeros(400, int), 0.95)
    assert threshold == 0.0
    looks = 1 + 10
    assert bound == pytest.approx(beta.ppf(0.05 / looks, 400, 1))


def test_few_rows_show_nothing() -> None:
    sure = np.tile([[0.9, 0.1]], (40, 1))
    threshold, bound = fit_threshold(sure, np.zeros(40, int), 0.95)
    assert threshold is None
    assert 0.8 < bound < 0.95


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_handful_of_rows_is_no_error(count: int) -> None:
    assert fit_threshold(*drawn(count, 1), 0.9)[0] is None


def test_the_target_is_missed_in_less_than_one_choice_of_twenty() -> None:
    missed = 0
    for seed in range(200):
        threshold, _ = fit_threshold(*drawn(500, seed), 0.85)
        missed += threshold is not None and precision_from(threshold) < 0.85
    assert missed <= 10


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 400), st.integers(0, 10**6), st.floats(0.51, 0.99))
def test_the_bound_never_exceeds_what_was_seen(count: int, seed: int, target: float) -> None:
    probabilities, labels = drawn(count, seed)
    threshold, bound = fit_threshold(probabilities, labels, target)
    if threshold is None:
        assert bound < target
        return
    answered = probabilities.max(axis=1) >= threshold
    right = (probabilities.argmax(axis=1) == labels)[answered]
    assert target <= bound <= right.mean()


def test_the_test_rows_say_what_it_comes_to() -> None:
    found = abstention(0.9, drawn(5000, 2), drawn(5000, 3))
    assert found.threshold is not None
    assert found.coverage is not None
    assert found.precision is not None
    assert found.coverage.value == pytest.approx(2 * (1 - found.threshold), abs=0.03)
    assert found.precision.low < precision_from(found.threshold) < found.precision.high
    text = abstaining.sentence(to_json(found))
    assert f"under a confidence of {found.threshold:.3f}" in text
    assert f"{100 * found.precision.value:.1f} % (" in text


def test_no_answer_at_all_has_no_precision() -> None:
    unsure = np.tile([[0.5, 0.5]], (30, 1))
    found = abstention(0.9, drawn(5000, 2), (unsure, np.zeros(30, int)))
    assert found.coverage is not None
    assert found.coverage.value == 0
    assert found.precision is None
    assert abstaining.sentence(to_json(found)).endswith("are answered.")


def test_a_model_that_need_not_abstain_is_said_to_be_one() -> None:
    sure = (np.tile([[0.9, 0.1]], (400, 1)), np.zeros(400, int))
    found = abstention(0.9, sure, sure)
    assert found.threshold == 0
    assert abstaining.sentence(to_json(found)).startswith("It need not abstain for 90 % right")


def test_a_target_out_of_reach_is_said() -> None:
    found = abstention(0.999, drawn(300, 4), drawn(300, 5))
    assert (found.threshold, found.coverage, found.precision) == (None, None, None)
    assert "No confidence was found above which 99.9 % of the answers" in abstaining.sentence(
        to_json(found)
    )
