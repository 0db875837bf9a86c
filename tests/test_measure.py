from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier

from autotl.activations import store
from autotl.builtin import embedded
from autotl.builtin.embedded_backbone import backbone
from autotl.errors import DeadlineError, InternalError, ResourceError
from autotl.folds import fold_numbers
from autotl.measure import (
    depth,
    domain,
    measure,
    measuring,
    probes,
    ranking,
    sample,
    size,
    speed,
    together,
)
from autotl.records import (
    LoadRecord,
    LocatedBackbone,
    Measurements,
    Similarity,
    Speed,
    SplitRecord,
    StoredPixels,
    from_json,
    to_json,
)
from autotl.worker import Worker

CLASSES = 3


def made(n: int, d: int, *, apart: float = 1.0, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features (n, d) whose first columns tell the classes apart, and labels (n,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    features = rng.normal(size=(n, d)) * rng.uniform(0.1, 10, d) + rng.normal(size=d)
    features[:, :CLASSES] += apart * 3 * np.eye(CLASSES)[labels]
    return features.astype(np.float32), labels


# ---- size ----


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=200), st.integers(1, 100), st.integers(0, 9)
)
@settings(deadline=None)
def test_sample_is_stratified_sorted_and_repeats(drawn: list[int], most: int, seed: int) -> None:
    labels = np.array(drawn)
    rows = size.draw(labels, most, seed=seed)
    assert len(rows) == min(most, len(labels))
    assert np.all(np.diff(rows) > 0)
    assert np.array_equal(rows, size.draw(labels, most, seed=seed))
    for label in np.unique(labels):
        share = (labels == label).sum() * len(rows) / len(labels)
        assert abs((labels[rows] == label).sum() - share) <= len(np.unique(labels))


def test_counts() -> None:
    load = load_record(10, (2, 8))
    found = size.count(load, split_record(5), np.array([0, 1, 1, 1, 1]))
    assert (found.examples, found.train, found.classes) == (10, 5, 2)
    assert (found.per_class_least, found.per_class_median, found.imbalance) == (1, 2.5, 4.0)
    assert (found.duplicates, found.median_side) == (3, 40)


# ---- probes ----


@pytest.mark.parametrize(("n", "d"), [(60, 10), (40, 90), (50, 50)])
def test_left_out_predictions_are_those_of_a_fit_without_the_fold(n: int, d: int) -> None:
    features, labels = made(n, d)
    z, fold = probes.standardise(features), fold_numbers(labels, seed=1)
    targets = probes.one_hot(labels, CLASSES)
    strengths = (0.1, 10.0, 1000.0)
    for number in range(5):
        out = fold == number
        found = probes._paths(z[~out], targets[~out], z[out], strengths)
        for strength, predicted in zip(strengths, found, strict=True):
            model = Ridge(alpha=strength).fit(z[~out], targets[~out])
            assert predicted == pytest.approx(model.predict(z[out]), abs=1e-7)


@pytest.mark.parametrize(("n", "d"), [(60, 10), (40, 90)])
def test_ridge_weights_are_those_of_scikit_learn(n: int, d: int) -> None:
    features, labels = made(n, d)
    z, targets = probes.standardise(features), probes.one_hot(labels, CLASSES)
    model = Ridge(alpha=3.0).fit(z, targets)
    assert probes.solve(z, targets, 3.0) == pytest.approx(model.coef_.T, abs=1e-8)


def test_the_error_of_a_mean_adds_up_what_is_not_independent() -> None:
    rng = np.random.default_rng(0)
    apart = rng.integers(-1, 2, 200).astype(float)
    plain = apart.std() / np.sqrt(200)
    assert probes.standard_error(apart) == pytest.approx(plain)
    assert probes.standard_error(apart, range(200)) == pytest.approx(plain)
    fivefold = probes.standard_error(np.repeat(apart, 5), np.repeat(np.arange(200), 5).tolist())
    assert fivefold == pytest.approx(plain, rel=0.003), "five copies say no more than the row"
    assert probes.standard_error(apart, [7] * 200) == np.inf
    halves = probes.standard_error(np.repeat([1.0, 0.0], 100), [0] * 100 + [1] * 100)
    assert halves == pytest.approx(0.5), "the error of the mean of two"


def test_linear_probe_tells_classes_from_noise() -> None:
    features, labels = made(300, 20, apart=20.0)
    fold = fold_numbers(labels, seed=0)
    found = probes.linear(features, labels, CLASSES, fold)
    assert found.accuracy > 0.9
    assert found.accuracy == found.right.mean()
    noise, _ = made(300, 20, apart=0.0, seed=1)
    assert abs(probes.linear(noise, labels, CLASSES, fold).accuracy - 1 / CLASSES) < 0.12


def test_linear_probe_minds_neither_scale_nor_constant_columns() -> None:
    features, labels = made(100, 8, apart=2.0)
    fold = fold_numbers(labels, seed=0)
    plain = probes.linear(features, labels, CLASSES, fold).accuracy
    tiny = np.concatenate([features * 1e-11, np.full((100, 3), 7.0, np.float32)], axis=1)
    assert probes.linear(tiny, labels, CLASSES, fold).accuracy == plain
    dead = np.zeros((100, 4), np.float32)
    assert 0 <= probes.linear(dead, labels, CLASSES, fold).accuracy <= 0.6


def test_neighbours_are_those_of_scikit_learn() -> None:
    features, labels = made(120, 6)
    fold = fold_numbers(labels, seed=0)
    z, right = probes.standardise(features), 0
    for number in range(5):
        out = fold == number
        model = KNeighborsClassifier(5, metric="cosine", algorithm="brute").fit(
            z[~out], labels[~out]
        )
        right += (model.predict(z[out]) == labels[out]).sum()
    assert probes.neighbours(features, labels, CLASSES, fold) == right / 120


@pytest.mark.parametrize(
    ("held", "told"), [([100, 100, 100], [50, 100, 200]), ([150, 150], [38, 75, 150])]
)
def test_curve_tells_how_many_rows_a_probe_saw(held: list[int], told: list[int]) -> None:
    features, labels = made(300, 20)
    fold = np.repeat(np.arange(len(held)), held)
    whole = probes.linear(features, labels, CLASSES, fold)
    points = probes.curve(features, labels, CLASSES, fold, whole, seed=0)
    assert [point.examples for point in points] == pytest.approx(told, abs=1)


def test_curve_rises_with_examples_and_ends_at_the_probe() -> None:
    features, labels = made(400, 60, apart=1.5)
    fold = fold_numbers(labels, seed=0)
    whole = probes.linear(features, labels, CLASSES, fold)
    points = probes.curve(features, labels, CLASSES, fold, whole, seed=0)
    assert [point.examples for point in points] == [80, 160, 320]
    assert points[0].accuracy < points[2].accuracy
    assert points[2].accuracy == whole.accuracy
    assert points == probes.curve(features, labels, CLASSES, fold, whole, seed=0)


def test_predict_equals_scikit_learn_on_new_rows() -> None:
    features, labels = made(80, 12, apart=2.0)
    others, _ = made(30, 12, seed=5)
    z = probes.standardise(features)
    model = Ridge(alpha=2.0).fit(z, probes.one_hot(labels, CLASSES))
    wide = features.astype(float)
    new = (others - wide.mean(axis=0)) / wide.std(axis=0)
    found = probes.predict(features, labels, CLASSES, others, 2.0)
    assert np.array_equal(found, model.predict(new).argmax(axis=1))


def test_few_rows_of_one_class_are_no_error() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2])
    features = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    fold = fold_numbers(labels, seed=0)
    whole = probes.linear(features, labels, CLASSES, fold)
    assert 0 <= whole.accuracy <= 1
    assert 0 <= probes.neighbours(features, labels, CLASSES, fold) <= 1
    assert len(probes.curve(features, labels, CLASSES, fold, whole, seed=0)) == 3


def test_orientation_matters_where_mirroring_swaps_the_classes() -> None:
    features, labels = made(200, 6, apart=20.0)
    rows = np.arange(0, 200, 2)
    base = measuring.Sample(
        labels=labels,
        fold=fold_numbers(labels, seed=0),
        classes=CLASSES,
        pretrained=[features],
        random=[],
        mirrored=[features[rows]],
        random_rows=rows,
        mirrored_rows=rows,
    )
    assert not measuring.orientation_matters(base, 1, 10.0)
    swapped = features[rows].copy()
    swapped[:, [0, 1]] = swapped[:, [1, 0]]
    assert measuring.orientation_matters(dataclasses.replace(base, mirrored=[swapped]), 1, 10.0)
    some = np.arange(1, 200, 3)
    bare = dataclasses.replace(
        base, pretrained=[], random=[features[some]], random_rows=some, mirrored_rows=some[::2]
    )
    for turned, matters in ((features, False), (features[:, [1, 0, 2, 3, 4, 5]], True)):
        one = dataclasses.replace(bare, mirrored=[turned[some[::2]]])
        assert measuring.orientation_matters(one, 1, 10.0) is matters


# ---- what a head alone reads ----


def read_together(outputs: list[NDArray[Any]], labels: NDArray[Any], tap: int) -> Any:
    fold = fold_numbers(labels, seed=0)
    tapped = probes.linear(outputs[tap - 1], labels, CLASSES, fold)
    found = together.together(outputs, labels, CLASSES, fold, tap=tap, tapped=tapped)
    whole = probes.linear(np.concatenate(outputs, axis=1), labels, CLASSES, fold)
    assert found[0] == whole.accuracy
    return tapped.accuracy, *found


def test_a_head_reads_all_stages_where_each_tells_other_classes_apart() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 300)
    stages = [rng.normal(size=(300, 4)) * 0.1 for _ in range(2)]
    stages[0][:, 0] += labels == 0
    stages[1][:, 0] += labels == 1
    tapped, whole, reads = read_together(stages, labels, tap=2)
    assert tapped < 0.8
    assert whole > 0.99
    assert reads == (1, 2)


def test_a_head_reads_the_tap_where_the_other_stages_are_noise() -> None:
    features, labels = made(60, 4, apart=5)
    noise = np.random.default_rng(1).normal(size=(60, 2000))
    tapped, whole, reads = read_together([noise, features], labels, tap=2)
    assert whole < tapped - 0.2
    assert reads == (2,)


def test_a_head_reads_all_stages_where_the_tap_is_better_in_one_group_alone() -> None:
    labels = np.arange(100) % CLASSES
    fold = fold_numbers(labels, seed=0)
    features, _ = made(100, 6, apart=0.0)
    outputs = [features, features[:, :2]]
    whole = probes.linear(np.concatenate(outputs, axis=1), labels, CLASSES, fold)
    better = whole.right.copy()
    won = np.flatnonzero(~better)[:12]
    better[np.flatnonzero(better)[:2]] = False
    better[won] = True
    tapped = dataclasses.replace(whole, accuracy=float(better.mean()), right=better)
    groups = np.arange(100)
    groups[won] = 100
    for bundles, reads in ((None, (2,)), (groups.tolist(), (1, 2))):
        found = together.together(
            outputs, labels, CLASSES, fold, tap=2, tapped=tapped, bundles=bundles
        )
        assert found[1] == reads


def test_rows_that_are_all_of_one_fold_are_folded_anew() -> None:
    features, labels = made(100, 6)
    sample = measuring.Sample(
        labels=labels,
        fold=np.zeros(100, np.int64),
        classes=CLASSES,
        pretrained=[],
        random=[features],
        mirrored=[features],
        random_rows=np.arange(50),
        mirrored_rows=np.arange(50),
    )
    fold = measuring._fold_of(sample, sample.random_rows)
    assert (fold == fold_numbers(labels[:50], seed=0)).all()
    sample.fold[::2] = 1
    assert (measuring._fold_of(sample, sample.random_rows) == sample.fold[:50]).all()


def test_equal_probes_read_all_stages() -> None:
    features, labels = made(200, 4)
    assert read_together([features, features], labels, tap=2)[2] == (1, 2)


# ---- depth ----


def right(*shares: float, n: int = 1000) -> list[NDArray[np.bool_]]:
    return [np.arange(n) < share * n for share in shares]


def test_tap_is_the_best_stage_and_of_equals_the_later() -> None:
    assert depth.tap(right(0.5, 0.8, 0.6)) == 2
    assert depth.tap(right(0.5, 0.8, 0.8)) == 3
    assert depth.tap(right(0.5, 0.8, 0.7995, 0.6)) == 3


def test_what_one_group_alone_says_moves_no_stage() -> None:
    groups = np.repeat(np.arange(20), 50).tolist()
    early, late = right(0.9, 0.85)
    assert depth.tap([early, late]) == 1
    assert depth.tap([early, late], groups) == 2, "one group of 20 has all that is better"
    assert depth.boundary([early, late, late], (100, 99, 98, 1), 3) == 1
    assert depth.boundary([early, late, late], (100, 99, 98, 1), 3, groups) == 2
    spread = np.arange(1000) % 20 * 50 + np.arange(1000) // 20
    assert depth.tap([early[spread], late[spread]], groups) == 1, "better in every group"


def test_one_group_in_all_settles_nothing() -> None:
    assert depth.tap(right(0.9, 0.1), [0] * 1000) == 2


def test_boundary_leaves_most_parameters_and_stays_where_the_curve_rises() -> None:
    above = (100, 98, 90, 76, 40, 0)
    assert depth.boundary(right(0.2, 0.3, 0.4, 0.5, 0.6), above, 5) == 3
    assert depth.boundary(right(0.2, 0.6, 0.4, 0.5, 0.55), above, 5) == 2
    assert depth.boundary(right(0.6, 0.3, 0.3, 0.3, 0.3), above, 1) == 0
    assert depth.boundary(right(0.2, 0.3, 0.4, 0.5, 0.6), (100, 20, 10, 5, 1, 0), 5) == 0


def test_boundaries_of_real_backbones() -> None:
    mobilenet_v2 = (
        *(2257984, 2256000, 2250432, 2240976, 2230336, 2214656, 2198976, 2177024, 2121088),
        *(2065152, 2009216, 1940864, 1820096, 1699328, 1541440, 1217280, 893120, 414720, 0),
    )
    rising = right(*np.linspace(0.3, 0.9, 18))
    assert depth.boundary(rising, mobilenet_v2, 18) == 13
    own = (1341760, 1339264, 1297408, 1086976, 166400, 0)
    chosen = depth.boundary(right(*np.linspace(0.3, 0.9, 5)), own, 5)
    assert embedded.STAGES[chosen - 1] == "stage2"


# ---- the step ----


def load_record(examples: int, per_class: tuple[int, ...]) -> LoadRecord:
    return LoadRecord(
        fingerprint="f",
        loader="l",
        reason="r",
        kind="image",
        examples=examples,
        classes=tuple(f"c{i}" for i in range(len(per_class))),
        per_class=per_class,
        median_side=40,
    )


def split_record(train: int) -> SplitRecord:
    return SplitRecord(train=train, validation=17, test=0, dropped=3, digest="d")


def located(*, weights: bool = True) -> LocatedBackbone:
    own = backbone()
    return LocatedBackbone(
        backbone=own,
        distribution="autotl",
        input_size=32,
        preprocessing=dataclasses.replace(own.preprocessing, size=32),
        weights=str(embedded.WEIGHTS_FILE) if weights else None,
        weights_sha256=embedded.recorded_checksum() if weights else None,
    )


def stored(folder: Path, train: int = 60, validation: int = 12) -> StoredPixels:
    """Pictures of stripes, blots and plain colours: class by class another texture."""
    rng = np.random.default_rng(0)
    labels = np.arange(train + validation) % CLASSES
    images = rng.integers(0, 60, (len(labels), 32, 32, 3)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        step = int(rng.integers(3, 6))
        if label == 0:
            image[::step] += 150
        elif label == 1:
            image[:, ::step] += 150
        else:
            image += 90
    for name, array in {
        "pixels": images,
        "margin": images,
        "labels": labels.astype(np.int32),
    }.items():
        np.save(folder / f"{name}.npy", array)
    return StoredPixels(
        pixels=str(folder / "pixels.npy"),
        margin=str(folder / "margin.npy"),
        labels=str(folder / "labels.npy"),
        train=train,
        validation=validation,
        size=32,
        margin_size=32,
        classes=CLASSES,
        key="made",
    )


class Canned:
    """A worker that gives stored features; the fault of a test is that it may raise."""

    def __init__(self, folder: Path, stages: int, *, error: Exception | None = None) -> None:
        self.folder, self.stages, self.error = folder, stages, error
        self.specs: list[dict[str, Any]] = []

    def call(self, function: str, spec: dict[str, Any], **_: Any) -> Any:
        assert function == "autotl.measure.sample:run"
        if self.error:
            raise self.error
        self.specs.append(spec)
        labels = np.load(spec["pixels"]["labels"])
        known = spec["located"]["weights"] is not None
        passed = np.arange(len(labels)) if spec["whole"] else spec["rows"]
        kinds = {"pretrained": passed, "random": spec["random_rows"]}
        kinds["mirrored"] = spec["mirrored_rows"]
        answer: dict[str, Any] = {}
        for kind, rows in kinds.items():
            answer[kind] = []
            for stage in range(self.stages if len(rows) and (known or kind != "pretrained") else 0):
                rng = np.random.default_rng(stage)
                apart = (stage + 1) * (kind == "pretrained")
                features = rng.normal(size=(len(rows), 5)) + apart * np.eye(5)[labels[rows]]
                path = self.folder / f"{kind}-{stage}.npy"
                np.save(path, features.astype(np.float32))
                answer[kind].append(str(path))
        speed = Speed(forward=1.0, train=3.0, share_above=(1.0, *[0.5] * self.stages), fixed=2.0)
        return answer | {
            "similarity": to_json(Similarity(value=0.5, low=0.4, high=0.6)),
            "speed": to_json(speed),
            "parameters_above": [100, 99, 95, 90, 60, 0],
        }


def run(
    folder: Path,
    worker: Any,
    place: LocatedBackbone,
    *,
    given: bool = False,
    trained: bool = True,
    **more: Any,
) -> Measurements:
    pixels = stored(folder, **more)
    about = (pixels, place, load_record(100, (30, 30, 40)), split_record(pixels.train), worker)
    return measure(*about, folder=folder / "store", seed=3, given=given, trained=trained)


def test_measure_puts_the_parts_together(tmp_path: Path) -> None:
    worker = Canned(tmp_path, 5)
    found = run(tmp_path, worker, located(), train=2400)
    assert len(worker.specs[0]["rows"]) == 2000
    assert len(worker.specs[0]["random_rows"]) == 1000
    assert set(worker.specs[0]["similar_rows"]) <= set(worker.specs[0]["random_rows"])
    assert max(worker.specs[0]["rows"]) < 2400
    passed = sum(
        len(worker.specs[0][f"{kind}rows"]) for kind in ("", "random_", "mirrored_", "similar_")
    )
    assert passed + domain.NOISE + ranking.SAMPLE <= 2 * 2000  # two passes over the sample
    assert [probe.examples for probe in found.probes] == [2000] * 5 + [1000] * 5
    assert (found.tap, found.boundary, found.pretrained) == (5, 3, True)
    assert 0 <= found.together <= 1
    assert found.reads in {(1, 2, 3, 4, 5), (5,)}
    assert found.size.train == 2400
    assert found.notes == ()
    assert found.size.validation == 17
    assert found.weights == embedded.recorded_checksum()
    assert from_json(Measurements, to_json(found)) == found
    again = run(tmp_path, worker, located(), train=2400)
    assert dataclasses.replace(again, seconds=0) == dataclasses.replace(found, seconds=0)


def test_classes_with_one_example_among_those_probed_are_said() -> None:
    assert measuring.alone(np.array([0, 0, 1, 1])) == ()
    assert measuring.alone(np.array([0, 0, 1, 2, 2, 3])) == (
        "2 classes have one example among those probed: no probe can be right on them, nor on more "
        "than 66.7 % in all.",
    )
    assert measuring.alone(np.array([0, 1, 1])) == (
        "1 class has one example among those probed: no probe can be right on it, nor on more "
        "than 66.7 % in all.",
    )


def test_measuring_says_which_probes_cannot_be_right(tmp_path: Path) -> None:
    found = run(tmp_path, Canned(tmp_path, 5), located(), train=2)
    (note,) = found.notes
    assert note.startswith("2 classes have one example among those probed")


def test_all_rows_pass_where_a_trial_would_pass_them_anyway(tmp_path: Path) -> None:
    whole = []
    for train, trained in ((2400, True), (2400, False), (1999, False), (measuring.WHOLE + 1, True)):
        worker = Canned(tmp_path / f"{train}-{trained}", 5)
        worker.folder.mkdir()
        found = run(worker.folder, worker, located(), train=train, trained=trained)
        assert [p.examples for p in found.probes] == [min(train, 2000)] * 5 + [1000] * 5
        whole.append(worker.specs[0]["whole"])
    assert whole == [True, False, True, False]


def test_a_given_strategy_is_measured_without_random_weights(tmp_path: Path) -> None:
    worker = Canned(tmp_path, 5)
    found = run(tmp_path, worker, located(), given=True, train=2400)
    assert [probe.pretrained for probe in found.probes] == [True] * 5
    bare = run(tmp_path, worker, located(weights=False), given=True, train=2400)
    assert [probe.examples for probe in bare.probes] == [1000] * 5


def test_a_given_strategy_has_fewer_rows_compared_and_as_many_mirrored(tmp_path: Path) -> None:
    worker = Canned(tmp_path, 5)
    for given_ in (True, False):
        run(tmp_path, worker, located(), given=given_, train=2400)
    given_, chosen = worker.specs
    assert (len(given_["similar_rows"]), len(given_["mirrored_rows"])) == (128, 256)
    assert given_["mirrored_rows"] == chosen["mirrored_rows"] == chosen["similar_rows"]
    assert set(given_["similar_rows"]) < set(given_["mirrored_rows"])


def test_large_images_are_timed_in_smaller_batches() -> None:
    assert [speed.batch(side) for side in (32, 127, 128, 224)] == [32, 32, 16, 16]


def test_measure_without_weights(tmp_path: Path) -> None:
    found = run(tmp_path, Canned(tmp_path, 5), located(weights=False))
    assert (found.pretrained, found.tap, found.boundary) == (False, 5, 0)
    assert not any(probe.pretrained for probe in found.probes)
    assert len(found.curve) == 3


def test_measure_lets_the_workers_error_through(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="as said"):
        run(tmp_path, Canned(tmp_path, 5, error=InternalError("as said")), located())


def test_measuring_longer_than_the_budget_says_what_to_do(tmp_path: Path) -> None:
    late = Canned(tmp_path, 5, error=DeadlineError("stopped"))
    with pytest.raises(ResourceError, match="used up while measuring, which had 7 s") as caught:
        measure(
            stored(tmp_path),
            located(),
            load_record(100, (30, 30, 40)),
            split_record(60),
            late,
            folder=tmp_path / "store",
            seed=3,
            deadline=7.0,
        )
    assert "--budget" in caught.value.hint


def test_measure_honours_a_backbone_without_partial_freeze(tmp_path: Path) -> None:
    place = located()
    few = dataclasses.replace(place.backbone, no_partial_freeze="its cuts are too few")
    found = run(tmp_path, Canned(tmp_path, 5), dataclasses.replace(place, backbone=few))
    assert (found.boundary, found.no_partial_freeze) == (0, "its cuts are too few")
    assert run(tmp_path, Canned(tmp_path, 5), place).no_partial_freeze == ""


def test_the_sample_lets_its_store_entries_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def passed(spec: dict[str, Any], progress: Any) -> dict[str, Any]:
        path = store.make(tmp_path, "entry", lambda p: np.save(p, np.ones(2)))
        assert path in store._held
        return {"pretrained": [str(path)]}

    monkeypatch.setattr(sample, "_passed", passed)
    path = Path(sample.run({}, lambda *_: None)["pretrained"][0])
    assert path.exists()
    assert path not in store._held


@pytest.mark.slow
def test_measure_with_a_real_network_twice(tmp_path: Path) -> None:
    with Worker(log=tmp_path / "log") as worker:
        found = run(tmp_path, worker, located())
        again = run(tmp_path, worker, located())
        bare = run(tmp_path, worker, located(weights=False))
    assert found.similarity.value is not None
    assert 0 <= found.similarity.low <= found.similarity.value <= found.similarity.high <= 1
    assert max(p.linear for p in found.probes if p.pretrained) > 0.8
    assert found.parameters_above[0] == embedded.PARAMETERS
    assert found.parameters_above[-1] == 0
    assert found.speed.share_above[0] == 1
    assert found.speed.share_above[-1] == 0
    assert sorted(found.speed.share_above, reverse=True) == list(found.speed.share_above)
    assert found.speed.forward > 0
    assert found.speed.train > found.speed.forward

    def timeless(one: Measurements) -> Measurements:
        return dataclasses.replace(one, speed=again.speed, seconds=0)

    assert timeless(found) == timeless(again)
    assert bare.similarity.value is None
    assert "no pretrained weights" in bare.similarity.reason
