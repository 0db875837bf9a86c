"""What the four strategies give in one cell: a data set, a training size, a backbone."""

from __future__ import annotations

import functools
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from proxies import scores

from autotl.decide.deciding import cut
from autotl.records import (
    LocatedBackbone,
    Measurements,
    Recipe,
    Strategy,
    TrialResult,
    from_json,
    to_json,
)

SEED = 20261122
TEST = 500
"""Test rows at most, unless more are asked for."""
BATCH = 64


class Bench:
    """A worker and a folder of its own for cells; a context manager."""

    def __enter__(self) -> Self:
        from autotl.activations import holding
        from autotl.worker import Worker

        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self._holding = holding()
        self._holding.__enter__()
        self.worker = Worker(recycle_above=3 * 10**9)
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.close()
        self._holding.__exit__(None, None, None)
        self._folder.cleanup()

    def measured(self, path: Path, cell: dict[str, Any]) -> tuple[dict[str, Any], Measurements]:
        """What a trial is asked with, its recipe aside, and the measurements."""
        asked = self.asked(path, cell)
        return asked, self._measured(path, asked)

    def asked(self, path: Path, cell: dict[str, Any]) -> dict[str, Any]:
        """What a trial is asked with, its recipe aside; decodes the images."""
        return self._asked(path, cell, None, 1)[0]

    def opened(
        self, path: Path, cell: dict[str, Any], test_rows: int
    ) -> tuple[dict[str, Any], NDArray[np.int64], Measurements]:
        """What a trial is asked with, its recipe aside, labels of the test rows, measurements.

        The cell's `seed` draws the training examples and all that a training draws.
        """
        asked, truth = self.prepared(path, cell, test_rows)
        return asked, truth, self._measured(path, asked)

    def examples(self, path: Path) -> int:
        """Training examples that a set has."""
        return len(_loaded(path)[1].train)

    def fingerprint(self, path: Path) -> str:
        """Of the set's files."""
        return str(_loaded(path)[0].record.fingerprint)

    def prepared(
        self, path: Path, cell: dict[str, Any], test_rows: int
    ) -> tuple[dict[str, Any], NDArray[np.int64]]:
        """As `opened`, without measuring."""
        return self._asked(path, cell, None, test_rows)

    def trained(
        self, asked: dict[str, Any], recipe: Any, truth: NDArray[np.int64], most: float | None
    ) -> dict[str, Any]:
        """Train one recipe (JSON) within `most` seconds, and judge it on the test rows."""
        return self._trained(asked | {"deadline": most}, recipe, truth)

    def probed(
        self, asked: dict[str, Any], recipe: Any, truth: NDArray[np.int64]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What feature extraction gives, and what later trials are asked with: as in a search, the
        heads of transferred trainings start from its own.
        """
        found = self._trained(asked, recipe, truth)
        kept = self.folder / "probe.weights.npz"
        shutil.copy(next((self.folder / "trial").glob("*.weights.npz")), kept)
        return found, asked | {"probe": str(kept)}

    def together(self, asked: dict[str, Any], recipe: Any, tap: int) -> dict[str, Any]:
        """What measurement says of a head that reads all stages, as `recipe` (JSON) does."""
        spec = asked | {"recipe": recipe, "tap": tap}
        spec |= {name: to_json(asked[name]) for name in ("located", "pixels")}
        begun = time.monotonic()
        answer: dict[str, Any] = self.worker.call("cells:together", spec)
        return answer | {"judging": time.monotonic() - begun}

    def _measured(self, path: Path, asked: dict[str, Any]) -> Measurements:
        from autotl.measure import measure

        loaded, split = _loaded(path)
        self.heard = _Heard(self.worker)
        about = (asked["pixels"], asked["located"], loaded.record, split.record, self.heard)
        return measure(*about, folder=self.folder / "cache", seed=asked["seed"])

    def proxies(self, asked: dict[str, Any]) -> Any:
        """The literature's scores on the outputs that were measured last."""
        spec, answer = self.heard.spec, self.heard.answer
        labels = np.load(asked["pixels"].labels, allow_pickle=False)
        passed = np.array(spec["rows"])
        outputs = [
            np.load(path, allow_pickle=False)[passed if spec["whole"] else slice(None)]
            for path in answer["pretrained"][-1:]
        ]
        random = [np.load(path, allow_pickle=False) for path in answer["random"][-1:]]
        some = np.searchsorted(passed, spec["random_rows"])
        return scores(outputs, random, some, labels[passed])

    def _asked(
        self, path: Path, cell: dict[str, Any], most: float | None, test_rows: int
    ) -> tuple[dict[str, Any], NDArray[np.int64]]:
        from autotl import activations

        loaded, split = _loaded(path)
        located = located_at(cell["backbone"], cell["input_size"])
        seed = cell.get("seed", SEED)
        train = _some(loaded, split.train, cell["limit"], seed)
        least = 2 * len(loaded.dataset.classes)
        validation = _some(loaded, split.validation, max(len(train) // 4, least), seed)
        cache = self.folder / "cache"
        pixels = activations.store_pixels(
            loaded.dataset, loaded.hashes, (train, validation), located, folder=cache
        )
        some = _some(loaded, split.test, test_rows)
        test = activations.store_rows(loaded.dataset, some, loaded.hashes, located, cache)
        asked = {
            "located": located,
            "pixels": pixels,
            "metric": "accuracy",
            "seed": seed,
            "folder": str(cache),
            "out": str(self.folder / "trial"),
            "run_folder": str(self.folder),
            "probe": None,
            "deadline": most,
            "test": str(test.path),
        }
        return asked, np.array([loaded.dataset.labels[row] for row in test.rows])

    def _trained(
        self, asked: dict[str, Any], recipe: Any, truth: NDArray[np.int64]
    ) -> dict[str, Any]:
        """Train one recipe, and judge it on the test rows."""
        spec = asked | {"recipe": recipe}
        spec |= {name: to_json(asked[name]) for name in ("located", "pixels")}
        result = from_json(TrialResult, self.worker.call("autotl.train.trial:run", spec))
        weights = str(self.folder / result.weights.path)
        predicted = np.array(self.worker.call("cells:predict", spec | {"weights": weights}))
        logits = np.load(self.folder / result.predictions.path, allow_pickle=False)
        return {
            "accuracy": float(np.mean(predicted == truth)),
            "validation": result.metrics["accuracy"],
            "validation_loss": result.metrics["log-loss"],
            "validation_told": bytes(logits.argmax(axis=1).astype(np.uint8)).hex(),
            "test": len(truth),
            "right": np.packbits(predicted == truth).tobytes().hex(),
            "seconds": result.seconds,
            "epochs": result.epochs,
            "curve": [round(epoch["accuracy"], 4) for epoch in result.history],
            "stopped": result.stopped,
            "recipe": recipe,
        }


class _Heard:
    """The worker, remembering what measurement asked of it and was answered."""

    def __init__(self, worker: Any) -> None:
        self.worker = worker

    def call(self, function: str, spec: dict[str, Any], **more: Any) -> Any:
        self.spec, self.answer = spec, self.worker.call(function, spec, **more)
        return self.answer


@functools.cache
def _loaded(path: Path) -> Any:
    from autotl import loading, split
    from autotl.plugins import discover

    loaded = loading.load(str(path), discover().loaders)
    return loaded, split.split(loaded.dataset, loaded.hashes, seed=SEED)


def located_at(name: str, size: int) -> LocatedBackbone:
    from autotl.plugins import discover
    from autotl.plugins.weights import choose_backbone, located

    return located(choose_backbone(discover(), name, download=False), size)


def _some(loaded: Any, part: tuple[int, ...], most: int, seed: int = SEED) -> list[int]:
    from autotl.measure.size import draw

    labels = np.array([loaded.dataset.labels[row] for row in part])
    return [part[i] for i in draw(labels, most, seed=seed)]


def recipe_of(strategy: Strategy, measured: Measurements) -> Recipe:
    """The default recipe, cut where the decision would cut; a head alone reads the tap: one on all
    stages is a variant.
    """
    from autotl.train import default

    boundary, taps = cut(strategy, replace(measured, reads=()))
    inside = boundary if strategy == "partial-freeze" else None
    return default(strategy, measured, boundary=inside, taps=taps)


def together(spec: dict[str, Any], progress: Any) -> dict[str, Any]:
    """Accuracy of the linear probe of all stages, and which a head reads, by the rows that
    measurement probes; called in the worker.
    """
    from autotl import model
    from autotl.folds import fold_numbers
    from autotl.measure import measuring, probes, size
    from autotl.measure.together import together as judged
    from autotl.train import inputs, job

    one, seed, tap = job.read(spec, progress), spec["seed"], spec["tap"]
    net = functools.cache(functools.partial(model.build, one.located, pretrained=True, seed=seed))
    wants = [(stage, True) for stage in one.recipe.taps]
    drawn = size.draw(one.train_labels, measuring.SAMPLE, seed=seed)
    outputs = [np.asarray(stored[drawn]) for stored in inputs.ensure_view(one, net, wants, 0)]
    labels, classes = one.train_labels[drawn], one.pixels.classes
    fold = fold_numbers(labels, seed=seed)
    tapped = probes.linear(outputs[tap - 1], labels, classes, fold)
    accuracy, reads = judged(outputs, labels, classes, fold, tap=tap, tapped=tapped)
    return {"together": accuracy, "reads": list(reads)}


def predict(spec: dict[str, Any], progress: Any) -> list[int]:
    """Labels that a trial's model gives for the test pixels; called in the worker."""
    from autotl import model
    from autotl.records import StoredPixels
    from autotl.rows import opened

    located, recipe = from_json(LocatedBackbone, spec["located"]), from_json(Recipe, spec["recipe"])
    classes = from_json(StoredPixels, spec["pixels"]).classes
    weights, stages = Path(spec["weights"]), located.backbone.stages
    net = model.build(located, pretrained=recipe.pretrained, seed=spec["seed"])
    standard = model.read_standard(weights)
    trained = model.trainable(net, stages, recipe, classes, standard=standard, seed=spec["seed"])
    model.load_trained(trained, weights)
    whole = model.full(net, stages, recipe, trained, located.preprocessing)
    pixels = opened(spec["test"])
    found: list[int] = []
    for start in range(0, len(pixels), BATCH):
        batch = np.asarray(pixels[start : start + BATCH], np.float32)
        found += np.asarray(whole.predict_on_batch(batch)).argmax(axis=1).tolist()
    return found
