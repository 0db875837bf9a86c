"""How much faster is the search than stock keras-tuner, and how good is what it finds?

    python benchmarks/throughput.py DATA [--trials 20] [--epochs 10] [--set flowers]
    python benchmarks/throughput.py --table

Same backbone (MobileNetV2, ImageNet weights, 96 pixels), same training and validation images, same
number of trials and epochs, the same space (learning rate, dropout). `stock` is keras-tuner as its
guide has it: the frozen base is in the model, a `tf.data` pipeline decodes the files in every
epoch, RandomSearch. `autotl` proposes by its own search and trains in its worker, from the store;
the start of the worker, decoding, the one pass over the images and the probe, from which the
heads start, are counted. A finished side is a
line in `throughput.jsonl`. Also with stages trained (`--strategy partial-freeze`), at equal epochs:
there the side `arithmetic` times, in one TensorFlow process, what lies below the boundary (a
forward pass; decoding apart) and what lies above it (a training step): what storing can save.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from kept import keep, read
from machine import statement

from autotl.decide.coefficients import trainer_digest

ROWS = Path(__file__).with_suffix(".jsonl")
SIZE, BATCH = 96, 32
LEAST, MOST = 1e-4, 1e-2
"""Learning rates searched, of a head alone."""
DROPOUT = (0.0, 0.2, 0.4)
SEED = 20261122
SIDES = ("autotl", "stock", "arithmetic")
REPEATS = 15
KEY = ("side", "set", "strategy", "trials", "epochs", "limit")


def main() -> None:
    """Run what is missing, then print the table."""
    options = _options()
    print(statement())
    if options.side:
        _side(options)
        return
    if not options.table:
        for side in SIDES if options.strategy == "partial-freeze" else SIDES[:2]:
            # in a process of its own: neither pays for what the other left in memory
            again = [sys.executable, __file__, *sys.argv[1:], "--side", side]
            subprocess.run(again, check=True)
    print(table(read(ROWS)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--set", default="flowers")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--limit", type=int, default=1000, help="training images")
    parser.add_argument(
        "--strategy",
        default="feature-extraction",
        choices=["feature-extraction", "partial-freeze"],
    )
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.data is None and not options.table:
        parser.error("name DATA, or --table")
    return options


def _write(row: dict[str, Any]) -> None:
    keep(ROWS, row)


def _side(options: argparse.Namespace) -> None:
    about = {key: getattr(options, key) for key in KEY}
    if any({key: row[key] for key in KEY} == about for row in read(ROWS)):
        return
    sides = {"autotl": _autotl, "stock": _stock, "arithmetic": _arithmetic}
    found = sides[options.side](options)
    code = trainer_digest() if options.side == "autotl" else None
    _write(about | {"machine": statement(), "code": code} | found)


def _cell(options: argparse.Namespace) -> dict[str, Any]:
    return {"backbone": "MobileNetV2", "input_size": SIZE, "limit": options.limit}


def _bench(options: argparse.Namespace, bench: Any) -> Any:
    return bench.measured(options.data / options.set, _cell(options))


# ---- ours ----


def _autotl(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the pass and of each trial, and validation accuracies."""
    from cells import Bench, recipe_of
    from trials import _setting

    from autotl.records import Head, Numbers, to_json
    from autotl.run import open_run
    from autotl.search.space import Dimension
    from autotl.search.space import recipe_of as point
    from autotl.search.trials import Before, Planned, attempt

    space = (
        Dimension(name="learning_rate", default=1e-3, low=LEAST, high=MOST),
        Dimension(name="dropout", default=0.2, values=DROPOUT),
    )
    with Bench() as first:
        _, measured = _bench(options, first)
    with Bench() as bench, tempfile.TemporaryDirectory() as name:
        begun = time.perf_counter()
        asked = bench.asked(options.data / options.set, _cell(options))
        decoding = time.perf_counter() - begun
        base = recipe_of(options.strategy, measured)
        numbers = Numbers(epochs=options.epochs, batch=BATCH)
        base = replace(base, head=Head(dropout=0.2), numbers=numbers)
        seconds: list[float] = []
        scores: list[float] = []
        known: list[dict[str, Any]] = []
        with open_run(Path(name) / "run", {}, name="bench", plugins={}) as run:
            setting = _setting(bench, asked, measured, run)
            begun = time.perf_counter()
            fitted = Planned(
                number=options.trials,
                origin="probe",
                recipe=recipe_of("feature-extraction", measured),
                values={},
                allowance=float("inf"),
            )
            (probe,) = attempt(setting, [(fitted, Before(probe=None))])
            probing = time.perf_counter() - begun
            for number in range(options.trials):
                begun = time.perf_counter()
                spec = {"space": to_json(space), "seed": number + 1, "known": known}
                spec |= {"kind": "random"}
                values = bench.worker.call("autotl.search.proposals:propose", spec)["values"]
                planned = Planned(
                    number=number,
                    origin="proposal",
                    recipe=point(base, values),
                    values=values,
                    allowance=float("inf"),
                )
                (trial,) = attempt(setting, [(planned, Before(probe=probe))])
                seconds.append(time.perf_counter() - begun)
                assert trial.result, trial.failure
                scores.append(trial.result.metrics["accuracy"])
                known.append({"values": values, "score": scores[-1]})
    return {"seconds": seconds, "decoding": decoding, "probing": probing, "scores": scores}


# ---- keras-tuner as its guide has it ----


def _stock(options: argparse.Namespace) -> dict[str, Any]:
    """The same of stock keras-tuner."""
    from cells import Bench

    with Bench() as bench, tempfile.TemporaryDirectory() as name:
        asked, measured = _bench(options, bench)
        files, labels, count = _files(options, asked)
        boundary = measured.stages[measured.boundary - 1]
    located = asked["located"]
    del bench
    import keras
    import keras_tuner
    import tensorflow as tf

    train, validation = (
        _dataset(tf, files[part], labels[part], shuffled)
        for part, shuffled in ((slice(0, count), True), (slice(count, None), False))
    )
    classes = int(max(labels)) + 1

    def build(hp: Any) -> Any:
        base = keras.applications.MobileNetV2(
            input_shape=(SIZE, SIZE, 3), include_top=False, weights=located.weights
        )
        base.trainable = options.strategy != "feature-extraction"
        if base.trainable:
            for layer in base.layers[: base.layers.index(base.get_layer(boundary)) + 1]:
                layer.trainable = False
        inputs = keras.Input((SIZE, SIZE, 3))
        x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
        x = base(x, training=False)
        x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dropout(hp.Choice("dropout", list(DROPOUT)))(x)
        model = keras.Model(inputs, keras.layers.Dense(classes)(x))
        rate = hp.Float("learning_rate", LEAST, MOST, sampling="log")
        model.compile(
            keras.optimizers.Adam(rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    seconds: list[float] = []

    class Timed(keras_tuner.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            found = super().run_trial(trial, *args, **kwargs)
            seconds.append(time.perf_counter() - begun)
            return found

    with tempfile.TemporaryDirectory() as name:
        tuner = Timed(build, "val_accuracy", max_trials=options.trials, seed=SEED, directory=name)
        tuner.search(train, validation_data=validation, epochs=options.epochs, verbose=0)
        trials = [tuner.oracle.trials[key] for key in sorted(tuner.oracle.trials)]
    return {"seconds": seconds, "scores": [trial.score for trial in trials], "in_order": True}


def _files(options: argparse.Namespace, asked: dict[str, Any]) -> tuple[Any, Any, int]:
    """Paths and labels of the same training and validation images, and how many are training."""
    from cells import _loaded, _some

    loaded, split = _loaded(options.data / options.set)
    train = _some(loaded, split.train, options.limit)
    least = 2 * len(loaded.dataset.classes)
    validation = _some(loaded, split.validation, max(len(train) // 4, least))
    rows = [*train, *validation]
    root = options.data / options.set
    files = np.array([str(root / loaded.dataset.ids[row]) for row in rows])
    return files, np.array([loaded.dataset.labels[row] for row in rows]), len(train)


def _dataset(tf: Any, files: Any, labels: Any, shuffled: bool) -> Any:
    """As `image_dataset_from_directory` makes it: decode, resize, batch, prefetch."""

    def read(path: Any, label: Any) -> Any:
        image = tf.io.decode_image(tf.io.read_file(path), 3, expand_animations=False)
        return tf.image.resize(image, (SIZE, SIZE)), label

    made = tf.data.Dataset.from_tensor_slices((files, labels))
    if shuffled:
        made = made.shuffle(len(files), seed=SEED)
    return made.map(read, tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)


# ---- what storing can save ----


def _arithmetic(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds an image: decoding, below the boundary, above it in training and forward."""
    from cells import Bench

    from autotl import model

    with Bench() as bench:
        asked, measured = _bench(options, bench)
        files, labels, count = _files(options, asked)
    import keras
    import tensorflow as tf

    located = asked["located"]
    net = model.build(located, pretrained=True, seed=SEED)
    stages, k = located.backbone.stages, measured.boundary
    below = model.below(net, stages, k)
    above = keras.Sequential(
        [
            keras.Model(below.output, net.output),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(int(max(labels)) + 1),
        ]
    )
    above.build((None, *below.output_shape[1:]))
    images, truth = next(iter(_dataset(tf, files[:count], labels[:count], True)))
    lower = tf.function(lambda x: below(x, training=False))
    upper = tf.function(lambda x: above(x, training=False))
    features = lower(images / 127.5 - 1.0)
    adam = keras.optimizers.Adam(1e-4)
    adam.build(above.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(y, above(x, training=False))
        adam.apply(tape.gradient(loss, above.trainable_variables), above.trainable_variables)
        return loss

    def decoded() -> None:
        for _ in _dataset(tf, files[:count], labels[:count], True):
            pass

    return {
        "boundary": k,
        "stages": len(stages),
        "decoding": _median(decoded, 3) / count,
        "below": _median(lambda: lower(images).numpy()) / BATCH,
        "above": _median(lambda: step(features, truth).numpy()) / BATCH,
        "forward": _median(lambda: upper(features).numpy()) / BATCH,
    }


def _median(call: Any, repeats: int = REPEATS) -> float:
    call()
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


# ---- table ----


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row a comparison, then what storing could save."""
    lines = [
        "| set, strategy, images | trials × epochs | autotl, s (before; median a trial) "
        "| stock, s (median a trial) | ratio | best validation accuracy, autotl / stock "
        "| ratio of times to stock's best |",
        "|---|---|---|---|---:|---|---:|",
    ]
    saved = [
        "| set, images | boundary | decoding, below, above (ms an image) | arithmetic allows "
        "| a trial of ours against stock's | share | with decoding: allows; share |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    for own in (row for row in rows if row["side"] == "autotl"):
        same = {r["side"]: r for r in rows if all(r[k] == own[k] for k in KEY[1:])}
        if "stock" in same:
            lines.append(_compared(own, same["stock"]))
        if "stock" in same and "arithmetic" in same:
            saved.append(_allowed(own, same["stock"], same["arithmetic"]))
    return "\n".join([*lines, "", *saved] if len(saved) > 2 else lines)


def _compared(own: dict[str, Any], other: dict[str, Any]) -> str:
    a, b = own["seconds"], other["seconds"]
    before = own["decoding"] + own["probing"]
    return (
        f"| {own['set']}, {own['strategy']}, {own['limit']:,} | {own['trials']} × "
        f"{own['epochs']} | {before + sum(a):.1f} ({before:.1f}; {statistics.median(a):.2f}) | "
        f"{sum(b):.0f} ({statistics.median(b):.1f}) | {sum(b) / (before + sum(a)):.0f} | "
        f"{max(own['scores']):.3f} / {max(other['scores']):.3f} | {_reached(own, other)} |"
    )


def _reached(own: dict[str, Any], other: dict[str, Any]) -> str:
    """Stock's seconds to its best score over ours to as good a one."""
    if not other.get("in_order"):
        return "not recorded"
    best = max(other["scores"])
    theirs = sum(other["seconds"][: other["scores"].index(best) + 1])
    ours = own["decoding"] + own["probing"]
    for seconds, score in zip(own["seconds"], own["scores"], strict=True):
        ours += seconds
        if score >= best:
            return f"{theirs / ours:.1f}"
    return "not reached"


def _allowed(own: dict[str, Any], other: dict[str, Any], measured: dict[str, Any]) -> str:
    count = own["limit"]
    proof = count // 4
    above = count * measured["above"] + proof * measured["forward"]
    below = (count + proof) * measured["below"]
    decoding = (count + proof) * measured["decoding"]
    found = statistics.median(other["seconds"]) / statistics.median(own["seconds"])
    allowed, with_ = (below + above) / above, (decoding + below + above) / above
    parts = ", ".join(f"{1e3 * measured[key]:.2f}" for key in ("decoding", "below", "above"))
    return (
        f"| {own['set']}, {count:,} | {measured['boundary']} of {measured['stages']} | {parts} "
        f"| {allowed:.1f} | {found:.1f} | {found / allowed:.2f} "
        f"| {with_:.1f}; {found / with_:.2f} |"
    )


if __name__ == "__main__":
    main()
