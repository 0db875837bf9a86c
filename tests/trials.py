"""Trials of a three-stage network on coloured noise, run in this process."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from autotl import activations
from autotl.records import Head, Numbers, Recipe, TrialResult, from_json, to_json

HERE = Path(__file__).parent
SIZE, MARGIN = 16, 18


@dataclasses.dataclass(kw_only=True)
class Bench:
    """A data set with stored pixels and a located tiny backbone."""

    folder: Path
    located: Any
    pixels: Any
    labels: np.ndarray

    def spec(self, recipe: Recipe, **changes: Any) -> dict[str, Any]:
        spec = {
            "recipe": to_json(recipe),
            "located": to_json(self.located),
            "pixels": to_json(self.pixels),
            "metric": "accuracy",
            "seed": 5,
            "view_seed": 6,
            "folder": str(self.folder / "store"),
            "out": str(self.folder / "trial"),
            "run_folder": str(self.folder),
            "probe": None,
            "deadline": None,
        }
        made: dict[str, Any] = json.loads(json.dumps(spec | changes))
        return made

    def run(self, recipe: Recipe, progress: Any = None, **changes: Any) -> TrialResult:
        from autotl.train import trial

        spec = self.spec(recipe, **changes)
        return from_json(TrialResult, trial.run(spec, progress or (lambda *_: None)))

    def logits(self, found: TrialResult) -> np.ndarray:
        array: np.ndarray = np.load(self.folder / found.predictions.path)
        return array

    def crossed(self, found: TrialResult) -> np.ndarray:
        assert found.crossed is not None
        array: np.ndarray = np.load(self.folder / found.crossed.path)
        return array

    def weights(self, found: TrialResult) -> dict[str, np.ndarray]:
        with np.load(self.folder / found.weights.path) as arrays:
            return dict(arrays)


def bench(folder: Path, train: int, validation: int, classes: int = 3) -> Bench:
    import tiny_backbone as tiny

    tiny.save_weights(folder / "weights.npz")
    data, hashes = tiny.dataset(train + validation, classes)
    located = tiny.located(folder / "weights.npz")
    rows = (tuple(range(train)), tuple(range(train, train + validation)))
    pixels = activations.store_pixels(data, hashes, rows, located, folder=folder / "store")
    return Bench(folder=folder, located=located, pixels=pixels, labels=np.load(pixels.labels))


def recipe(strategy: str, **changes: Any) -> Recipe:
    boundary = {"feature-extraction": 3, "partial-freeze": 1}.get(strategy, 0)
    made = Recipe(
        backbone="Tiny",
        strategy=strategy,  # type: ignore[arg-type]
        input_size=SIZE,
        pretrained=strategy != "scratch",
        boundary=boundary,
        last=3,
        taps=(3,),
        numbers=Numbers(epochs=2, batch=16, learning_rate=3e-3, augment="flip", views=2),
    )
    return dataclasses.replace(made, **changes)


PROBE = recipe("feature-extraction", head=Head(solver="logistic-regression"))
