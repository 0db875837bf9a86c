from __future__ import annotations

import functools
import importlib
import importlib.util
import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotl import settling
from autotl.decide import (
    coefficients,
    decide,
    deciding,
    features,
    prediction,
    scenario,
    with_stages,
)
from autotl.errors import InternalError, PluginError, ResourceError, UsageError
from autotl.records import (
    STRATEGIES,
    Budget,
    CurvePoint,
    Decision,
    Measurements,
    Probe,
    Similarity,
    Size,
    Speed,
    Strategy,
    from_json,
    to_json,
)
from autotl.search import planning
from autotl.train import default

FREE = Budget(seconds=None, trials=None)
EPOCHS = {name: 10 if number else 1 for number, name in enumerate(STRATEGIES)}
STAGES = ("one", "two", "three", "four")
CLIMBING = ((10_000, 0.5), (40_000, 0.8))


def measured(
    *,
    per_class: int = 50,
    classes: int = 4,
    pretrained: float | None = 0.8,
    random: float = 0.4,
    similarity: float | None = 0.8,
    first: float = 0.6,
    speed: float = 1.0,
    boundary: int = 2,
    backbone: str = "toy",
) -> Measurements:
    train = per_class * classes
    unknown = similarity is None
    return Measurements(
        backbone=backbone,
        input_size=64,
        stages=STAGES,
        pretrained=pretrained is not None,
        size=Size(
            examples=2 * train,
            train=train,
            classes=classes,
            per_class_least=per_class,
            per_class_median=per_class,
            imbalance=1.0,
            duplicates=0,
            median_side=64,
            validation=600,
        ),
        similarity=Similarity(
            value=similarity,
            low=None if unknown else similarity - 0.05,
            high=None if unknown else similarity + 0.05,
            reason="no batch norm" if unknown else "",
        ),
        probes=tuple(
            Probe(stage=stage, pretrained=kind, linear=value, knn=value, examples=200)
            for kind, value in ((True, pretrained), (False, random))
            for stage in STAGES
            if value is not None
        ),
        curve=(
            CurvePoint(examples=40, accuracy=first),
            CurvePoint(examples=160, accuracy=pretrained or random),
        ),
        tap=4,
        boundary=boundary,
        parameters_above=(100, 90, 80, 60, 0),
        orientation_matters=False,
        speed=Speed(
            forward=0.001 * speed,
            train=0.003 * speed,
            share_above=(1.0, 0.8, 0.5, 0.2, 0.0),
            fixed=2.0 * speed,
        ),
        seconds=1.0,
        weights="abc",
    )


@functools.cache
def script() -> ModuleType:
    path = Path(__file__).parent.parent / "benchmarks" / "fitting.py"
    spec = importlib.util.spec_from_file_location("fitting_script", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def row(rng: np.random.Generator, data: str, near: float) -> dict[str, Any]:
    """A made-up cell: freer strategies gain from data, scratch alone not from nearness."""
    per_class = int(10 ** rng.uniform(1, 3))
    one = measured(
        per_class=per_class,
        pretrained=float(rng.uniform(0.5, 0.95)),
        random=float(rng.uniform(0.3, 0.5)),
        first=float(rng.uniform(0.3, 0.5)),
        similarity=float(np.clip(near + rng.normal(0, 0.03), 0, 1)),
    )
    made: dict[str, Any] = {}
    for freedom, strategy in enumerate(STRATEGIES):
        gain = 0.2 + freedom * 0.35 * (math.log(per_class) - 4) + rng.normal(0, 0.05)
        gain += 0 if strategy == "scratch" else 1.5 * (near - 0.5)
        log_odds = prediction.reference(one) + gain
        epochs = 10 if freedom else 1
        unit = prediction.unit(strategy, one) * one.size.train * epochs
        made[strategy] = {
            "accuracy": features.accuracy_of(log_odds),
            "test": 10_000,
            "seconds": one.speed.fixed + unit,
            "epochs": epochs,
            "stopped": "epochs",
            "recipe": {
                "head": {"solver": "gradient" if freedom else "logistic-regression"},
                "numbers": {"learning_rate": 1e-3, "epochs": 10},
            },
        }
    return {
        "data": data,
        "measurements": to_json(one),
        "strategies": made,
        "code": coefficients.trainer_digest(),
        "machine": "made up",
        "timed": True,
    }


@functools.cache
def fitted() -> coefficients.Coefficients:
    rng = np.random.default_rng(0)
    nearness = {"a": 0.2, "b": 0.4, "c": 0.6, "d": 0.8, "e": 0.9}
    rows = [row(rng, name, near) for name, near in nearness.items() for _ in range(6)]
    return replace(script().fit(rows)[0], measurer=coefficients.measurer_digest())


def choose(one: Measurements, budget: Budget = FREE, **more: Any) -> Decision:
    return decide(one, budget, epochs=EPOCHS, coefficients=fitted(), **more)


# ---- the fit ----


def test_fit_finds_the_slopes_that_made_the_rows() -> None:
    known = fitted()
    spread = known.features[0].deviation
    slopes = [known.strategies[name].weights[0] / spread for name in STRATEGIES]
    assert np.diff(slopes) == pytest.approx([0.35] * 3, abs=0.05)
    nearness = [known.strategies[name].weights[4] for name in ("full-fine-tune", "scratch")]
    assert (nearness[0] - nearness[1]) / known.features[4].deviation == pytest.approx(1.5, abs=0.3)
    assert all(0 < line.deviation < 0.5 for line in known.strategies.values())


def test_fit_learns_seconds() -> None:
    one = validated(measured(per_class=60), 60)
    assert prediction.seconds("full-fine-tune", one, fitted(), 10) == pytest.approx(
        2.0 + 10 * 240 * 0.003, rel=0.05
    )
    assert prediction.seconds("full-fine-tune", one, fitted(), 4) == pytest.approx(
        2.0 + 4 * 240 * 0.003, rel=0.05
    )
    assert prediction.seconds("feature-extraction", one, fitted(), 1) == pytest.approx(
        2.0 + 240 * 0.001, rel=0.3
    )


def validated(one: Measurements, rows: int, train: int | None = None) -> Measurements:
    return replace(one, size=replace(one.size, validation=rows, train=train or one.size.train))


@pytest.mark.parametrize(("train", "rows"), [(1000, 10_000), (200, 5000), (1000, 250)])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_validation_rows_take_seconds_as_the_search_estimates_them(
    strategy: Strategy, train: int, rows: int
) -> None:
    speed = Speed(forward=0.002, train=0.006, share_above=(1.0, 0.8, 0.5, 0.2, 0.0), fixed=4.0)
    one = validated(replace(measured(), speed=speed), rows, train)
    recipe = default(strategy, one)
    cost = planning.estimate(recipe, speed, planning.Rows(train=train, validation=rows, test=1))
    known, _ = coefficients.shipped()
    found = prediction.seconds(strategy, one, known, cost.epochs)
    assert cost.total / 2 <= found <= 2 * cost.total
    usual = validated(one, train // 4)
    line, unit = known.strategies[strategy], prediction.unit(strategy, one)
    held = min(max(train, line.examples[0]), line.examples[1])
    passes = math.exp(line.passes[0] + line.passes[1] * math.log(held))
    plain = speed.fixed + passes * cost.epochs * train * unit
    assert prediction.seconds(strategy, usual, known, cost.epochs) == pytest.approx(plain)
    uncounted = validated(one, 0)
    assert prediction.seconds(strategy, uncounted, known, cost.epochs) == pytest.approx(plain)


def test_fit_takes_the_seconds_of_a_training_cut_short_for_the_epochs_that_it_had() -> None:
    rng = np.random.default_rng(1)
    rows = [row(rng, name, 0.5) for name in "ab" for _ in range(3)]
    whole = script().fit(rows)[0].strategies["scratch"].passes
    for one in rows:
        trained, m = one["strategies"]["scratch"], from_json(Measurements, one["measurements"])
        start = m.speed.fixed
        trained["seconds"] = start + (trained["seconds"] - start) / 2
        trained |= {"stopped": "deadline", "epochs": 5}
    found, report = script().fit(rows)
    assert found.strategies["scratch"].passes == pytest.approx(whole)
    assert "6 of 24 trainings were ended by a cap" in report


def test_a_training_with_less_than_half_of_its_epochs_is_not_fitted() -> None:
    one = row(np.random.default_rng(6), "a", 0.5)["strategies"]["scratch"]
    ended = one | {"stopped": "deadline", "seconds": 60.0}
    assert script().whole(one)
    assert script().whole(ended | {"epochs": 5})
    assert not script().whole(ended | {"epochs": 4})


def test_fit_without_one_of_the_features() -> None:
    rng = np.random.default_rng(5)
    rows = [row(rng, name, 0.5) for name in "ab" for _ in range(3)]
    for one in rows:
        one["measurements"]["similarity"] |= {"value": None, "low": None, "high": None}
    scale = script().fit(rows)[0].features[4]
    assert (scale.mean, scale.deviation, scale.low, scale.high) == (0, 1, 0, 0)


def test_fit_is_deterministic_and_refuses_one_data_set() -> None:
    rng = np.random.default_rng(2)
    rows = [row(rng, name, 0.5) for name in "ab" for _ in range(3)]
    assert script().fit(rows)[0] == script().fit(rows)[0]
    with pytest.raises(SystemExit, match="two data sets"):
        script().fit(rows[:3])


def test_signs_hold_even_where_rows_say_the_opposite() -> None:
    rng = np.random.default_rng(3)
    rows = [
        row(rng, name, near)
        for name, near in {"a": 0.2, "b": 0.5, "c": 0.9}.items()
        for _ in range(5)
    ]
    for one in rows:
        names = list(one["strategies"])
        turned = [one["strategies"][name] for name in reversed(names)]
        one["strategies"] = dict(zip(names, turned, strict=True))
    known = script().fit(rows)[0]
    weights = [known.strategies[name].weights for name in STRATEGIES]
    assert all(a[0] <= b[0] for a, b in itertools.pairwise(weights))
    assert all(w[4] >= weights[-1][4] for w in weights)


@pytest.mark.parametrize(
    ("values", "above", "line"),
    [
        ([1.0, 2.0, 3.0, 4.0], [False, False, True, True], 2.5),
        ([1.0, 2.0, 3.0, None], [False, True, True, True], 1.5),
        ([1.0, 2.0, 6.0], [True, True, True], 2.0),
        ([1.0, 2.0, 6.0], [True, False, False], 2.0),
    ],
)
def test_line_parts_rows_or_is_the_median(
    values: list[float | None], above: list[bool], line: float
) -> None:
    assert script()._line(values, above) == line


# ---- the decision ----


def test_decision_is_whole_and_round_trips() -> None:
    decision = choose(measured())
    assert from_json(Decision, json.loads(json.dumps(to_json(decision)))) == decision
    assert decision.learning_rate == 0
    assert set(decision.predicted) == set(STRATEGIES)
    for one in decision.predicted.values():
        assert 0 < one.low < one.accuracy < one.high < 1
        assert one.minutes > 0
    assert decision.provisional
    assert not decision.forced
    assert decision.runner_up != decision.strategy
    assert decision.engine == decision.strategy
    assert any("provisional" in reason for reason in decision.reasons)
    assert any("80.0 %" in reason and "40.0 %" in reason for reason in decision.reasons)


def test_little_data_freezes_and_much_data_frees() -> None:
    assert choose(measured(per_class=8)).strategy == "feature-extraction"
    assert choose(measured(per_class=3000)).strategy in {"full-fine-tune", "scratch"}


def test_boundary_and_taps_follow_the_strategy() -> None:
    cuts = {name: choose(measured(), strategy=name) for name in STRATEGIES}
    assert {name: (d.boundary, d.taps) for name, d in cuts.items()} == {
        "feature-extraction": (4, (4,)),
        "partial-freeze": (2, (4,)),
        "full-fine-tune": (0, (4,)),
        "scratch": (0, (4,)),
    }
    assert cuts["partial-freeze"].frozen == ("one", "two")
    earlier = choose(replace(measured(), tap=3), strategy="feature-extraction")
    assert (earlier.taps, earlier.tap, earlier.boundary) == ((3,), ("three",), 3)


def test_strategies_are_predicted_from_what_a_head_alone_reads() -> None:
    one = measured()
    every = replace(one, together=0.9, reads=(1, 2, 3, 4))
    assert prediction.reference(every) == pytest.approx(features.odds(0.9, 200))
    alone = replace(every, reads=(4,))
    assert prediction.reference(alone) == prediction.reference(one)
    named = choose(every, strategy="feature-extraction", tap="two")
    assert (
        named.predicted["feature-extraction"].accuracy
        == choose(one, strategy="feature-extraction", tap="two")
        .predicted["feature-extraction"]
        .accuracy
    )


def test_a_head_alone_reads_what_was_measured_to_serve_it() -> None:
    every = replace(measured(), together=0.875, reads=(1, 2, 3, 4))
    cuts = {name: choose(every, strategy=name) for name in STRATEGIES}
    assert cuts["feature-extraction"].taps == (1, 2, 3, 4)
    assert cuts["feature-extraction"].boundary == 4
    assert {d.taps for name, d in cuts.items() if name != "feature-extraction"} == {(4,)}
    assert {d.reads for d in cuts.values()} == {(1, 2, 3, 4)}
    told = " ".join(cuts["scratch"].reasons)
    assert "all stages side by side reaches 87.5 %." in told
    named = choose(every, strategy="feature-extraction", tap="two")
    assert (named.taps, named.reads) == ((2,), (2,))
    assert "the engine would read all stages" in named.reasons[0]
    alone = choose(replace(every, reads=(4,)))
    assert "reaches 87.5 %, clearly worse than four alone." in " ".join(alone.reasons)


def test_forced_strategy_keeps_what_the_engine_would_do() -> None:
    free = choose(measured(per_class=8))
    forced = choose(measured(per_class=8), strategy="scratch")
    assert (forced.strategy, forced.engine, forced.forced) == ("scratch", free.strategy, True)
    assert forced.margin < 0
    assert forced.race == 0
    assert "asked for" in forced.reasons[0]


def test_stages_and_rate_can_be_settled_and_the_engines_own_are_told() -> None:
    one = measured()
    frozen = choose(one, strategy="partial-freeze", frozen="Three", learning_rate=0.01)
    assert (frozen.boundary, frozen.frozen) == (3, STAGES[:3])
    assert (frozen.learning_rate, frozen.fixed) == (0.01, ("boundary", "learning_rate"))
    assert "the engine would take two" in frozen.reasons[0]
    tapped = choose(one, strategy="feature-extraction", tap="two")
    assert (tapped.boundary, tapped.taps, tapped.fixed) == (2, (2,), ("taps",))
    assert "the engine would read four" in tapped.reasons[0]
    assert choose(one).fixed == ()
    none = measured(boundary=0)
    counts = settling.epochs(with_stages(none, "one", None))
    bare = decide(
        none,
        FREE,
        epochs=counts,
        coefficients=fitted(),
        strategy="partial-freeze",
        frozen="one",
    )
    assert bare.boundary == 1
    assert "the engine would freeze none" in bare.reasons[0]
    shallow = replace(one, probes=(replace(one.probes[0], linear=0.3), *one.probes[1:]))
    plain, tapped = (
        choose(shallow, strategy="feature-extraction", tap=tap).predicted for tap in ("four", "one")
    )
    assert tapped["feature-extraction"].accuracy < plain["feature-extraction"].accuracy
    assert tapped["full-fine-tune"] == plain["full-fine-tune"]  # it does not read the tap
    longer, shorter = (
        choose(one, strategy="partial-freeze", frozen=stage).predicted["partial-freeze"].minutes
        for stage in ("one", "three")
    )
    assert longer > shorter  # what is predicted holds for the boundary that was named
    for strategy, named in (
        ("partial-freeze", {"frozen": "four"}),
        ("feature-extraction", {"tap": "five"}),
    ):
        with pytest.raises(UsageError, match="no stage") as caught:
            choose(one, strategy=strategy, **named)
        assert "one, two, three" in str(caught.value.hint)


def test_impossible_strategies_are_refused_by_name() -> None:
    with pytest.raises(PluginError, match="pretrained weights"):
        choose(measured(pretrained=None), strategy="full-fine-tune")
    with pytest.raises(UsageError, match="no boundary") as caught:
        choose(measured(boundary=0), strategy="partial-freeze")
    assert "--frozen (one, two, three)" in caught.value.hint


def test_without_weights_only_scratch_is_possible() -> None:
    decision = choose(measured(pretrained=None, similarity=None))
    assert (decision.strategy, decision.runner_up, decision.race) == ("scratch", None, 0.0)
    assert set(decision.predicted) == {"scratch"}


def test_without_similarity_the_decision_works() -> None:
    decision = choose(measured(similarity=None))
    assert any("not measured: no batch norm" in reason for reason in decision.reasons)
    assert any(
        "counts as " in reason and "the line is odds" in reason for reason in decision.reasons
    )
    alone = replace(measured(similarity=None), probes=measured(random=0.0).probes[:4])
    unknown = choose(alone)
    assert unknown.scenario.endswith("distance unknown")
    assert any(
        reason == f"The table of scenarios says nothing: {unknown.scenario}."
        for reason in unknown.reasons
    )


def test_a_count_alone_does_not_make_data_little() -> None:
    few = measured(per_class=5, pretrained=0.8, first=0.5)
    flat = measured(per_class=5, pretrained=0.8, first=0.8)
    lines = coefficients.Thresholds(per_class=100, similarity=0.5, gap=1.0)
    assert (scenario.much(few, lines), scenario.much(flat, lines)) == (False, True)
    assert scenario.climbs(replace(few, curve=())) is None
    assert not scenario.much(replace(flat, curve=()), lines)
    # odds 1, then 4 with four times the examples: 8 with twice as many again
    even = replace(few, curve=tuple(CurvePoint(examples=n, accuracy=a) for n, a in CLIMBING))
    assert features.doubled(even) == pytest.approx(8 / 9 - 4 / 5, abs=1e-3)
    told = next(reason for reason in choose(even).reasons if "a class, are " in reason)
    assert told.endswith(
        "the probe would still gain from twice as many, 8.9 points by its learning curve."
    )
    told = next(reason for reason in choose(flat).reasons if "a class, are " in reason)
    assert "much data" in told
    assert told.endswith("would gain little from twice as many, 0.0 points by its learning curve.")


def test_the_gap_is_of_as_many_examples() -> None:
    one = measured(pretrained=0.8, random=0.4)
    pairs = [replace(p, examples=4000 if p.pretrained else 1000) for p in one.probes]
    curve = tuple(CurvePoint(examples=n, accuracy=a) for n, a in CLIMBING)
    more = replace(one, probes=tuple(pairs), curve=curve)
    # four times the examples bring odds of 4 where there were odds of 1
    apart = math.log(4) - math.log(0.4 / 0.6) - math.log(4)
    assert features.features(more)[3] == pytest.approx(apart, abs=5e-3)


def test_a_training_that_is_neither_chosen_nor_raced_would_be_shortened() -> None:
    one = measured(per_class=3000)
    free = choose(one)
    slowest = max(free.predicted, key=lambda name: free.predicted[name].minutes)
    seconds = 60 * free.predicted[slowest].minutes
    forced = choose(one, Budget(seconds=0.9 * seconds, trials=None), strategy="feature-extraction")
    assert any(reason.startswith(f"{slowest} would be shortened: ") for reason in forced.reasons)


def test_two_trials_hold_no_race() -> None:
    one = measured(per_class=150)
    assert choose(one, Budget(seconds=None, trials=3)).race > 0
    few = choose(one, Budget(seconds=None, trials=2))
    assert few.race == 0
    assert any("number of trials does not hold both" in reason for reason in few.reasons)


def test_budget_rules_out_what_takes_too_long() -> None:
    one = measured(per_class=3000)
    free = choose(one)
    seconds = 60 * free.predicted[free.strategy].minutes
    held = choose(one, Budget(seconds=seconds * 0.45, trials=None))
    assert held.strategy != free.strategy
    assert 60 * held.predicted[held.strategy].minutes <= seconds * 0.9
    assert any(f"{free.strategy} cannot be chosen" in reason for reason in held.reasons)
    late = choose(one, Budget(seconds=1e6, trials=None), seconds_left=seconds * 0.45)
    assert late.strategy == held.strategy


def test_a_budget_too_small_for_anything_takes_the_quickest_or_is_an_error() -> None:
    one = measured(per_class=3000)
    hurried = choose(one, Budget(seconds=0.01, trials=None))
    assert (hurried.strategy, hurried.runner_up) == ("feature-extraction", None)
    assert any("feature-extraction is cut short" in reason for reason in hurried.reasons)
    forced = choose(one, Budget(seconds=0.01, trials=None), strategy="scratch")
    assert any("scratch is cut short" in reason for reason in forced.reasons)
    with pytest.raises(ResourceError, match="quickest strategy, feature-extraction"):
        choose(one, Budget(seconds=60, trials=None), seconds_left=-1.0)


def test_seconds_are_kept_back_for_what_comes_after_the_training() -> None:
    one = measured(per_class=3000)
    free = choose(one)
    seconds = 60 * free.predicted[free.strategy].minutes
    for speed_fixed, kept in ((2.0, 35.0), (1e6, None)):
        slow = replace(one, speed=replace(one.speed, fixed=speed_fixed))
        assert deciding.reserve(slow.speed, 3000.0) == (kept or 1000.0)
    tight = choose(one, Budget(seconds=seconds / 2 + 34, trials=None))
    assert tight.strategy != free.strategy
    assert any(
        reason.startswith(f"{free.strategy} cannot be chosen")
        and "left, of which 35 s are kept for the probe, evaluation and export." in reason
        for reason in tight.reasons
    )
    shortened = choose(one, Budget(seconds=seconds / 2 + 36, trials=None))
    assert shortened.strategy == free.strategy
    assert any(reason.startswith(f"{free.strategy} is shortened") for reason in shortened.reasons)


def test_features_beyond_what_was_fitted_count_as_its_nearer_end() -> None:
    known = fitted()
    scale = known.features[0]
    assert scale.low < scale.mean < scale.high
    last = measured(per_class=round(math.exp(scale.high)))
    beyond = measured(per_class=500_000)
    assert {name: one.accuracy for name, one in choose(beyond).predicted.items()} == pytest.approx(
        {name: one.accuracy for name, one in choose(last).predicted.items()}, abs=1e-3
    )
    said = [reason for reason in choose(beyond).reasons if "lie outside the range" in reason]
    assert said == [
        "Examples per class (500,000) lie outside the range that the coefficients were fitted on "
        f"({math.exp(scale.low):.4g} to {math.exp(scale.high):.4g}); its nearer end is used."
    ]
    inside = measured(per_class=100, pretrained=0.8, random=0.4, first=0.4, similarity=0.5)
    assert not any("outside the range" in reason for reason in choose(inside).reasons)
    bare = choose(measured(per_class=100, similarity=0.0))
    assert any(
        reason.startswith("Similarity (0.00) lies outside the range") for reason in bare.reasons
    )


def test_imbalance_recommends_another_metric() -> None:
    even, uneven = (
        choose(replace(measured(), size=replace(measured().size, imbalance=times)))
        for times in (3.0, 4.321)
    )
    told = (
        "The largest class is 4.3 times the smallest: --metric balanced-accuracy is the fairer "
        "objective."
    )
    assert told in uneven.reasons
    assert not any("--metric" in reason for reason in even.reasons)


def test_what_is_doubtful_of_the_data_is_said() -> None:
    one = measured()
    size = replace(
        one.size,
        examined=200,
        near_copies=7,
        near_leaks=2,
        doubts=4,
        doubtful=("a", "b", "c", "d"),
        effective=150.4,
        median_side=20,
    )
    told = " ".join(choose(replace(one, size=size)).reasons)
    for words in (
        "Near-copies of other training examples: 7 of the 200 looked at.",
        "Near-copies of training examples in validation: 2,",
        "Doubtful labels: 4 of the 200 looked at",
        "first look at a, b, c.",
        "the 200 training examples count like 150 at most",
        "the shorter side of half of them is 20 pixels or less, and the backbone is given 64",
    ):
        assert words in told
    plain = " ".join(choose(one).reasons)
    assert not any(word in plain for word in ("Near-copies", "Doubtful", "count like", "enlarged"))


def test_a_backbone_without_partial_freeze_says_why() -> None:
    one = replace(measured(boundary=0), no_partial_freeze="its cuts carry two tensors.")
    why = "partial-freeze is impossible: its cuts carry two tensors."
    assert why in choose(one).reasons
    with pytest.raises(UsageError, match="its cuts carry two tensors"):
        choose(one, strategy="partial-freeze")


def test_race_shrinks_with_the_margin() -> None:
    known = fitted()
    first = prediction.Forecast(log_odds=1.0, shown=choose(measured()).predicted["scratch"])
    shares = []
    for apart in (0.0, 0.1, 0.3, 100.0):
        found = {"scratch": first, "partial-freeze": replace(first, log_odds=1.0 - apart)}
        shares.append(deciding._race(found, "scratch", "partial-freeze", known))
    assert shares[0] == pytest.approx(0.4)
    assert shares[0] > shares[1] > shares[2] >= shares[3] == 0.0


@given(
    st.floats(0.001, 0.4),
    st.floats(1e-3, 1e4),
    st.floats(1e-3, 1e4),
    st.floats(1e-3, 1e4),
)
def test_a_race_that_is_granted_is_held(
    wanted: float, own: float, other: float, room: float
) -> None:
    shown = choose(measured()).predicted["scratch"]
    chosen, rival = (
        prediction.Forecast(log_odds=0.0, shown=replace(shown, minutes=seconds / 60))
        for seconds in (own, other)
    )
    share = deciding._granted(wanted, chosen, rival, room)
    assert share == 0 or wanted <= share <= deciding.MOST_RACE
    if share:
        assert share * room >= deciding.SHORTEST * other * (1 - 1e-9)
        assert (1 - share) * room >= deciding.SHORTEST * own * (1 - 1e-9)
    assert deciding._granted(wanted, chosen, rival, None) == wanted


def test_what_becomes_of_a_close_runner_up_is_said() -> None:
    one = measured(per_class=150)
    free = choose(one)
    assert free.race > 0
    assert any("is trained as well and validation settles it" in reason for reason in free.reasons)
    seconds = 60 * max(free.predicted[name].minutes for name in (free.strategy, free.runner_up))
    ample = choose(one, Budget(seconds=100 * seconds, trials=None))
    assert any("of the trainings' time and validation settles" in text for text in ample.reasons)
    tight = choose(one, Budget(seconds=seconds, trials=None))
    assert tight.race == 0
    assert any("does not hold both trainings" in reason for reason in tight.reasons)


def levels(apart: float, generalist: str) -> coefficients.Coefficients:
    """Coefficients by which scratch is predicted so many standard errors above partial freeze, and
    the others far below.
    """
    known = fitted()
    error = known.pairs["partial-freeze scratch"]
    level = {"scratch": apart * error, "partial-freeze": 0.0}
    lines = {
        name: replace(line, intercept=level.get(name, -9.0), weights=(0.0,) * len(line.weights))
        for name, line in known.strategies.items()
    }
    return replace(known, strategies=lines, generalist=generalist)


def test_the_best_generalist_is_kept_unless_a_prediction_is_clearly_better() -> None:
    def chosen(known: coefficients.Coefficients) -> Decision:
        return decide(measured(), FREE, epochs=EPOCHS, coefficients=known)

    kept = chosen(levels(0.9, "partial-freeze"))
    assert (kept.strategy, kept.runner_up) == ("partial-freeze", "scratch")
    assert kept.margin < 0
    assert kept.race > 0
    assert any("partial-freeze does best on most data sets" in text for text in kept.reasons)
    clear = chosen(levels(1.1, "partial-freeze"))
    assert (clear.strategy, clear.margin > 0) == ("scratch", True)
    assert not any("does best" in text for text in clear.reasons)
    assert chosen(levels(0.9, "full-fine-tune")).strategy == "scratch"
    assert chosen(levels(-0.9, "scratch")).strategy == "scratch"
    assert any("on other data speak for partial-freeze" in text for text in kept.reasons)


def test_one_that_is_clearly_better_wins_though_another_is_predicted_higher() -> None:
    known = levels(0.0, "full-fine-tune")
    lines = dict(known.strategies)
    held = prediction.forecasts(measured(), known, EPOCHS)["full-fine-tune"].log_odds
    errors = {"scratch": 1.2, "partial-freeze": 0.8}
    pairs = known.pairs | {" ".join(sorted(("full-fine-tune", n))): e for n, e in errors.items()}
    now = prediction.forecasts(measured(), known, EPOCHS)
    for name in errors:  # scratch 1.1 above, within its error; partial freeze 1.0, beyond its own
        apart = {"scratch": 1.1, "partial-freeze": 1.0}[name] - (now[name].log_odds - held)
        lines[name] = replace(lines[name], intercept=lines[name].intercept + apart)
    known = replace(known, strategies=lines, pairs=pairs)
    found = decide(measured(), FREE, epochs=EPOCHS, coefficients=known)
    assert found.strategy == "partial-freeze"


def test_a_higher_learning_rate_is_taken_from_so_many_examples_on() -> None:
    rate = coefficients.Rate(backbone="toy", strategy="full-fine-tune", examples=500, factor=3.0)
    known = replace(fitted(), rates=(rate,))

    def chosen(per_class: int, **more: Any) -> Decision:
        one = measured(per_class=per_class)
        return decide(one, FREE, epochs=EPOCHS, coefficients=known, **more)

    assert chosen(124).rates == {}
    many = chosen(125, strategy="full-fine-tune")
    assert many.rates == {"full-fine-tune": 3.0}
    assert any("3 times the learning rate of its recipe: with toy and 5" in r for r in many.reasons)
    other_rates = replace(known, rates=(replace(rate, backbone="other"),))
    one = measured(per_class=125)
    assert decide(one, FREE, epochs=EPOCHS, coefficients=other_rates).rates == {}
    own = chosen(125, strategy="full-fine-tune", learning_rate=0.1)
    assert "the engine would take 3 times the recipe's own" in " ".join(own.reasons)
    assert not any("times the learning rate" in reason for reason in own.reasons)
    other = chosen(125, strategy="scratch")
    assert not any("times the learning rate" in reason for reason in other.reasons)


def test_few_validation_rows_settle_no_race() -> None:
    one = measured(per_class=150)
    few = choose(replace(one, size=replace(one.size, validation=499)))
    enough = choose(replace(one, size=replace(one.size, validation=500)))
    assert (few.race, few.runner_up) == (0, enough.runner_up)
    assert enough.race > 0
    assert choose(replace(one, size=replace(one.size, validation=0))).race > 0  # not counted
    assert any("so few validation rows cannot settle" in reason for reason in few.reasons)


def test_a_close_probe_needs_no_share_of_the_budget() -> None:
    known = fitted()
    level = {"scratch": 2.0, "feature-extraction": 1.99}
    lines = {
        name: replace(line, intercept=level.get(name, -5.0), weights=(0.0,) * len(line.weights))
        for name, line in known.strategies.items()
    }
    found = decide(
        measured(per_class=50),
        Budget(seconds=1e6, trials=None),
        epochs=EPOCHS,
        coefficients=replace(known, strategies=lines),
    )
    assert (found.strategy, found.runner_up) == ("scratch", "feature-extraction")
    assert found.race == 0
    assert any("tried in any case, since it costs little" in reason for reason in found.reasons)


def test_other_code_other_weights_other_backbone_are_said() -> None:
    known = replace(fitted(), code="0" * 64, provisional=False)
    decision = decide(measured(), FREE, epochs=EPOCHS, coefficients=known)
    assert decision.provisional
    assert any("another version of the trainer" in reason for reason in decision.reasons)
    assert not any("version of the measurements" in reason for reason in decision.reasons)
    for measurer in ("", "0" * 64):
        known = replace(fitted(), measurer=measurer, provisional=False)
        decision = decide(measured(), FREE, epochs=EPOCHS, coefficients=known)
        assert decision.provisional
        assert any("another version of the measurements" in reason for reason in decision.reasons)
        assert not any("version of the trainer" in reason for reason in decision.reasons)
    other = decide(replace(measured(), weights="def"), FREE, epochs=EPOCHS, coefficients=known)
    assert any("other weights of toy" in reason for reason in other.reasons)
    other = decide(measured(backbone="big"), FREE, epochs=EPOCHS, coefficients=known)
    assert any("with toy, not with big" in reason for reason in other.reasons)


@pytest.mark.parametrize(
    ("per_class", "similarity", "words", "strategy"),
    [
        (5, 0.9, "little data, near", "feature-extraction"),
        (5, 0.1, "little data, far", "partial-freeze"),
        (500, 0.9, "much data, near", "full-fine-tune"),
        (500, 0.1, "much data, far", "scratch"),
    ],
)
def test_the_table(per_class: int, similarity: float, words: str, strategy: str) -> None:
    lines = coefficients.Thresholds(per_class=100, similarity=0.5, gap=1.0)
    one = measured(per_class=per_class, similarity=similarity)
    assert scenario.name(one, lines) == words
    assert scenario.proposed(one, lines) == strategy


def test_the_gap_stands_in_for_similarity() -> None:
    lines = coefficients.Thresholds(per_class=100, similarity=0.5, gap=1.0)
    assert scenario.near(measured(similarity=None, pretrained=0.9, random=0.3), lines)
    assert not scenario.near(measured(similarity=None, pretrained=0.5, random=0.4), lines)
    assert not scenario.near(measured(similarity=None, pretrained=None), lines)


# ---- properties ----

ANY = st.builds(
    measured,
    per_class=st.integers(2, 5000),
    classes=st.integers(2, 30),
    pretrained=st.floats(0.05, 1.0),
    random=st.floats(0.0, 1.0),
    similarity=st.none() | st.floats(0, 1),
    first=st.floats(0.0, 1.0),
)


BOTH = [fitted, lambda: coefficients.shipped()[0]]


@pytest.mark.parametrize("known", BOTH, ids=["made-up", "shipped"])
@given(one=ANY, factor=st.integers(1, 100))
@settings(deadline=None)
def test_more_data_never_argues_for_more_freezing(
    known: Callable[[], coefficients.Coefficients], one: Measurements, factor: int
) -> None:
    more = replace(one, size=replace(one.size, train=one.size.train * factor))
    few, many = (decide(m, FREE, epochs=EPOCHS, coefficients=known()) for m in (one, more))
    assert STRATEGIES.index(many.strategy) >= STRATEGIES.index(few.strategy)
    apart = [prediction.forecasts(m, known(), EPOCHS) for m in (one, more)]
    for frozen, freer in itertools.combinations(STRATEGIES, 2):
        gains = [found[freer].log_odds - found[frozen].log_odds for found in apart]
        assert gains[1] >= gains[0] - 1e-9


@pytest.mark.parametrize("known", BOTH, ids=["made-up", "shipped"])
@given(one=ANY, a=st.floats(0, 1), b=st.floats(0, 1))
@settings(deadline=None)
def test_higher_similarity_never_argues_for_scratch(
    known: Callable[[], coefficients.Coefficients], one: Measurements, a: float, b: float
) -> None:
    far, near = (
        replace(one, similarity=Similarity(value=v, low=v, high=v)) for v in (min(a, b), max(a, b))
    )
    apart = [prediction.forecasts(m, known(), EPOCHS) for m in (far, near)]
    for name in STRATEGIES[:3]:
        gains = [found[name].log_odds - found["scratch"].log_odds for found in apart]
        assert gains[1] >= gains[0] - 1e-9
    chosen = [decide(m, FREE, epochs=EPOCHS, coefficients=known()).strategy for m in (far, near)]
    assert chosen[1] != "scratch" or chosen[0] == "scratch"


def test_no_figures_in_their_range_move_the_shipped_choice_as_the_readme_says() -> None:
    known = coefficients.shipped()[0]
    held = known.strategies[known.generalist]
    corners = itertools.product(
        *(((s.low - s.mean) / s.deviation, (s.high - s.mean) / s.deviation) for s in known.features)
    )
    clear = [
        name
        for corner in corners
        for name, line in known.strategies.items()
        if name != known.generalist
        and line.intercept
        - held.intercept
        + sum((a - b) * x for a, b, x in zip(line.weights, held.weights, corner, strict=True))
        > prediction.pair_deviation(name, known.generalist, known)
    ]
    readme = " ".join((Path(__file__).parents[1] / "README.md").read_text("utf-8").split())
    assert known.generalist == "full-fine-tune"
    assert (not clear) == ("without a clock full fine-tuning is always the choice" in readme)


def test_a_budget_may_freeze_what_more_data_makes_slow() -> None:
    few, many = measured(per_class=300), measured(per_class=3000)
    held = Budget(seconds=60 * choose(few).predicted["full-fine-tune"].minutes * 2, trials=None)
    named = [choose(one, held).strategy for one in (few, many)]
    assert STRATEGIES.index(named[1]) < STRATEGIES.index(named[0])


DECIDING = """
import json, sys
from autotl.decide import decide
from autotl.records import Budget, Measurements, from_json, to_json
one = from_json(Measurements, json.load(sys.stdin))
epochs = dict.fromkeys(("feature-extraction", "partial-freeze", "full-fine-tune", "scratch"), 10)
print(json.dumps(to_json(decide(one, Budget(seconds=300.0, trials=None), epochs=epochs))))
"""


def test_two_processes_decide_alike() -> None:
    asked = json.dumps(to_json(measured(per_class=500)))
    told = [
        subprocess.run(
            [sys.executable, "-c", DECIDING],
            input=asked,
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert json.loads(told[0])["reasons"]


@given(ANY, st.floats(0.01, 100))
@settings(deadline=None)
def test_without_a_budget_seconds_do_not_count(one: Measurements, factor: float) -> None:
    speed = replace(one.speed, forward=factor, train=3 * factor, fixed=factor)
    slow = choose(replace(one, speed=speed))
    fast = choose(one)
    assert (slow.strategy, slow.runner_up, slow.race) == (fast.strategy, fast.runner_up, fast.race)


@given(ANY)
@settings(deadline=None)
def test_race_and_margin_stay_within_bounds(one: Measurements) -> None:
    decision = choose(one)
    assert 0 <= decision.race <= 0.4
    assert decision.margin <= 1
    if decision.margin < 0:
        assert decision.strategy == fitted().generalist
        assert any("does best on most data sets" in reason for reason in decision.reasons)
    assert all(reason.endswith(".") for reason in decision.reasons)


@given(st.floats(0.0, 1.0), st.integers(1, 10_000))
def test_odds_are_finite_and_turn_back(accuracy: float, examples: int) -> None:
    back = features.accuracy_of(features.odds(accuracy, examples))
    assert 0 < back < 1
    assert abs(back - accuracy) <= 0.5 / (examples + 1) + 1e-9


def test_slope_of_a_known_curve() -> None:
    one = replace(
        measured(),
        curve=(CurvePoint(examples=100, accuracy=0.5), CurvePoint(examples=200, accuracy=0.5)),
    )
    assert features.slope(one) == 0
    assert features.slope(replace(one, curve=one.curve[:1])) is None
    assert features.slope(replace(one, curve=one.curve[:1] * 2)) is None


# ---- the file ----


def test_code_that_means_the_same_has_the_same_digest() -> None:
    plain = 'def f(x):\n    return f"{x + 1}"\n'
    dressed = '"""About."""\n\n\ndef f( x ):  # why\n    """Doc."""\n\n    return f"{x+1}"\n'
    other = plain.replace("+ 1", "+ 2")
    assert [*coefficients.code_of(plain)] != [*coefficients.code_of(other)]
    assert "".join(coefficients.code_of(plain)) == "".join(coefficients.code_of(dressed))


@pytest.mark.slow
def test_the_shipped_coefficients_are_what_the_committed_rows_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    benchmarks = Path(__file__).parent.parent / "benchmarks"
    monkeypatch.syspath_prepend(str(benchmarks))
    rows = importlib.import_module("kept").read(benchmarks / "strategies.jsonl")
    made = importlib.import_module("coefficients").made(rows, provisional=False)[0]
    known = replace(coefficients.shipped()[0], provisional=False, code=made.code, confirmation=None)
    told, shipped = (
        json.loads(json.dumps(to_json(one)), parse_float=rounded) for one in (made, known)
    )
    assert told == shipped


def rounded(text: str) -> float:
    """Two machines' least squares differ in the last digits."""
    return float(f"{float(text):.4g}")


def test_the_shipped_coefficients_are_of_this_trainer() -> None:
    assert coefficients.shipped()[0].code == coefficients.trainer_digest()


def test_the_committed_rows_are_of_the_shipped_coefficients_trainer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    benchmarks = Path(__file__).parent.parent / "benchmarks"
    monkeypatch.syspath_prepend(str(benchmarks))
    kept = importlib.import_module("kept")
    rows = kept.read(benchmarks / "strategies.jsonl")
    known = coefficients.shipped()[0]
    made = kept.last(known.confirmation.rows if known.confirmation else known.code)
    assert {row["code"] for row in rows} == {made}


@pytest.mark.parametrize("content", [None, b"{", b'{"schema": "x"}', b"[]"])
def test_missing_or_damaged_coefficients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    (tmp_path / "decide").mkdir()
    if content is not None:
        (tmp_path / "decide" / coefficients.FILE).write_bytes(content)
    monkeypatch.setattr(coefficients.resources, "files", lambda _: tmp_path)
    coefficients.shipped.cache_clear()
    with pytest.raises(InternalError, match=r"coefficients\.json"):
        decide(measured(), FREE, epochs=EPOCHS)
    coefficients.shipped.cache_clear()


def test_a_written_file_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "decide").mkdir()
    text = json.dumps(to_json(fitted()), indent=1)
    (tmp_path / "decide" / coefficients.FILE).write_text(text)
    monkeypatch.setattr(coefficients.resources, "files", lambda _: tmp_path)
    coefficients.shipped.cache_clear()
    known, digest = coefficients.shipped()
    coefficients.shipped.cache_clear()
    assert known == fitted()
    assert len(digest) == 12


def test_decide_needs_neither_numpy_nor_keras() -> None:
    code = "import sys, autotl.decide; print({'numpy', 'keras', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
