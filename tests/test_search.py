from __future__ import annotations

import hashlib
import json
import math
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotl import errors
from autotl.export import asking
from autotl.files import file_ref
from autotl.records import (
    METRICS,
    Backbone,
    Budget,
    Decision,
    FileRef,
    Head,
    InputSizes,
    LocatedBackbone,
    Measurements,
    Numbers,
    Preprocessing,
    Recipe,
    Similarity,
    Size,
    Speed,
    StoredPixels,
    Trial,
    TrialResult,
    from_json,
    to_json,
)
from autotl.search import course, planning, proposing, search, selection
from autotl.search.space import defaults, is_active, recipe_of, rung, space
from autotl.train import checkpoint, default
from autotl.worker import Worker

TRAIN, VALIDATION, CLASSES = 800, 250, 3
STAGES = tuple(f"stage{n}" for n in range(1, 7))
SPEED = Speed(forward=0.002, train=0.01, share_above=(1, 0.9, 0.8, 0.6, 0.4, 0.2, 0.0), fixed=2.0)


# ---- what a search is given ----


def measurements(**changes: Any) -> Measurements:
    plain = Measurements(
        backbone="toy",
        input_size=64,
        stages=STAGES,
        pretrained=True,
        size=Size(
            examples=1300,
            train=TRAIN,
            classes=CLASSES,
            per_class_least=100,
            per_class_median=110.0,
            imbalance=1.2,
            duplicates=0,
            median_side=80,
        ),
        similarity=Similarity(value=0.5, low=0.4, high=0.6),
        probes=(),
        curve=(),
        tap=6,
        boundary=3,
        parameters_above=(7, 6, 5, 4, 3, 2, 1),
        orientation_matters=False,
        speed=SPEED,
        seconds=5.0,
    )
    return replace(plain, **changes)


def decision(**changes: Any) -> Decision:
    plain = Decision(
        backbone="toy",
        input_size=64,
        strategy="partial-freeze",
        engine="partial-freeze",
        forced=False,
        boundary=3,
        frozen=STAGES[:3],
        taps=(6,),
        tap=("stage6",),
        learning_rate=5e-4,
        runner_up="full-fine-tune",
        margin=0.01,
        race=0.0,
        scenario="near, little",
        reasons=(),
        predicted={},
        coefficients="0" * 64,
        provisional=True,
        reads=(6,),
    )
    return replace(plain, **changes)


def located() -> LocatedBackbone:
    preprocessing = Preprocessing(size=64)
    backbone = Backbone(
        name="toy",
        build="toy:build",
        stages=STAGES,
        input_sizes=InputSizes(least=32, most=96, default=64),
        preprocessing=preprocessing,
        parameters=7,
        license="Apache-2.0",
        source_domain="nothing",
    )
    return LocatedBackbone(
        backbone=backbone,
        distribution="tests",
        input_size=64,
        preprocessing=preprocessing,
        weights=None,
        weights_sha256=None,
    )


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class MemoryLedger:
    """Keeps what the journal would, as JSON, so that a round trip is part of every test."""

    begun: dict[int, list[int]] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)

    def started(self, number: int, recipe: Recipe, hyperparameters: Any, epoch: int) -> None:
        self.begun.setdefault(number, []).append(epoch)

    def finished(self, trial: Trial) -> None:
        assert trial.number not in self.ended
        self.ended[trial.number] = json.dumps(to_json(trial))

    def replay(self, number: int) -> Trial | None:
        text = self.ended.get(number)
        return from_json(Trial, json.loads(text)) if text else None

    def starts(self, number: int, epoch: int | None = None) -> int:
        begun = [] if number in self.ended else self.begun.get(number, [])
        return len(begun) if epoch is None else begun.count(epoch)

    def prefix(self, count: int) -> MemoryLedger:
        ended = {n: t for n, t in self.ended.items() if n < count}
        return MemoryLedger(begun={n: [0] for n in ended}, ended=ended)

    def trials(self) -> list[Trial]:
        return [from_json(Trial, json.loads(self.ended[n])) for n in sorted(self.ended)]


class FakeWorker:
    """Answers for the trainer at once, and asks the real oracle in a real worker."""

    def __init__(self, oracle: Worker, clock: Clock, *, cost: float = 20.0) -> None:
        self.oracle, self.clock, self.cost = oracle, clock, cost
        self.specs: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.deadlines: list[float | None] = []
        self.fail: dict[int, BaseException] = {}
        self.right = lambda recipe: VALIDATION - 10 - digest(recipe) % 60
        self.loss = lambda recipe: 1.0
        self.wrong: Callable[[Recipe], int] | None = None

    def call(self, function: str, spec: dict[str, Any], *, deadline=None, progress=None) -> Any:
        if function == "autotl.search.proposals:propose":
            self.asked.append(spec)
            return self.oracle.call(function, spec)
        assert function == "autotl.train.trial:run"
        json.dumps(spec)
        self.specs.append(spec)
        self.deadlines.append(deadline)
        number = int(Path(spec["out"]).name)
        spent = self.cost if spec["deadline"] is None else min(self.cost, spec["deadline"])
        self.clock.now += spent
        if number in self.fail:
            raise self.fail[number]
        if progress:
            progress("training", 1, 2)
        return to_json(self.result(from_json(Recipe, spec["recipe"]), spec, spent))

    def result(self, recipe: Recipe, spec: dict[str, Any], spent: float) -> TrialResult:
        labels = np.load(spec["pixels"]["labels"])[spec["pixels"]["train"] :]
        right = self.right(recipe)
        logits = np.zeros((len(labels), CLASSES), np.float32)
        told = np.where(np.arange(len(labels)) < right, labels, (labels + 1) % CLASSES)
        logits[np.arange(len(labels)), told] = 2
        out, root = Path(spec["out"]), Path(spec["run_folder"])
        np.save(out / "validation.npy", logits)
        (out / "weights.npz").write_bytes(b"weights")
        crossed = None
        if self.wrong:
            every = np.load(spec["pixels"]["labels"])
            np.save(out / "crossed.npy", answers(every, list(range(self.wrong(recipe)))))
            crossed = file_ref(out / "crossed.npy", root)
        metrics = {
            name: selection.metric_value(logits, labels, name)
            for name in ("accuracy", "balanced-accuracy", "macro-f1")
        }
        return TrialResult(
            metrics={**metrics, "log-loss": self.loss(recipe)},
            epochs=recipe.numbers.epochs if recipe.head.solver == "gradient" else 1,
            seconds=spent,
            weights=file_ref(out / "weights.npz", root),
            predictions=file_ref(out / "validation.npy", root),
            stopped="epochs",
            history=({"epoch": 0.0, "loss": 2.0}, {"epoch": 1.0, "loss": 1.0}),
            crossed=crossed,
        )


def digest(recipe: Recipe) -> int:
    return int(hashlib.sha256(json.dumps(to_json(recipe)).encode()).hexdigest()[:8], 16)


@pytest.fixture(scope="module")
def oracle():
    with Worker() as worker:
        worker.call("autotl.search.proposals:propose", first_spec())
        yield worker


def first_spec() -> dict[str, Any]:
    base = default("partial-freeze", measurements())
    dimensions = space(base, stages=6, orientation_matters=False)
    return {"space": to_json(dimensions), "seed": 5, "known": [], "kind": "random"}


@dataclass
class Bench:
    """One search on fakes; `go` may be called again with another ledger."""

    folder: Path
    oracle: Worker
    validation: int = VALIDATION
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.worker = FakeWorker(self.oracle, self.clock)
        self.ledger = MemoryLedger()
        self.seen: list[tuple[str, int, int]] = []
        labels = self.folder / "labels.npy"
        rows = TRAIN + self.validation
        np.save(labels, (np.arange(rows) % CLASSES).astype(np.int32))
        self.pixels = StoredPixels(
            pixels="none",
            margin="none",
            labels=str(labels),
            train=TRAIN,
            validation=self.validation,
            size=64,
            margin_size=73,
            classes=CLASSES,
            key="k",
        )

    def go(self, *, trials: int | None = None, seconds: float | None = None, **changes: Any) -> Any:
        begun = self.clock.now
        given = {
            "decision": decision(),
            "measurements": measurements(),
            "seed": 7,
            "metric": "accuracy",
            "ledger": self.ledger,
            "tensorboard": False,
        } | changes
        return search(
            given.pop("decision"),
            given.pop("measurements"),
            self.pixels,
            located(),
            budget=Budget(seconds=seconds, trials=trials),
            seconds_left=lambda: None if seconds is None else seconds - (self.clock.now - begun),
            worker=self.worker,
            run_folder=self.folder / "run",
            folder=self.folder / "cache",
            progress=lambda *step: self.seen.append(step),
            clock=self.clock,
            **given,
        )


@pytest.fixture
def bench(tmp_path: Path, oracle: Worker) -> Bench:
    return Bench(tmp_path, oracle)


# ---- the loop ----


def test_probe_then_default_then_proposals_exactly_n(bench: Bench) -> None:
    record = bench.go(trials=5)
    trials = bench.ledger.trials()
    assert [t.origin for t in trials] == ["probe", "default", "longer", *["proposal"] * 2]
    assert (record.trials, record.failed, record.comparable) == (5, 0, 5)
    assert trials[0].recipe == default("feature-extraction", measurements())
    assert trials[1].recipe.strategy == "partial-freeze"
    assert trials[1].recipe.numbers.learning_rate == 5e-4
    assert trials[2].recipe == planning.longer(trials[1].recipe)
    assert all(t.hyperparameters for t in trials[3:])
    assert record.stopped == "the number of trials was reached"
    assert bench.worker.deadlines == [None] * 5
    assert {s["deadline"] for s in bench.worker.specs} == {None}
    assert any("trial 2, partial-freeze: training" in what for what, _, _ in bench.seen)


@pytest.mark.parametrize("count", [1, 2])
def test_few_trials_count_the_fixed_ones(bench: Bench, count: int) -> None:
    assert bench.go(trials=count).trials == count
    assert len(bench.worker.specs) == count


def test_race_runs_the_runner_up_third(bench: Bench) -> None:
    bench.go(trials=5, decision=decision(race=0.3))
    trials = bench.ledger.trials()
    assert [t.origin for t in trials] == ["probe", "default", "runner-up", "longer", "proposal"]
    assert trials[2].recipe.strategy == "full-fine-tune"
    assert trials[4].recipe.strategy == "partial-freeze"


@pytest.mark.parametrize("better", ["partial-freeze", "full-fine-tune"])
def test_the_better_of_default_and_runner_up_is_trained_for_longer(
    bench: Bench, better: str
) -> None:
    bench.worker.right = lambda recipe: 200 + 10 * (recipe.strategy == better)
    bench.go(trials=4, decision=decision(race=0.3))
    trials = bench.ledger.trials()
    (plain,) = [t.recipe for t in trials[1:3] if t.recipe.strategy == better]
    assert trials[3].recipe == planning.longer(plain)
    assert trials[3].recipe.numbers.epochs == 3 * plain.numbers.epochs
    own_views = plain.numbers.views == plain.numbers.epochs
    assert trials[3].recipe.numbers.views == plain.numbers.views * (3 if own_views else 1)
    before = len(bench.worker.specs)
    bench.go(trials=4, decision=decision(race=0.3))
    assert len(bench.worker.specs) == before


def test_a_longer_training_that_was_passed_over_stays_so(bench: Bench) -> None:
    bench.worker.cost = 30.0
    slow = {"measurements": measurements(speed=replace(SPEED, train=0.1))}
    record = bench.go(seconds=200.0, **slow)
    origins = [t.origin for t in bench.ledger.trials()]
    assert "longer" not in origins
    assert any(note.startswith("A longer training was not tried") for note in record.notes)
    assert "proposal" in origins
    count = len(origins)
    bench.clock.now = 0.0
    bench.go(seconds=9000.0, trials=count, **slow)
    assert [t.origin for t in bench.ledger.trials()] == origins


def test_heads_alone_are_not_trained_for_longer(bench: Bench) -> None:
    bench.go(trials=4, decision=decision(strategy="feature-extraction", boundary=6))
    trials = bench.ledger.trials()
    assert [t.number for t in trials] == [0, 1, 2, 3]
    assert [t.origin for t in trials] == ["probe", "default", "proposal", "proposal"]


def test_a_default_that_is_the_probe_is_not_run_twice(bench: Bench) -> None:
    choice = decision(strategy="feature-extraction", boundary=6, learning_rate=1e-3)
    same = default("feature-extraction", measurements())
    assert replace(same, numbers=replace(same.numbers, learning_rate=1e-3)) == same
    bench.go(trials=3, decision=choice)
    recipes = [t.recipe for t in bench.ledger.trials()]
    assert len(set(recipes)) == 3


def test_random_weights_make_a_random_probe(bench: Bench) -> None:
    choice = decision(strategy="scratch", boundary=0)
    bench.go(trials=3, decision=choice, measurements=measurements(pretrained=False))
    assert not any(t.recipe.pretrained for t in bench.ledger.trials())


def test_the_probes_weights_go_to_heads_on_the_same_tap(bench: Bench) -> None:
    bench.go(trials=2, decision=decision())
    assert bench.worker.specs[0]["probe"] is None
    assert bench.worker.specs[1]["probe"].endswith("trials/000/weights.npz")
    other = Bench(bench.folder / "..", bench.oracle)
    other.go(trials=2, decision=decision(taps=(5,)))
    assert other.worker.specs[1]["probe"] is None


def proposals(bench: Bench) -> list[dict[str, Any]]:
    return [t.hyperparameters for t in bench.ledger.trials() if t.origin == "proposal"]


def another(bench: Bench, name: str) -> Bench:
    folder = bench.folder / name
    folder.mkdir()
    return Bench(folder, bench.oracle)


def test_same_proposals_with_and_without_a_budget(bench: Bench) -> None:
    bench.go(trials=10)
    timed = another(bench, "timed")
    timed.worker.cost = 11.0
    timed.go(seconds=1000.0)
    both = min(len(proposals(bench)), len(proposals(timed)))
    assert both == 7
    assert proposals(timed)[:both] == proposals(bench)[:both]


def drawn(bench: Bench) -> list[dict[str, Any]]:
    """The configurations that were drawn, without those that go on."""
    return [p for p in proposals(bench) if not p.get("tuner/initial_epoch")]


def test_with_a_budget_scores_do_not_steer(bench: Bench) -> None:
    bench.worker.cost = 5.0
    bench.go(seconds=400.0, trials=15)
    timed = another(bench, "timed")
    timed.worker.cost = 6.0
    timed.worker.right = lambda recipe: 40 + digest(recipe) % 100
    timed.worker.fail = {4: errors.ResourceError("no")}
    timed.go(seconds=400.0, trials=15)
    assert len(proposals(bench)) == 12
    assert len(drawn(bench)) == 9
    assert drawn(timed)[:9] == drawn(bench)
    assert proposals(timed) != proposals(bench)  # which of them go on depends on scores


def test_replay_after_every_prefix_goes_on_identically(bench: Bench) -> None:
    bench.worker.fail = {3: errors.OutOfMemoryError("too large")}
    whole = bench.go(trials=12, decision=decision(race=0.3))
    for count in (0, 3, 4, 11, 12):
        later = another(bench, f"after-{count}")
        (later.folder / "run").mkdir()
        (bench.folder / "run" / "trials").rename(later.folder / "run" / "trials")
        later.ledger = bench.ledger.prefix(count)
        later.worker.fail = bench.worker.fail
        record = later.go(trials=12, decision=decision(race=0.3))
        assert [strip(t) for t in later.ledger.trials()] == [
            strip(t) for t in bench.ledger.trials()
        ]
        twice = 3 not in later.ledger.prefix(count).ended  # with half the batch
        assert len(later.worker.specs) == 12 - count + twice
        assert record.best.number == whole.best.number
        (later.folder / "run" / "trials").rename(bench.folder / "run" / "trials")


def strip(trial: Trial) -> Any:
    return trial.number, trial.origin, trial.recipe, trial.hyperparameters, trial.status, trial.seed


def test_another_searchs_ledger_is_refused(bench: Bench) -> None:
    bench.go(trials=4)
    with pytest.raises(errors.RunFolderError, match="Trial 3"):
        bench.go(trials=4, seed=8)
    with pytest.raises(errors.RunFolderError, match="Trial 1"):
        bench.go(trials=4, decision=decision(boundary=2))


# ---- seeds ----


def test_a_resumed_search_refuses_files_that_changed(bench: Bench) -> None:
    bench.go(trials=4)
    (bench.folder / "run/trials/001/validation.npy").write_bytes(b"else")
    with pytest.raises(errors.RunFolderError, match=r"001/validation\.npy is not the file"):
        bench.go(trials=4)
    (bench.folder / "run/trials/001/validation.npy").unlink()
    with pytest.raises(errors.RunFolderError, match="missing"):
        bench.go(trials=4)


def test_seed_zero_works_and_neighbours_share_nothing(bench: Bench) -> None:
    drawn = []
    for seed in (0, 1, 2, 5):
        one = another(bench, f"seed-{seed}")
        one.go(trials=9, seed=seed)
        rates = {p["learning_rate"] for p in proposals(one)}
        seeds = {s["seed"] for s in one.worker.specs}
        assert 0 not in seeds
        assert len(rates) == 6
        assert len(seeds) == 9
        drawn.append(rates | seeds)
    assert all(not a & b for i, a in enumerate(drawn) for b in drawn[:i])
    again = another(bench, "again")
    again.go(trials=9, seed=0)
    assert {p["learning_rate"] for p in proposals(again)} <= drawn[0]


@given(st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_seeds_are_positive_and_spread(seed: int, number: int) -> None:
    drawn = planning.seed_of(seed, 2, number)
    assert 0 < drawn < 2**31
    assert drawn != planning.seed_of(seed + 1, 2, number)
    assert drawn != planning.seed_of(seed, 1, number)


# ---- failures ----


@pytest.mark.parametrize(
    "error",
    [
        errors.OutOfMemoryError("too much memory"),
        errors.DeadlineError("too slow"),
        errors.ResourceError("the loss is not finite"),
        errors.WorkerError("died of signal 11"),
    ],
)
def test_expected_errors_fail_one_trial(bench: Bench, error: errors.AutotlError) -> None:
    bench.worker.fail = {2: error}
    record = bench.go(trials=5)
    trials = bench.ledger.trials()
    assert (record.trials, record.failed, record.comparable) == (5, 1, 4)
    assert (trials[2].status, trials[2].result) == ("failed", None)
    assert error.message in (trials[2].failure or "")
    memory = isinstance(error, errors.OutOfMemoryError)
    assert [s["batch"] for s in bench.worker.specs] == [None] * 3 + [16] * memory + [None] * 2
    assert not (bench.folder / "run/trials/002").exists()


def test_want_of_memory_halves_the_batch_once(bench: Bench) -> None:
    true = bench.worker.call

    def scarce(function: str, spec: dict[str, Any], **options: Any) -> Any:
        if spec.get("batch", 1) is None and Path(spec["out"]).name == "001":
            raise errors.OutOfMemoryError("too much memory")
        return true(function, spec, **options)

    bench.worker.call = scarce  # type: ignore[method-assign]
    record = bench.go(trials=3)
    assert record.failed == 0
    assert [s["batch"] for s in bench.worker.specs] == [None, 16, None]


@pytest.mark.parametrize(("begun", "failed"), [([0, 0], 0), ([0, 6], 0), ([6, 6], 1)])
def test_a_trial_is_given_up_where_it_twice_got_no_further(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, begun: list[int], failed: int
) -> None:
    reached = {"001": checkpoint.Left(epoch=6, batch=32)}
    monkeypatch.setattr(checkpoint, "left", lambda out: reached.get(out.name, checkpoint.Left()))
    bench.ledger.begun[1] = begun
    assert bench.go(trials=2).failed == failed


# ---- successive halving ----


def test_a_failed_trial_does_not_keep_the_best_from_going_on(bench: Bench) -> None:
    bench.worker.fail = {4: errors.ResourceError("no"), 13: errors.ResourceError("no")}
    bench.go(trials=16)
    found = [rung(p) for p in proposals(bench)]
    expected = [(1, 0)] * 9 + [(3, 1)] * 3 + [(9, 3)]
    assert [(one.parts, one.before) for one in found if one] == expected
    for one in found[9:]:
        assert one
        assert one.parent not in (1, 10)  # the failed ones, counted from the first proposal


def test_weights_that_are_said_to_be_kept_are_there(tmp_path: Path) -> None:
    for seed in range(300):
        draw, state = np.random.default_rng(seed), course.State()
        folder = tmp_path / str(seed)
        folder.mkdir()
        setting: Any = SimpleNamespace(
            metric="accuracy", labels=np.zeros(250), crossed=None, run_folder=folder
        )
        for number in range(15):
            (folder / str(number)).touch()
            score = draw.integers(238, 246) / 250
            state.trials.append(finished(number, score, loss=float(draw.random())))
            course._let_go(setting, state)
            assert all((folder / str(kept)).exists() for kept in state.kept)


def test_the_best_third_of_a_rung_goes_on_from_its_weights(bench: Bench) -> None:
    bench.go(trials=16)
    trials = [t for t in bench.ledger.trials() if t.origin == "proposal"]
    found = [rung(t.hyperparameters) for t in trials]
    assert [(one.parts, one.before) for one in found if one] == [(1, 0)] * 9 + [(3, 1)] * 3 + [
        (9, 3)
    ]
    whole = default("partial-freeze", measurements()).numbers.epochs
    assert all(t.recipe.numbers.epochs == math.ceil(whole / 9) for t in trials[:9])
    scores = [score_of(t) for t in trials[:9]]
    for trial, one in zip(trials[9:12], found[9:12], strict=True):
        assert one
        assert one.parent is not None
        parent = trials[one.parent]
        assert score_of(parent) in sorted(scores)[-3:]
        spec = next(s for s in bench.worker.specs if s["out"].endswith(f"{trial.number:03d}"))
        already = 0
        if spec["parent"]:
            assert parent.result
            assert spec["parent"].endswith(parent.result.weights.path)
            already = math.ceil(whole / 9)
        assert trial.recipe.numbers.epochs == math.ceil(whole * 3 / 9) - already
    assert any(s["parent"] for s in bench.worker.specs)


def test_what_the_user_settled_is_not_searched(bench: Bench) -> None:
    bench.go(trials=6, decision=decision(fixed=("boundary", "learning_rate")))
    proposed = [t for t in bench.ledger.trials() if t.origin == "proposal"]
    assert proposed
    for trial in proposed:
        assert not {"boundary", "learning_rate"} & trial.hyperparameters.keys()
        assert trial.recipe.boundary == decision().boundary


def test_a_named_tap_is_that_of_the_probe_too(bench: Bench) -> None:
    choice = decision(strategy="feature-extraction", boundary=2, taps=(2,), fixed=("taps",))
    record = bench.go(trials=5, decision=replace(choice, reads=(2,)))
    assert {trial.recipe.taps for trial in bench.ledger.trials()} == {(2,)}
    assert record.probe.recipe.taps == (2,)


def test_the_decided_rates_are_those_of_the_fixed_trials(bench: Bench) -> None:
    def rates(**changes: Any) -> list[float]:
        folder = bench.folder / str(len(list(bench.folder.iterdir())))
        folder.mkdir()
        other = Bench(folder, bench.oracle)
        other.go(trials=3, decision=decision(race=0.3, **changes))
        return [trial.recipe.numbers.learning_rate for trial in other.ledger.trials()[1:]]

    partial, full = rates(learning_rate=0.0)
    both = {"partial-freeze": 2.0, "full-fine-tune": 3.0}
    assert rates(learning_rate=0.0, rates=both) == pytest.approx([2 * partial, 3 * full])
    assert rates(learning_rate=0.1, rates=both) == pytest.approx([0.1, 3 * full])


def test_a_head_on_all_stages_is_tried_beside_the_probe(bench: Bench) -> None:
    every = tuple(range(1, 7))
    bench.go(trials=4, decision=decision(reads=every, race=0.3))
    trials = bench.ledger.trials()
    assert [trial.origin for trial in trials] == ["probe", "default", "runner-up", "head"]
    assert [trial.recipe.taps for trial in trials] == [(6,), (6,), (6,), every]
    assert trials[3].recipe.strategy == "feature-extraction"


def test_a_head_on_all_stages_that_is_the_choice_is_trained_once(bench: Bench) -> None:
    every = tuple(range(1, 7))
    chosen = decision(strategy="feature-extraction", boundary=6, taps=every, reads=every)
    bench.go(trials=3, decision=chosen)
    trials = bench.ledger.trials()
    assert [trial.origin for trial in trials[:2]] == ["probe", "default"]
    assert [trial.recipe.taps for trial in trials[:2]] == [(6,), every]
    assert "head" not in [trial.origin for trial in trials]


def test_the_oracle_is_told_of_a_probe_that_lies_in_its_space(bench: Bench) -> None:
    every = tuple(range(1, 7))
    chosen = decision(
        strategy="feature-extraction", boundary=6, taps=every, reads=every, learning_rate=0.0
    )
    bench.go(trials=3, decision=chosen)
    asked = bench.worker.asked[0]
    known = [one["values"]["taps"] for one in asked["known"]]
    assert known == ["6", "1+2+3+4+5+6"]
    proposed = bench.ledger.trials()[2].recipe
    assert proposed not in [trial.recipe for trial in bench.ledger.trials()[:2]]


def score_of(trial: Trial) -> float:
    assert trial.result
    return trial.result.metrics["accuracy"]


@pytest.mark.parametrize(
    "error", [errors.InternalError("NameError: x"), errors.PluginError("bad"), NameError("x")]
)
def test_our_own_faults_surface(bench: Bench, error: Exception) -> None:
    bench.worker.fail = {2: error}
    with pytest.raises(type(error)):
        bench.go(trials=5)
    assert sorted(bench.ledger.ended) == [0, 1]
    assert bench.ledger.starts(2) == 1


def test_a_full_disk_ends_the_search_and_not_the_trial(bench: Bench) -> None:
    bench.worker.fail = {2: errors.DiskError("full")}
    with pytest.raises(errors.DiskError):
        bench.go(trials=5)
    assert sorted(bench.ledger.ended) == [0, 1]
    assert not (bench.folder / "run/trials/002").exists()


def test_figures_that_are_not_finite_fail_the_trial(bench: Bench) -> None:
    bench.worker.loss = lambda recipe: math.nan if recipe.boundary == 3 else 1.0
    record = bench.go(trials=2)
    assert record.best.number == 0
    assert "not finite" in (bench.ledger.trials()[1].failure or "")


def test_all_failed_is_an_error_with_the_causes(bench: Bench) -> None:
    bench.worker.fail = {n: errors.OutOfMemoryError(f"cause {n}") for n in range(99)}
    with pytest.raises(errors.SearchError) as caught:
        bench.go(trials=2)
    assert "cause 0" in str(caught.value)
    assert "cause 1" in str(caught.value)
    hopeless = another(bench, "hopeless")
    hopeless.worker.fail = bench.worker.fail
    with pytest.raises(errors.SearchError):
        hopeless.go(trials=50)
    assert len(hopeless.worker.specs) == 4 + 3  # the probe has no batch that could be halved


def test_a_failed_probe_leaves_the_others(bench: Bench) -> None:
    bench.worker.fail = {0: errors.WorkerError("died")}
    record = bench.go(trials=3)
    assert record.probe.status == "failed"
    assert record.best.number in (1, 2)
    assert bench.worker.specs[1]["probe"] is None


def test_a_trial_that_ended_the_program_twice_is_given_up(bench: Bench) -> None:
    bench.ledger.begun = {1: [0, 0]}
    record = bench.go(trials=3)
    trials = bench.ledger.trials()
    assert trials[1].status == "failed"
    assert "started 2 times" in (trials[1].failure or "")
    assert record.failed == 1
    assert len(bench.worker.specs) == 2


def test_a_trial_that_ended_the_program_once_is_run_again(bench: Bench) -> None:
    left = bench.folder / "run/trials/001"
    left.mkdir(parents=True)
    (left / "half").write_text("torn")
    bench.ledger.begun = {1: [0]}
    assert bench.go(trials=2).failed == 0
    assert bench.ledger.begun[1] == [0, 0]
    assert not (left / "half").exists()


def test_an_interrupt_goes_through(bench: Bench) -> None:
    bench.worker.fail = {1: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        bench.go(trials=3)
    assert bench.ledger.starts(1) == 1


# ---- the budget ----


@pytest.mark.parametrize("seconds", [30.0, 120.0, 600.0])
@pytest.mark.parametrize("cost", [6.0, 70.0])
def test_the_budget_is_kept_with_the_reserve(bench: Bench, seconds: float, cost: float) -> None:
    bench.worker.cost = cost
    record = bench.go(seconds=seconds, decision=decision(race=0.3))
    rows = planning.Rows(train=TRAIN, validation=VALIDATION, test=262)
    reserve = planning.reserve(SPEED, rows, seconds)
    assert bench.clock.now <= seconds - min(reserve, seconds / 3) + 1e-6
    assert record.trials >= 1
    assert all(s["deadline"] is not None for s in bench.worker.specs)
    hard = zip(bench.worker.specs, bench.worker.deadlines, strict=True)
    assert all(kill > spec["deadline"] for spec, kill in hard)


def test_no_trial_begins_below_its_share(bench: Bench) -> None:
    bench.worker.cost = 40.0
    bench.go(seconds=200.0)
    for spec in bench.worker.specs[2:]:
        recipe = from_json(Recipe, spec["recipe"])
        cost = planning.estimate(
            recipe, SPEED, planning.Rows(train=TRAIN, validation=VALIDATION, test=262), stored=True
        )
        assert spec["deadline"] >= planning.LEAST_SHARE * cost.total * planning.RATIO[0]


def test_a_small_budget_stops_after_the_probe(bench: Bench) -> None:
    bench.worker.cost = 5.0
    record = bench.go(seconds=12.0)
    assert (record.trials, record.best.number) == (1, 0)
    assert "budget" in record.stopped
    assert any("one epoch" in note for note in record.notes)


def test_a_choice_for_which_no_trial_was_left_is_said_to_be_untrained(bench: Bench) -> None:
    record = bench.go(trials=1)
    assert (record.trials, record.best.number) == (1, 0)
    assert record.notes == ("partial-freeze was not trained: the number of trials was reached.",)


def test_nothing_left_at_the_start_is_an_error(bench: Bench) -> None:
    with pytest.raises(errors.ResourceError, match="used up"):
        bench.go(seconds=-1.0)
    assert not bench.worker.specs


def test_a_skipped_runner_up_is_skipped_on_resume(bench: Bench) -> None:
    slow = replace(SPEED, train=0.05)
    given = {"decision": decision(race=0.1), "measurements": measurements(speed=slow)}
    bench.worker.cost = 10.0
    record = bench.go(seconds=200.0, **given)
    numbers = sorted(bench.ledger.ended)
    assert 2 not in numbers
    assert 3 in numbers
    assert any("runner-up" in note for note in record.notes)
    bench.clock.now = 0.0
    bench.go(seconds=900.0, trials=len(numbers), **given)
    assert sorted(bench.ledger.ended) == numbers


def test_a_killed_trial_gets_a_deadline_again_on_resume(bench: Bench) -> None:
    bench.ledger.begun = {1: [0]}
    bench.go(seconds=300.0, trials=2)
    assert all(spec["deadline"] <= 300.0 for spec in bench.worker.specs)


def test_trials_and_budget_whichever_is_first(bench: Bench) -> None:
    bench.worker.cost = 10.0
    assert bench.go(seconds=900.0, trials=4).trials == 4


def test_it_stops_when_nothing_is_wrong_any_more(bench: Bench) -> None:
    bench.worker.right = lambda recipe: VALIDATION
    assert bench.go(seconds=900.0).trials == 2


@pytest.mark.parametrize(
    ("strategy", "patience"),
    [("feature-extraction", proposing.PATIENCE), ("partial-freeze", proposing.BRACKETS)],
)
def test_it_stops_without_improvement_when_only_the_clock_limits(
    bench: Bench, strategy: Any, patience: int
) -> None:
    bench.worker.right = lambda recipe: 200
    bench.worker.cost = 1.0
    boundary = 6 if strategy == "feature-extraction" else 3
    record = bench.go(seconds=9000.0, decision=decision(strategy=strategy, boundary=boundary))
    assert record.trials == patience + 1
    assert "no improvement" in record.stopped


# ---- planning ----


def rows() -> planning.Rows:
    return planning.Rows(train=1000, validation=250, test=250)


def test_estimate_known_answer() -> None:
    recipe = replace(
        default("partial-freeze", measurements()),
        numbers=Numbers(epochs=5, augment="flip", views=2),
    )
    cost = planning.estimate(recipe, SPEED, rows())
    assert cost.store == pytest.approx(2250 * 0.002 * 0.4)
    assert cost.epoch == pytest.approx(1000 * (0.01 * 0.6 + 2e-5) + 250 * 0.002 * 0.6)
    assert cost.total == pytest.approx(2.0 + cost.store + 5 * cost.epoch)
    assert planning.estimate(recipe, SPEED, rows(), stored=True).store == 0


def test_decoding_that_is_paid_in_every_pass_is_planned() -> None:
    served = replace(rows(), decode=0.01, stored=False)
    kept = replace(rows(), decode=0.01)
    partial = default("partial-freeze", measurements())
    full = default("full-fine-tune", measurements())
    head = default("feature-extraction", measurements())
    for recipe, below in ((partial, 0.002 * 0.4), (full, 0.0)):
        one, other = (planning.estimate(recipe, SPEED, which) for which in (kept, served))
        assert other.epoch - one.epoch == pytest.approx(1250 * (0.01 + below))
        assert other.store == 0.0
    one, other = (planning.estimate(head, SPEED, which) for which in (kept, served))
    assert (one.epoch, other.store - one.store) == (other.epoch, pytest.approx(1250 * 0.01))


def test_the_reserve_holds_the_decoding_of_what_is_judged() -> None:
    assert planning.PROVEN == asking.MOST_ROWS
    plain = planning.reserve(SPEED, rows(), 1e9)
    kept = planning.reserve(SPEED, replace(rows(), decode=0.01), 1e9)
    served = planning.reserve(SPEED, replace(rows(), decode=0.01, stored=False), 1e9)
    assert kept - plain == pytest.approx((250 + 250) * 0.01)
    assert served - plain == pytest.approx((3 * 250 + 250) * 0.01)


def test_a_fitted_head_does_not_correct_heads_under_gradient() -> None:
    probe = default("feature-extraction", measurements())
    gradient = replace(probe, head=Head(solver="gradient"), numbers=Numbers(epochs=10))
    quick = finished(0, 0.9, recipe=probe, seconds=0.01)
    assert planning.corrected(gradient, SPEED, rows(), [quick])[1] == 1.0
    assert planning.corrected(probe, SPEED, rows(), [quick])[1] == planning.RATIO[0]


def test_earlier_trials_correct_the_estimate() -> None:
    recipe = default("partial-freeze", measurements())
    cost = planning.estimate(recipe, SPEED, rows())
    done = finished(1, 0.9, recipe=recipe, seconds=2 * cost.total, epochs=recipe.numbers.epochs)
    now, factor = planning.corrected(recipe, SPEED, rows(), [done])
    assert factor == pytest.approx(2.0)
    assert now.store == 0
    _, untouched = planning.corrected(recipe, SPEED, rows(), [])
    assert untouched == 1.0


@given(
    st.floats(0.1, 1e4), st.floats(0, 1e4), st.sampled_from(["default", "runner-up", "proposal"])
)
def test_an_allowance_never_touches_the_reserve(left: float, total: float, origin: str) -> None:
    cost = planning.Estimate(fixed=1.0, store=1.0, epoch=total / 5, epochs=5)
    step = planning.Step(number=1, origin=origin, recipe=default("scratch", measurements()))
    given_ = planning.allowance(step, cost, 1.0, left=left, reserve=20.0)
    assert given_ is None or planning.MINIMUM <= given_ <= left - 20.0
    if given_ is not None and origin != "default":
        assert given_ >= planning.LEAST_SHARE * cost.total


def test_a_runner_up_that_is_the_probe_takes_no_time_from_the_default() -> None:
    probe, base = (default(name, measurements()) for name in ("feature-extraction", "scratch"))
    steps = planning.fixed_trials(0.3, probe, base, probe)
    assert [(one.origin, one.share) for one in steps] == [("probe", 1.0), ("default", 1.0)]
    other = default("full-fine-tune", measurements())
    assert [one.share for one in planning.fixed_trials(0.3, probe, base, other)] == [1, 0.7, 0.3]


def test_the_runner_up_gets_its_share_of_what_was_there_before_the_default() -> None:
    probe, base = (default(name, measurements()) for name in ("feature-extraction", "scratch"))
    rival = default("full-fine-tune", measurements())
    _, first, second = planning.fixed_trials(0.4, probe, base, rival)
    cost = planning.Estimate(fixed=1.0, store=0.0, epoch=1.0, epochs=5)
    assert planning.allowance(first, cost, 1.0, left=320, reserve=20) == pytest.approx(180)
    assert planning.allowance(second, cost, 1.0, left=140, reserve=20, spent=180) == 120
    assert planning.allowance(second, cost, 1.0, left=290, reserve=20, spent=30) == 120
    assert planning.allowance(second, cost, 1.0, left=70, reserve=20, spent=250) == 50


def test_a_fitted_head_does_not_correct_what_is_trained_by_gradient() -> None:
    probe = default("feature-extraction", measurements())
    cost = planning.estimate(probe, SPEED, rows())
    slow = finished(0, 0.9, recipe=probe, seconds=4 * cost.total, epochs=1)
    assert planning.corrected(probe, SPEED, rows(), [slow])[1] == pytest.approx(4.0, rel=0.2)
    assert planning.corrected(default("scratch", measurements()), SPEED, rows(), [slow])[1] == 1.0


# ---- space ----


@pytest.mark.parametrize(
    "strategy", ["feature-extraction", "partial-freeze", "full-fine-tune", "scratch"]
)
def test_defaults_are_the_default_recipe(strategy: Any) -> None:
    base = default(strategy, measurements())
    dimensions = space(base, stages=6, orientation_matters=False)
    assert recipe_of(base, defaults(dimensions)) == base
    for one in dimensions:
        assert one.default in one.values or one.low <= one.default <= one.high
        assert len(set(one.values)) == len(one.values)


@given(st.data())
def test_every_point_is_a_recipe_within_the_backbone(data: st.DataObject) -> None:
    strategy = data.draw(st.sampled_from(["feature-extraction", "partial-freeze", "scratch"]))
    tap = data.draw(st.integers(2, 6))
    boundary = data.draw(st.integers(1, tap - 1))
    matters = data.draw(st.booleans())
    facts = measurements(tap=tap, boundary=boundary, orientation_matters=matters)
    base = default(strategy, facts)
    values: dict[str, Any] = {}
    for one in space(base, stages=6, orientation_matters=matters):
        if is_active(one, values):
            drawn = st.sampled_from(one.values) if one.values else st.floats(one.low, one.high)
            values[one.name] = data.draw(drawn)
    recipe = recipe_of(base, values)
    if strategy == "partial-freeze":
        assert 1 <= recipe.boundary < min(recipe.taps)
    if strategy == "feature-extraction":
        assert recipe.boundary == max(recipe.taps) <= 6
    if matters:
        assert "flip" not in recipe.numbers.augment
    assert list(recipe.taps) == sorted(set(recipe.taps))


def test_conditional_values_are_only_proposed_where_active(bench: Bench) -> None:
    bench.go(trials=9, seed=6, decision=decision(strategy="feature-extraction", boundary=6))
    drawn = proposals(bench)
    assert {p["solver"] for p in drawn} == {"gradient", "logistic-regression"}
    for values in drawn:
        assert ("learning_rate" in values) == (values["solver"] == "gradient")
        assert ("views" in values) == ("crop" in values.get("augment", "none"))


@pytest.mark.parametrize("strategy", ["feature-extraction", "partial-freeze"])
def test_a_flip_has_two_views_and_is_proposed_once(strategy: Any) -> None:
    base = default(strategy, measurements())
    views = next(
        one for one in space(base, stages=6, orientation_matters=False) if one.name == "views"
    )
    assert not is_active(views, {"augment": "flip"})
    assert is_active(views, {"augment": "flip-crop"})
    assert recipe_of(base, {"augment": "flip"}).numbers.views == 2


def test_an_exhausted_space_ends_the_search(oracle: Worker) -> None:
    spec = first_spec() | {
        "space": [{"name": "dropout", "default": 0.0, "values": [0.0, 0.2]}],
        "known": [{"values": {"dropout": d}, "score": 0.5} for d in (0.0, 0.2)],
    }
    assert oracle.call("autotl.search.proposals:propose", spec) == {"values": None}


# ---- selection ----


def finished(number: int, accuracy: float, **changes: Any) -> Trial:
    given_ = {"seconds": 10.0, "loss": 0.5, "epochs": 5} | changes
    file = FileRef(path=f"{number}", sha256="0", size=1)
    return Trial(
        number=number,
        origin="proposal" if number else "probe",
        recipe=given_.get("recipe", default("scratch", measurements())),
        hyperparameters={},
        status="finished",
        seconds=given_["seconds"],
        result=TrialResult(
            metrics={"accuracy": accuracy, "log-loss": given_["loss"]},
            epochs=given_["epochs"],
            seconds=given_["seconds"],
            weights=file,
            predictions=file,
            stopped="epochs",
        ),
    )


def test_ties_within_one_example_go_to_the_lower_log_loss() -> None:
    trials = [
        finished(0, 0.90, loss=0.1),
        finished(1, 0.95, loss=0.4),
        finished(2, 0.949, loss=0.3),
        finished(3, 0.9479, loss=0.2),
    ]
    assert [t.number for t in selection.ranked(trials, "accuracy", 1000)] == [2, 1, 3, 0]
    assert selection.ranked(trials, "log-loss", 1000)[0].number == 0


def test_equal_log_loss_goes_to_the_earlier_whatever_the_clock_says() -> None:
    trials = [finished(2, 0.9, seconds=8.0), finished(1, 0.9, seconds=9.0)]
    assert selection.ranked(trials, "accuracy", 1000)[0].number == 1


def test_a_failed_trial_is_never_selected() -> None:
    failed = replace(finished(1, 1.0), result=None, status="failed", failure="x")
    assert selection.ranked([failed], "accuracy", 300) == []
    assert selection.best([failed], "accuracy", np.zeros(300, int), lambda t: 1 / 0) is None


def answers(labels: np.ndarray, wrong: list[int], classes: int = 3) -> np.ndarray:
    told = labels.copy()
    told[wrong] = (told[wrong] + 1) % classes
    return np.eye(classes, dtype=np.float32)[told] * 4


def test_few_rows_need_more_than_one_standard_error() -> None:
    labels = np.arange(100) % 3
    predictions = {
        0: answers(labels, list(range(10))),
        1: answers(labels, [*range(5, 10), *range(20, 24)]),  # 5 mended, 4 spoilt
        2: answers(labels, list(range(5))),  # 5 mended, none spoilt
    }
    trials = [finished(0, 0.90), finished(1, 0.91, loss=0.1), finished(2, 0.95)]
    read = lambda t: predictions[t.number]  # noqa: E731
    assert selection.best(trials[:2], "accuracy", labels, read).number == 0
    assert selection.best(trials, "accuracy", labels, read).number == 2
    assert selection.eligible(trials, "accuracy", labels, read) == [trials[2]]


def test_a_trial_below_the_probe_never_wins() -> None:
    labels = np.arange(1000) % 3
    trials = [finished(0, 0.950, loss=0.3), finished(1, 0.949, loss=0.1)]
    read = lambda t: 1 / 0  # noqa: E731
    assert selection.best(trials, "accuracy", labels, read).number == 0
    trials += [finished(2, 0.950, loss=0.4)]
    assert selection.best(trials[1:], "accuracy", labels, read).number == 1
    assert selection.best(trials, "accuracy", labels, read).number == 0
    trials += [finished(3, 0.950, loss=0.2)]
    assert selection.best(trials, "accuracy", labels, read).number == 3


def test_heads_alone_are_compared_on_out_of_fold_predictions() -> None:
    every = np.arange(500) % 3
    labels = every[400:]
    validation = {n: answers(labels, list(range(10 - n))) for n in range(3)}
    out_of_fold = {0: answers(every, list(range(60))), 1: answers(every, list(range(40)))}
    crossed = selection.Crossed(labels=every, logits=lambda t: out_of_fold.get(t.number))
    trials = [finished(n, 0.90 + n / 100) for n in range(3)]
    read = lambda t: validation[t.number]  # noqa: E731
    given_ = ("accuracy", labels, read)
    assert selection.eligible(trials[:2], *given_) == [trials[0]]
    assert selection.eligible(trials[:2], *given_, crossed) == [trials[1]]
    assert trials[2] in selection.eligible(trials, *given_, crossed)  # trains stages
    out_of_fold[1] = answers(every, [*range(3, 60), 70, 71])  # 3 mended, 2 spoilt
    assert selection.eligible(trials[:2], *given_, crossed) == [trials[0]]
    worse = [trials[0], finished(1, 0.89)]
    out_of_fold[1] = answers(every, [])
    assert selection.eligible(worse, *given_, crossed) == [worse[0]]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from(["accuracy", "balanced-accuracy", "macro-f1"]))
def test_the_jackknife_by_kinds_of_rows_is_that_by_rows(seed: int, metric: Any) -> None:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 3, 30)
    one, two = draw.normal(size=(2, 30, 3)).astype(np.float32)
    for name in (metric, "log-loss"):
        value = lambda x, k, of=name: selection.metric_value(x[k], labels[k], of)  # noqa: E731
        left = np.array([value(one, k) - value(two, k) for k in ~np.eye(30, dtype=bool)])
        error = math.sqrt(np.square(left - left.mean()).sum() * 29 / 30)
        found = selection.paired_difference(one, two, labels, name)
        assert found == pytest.approx((value(one, slice(None)) - value(two, slice(None)), error))


def test_one_example_more_is_never_clearly_better() -> None:
    for rows in range(10, 200, 7):
        labels = np.arange(rows) % 3
        one, two = answers(labels, [3]), answers(labels, [3, 4])
        assert not selection.clearly_better(one, two, labels, "accuracy")
        assert not selection.clearly_better(one, one, labels, "macro-f1")


@pytest.mark.parametrize("metric", METRICS)
def test_paired_error_counts_a_bundle_once(metric: Any) -> None:
    draw = np.random.default_rng(3)
    labels = draw.integers(0, 3, 40)
    one, two = draw.normal(size=(2, 40, 3)).astype(np.float32)
    plain = selection.paired_difference(one, two, labels, metric)
    alone = selection.paired_difference(one, two, labels, metric, np.arange(40))
    assert alone == pytest.approx(plain)
    three = [np.repeat(side, 3, axis=0) for side in (one, two, labels)]
    copied = selection.paired_difference(*three, metric, np.repeat(np.arange(40), 3))
    assert copied == pytest.approx(plain), "three copies of a row say no more than the row"
    assert selection.paired_difference(*three, metric)[1] < 0.6 * plain[1]
    whole = selection.paired_difference(one, two, labels, metric, np.zeros(40, int))
    assert whole == (pytest.approx(plain[0]), math.inf)


@pytest.mark.parametrize("folds", [False, True])
def test_proposals_must_win_in_more_than_one_bundle(folds: bool) -> None:
    labels, wrong = np.arange(60) % 2, list(range(0, 60, 6))
    told = {0: answers(labels, wrong), 1: answers(labels, [1])}
    trials = [finished(0, 50 / 60), finished(1, 59 / 60)]
    bundles = np.repeat(np.arange(12), 5)
    bundles[wrong] = 99
    train = np.arange(40) % 2
    crossed = {number: np.concatenate([answers(train, []), own]) for number, own in told.items()}
    read = lambda trial: crossed[trial.number] if folds else None  # noqa: E731
    plain = selection.Crossed(labels=np.concatenate([train, labels]), logits=read)
    grouped = replace(plain, bundles=np.concatenate([200 + np.arange(40), bundles]))
    about = ("accuracy", labels, lambda trial: told[trial.number])
    assert selection.eligible(trials, *about, plain) == [trials[1]]
    assert selection.eligible(trials, *about, grouped) == [trials[0]]


def test_trials_and_search_take_the_same_rows_for_few() -> None:
    from autotl.train import probe

    assert selection.FEW == probe.FEW


@pytest.mark.parametrize("validation", [selection.FEW - 1, selection.FEW])
def test_trials_are_told_of_bundles_where_they_make_folds(
    tmp_path: Path, oracle: Worker, validation: int
) -> None:
    bench = Bench(tmp_path, oracle, validation)
    bundles = [row // 2 for row in range(TRAIN + validation)]
    bench.go(trials=1, bundles=bundles)
    told = [spec["bundles"] for spec in bench.worker.specs]
    assert told == [bundles if validation < selection.FEW else None]


def test_paired_error_of_accuracy_is_that_of_a_mean() -> None:
    labels = np.arange(90) % 3
    one, two = answers(labels, [1, 2, 3]), answers(labels, [3, 4, 5, 6, 7, 8])
    difference, error = selection.paired_difference(one, two, labels, "accuracy")
    each = (one.argmax(1) == labels).astype(float) - (two.argmax(1) == labels)
    assert difference == pytest.approx(each.mean())
    assert error == pytest.approx(each.std(ddof=1) / math.sqrt(90))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_metrics_agree_with_scikit_learn(seed: int) -> None:
    from sklearn import metrics

    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 4, 40)
    logits = draw.normal(size=(40, 4)).astype(np.float32)
    told, value = logits.argmax(1), selection.metric_value
    assert value(logits, labels, "accuracy") == pytest.approx((told == labels).mean())
    assert value(logits, labels, "macro-f1") == pytest.approx(
        metrics.f1_score(labels, told, average="macro")
    )
    recalls = metrics.recall_score(
        labels, told, labels=np.unique(labels), average="macro", zero_division=0
    )
    assert value(logits, labels, "balanced-accuracy") == pytest.approx(recalls)
    shifted = np.exp(logits.astype(float))
    shares = shifted / shifted.sum(1, keepdims=True)
    assert value(logits, labels, "log-loss") == pytest.approx(
        metrics.log_loss(labels, shares, labels=range(4)), rel=1e-5
    )


@given(st.lists(st.tuples(st.integers(180, 200), st.integers(1, 30)), min_size=1, max_size=25))
def test_what_is_selected_later_was_always_kept(drawn: list[tuple[int, int]]) -> None:
    trials: list[Trial] = []
    on_disk: set[int] = set()
    for number, (right, loss) in enumerate(drawn):
        trials.append(finished(number, right / 200, loss=loss / 10))
        on_disk.add(number)
        on_disk &= selection.kept(trials, trials, "accuracy", 200)
        assert len(on_disk) <= 5
        assert selection.ranked(trials, "accuracy", 200)[0].number in on_disk
    assert 0 in on_disk


def test_only_the_best_weights_and_the_probes_stay(bench: Bench) -> None:
    record = bench.go(trials=9)
    left = {int(p.parent.name) for p in (bench.folder / "run/trials").glob("*/weights.npz")}
    assert {0, record.best.number} <= left
    assert len(left) <= 5
    assert len(list((bench.folder / "run/trials").glob("*/validation.npy"))) == 9


def test_few_validation_rows_ask_more_of_a_proposal(tmp_path: Path, oracle: Worker) -> None:
    bench = Bench(tmp_path, oracle, validation=60)
    bench.worker.right = lambda recipe: 50 if recipe.strategy == "feature-extraction" else 52
    record = bench.go(trials=6)
    assert record.best.origin in {"default", "longer"}
    assert any("one standard error: none did" in note for note in record.notes)
    assert any("selected among 6 trials" in note for note in record.notes)


def test_few_validation_rows_take_a_better_probe(tmp_path: Path, oracle: Worker) -> None:
    bench = Bench(tmp_path, oracle, validation=60)
    bench.worker.right = lambda recipe: 52 if recipe.strategy == "feature-extraction" else 50
    record = bench.go(trials=2)
    assert record.best.number == 0
    assert any("The linear probe was kept" in note for note in record.notes)


def test_a_head_that_the_budget_does_not_hold_is_passed_over(bench: Bench) -> None:
    every = tuple(range(1, 7))
    record = bench.go(trials=3, decision=decision(reads=every, race=0.3))
    assert [trial.origin for trial in bench.ledger.trials()] == ["probe", "default", "runner-up"]
    assert any("A head on all stages was not tried" in note for note in record.notes)
    assert not any("not trained" in note for note in record.notes)


def test_few_rows_rank_what_every_search_has_and_ask_more_of_proposals() -> None:
    labels = np.arange(100) % 3
    wrong = {0: range(12), 1: range(10), 2: range(9), 3: range(9), 4: range(4)}
    read = lambda t: answers(labels, list(wrong[t.number]))  # noqa: E731
    given_ = ("accuracy", labels, read)
    probe, chosen = finished(0, 0.88), replace(finished(1, 0.90), origin="default")
    head = replace(finished(2, 0.91, loss=0.6), origin="head")
    assert selection.incumbent([probe, chosen], "accuracy", 100) is chosen
    assert selection.eligible([probe, chosen, head], *given_) == [chosen]  # a tie, lower loss
    proposal, better = finished(3, 0.91, loss=0.1), finished(4, 0.96)
    assert selection.eligible([probe, chosen, proposal], *given_) == [chosen]
    assert selection.eligible([probe, chosen, proposal, better], *given_) == [better]
    failed = replace(chosen, result=None)
    assert selection.eligible([probe, failed], *given_) == [probe]
    lost = replace(probe, result=None)
    assert selection.eligible([lost, chosen, proposal], *given_) == [chosen]
    assert selection.eligible([lost, proposal], *given_) == [proposal]


def test_a_search_reads_out_of_fold_predictions(tmp_path: Path, oracle: Worker) -> None:
    bench = Bench(tmp_path, oracle, validation=60)
    bench.worker.right = lambda recipe: 50 if recipe.head.solver == "gradient" else 49
    bench.worker.wrong = lambda recipe: 100 if recipe.head.solver == "gradient" else 150
    chosen = decision(strategy="feature-extraction", boundary=6)
    record = bench.go(trials=6, decision=chosen)
    assert record.best.recipe.head.solver == "gradient"


# ---- side effects ----


def test_tensorboard_scalars_without_tensorflow(bench: Bench) -> None:
    bench.go(trials=2, tensorboard=True)
    files = sorted((bench.folder / "run/tensorboard").glob("*/events.out.tfevents.*"))
    assert [f.parent.name for f in files] == ["000-feature-extraction", "001-partial-freeze"]
    found = events(files[1])
    epochs = bench.ledger.trials()[1].recipe.numbers.epochs
    assert [event.step for event in found] == [0, 0, 1, epochs]
    assert [value.tag for value in found[1].summary.value] == ["loss"]
    assert found[1].summary.value[0].tag == "loss"
    assert found[1].summary.value[0].simple_value == 2.0
    tags = {value.tag for value in found[3].summary.value}
    assert "validation/accuracy" in tags


def events(path: Path) -> list[Any]:
    from tensorboard.compat.proto.event_pb2 import Event

    content, found = path.read_bytes(), []
    while content:
        size = struct.unpack("<Q", content[:8])[0]
        found.append(Event.FromString(content[12 : 12 + size]))
        content = content[16 + size :]
    return found


def test_the_parent_imports_neither_keras_nor_keras_tuner() -> None:
    code = (
        "import sys; import autotl.search, autotl.search.scalars, autotl.evaluate;"
        "print([m for m in ('keras', 'tensorflow', 'keras_tuner', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_heads_differ_only_in_what_was_proposed() -> None:
    base = default("full-fine-tune", measurements())
    assert recipe_of(base, {"dropout": 0.4}).head == Head(
        solver="gradient", dropout=0.4, l2=base.head.l2
    )
    with pytest.raises(KeyError):
        recipe_of(base, {"unheard-of": 1})
