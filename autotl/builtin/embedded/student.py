"""How the embedded network is trained: its two heads, its batches, its schedule.

The loss is the cross-entropy with a mixture of the label and the teacher's class probabilities
(Hinton et al. 2015), plus, weighted, the squared distance between a linear image of the averaged
features and the teacher's standardised features (Romero et al. 2015, "FitNets"), which teaches
what ImageNet's other classes need too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from autotl.builtin.embedded import network, pictures

if TYPE_CHECKING:
    import keras

Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of the training at one image size."""

    size: int
    epochs: float


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, besides the data and the teacher."""

    phases: tuple[Phase, ...] = (Phase(32, 8.0), Phase(48, 24.0), Phase(64, 24.0))
    parts_per_epoch: int = 2
    batch: int = 128
    peak_rate: float = 0.1
    warm_up_epochs: float = 0.5
    momentum: float = 0.9
    l2: float = 2e-4
    views: int = 4
    crop_area: tuple[float, float] = (0.4, 1.0)
    crop_aspect: float = 4 / 3
    label_share: float = 0.4
    echo_weight: float = 0.5
    teacher_epochs: int = 12
    settling_batches: int = 80
    seed: int = 0

    @property
    def parts(self) -> int:
        """The number of parts of the whole training, each ended by a checkpoint."""
        return sum(round(phase.epochs * self.parts_per_epoch) for phase in self.phases)

    def size(self, part: int) -> int:
        """Return the image size of a part."""
        for phase in self.phases:
            part -= round(phase.epochs * self.parts_per_epoch)
            if part < 0:
                return phase.size
        raise IndexError("the training has no such part")

    def steps(self, examples: int) -> int:
        """Return the number of batches of one part."""
        return examples // self.parts_per_epoch // self.batch


@dataclasses.dataclass(frozen=True)
class Data:
    """Training images `(n, 64, 64, 3)` uint8 and labels `(n,)`; by view, boxes and the teacher's
    features `(n, 1280)`; their mean and deviation; the teacher's classifier on them.
    """

    images: pictures.Pixels
    labels: pictures.Labels
    boxes: list[pictures.Boxes]
    features: list[npt.NDArray[np.float16]]
    mean: Floats
    deviation: Floats
    kernel: Floats
    bias: Floats

    def echoes(self, view: int, rows: npt.NDArray[np.int64]) -> Floats:
        """Return the teacher's standardised features of some images."""
        found = self.features[view][rows].astype(np.float32)
        return np.asarray((found - self.mean) / self.deviation, np.float32)

    def probabilities(self, echoes: Floats) -> Floats:
        """Return the teacher's class probabilities `(n, 200)` for standardised features."""
        scores = echoes @ self.kernel + self.bias
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(scores / scores.sum(axis=1, keepdims=True), np.float32)


def headed(input_size: int | None) -> keras.Model:
    """Return the network with its classifier, which gives class scores `(n, 200)`."""
    import keras

    body = network.graph(input_size)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(body.output)
    scores = keras.layers.Dense(200, name=network.HEAD)(pooled)
    return keras.Model(body.input, scores, name="embedded_classifier")


def classifier(recipe: Recipe, examples: int) -> keras.Model:
    """Return the compiled network with both training heads, for images of any size.

    The rate of weight decay is that of an L2 penalty, `l2` / (1 - momentum), because keras
    applies it outside the momentum; gains, offsets and biases are spared.
    """
    import keras

    base = headed(None)
    echo = keras.layers.Dense(len_features(), name=network.ECHO)(base.get_layer("pool").output)
    outputs = {network.HEAD: base.output, network.ECHO: echo}
    model = keras.Model(base.input, outputs, name="embedded_student")
    steps = recipe.steps(examples)
    warm_up = round(recipe.warm_up_epochs * recipe.parts_per_epoch * steps)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, recipe.parts * steps - warm_up, warmup_target=recipe.peak_rate, warmup_steps=warm_up
    )
    optimiser = keras.optimizers.SGD(
        rate,
        momentum=recipe.momentum,
        nesterov=True,
        weight_decay=recipe.l2 / (1 - recipe.momentum),
    )
    optimiser.exclude_from_weight_decay(
        var_list=[v for v in model.trainable_variables if len(v.shape) == 1]
    )
    model.compile(
        optimiser,
        loss={
            network.HEAD: keras.losses.CategoricalCrossentropy(from_logits=True),
            network.ECHO: "mean_squared_error",
        },
        loss_weights={network.HEAD: 1.0, network.ECHO: recipe.echo_weight},
        metrics={network.HEAD: ["accuracy"]},
        jit_compile=False,
    )
    return model


def len_features() -> int:
    """The length of the teacher's features."""
    from autotl.builtin.embedded import teacher

    return teacher.FEATURES


def fit_echo(model: keras.Model, data: Data, count: int = 4096) -> None:
    """Set the linear map to the teacher's features by least squares, for a network that comes
    from a weights file, in which this map is not kept.
    """
    import keras

    rows = np.linspace(0, len(data.images) - 1, count).astype(np.int64)
    pool = keras.Model(model.input, model.get_layer("pool").output)
    crops = pictures.crop(data.images[rows], data.boxes[0].of(rows), pictures.SIDE)
    found = np.concatenate(
        [pool.predict_on_batch(pictures.normalise(part)) for part in np.array_split(crops, 32)]
    )
    wide = np.concatenate([found, np.ones((len(found), 1), np.float32)], axis=1)
    gram = wide.T @ wide + 1e-3 * len(wide) * np.eye(wide.shape[1])
    solved = np.linalg.solve(gram, wide.T @ data.echoes(0, rows))
    layer = model.get_layer(network.ECHO)
    layer.kernel.assign(solved[:-1])
    layer.bias.assign(solved[-1])


def batches(recipe: Recipe, part: int, data: Data) -> Iterator[tuple[Floats, dict[str, Floats]]]:
    """Yield one part's batches: images `(batch, size, size, 3)`, and the targets `head`
    `(batch, 200)` and `echo` `(batch, 1280)`; all float32.

    Order, views and mirrorings depend on the seed and the part alone, so a resumed training sees
    what an uninterrupted one does.
    """
    epoch, share = divmod(part, recipe.parts_per_epoch)
    rng = np.random.default_rng([recipe.seed, 2, epoch])
    order = np.array_split(rng.permutation(len(data.images)), recipe.parts_per_epoch)[share]
    mirrored = rng.random(len(data.images)) < 0.5
    view, size = epoch % recipe.views, recipe.size(part)
    label_share = np.float32(recipe.label_share)
    for step in range(recipe.steps(len(data.images))):
        rows = np.sort(order[step * recipe.batch : (step + 1) * recipe.batch])
        crops = pictures.crop(data.images[rows], data.boxes[view].of(rows), size, mirrored[rows])
        echoes = data.echoes(view, rows)
        targets = (1 - label_share) * data.probabilities(echoes)
        targets[np.arange(len(rows)), data.labels[rows]] += label_share
        yield pictures.normalise(crops), {network.HEAD: targets, network.ECHO: echoes}
