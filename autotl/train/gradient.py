"""Training by gradient: one loop for every recipe that is not solved in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl import model
from autotl.errors import ResourceError
from autotl.train import probe, schedule, scores
from autotl.train.inputs import Inputs, ahead, inputs
from autotl.train.job import Job

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float32]
Step = Callable[[Floats, NDArray[np.int32], float], tuple[float, int]]
EVERY = 5
"""Steps between two reports of progress."""
CLIP = 5.0
"""Largest global norm of the gradient."""
VALIDATION_BATCH = 64
MOMENTUM = 0.9
"""Most that batch norm's moving statistics keep of themselves in a step, with random weights."""


@dataclass(kw_only=True)
class State:
    """Where a training stands: what a checkpoint would have to hold besides optimiser slots."""

    epoch: int = 0
    step: int = 0
    best: tuple[float, float] = (-math.inf, -math.inf)
    best_epoch: int = 0
    weights: list[NDArray[Any]]
    logits: Floats
    history: list[dict[str, float]]
    last_validation: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The model with its best epoch's weights, that epoch's validation logits, and how it went.

    `seconds` are those of the epochs alone.
    """

    model: keras.Model
    logits: Floats
    epochs: int
    best_epoch: int
    seconds: float
    stopped: str
    history: tuple[dict[str, float], ...]


def fit(job: Job, net: keras.Model) -> Trained:
    """Train the recipe and keep its best epoch.

    The start counts as an epoch when the head starts from a probe. Raises `ResourceError` where
    the loss is not finite.
    """
    if not job.recipe.pretrained:
        quicken(net)
    linear = probe.start(job, net)
    made = model.trainable(
        net,
        job.stages,
        job.recipe,
        job.pixels.classes,
        standard=(linear.mean, linear.deviation) if linear else None,
        seed=job.seed,
    )
    if linear:
        probe.place(made, linear)
    read = inputs(job, net)
    step, forward = step_of(made, job), forward_of(made)
    state = State(weights=made.get_weights(), logits=np.zeros((0, 0), np.float32), history=[])
    _judge(job, made, forward, read, state, {})
    if not linear:
        state.best = (-math.inf, -math.inf)
    begun = job.elapsed
    stopped = _epochs(job, made, step, forward, read, state)
    seconds = job.elapsed - begun
    made.set_weights(state.weights)
    return Trained(
        model=made,
        logits=state.logits,
        epochs=state.epoch,
        best_epoch=state.best_epoch,
        seconds=seconds,
        stopped=stopped,
        history=tuple(state.history),
    )


def quicken(net: keras.Model) -> None:
    """Have batch norm's moving statistics keep up with a short training.

    A momentum of .999, as MobileNetV2 has it, still holds a third of the initial values after a
    thousand steps, and validation would be judged by those.
    """
    import keras

    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, MOMENTUM)


def _epochs(
    job: Job, made: keras.Model, step: Step, forward: Any, read: Inputs, state: State
) -> str:
    numbers = job.recipe.numbers
    batch = min(numbers.batch, job.pixels.train)
    per_epoch = job.pixels.train // batch
    total = per_epoch * numbers.epochs
    begun = job.elapsed
    while state.epoch < numbers.epochs:
        finished = _epoch(job, step, read, state, batch, per_epoch, total, begun)
        _judge(job, made, forward, read, state, finished)
        if state.step < total and _position(job, state, total, begun) >= 1.0:
            return "deadline"
        if numbers.patience and state.epoch - state.best_epoch >= numbers.patience:
            return "patience"
    return "epochs"


def _position(job: Job, state: State, total: int, begun: float) -> float:
    """Position in the schedule; the last validation's seconds are kept back."""
    seconds = None
    if job.deadline is not None:
        seconds = max(job.deadline - begun - state.last_validation, 0.0)
    return schedule.position(state.step, total, job.elapsed - begun, seconds)


def _epoch(
    job: Job,
    step: Step,
    read: Inputs,
    state: State,
    batch: int,
    per_epoch: int,
    total: int,
    begun: float,
) -> dict[str, float]:
    numbers, labels = job.recipe.numbers, job.train_labels
    draw = np.random.default_rng(np.random.SeedSequence([job.seed, 1, state.epoch]))
    order = draw.permutation(job.pixels.train)[: per_epoch * batch].reshape(per_epoch, batch)
    view = state.epoch % read.views
    losses, right = 0.0, 0
    steps = 0
    for rows, x in zip(order, ahead(lambda r: read.train(np.sort(r), view), order), strict=True):
        at = _position(job, state, total, begun)
        if at >= 1.0:
            break
        rate = numbers.learning_rate * schedule.rate(max(at, 0.5 / total), numbers.warmup)
        loss, correct = step(x, labels[np.sort(rows)], rate)
        if not math.isfinite(loss):
            raise _diverged(state, rate)
        losses, right, steps = losses + loss, right + correct, steps + 1
        state.step += 1
        if state.step % EVERY == 0 or state.step == total:
            job.progress("training", state.step, total)
    state.epoch += 1
    if not steps:
        return {}
    return {"train-loss": losses / steps, "train-accuracy": right / (steps * batch)}


def _diverged(state: State, rate: float) -> ResourceError:
    return ResourceError(
        f"Training diverged: the loss is not finite in epoch {state.epoch + 1}, "
        f"step {state.step + 1}.",
        hint="A lower learning rate helps, where the pixels and weights are sound.",
        details=(f"learning rate {rate:.3g}",),
    )


def _judge(
    job: Job,
    made: keras.Model,
    forward: Callable[[Floats], Floats],
    read: Inputs,
    state: State,
    finished: dict[str, float],
) -> None:
    """Validate, note the epoch, and keep its weights where it is the best."""
    begun, count = job.elapsed, job.pixels.validation
    parts = [(s, min(s + VALIDATION_BATCH, count)) for s in range(0, count, VALIDATION_BATCH)]
    logits = np.concatenate([forward(x) for x in ahead(lambda p: read.validation(*p), parts)])
    state.last_validation = job.elapsed - begun
    if not np.isfinite(logits).all():
        raise _diverged(state, math.nan)
    found = scores.metrics(logits, job.validation_labels)
    state.history.append({"epoch": float(state.epoch), **finished, **found})
    if scores.rank(found, job.metric) > state.best:
        state.best, state.best_epoch = scores.rank(found, job.metric), state.epoch
        state.weights, state.logits = made.get_weights(), logits


def forward_of(made: keras.Model) -> Callable[[Floats], Floats]:
    """The model's logits in inference mode."""
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *made.input_shape[1:]), tf.float32)]
    graph = tf.function(
        lambda x: made(x, training=False), input_signature=signature, jit_compile=False
    )
    return lambda x: np.asarray(graph(x))


def step_of(made: keras.Model, job: Job) -> Step:
    """One step of the optimisers: (inputs, labels, rate) → mean loss, number right."""
    import tensorflow as tf

    variables, optimisers = made.trainable_variables, _optimisers(made, job)
    classes, smoothing = job.pixels.classes, job.recipe.numbers.label_smoothing

    def update(x: Any, y: Any) -> Any:
        targets = tf.one_hot(y, classes) * (1.0 - smoothing) + smoothing / classes
        with tf.GradientTape() as tape:
            logits = made(x, training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, [v.value for v in variables])
        gradients, _ = tf.clip_by_global_norm(gradients, CLIP)
        for one, of, _ in optimisers:
            one.apply([gradients[i] for i in of], [variables[i] for i in of])
        right = tf.reduce_sum(tf.cast(tf.argmax(logits, 1, tf.int32) == y, tf.int32))
        return loss, right

    graph = tf.function(
        update,
        input_signature=[
            tf.TensorSpec((None, *made.input_shape[1:]), tf.float32),
            tf.TensorSpec((None,), tf.int32),
        ],
        jit_compile=False,
    )

    def step(x: Floats, y: NDArray[np.int32], rate: float) -> tuple[float, int]:
        for one, _, factor in optimisers:
            one.learning_rate = rate * factor
        loss, right = graph(x, y)
        return float(loss), int(right)

    return step


def _optimisers(made: keras.Model, job: Job) -> list[tuple[Any, list[int], float]]:
    """For the head and for the stages: an optimiser, its variables' places, the rate's factor."""
    numbers, variables = job.recipe.numbers, made.trainable_variables
    head = {id(v) for v in made.get_layer(model.HEAD).trainable_variables}
    inside = [i for i, v in enumerate(variables) if id(v) in head]
    outside = [i for i, v in enumerate(variables) if id(v) not in head]
    groups = [
        (inside, job.recipe.head.l2, 1.0),
        (outside, numbers.weight_decay, numbers.backbone_rate),
    ]
    return [
        (optimiser(numbers.learning_rate, decay, [variables[i] for i in of]), of, factor)
        for of, decay, factor in groups
        if of
    ]


def optimiser(rate: float, decay: float, variables: list[Any]) -> Any:
    """AdamW on `variables`; biases and batch norm's gamma and beta do not decay."""
    import keras

    made = keras.optimizers.AdamW(learning_rate=rate, weight_decay=decay)
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    made.build(variables)
    return made
