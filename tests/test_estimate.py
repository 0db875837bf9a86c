"""The estimate before a run: known answers, what a budget suffices for, and what is said of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotl.decide import Ahead, ahead, decide, estimate
from autotl.export import asking, quantise, reference, timing
from autotl.records import Budget, Measurements, RunEstimate, Strategy, from_json, to_json
from autotl.report import foretold
from autotl.report.ahead import line, rows
from autotl.request import seconds, typed
from autotl.search import planning
from autotl.train import default
from tests.test_decide import EPOCHS, measured

SPENT = 5.0


def asked(
    one: Measurements,
    total: float | None,
    *,
    spent: float = SPENT,
    test: int = 100,
    natural: int = 0,
    trials: int | None = None,
    strategy: Strategy | None = None,
) -> Ahead:
    budget = Budget(seconds=total, trials=trials)
    left = None if total is None else total - spent
    wishes: dict[str, Any] = {"epochs": EPOCHS, "strategy": strategy}
    return Ahead(
        decision=decide(one, budget, seconds_left=left, **wishes),
        unlimited=decide(one, replace(budget, seconds=None), **wishes),
        measured=one,
        budget=budget,
        left=left,
        spent=spent,
        test=test,
        natural=natural,
    )


def foreseen(one: Measurements, total: float | None, **more: Any) -> RunEstimate:
    return estimate(asked(one, total, **more))


def test_what_the_search_and_the_estimate_both_know_is_the_same() -> None:
    assert ahead.LONGER == planning.LONGER
    assert ahead.PROVEN == planning.PROVEN
    assert ahead.KEPT_SHARE == planning.LARGEST_RESERVE
    one = measured()
    rows_ = planning.Rows(train=200, validation=600, test=20_000)
    kept = planning.reserve(one.speed, rows_, math.inf)
    known = asked(one, 100_000.0, test=20_000)
    left = 100_000.0 - SPENT - ahead._heads(known)
    assert ahead._room(known, 100_000.0) == pytest.approx(left - kept)
    decoding = replace(rows_, decode=0.002)
    kept = planning.reserve(one.speed, decoding, math.inf)
    assert ahead._room(replace(known, decode=0.002), 100_000.0) == pytest.approx(left - kept)


def test_evaluation_and_export_by_hand() -> None:
    one = measured()
    plain = asked(one, None, test=100)
    passes = 0.001 * (2 * 100 + 4 * 600 + 7 * 70)
    assert ahead.finishing(plain) == pytest.approx(3.0 + 4 * 2.0 + passes)
    decoded = replace(plain, decode=0.01)  # the test rows to be stored, validation rows by the gate
    more = ahead.finishing(decoded) - ahead.finishing(plain)
    assert more == pytest.approx(0.01 * (100 + 600))
    unstored = replace(plain, measured=replace(one, speed=replace(one.speed, decode=0.01)))
    more = ahead.finishing(unstored) - ahead.finishing(plain)
    assert more == pytest.approx(0.01 * (3 * 100 + 600))


def test_variants_and_an_embedding_take_seconds_of_their_own() -> None:
    plain = asked(measured(), None, test=100)
    before = ahead.finishing(plain)
    assert ahead.finishing(replace(plain, embedding=True)) - before == pytest.approx(0.6)
    timed = 41 * (0.04 + 4 * 0.032)
    half = ahead.finishing(replace(plain, variants=("float16",))) - before
    assert half == pytest.approx(0.001 * (4 * 600 + 12 * 70) + timed)
    eight = ahead.finishing(replace(plain, variants=("int8",))) - before
    assert eight == pytest.approx(0.001 * (256 + 4 * 600 + 7 * 70) + timed)


def test_what_the_gate_and_the_estimate_both_know_is_the_same() -> None:
    assert asking.FEW + len(asking.SHAPES) + 2 == ahead.CLOSELY
    assert ahead.PROVEN == asking.MOST_ROWS
    assert ahead.BATCH == asking.BATCH
    assert ahead.DRAWN == reference.DRAWS + 1
    assert (ahead.CALIBRATED, ahead.COMPARED) == (quantise.CALIBRATION, quantise.MOST_ROWS)
    assert (ahead.TURNS, ahead.MOST_TIMED) == (timing.PAIRS, timing.MOST_SECONDS)
    assert ahead.LEAST_TURN == 2 * timing.LEAST_SECONDS


def test_without_a_clock_there_is_nothing_to_warn_of() -> None:
    found = foreseen(measured(), None)
    assert found.warnings == ()
    assert found.most is None
    assert found.budget is None
    assert found.suffices is not None
    assert [one.role for one in found.trainings][:2] == ["heads", "default"]
    assert all(one.given is None for one in found.trainings)


def test_a_budget_that_changes_the_choice_names_the_better_strategy_and_its_budget() -> None:
    one = measured(per_class=2000, speed=3.0)
    best = decide(one, Budget(seconds=None, trials=None), epochs=EPOCHS)
    tight = asked(one, 60.0)
    assert tight.decision.strategy != best.strategy
    found = estimate(tight)
    (warning,) = found.warnings
    figure = best.predicted[best.strategy]
    assert warning.startswith(f"60s does not hold {best.strategy} (")
    assert f"predicted {figure.accuracy:.3f} [{figure.low:.3f}, {figure.high:.3f}]" in warning
    assert tight.decision.strategy in warning
    assert found.suffices is not None
    assert f"about --budget {typed(found.suffices)}." in warning
    assert 60 * figure.minutes < found.suffices < 3 * 60 * figure.minutes + 120


def test_a_choice_that_is_cut_short_is_warned_of() -> None:
    one = measured(per_class=500, speed=3.0)
    whole = 60 * asked(one, None).decision.predicted["full-fine-tune"].minutes
    found = foreseen(one, 0.8 * whole + 35 + SPENT, strategy="full-fine-tune")
    (warning,) = found.warnings
    assert "may not be reached" in warning
    assert f"of {whole:.0f} s" in warning
    (trained,) = (each for each in found.trainings if each.role == "default")
    assert trained.given is not None
    assert 0.5 * whole < trained.given < whole


def test_an_equal_prediction_is_not_called_better() -> None:
    known = asked(measured(per_class=2000, speed=3.0), 60.0)
    chosen, best = known.decision.strategy, known.unlimited.strategy
    predicted = known.decision.predicted
    predicted = predicted | {best: replace(predicted[best], accuracy=predicted[chosen].accuracy)}
    (warning,) = estimate(
        replace(known, decision=replace(known.decision, predicted=predicted))
    ).warnings
    assert f"{best} (which does best on most data, predicted" in warning


def test_a_smaller_input_is_given_the_budget_of_the_larger_one() -> None:
    one = measured(per_class=500)
    plain, cut = foreseen(one, 600.0), foreseen(one, 600.0, natural=2 * one.input_size)
    assert plain.larger is None
    assert plain.larger_size is None
    assert cut.larger_size == 2 * one.input_size
    assert cut.suffices == plain.suffices
    assert cut.larger is not None
    assert plain.suffices is not None
    chosen = 60 * asked(one, 600.0).decision.predicted["full-fine-tune"].minutes
    assert cut.larger >= 4 * chosen
    tight = foreseen(one, 40.0, natural=2 * one.input_size)
    assert f"--budget {typed(tight.larger or 0)}, then with the 128 pixels" in tight.warnings[0]


def test_a_choice_that_shares_its_time_is_warned_of_and_says_what_it_gets() -> None:
    one = measured(per_class=1000)
    known = asked(one, 200.0)
    assert known.decision.race > 0
    found = estimate(known)
    (choice,) = (each for each in found.trainings if each.role == "default")
    assert choice.given is not None
    assert choice.given < 0.75 * choice.seconds < ahead._room(known, 200.0)
    (warning,) = found.warnings
    assert f"leaves about {choice.given:.0f} s for full-fine-tune beside the runner-up" in warning
    assert f"--budget {typed(found.suffices or 0)}." in warning
    assert f"full-fine-tune {choice.given / 60:.1f} min of {choice.seconds / 60:.1f}" in line(found)
    (reason,) = (each for each in known.decision.reasons if each.startswith("full-fine-tune is sh"))
    share = 100 * (1 - known.decision.race)
    assert reason.endswith(f"; it gets {share:.1f} % of the others.")


def test_a_budget_that_evaluation_and_export_outlast_says_so() -> None:
    found = foreseen(measured(per_class=500, speed=3.0), 180.0, test=20_000)
    assert found.most is not None
    assert found.most >= found.planned > 175
    over = found.warnings[-1]
    assert over.startswith("3m does not hold evaluation and export, which are never cut short")
    assert f"about {found.planned:.0f} s are to come, and 175 s are left." in over
    assert "at most" not in line(found)


def test_a_training_without_a_second_left_takes_none() -> None:
    known = asked(measured(per_class=500, speed=3.0), 8.0, strategy="full-fine-tune")
    found = estimate(known)
    heads, choice = found.trainings
    assert (choice.given, choice.span, choice.shortened) == (0.0, 0.0, True)
    assert found.planned == pytest.approx(heads.seconds + ahead.finishing(known))
    assert "full-fine-tune 0 s of " in line(found)


def test_what_a_single_trial_leaves_out_is_said_and_no_budget_named() -> None:
    for total in (40.0, 3600.0, None):
        found = foreseen(measured(per_class=500), total, trials=1)
        assert (found.suffices, found.longer, found.larger) == (None, None, None)
        assert found.warnings[0].startswith("--trials 1 leaves out full-fine-tune (predicted 0.")
        assert "--budget" not in " ".join((line(found), *found.warnings))
    two = foreseen(measured(per_class=500), 3600.0, trials=2)
    assert two.suffices is not None
    assert (two.longer, two.warnings) == (None, ())
    assert line(two).endswith(f"(--budget {typed(two.suffices)} would do)")
    many = foreseen(measured(per_class=500), 3600.0, trials=5)
    assert many.longer is not None


def test_what_ended_is_not_to_come() -> None:
    one = measured(per_class=500)
    fresh = asked(one, 3600.0)
    begun = replace(fresh, ended=("probe",))
    assert [each.role for each in estimate(begun).trainings] == ["default", "runner-up"]
    raced = replace(fresh, ended=("probe", "default"))
    assert [each.role for each in estimate(raced).trainings] == ["runner-up"]
    done = estimate(replace(fresh, ended=("probe", "default", "runner-up", "head")))
    assert done.trainings == ()
    assert done.planned == ahead.finishing(fresh)
    assert (done.suffices or 0) < (estimate(fresh).suffices or 0)
    assert line(done).startswith("evaluation and export ")


def test_a_backbone_that_was_not_compared_is_named_with_its_budget() -> None:
    known = replace(asked(measured(per_class=500), 3600.0), several=True)
    found = estimate(known)
    named = f"--budget {typed(found.suffices or 0)}"
    assert f"({named} would do with this backbone; " in line(found)
    assert dict(rows(found))["would do"] == f"{named}, with this backbone"
    short = estimate(replace(asked(measured(per_class=2000, speed=3.0), 60.0), several=True))
    assert short.warnings[0].endswith(f"--budget {typed(short.suffices or 0)} with this backbone.")


def test_heads_alone() -> None:
    one = measured()
    found = foreseen(one, 60.0, strategy="feature-extraction")
    assert [each.role for each in found.trainings] == ["heads"]
    assert found.warnings == ()
    single = foreseen(one, 60.0, trials=1)
    assert [each.role for each in single.trainings] == ["heads"]
    scratch = foreseen(measured(pretrained=None), 600.0)
    assert [each.strategy for each in scratch.trainings] == ["feature-extraction", "scratch"]


cases = st.builds(
    measured,
    per_class=st.integers(5, 5000),
    classes=st.integers(2, 20),
    pretrained=st.one_of(st.none(), st.floats(0.3, 0.99)),
    random=st.floats(0.2, 0.6),
    similarity=st.one_of(st.none(), st.floats(0, 1)),
    first=st.floats(0.2, 0.9),
    speed=st.floats(0.1, 20),
    boundary=st.integers(0, 3),
    backbone=st.sampled_from(("toy", "embedded")),
)


@settings(max_examples=150, deadline=None)
@given(one=cases, total=st.floats(6, 1e5), more=st.floats(1, 50), test=st.integers(1, 20_000))
def test_no_budget_above_the_one_that_is_named_warns(
    one: Measurements, total: float, more: float, test: int
) -> None:
    """Below it a larger one may begin a race, which leaves less for the choice."""
    few = foreseen(one, total, test=test)
    many = foreseen(one, (few.suffices or total) * more, test=test)
    assert few.suffices is None or many.warnings == ()
    for name in ("suffices", "longer"):  # they are of the data, not of what was asked for
        assert getattr(many, name) == getattr(few, name)


@settings(max_examples=300, deadline=None)
@given(one=cases, total=st.floats(6, 1e4), test=st.integers(1, 20_000), forced=st.booleans())
def test_whatever_is_cut_is_said(one: Measurements, total: float, test: int, forced: bool) -> None:
    """And what it takes at most is never less than what is planned."""
    strategy: Strategy | None = "scratch" if forced else None
    found = foreseen(one, total, test=test, strategy=strategy)
    assert found.most is not None
    assert found.most >= found.planned
    assert found.budget is not None
    cut = [each for each in found.trainings if each.role == "default" and each.shortened]
    over = found.planned > 1.1 * (total - SPENT)
    assert bool(found.warnings) or not (cut or over)
    if cut or over:
        assert found.suffices is None or found.suffices > total
    text = line(found)
    if found.suffices is not None and found.suffices > total:
        assert f"--budget {typed(found.suffices)}" in " ".join((text, *found.warnings))


@settings(max_examples=150, deadline=None)
@given(one=cases, total=st.floats(6, 1e4), test=st.integers(1, 20_000))
def test_the_budget_that_is_named_suffices(one: Measurements, total: float, test: int) -> None:
    named = foreseen(one, total, test=test).suffices
    if named is None:
        return
    known = asked(one, named, test=test)
    again = estimate(known)
    assert again.warnings == ()
    assert again.planned <= named - SPENT
    assert known.decision.strategy == known.unlimited.strategy
    for each in again.trainings:
        if each.role == "default":
            assert each.given is not None
            assert each.given >= each.seconds
    assert again.longer is None or again.longer >= named


@settings(max_examples=60, deadline=None)
@given(one=cases, test=st.integers(1, 20_000), total=st.floats(6, 1e4))
def test_the_search_begins_the_choice_in_whole_with_the_budget_that_is_named(
    one: Measurements, test: int, total: float
) -> None:
    """By the search's own rule, from what the measured speed says that the recipe takes."""
    named = foreseen(one, total, test=test).suffices
    if named is None:
        return
    known = asked(one, named, test=test)
    strategy = known.decision.strategy
    recipe = default(strategy, one)
    counted = planning.Rows(train=one.size.train, validation=one.size.validation, test=test)
    probe = planning.estimate(default("feature-extraction", one), one.speed, counted)
    step = planning.Step(number=1, origin="default", recipe=recipe, share=1 - known.decision.race)
    cost = planning.estimate(recipe, one.speed, counted)
    given_ = planning.allowance(
        step,
        cost,
        1.0,
        left=named - SPENT - probe.total,
        reserve=planning.reserve(one.speed, counted, named),
    )
    assert given_ is not None
    if strategy != "feature-extraction":
        assert given_ >= 60 * known.decision.predicted[strategy].minutes


def test_budgets_are_such_as_one_types() -> None:
    assert [typed(total) for total in (15, 90, 120, 840, 1500, 3600, 5400, 90_000)] == [
        *("15s", "90s", "2m", "14m", "25m", "1h", "1h30m", "25h"),
    ]
    assert sorted(set(ahead.TYPED)) == list(ahead.TYPED)
    assert all(seconds(typed(total)) == total for total in ahead.TYPED)
    assert ahead.friendly(lambda total: total >= 800) == 15 * 60  # 14m less the margin is 756 s
    assert ahead.friendly(lambda total: False) is None


@given(st.floats(0.5, 1e6))
def test_what_is_typed_is_read_as_it_was(total: float) -> None:
    assert seconds(typed(round(total, 1))) == pytest.approx(round(total, 1))


def test_the_record_survives_the_journal_and_documents_have_it() -> None:
    found = foreseen(measured(per_class=2000), 60.0)
    assert from_json(RunEstimate, to_json(found)) == found
    told = foretold(found)
    assert told is not None
    assert told["suffices"] == found.suffices
    assert told["planned"] == pytest.approx(found.planned)
    assert foretold(None) is None


def test_the_line_says_what_comes_and_when_it_ends() -> None:
    one = measured(per_class=500)
    roomy = line(foreseen(one, 3600.0))
    assert roomy.startswith("heads ")
    assert "full-fine-tune " in roomy
    assert "at most about 59.9 min" in roomy
    assert "would do; what is left goes to a longer training and to proposals)" in roomy
    assert "would do" not in line(foreseen(one, 30.0))
    assert "at most" not in line(foreseen(one, None))


def test_the_table_has_the_budget_for_each_wish() -> None:
    one = measured(per_class=500)
    found = foreseen(one, 600.0, natural=2 * one.input_size)
    table = dict(rows(found))
    assert table["would do"] == f"--budget {typed(found.suffices or 0)}, at this input size"
    assert table["larger input"].startswith(f"--budget {typed(found.larger or 0)} for")
    assert table["and longer"].startswith(f"--budget {typed(found.longer or 0)} for")
    assert "at this input size" not in dict(rows(foreseen(one, 600.0)))["would do"]
