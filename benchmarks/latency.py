"""How fast is `model.onnx` beside Keras's `predict` and a SavedModel?

    python benchmarks/latency.py RUN [--saved-model FOLDER] [--rounds 5]
    python benchmarks/latency.py --table

The same images go through the same network. `onnx` and `savedmodel` take raw uint8 photographs of
320×240 and resize them inside; `onnx, resized` and `keras` take pixels of the network's own size,
so that their difference is the runtime's alone (`keras` is `model.predict` on float32, `keras,
called` the model called in a `tf.function`). Each side is a process of its own; they take turns,
round by round, so that a drifting machine moves all of them. Medians over rounds of the median
call; a finished run is a line in `latency.jsonl`. FOLDER is what `autotl export RUN --to
saved-model` wrote.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from kept import keep, read
from machine import statement

ROWS = Path(__file__).with_suffix(".jsonl")
BATCHES = (1, 32)
HEIGHT, WIDTH = 240, 320
SECONDS = 2.0
"""Of calls of one side, batch and round, after a second of warming up."""
SIDES = ("onnx", "savedmodel", "onnx, resized", "keras", "keras, called")
VARIANTS = ("model.int8.onnx", "model.float16.onnx")


def main() -> None:
    """Time what was asked for, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--saved-model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(_side(options)))
        return
    print(statement())
    if not options.table:
        if options.run is None:
            parser.error("name RUN, or --table")
        _run(options)
    print(table(read(ROWS)))


def _run(options: argparse.Namespace) -> None:
    from autotl import load

    report = load(options.run).report
    sides = [side for side in SIDES if side != "savedmodel" or options.saved_model]
    sides += [name for name in VARIANTS if (options.run / name).is_file()]
    found: dict[str, dict[str, list[float]]] = {side: {} for side in sides}
    for _ in range(options.rounds):
        for side in sides:
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            for batch, seconds in json.loads(told.splitlines()[-1]).items():
                found[side].setdefault(batch, []).append(seconds)
    row = {"machine": statement(), "run": options.run.name, "rounds": options.rounds}
    row |= {"backbone": report["backbone"]["name"], "versions": report["versions"]}
    keep(ROWS, row | {"input_size": report["decision"]["input_size"], "seconds": found})


def _side(options: argparse.Namespace) -> dict[str, float]:
    """Median seconds of a call, by batch."""
    makers = {
        "onnx": lambda: _onnx(options.run / "model.onnx", (HEIGHT, WIDTH)),
        "savedmodel": lambda: _saved(options.saved_model),
        "onnx, resized": lambda: _onnx(options.run / "model.onnx", None),
        "keras": lambda: _keras(options.run, called=False),
        "keras, called": lambda: _keras(options.run, called=True),
    }
    named = lambda: _onnx(options.run / options.side, (HEIGHT, WIDTH))  # noqa: E731
    make = makers.get(options.side, named)()
    return {str(batch): _timed(*make(batch)) for batch in BATCHES}


Maker = Callable[[int], tuple[Callable[[Any], Any], Any]]


def _timed(call: Callable[[Any], Any], images: Any) -> float:
    taken: list[float] = []
    began = time.perf_counter()
    while (now := time.perf_counter()) - began < SECONDS + 1:
        call(images)
        if now - began >= 1:
            taken.append(time.perf_counter() - now)
    return statistics.median(taken)


def _images(batch: int, shape: tuple[int, int]) -> Any:
    return np.random.default_rng(0).integers(0, 256, (batch, *shape, 3), np.uint8)


def _onnx(path: Path, shape: tuple[int, int] | None) -> Maker:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["autotl"])
    sides = shape or (card["input_size"], card["input_size"])
    return lambda batch: (
        lambda images: session.run(None, {"image": images}),
        _images(batch, sides),
    )


def _saved(folder: Path) -> Maker:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    serve = loaded.signatures["serving_default"]

    def make(batch: int) -> tuple[Callable[[Any], Any], Any]:
        return lambda images: serve(image=images), tf.constant(_images(batch, (HEIGHT, WIDTH)))

    return make


def _keras(run: Path, *, called: bool) -> Maker:
    import tensorflow as tf

    from autotl import load

    model = load(run).model()
    size = model.input_shape[1]
    infer = tf.function(lambda images: model(images, training=False), reduce_retracing=True)

    def make(batch: int) -> tuple[Callable[[Any], Any], Any]:
        images = _images(batch, (size, size)).astype(np.float32)
        if called:
            return lambda given: infer(given).numpy(), tf.constant(images)
        return lambda given: model.predict(given, verbose=0), images

    return make


def table(rows: Sequence[dict[str, Any]]) -> str:
    """For each backbone, newest row: milliseconds of a call of one image, images a second of 32."""
    newest = {(row["backbone"], row["input_size"]): row for row in rows}
    lines = [
        "| model | side | one image: median ms (least to most) | 32 images: images a second | "
        "times `onnx` at 1, at 32 |",
        "|---|---|---:|---:|---:|",
    ]
    for (backbone, size), row in newest.items():
        base = {"resized": row["seconds"]["onnx, resized"], "raw": row["seconds"]["onnx"]}
        for side, by in row["seconds"].items():
            one, many = (by[str(batch)] for batch in BATCHES)
            beside = base["resized" if side.startswith("keras") else "raw"]
            ratios = [f"{_ratio(by[str(n)], beside[str(n)]):.2f}" for n in BATCHES]
            middle = f"{1000 * statistics.median(one):.1f}"
            spread = f"({1000 * min(one):.1f} to {1000 * max(one):.1f})"
            speed = BATCHES[1] / statistics.median(many)
            lines.append(
                f"| {backbone} at {size} | {side} | {middle} {spread} | {speed:,.0f} | "
                f"{', '.join(ratios)} |"
            )
    return "\n".join(lines)


def _ratio(seconds: Sequence[float], base: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(seconds, base, strict=True))


if __name__ == "__main__":
    main()
