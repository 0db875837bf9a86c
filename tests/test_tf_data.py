"""A run on a `tf.data.Dataset` that shuffles anew each time: interrupted, refused, gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autotl
from autotl.errors import RunFolderError
from autotl.sitting import Silent


class Stopping(Silent):
    """Ctrl-C as soon as the data was split."""

    def step_finished(self, step: str, record: Any, seconds: float) -> None:
        if step == "split":
            raise KeyboardInterrupt


def test_a_shuffled_dataset_is_fitted_interrupted_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tf = pytest.importorskip("tensorflow")
    monkeypatch.setenv("AUTOTL_DISABLE_PLUGIN_AUTOLOAD", "1")
    rng = np.random.default_rng(0)
    labels = np.array(["left", "right"])[np.arange(80) % 2]
    images = rng.integers(0, 60, (80, 20, 30, 3)).astype(np.float32)
    images[labels == "left", :, :15] += 120
    images[labels == "right", :, 15:] += 120
    dataset = tf.data.Dataset.from_tensor_slices((images / 255, labels)).shuffle(80).batch(16)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        autotl.fit(dataset, out=run, trials=1, listener=Stopping())
    with pytest.raises(RunFolderError, match="no longer what this run was begun with"):
        autotl.resume(run, data=dataset.take(4))
    fitted = autotl.resume(run, data=dataset)
    assert fitted.report["data"]["classes"] == ["left", "right"]
    assert fitted.report["data"]["examples"] == 80
    asked = images[:2].astype(np.uint8)
    assert [each.label for each in fitted.predict(asked)] == list(labels[:2])
