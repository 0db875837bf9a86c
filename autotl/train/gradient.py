"""Training by gradient: one loop for every recipe that is not solved in closed form."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl import model
from autotl.errors import ResourceError
from autotl.rows import ahead
from autotl.train import checkpoint, compiled, probe, schedule, scores
from autotl.train.checkpoint import State
from autotl.train.compiled import Compiled, Mixed
from autotl.train.inputs import Inputs, Net, inputs, pooled
from autotl.train.job import Job

if TYPE_CHECKING:
    import keras

_log = logging.getLogger("autotl")

Floats = NDArray[np.float32]
Steps = Callable[[Floats], tuple[Floats, int]]
"""Learning rates (steps, groups) → losses (steps,), and how many rows were right."""

TOLD = 5
"""Steps between two reports of progress."""
TOGETHER = 100
"""Steps of a head alone that are run at once."""
VALIDATION_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The model with its best epoch's weights, what its head's inputs are standardised by, that
    epoch's validation logits, and how it went.

    `seconds` are those of the epochs alone, `earlier` those of them in earlier sittings.
    """

    model: keras.Model
    standard: tuple[Floats, Floats]
    logits: Floats
    epochs: int
    best_epoch: int
    seconds: float
    earlier: float
    stopped: str
    history: tuple[dict[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What is drawn for one epoch: rows of each step, rising, (steps, batch), and how they mix."""

    order: NDArray[np.int32]
    mixed: tuple[Mixed, ...]


def fit(job: Job, net: Net) -> Trained:
    """Train the recipe and keep its best epoch.

    The start counts as an epoch where the head starts from a probe, or all from a parent. A
    training that left a checkpoint goes on from there. Raises `ResourceError` where the loss is
    not finite.
    """
    made, net = prepared(job, net)
    start = probe.Start() if job.parent else probe.start(job, net)
    made.begin(job, start, class_weights(job.train_labels, job))
    read = inputs(job, net)
    if job.parent:
        made.take_over(job.parent)
    state = _resumed(job, made)
    if not state.history:
        _judge(job, made, read, state, {})
        if start.kernel is None and not job.parent:
            state.best = (-math.inf, -math.inf)
    begun = job.elapsed
    stopped = _epochs(job, made, read, state)
    seconds = state.seconds + job.elapsed - begun
    made.model.set_weights(state.weights)
    return Trained(
        model=made.model,
        standard=made.standard,
        logits=state.logits,
        epochs=state.epoch,
        best_epoch=state.best_epoch,
        seconds=seconds,
        earlier=state.seconds,
        stopped=stopped,
        history=tuple(state.history),
    )


def prepared(job: Job, net: Net) -> tuple[Compiled, Net]:
    """The job's compiled shape, and the network with its first weights."""
    if model.head_only(job.recipe):
        return compiled.of(job, pooled(job, net).shape[1]), net
    made = compiled.of(job, None)
    assert made.net is not None
    return made, functools.partial(lambda network: network, made.net)


def class_weights(labels: NDArray[Any], job: Job) -> Floats:
    """The weight of each class's examples, float32 (classes,); 1 in the mean over `labels`."""
    count = np.bincount(labels, minlength=job.pixels.classes)
    rarity = np.maximum(count, 1.0) ** -job.recipe.numbers.class_weights
    weights: Floats = (rarity * len(labels) / (rarity * count).sum()).astype(np.float32)
    return weights


def _resumed(job: Job, made: Compiled) -> State:
    found = checkpoint.read(job)
    if found is None:
        return State()
    state, values = found
    try:
        made.restore(values)
    except ValueError as error:
        _log.warning("a checkpoint does not fit, so its trial begins anew: %s", error)
        return State()
    return state


def _epochs(job: Job, made: Compiled, read: Inputs, state: State) -> str:
    numbers = job.recipe.numbers
    total = job.pixels.train // job.batch * numbers.epochs
    begun = written = job.elapsed
    while state.epoch < numbers.epochs:
        finished = _epoch(job, made, read, state, total, begun)
        _judge(job, made, read, state, finished)
        if state.step < total and _position(job, state, total, begun) >= 1.0:
            return "deadline"
        if numbers.patience and state.epoch - state.best_epoch >= numbers.patience:
            return "patience"
        if job.elapsed - written >= checkpoint.EVERY and state.epoch < numbers.epochs:
            earlier, state.seconds = state.seconds, state.seconds + job.elapsed - begun
            checkpoint.write(job, state, made.state())
            state.seconds, written = earlier, job.elapsed
    return "epochs"


def _position(job: Job, state: State, total: int, begun: float, more: int = 0) -> float:
    """Position in the schedule `more` steps on; the last validation's seconds are kept back."""
    seconds = None
    if job.deadline is not None:
        seconds = max(job.deadline - begun - state.last_validation, 0.0)
    now = schedule.position(state.step + more, total, job.elapsed - begun, seconds)
    return max(state.at, now)


def drawn(job: Job, epoch: int, rows: NDArray[Any]) -> Epoch:
    """The order of some rows in an epoch, and their mixing; the seed and the epoch decide."""
    batch = min(job.batch, len(rows))
    steps, alpha = len(rows) // batch, job.recipe.numbers.mixup
    draw = np.random.default_rng(np.random.SeedSequence([job.seed, 1, epoch]))
    order = draw.permutation(rows)[: steps * batch].reshape(steps, batch)
    mixing = np.random.default_rng(np.random.SeedSequence([job.seed, 2, epoch]))
    own = np.arange(batch, dtype=np.int32)
    if alpha <= 0:
        mixed = [Mixed(partner=own, share=1.0)] * steps
    else:
        shares = mixing.beta(alpha, alpha, steps)
        mixed = [Mixed(partner=mixing.permutation(own), share=float(s)) for s in shares]
    return Epoch(order=np.sort(order, axis=1).astype(np.int32), mixed=tuple(mixed))


def _epoch(
    job: Job, made: Compiled, read: Inputs, state: State, total: int, begun: float
) -> dict[str, float]:
    numbers = job.recipe.numbers
    epoch = drawn(job, state.epoch, np.arange(job.pixels.train))
    summed, right, steps = 0.0, 0, 0
    for count, run in _parts(job, made, read, epoch, state):
        state.at = _position(job, state, total, begun)
        if state.at >= 1.0:
            break
        places = [max(_position(job, state, total, begun, i), 0.5 / total) for i in range(count)]
        rates = np.stack([rates_at(job, made, place) for place in places])
        losses, correct = run(rates)
        if not np.isfinite(losses).all():
            raise _diverged(state, int(np.argmin(np.isfinite(losses))), numbers.learning_rate)
        summed, right, steps = summed + float(losses.sum()), right + correct, steps + count
        before, state.step = state.step, state.step + count
        if before // TOLD < state.step // TOLD or state.step == total:
            job.progress("training", state.step, total)
    state.epoch += 1
    if not steps:
        return {}
    return {"train-loss": summed / steps, "train-accuracy": right / (steps * job.batch)}


def rates_at(job: Job, made: Compiled, at: float) -> Floats:
    """The learning rate of each group at a position in the schedule, 0 to 1."""
    numbers = job.recipe.numbers
    share = schedule.rate(at, numbers.warmup)
    return made.rates(numbers, job.recipe.last, share, head_alone=at < numbers.unfreeze)


def _parts(
    job: Job, made: Compiled, read: Inputs, epoch: Epoch, state: State
) -> Iterator[tuple[int, Steps]]:
    """The epoch in parts, each a number of steps and what runs them."""
    view, labels, first = state.epoch % read.views, job.train_labels, state.step
    if read.whole is not None:
        whole = made.loaded(read.whole(view))
        for begin in range(0, len(epoch.order), TOGETHER):
            rows = epoch.order[begin : begin + TOGETHER]
            mixed = epoch.mixed[begin : begin + TOGETHER]
            given = (whole, labels, rows, mixed, job.seed, first + begin)
            yield len(rows), functools.partial(made.steps, *given)
        return
    batches = ahead(lambda rows: read.train(rows, view), epoch.order)
    for number, (rows, x) in enumerate(zip(epoch.order, batches, strict=True)):
        mix = epoch.mixed[number]
        yield 1, functools.partial(made.step, x, labels[rows], mix, job.seed, first + number)


def _diverged(state: State, more: int, rate: float) -> ResourceError:
    return ResourceError(
        f"Training diverged: the loss is not finite in epoch {state.epoch + 1}, "
        f"step {state.step + more + 1}.",
        hint="A lower learning rate helps, where the pixels and weights are sound.",
        details=(f"learning rate at most {rate:.3g}",),
    )


def _judge(
    job: Job, made: Compiled, read: Inputs, state: State, finished: dict[str, float]
) -> None:
    """Validate, note the epoch, and keep its weights where it is the best."""
    begun = job.elapsed
    made.swap()
    logits = validated(job, made, read)
    state.last_validation = job.elapsed - begun
    if not np.isfinite(logits).all():
        raise _diverged(state, 0, job.recipe.numbers.learning_rate)
    found = scores.metrics(logits, job.validation_labels)
    state.history.append({"epoch": float(state.epoch), **finished, **found})
    if scores.rank(found, job.metric) > state.best:
        state.best, state.best_epoch = scores.rank(found, job.metric), state.epoch
        state.weights, state.logits = made.model.get_weights(), logits
    made.swap()


def validated(job: Job, made: Compiled, read: Inputs) -> Floats:
    """Logits of the validation rows, float32 (validation, classes)."""
    count = job.pixels.validation
    if read.whole is not None:
        return made.forward(read.validation(0, count))
    parts = [(s, min(s + VALIDATION_BATCH, count)) for s in range(0, count, VALIDATION_BATCH)]
    return np.concatenate(
        [made.forward(x) for x in ahead(lambda part: read.validation(*part), parts)]
    )
