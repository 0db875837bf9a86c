"""A network and its compiled step: every number of a trial is a variable of it.

A trial takes over what an earlier one of the same shape compiled, with everything as at the start.
"""

from __future__ import annotations

import gc
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl import model
from autotl.records import Numbers, to_json
from autotl.train.groups import Group, factor, groups
from autotl.train.job import Job
from autotl.train.probe import Start

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float32]

CLIP = 5.0
"""Largest global norm of the gradient."""
MOMENTUM = 0.9
"""Most that batch norm's moving statistics keep of themselves in a step, with random weights."""
MOST = 4
"""Shapes that a process keeps compiled."""
UNDECAYED = ("bias", "gamma", "beta")

_kept: OrderedDict[str, Compiled] = OrderedDict()


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """Examples of a step mixed in pairs: `share` of each stays, the rest is its partner's."""

    partner: NDArray[np.int32]
    share: float


def of(job: Job, features: int | None) -> Compiled:
    """The compiled shape of the job's recipe, with its first weights; one kept where it can be.

    `features` is the number of a head's inputs where only the head is trained, else None.
    """
    import keras

    key = _key(job, features)
    if key in _kept:
        _kept.move_to_end(key)
        _kept[key].reset()
        return _kept[key]
    lasting = job.recipe.pretrained or features is not None
    if len(_kept) >= MOST or not lasting:
        if len(_kept) >= MOST:
            _kept.popitem(last=False)
        keras.utils.clear_session()
        gc.collect()
    made = Compiled(job, features)
    if lasting:
        _kept[key] = made
    return made


def _key(job: Job, features: int | None) -> str:
    recipe = job.recipe
    located = None if features else [to_json(job.located), recipe.boundary, recipe.last]
    shape = [recipe.taps, recipe.head.hidden, job.pixels.classes, recipe.pretrained]
    kinds = [recipe.numbers.layer_decay != 1.0, recipe.numbers.average > 0.0]
    return json.dumps([located, features, shape, kinds])


class Compiled:
    """A recipe's shape as a Keras model with a compiled step and forward pass, float32 throughout;
    `net` is the backbone's network, None where only the head is trained.
    """

    def __init__(self, job: Job, features: int | None) -> None:
        import tensorflow as tf

        recipe = job.recipe
        self.net, self.model = _built(job, features)
        self.head = self.model.get_layer(model.HEAD)
        self.classes = job.pixels.classes
        self.groups = groups(self.model, self.net, job)
        self.trained = list(self.model.trainable_variables)
        inside = {id(v) for v in self.head.weights}
        known = {id(v) for v in self.model.weights}
        self._outside = [v for v in self.model.weights if id(v) not in inside]
        self._first = [_value(v) for v in self._outside]
        self._draws = [v for v in self.model.variables if id(v) not in known]
        self._optimisers = [_optimiser([self.trained[i] for i in g.places]) for g in self.groups]
        width = features or self.model.layers[-1].input.shape[-1]
        self.mean = tf.Variable(tf.zeros(width), trainable=False)
        self.deviation = tf.Variable(tf.ones(width), trainable=False)
        self._decays = tf.Variable(tf.zeros(len(self.groups)), trainable=False)
        self._smoothing = tf.Variable(0.0, trainable=False)
        self._dropout = tf.Variable(0.0, trainable=False)
        self._weights = tf.Variable(tf.ones(self.classes), trainable=False)
        self._average = tf.Variable(0.0, trainable=False)
        self._averages = (
            [tf.Variable(v.value, trainable=False) for v in self.trained]
            if recipe.numbers.average
            else []
        )
        self._body = None if features else _body(self.model)
        self._trace()

    def reset(self) -> None:
        """The backbone's weights as they were when it was built."""
        for variable, value in zip(self._outside, self._first, strict=True):
            variable.assign(value)

    def begin(self, job: Job, start: Start, class_weights: Floats) -> None:
        """Make everything as it is before the first step of the job."""
        numbers, head = job.recipe.numbers, job.recipe.head
        self.reset()
        self._place_head(job, start)
        for place, state in enumerate(self._draws):
            state.assign(np.array([job.seed, place], np.uint32))
        for optimiser in self._optimisers:
            for variable in optimiser.variables:
                variable.assign(np.zeros(variable.shape, variable.dtype))
        self._start_averages()
        self._decays.assign(
            [head.l2 if g.stage is None else numbers.weight_decay for g in self.groups]
        )
        self._smoothing.assign(numbers.label_smoothing)
        self._dropout.assign(head.dropout)
        self._weights.assign(class_weights)
        self._average.assign(numbers.average)

    def _place_head(self, job: Job, start: Start) -> None:
        import keras

        width = self.mean.shape[0]
        self.mean.assign(np.zeros(width, "f4") if start.mean is None else start.mean)
        self.deviation.assign(np.ones(width, "f4") if start.deviation is None else start.deviation)
        hidden = job.recipe.head.hidden
        if hidden:
            drawn = keras.initializers.HeNormal(seed=job.seed)((width, hidden))
            self.head.get_layer(model.HIDDEN).set_weights([drawn, np.zeros(hidden, "f4")])
        kernel, bias = start.kernel, start.bias
        if kernel is None or bias is None:
            shape = (hidden or width, self.classes)
            kernel = np.asarray(keras.initializers.GlorotUniform(seed=job.seed + 2)(shape))
            bias = np.zeros(self.classes, "f4")
        self.head.get_layer(model.LOGITS).set_weights([kernel, bias])

    def take_over(self, weights: Path) -> None:
        """Start from what `model.save_trained` wrote of a model of this shape.

        Raises ValueError where the file does not fit.
        """
        model.load_trained(self.model, weights)
        mean, deviation = model.read_standard(weights)
        self.mean.assign(mean)
        self.deviation.assign(deviation)
        self._start_averages()

    def _start_averages(self) -> None:
        for average, variable in zip(self._averages, self.trained, strict=bool(self._averages)):
            average.assign(variable.value)

    @property
    def standard(self) -> tuple[Floats, Floats]:
        """(mean, deviation) that the head's inputs are standardised by."""
        return self.mean.numpy(), self.deviation.numpy()

    def rates(self, numbers: Numbers, last: int, share: float, *, head_alone: bool) -> Floats:
        """The learning rate of each group, where the schedule gives `share` of the highest."""
        rate = numbers.learning_rate * share
        found = [rate * factor(g, numbers, last, head_alone) for g in self.groups]
        return np.array(found, np.float32)

    def loaded(self, x: Floats) -> Any:
        """The inputs of many steps, for `steps`, brought to where they are computed."""
        import tensorflow as tf

        return tf.constant(x)

    def step(
        self, x: Floats, y: NDArray[np.int32], mixed: Mixed, seed: int, number: int, rates: Floats
    ) -> tuple[Floats, int]:
        """Step `number` of the optimisers, on a batch: mean loss (1,), and how many were right
        before it. `rates` is (1, groups).
        """
        draw = np.array([seed, number], np.int32)
        loss, right = self._step(x, y, mixed.partner, np.float32(mixed.share), rates[0], draw)
        return np.array([loss], np.float32), int(right)

    def steps(
        self,
        x: Any,
        y: NDArray[np.int32],
        order: NDArray[np.int32],
        mixed: Sequence[Mixed],
        seed: int,
        number: int,
        rates: Floats,
    ) -> tuple[Floats, int]:
        """Steps `number`, `number` + 1, ... on the rows in `order` (steps, batch) of all inputs.

        `rates` is (steps, groups). Losses (steps,), and how many were right before their steps.
        """
        partners = np.stack([one.partner for one in mixed])
        shares = np.array([one.share for one in mixed], np.float32)
        draw = np.array([seed, number], np.int32)
        losses, right = self._steps(x, y, order, partners, shares, rates, draw)
        return losses.numpy(), int(right)

    def forward(self, x: Floats) -> Floats:
        """Logits (batch, classes) in inference mode."""
        return np.asarray(self._forward(x))

    def swap(self) -> None:
        """Exchange the weights with their moving averages, where there are any."""
        for average, variable in zip(self._averages, self.trained, strict=bool(self._averages)):
            now = variable.value.numpy()
            variable.assign(average)
            average.assign(now)

    def state(self) -> list[NDArray[Any]]:
        """The value of everything that steps change."""
        return [_value(variable) for variable in self._changing()]

    def restore(self, values: Sequence[NDArray[Any]]) -> None:
        """Take up what `state` gave. Raises ValueError where it is of another shape."""
        changing = self._changing()
        for variable, value in zip(changing, values, strict=True):
            if tuple(variable.shape) != value.shape:
                raise ValueError("the checkpoint is of another network")
        for variable, value in zip(changing, values, strict=True):
            variable.assign(value)

    def _changing(self) -> list[Any]:
        slots = [v for one in self._optimisers for v in one.variables]
        return [*self.model.weights, *self._draws, *slots, *self._averages]

    def _trace(self) -> None:
        import tensorflow as tf

        real, whole = tf.float32, tf.int32
        inputs = tf.TensorSpec((None, *self.model.input_shape[1:]), real)
        groups = len(self.groups)
        one = [
            inputs,
            tf.TensorSpec((None,), whole),
            tf.TensorSpec((None,), whole),
            tf.TensorSpec((), real),
            tf.TensorSpec((groups,), real),
            tf.TensorSpec((2,), whole),
        ]
        many = [
            inputs,
            tf.TensorSpec((None,), whole),
            tf.TensorSpec((None, None), whole),
            tf.TensorSpec((None, None), whole),
            tf.TensorSpec((None,), real),
            tf.TensorSpec((None, groups), real),
            tf.TensorSpec((2,), whole),
        ]
        options = {"jit_compile": False, "autograph": False}
        self._step = tf.function(self._update, input_signature=one, **options)
        self._steps = tf.function(self._updates, input_signature=many, **options)
        self._forward = tf.function(
            lambda x: self._logits(x, training=False), input_signature=[inputs], **options
        )

    def _logits(self, x: Any, *, training: bool, draw: Any = None) -> Any:
        import tensorflow as tf

        x = x if self._body is None else self._body(x, training=training)
        x = (x - self.mean) / self.deviation
        names = {layer.name for layer in self.head.layers}
        if model.HIDDEN in names:
            x = self.head.get_layer(model.HIDDEN)(x)
        if training:
            # drawing for nothing would be half of a head's step
            x = tf.cond(
                self._dropout > 0.0,
                lambda: tf.nn.experimental.stateless_dropout(x, self._dropout, draw),
                lambda: x,
            )
        return self.head.get_layer(model.LOGITS)(x)

    def _update(self, x: Any, y: Any, partner: Any, share: Any, rates: Any, draw: Any) -> Any:
        import tensorflow as tf

        hot = tf.one_hot(y, self.classes)
        x, hot = tf.cond(
            share < 1.0,
            lambda: tuple(share * t + (1.0 - share) * tf.gather(t, partner) for t in (x, hot)),
            lambda: (x, hot),
        )
        weights = tf.linalg.matvec(hot, self._weights)
        targets = hot * (1.0 - self._smoothing) + self._smoothing / self.classes
        with tf.GradientTape() as tape:
            logits = self._logits(x, training=True, draw=draw)
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(losses * weights)
        gradients = tape.gradient(loss, [v.value for v in self.trained])
        gradients, _ = tf.clip_by_global_norm(gradients, CLIP)
        for place, (group, optimiser) in enumerate(zip(self.groups, self._optimisers, strict=True)):
            self._apply(group, optimiser, gradients, rates[place], self._decays[place])
        self._follow(draw[1])
        right = tf.reduce_sum(tf.cast(tf.argmax(logits, 1, tf.int32) == y, tf.int32))
        return loss, right

    def _apply(self, group: Group, optimiser: Any, gradients: Any, rate: Any, decay: Any) -> None:
        """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101)."""
        variables = [self.trained[i] for i in group.places]
        optimiser.learning_rate.assign(rate)
        for variable in variables:
            if not any(part in variable.name for part in UNDECAYED):
                variable.assign(variable.value * (1.0 - decay * rate))
        optimiser.apply([gradients[i] for i in group.places], variables)

    def _follow(self, number: Any) -> None:
        """Move the averages; early in training they follow faster, as TensorFlow's do."""
        import tensorflow as tf

        count = tf.cast(number, tf.float32)
        decay = tf.minimum(self._average, (1.0 + count) / (10.0 + count))
        for average, variable in zip(self._averages, self.trained, strict=bool(self._averages)):
            average.assign(decay * average + (1.0 - decay) * variable.value)

    def _updates(
        self, x: Any, y: Any, order: Any, partners: Any, shares: Any, rates: Any, draw: Any
    ) -> Any:
        import tensorflow as tf

        count = tf.shape(order)[0]

        def one(i: Any, losses: Any, right: Any) -> Any:
            rows = order[i]
            now = tf.stack([draw[0], draw[1] + i])
            loss, correct = self._update(
                tf.gather(x, rows), tf.gather(y, rows), partners[i], shares[i], rates[i], now
            )
            return i + 1, losses.write(i, loss), right + correct

        first = (tf.constant(0), tf.TensorArray(tf.float32, size=count), tf.constant(0))
        _, losses, right = tf.while_loop(lambda i, *_: i < count, one, first, parallel_iterations=1)
        return losses.stack(), right


def _built(job: Job, features: int | None) -> tuple[keras.Model | None, keras.Model]:
    # the step drops by itself, at a rate that is a variable; a layer would bring a state of its own
    recipe = replace(job.recipe, head=replace(job.recipe.head, dropout=0.0))
    classes = job.pixels.classes
    if features:
        return None, model.head_alone(recipe, features, classes, seed=job.seed)
    net = model.build(job.located, pretrained=recipe.pretrained, seed=job.seed)
    if not recipe.pretrained:
        _quicken(net)
    return net, model.trainable(net, job.stages, recipe, classes, seed=job.seed)


def _quicken(net: keras.Model) -> None:
    """Have batch norm's moving statistics keep up with a short training.

    A momentum of .999, as MobileNetV2 has it, still holds a third of the initial values after a
    thousand steps, and validation would be judged by those.
    """
    import keras

    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, MOMENTUM)


def _value(variable: Any) -> NDArray[Any]:
    import tensorflow as tf

    found: NDArray[Any] = tf.convert_to_tensor(variable).numpy().copy()
    return found


def _body(trainable: keras.Model) -> keras.Model:
    """The model up to what its head reads."""
    import keras

    return keras.Model(trainable.input, trainable.layers[-2].output, name="body")


def _optimiser(variables: list[Any]) -> Any:
    import keras

    made = keras.optimizers.Adam()
    made.build(variables)
    return made
