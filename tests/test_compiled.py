"""One compiled step for every trial of a shape, its numbers against closed forms, and resuming."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotl.activations import store
from autotl.records import Head, Numbers, Recipe, to_json
from autotl.train import checkpoint, compiled, gradient, inputs, job, probe
from tests.trials import HERE, Bench, bench, recipe


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch, store.holding():
        patch.syspath_prepend(HERE)
        yield bench(tmp_path_factory.mktemp("compiled"), 96, 210)


@pytest.fixture
def fresh() -> Any:
    compiled._kept.clear()
    yield
    compiled._kept.clear()


def read(toy: Bench, wanted: Recipe) -> job.Job:
    return job.read(toy.spec(wanted), lambda *_: None)


def numbered(strategy: str, *, head: Head | None = None, **numbers: Any) -> Recipe:
    made = recipe(strategy, head=head or Head(l2=0.0))
    plain: dict[str, Any] = {"batch": 16, "augment": "none", "views": 1, "weight_decay": 0.0}
    return dataclasses.replace(made, numbers=Numbers(**plain | numbers))


def begun(toy: Bench, wanted: Recipe, start: probe.Start | None = None) -> Any:
    at = read(toy, wanted)
    features = 10 if wanted.strategy == "feature-extraction" else None
    made = compiled.of(at, features)
    made.begin(at, start or probe.Start(), gradient.class_weights(at.train_labels, at))
    return made, at


def batch(toy: Bench, count: int = 16) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    x = draw.normal(size=(count, 10)).astype(np.float32)
    return x, (np.arange(count) % 3).astype(np.int32)


PLAIN = compiled.Mixed(partner=np.arange(16, dtype=np.int32), share=1.0)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


# ---- the step against closed forms ----


@pytest.mark.parametrize(
    ("smoothing", "share", "power", "decay"),
    [(0, 1, 0, 0), (0.1, 1, 0, 0), (0, 0.3, 0, 0), (0, 1, 0.5, 0), (0.1, 0.6, 1, 0.2)],
)
def test_a_step_is_adam_on_the_weighted_mixed_smoothed_loss(
    toy: Bench, smoothing: float, share: float, power: float, decay: float
) -> None:
    numbers = {"learning_rate": 0.01, "label_smoothing": smoothing, "class_weights": power}
    made, at = begun(toy, numbered("feature-extraction", head=Head(l2=decay), **numbers))
    x, y = batch(toy)
    partner = np.random.default_rng(2).permutation(16).astype(np.int32)
    weights = np.array([0.5, 1.0, 2.0], np.float32)
    made._weights.assign(weights)
    kernel, bias = (np.array(w) for w in made.head.get_layer("logits").get_weights())
    rates = made.rates(at.recipe.numbers, 3, 1.0, head_alone=False)[None]
    losses, right = made.step(x, y, compiled.Mixed(partner=partner, share=share), 5, 0, rates)

    hot = np.eye(3)[y]
    mixed = share * x + (1 - share) * x[partner]
    hot = share * hot + (1 - share) * hot[partner]
    targets = hot * (1 - smoothing) + smoothing / 3
    logits = mixed @ kernel + bias
    each = (hot @ weights) * -(targets * np.log(softmax(logits))).sum(axis=1)
    assert losses[0] == pytest.approx(each.mean(), rel=1e-5)
    assert right == (logits.argmax(axis=1) == y).sum()

    slope = (hot @ weights)[:, None] * (softmax(logits) - targets) / 16
    for before, gradient_, layer in (
        (kernel * (1 - decay * 0.01), mixed.T @ slope, 0),
        (bias, slope.sum(axis=0), 1),
    ):
        # in Adam's first step both corrected moments are those of the gradient itself; Keras
        # adds epsilon to the second one before it is corrected
        expected = before - 0.01 * gradient_ / (np.abs(gradient_) + 1e-7 / np.sqrt(0.001))
        found = made.head.get_layer("logits").get_weights()[layer]
        assert np.allclose(found, expected, atol=1e-5)


def test_class_weights_are_one_in_the_mean(toy: Bench) -> None:
    labels = np.array([0] * 8 + [1] * 2 + [2] * 2)
    for power, ratio in ((0.0, 1.0), (0.5, 2.0), (1.0, 4.0)):
        at = read(toy, numbered("feature-extraction", class_weights=power))
        found = gradient.class_weights(labels, at)
        assert found[labels].mean() == pytest.approx(1.0)
        assert found[1] / found[0] == pytest.approx(ratio)


def test_many_steps_at_once_are_the_same_steps(toy: Bench) -> None:
    wanted = numbered("feature-extraction", head=Head(hidden=6, dropout=0.3), learning_rate=0.01)
    made, at = begun(toy, wanted)
    x, y = batch(toy, 64)
    order = np.random.default_rng(3).permutation(64).reshape(4, 16).astype(np.int32)
    rates = np.linspace(0.01, 0.001, 4, dtype=np.float32)[:, None]
    mixed = [dataclasses.replace(PLAIN, share=share) for share in (1.0, 0.5, 1.0, 0.2)]
    one_by_one = [
        made.step(x[rows], y[rows], mix, at.seed, 7 + i, rates[i : i + 1])
        for i, (rows, mix) in enumerate(zip(order, mixed, strict=True))
    ]
    ends = [np.array(w) for w in made.model.get_weights()]
    made, at = begun(toy, wanted)
    losses, right = made.steps(made.loaded(x), y, order, mixed, at.seed, 7, rates)
    assert np.allclose(losses, np.concatenate([found for found, _ in one_by_one]), atol=1e-5)
    assert right == sum(count for _, count in one_by_one)
    for one, other in zip(ends, made.model.get_weights(), strict=True):
        assert np.allclose(one, other, atol=1e-5)


def test_rates_fall_stage_by_stage_and_wait_for_the_head(toy: Bench) -> None:
    numbers = {"learning_rate": 0.1, "backbone_rate": 0.5, "layer_decay": 0.8, "unfreeze": 0.2}
    made, at = begun(toy, numbered("full-fine-tune", **numbers))
    found = made.rates(at.recipe.numbers, 3, 0.5, head_alone=False)
    by_stage = {group.stage: rate for group, rate in zip(made.groups, found, strict=True)}
    assert by_stage == pytest.approx({None: 0.05, 3: 0.025, 2: 0.02, 1: 0.016})
    early, late = (gradient.rates_at(at, made, place) for place in (0.1, 0.3))
    assert [rate > 0 for rate in early] == [group.stage is None for group in made.groups]
    assert (late > 0).all()
    names = {
        group.stage: {made.trained[place].path.split("/")[0] for place in group.places}
        for group in made.groups
    }
    assert names[1] == {"one_conv"}
    assert names[3] == {"three_conv"}


def test_the_average_follows_the_weights(toy: Bench) -> None:
    made, at = begun(toy, numbered("feature-extraction", average=0.9, learning_rate=0.1))
    x, y = batch(toy)
    kernel = made.trained[0].value.numpy()
    expected = kernel.copy()
    for number in range(12):
        rates = made.rates(at.recipe.numbers, 3, 1.0, head_alone=False)[None]
        made.step(x, y, PLAIN, 5, number, rates)
        decay = min(0.9, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * made.trained[0].value.numpy()
    now = made.trained[0].value.numpy()
    made.swap()
    assert np.allclose(made.trained[0].value, expected, atol=1e-5)
    assert not np.allclose(now, expected, atol=1e-3)
    made.swap()
    assert np.allclose(made.trained[0].value, now)


# ---- what a trial gives does not depend on what was compiled before ----

OTHER = {"learning_rate": 0.02, "label_smoothing": 0.2, "mixup": 0.4, "class_weights": 1.0}


@pytest.mark.parametrize("strategy", ["feature-extraction", "partial-freeze", "full-fine-tune"])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_shape_seen_before_gives_the_same(
    toy: Bench, fresh: None, strategy: str, average: float
) -> None:
    head = Head(dropout=0.2)
    wanted = numbered(strategy, head=head, epochs=2, average=average)
    other = numbered(strategy, epochs=2, average=average and 0.5, **OTHER)
    first = toy.run(wanted)
    assert len(compiled._kept) == 1
    toy.run(other, seed=17)
    again = toy.run(wanted)
    assert len(compiled._kept) == 1
    assert again.predictions.sha256 == first.predictions.sha256
    assert again.history == first.history
    compiled._kept.clear()
    assert toy.run(wanted).predictions.sha256 == first.predictions.sha256


def test_few_shapes_are_kept(toy: Bench, fresh: None) -> None:
    for hidden in range(compiled.MOST + 2):
        wanted = numbered("feature-extraction", head=Head(hidden=hidden), epochs=1)
        toy.run(wanted)
    assert len(compiled._kept) == compiled.MOST


def test_features_beyond_memory_train_alike(toy: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = numbered("feature-extraction", epochs=3, learning_rate=0.01, augment="flip", views=2)
    whole = toy.run(wanted)
    monkeypatch.setattr(inputs, "IN_MEMORY", 0)
    streamed = toy.run(wanted)
    assert np.allclose(toy.logits(whole), toy.logits(streamed), atol=1e-4)


@pytest.mark.parametrize("strategy", ["partial-freeze", "full-fine-tune", "scratch"])
def test_every_number_at_once_learns(toy: Bench, strategy: str) -> None:
    everything = {"layer_decay": 0.8, "unfreeze": 0.1, "average": 0.9} | OTHER
    numbers = {"epochs": 6, "batch": 8, "weight_decay": 0.01} | everything
    found = toy.run(numbered(strategy, **numbers | {"learning_rate": 0.01}))
    assert found.metrics["accuracy"] > 0.5


# ---- going on from a checkpoint, or from another trial ----


class KilledError(Exception):
    pass


def interrupted(toy: Bench, wanted: Recipe, step: int, **changes: Any) -> None:
    def progress(what: str, done: int, _: int) -> None:
        if what == "training" and done >= step:
            raise KilledError

    with pytest.raises(KilledError):
        toy.run(wanted, progress, **changes)


@pytest.mark.parametrize(
    ("strategy", "numbers"),
    [
        ("partial-freeze", {"average": 0.9, "mixup": 0.2}),
        ("full-fine-tune", {"layer_decay": 0.8}),
        ("scratch", {}),
        ("feature-extraction", {}),
    ],
)
def test_a_killed_training_goes_on_to_the_same_end(
    toy: Bench, monkeypatch: pytest.MonkeyPatch, strategy: str, numbers: dict[str, float]
) -> None:
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    wanted = numbered(strategy, epochs=5, head=Head(dropout=0.2), learning_rate=0.01, **numbers)
    out = toy.folder / f"killed-{strategy}"
    whole = toy.run(wanted, out=str(toy.folder / f"whole-{strategy}"))
    interrupted(toy, wanted, 20, out=str(out))
    left = checkpoint.left(out)
    assert 0 < left.epoch < 5
    assert left.batch == 16
    told: list[int] = []
    later = toy.run(wanted, lambda what, done, _: told.append(done), out=str(out))
    assert min(told) > 6 * left.epoch
    assert later.history == whole.history
    assert later.predictions.sha256 == whole.predictions.sha256
    checkpoint.remove(out)
    assert sorted(p.name for p in out.iterdir()) == ["validation.npy", "weights.weights.npz"]


def test_a_checkpoint_serves_a_process_that_compiled_another_dropout_first(
    toy: Bench, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    wanted = numbered("partial-freeze", epochs=4, head=Head(dropout=0.0), learning_rate=0.01)
    toy.run(numbered("partial-freeze", epochs=1, head=Head(dropout=0.3)))
    out = toy.folder / "dropped"
    interrupted(toy, wanted, 15, out=str(out))
    reached = checkpoint.left(out).epoch
    assert reached > 0
    compiled._kept.clear()
    told: list[int] = []
    later = toy.run(wanted, lambda what, done, _: told.append(done), out=str(out))
    assert min(told) > 6 * reached
    assert later.history == toy.run(wanted, out=str(toy.folder / "undropped")).history


@pytest.mark.parametrize("fault", ["cut", "bits", "empty", "other"])
def test_a_checkpoint_that_does_not_serve_is_passed_over(
    toy: Bench, monkeypatch: pytest.MonkeyPatch, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    wanted = numbered("partial-freeze", epochs=4)
    out = toy.folder / f"fault-{fault}"
    interrupted(toy, wanted, 15, out=str(out), seed=6 if fault == "other" else 5)
    path = out / checkpoint.FILE
    content = path.read_bytes()
    if fault == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif fault == "bits":
        path.write_bytes(
            content[:1000] + bytes(b ^ 255 for b in content[1000:1200]) + content[1200:]
        )
    elif fault == "empty":
        path.write_bytes(b"")
    found = toy.run(wanted, out=str(out))
    assert [entry["epoch"] for entry in found.history] == [0, 1, 2, 3, 4]
    assert "begins anew" in caplog.text
    assert found.history == toy.run(wanted, out=str(toy.folder / "whole-fault")).history


def test_no_checkpoint_is_written_of_a_short_training(toy: Bench) -> None:
    out = toy.folder / "short"
    interrupted(toy, numbered("partial-freeze", epochs=4), 15, out=str(out))
    assert not (out / checkpoint.FILE).exists()
    shutil.rmtree(out, ignore_errors=True)


def test_a_trial_goes_on_from_anothers_weights(toy: Bench) -> None:
    wanted = numbered("partial-freeze", epochs=3, learning_rate=0.01)
    parent = toy.run(wanted, out=str(toy.folder / "parent"))
    path = str(toy.folder / parent.weights.path)
    child = toy.run(wanted, parent=path, out=str(toy.folder / "child"), seed=8)
    first = {name: child.history[0][name] for name in parent.metrics}
    assert first == pytest.approx(parent.metrics, rel=1e-4)
    assert child.metrics["accuracy"] >= parent.metrics["accuracy"]


def test_a_smaller_batch_is_said(toy: Bench) -> None:
    wanted = numbered("partial-freeze", epochs=1)
    assert toy.run(wanted).batch is None
    found = toy.run(wanted, batch=8)
    assert found.batch == 8


# ---- stored outputs against computing them anew ----


@pytest.mark.parametrize("strategy", ["partial-freeze", "full-fine-tune"])
def test_pixels_decoded_when_they_are_read_train_as_stored_ones_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    numbers = {"epochs": 2, "augment": "flip-crop", "views": 2, "learning_rate": 3e-3}
    wanted, logits = numbered(strategy, **numbers), []
    for cap in ("1", "0.00001"):
        monkeypatch.setenv("AUTOTL_CACHE_GB", cap)
        (tmp_path / cap).mkdir()
        with store.holding():
            toy = bench(tmp_path / cap, 48, 24)
            assert toy.pixels.stored == (cap == "1")
            logits.append(toy.logits(toy.run(wanted)))
    if strategy == "full-fine-tune":
        assert np.array_equal(*logits)
    assert np.allclose(*logits, atol=0.02)


@pytest.mark.parametrize("strategy", ["feature-extraction", "partial-freeze"])
def test_a_trial_whose_outputs_are_stored_needs_no_pixels(toy: Bench, strategy: str) -> None:
    wanted = numbered(strategy, epochs=2, augment="crop", views=2)
    before = toy.logits(toy.run(wanted, out=str(toy.folder / "before")))
    bare = dataclasses.replace(toy.pixels, pixels="/nowhere.npy", margin="/nowhere.npy")
    found = toy.run(wanted, pixels=to_json(bare), stored=True, out=str(toy.folder / "bare"))
    assert np.array_equal(toy.logits(found), before)


@pytest.mark.parametrize("augment", ["flip", "crop"])
def test_cached_and_uncached_trainings_agree(
    toy: Bench, monkeypatch: pytest.MonkeyPatch, augment: str
) -> None:
    numbers = {"epochs": 3, "augment": augment, "views": 3, "learning_rate": 3e-3}
    wanted = numbered("partial-freeze", **numbers)
    cached = toy.run(wanted, out=str(toy.folder / "cached"))
    monkeypatch.setattr(store, "fits", lambda *_: False)
    direct = toy.run(wanted, out=str(toy.folder / "direct"))
    one, two = toy.logits(cached), toy.logits(direct)
    assert np.array_equal(one.argmax(axis=1), two.argmax(axis=1))
    assert np.allclose(one, two, atol=0.02)
    assert cached.metrics["accuracy"] == direct.metrics["accuracy"]
