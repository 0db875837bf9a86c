"""The training of the embedded weights, whole, on a handful of images."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autotl.builtin.embedded import STAGES, network, recipe, student, teacher

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:__array__")]

CLASSES, EACH = 3, 12
SMALL = student.Recipe(
    phases=(student.Phase(32, 1.0), student.Phase(48, 1.0)),
    batch=6,
    peak_rate=0.01,
    views=2,
    teacher_epochs=1,
    settling_batches=2,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in the layout of the unpacked archive."""
    root = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    names = [f"n{number:08d}" for number in range(CLASSES)]
    lines = []
    for name in names:
        (root / "train" / name / "images").mkdir(parents=True)
        for number in range(EACH):
            _save(root / "train" / name / "images" / f"{name}_{number}.JPEG", rng)
    (root / "val" / "images").mkdir(parents=True)
    for number in range(6):
        _save(root / "val" / "images" / f"val_{number}.JPEG", rng)
        lines.append(f"val_{number}.JPEG\t{names[number % CLASSES]}\t0\t0\t63\t63\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    (root / "words.txt").write_text("".join(f"{name}\tthing\n" for name in names))
    return root


def _save(path: Path, rng: np.random.Generator) -> None:
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path, "JPEG")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    import keras

    net = keras.applications.MobileNetV2(
        input_shape=(teacher.SIZE, teacher.SIZE, 3), include_top=False, weights=None
    )
    path = tmp_path_factory.mktemp("teacher") / "teacher.weights.h5"
    net.save_weights(path)
    return str(path)


def train(folder: Path, weights: str, root: Path, *, minutes: float = 60) -> dict[str, Any]:
    root.mkdir(exist_ok=True)
    (root / "work").mkdir(exist_ok=True)
    recipe.train(folder, root / "weights.npz", root / "work", minutes, weights, SMALL)
    found: dict[str, Any] = json.loads((root / "training.json").read_text())
    return found


def arrays(root: Path) -> dict[str, Any]:
    return network.read_weights(root / "weights.npz")


def test_a_stopped_training_goes_on_as_if_it_had_not_been(
    folder: Path, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    whole = train(folder, weights, tmp_path / "whole")
    assert whole["parts_done"] == SMALL.parts == 4
    assert [part["size"] for part in whole["history"]] == [32, 32, 48, 48]
    assert whole["restarts"] == []
    written = (tmp_path / "whole" / "weights.npz").stat().st_mtime_ns
    assert train(folder, weights, tmp_path / "whole") == whole  # finished: left as it is
    assert (tmp_path / "whole" / "weights.npz").stat().st_mtime_ns == written
    found = recipe.judge(folder, tmp_path / "whole" / "weights.npz")
    assert found == pytest.approx(whole["top1_validation"])
    monkeypatch.setattr(recipe, "advance", once(recipe.advance))
    with pytest.raises(KeyboardInterrupt):
        train(folder, weights, tmp_path / "parts")
    monkeypatch.undo()
    again = train(folder, weights, tmp_path / "parts")
    assert again["parts_done"] == 4
    for one, other in zip(whole["history"], again["history"], strict=True):
        assert one["last_rate"] == other["last_rate"]
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


def once(advance: Any) -> Any:
    """`advance` for one part; the next one is interrupted."""
    calls = []

    def stopped(*arguments: Any) -> None:
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        advance(*arguments)

    return stopped


def test_without_its_work_folder_it_goes_on_from_the_weights_file(
    folder: Path, weights: str, tmp_path: Path
) -> None:
    root = tmp_path / "moved"
    begun = train(folder, weights, root, minutes=0)
    assert (begun["parts_done"], begun["restarts"]) == (0, [])
    facts = json.loads((root / "training.json").read_text()) | {"parts_done": 3}
    (root / "training.json").write_text(json.dumps(facts))
    (root / "work").rename(tmp_path / "gone")
    ended = train(folder, weights, root)
    assert (ended["parts_done"], ended["restarts"]) == (4, [3])
    assert ended["history"][-1]["last_rate"] < 0.005
    statistics = dict(np.load(root / "reference.npz"))
    assert {key.split("/")[0] for key in statistics} == {*STAGES, "images"}
    assert statistics["stage4/covariance"].shape == (640, 640)
    sums = (root / "SHA256SUMS").read_text().splitlines()
    assert [line.split("  ")[1] for line in sums] == ["weights.npz", "reference.npz"]


def test_targets_mix_labels_and_teacher(folder: Path, weights: str, tmp_path: Path) -> None:
    data = recipe.prepared(SMALL, folder, tmp_path, weights)
    images, targets = next(student.batches(SMALL, 0, data))
    assert images.shape == (6, 32, 32, 3)
    np.testing.assert_allclose(targets[network.HEAD].sum(axis=1), 1, atol=1e-5)
    assert targets[network.ECHO].shape == (6, teacher.FEATURES)
    assert (targets[network.HEAD].max(axis=1) >= SMALL.label_share).all()
    again = next(student.batches(SMALL, 0, data))
    np.testing.assert_array_equal(images, again[0])
    other = dataclasses.replace(SMALL, label_share=1.0)
    labels = next(student.batches(other, 0, data))[1][network.HEAD]
    assert set(np.unique(labels)) == {0.0, 1.0}
