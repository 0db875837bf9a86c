"""Which of several backbones is taken: known answers, faults, and a real network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotl.errors import (
    AutotlError,
    DeadlineError,
    DiskError,
    InternalError,
    OutOfMemoryError,
    ParityError,
    PluginError,
    ResourceError,
    WorkerError,
)
from autotl.measure import ranking
from autotl.records import LocatedBackbone, Ranked
from autotl.worker import Worker
from tests.test_measure import located as embedded_at_32

LABELS = np.arange(60) % 3


def ranked(name: str, parameters: int, linear: float, forward: float = 0.001) -> Ranked:
    return Ranked(name=name, input_size=64, parameters=parameters, linear=linear, forward=forward)


def right(share: float, n: int = 200) -> np.ndarray:
    return np.arange(n) < share * n


def test_the_largest_stays_unless_another_beats_it_clearly() -> None:
    large, small = ranked("large", 9, 0.80), ranked("small", 1, 0.805)
    rights = {"large": right(0.80), "small": np.roll(right(0.805), 9)}
    name, reason = ranking.choose([large, small], rights, 100, None)
    assert name == "large"
    assert "no other one's linear probe is better" in reason
    little = {"large": right(0.80), "small": right(0.815)}  # by 1.7 standard errors
    assert ranking.choose([large, ranked("small", 1, 0.815)], little, 100, None)[0] == "large"
    better = {"large": right(0.80), "small": right(0.90)}
    name, reason = ranking.choose([large, ranked("small", 1, 0.9)], better, 100, None)
    assert name == "small"
    assert "(on 200 examples small 90.0 %, large 80.0 %)" in reason
    groups = [0 if 160 <= row < 180 else row for row in range(200)]  # one group has all that differ
    one = ranking.choose([large, ranked("small", 1, 0.9)], better, 100, None, groups)
    assert one[0] == "large"


def test_what_the_budget_does_not_hold_is_no_choice() -> None:
    slow, quick = ranked("slow", 9, 0.9, forward=1.0), ranked("quick", 1, 0.5)
    rights = {"slow": right(0.9), "quick": right(0.5)}
    assert ranking.choose([slow, quick], rights, 100, 1000.0)[0] == "slow"
    name, reason = ranking.choose([slow, quick], rights, 100, 100.0)
    assert name == "quick"
    assert "too slow for the budget: slow 90.0 %" in reason
    assert "quick is taken, the only backbone that the budget holds" in reason
    name, reason = ranking.choose([slow, quick], rights, 10**6, 100.0)
    assert name == "quick"
    assert "the quickest of 2 backbones" in reason


class Canned:
    """A worker whose networks tell the classes apart as well as stated, or fail."""

    def __init__(
        self, folder: Path, apart: dict[str, Any], labels: np.ndarray = LABELS, wide: int = 4
    ) -> None:
        self.folder, self.apart, self.labels = folder, apart, labels
        classes = labels.max() + 1
        self.centres = np.random.default_rng(1).normal(size=(classes, wide))
        if classes < wide:
            self.centres = np.eye(classes, wide)

    def call(self, function: str, spec: dict[str, Any], **more: Any) -> Any:
        assert function == "autotl.measure.ranked:run"
        name = spec["located"]["backbone"]["name"]
        if isinstance(self.apart.get(name), Exception):
            raise self.apart[name]
        if name not in self.apart:
            raise PluginError(f"{name} cannot be built.")
        rows = np.load(spec["pixels"])
        features = np.random.default_rng(0).normal(size=(len(rows), self.centres.shape[1]))
        features += self.apart[name] * self.centres[self.labels[rows]]
        path = self.folder / f"{name}.npy"
        np.save(path, features.astype(np.float32))
        return {"features": str(path), "forward": 0.001, "fixed": 1.0}


def candidates(*names: str) -> list[LocatedBackbone]:
    own = embedded_at_32()
    backbones = [
        dataclasses.replace(own.backbone, name=name, parameters=100 - number)
        for number, name in enumerate(names)
    ]
    return [dataclasses.replace(own, backbone=backbone) for backbone in backbones]


def ranked_by(
    folder: Path,
    worker: Any,
    *names: str,
    missing: Sequence[int] = (),
    seconds_left: float | None = None,
    labels: np.ndarray = LABELS,
) -> Any:
    def store(place: LocatedBackbone, rows: Sequence[int]) -> tuple[Path, str, list[int]]:
        kept = [row for row in rows if place.backbone.name != "second" or row not in missing]
        path = folder / f"{place.backbone.name}-rows.npy"
        np.save(path, kept)
        return path, "key", kept

    about = (candidates(*names), labels, int(labels.max()) + 1, store, worker)
    limits: dict[str, Any] = {"examples": 60, "seed": 0, "seconds_left": seconds_left}
    return ranking.rank(*about, folder=folder, **limits)


BROKEN = (PluginError, ResourceError, OutOfMemoryError, WorkerError, ParityError)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_backbone_that_cannot_run_is_set_aside(kind: type[AutotlError], tmp_path: Path) -> None:
    broken = kind("first cannot be run.")
    worker = Canned(tmp_path, {"first": broken, "second": 1.0, "third": 9.0})
    found = ranked_by(tmp_path, worker, "first", "second", "third", missing=[5, 7])
    assert found.chosen == "third"
    assert found.examples == 58
    assert found.candidates[0].failure == "first cannot be run."
    assert "set aside: first (first cannot be run)" in found.reason
    with pytest.raises(kind, match="first cannot be run"):
        ranked_by(tmp_path, Canned(tmp_path, {"first": broken}), "first", "second")


def test_a_backbone_that_cannot_run_is_not_taken_where_time_lacks_for_the_others(
    tmp_path: Path,
) -> None:
    late, broken = DeadlineError("late"), WorkerError("third crashed.")
    worker = Canned(tmp_path, {"first": late, "second": late, "third": broken})
    found = ranked_by(tmp_path, worker, "first", "second", "third")
    assert found.chosen == "second"
    assert "third (third crashed)" in found.reason


@pytest.mark.parametrize(
    ("classes", "each", "probed"), [(3, 400, 400), (100, 9, 500), (500, 10, ranking.MOST_SAMPLE)]
)
def test_many_classes_are_compared_on_several_rows_of_each(
    tmp_path: Path, classes: int, each: int, probed: int
) -> None:
    labels = np.arange(classes * each) % classes
    worker = Canned(tmp_path, {"first": 0.0, "second": 9.0}, labels, wide=64)
    found = ranked_by(tmp_path, worker, "first", "second", labels=labels)
    assert (found.chosen, found.examples) == ("second", probed)
    assert found.candidates[1].linear > 0.5


def test_where_no_probe_can_be_right_the_largest_is_taken_and_it_is_said(tmp_path: Path) -> None:
    labels = np.arange(50)
    worker = Canned(tmp_path, {"first": 0.0, "second": 9.0}, labels, wide=64)
    found = ranked_by(tmp_path, worker, "first", "second", labels=labels)
    assert found.chosen == "first"
    assert found.reason == (
        "first, the largest of 2 backbones, is taken: they cannot be compared, as no linear probe "
        "is right on any of the 50 examples."
    )


def test_a_fault_of_ours_is_not_set_aside(tmp_path: Path) -> None:
    for error in (InternalError("a bug"), DiskError("full")):
        worker = Canned(tmp_path, {"first": error, "second": 1.0})
        with pytest.raises(type(error)):
            ranked_by(tmp_path, worker, "first", "second")


def test_where_time_lacks_for_every_one_the_smallest_is_taken(tmp_path: Path) -> None:
    late = DeadlineError("late")
    found = ranked_by(
        tmp_path, Canned(tmp_path, {"first": late, "second": late}), "first", "second"
    )
    assert found.chosen == "second"
    assert "second, the smallest, is taken" in found.reason
    assert ranking.time_to_compare(None)
    assert ranking.time_to_compare(600.0)
    assert not ranking.time_to_compare(120.0)


def test_timing_a_pass_longer_than_the_budget_says_what_to_do(tmp_path: Path) -> None:
    worker = Canned(tmp_path, {"first": DeadlineError("late")})
    (place,) = candidates("first")
    about = (place, 60, lambda *_: (tmp_path / "x.npy", "key", []), worker)
    with pytest.raises(ResourceError, match="timing a pass, which had 7 s") as caught:
        ranking.timed(*about, folder=tmp_path, seed=0, deadline=7.0)
    assert "--budget" in str(caught.value.hint)


def test_comparing_ends_where_the_budget_does_not_hold_it(tmp_path: Path) -> None:
    worker = Canned(tmp_path, {"first": 1.0, "second": 9.0})
    found = ranked_by(tmp_path, worker, "first", "second", seconds_left=1e-3)
    assert found.candidates[0].linear is not None
    assert "too long" in found.candidates[1].failure
    assert ranked_by(tmp_path, worker, "first", "second", seconds_left=1e6).chosen == "second"


def test_the_smallest_of_many_is_taken_where_the_others_are_too_slow(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d", "e"]
    few = [one.backbone.name for one in ranking.shortlist(candidates(*names))]
    assert few == ["a", "b", "c", "e"]
    assert ranking.shortlist(candidates("a", "b")) == candidates("a", "b")
    late = dict.fromkeys("abcd", DeadlineError("late"))
    found = ranked_by(tmp_path, Canned(tmp_path, late | {"e": 9.0}), *few)
    assert found.chosen == "e"


def test_one_that_was_not_compared_goes_before_what_the_budget_does_not_hold() -> None:
    slow = ranked("slow", 9, 0.9, forward=1.0)
    late = [
        Ranked(name=name, input_size=64, parameters=parameters, failure=ranking.TOO_LONG)
        for name, parameters in (("larger", 10), ("small", 1))
    ]
    name, reason = ranking.choose([slow, *late], {"slow": right(0.9)}, 100, 100.0)
    assert name == "small"
    assert "too slow for the budget: slow 90.0 %" in reason
    name, reason = ranking.choose([slow, late[0]], {"slow": right(0.9)}, 100, 100.0)
    assert name == "slow"
    assert "slow is taken, the only backbone that could be timed: a pass" in reason


@pytest.mark.slow
def test_a_real_network_is_ranked_in_a_worker(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 90, (60, 32, 32, 3)).astype(np.uint8)
    images[LABELS == 1, ::4] += 150
    images[LABELS == 2, :, ::4] += 150
    np.save(tmp_path / "pixels.npy", images)

    def store(place: LocatedBackbone, rows: Sequence[int]) -> tuple[Path, str, Sequence[int]]:
        return tmp_path / "pixels.npy", "made", rows

    with Worker(log=tmp_path / "log") as worker:
        about = ([embedded_at_32()], LABELS, 3, store, worker)
        found = ranking.rank(*about, folder=tmp_path / "store", examples=60, seed=0)
    assert found.chosen == "embedded"
    assert found.candidates[0].linear > 0.8
    assert found.candidates[0].forward > 0
