"""One trial, called in a worker by name: a recipe in, weights, predictions and metrics out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl import activations, model
from autotl.files import file_ref, write_atomically
from autotl.records import FileRef, TrialResult, to_json
from autotl.train import folds, gradient, probe, scores
from autotl.train.job import Job, Progress, read


def run(spec: Mapping[str, Any], progress: Progress) -> Any:
    """Fit one recipe; the JSON of its `TrialResult`.

    `spec`: recipe, located, pixels (JSON of `Recipe`, `LocatedBackbone`, `StoredPixels`), metric,
    seed, view_seed (of augmented views, by default `seed`), folder (the store's), out (this
    trial's folder), run_folder (to which the files' paths are relative), probe (path of a linear
    probe's weights, or None), deadline (seconds, or None).

    Without a deadline, on a CPU, the result is a function of the spec on one machine. Raises
    `ResourceError` where the loss is not finite or the disk is full.
    """
    import keras
    import tensorflow as tf

    job = read(spec, progress)
    keras.utils.clear_session()
    keras.utils.set_random_seed(job.seed)
    # determinism on a GPU makes some gradients (that of depthwise convolutions) raise errors
    if job.deadline is None and not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
    with activations.holding():
        net = model.build(job.located, pretrained=job.recipe.pretrained, seed=job.seed)
        if job.recipe.head.solver == "logistic-regression" and model.head_only(job.recipe):
            return to_json(_probe(job, net))
        return to_json(_gradient(job, net))


def _probe(job: Job, net: Any) -> TrialResult:
    fitted = probe.fit(job, net)
    metrics = scores.metrics(fitted.logits, job.validation_labels)
    noted = {
        "strength": fitted.strength,
        "converged": float(fitted.converged),
        "train-accuracy": fitted.train_accuracy,
        **metrics,
    }
    return _result(job, fitted.model, fitted.logits, metrics, 1, "epochs", (noted,), fitted.crossed)


def _gradient(job: Job, net: Any) -> TrialResult:
    trained = gradient.fit(job, net)
    metrics = scores.metrics(trained.logits, job.validation_labels)
    crossed = folds.crossed(job, net, trained)
    return _result(
        job,
        trained.model,
        trained.logits,
        metrics,
        trained.epochs,
        trained.stopped,
        trained.history,
        crossed,
    )


def _result(
    job: Job,
    made: Any,
    logits: NDArray[np.float32],
    metrics: dict[str, float],
    epochs: int,
    stopped: str,
    history: tuple[dict[str, float], ...],
    crossed: NDArray[np.float32] | None,
) -> TrialResult:
    job.out.mkdir(parents=True, exist_ok=True)
    weights = job.out / "weights.weights.npz"
    model.save_trained(made, weights)
    predictions = _saved(job, "validation.npy", logits)
    return TrialResult(
        metrics=metrics,
        epochs=epochs,
        seconds=job.elapsed,
        weights=file_ref(weights, job.run_folder),
        predictions=predictions,
        stopped=stopped,
        history=history,
        crossed=None if crossed is None else _saved(job, "crossed.npy", crossed),
    )


def _saved(job: Job, name: str, logits: NDArray[np.float32]) -> FileRef:
    def save(path: Path) -> None:
        np.save(path, logits.astype(np.float32), allow_pickle=False)

    return file_ref(write_atomically(job.out / name, save), job.run_folder)
