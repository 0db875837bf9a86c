"""What a whole model says of stored pixels, by the shorter way and by the long one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotl import activations, model
from autotl.evaluate import whole
from autotl.records import Head, Numbers, Recipe, to_json
from autotl.rows import Server, Source
from tests.trials import HERE, PROBE, Bench, bench, recipe

# keras's own, when it saves
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(HERE)
    (tmp_path / "toy").mkdir()
    return bench(tmp_path / "toy", 60, 30)


def asked(toy: Bench, wanted: Recipe, folder: Path) -> dict[str, Any]:
    """The spec of `whole.predict` for a trial of the recipe, just trained."""
    import tiny_backbone as tiny

    found = toy.run(wanted, out=str(folder / "trial"), run_folder=str(folder))
    saved = {
        "located": to_json(toy.located),
        "recipe": to_json(wanted),
        "classes": 3,
        "seed": 5,
        "weights": str(folder / found.weights.path),
        "temperature": 1.5,
        "out": str(folder / "model.keras"),
    }
    model.save_final(saved, lambda *_: None)
    data, hashes = tiny.dataset(100, 3)
    rows = activations.store_rows(data, range(90, 100), hashes, toy.located, toy.folder / "store")
    return {
        "model": saved["out"],
        "pixels": str(rows.path),
        "key": rows.key,
        "out": str(folder / "found.npy"),
        "located": saved["located"],
        "recipe": saved["recipe"],
        "folder": str(toy.folder / "store"),
        "seed": 5,
        "passed": 10**9,
    }


def predicted(spec: dict[str, Any]) -> np.ndarray:
    told: list[tuple[str, int, int]] = []
    answer = whole.predict(spec, lambda *one: told.append(one))
    found: np.ndarray = np.load(spec["out"])
    assert answer == {"examples": len(found), "classes": found.shape[1]}
    assert told[-1] == ("predict", 10, 10)
    return found


HIDDEN = dataclasses.replace(
    recipe("feature-extraction", taps=(2, 3)),
    head=Head(hidden=8),
    numbers=Numbers(epochs=2, batch=16),
)


def alone(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The specs of which the model predicts every row by itself."""
    asked: list[dict[str, Any]] = []
    own = model.predict_pixels

    def predict_pixels(spec: Any, progress: Any) -> Any:
        asked.append(spec)
        return own(spec, progress)

    monkeypatch.setattr(model, "predict_pixels", predict_pixels)
    return asked


@pytest.mark.parametrize("wanted", [PROBE, HIDDEN], ids=["probe", "hidden, two taps"])
@pytest.mark.parametrize("block", [4, 4096])
def test_a_head_alone_is_predicted_with_converted_features(
    toy: Bench, wanted: Recipe, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "BLOCK", block)
    by_itself = alone(monkeypatch)
    spec = asked(toy, wanted, tmp_path)
    expected = predicted(spec | {"passed": 1})
    assert len(by_itself) == 1
    short = predicted(spec)
    assert len(by_itself) == 1
    np.testing.assert_allclose(short, expected, atol=1e-5)
    assert len(np.unique(short.argmax(axis=1))) > 1


def test_rows_beyond_the_store_are_predicted_as_well(
    toy: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = asked(toy, PROBE, tmp_path)
    expected = predicted(spec)
    array = np.load(spec["pixels"])
    server = Server({"rows": Source(shape=array.shape, read=lambda row: array[row])})
    try:
        served = spec | {"pixels": str(server.path("rows")), "folder": str(tmp_path / "other")}
        assert np.array_equal(predicted(served), expected)
    finally:
        server.close()


def test_where_features_disagree_the_model_predicts_by_itself(
    toy: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spec = asked(toy, PROBE, tmp_path)
    expected = predicted(spec | {"passed": 1})
    own = activations.ensure

    def off(**options: Any) -> Any:
        paths = own(**options)
        moved = [tmp_path / path.name for path in paths]
        for path, other in zip(paths, moved, strict=True):
            np.save(other, 1.5 * np.load(path) + 0.1)
        return tuple(moved)

    monkeypatch.setattr(activations, "ensure", off)
    by_itself = alone(monkeypatch)
    assert np.array_equal(predicted(spec), expected)
    assert len(by_itself) == 1
    assert "other probabilities than the model" in caplog.text


@pytest.mark.parametrize("strategy", ["partial-freeze", "scratch"])
def test_trained_stages_are_predicted_by_the_model_itself(
    toy: Bench, strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe(strategy, numbers=Numbers(epochs=1, batch=16))
    spec = asked(toy, wanted, tmp_path)
    monkeypatch.setattr(activations, "ensure", None)
    assert predicted(spec).shape == (10, 3)
