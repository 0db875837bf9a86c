from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotl import files
from autotl.activations import store
from autotl.errors import InternalError, ResourceError
from autotl.records import (
    STRATEGIES,
    Head,
    Measurements,
    Numbers,
    Recipe,
    Similarity,
    Size,
    Speed,
    TrialResult,
    from_json,
    to_json,
)
from autotl.train import augment, default, inputs, schedule, scores
from autotl.train.job import read as read_job
from tests.trials import HERE, MARGIN, PROBE, SIZE, Bench, bench, recipe

# ---- schedule ----


def test_the_rate_rises_and_falls() -> None:
    found = [schedule.rate(at, 0.1) for at in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert found == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])
    assert schedule.rate(0.0, 0.0) == 1.0
    assert schedule.rate(0.5, 0.0) == pytest.approx(0.5)


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_rate_is_a_share(at: float, warmup: float) -> None:
    assert 0.0 <= schedule.rate(at, warmup) <= 1.0


def test_position_is_the_larger_of_steps_and_seconds() -> None:
    assert schedule.position(5, 10, 3.0, None) == 0.5
    assert schedule.position(5, 10, 3.0, 12.0) == 0.5
    assert schedule.position(5, 10, 9.0, 12.0) == 0.75
    assert schedule.position(5, 10, 13.0, 12.0) == 1.0
    assert schedule.position(0, 10, 0.0, 0.0) == 1.0


# ---- views ----


def picture(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)


def test_views_of_a_flip() -> None:
    image = picture(SIZE)
    found = [augment.view(image, size=SIZE, level="flip", seed=1, row=2, view=v) for v in range(4)]
    assert np.array_equal(found[0], image)
    assert np.array_equal(found[1], image[:, ::-1])
    assert np.array_equal(found[2], image)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.integers(0, 10**6), st.integers(0, 50))
def test_a_view_depends_on_seed_row_and_number_alone(seed: int, row: int, view: int) -> None:
    one, two = (
        augment.view(picture(MARGIN), size=SIZE, level="flip-crop", seed=seed, row=row, view=view)
        for _ in range(2)
    )
    assert one.shape == (SIZE, SIZE, 3)
    assert np.array_equal(one, two)


def test_views_differ_by_seed_row_and_number() -> None:
    image = picture(40)
    drawn = [
        augment.view(image, size=SIZE, level="crop", seed=s, row=r, view=v).tobytes()
        for s, r, v in ((0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 2))
    ]
    assert len(set(drawn)) == 4


def test_views_of_many_rows_are_the_views_of_each() -> None:
    pixels = np.stack([picture(SIZE, n) for n in range(5)])
    margin = np.stack([picture(MARGIN, n) for n in range(5)])
    rows = [4, 1, 3]
    whole = augment.views(pixels, margin, rows, level="flip-crop", seed=9, number=0)
    assert np.array_equal(whole, pixels[rows])
    found = augment.views(pixels, margin, rows, level="flip-crop", seed=9, number=3)
    for image, row in zip(found, rows, strict=True):
        one = augment.view(margin[row], size=SIZE, level="flip-crop", seed=9, row=row, view=3)
        assert np.array_equal(image, one)


def test_equal_names_mean_equal_views() -> None:
    assert augment.name("none", 3, 1) == augment.name("flip", 2, 7) == "whole"
    assert augment.name("flip", 1, 1) == augment.name("flip", 3, 2)
    assert augment.name("crop", 1, 1) != augment.name("crop", 1, 2)
    assert augment.name("crop", 1, 1) != augment.name("flip-crop", 1, 1)


def test_a_cut_without_a_margin_is_an_error_and_a_flip_is_not(toy: Bench) -> None:
    bare = to_json(dataclasses.replace(toy.pixels, margin=""))
    for level, view in (("crop", 0), ("flip", 1), ("flip-crop", 0)):
        one = recipe("full-fine-tune", numbers=Numbers(augment=level, epochs=4, views=4))
        job = read_job(toy.spec(one, pixels=bare), lambda *_: None)
        rows = np.arange(5)
        found = inputs.from_pixels(job, lambda x: x).train(rows, view)
        assert found.shape == (5, SIZE, SIZE, 3)
        if level != "flip":
            with pytest.raises(InternalError, match="stored without a margin"):
                inputs.from_pixels(job, lambda x: x).train(rows, 1)


# ---- scores ----


def test_metrics_have_known_values() -> None:
    labels = np.array([0, 0, 0, 1])
    logits = np.log(np.array([[3, 1, 1], [3, 1, 1], [1, 3, 1], [1, 3, 1]]) / 5)
    found = scores.metrics(logits, labels)
    assert found["accuracy"] == 0.75
    assert found["balanced-accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["macro-f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert found["log-loss"] == pytest.approx(-(3 * math.log(0.6) + math.log(0.2)) / 4)


def test_ties_are_settled_by_log_loss() -> None:
    good, bad = {"accuracy": 0.5, "log-loss": 1.0}, {"accuracy": 0.5, "log-loss": 2.0}
    assert scores.rank(good, "accuracy") > scores.rank(bad, "accuracy")
    assert scores.rank(good, "log-loss") > scores.rank(bad, "log-loss")
    assert scores.rank({**bad, "accuracy": 0.6}, "accuracy") > scores.rank(good, "accuracy")


# ---- default recipes ----


def measured(train: int = 1000, **changes: Any) -> Measurements:
    size = Size(
        examples=train * 2,
        train=train,
        classes=3,
        per_class_least=10,
        per_class_median=10,
        imbalance=1.0,
        duplicates=0,
        median_side=100,
    )
    found = Measurements(
        backbone="Tiny",
        input_size=SIZE,
        stages=("one", "two", "three"),
        pretrained=True,
        size=size,
        similarity=Similarity(value=None, low=None, high=None),
        probes=(),
        curve=(),
        tap=3,
        boundary=1,
        parameters_above=(4, 3, 2, 0),
        orientation_matters=False,
        speed=Speed(forward=0.01, train=0.03, share_above=(1.0, 0.5, 0.2, 0.0), fixed=1.0),
        seconds=1.0,
    )
    return dataclasses.replace(found, **changes)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_default_recipes_are_points_of_one_space(strategy: Any) -> None:
    from autotl import model

    found = default(strategy, measured())
    model.check(found, ("one", "two", "three"))
    assert from_json(Recipe, to_json(found)) == found
    assert found.pretrained == (strategy != "scratch")
    assert (found.boundary == 0) == (strategy in ("full-fine-tune", "scratch"))


def test_defaults_follow_what_was_measured() -> None:
    assert default("partial-freeze", measured()).numbers.augment == "flip"
    upright = default("partial-freeze", measured(orientation_matters=True))
    assert upright.numbers.augment == "none"
    assert default("full-fine-tune", measured(orientation_matters=True)).numbers.augment == "crop"
    few, many = (default("scratch", measured(n)).numbers.epochs for n in (500, 50_000))
    assert few > many
    given = default("partial-freeze", measured(), boundary=2, learning_rate=0.5)
    assert (given.boundary, given.numbers.learning_rate) == (2, 0.5)
    with pytest.raises(ValueError, match="boundary"):
        default("partial-freeze", measured(boundary=0))


# ---- trials on a tiny network ----


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch, store.holding():
        patch.syspath_prepend(HERE)
        yield tmp_path_factory.mktemp("train")


@pytest.fixture(scope="module")
def toy(module_folder: Path) -> Bench:
    return bench(module_folder, 96, 210)


@pytest.fixture(scope="module")
def probed(toy: Bench) -> TrialResult:
    return toy.run(PROBE, out=str(toy.folder / "probe"))


def test_the_probe_learns_and_says_what_it_did(toy: Bench, probed: TrialResult) -> None:
    assert probed.metrics["accuracy"] > 0.8
    assert toy.logits(probed).shape == (210, 3)
    assert probed.weights == files.file_ref(toy.folder / probed.weights.path, toy.folder)
    assert scores.metrics(toy.logits(probed), toy.labels[96:]) == pytest.approx(probed.metrics)
    assert probed.crossed is None
    assert probed.history[0]["converged"] == 1


def test_the_saved_probe_gives_scikit_learns_probabilities(
    toy: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.linear_model import LogisticRegression

    from autotl import model
    from autotl.train import probe

    monkeypatch.setattr(probe, "STRENGTHS", (0.03, 0.1))
    monkeypatch.setattr(probe, "TOLERANCE", 1e-6)
    probed = toy.run(PROBE, out=str(toy.folder / "exact"))
    located, path = toy.located, toy.folder / probed.weights.path
    net = model.build(located, pretrained=True, seed=5)
    made = model.trainable(
        net, located.backbone.stages, PROBE, 3, standard=model.read_standard(path), seed=5
    )
    model.load_trained(made, path)
    prepared = model.prepare(np.load(toy.pixels.pixels), located.preprocessing)
    features = np.asarray(
        model.outputs(net, located.backbone.stages, [(3, True)])(prepared, training=False)
    ).reshape(len(prepared), -1)
    found = scores.probabilities(np.asarray(made(features)))
    mean, deviation = features[:96].mean(axis=0), features[:96].std(axis=0)
    scaled = (features - mean) / np.where(deviation > 0, deviation, 1)
    strength = probed.history[0]["strength"]
    solver = LogisticRegression(C=strength, max_iter=1000, tol=1e-6)
    solver.fit(scaled[:96], toy.labels[:96])
    assert np.allclose(found, solver.predict_proba(scaled), atol=1e-3)
    assert np.allclose(found[96:], scores.probabilities(toy.logits(probed)), atol=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_learns(toy: Bench, probed: TrialResult, strategy: str) -> None:
    told: list[tuple[str, int, int]] = []
    chosen = recipe(strategy, numbers=Numbers(epochs=4, batch=8, learning_rate=1e-2))
    probe = str(toy.folder / probed.weights.path)
    found = toy.run(chosen, lambda *given: told.append(given), probe=probe)
    assert found.metrics["accuracy"] > 0.6
    assert (found.epochs, found.stopped) == (4, "epochs")
    assert [entry["epoch"] for entry in found.history] == [0, 1, 2, 3, 4]
    assert 0 <= found.history[-1]["train-accuracy"] <= 1
    assert ("training", 48, 48) in told
    kept = max(scores.rank(entry, "accuracy") for entry in found.history)
    assert scores.rank(found.metrics, "accuracy") == pytest.approx(kept)


def test_a_training_that_starts_from_the_probe_is_no_worse(toy: Bench, probed: TrialResult) -> None:
    probe = str(toy.folder / probed.weights.path)
    found = toy.run(recipe("partial-freeze"), probe=probe)
    first = {name: found.history[0][name] for name in probed.metrics}
    assert first == pytest.approx(probed.metrics, rel=0.02)
    assert found.metrics["accuracy"] >= first["accuracy"]


def test_random_weights_are_judged_by_statistics_of_now(toy: Bench) -> None:
    from autotl import model

    numbers = Numbers(epochs=2, batch=4, learning_rate=1e-6)
    found = toy.run(recipe("scratch", numbers=numbers))
    moved = [a for name, a in toy.weights(found).items() if name.endswith("moving_variance")]
    net = model.build(toy.located, pretrained=False, seed=5)
    prepared = model.prepare(np.load(toy.pixels.pixels)[:96], toy.located.preprocessing)
    first = np.asarray(net.get_layer("one_conv")(prepared)).var(axis=(0, 1, 2))
    assert np.allclose(moved[0], first, rtol=0.1, atol=0.12)
    assert moved[0].max() < 0.5


def test_a_hidden_layer_and_several_taps(toy: Bench) -> None:
    head = Head(hidden=12, dropout=0.2)
    numbers = Numbers(epochs=10, batch=8, learning_rate=1e-2)
    found = toy.run(recipe("feature-extraction", taps=(2, 3), head=head, numbers=numbers))
    assert found.metrics["accuracy"] > 0.5
    kernels = [a.shape for name, a in toy.weights(found).items() if name.endswith("kernel")]
    assert kernels == [(18, 12), (12, 3)]


def test_the_same_spec_gives_the_same_result(toy: Bench) -> None:
    one, two = (toy.run(recipe("full-fine-tune")) for _ in range(2))
    assert one.history == two.history
    assert one.predictions.sha256 == two.predictions.sha256
    other = toy.run(recipe("full-fine-tune"), seed=6)
    assert other.history != one.history


@pytest.mark.parametrize("level", ["flip", "flip-crop"])
def test_stored_and_direct_inputs_agree(
    toy: Bench, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    from autotl import model
    from autotl.train import job

    numbers = Numbers(augment=level, views=3)  # type: ignore[arg-type]
    read = job.read(toy.spec(recipe("partial-freeze", numbers=numbers)), lambda *_: None)
    net = model.build(toy.located, pretrained=True, seed=5)
    cached = inputs.inputs(read, lambda: net)
    monkeypatch.setattr(store, "fits", lambda *_: False)
    direct = inputs.inputs(read, lambda: net)
    rows = np.array([0, 7, 50, 95])
    for view in range(3):
        one, two = cached.train(rows, view), direct.train(rows, view)
        assert one.dtype == two.dtype == np.float32
        assert np.allclose(one, two, atol=2e-3)
    assert np.allclose(cached.validation(3, 9), direct.validation(3, 9), atol=2e-3)
    assert not np.allclose(cached.train(rows, 0), cached.train(rows, 1), atol=2e-3)


def test_a_loss_that_is_not_finite_says_where(toy: Bench) -> None:
    numbers = Numbers(epochs=2, batch=16, learning_rate=1e38)
    with pytest.raises(ResourceError, match=r"not finite in epoch 1, step [23]"):
        toy.run(recipe("full-fine-tune", numbers=numbers))


def test_a_deadline_ends_a_training_that_has_annealed(toy: Bench) -> None:
    long = recipe("full-fine-tune", numbers=Numbers(epochs=100_000, batch=16))
    found = toy.run(long, deadline=4.0)
    assert found.stopped == "deadline"
    assert found.seconds < 40
    assert math.isfinite(found.metrics["log-loss"])


def test_patience_ends_a_training(toy: Bench) -> None:
    numbers = Numbers(epochs=30, batch=16, learning_rate=1e-9, patience=2)
    found = toy.run(recipe("partial-freeze", numbers=numbers))
    assert found.stopped == "patience"
    assert found.epochs < 30


def test_few_validation_rows_are_crossed(module_folder: Path) -> None:
    few = bench(module_folder, 40, 10, classes=2)
    found = few.run(PROBE)
    assert scores.metrics(few.crossed(found), few.labels)["accuracy"] > 0.8
    assert few.logits(found).shape == (10, 2)
    assert found.metrics["accuracy"] > 0.6
    assert set(found.metrics) == {"accuracy", "balanced-accuracy", "macro-f1", "log-loss"}


@pytest.mark.parametrize("head", [Head(), Head(hidden=8, dropout=0.1)])
def test_heads_by_gradient_are_crossed_too(module_folder: Path, head: Head) -> None:
    few = bench(module_folder, 40, 10, classes=2)
    numbers = Numbers(epochs=6, batch=8, learning_rate=1e-2, augment="flip", views=2)
    chosen = recipe("feature-extraction", head=head, numbers=numbers)
    one, two = few.run(chosen), few.run(chosen)
    assert few.crossed(one).shape == (50, 2)
    assert scores.metrics(few.crossed(one), few.labels)["accuracy"] > 0.7
    assert one.crossed == two.crossed
    assert few.run(recipe("partial-freeze", numbers=numbers)).crossed is None


def test_no_fold_of_a_trial_tears_a_bundle(module_folder: Path) -> None:
    from autotl.train import job, probe

    few = bench(module_folder, 40, 10, classes=2)
    bundles = np.arange(50) // 4
    spec = few.spec(PROBE, bundles=bundles.tolist())
    parts = probe.folds(job.read(spec, lambda *_: None))
    assert len(parts) == 5
    assert sorted(np.concatenate([out for _, out in parts])) == list(range(50))
    for rest, out in parts:
        assert not set(bundles[rest]) & set(bundles[out])
    torn = probe.folds(job.read(few.spec(PROBE), lambda *_: None))
    assert any(set(bundles[rest]) & set(bundles[out]) for rest, out in torn)
    whole = few.crossed(few.run(PROBE, bundles=bundles.tolist())).copy()
    assert whole.shape == (50, 2)
    assert not np.array_equal(whole, few.crossed(few.run(PROBE)))


def test_a_head_kept_at_its_start_is_crossed_as_the_probe(module_folder: Path) -> None:
    few = bench(module_folder, 40, 10, classes=2)
    probed = few.run(PROBE, out=str(few.folder / "first"))
    probe = str(few.folder / probed.weights.path)
    still = recipe("feature-extraction", numbers=Numbers(epochs=1, learning_rate=1e-12))
    found = few.run(still, probe=probe, seed=8)
    assert np.allclose(few.crossed(found), few.crossed(probed), atol=1e-3)


@pytest.mark.parametrize("solver", ["gradient", "logistic-regression"])
def test_folds_that_would_pass_the_deadline_are_left_out(
    module_folder: Path, monkeypatch: pytest.MonkeyPatch, solver: Any
) -> None:
    from autotl.train import probe

    few = bench(module_folder, 40, 10, classes=2)
    chosen = recipe("feature-extraction", head=Head(solver=solver))
    assert few.run(chosen, deadline=500.0).crossed is not None
    monkeypatch.setattr(probe, "_no_time", lambda *_: True)
    assert few.run(chosen, deadline=500.0).crossed is None


def test_no_row_is_predicted_by_a_head_that_saw_it(
    module_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autotl.train import folds, job, probe

    few = bench(module_folder, 40, 10, classes=2)
    seen: list[set[int]] = []
    true = folds._train

    def watched(at: Any, made: Any, read: Any, plain: Any, rest: Any, trained: Any) -> None:
        seen.append(set(rest.tolist()))
        true(at, made, read, plain, rest, trained)

    monkeypatch.setattr(folds, "_train", watched)
    few.run(recipe("feature-extraction", numbers=Numbers(epochs=2, batch=8)))
    left = [set(range(50)) - rows for rows in seen]
    assert len(left) == 5
    assert sorted(row for rows in left for row in rows) == list(range(50))
    read = job.read(few.spec(PROBE, seed=99), lambda *_: None)
    assert [set(out.tolist()) for _, out in probe.folds(read)] == left


def test_a_solver_that_did_not_converge_is_noted(
    toy: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autotl.train import probe

    monkeypatch.setattr(probe, "TOLERANCE", 1e-30)
    monkeypatch.setattr(probe, "ITERATIONS", 2)
    assert toy.run(PROBE, out=str(toy.folder / "late")).history[0]["converged"] == 0


def test_a_class_without_training_rows_is_never_told(module_folder: Path) -> None:
    few = bench(module_folder, 40, 10, classes=2)
    pixels = dataclasses.replace(few.pixels, classes=3)
    found = dataclasses.replace(few, pixels=pixels).run(PROBE)
    assert few.logits(found).shape == (10, 3)
    assert not (few.logits(found).argmax(axis=1) == 2).any()


# ---- files ----


def test_files_are_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.weights.npz"

    def fails(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        files.write_atomically(path, fails)
    assert list(path.parent.iterdir()) == []
    assert files.write_atomically(path, lambda p: np.savez(p, a=1)) == path
    assert [p.name for p in path.parent.iterdir()] == ["x.weights.npz"]


def test_a_file_is_named_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    found = files.file_ref(tmp_path / "a", tmp_path)
    assert found.sha256.startswith("ba7816bf8f01cfea")
    assert (found.path, found.size) == ("a", 3)
    with pytest.raises(ValueError, match="subpath"):
        files.file_ref(tmp_path / "a", tmp_path / "b")
