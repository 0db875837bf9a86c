from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from autotl import errors, evaluate
from autotl.evaluate import figures as pure
from autotl.files import file_ref
from autotl.pixels import content_hash
from autotl.records import (
    Backbone,
    Dataset,
    Evaluation,
    FileRef,
    InputSizes,
    LocatedBackbone,
    Preprocessing,
    Recipe,
    SearchRecord,
    Split,
    SplitRecord,
    StoredPixels,
    Trial,
    TrialResult,
    from_json,
    to_json,
)

FILE = FileRef(path="x", sha256="0", size=1)


def judged(probabilities: Any, labels: Any, **changes: Any) -> Evaluation:
    given_: dict[str, Any] = {
        "classes": ("a", "b", "c"),
        "train_labels": np.array([0, 1, 1, 2]),
        "probe": None,
        "temperature": 1.0,
        "model": FILE,
        "predictions": FILE,
        "seed": 0,
    }
    return pure.figures(np.asarray(probabilities), np.asarray(labels), **given_ | changes)


def sure(told: list[int], classes: int = 3) -> Any:
    rows = np.full((len(told), classes), 0.1 / (classes - 1), np.float32)
    rows[np.arange(len(told)), told] = 0.9
    return rows


# ---- figures ----


def test_known_answers() -> None:
    labels, told = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 1, 0, 2, 2, 2]
    found = judged(sure(told), labels, probe=sure([0] * 10))
    assert found.examples == 10
    assert found.accuracy.value == pytest.approx(0.8)
    assert found.accuracy.low == pytest.approx(0.490162, abs=1e-6)  # Wilson's, by hand
    assert found.accuracy.high == pytest.approx(0.943318, abs=1e-6)
    assert found.balanced_accuracy.value == pytest.approx((3 / 4 + 2 / 3 + 1) / 3)
    assert found.macro_f1.value == pytest.approx((6 / 8 + 4 / 6 + 1) / 3)
    assert found.log_loss == pytest.approx(-(8 * np.log(0.9) + 2 * np.log(0.05)) / 10, rel=1e-5)
    assert found.confusion == ((3, 1, 0), (1, 2, 0), (0, 0, 3))
    assert found.majority.value == pytest.approx(0.3)
    assert found.linear_probe is not None
    assert found.linear_probe.value == pytest.approx(0.4)
    assert found.calibration_error == pytest.approx(0.1, abs=1e-6)
    second = found.per_class[1]
    assert (second.name, second.examples) == ("b", 3)
    assert (second.precision, second.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_the_record_round_trips() -> None:
    found = judged(sure([0, 1, 2]), [0, 1, 1])
    assert from_json(Evaluation, to_json(found)) == found


def test_classes_without_test_rows() -> None:
    found = judged(sure([0, 0, 2]), [0, 0, 0])
    assert found.balanced_accuracy.value == pytest.approx(2 / 3)
    assert found.macro_f1.value == pytest.approx(0.4)
    assert [score.examples for score in found.per_class] == [3, 0, 0]


def test_every_row_right() -> None:
    found = judged(sure([0, 1, 2] * 5), [0, 1, 2] * 5)
    for interval in (found.accuracy, found.balanced_accuracy, found.macro_f1):
        assert interval.value == interval.high == 1.0
    assert 0.75 < found.accuracy.low < 1.0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(5, 60), st.integers(2, 5))
def test_figures_agree_with_scikit_learn(seed: int, rows: int, classes: int) -> None:
    from sklearn import metrics

    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, rows)
    probabilities = draw.dirichlet(np.ones(classes), rows).astype(np.float32)
    told = probabilities.argmax(1)
    names = tuple("abcde"[:classes])
    found = judged(probabilities, labels, classes=names, train_labels=labels)
    assert found.accuracy.value == pytest.approx(metrics.accuracy_score(labels, told))
    assert found.macro_f1.value == pytest.approx(metrics.f1_score(labels, told, average="macro"))
    recalls = metrics.recall_score(
        labels, told, labels=np.unique(labels), average="macro", zero_division=0
    )
    assert found.balanced_accuracy.value == pytest.approx(recalls)
    for interval in (found.accuracy, found.balanced_accuracy, found.macro_f1, found.majority):
        assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert 0 <= found.calibration_error <= 1
    assert sum(map(sum, found.confusion)) == rows


def test_bootstrap_is_seeded_and_about_right() -> None:
    confusion = np.array([[80, 20], [30, 70]])
    one, two = (pure.bootstrap(confusion, seed=0) for _ in range(2))
    assert one == two
    assert pure.bootstrap(confusion, seed=1) != one
    balanced = one[0]
    error = np.sqrt(0.8 * 0.2 / 100 + 0.7 * 0.3 / 100) / 2
    assert balanced.value == pytest.approx(0.75)
    assert balanced.high - balanced.low == pytest.approx(2 * 1.96 * error, rel=0.15)


# ---- calibration ----


def test_temperature_finds_what_was_put_in() -> None:
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(4000, 4)) * 2
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([draw.choice(4, p=p) for p in shares])
    assert pure.fit_temperature(logits, labels) == pytest.approx(1.0, abs=0.08)
    assert pure.fit_temperature(logits * 2, labels) == pytest.approx(2.0, abs=0.15)
    assert pure.fit_temperature(logits * 100, labels) == pytest.approx(4.0, abs=0.01)
    assert pure.fit_temperature(logits / 100, labels) == pytest.approx(0.25, abs=0.01)


def test_temperature_stays_one_with_few_rows() -> None:
    labels = np.arange(99) % 3
    logits = np.eye(3)[(labels + (np.arange(99) < 40)) % 3] * 9
    assert pure.fit_temperature(logits, labels) == 1.0
    assert pure.fit_temperature(np.tile(logits, (2, 1)), np.tile(labels, 2)) == pytest.approx(
        4.0, abs=0.01
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.25, 4.0))
def test_temperature_never_raises_the_validation_loss(seed: int, scale: float) -> None:
    draw = np.random.default_rng(seed)
    logits, labels = draw.normal(size=(150, 3)) / scale, draw.integers(0, 3, 150)
    found = pure.fit_temperature(logits, labels)
    assert 0.25 <= found <= 4.0
    assert pure._loss(logits / found, labels) <= pure._loss(logits, labels) + 1e-12


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.25, 4.0))
def test_temperature_is_taken_off_again(seed: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(size=(20, 4))
    softmax = lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)  # noqa: E731
    before = pure.without_temperature(softmax(logits / temperature), temperature)
    assert before == pytest.approx(softmax(logits), abs=1e-9)


def test_calibration_error_known_answers() -> None:
    three_quarters = np.tile([[0.75, 0.25]], (240, 1))
    labels = (np.arange(240) % 4 == 0).astype(int)
    assert pure.calibration_error(three_quarters, labels) == pytest.approx(0.0, abs=1e-9)
    assert pure.calibration_error(three_quarters, np.zeros(240, int)) == pytest.approx(0.25)
    assert pure.calibration_error(np.eye(2)[[0] * 30], np.ones(30, int)) == pytest.approx(1.0)


# ---- the step ----


class FakeWorker:
    """Writes a model as a text and predicts by it: the probe always says class 0."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def call(self, function: str, spec: dict[str, Any], *, progress: Any = None) -> Any:
        self.calls.append((function, spec))
        if function == "autotl.model:save_final":
            Path(spec["out"]).write_text(spec["recipe"]["strategy"])
            return {"sha256": "0", "size": 1}
        assert function == "autotl.evaluate.whole:predict"
        pixels = np.load(spec["pixels"])
        told = pixels[:, 0, 0, 0] // 100
        if Path(spec["model"]).read_text() == "feature-extraction":
            told = np.zeros_like(told)
        np.save(spec["out"], sure(list(told)))
        return {}


def trial(number: int, strategy: Any, run_folder: Path) -> Trial:
    path, weights = run_folder / f"{number}.npy", run_folder / f"{number}.npz"
    np.save(path, np.eye(3, dtype=np.float32)[np.arange(118) % 3])
    weights.write_bytes(b"weights")
    recipe = Recipe(
        backbone="toy",
        strategy=strategy,
        input_size=32,
        pretrained=True,
        boundary=0,
        last=1,
        taps=(1,),
    )
    result = TrialResult(
        metrics={},
        epochs=1,
        seconds=1.0,
        weights=file_ref(weights, run_folder),
        predictions=file_ref(path, run_folder),
        stopped="epochs",
    )
    return Trial(
        number=number,
        origin="default",
        recipe=recipe,
        hyperparameters={},
        status="finished",
        seconds=1.0,
        result=result,
        seed=number + 40,
    )


def located() -> LocatedBackbone:
    preprocessing = Preprocessing(size=32)
    backbone = Backbone(
        name="toy",
        build="toy:build",
        stages=("one",),
        input_sizes=InputSizes(least=32, most=96, default=32),
        preprocessing=preprocessing,
        parameters=7,
        license="Apache-2.0",
        source_domain="nothing",
    )
    return LocatedBackbone(
        backbone=backbone,
        distribution="tests",
        input_size=32,
        preprocessing=preprocessing,
        weights=None,
        weights_sha256=None,
    )


def ran(
    tmp_path: Path,
    *,
    best: int = 1,
    unreadable: tuple[int, ...] = (),
    changed: tuple[int, ...] = (),
    spoilt: str = "",
) -> Any:
    """Thirty rows of plain colours: 0..9 train, 10..19 validation, 20..29 test."""
    run_folder, read = tmp_path / "run", []
    run_folder.mkdir()
    labels = tuple(row % 3 for row in range(30))

    def one(row: int) -> Any:
        read.append(row)
        return b"torn" if row in unreadable else plain(row, 39 if row in changed else 40)

    def plain(row: int, side: int = 40) -> Any:
        return np.full((side, side, 3), labels[row] * 100, np.uint8)

    dataset = Dataset(
        kind="image",
        ids=tuple(f"row{row}" for row in range(30)),
        labels=labels,
        classes=("a", "b", "c"),
        read=one,
    )
    record = SplitRecord(train=10, validation=10, test=10, dropped=0, digest="0")
    split = Split(
        train=tuple(range(10)),
        validation=tuple(range(10, 20)),
        test=tuple(range(20, 30)),
        record=record,
    )
    np.save(tmp_path / "labels.npy", np.arange(130, dtype=np.int32) % 3)
    pixels = StoredPixels(
        pixels="none",
        margin="none",
        labels=str(tmp_path / "labels.npy"),
        train=10 + 2,
        validation=118,
        size=32,
        margin_size=36,
        classes=3,
        key="k",
    )
    trials = [
        trial(0, "feature-extraction", run_folder),
        trial(1, "partial-freeze", run_folder),
    ]
    if spoilt:
        (run_folder / spoilt).write_bytes(b"else")
    search = SearchRecord(
        best=trials[best],
        probe=trials[0],
        trials=2,
        failed=0,
        comparable=2,
        metric="accuracy",
        stopped="",
    )
    worker = FakeWorker()
    found = evaluate.evaluate(
        search,
        dataset,
        tuple(content_hash(b"torn" if row in unreadable else plain(row)) for row in range(30)),
        split,
        pixels,
        located(),
        worker=worker,
        folder=tmp_path / "cache",
        run_folder=run_folder,
        seed=0,
    )
    return found, worker, read, run_folder


def test_the_final_model_and_the_probe_meet_the_same_test_rows(tmp_path: Path) -> None:
    found, worker, read, run_folder = ran(tmp_path)
    assert sorted(set(read)) == list(range(20, 30))
    assert found.accuracy.value == 1.0
    assert found.linear_probe is not None
    assert found.linear_probe.value == pytest.approx(3 / 10)
    assert found.majority.value == pytest.approx(3 / 10)
    assert (found.model.path, found.predictions.path) == ("model.keras", "test_predictions.npy")
    assert (run_folder / "model.keras").read_text() == "partial-freeze"
    assert not list(run_folder.glob(".probe-*"))
    saved = [spec for name, spec in worker.calls if name.endswith("save_final")]
    assert [spec["seed"] for spec in saved] == [41, 40]
    assert saved[0]["temperature"] == found.temperature
    assert saved[0]["weights"] == str(run_folder / "1.npz")
    asked = [spec for name, spec in worker.calls if name.endswith("predict")]
    assert [spec["recipe"]["strategy"] for spec in asked] == [
        "partial-freeze",
        "feature-extraction",
    ]
    assert [spec["seed"] for spec in asked] == [41, 40]
    for spec in asked:
        assert (spec["passed"], spec["folder"]) == (130, str(tmp_path / "cache"))
        assert Path(spec["pixels"]).stem == spec["key"]
        assert from_json(LocatedBackbone, spec["located"]) == located()


def test_where_the_probe_is_best_it_is_predicted_once(tmp_path: Path) -> None:
    found, worker, _, _ = ran(tmp_path, best=0)
    assert found.linear_probe == found.accuracy
    assert len(worker.calls) == 2


def test_the_surest_mistakes_are_kept_with_pictures_of_test_rows(tmp_path: Path) -> None:
    found, _, read, run_folder = ran(tmp_path, best=0, unreadable=(22,), changed=(23,))
    assert set(read) == set(range(20, 30))
    assert found.mistakes is not None
    wrong = [row for row in (20, 24, 25, 26, 27, 28, 29) if row % 3]
    assert [one.id for one in found.mistakes] == [f"row{row}" for row in wrong]
    for one, row in zip(found.mistakes, wrong, strict=True):
        assert (one.label, one.predicted, one.probability) == (row % 3, 0, pytest.approx(0.9))
        assert one.thumbnail == file_ref(run_folder / f"thumbnails/{row:06d}.jpg", run_folder)
        with Image.open(run_folder / one.thumbnail.path) as image:
            assert (image.format, image.size) == ("JPEG", (40, 40))
    assert found.reliability is not None
    (last,) = (one for one in found.reliability if one.examples)
    assert (last.low, last.examples) == (0.8, 8), "0.9 in float32 lies under 0.9"
    assert from_json(Evaluation, to_json(found)) == found


def test_unreadable_test_rows_are_set_aside(tmp_path: Path) -> None:
    found, _, _, _ = ran(tmp_path, unreadable=(21, 25))
    assert found.examples == 8
    assert [one.id for one in found.set_aside] == ["row21", "row25"]
    assert found.accuracy.value == 1.0


def test_test_rows_that_are_no_longer_what_was_loaded_are_set_aside(tmp_path: Path) -> None:
    found, _, _, _ = ran(tmp_path, changed=(22,))
    assert found.examples == 9
    assert [(one.id, one.reason) for one in found.set_aside] == [
        ("row22", "Its content is not what was loaded.")
    ]


@pytest.mark.parametrize("name", ["1.npy", "1.npz", "0.npz"])
def test_a_trial_s_file_that_changed_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.RunFolderError, match=f"{name} is not the file") as caught:
        ran(tmp_path, spoilt=name)
    assert "Put the file back" in caught.value.hint


def test_no_readable_test_row_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(errors.DataError):
        ran(tmp_path, unreadable=tuple(range(20, 30)))
