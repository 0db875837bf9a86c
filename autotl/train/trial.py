"""One trial, called in a worker by name: a recipe in, weights, predictions and metrics out."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl import activations, model
from autotl.files import file_ref, write_atomically
from autotl.records import METRICS, FileRef, TrialResult, to_json
from autotl.train import folds, gradient, probe, scores
from autotl.train.inputs import Net
from autotl.train.job import Job, Progress, read

WEIGHTS = "weights.weights.npz"


def run(spec: Mapping[str, Any], progress: Progress) -> Any:
    """Fit one recipe; the JSON of its `TrialResult`.

    `spec`: recipe, located, pixels (JSON of `Recipe`, `LocatedBackbone`, `StoredPixels`), metric,
    seed, view_seed (of augmented views, by default `seed`), folder (the store's), out (this
    trial's folder), run_folder (to which the files' paths are relative), probe (path of a linear
    probe's weights, or None), parent (path of the weights of a trial of the same shape to go on
    from, or None), deadline (seconds, or None), batch (examples of a step, by default
    the recipe's), stored (whether training starts from stored outputs of the boundary; by default
    where there is room), bundles (numbers of training and validation rows, of which equal ones are
    in one fold, or None). A checkpoint that an earlier call with the same spec left in `out` is
    taken up; the caller removes it once it has the result.

    Without a deadline, on a CPU, the result is a function of the spec on one machine. Raises
    `ResourceError` where the loss is not finite or the disk is full.
    """
    import tensorflow as tf

    job = read(spec, progress)
    # determinism on a GPU makes some gradients (that of depthwise convolutions) raise errors
    if job.deadline is None and not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
    net = functools.cache(
        functools.partial(model.build, job.located, pretrained=job.recipe.pretrained, seed=job.seed)
    )
    with activations.holding():
        if job.recipe.head.solver == "logistic-regression" and model.head_only(job.recipe):
            return to_json(_probe(job, net))
        return to_json(_gradient(job, net))


def _probe(job: Job, net: Net) -> TrialResult:
    fitted = probe.fit(job, net)
    metrics = scores.metrics(fitted.logits, job.validation_labels)
    noted = {
        "strength": fitted.strength,
        "converged": float(fitted.linear.converged),
        "train-accuracy": fitted.train_accuracy,
        **metrics,
    }
    job.out.mkdir(parents=True, exist_ok=True)
    weights = job.out / WEIGHTS
    model.save_trained(probe.as_model(job, fitted.linear), weights)
    return _result(job, weights, metrics, fitted.logits, fitted.crossed, history=(noted,))


def _gradient(job: Job, net: Net) -> TrialResult:
    trained = gradient.fit(job, net)
    job.out.mkdir(parents=True, exist_ok=True)
    weights = job.out / WEIGHTS
    model.save_trained(trained.model, weights, trained.standard)
    crossed = folds.crossed(job, net, trained)
    best = next(one for one in trained.history if one["epoch"] == trained.best_epoch)
    metrics: dict[str, float] = {name: best[name] for name in METRICS}
    result = _result(
        job,
        weights,
        metrics,
        trained.logits,
        crossed,
        epochs=trained.epochs,
        stopped=trained.stopped,
        history=trained.history,
    )
    return replace(result, seconds=result.seconds + trained.earlier)


def _result(
    job: Job,
    weights: Path,
    metrics: dict[str, float],
    logits: NDArray[np.float32],
    crossed: NDArray[np.float32] | None,
    *,
    history: tuple[dict[str, float], ...],
    epochs: int = 1,
    stopped: str = "epochs",
) -> TrialResult:
    wanted = min(job.recipe.numbers.batch, job.pixels.train)
    return TrialResult(
        metrics=metrics,
        epochs=epochs,
        seconds=job.elapsed,
        weights=file_ref(weights, job.run_folder),
        predictions=_saved(job, "validation.npy", logits),
        stopped=stopped,
        history=history,
        crossed=None if crossed is None else _saved(job, "crossed.npy", crossed),
        batch=None if job.batch == wanted else job.batch,
    )


def _saved(job: Job, name: str, logits: NDArray[np.float32]) -> FileRef:
    def save(path: Path) -> None:
        np.save(path, logits.astype(np.float32), allow_pickle=False)

    return file_ref(write_atomically(job.out / name, save), job.run_folder)
