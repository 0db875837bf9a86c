"""Out-of-fold logits of a head trained by gradient: it is compared with the probe by these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autotl import model
from autotl.train import gradient, probe, schedule
from autotl.train.gradient import Trained
from autotl.train.inputs import Inputs, inputs
from autotl.train.job import Job

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]


def crossed(job: Job, net: keras.Model, trained: Trained) -> Floats | None:
    """Logits of training and validation rows, each from a head that was trained without its row.

    Each fold's head is trained like the trial's own, up to the epoch that was kept there; of a
    validation row only the plain view is read, for no other is stored. None where the recipe
    trains stages, validation rows are not few, a class has one row, the deadline leaves no time,
    or a fold's training diverged.
    """
    if not model.head_only(job.recipe) or job.pixels.validation >= probe.FEW:
        return None
    parts = probe.folds(job)
    if not parts:
        return None
    read = inputs(job, net)
    count = job.pixels.train
    plain = np.concatenate(
        [read.train(np.arange(count), 0), read.validation(0, job.pixels.validation)]
    )
    linear = job.recipe.pretrained and not job.recipe.head.hidden
    starts = probe.fold_starts(job, plain) if linear else (None,) * len(parts)
    late = job.deadline is not None and job.elapsed + len(parts) * trained.seconds > job.deadline
    if starts is None or late:
        return None
    out = np.zeros((len(plain), job.pixels.classes), np.float32)
    for done, ((rest, left), start) in enumerate(zip(parts, starts, strict=True), start=1):
        made = _made(job, net, start)
        _train(job, made, read, plain, rest, trained)
        out[left] = gradient.forward_of(made)(plain[left])
        job.progress("cross-validating", done, len(parts))
    return out if np.isfinite(out).all() else None


def _made(job: Job, net: keras.Model, start: probe.Linear | None) -> keras.Model:
    if start:
        return probe.as_model(job, net, start)
    return model.trainable(net, job.stages, job.recipe, job.pixels.classes, seed=job.seed)


def _train(
    job: Job, made: keras.Model, read: Inputs, plain: Floats, rest: Rows, trained: Trained
) -> None:
    numbers, count = job.recipe.numbers, job.pixels.train
    step = gradient.step_of(made, job)
    batch = min(numbers.batch, len(rest))
    per_epoch = len(rest) // batch
    # a deadline annealed the trial's own training within the epochs that it had
    planned = trained.epochs if trained.stopped == "deadline" else numbers.epochs
    total, done = per_epoch * max(planned, 1), 0
    for epoch in range(trained.best_epoch):
        draw = np.random.default_rng(np.random.SeedSequence([job.seed, 1, epoch]))
        order = draw.permutation(rest)[: per_epoch * batch].reshape(per_epoch, batch)
        for rows in np.sort(order, axis=1):
            x = plain[rows]
            own = rows < count
            x[own] = read.train(rows[own], epoch % read.views)
            at = max(done / total, 0.5 / total)
            step(x, job.labels[rows], numbers.learning_rate * schedule.rate(at, numbers.warmup))
            done += 1
