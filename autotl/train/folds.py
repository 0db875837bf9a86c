"""Out-of-fold logits of a head trained by gradient: it is compared with the probe by these."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autotl import model
from autotl.train import compiled, gradient, probe
from autotl.train.compiled import Compiled
from autotl.train.gradient import Trained
from autotl.train.inputs import Inputs, Net, inputs, pooled
from autotl.train.job import Job
from autotl.train.probe import Start

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]


def crossed(job: Job, net: Net, trained: Trained) -> Floats | None:
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
    plain = pooled(job, net)
    starts = _starts(job, plain, [rest for rest, _ in parts])
    late = job.deadline is not None and job.elapsed + len(parts) * trained.seconds > job.deadline
    if starts is None or late:
        return None
    out = np.zeros((len(plain), job.pixels.classes), np.float32)
    made, read = compiled.of(job, plain.shape[1]), inputs(job, net)
    for done, ((rest, left), start) in enumerate(zip(parts, starts, strict=True), start=1):
        made.begin(job, start, gradient.class_weights(job.labels[rest], job))
        _train(job, made, read, plain, rest, trained)
        made.swap()
        out[left] = made.forward(plain[left])
        job.progress("cross-validating", done, len(parts))
    return out if np.isfinite(out).all() else None


def _starts(job: Job, plain: Floats, rests: list[Rows]) -> tuple[Start, ...] | None:
    """What `probe.start` gives, for each fold and from its rows alone; None for want of time."""
    if not job.recipe.pretrained:
        return (Start(),) * len(rests)
    if job.recipe.head.hidden:
        pairs = [probe.standard(plain[rest]) for rest in rests]
        return tuple(Start(mean=mean, deviation=deviation) for mean, deviation in pairs)
    linears = probe.fold_starts(job, plain)
    return None if linears is None else tuple(map(probe.from_linear, linears))


def _train(
    job: Job, made: Compiled, read: Inputs, plain: Floats, rest: Rows, trained: Trained
) -> None:
    numbers, count = job.recipe.numbers, job.pixels.train
    # a deadline annealed the trial's own training within the epochs that it had
    planned = trained.epochs if trained.stopped == "deadline" else numbers.epochs
    own, done = rest < count, 0
    for epoch in range(trained.best_epoch):
        view = plain.copy()
        view[rest[own]] = read.train(rest[own], epoch % read.views)
        drawn = gradient.drawn(job, epoch, rest)
        total = max(planned, 1) * len(drawn.order)
        places = [max(done + i, 0.5) / total for i in range(len(drawn.order))]
        rates = np.stack([gradient.rates_at(job, made, place) for place in places])
        made.steps(view, job.labels, drawn.order, drawn.mixed, job.seed, done, rates)
        done += len(drawn.order)
