"""The step itself: the model written, and asked of the test rows.

The only step that opens a test row, and it does so once. Nothing is chosen here but the
temperature, and that on validation rows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from autotl.activations import StoredRows, holding, store_rows
from autotl.calls import Caller, Progress
from autotl.errors import DataError
from autotl.evaluate.abstention import abstention
from autotl.evaluate.figures import Floats, Labels, figures, fit_temperature
from autotl.evaluate.mistakes import mistakes
from autotl.files import checked, file_ref
from autotl.records import (
    Abstention,
    Dataset,
    Evaluation,
    LocatedBackbone,
    SearchRecord,
    Split,
    StoredPixels,
    Trial,
    to_json,
)

MODEL, PREDICTIONS = "model.keras", "test_predictions.npy"


def evaluate(
    search: SearchRecord,
    dataset: Dataset,
    hashes: Sequence[str],
    split: Split,
    pixels: StoredPixels,
    located: LocatedBackbone,
    *,
    worker: Caller,
    folder: Path,
    run_folder: Path,
    seed: int,
    target_precision: float | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Write `run_folder`/model.keras, predict the test rows with it, and judge that; its most
    confident mistakes become thumbnails.

    `folder` is the activation store. Test rows that cannot be decoded, or are not what was loaded,
    are set aside. `target_precision` is what the confidence under which the model abstains is
    chosen for. Raises `DataError` where there is no test row, `RunFolderError` where a trial's
    files are not as recorded, and what the worker and the store raise.
    """
    begun = time.monotonic()
    logits, labels = _validation(search.best, pixels, run_folder)
    temperature = fit_temperature(logits, labels)
    final = run_folder / MODEL
    if progress is not None:
        progress("writing the model", 0, 1)
    _write_model(worker, search.best, located, pixels.classes, temperature, final, run_folder)
    with holding():
        stored = store_rows(dataset, split.test, hashes, located, folder, progress)
        if not stored.rows:
            raise DataError("There is no test example to evaluate on.")
        predict = _predictor(worker, stored, pixels, located, folder, progress)
        path = run_folder / PREDICTIONS
        probabilities = predict(search.best, final, path)
        probe = _probed(worker, search, located, pixels.classes, run_folder, predict)
    truth = np.asarray(dataset.labels, np.int64)
    tested = (probabilities, truth[list(stored.rows)])
    return figures(
        *tested,
        classes=dataset.classes,
        train_labels=truth[list(split.train)],
        probe=probabilities if search.best.number == 0 else probe,
        temperature=temperature,
        model=file_ref(final, run_folder),
        predictions=file_ref(path, run_folder),
        seed=seed,
        set_aside=stored.set_aside,
        abstention=_abstention(target_precision, logits / temperature, labels, tested),
        mistakes=mistakes(dataset, hashes, stored.rows, probabilities, run_folder),
        begun=begun,
    )


def _abstention(
    target: float | None, logits: Floats, labels: Labels, tested: tuple[Floats, Labels]
) -> Abstention | None:
    from scipy.special import softmax

    if target is None:
        return None
    wide = softmax(np.asarray(logits, np.float64), axis=1)
    return abstention(target, (wide, labels), tested)


# ---- the worker's part ----


def _validation(best: Trial, pixels: StoredPixels, run_folder: Path) -> tuple[Floats, Labels]:
    assert best.result is not None
    labels = np.load(pixels.labels, mmap_mode="r", allow_pickle=False)[pixels.train :]
    return np.load(checked(best.result.predictions, run_folder), allow_pickle=False), labels


def _write_model(
    worker: Caller,
    trial: Trial,
    located: LocatedBackbone,
    classes: int,
    temperature: float,
    out: Path,
    run_folder: Path,
) -> None:
    assert trial.result is not None
    worker.call(
        "autotl.model:save_final",
        {
            "located": to_json(located),
            "recipe": to_json(trial.recipe),
            "classes": classes,
            "seed": trial.seed,
            "weights": str(checked(trial.result.weights, run_folder)),
            "temperature": temperature,
            "out": str(out),
        },
    )


def _predictor(
    worker: Caller,
    rows: StoredRows,
    pixels: StoredPixels,
    located: LocatedBackbone,
    folder: Path,
    progress: Progress | None,
) -> Callable[[Trial, Path, Path], Floats]:
    """What gives a trial's `model`'s probabilities of the rows, and leaves them in `out`."""
    same = {
        "pixels": str(rows.path),
        "key": rows.key,
        "folder": str(folder),
        "located": to_json(located),
        "passed": pixels.train + pixels.validation,
    }

    def predict(trial: Trial, model: Path, out: Path) -> Floats:
        files = {"model": str(model), "out": str(out)}
        about = {"recipe": to_json(trial.recipe), "seed": trial.seed}
        worker.call("autotl.evaluate.whole:predict", same | files | about, progress=progress)
        probabilities: Floats = np.load(out, allow_pickle=False)
        return probabilities

    return predict


def _probed(
    worker: Caller,
    search: SearchRecord,
    located: LocatedBackbone,
    classes: int,
    run_folder: Path,
    predict: Callable[[Trial, Path, Path], Floats],
) -> Floats | None:
    """The linear probe's probabilities; None where its trial failed or it is the best one."""
    if search.probe.result is None or search.best.number == 0:
        return None
    with tempfile.TemporaryDirectory(dir=run_folder, prefix=".probe-") as name:
        model, out = Path(name) / "probe.keras", Path(name) / "probe.npy"
        _write_model(worker, search.probe, located, classes, 1.0, model, run_folder)
        return predict(search.probe, model, out)
