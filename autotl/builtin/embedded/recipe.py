"""The training that made the embedded weights, as one command:

    python -m autotl.builtin.embedded.recipe TINY_IMAGENET_FOLDER [--teacher FILE] [--minutes N]
        [--work FOLDER] [--out FILE]
    python -m autotl.builtin.embedded.recipe TINY_IMAGENET_FOLDER --evaluate [--out FILE]

The folder is the unpacked archive of Tiny ImageNet (`train/`, `val/`, `words.txt`). Run the
command again to go on where it stopped: from the checkpoint in the work folder where that is
there, else from the weights file and the `training.json` beside it (the momentum then restarts).
A finished training is left as it is. `--evaluate` prints the accuracy of the weights file and
writes nothing.
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
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from autotl.builtin.embedded import (
    CHECKSUM_FILE,
    CLASSES_FILE,
    REFERENCE_FILE,
    WEIGHTS_FILE,
    network,
    pictures,
    reference,
    student,
    teacher,
)
from autotl.builtin.embedded.student import Recipe
from autotl.files import sha256

if TYPE_CHECKING:
    import keras

log = logging.getLogger("autotl.builtin.embedded.recipe")


@dataclasses.dataclass
class Progress:
    """What is done so far; written beside the checkpoint it belongs to."""

    parts: int = 0
    seconds: float = 0.0
    checkpoint: str = ""
    restarts: list[int] = dataclasses.field(default_factory=list)
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)


def resume(recipe: Recipe, data: student.Data, work: Path, out: Path) -> Any:
    """Return the model and the progress: those of the checkpoint in `work`, else those of the
    weights file `out` where the same recipe made it, else fresh ones.
    """
    import keras

    keras.utils.set_random_seed(recipe.seed)
    model = student.classifier(recipe, len(data.images))
    record = work / "progress.json"
    if record.is_file():
        progress = Progress(**json.loads(record.read_text(encoding="utf-8")))
        saved = keras.saving.load_model(work / progress.checkpoint, compile=True)
        # The saved optimiser has forgotten which variables decay spares: only its state is taken.
        model.set_weights(saved.get_weights())
        model.optimizer.build(model.trainable_variables)
        for mine, theirs in zip(model.optimizer.variables, saved.optimizer.variables, strict=True):
            mine.assign(theirs)
        return model, progress
    known = _recorded(out, recipe)
    if known is None:
        return model, Progress()
    network.assign(model, network.read_weights(out))
    student.fit_echo(model, data)
    model.optimizer.build(model.trainable_variables)
    steps = known["parts_done"] * recipe.steps(len(data.images))
    model.optimizer.iterations.assign(steps)
    log.info("going on from %s, part %d of %d", out, known["parts_done"], recipe.parts)
    return model, Progress(
        parts=known["parts_done"],
        seconds=known["seconds"],
        restarts=[*known["restarts"], known["parts_done"]],
        history=known["history"],
    )


def _recorded(out: Path, recipe: Recipe) -> dict[str, Any] | None:
    """The record beside the weights, where this recipe made them."""
    path = out.with_name("training.json")
    if not out.is_file() or not path.is_file():
        return None
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return known if known["recipe"] == json.loads(json.dumps(dataclasses.asdict(recipe))) else None


def settle(model: keras.Model, recipe: Recipe, images: pictures.Pixels) -> None:
    """Take the batch norm's statistics anew from whole images at 64 pixels, as the mean over
    many batches, since crops enlarge what they show.
    """
    import keras

    layers = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    order = np.random.default_rng([recipe.seed, recipe.parts]).permutation(len(images))
    for batch in range(recipe.settling_batches):
        for layer in layers:
            layer.momentum = batch / (batch + 1)
        rows = order[batch * recipe.batch : (batch + 1) * recipe.batch]
        model(pictures.normalise(images[rows]), training=True)


def checkpoint(model: keras.Model, progress: Progress, work: Path) -> None:
    """Save `model` with its optimiser; the previous checkpoint goes once this one counts."""
    previous, progress.checkpoint = progress.checkpoint, f"part-{progress.parts:04d}.keras"
    model.save(work / progress.checkpoint)
    _write(work / "progress.json", json.dumps(dataclasses.asdict(progress)))
    if previous and previous != progress.checkpoint:
        (work / previous).unlink(missing_ok=True)


def export(model: keras.Model, progress: Progress, facts: dict[str, Any], out: Path) -> None:
    """Write the weights, the checksums and `training.json`, each in one step."""
    network.write_weights(model, out)
    statistics = out.with_name(REFERENCE_FILE.name)
    files = [path for path in (out, statistics) if path.is_file()]
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    lines = [f"{digest}  {name}\n" for name, digest in digests.items()]
    _write(out.with_name(CHECKSUM_FILE.name), "".join(lines))
    done = {
        "parts_done": progress.parts,
        "epochs_done": progress.parts / facts["recipe"]["parts_per_epoch"],
        "restarts": progress.restarts,
        "seconds": round(progress.seconds),
        "history": progress.history,
        "weights_sha256": digests[out.name],
    }
    _write(out.with_name("training.json"), json.dumps(facts | done, indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def evaluate(weights: Path, images: pictures.Pixels, labels: pictures.Labels) -> float:
    """Return the top-1 accuracy of the weights file, head included, at 64 pixels."""
    model = student.headed(None)
    network.assign(model, network.read_weights(weights))
    right = 0
    for start in range(0, len(images), 250):
        scores = model.predict_on_batch(pictures.normalise(images[start : start + 250]))
        right += int((scores.argmax(axis=1) == labels[start : start + 250]).sum())
    return right / len(images)


def advance(model: keras.Model, progress: Progress, recipe: Recipe, data: student.Data) -> None:
    """Train one part and note what came of it in `progress`."""
    begin, steps = time.monotonic(), 0
    sums: defaultdict[str, float] = defaultdict(float)
    # a second thread that makes batches, or BLAS's own, would make the step's threads wait
    with threadpool_limits(limits=1, user_api="blas"):
        for images, targets in student.batches(recipe, progress.parts, data):
            model.reset_metrics()
            found = model.train_on_batch(images, targets, return_dict=True)
            for name, value in found.items():
                sums[name] += float(value)
            steps += 1
    took = time.monotonic() - begin
    facts = {
        "size": recipe.size(progress.parts),
        "seconds": round(took, 1),
        "last_rate": round(float(model.optimizer.learning_rate), 5),
    }
    progress.history.append(facts | {name: round(x / steps, 4) for name, x in sums.items()})
    progress.parts, progress.seconds = progress.parts + 1, progress.seconds + took
    log.info("part %d of %d: %s", progress.parts, recipe.parts, progress.history[-1])


def train(
    folder: Path, out: Path, work: Path, minutes: float, weights: str, recipe: Recipe
) -> None:
    """Train, or go on training, for about `minutes`; then export, evaluate on the validation
    images, and write the reference statistics that they give.
    """
    if finished(recipe, out):
        log.info("%s is finished: remove it and its training.json to train anew", out)
        return
    end = time.monotonic() + 60 * minutes
    data = prepared(recipe, folder, work, weights)
    paths, validation_labels = pictures.validation_files(folder)
    validation = pictures.decode(paths, work / "validation.npy")
    _write(out.with_name(CLASSES_FILE.name), "\n".join(pictures.class_lines(folder)) + "\n")
    facts = describe(recipe, len(data.images), len(validation), weights)
    model, progress = resume(recipe, data, work, out)
    while progress.parts < recipe.parts and time.monotonic() < end:
        advance(model, progress, recipe, data)
        checkpoint(model, progress, work)
    settle(model, recipe, data.images)
    export(model, progress, facts, out)
    facts["top1_validation"] = evaluate(out, validation, validation_labels)
    log.info("top-1 on validation at 64 pixels: %.4f", facts["top1_validation"])
    reference.write(out, validation, out.with_name(REFERENCE_FILE.name))
    export(model, progress, facts, out)


def prepared(recipe: Recipe, folder: Path, work: Path, weights: str) -> student.Data:
    """Return the decoded training images and what the teacher says of each view of them."""
    paths, labels = pictures.training_files(folder)
    images = pictures.decode(paths, work / "train.npy")
    where = [
        pictures.boxes(
            len(images), [recipe.seed, view], area=recipe.crop_area, aspect=recipe.crop_aspect
        )
        for view in range(recipe.views)
    ]
    features = teacher.features(weights, images, where, work)
    head = teacher.classifier(
        features, labels, work, epochs=recipe.teacher_epochs, seed=recipe.seed
    )
    mean, deviation = teacher.moments(features)
    return student.Data(
        images=images,
        labels=labels,
        boxes=where,
        features=features,
        mean=mean,
        deviation=deviation,
        kernel=np.asarray(head.layers[-1].kernel),
        bias=np.asarray(head.layers[-1].bias),
    )


def finished(recipe: Recipe, out: Path) -> bool:
    """Whether the weights file is that of the whole recipe."""
    record = out.with_name("training.json")
    if not (out.is_file() and record.is_file()):
        return False
    facts = json.loads(record.read_text(encoding="utf-8"))
    whole = facts["parts_done"] >= recipe.parts and facts["top1_validation"] is not None
    return bool(whole and facts["weights_sha256"] == sha256(out))


def judge(folder: Path, out: Path) -> float:
    """Return the accuracy of the weights file on the official validation images of `folder`."""
    paths, labels = pictures.validation_files(folder)
    with tempfile.TemporaryDirectory() as name:
        return evaluate(out, pictures.decode(paths, Path(name) / "validation.npy"), labels)


def describe(recipe: Recipe, training: int, validation: int, weights: str) -> dict[str, Any]:
    """Return the facts of a training that do not change while it runs."""
    import keras

    known = sha256(Path(weights)) if Path(weights).is_file() else None
    of_teacher = {"name": teacher.NAME, "weights": "ImageNet", "sha256": known}
    return {
        "data": {"name": "Tiny ImageNet", "training": training, "validation": validation},
        "teacher": of_teacher | {"size": teacher.SIZE},
        "recipe": dataclasses.asdict(recipe),
        "parts": recipe.parts,
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
        help="where decoded images, the teacher's features and checkpoints are kept",
    )
    parser.add_argument(
        "--teacher",
        default="imagenet",
        help=f"weights file of {teacher.NAME} without top (default: Keras's own)",
    )
    parser.add_argument(
        "--evaluate", action="store_true", help="print the weights file's accuracy, write nothing"
    )
    chosen = parser.parse_args()
    if chosen.evaluate:
        found = judge(chosen.folder, chosen.out)
        print(f"top-1 on validation at {pictures.SIDE} pixels: {found:.4f}")
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # TensorFlow leaves oneDNN off on some processors, where it halves the time.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    chosen.work.mkdir(parents=True, exist_ok=True)
    train(chosen.folder, chosen.out, chosen.work, chosen.minutes, chosen.teacher, Recipe())


if __name__ == "__main__":
    main()
