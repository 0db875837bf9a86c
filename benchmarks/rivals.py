"""Accuracy against wall-clock: autotl, keras-tuner as its guide has it, and AutoKeras.

    python benchmarks/rivals.py DATA --autokeras PYTHON [--core 1] [--sets flowers ...]
    python benchmarks/rivals.py --table

Each gets the same training images (2,000, or all there are), the same test images and the same
input size, and ten minutes; autotl also two. `keras-tuner` is RandomSearch over a frozen or a
trained MobileNetV2 with ImageNet weights, the learning rate and dropout, with early stopping, from
`image_dataset_from_directory` kept in memory. `autokeras` is `ImageClassifier` in an environment of
its own (PYTHON; it needs Keras 3.8). Where one of these has a better validation score after
an epoch, its test accuracy is taken with the clock stopped: each is credited with the best model
that it had in hand, whether or not it would have handed it over. autotl is credited with what it
exported, with the seconds that it took: a budget is kept by autotl itself. `--core` keeps every
side on one core, so that the machine can be used. A finished side is a line in `rivals.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from kept import keep, read

BEGUN = time.time()
ROWS = Path(__file__).with_suffix(".jsonl")
SETS = ("flowers", "sign-digits", "cifar10")
BUDGETS = {"autotl": (120, 600), "keras-tuner": (600,), "autokeras": (600,)}
KEY = ("side", "set", "budget", "core")
LIMIT, SEED, BATCH = 2000, 20261126, 32
VALIDATION = 0.2
EPOCHS, PATIENCE = 30, 4


def main() -> None:
    """Run what is missing, then print the table."""
    options = _options()
    if options.side:
        _rival(*options.side)
        return
    if not options.table:
        from machine import statement

        print(statement())
        for name in options.sets:
            _compared(options, name, statement())
    print(table(read(ROWS)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--autokeras", type=Path, help="Python of an environment that has it")
    parser.add_argument("--core", type=int)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--side", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.table and not options.side and (not options.data or not options.autokeras):
        parser.error("name DATA and --autokeras, or --table")
    return options


def _compared(options: argparse.Namespace, name: str, machine: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for side, budgets in BUDGETS.items():
            for budget in budgets:
                cell = {"side": side, "set": name, "budget": budget, "core": options.core}
                if any({key: row[key] for key in KEY} == cell for row in read(ROWS)):
                    continue
                if not (folder / "images").is_dir():
                    _chosen(options.data / name, folder / "images")
                row = cell | {"machine": machine} | _ran(options, cell, folder)
                keep(ROWS, row)


def _chosen(data: Path, out: Path) -> None:
    """Copies of the images that every side gets: `train` and `test` of class folders."""
    draw = random.Random(SEED)
    files = sorted(path for path in (data / "train").rglob("*") if path.is_file())
    draw.shuffle(files)
    chosen = {"train": files[:LIMIT]}
    chosen["test"] = sorted(path for path in (data / "test").rglob("*") if path.is_file())
    for part, paths in chosen.items():
        for path in paths:
            target = out / part / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _ran(options: argparse.Namespace, cell: dict[str, Any], folder: Path) -> dict[str, Any]:
    pinned = [] if options.core is None else ["taskset", "-c", str(options.core)]
    if cell["side"] == "autotl":
        return _autotl(pinned, cell, folder)
    size = next(r["size"] for r in read(ROWS) if r["side"] == "autotl" and r["set"] == cell["set"])
    python = sys.executable if cell["side"] == "keras-tuner" else str(options.autokeras)
    out = folder / "out.json"
    about = [cell["side"], str(folder / "images"), str(size), str(cell["budget"]), str(out)]
    done = subprocess.run(
        [*pinned, python, __file__, "--side", *about],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"KERAS_BACKEND": "tensorflow", "TF_ENABLE_ONEDNN_OPTS": "1"},
    )
    if not out.is_file():
        raise SystemExit(f"{cell} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(out.read_text("utf-8"))
    out.unlink()
    return {"size": size} | found


# ---- ours ----


def _autotl(pinned: list[str], cell: dict[str, Any], folder: Path) -> dict[str, Any]:
    run = folder / f"run-{cell['budget']}"
    command = [*pinned, sys.executable, "-m", "autotl", "fit", str(folder / "images"), "--quiet"]
    command += ["--out", str(run), "--budget", f"{cell['budget']}s", "--backbone", "MobileNetV2"]
    store = os.environ | {"AUTOTL_CACHE": str(folder / f"store-{cell['budget']}")}
    begun = time.perf_counter()
    subprocess.run(command, check=True, env=store, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - begun
    report = json.loads((run / "report.json").read_text("utf-8"))
    best = report["search"]["best"]
    return {
        "size": report["backbone"]["preprocessing"]["size"],
        "seconds": seconds,
        "trials": report["search"]["trials"],
        "stopped": report["search"].get("stopped"),
        "best": {key: best.get(key) for key in ("number", "origin", "strategy")},
        "strategy": report["decision"]["strategy"],
        "curve": [[seconds, None, report["evaluation"]["accuracy"]["value"]]],
        "test": report["evaluation"]["examples"],
    }


# ---- the others, each in a process of its own ----


class _OverError(BaseException):
    """The time is up; nothing may catch it as an ordinary failure."""


class _Clock:
    """Seconds since this script was begun, without those of taking the test accuracy."""

    def __init__(self, budget: float, test: Any) -> None:
        self.stopped, self.budget, self.test = 0.0, budget, test
        self.best = -1.0
        self.curve: list[list[float]] = []
        self.epochs = 0

    def now(self) -> float:
        return time.time() - BEGUN - self.stopped

    def epoch(self, model: Any, logs: dict[str, float]) -> None:
        self.epochs += 1
        value = float(logs.get("val_accuracy", -1.0))
        if value > self.best:
            self.best, at, stopped = value, self.now(), time.time()
            images, labels = self.test
            told = [model.predict_on_batch(images[i : i + 64]) for i in range(0, len(images), 64)]
            right = float((np.concatenate(told).argmax(axis=1) == labels).mean())
            self.curve.append([at, value, right])
            self.stopped += time.time() - stopped
        self.check()

    def check(self) -> None:
        if self.now() > self.budget:
            raise _OverError


def _rival(side: str, images: str, size: str, budget: str, out: str) -> None:
    import keras

    parts = {
        part: keras.utils.image_dataset_from_directory(
            Path(images) / part,
            image_size=(int(size), int(size)),
            batch_size=BATCH,
            shuffle=part == "train",
            seed=SEED,
        )
        for part in ("train", "test")
    }
    classes = len(parts["train"].class_names)
    x, y = _arrays(parts["train"])
    clock = _Clock(float(budget), _arrays(parts["test"]))
    rows = np.random.default_rng(SEED).permutation(len(x))
    held, rest = np.split(rows, [round(VALIDATION * len(x))])
    train, validation = (x[rest], y[rest]), (x[held], y[held])

    class Watch(keras.callbacks.Callback):
        # keras-tuner copies callbacks for each trial: the clock must not be copied with them
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            clock.epoch(self.model, logs or {})

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            clock.check()

    how = _keras_tuner if side == "keras-tuner" else _autokeras
    trials: list[str] = []
    try:
        how(train, validation, classes, int(size), Watch, trials)
        ended = "by itself"
    except _OverError:
        ended = "cap"
    except RuntimeError as error:
        ended = f"error: {str(error).strip().splitlines()[-1]}"
    found = {
        "seconds": clock.now(),
        "trials": len(trials),
        "failed": sum(one != "done" for one in trials),
        "epochs": clock.epochs,
        "stopped": ended,
        "curve": clock.curve,
        "test": len(clock.test[1]),
    }
    Path(out).write_text(json.dumps(found), "utf-8")


def _arrays(data: Any) -> tuple[Any, Any]:
    pairs = [(np.asarray(x, np.float32), np.asarray(y)) for x, y in data]
    return tuple(np.concatenate(part) for part in zip(*pairs, strict=True))


def _noted(tuner: type, trials: list[str]) -> type:
    """The tuner, with what came of each trial in `trials`."""

    class Noted(tuner):  # type: ignore[misc, valid-type]
        def on_trial_end(self, trial: Any) -> None:
            trials.append("done" if trial.status == "COMPLETED" else str(trial.message)[-200:])
            super().on_trial_end(trial)

    return Noted


def _keras_tuner(
    train: Any, validation: Any, classes: int, size: int, watch: type, trials: list[str]
) -> None:
    import keras
    import keras_tuner

    def build(hp: Any) -> Any:
        base = keras.applications.MobileNetV2(
            input_shape=(size, size, 3), include_top=False, weights=_weights()
        )
        trained = hp.Boolean("train_base")
        base.trainable = trained
        inputs = keras.Input((size, size, 3))
        x = keras.layers.RandomFlip("horizontal")(inputs)
        x = keras.layers.Rescaling(1 / 127.5, offset=-1)(x)
        x = keras.layers.GlobalAveragePooling2D()(base(x, training=False))
        x = keras.layers.Dropout(hp.Choice("dropout", [0.0, 0.2, 0.4]))(x)
        model = keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))
        low, high = (1e-5, 1e-3) if trained else (1e-4, 1e-2)
        name = "trained_rate" if trained else "frozen_rate"
        model.compile(
            keras.optimizers.Adam(hp.Float(name, low, high, sampling="log")),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model

    early = keras.callbacks.EarlyStopping("val_accuracy", patience=PATIENCE)
    with tempfile.TemporaryDirectory() as name:
        tuner = _noted(keras_tuner.RandomSearch, trials)(
            build, "val_accuracy", max_trials=1000, seed=SEED, directory=name
        )
        tuner.search(
            *train,
            validation_data=validation,
            epochs=EPOCHS,
            batch_size=BATCH,
            callbacks=[early, watch()],
            verbose=0,
        )


def _weights() -> str:
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    return str(home / "models" / name)


def _autokeras(
    train: Any, validation: Any, classes: int, size: int, watch: type, trials: list[str]
) -> None:
    import autokeras
    from autokeras.engine import tuner as engine

    ended = engine.AutoTuner.on_trial_end

    def noted(self: Any, trial: Any) -> None:
        trials.append("done" if trial.status == "COMPLETED" else str(trial.message)[-200:])
        ended(self, trial)

    engine.AutoTuner.on_trial_end = noted
    with tempfile.TemporaryDirectory() as name:
        found = autokeras.ImageClassifier(directory=name, seed=SEED, max_trials=100)
        found.fit(*train, validation_data=validation, callbacks=[watch()], verbose=0)


# ---- table ----


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row a set, the test accuracy of each side at two and at ten minutes."""
    lines = [
        "| set, test images | autotl, 2 min (trials; seconds) | keras-tuner, 2 min "
        "| AutoKeras, 2 min "
        "| autotl, 10 min (trials; seconds) | keras-tuner, 10 min (trials ended) "
        "| AutoKeras, 10 min (trials ended) |",
        "|---|---:|---:|---:|---|---|---|",
    ]
    for name in dict.fromkeys(row["set"] for row in rows):
        own = {(r["side"], r["budget"]): r for r in rows if r["set"] == name}
        cells = []
        for at in (120, 600):
            for side in BUDGETS:
                row = own.get((side, at if side == "autotl" else 600))
                cells.append(_told(row, at))
        test = next(iter(own.values()))["test"]
        lines.append(f"| {name}, {test:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _told(row: dict[str, Any] | None, at: int) -> str:
    if row is None:
        return "–"
    known = [point for point in row["curve"] if row["side"] == "autotl" or point[0] <= at]
    value = f"{known[-1][2]:.3f}" if known else "none yet"
    if row["side"] == "autotl":
        half = f" ± {_half(known[-1][2], row['test']):.3f}" if at == max(BUDGETS["autotl"]) else ""
        return f"{value}{half} ({row['trials']}; {row['seconds']:.0f} s)"
    if at < row["budget"]:
        return value
    half = f" ± {_half(known[-1][2], row['test']):.3f}" if known else ""
    return f"{value}{half} ({row['trials'] - row['failed']}, {row['failed']} failed)"


def _half(share: float, count: int) -> float:
    """Half of a normal 95 % interval."""
    return 1.96 * float(np.sqrt(share * (1 - share) / count))


if __name__ == "__main__":
    main()
