"""The benchmark of choices: regrets of made-up cells, by known answers."""

from __future__ import annotations

import importlib
import inspect
import itertools
import math
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autotl.records import STRATEGIES, to_json
from autotl.train import default
from tests.test_decide import measured

ACCURACIES = {
    "feature-extraction": 0.70,
    "partial-freeze": 0.80,
    "full-fine-tune": 0.78,
    "scratch": 0.50,
}


@pytest.fixture
def regret(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("regret")


@pytest.fixture
def choices(regret: ModuleType) -> ModuleType:
    return importlib.import_module("choices")


def rows(
    data: str, seed: int = 1, limit: int = 200, code: str = "c", **accuracies: float
) -> list[dict[str, Any]]:
    """The rows of a cell; `accuracies` by a strategy's first word differ from `ACCURACIES`."""
    about = {"data": data, "backbone": "b", "limit": limit, "seed": seed, "code": code}
    about |= {"variant": "", "machine": "Machine: M, 2 cores (1 used)"}
    one = measured(per_class=40, pretrained=0.7, random=0.4, first=0.5, similarity=0.6)
    made: list[dict[str, Any]] = [
        about
        | {"strategy": None, "share": None, "planned": 7, "measurements": to_json(one)}
        | {"validation_truth": "00" * 250}
        | {"proxies": {"pretrained": {"logme": 0.1, "h-score": 2.0}}}
    ]
    for name in STRATEGIES:
        value = accuracies.get(name.partition("-")[0], ACCURACIES[name])
        recipe = default(name, one)
        solver = "logistic-regression" if name == "feature-extraction" else "gradient"
        trained = {
            "strategy": name,
            "accuracy": value,
            "validation": value,
            "validation_loss": 1 - value,
            "validation_told": "00" * round(250 * value) + "01" * (250 - round(250 * value)),
            "test": 500,
            "right": np.packbits(np.arange(500) < round(500 * value)).tobytes().hex(),
            "seconds": 10.0,
            "epochs": 10,
            "stopped": "epochs",
            "recipe": to_json(replace(recipe, numbers=replace(recipe.numbers, epochs=10))),
        }
        made.append(about | trained | {"share": 1.0})
        if solver == "gradient":
            made.append(about | trained | {"share": 0.1, "seconds": 1.0, "epochs": 1})
        else:  # no better than the tap
            alone = {"variant": "all stages", "together": value, "reads": [4]}
            made.append(about | trained | {"share": 1.0} | alone)
    return made


def many(**accuracies: float) -> list[dict[str, Any]]:
    return [row for name in ("x", "y", "z") for row in rows(name, **accuracies)]


def test_a_head_reads_all_stages_where_measurement_said_so(regret: ModuleType) -> None:
    made = rows("x")
    every = next(row for row in made if row["variant"] == "all stages")
    (alone,) = regret.runs(made)
    every |= {"reads": [1, 2, 3, 4], "accuracy": 0.75, "together": 0.71, "judging": 2.0}
    (whole,) = regret.runs(made)
    told = [run.accuracy("feature-extraction") for run in (alone, whole)]
    assert told == [0.70, 0.75]
    assert (whole.measured.together, whole.measured.reads) == (0.71, (1, 2, 3, 4))
    assert alone.measured.reads == (4,)
    assert whole.measured.size.validation == 250
    probe_too = [run.seconds(["feature-extraction"]) for run in (alone, whole)]
    assert probe_too == [10.0, 20.0]
    assert whole.measured.seconds == alone.measured.seconds + 2.0
    del every["reads"]
    assert regret.runs(made) == []  # not judged yet


def test_full_fine_tuning_is_at_the_rate_that_a_run_takes(
    regret: ModuleType, choices: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = SimpleNamespace(backbone="b", strategy="full-fine-tune", examples=160, factor=3.0)
    made = rows("x")
    full = next(row for row in made if row["strategy"] == "full-fine-tune")
    faster = full | {"variant": "rate x 3", "accuracy": 0.9}
    monkeypatch.setattr(importlib.import_module("trained"), "rates", lambda rows: (line,))
    assert regret.runs(made) == []  # its training is missing
    (run,) = regret.runs([*made, faster])
    assert run.accuracy("full-fine-tune") == 0.9
    assert run.tenth["full-fine-tune"]["accuracy"] == full["accuracy"]
    assert run.plain["full-fine-tune"]["accuracy"] == full["accuracy"]
    line.examples = 161
    (run,) = regret.runs([*made, faster])
    assert run.accuracy("full-fine-tune") == full["accuracy"]


def test_seconds_of_two_kinds_of_machines_are_no_cost(regret: ModuleType) -> None:
    one, other = rows("x"), rows("x", seed=2)
    other[3]["machine"] = "Machine: N, 16 cores (1 used)"
    way = regret.ways(regret.runs(many()))["always scratch"]
    (score,) = regret.scores(regret.runs([*one, *other]), way)
    assert score.cost == pytest.approx(0.25)
    (bare,) = regret.scores(regret.runs(other), way)
    assert bare.cost is None
    variant = rows("x", seed=2)
    every = next(row for row in variant if row["variant"])
    every |= {"reads": [1, 2, 3, 4], "machine": "Machine: N, 16 cores (1 used)"}
    (mixed,) = regret.scores(regret.runs(variant), way)
    assert mixed.cost is None


def test_regret_of_a_fixed_choice(regret: ModuleType) -> None:
    found = regret.runs(many())
    ways = regret.ways(found)
    for name in STRATEGIES:
        for score in regret.scores(found, ways[f"always {name}"]):
            lost = 100 * (0.80 - ACCURACIES[name])
            assert (score.raw, score.fair) == pytest.approx((lost, lost))
            assert score.exact == (name == "partial-freeze")
            measuring = name in ("feature-extraction", "partial-freeze")
            assert score.cost == pytest.approx((10.0 + measuring) / 40)


def test_the_best_is_named_on_one_seed_and_judged_on_the_other(
    regret: ModuleType, choices: ModuleType
) -> None:
    found = regret.runs([*rows("x"), *rows("x", seed=2, partial=0.74, full=0.79)])
    (score,) = regret.scores(found, choices._always("full-fine-tune"))
    # raw: (.80 - .78 + .79 - .79) / 2; fair: partial on seed 2 and full on seed 1 against full
    assert score.raw == pytest.approx(1.0)
    assert score.fair == pytest.approx((100 * (0.74 - 0.79) + 0.0) / 2)
    assert score.exact == 0.5
    moved = {"partial": -0.06, "full": 0.01, "feature": 0.0, "scratch": 0.0}
    apart = [a - b for a, b in itertools.combinations(moved.values(), 2)]
    expected = math.sqrt(np.mean([(100 * d) ** 2 / 2 for d in apart]))
    assert regret.noise(found) == {200: pytest.approx(expected)}
    assert score.tied == 1.0


def test_a_tenth_of_each_is_paid_for(regret: ModuleType) -> None:
    found = regret.runs(many())
    way = regret.ways(found)["best of a tenth each"]
    choice = way(found[0])
    assert choice.strategy == "partial-freeze"
    assert choice.seconds == pytest.approx(1.0 + 10.0 + 3 * 1.0 + 10.0)


def test_ours_tries_the_probe_and_takes_what_validation_prefers(regret: ModuleType) -> None:
    found = regret.runs(many(feature=0.9))
    way = regret.ways(found)["autotl"]
    choice = way(found[0])
    assert choice.strategy == "feature-extraction"
    assert choice.seconds <= 31.0


def test_the_probe_or_the_choice_may_be_held_unless_it_is_beaten_clearly(
    regret: ModuleType, choices: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rows("x")
    made[0]["validation_truth"] = "00" * 50
    both = ["feature-extraction", "partial-freeze"]

    def kept(right: int) -> list[str]:
        """What is kept where partial freeze gets so many of 50 right, the probe 45 at less loss."""
        for row in made[1:]:
            probe = row["strategy"] == both[0]
            count = 45 if probe else right
            told = "00" * count + "01" * (50 - count)
            row |= {"validation": count / 50, "validation_told": told}
            row |= {"validation_loss": 0.1 if probe else 0.2}
        (run,) = regret.runs(made)
        monkeypatch.setattr(choices, "_named", lambda known, run: [both[1]])
        held = [choices._ours_held(None, run), choices._ours_unless(None, run)]
        return [choices.selected(run, both), *(one.strategy for one in held)]

    probe, partial = both
    assert kept(46) == [probe, partial, probe]  # a tie, which the lower loss decides
    assert kept(47) == [partial, partial, partial]
    assert kept(44) == [probe, partial, probe]
    assert kept(40) == [probe, probe, probe]


def test_a_tie_on_many_validation_rows_goes_to_the_lower_loss(
    regret: ModuleType, choices: ModuleType
) -> None:
    made = rows("x", feature=0.800, partial=0.804)
    for row in made[1:]:
        row["validation_loss"] = 0.1 if row["strategy"] == "feature-extraction" else 0.2
    (run,) = regret.runs(made)
    assert choices.selected(run, ["feature-extraction", "partial-freeze"]) == "feature-extraction"


def test_fair_regret_of_equals_is_nothing_though_raw_is_not(regret: ModuleType) -> None:
    made = rows("x")
    rng = np.random.default_rng(0)
    for row in (one for one in made[1:] if not one["variant"]):
        bits = rng.random(500) < 0.8
        row |= {"accuracy": float(bits.mean()), "right": np.packbits(bits).tobytes().hex()}
    (run,) = regret.runs(made)
    raw = [regret.lost(run, run.best(), name, {}) for name in STRATEGIES]
    fair = [regret.fairly(run, run, name, {}) for name in STRATEGIES]
    assert min(raw) == 0.0
    assert max(raw) > 1.5
    assert abs(np.mean(fair)) < 0.75 * np.mean(raw)


def test_a_strategy_impossible_with_one_seed_is_no_error(regret: ModuleType) -> None:
    other = [row for row in rows("x", seed=2) if row["strategy"] != "partial-freeze"]
    other[0]["planned"] = 5
    found = regret.runs([*many(), *other])
    for way in regret.ways(found).values():
        assert all(math.isfinite(score.fair) for score in regret.scores(found, way))


def test_a_failed_training_is_no_choice(regret: ModuleType) -> None:
    made = rows("x")
    for row in made:
        if row["strategy"] == "scratch":
            row["failure"] = "the loss is not finite"
    (run,) = regret.runs(made)
    assert "scratch" not in run.whole


def test_a_torn_last_row_is_none_and_is_cut_off(regret: ModuleType, tmp_path: Path) -> None:
    kept = importlib.import_module("kept")
    path = tmp_path / "rows.jsonl"
    kept.keep(path, {"a": 1})
    with path.open("a") as stream:
        stream.write('{"a": 2, "b')
    assert kept.read(path) == [{"a": 1}]
    kept.keep(path, {"a": 3})
    assert kept.read(path) == [{"a": 1}, {"a": 3}]


def test_the_best_generalist_is_of_other_data_sets_and_is_tried(
    regret: ModuleType, choices: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [row for name in "yz" for row in rows(name, scratch=0.70)]
    found = regret.runs([*rows("x", scratch=0.95), *others])
    assert choices.generalist(found) == "partial-freeze"
    seen = choices._left_out(found, lambda known, run: known, choices.generalist)
    assert [seen(run) for run in found] == ["partial-freeze", "scratch", "scratch"]
    monkeypatch.setattr(
        choices, "decision_of", lambda known, run: SimpleNamespace(strategy="scratch")
    )
    choice = choices._with_generalist((None, "partial-freeze"), found[1])
    assert choice.strategy == "partial-freeze"
    assert choice.seconds == found[1].measured.seconds + 30.0


def test_without_similarity_there_is_a_choice_too(regret: ModuleType) -> None:
    found = regret.runs(many())
    choice = regret.ways(found)["autotl without similarity"](found[0])
    assert choice.strategy == "partial-freeze"
    assert found[0].measured.similarity.value is not None


def test_a_training_cut_short_counts_as_worse_by_what_the_cap_does_not_explain(
    regret: ModuleType,
) -> None:
    made = many()
    for row in made:
        if row["strategy"] == "scratch" and row["share"] == 0.1:
            row["accuracy"] = 0.40
    gains = regret.explained(regret.runs(made))
    assert gains["b", 200, "scratch"] == pytest.approx(0.10)
    assert ("b", 200, "feature-extraction") not in gains
    for row in made:
        if row["strategy"] == "scratch" and row["share"] == 1.0 and row["data"] == "x":
            row |= {"stopped": "deadline", "epochs": 1}
    run = regret.runs(made)[0]
    # of the 30 points to the best, ten times the epochs explain 10
    assert regret.lost(run, "partial-freeze", "scratch", gains) == pytest.approx(20.0)
    assert regret.lost(run, "partial-freeze", "full-fine-tune", gains) == pytest.approx(2.0)


def test_what_is_learnt_is_learnt_on_other_data_sets(
    regret: ModuleType, choices: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    monkeypatch.setattr(choices, "coefficients", lambda found: seen.append({r.data for r in found}))
    monkeypatch.setattr(choices, "_ours", lambda known, run: run)
    regret.ways(regret.runs(many()))
    assert {tuple(sorted(names)) for names in seen} == {("x", "y"), ("x", "z"), ("y", "z")}


def test_whatever_is_learnt_leaves_the_judged_set_out(
    regret: ModuleType, choices: ModuleType
) -> None:
    found = regret.runs(many())
    seen = choices._left_out(found, lambda known, run: known, lambda some: {r.data for r in some})
    assert [seen(run) for run in found] == [{"y", "z"}, {"x", "z"}, {"x", "y"}]
    source = inspect.getsource(choices.ways)
    for learn in ("generalist", "_size_line", "_similarity_line", "_logme_line", "_known"):
        assert re.search(rf"_left_out\(found, \w+, {learn}\)", source), learn


def test_the_rate_of_a_cell_is_learnt_on_other_data_sets(
    regret: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = SimpleNamespace(backbone="b", strategy="full-fine-tune", examples=160, factor=3.0)
    trained = importlib.import_module("trained")
    without_x = lambda rows: () if any(row["data"] == "x" for row in rows) else (line,)  # noqa: E731
    monkeypatch.setattr(trained, "rates", without_x)
    made = rows("x")
    full = next(row for row in made if row["strategy"] == "full-fine-tune")
    faster = full | {"variant": "rate x 3", "accuracy": 0.9}
    found = regret.runs([*made, faster, *rows("y")])
    assert [(run.data, run.accuracy("full-fine-tune")) for run in found] == [
        ("x", 0.9),
        ("y", 0.78),
    ]


def test_a_probe_of_the_tap_is_trial_0_beside_a_head_on_all_stages(
    regret: ModuleType, choices: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rows("x", feature=0.82)
    every = next(row for row in made if row["variant"] == "all stages")
    worse = {"accuracy": 0.6, "validation": 0.6, "validation_told": "00" * 150 + "01" * 100}
    every |= {"reads": [1, 2, 3, 4]} | worse
    (run,) = regret.runs(made)
    assert choices._tried(run, ["partial-freeze"]) == [
        "probe",
        "partial-freeze",
        "feature-extraction",
    ]
    monkeypatch.setattr(choices, "_named", lambda known, run: ["partial-freeze"])
    choice = choices._ours(None, run)  # the probe is better on validation than partial freeze
    assert choice.strategy == "probe"
    assert choice.seconds == run.measured.seconds + 30.0  # probe, partial freeze, head
    (score,) = regret.scores([run], lambda _: choice)
    assert score.raw == 0.0  # .82, where the best of the four has .80: no gain
    assert not score.exact
    every |= {"accuracy": 0.81}
    (score,) = regret.scores(regret.runs(made), lambda _: choice)
    assert score.exact  # the best is feature extraction, of which the probe is one


def test_a_line_of_size_is_where_fine_tuning_begins_to_pay(
    regret: ModuleType, choices: ModuleType
) -> None:
    found = regret.runs([*rows("x"), *rows("y", feature=0.9), *rows("z")])
    assert choices._best_line([10.0, 1.0, 30.0], found) == pytest.approx(5.5)
    assert choices._best_line([3.0, 2.0, 1.0], regret.runs(many())) == -math.inf


def test_unfinished_cells_and_older_trainers_do_not_count(regret: ModuleType) -> None:
    old, whole, torn = rows("x", code="old"), rows("y"), rows("z")[:-1]
    assert [run.data for run in regret.runs([*old, *torn, *whole])] == ["y"]
    assert "three data sets" in regret.table(whole)
    assert regret.runs([]) == []


def test_the_tables_show_every_way_and_cell(regret: ModuleType) -> None:
    told = regret.table([*many(), *rows("x", seed=2), *rows("x", limit=50)])
    assert "3 cells of 200 examples or more, 3 data sets" in told
    signals = importlib.import_module("signals").table([*many(), *rows("w", full=0.9)])
    assert "| probe | – | – | 4 |" in signals
    assert "| LogME |" in signals
    for name in ("autotl", "always scratch", "size only", "best of a tenth each"):
        assert f"| {name} |" in told
    assert "| x, b, 160 (2) | 0.700 | 0.800 | 0.780 | 0.500 | – |" in told
    assert "Noise is known for 3 of the cells, cost for 3." in told
    assert "what two strategies lie apart, points: 0.0 at 200 or fewer." in told
    # always scratch loses .30 of accuracy in each cell
    full = next(line for line in told.splitlines() if line.startswith("| always scratch |"))
    assert full.endswith("| +30.00 (+30.00 to +30.00) |")
    own = next(line for line in told.splitlines() if line.startswith("| autotl |"))
    assert own.endswith("| – |")


def test_the_interval_is_of_data_sets(regret: ModuleType, choices: ModuleType) -> None:
    found = regret.runs([*rows("x"), *rows("y", full=0.70), *rows("z")])
    scored = regret.scores(found, choices._always("full-fine-tune"))
    low, high = regret.interval(scored)
    assert low == pytest.approx(2.0)
    assert high == pytest.approx(10.0)
