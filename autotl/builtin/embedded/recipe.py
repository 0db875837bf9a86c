"""The training that made the embedded weights, as one command:

    python -m autotl.builtin.embedded.recipe TINY_IMAGENET_FOLDER [--minutes N] [--out FILE]

The folder is the unpacked archive of Tiny ImageNet (`train/`, `val/`, `words.txt`). Run the
command again to go on where it stopped; `--minutes 0` only exports and evaluates.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import logging
import math
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autotl.builtin.embedded import CHECKSUM_FILE, CLASSES_FILE, WEIGHTS_FILE, network, pictures

if TYPE_CHECKING:
    import keras

log = logging.getLogger("autotl.builtin.embedded.recipe")


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of the training at one image size."""

    size: int
    epochs: float


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, besides the data."""

    phases: tuple[Phase, ...] = (Phase(32, 3.0), Phase(48, 1.0))
    checkpoints_per_epoch: int = 2
    batch: int = 128
    peak_rate: float = 0.1
    warm_up_epochs: float = 0.5
    momentum: float = 0.9
    l2: float = 5e-4
    label_smoothing: float = 0.1
    crop_area: tuple[float, float] = (0.35, 1.0)
    crop_aspect: float = 4 / 3
    settling_batches: int = 80
    settling_momentum: float = 0.95
    seed: int = 0

    @property
    def parts(self) -> int:
        """The number of parts of the whole training, each ended by a checkpoint."""
        return sum(round(phase.epochs * self.checkpoints_per_epoch) for phase in self.phases)

    def size(self, part: int) -> int:
        """Return the image size of a part."""
        for phase in self.phases:
            part -= round(phase.epochs * self.checkpoints_per_epoch)
            if part < 0:
                return phase.size
        raise IndexError("the training has no such part")

    def steps(self, examples: int) -> int:
        """Return the number of batches of one part."""
        return examples // self.checkpoints_per_epoch // self.batch


@dataclasses.dataclass
class Progress:
    """What is done so far; written beside the checkpoint it belongs to."""

    parts: int = 0
    seconds: float = 0.0
    checkpoint: str = ""
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)


def classifier(recipe: Recipe, steps: int) -> keras.Model:
    """Return the compiled network with its training head, for images of any size.

    The rate of weight decay is that of an L2 penalty, `l2` / (1 - momentum), because keras
    applies it outside the momentum; gains, offsets and biases are spared.
    """
    import keras

    body = network.graph(None)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(body.output)
    classes = keras.layers.Dense(200, name=network.HEAD, dtype="float32")(x)
    model = keras.Model(body.input, classes, name="embedded_classifier")
    warm_up = round(recipe.warm_up_epochs * recipe.checkpoints_per_epoch * steps)
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
    loss = keras.losses.CategoricalCrossentropy(True, label_smoothing=recipe.label_smoothing)
    model.compile(optimiser, loss, metrics=["accuracy"], jit_compile=False)
    return model


def batches(recipe: Recipe, part: int, images: pictures.Pixels, labels: pictures.Labels) -> Any:
    """Return one part's batches as a `keras.utils.PyDataset`, prepared by a second thread.

    Order and crops depend on the seed, the part and the batch alone, so a resumed training sees
    what an uninterrupted one does.
    """
    import keras

    epoch, share = divmod(part, recipe.checkpoints_per_epoch)
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(images))
    order = np.array_split(order, recipe.checkpoints_per_epoch)[share]
    targets = np.eye(200, dtype=np.float32)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        """Float32 images `(batch, size, size, 3)` and one-hot labels `(batch, 200)`."""

        def __len__(self) -> int:
            return recipe.steps(len(images))

        def __getitem__(self, index: int) -> tuple[pictures.Floats, pictures.Floats]:
            rows = order[index * recipe.batch : (index + 1) * recipe.batch]
            crops = pictures.augment(
                images[rows],
                recipe.size(part),
                np.random.default_rng([recipe.seed, part, index]),
                area=recipe.crop_area,
                aspect=recipe.crop_aspect,
            )
            return crops, targets[labels[rows]]

    return Batches(workers=1, max_queue_size=8)


def resume(recipe: Recipe, steps: int, work: Path) -> tuple[keras.Model, Progress]:
    """Return the model and the progress of the last checkpoint in `work`, or fresh ones."""
    import keras

    keras.utils.set_random_seed(recipe.seed)
    model = classifier(recipe, steps)
    record = work / "progress.json"
    if not record.is_file():
        return model, Progress()
    progress = Progress(**json.loads(record.read_text(encoding="utf-8")))
    saved = keras.saving.load_model(work / progress.checkpoint, compile=True)
    # The saved optimiser has forgotten which variables decay spares, so only its state is taken.
    model.set_weights(saved.get_weights())
    model.optimizer.build(model.trainable_variables)
    for mine, theirs in zip(model.optimizer.variables, saved.optimizer.variables, strict=True):
        mine.assign(theirs)
    return model, progress


def settle(model: keras.Model, recipe: Recipe, images: pictures.Pixels) -> None:
    """Take the batch norm's statistics anew from whole images at 64 pixels.

    Crops enlarge what they show, so that crops at 48 pixels show things about as large as whole
    images at 64 do; the margins and the sharpness still differ.
    """
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = recipe.settling_momentum
    order = np.random.default_rng([recipe.seed, recipe.parts]).permutation(len(images))
    for batch in range(recipe.settling_batches):
        rows = order[batch * recipe.batch : (batch + 1) * recipe.batch]
        model(pictures.normalise(images[rows]), training=True)


def checkpoint(model: keras.Model, progress: Progress, work: Path) -> None:
    """Save `model` with its optimiser; the previous checkpoint goes once this one counts."""
    previous, progress.checkpoint = progress.checkpoint, f"part-{progress.parts:04d}.keras"
    model.save(work / progress.checkpoint)
    _write(work / "progress.json", json.dumps(dataclasses.asdict(progress)))
    if previous:
        (work / previous).unlink(missing_ok=True)


def export(model: keras.Model, progress: Progress, facts: dict[str, Any], out: Path) -> None:
    """Write the weights, their checksum and `training.json`, each in one step."""
    network.write_weights(model, out)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    _write(out.with_name(CHECKSUM_FILE.name), f"{digest}  {out.name}\n")
    done = {
        "parts_done": progress.parts,
        "epochs_done": progress.parts / facts["recipe"]["checkpoints_per_epoch"],
        "seconds": round(progress.seconds),
        "history": progress.history,
        "weights_sha256": digest,
    }
    _write(out.with_name("training.json"), json.dumps(facts | done, indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def evaluate(weights: Path, images: pictures.Pixels, labels: pictures.Labels) -> float:
    """Return the top-1 accuracy of the weights file, head included, at 64 pixels."""
    model = classifier(Recipe(), 1)
    network.assign(model, network.read_weights(weights))
    right = 0
    for start in range(0, len(images), 250):
        scores = model.predict_on_batch(pictures.normalise(images[start : start + 250]))
        right += int((scores.argmax(axis=1) == labels[start : start + 250]).sum())
    return right / len(images)


def advance(model: keras.Model, progress: Progress, recipe: Recipe, data: Any) -> None:
    """Train one part on `data` and note what came of it in `progress`."""
    begin = time.monotonic()
    history = model.fit(data, verbose=0).history
    took = time.monotonic() - begin
    facts = {
        "size": recipe.size(progress.parts),
        "seconds": round(took, 1),
        "last_rate": round(float(model.optimizer.learning_rate), 5),
    }
    progress.history.append(facts | {name: round(values[0], 4) for name, values in history.items()})
    progress.parts, progress.seconds = progress.parts + 1, progress.seconds + took
    log.info("part %d of %d: %s", progress.parts, recipe.parts, progress.history[-1])


def train(folder: Path, out: Path, work: Path, minutes: float) -> None:
    """Train, or go on training, for about `minutes`; export after every part; then evaluate."""
    recipe = Recipe()
    paths, labels = pictures.training_files(folder)
    images = pictures.decode(paths, work / "train.npy")
    paths, validation_labels = pictures.validation_files(folder)
    validation = pictures.decode(paths, work / "validation.npy")
    out.with_name(CLASSES_FILE.name).write_text(
        "\n".join(pictures.class_lines(folder)) + "\n", encoding="utf-8"
    )
    facts = describe(recipe, len(images), len(validation))
    steps = recipe.steps(len(images))
    model, progress = resume(recipe, steps, work)
    end = time.monotonic() + 60 * minutes
    while progress.parts < recipe.parts and time.monotonic() < end:
        advance(model, progress, recipe, batches(recipe, progress.parts, images, labels))
        checkpoint(model, progress, work)
        export(model, progress, facts, out)
    settle(model, recipe, images)
    facts["settled"] = True
    export(model, progress, facts, out)
    facts["top1_validation"] = evaluate(out, validation, validation_labels)
    log.info("top-1 on validation at 64 pixels: %.4f", facts["top1_validation"])
    export(model, progress, facts, out)


def describe(recipe: Recipe, training: int, validation: int) -> dict[str, Any]:
    """Return the facts of a training that do not change while it runs."""
    import keras

    return {
        "data": {"name": "Tiny ImageNet", "training": training, "validation": validation},
        "recipe": dataclasses.asdict(recipe),
        "parts": recipe.parts,
        "settled": False,
        "evaluation_size": pictures.SIDE,
        "top1_validation": None,
        "versions": {
            "keras": keras.version(),
            "backend": keras.backend.backend(),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="the unpacked Tiny ImageNet")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long")
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE, help="the weights file")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path.home() / ".cache" / "autotl" / "embedded",
        help="where decoded images and checkpoints are kept",
    )
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # TensorFlow leaves oneDNN off on processors without AVX-512, where it halves the time.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    chosen.work.mkdir(parents=True, exist_ok=True)
    train(chosen.folder, chosen.out, chosen.work, chosen.minutes)


if __name__ == "__main__":
    main()
