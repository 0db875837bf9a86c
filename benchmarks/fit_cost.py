"""What does `fit` cost over one bare pass, and how does its memory grow with the data?

    python benchmarks/fit_cost.py DATA [--set cifar10] [--backbone MobileNetV2] [--rounds 1]
    python benchmarks/fit_cost.py --table

Every side is a process of its own on the same files, and what it takes on the fewest images is
taken from what it takes on more: starts and imports cancel, and so does the building of models,
though not exactly, since few images pass Keras and many onnxruntime. `given` is
`autotl fit --strategy feature-extraction --trials 1`, `measured` the same without `--strategy`;
the seconds of export (conversion and gate) are shown apart, as are the conversions of the backbone
for onnxruntime's passes, counted in the run's store and timed by repeating one here. `tensorflow`
and `onnxruntime` decode, resize (antialiased, bicubic) and run the backbone over the same files, in
batches of 32: `tf.data` and a compiled function with oneDNN on one side, Pillow in threads and a
converted model on the other.
A side on a number of images is a line in `fit_cost.jsonl`; sides alternate.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
from kept import keep, read
from machine import statement

ROWS = Path(__file__).with_suffix(".jsonl")
BATCH = 32
SIDES = ("given", "measured", "tensorflow", "onnxruntime")
KEY = ("side", "set", "backbone", "size", "count", "round")
SAMPLED = 0.05
"""Seconds between two looks at memory."""


def main() -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--set", default="cifar10")
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--size", type=int, default=64, help="what fit decides for the set")
    parser.add_argument("--counts", type=int, nargs="+", default=[50, 500, 2000, 8000])
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--pass", dest="bare", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        _bare(*options.bare)
        return
    if options.data is None and not options.table:
        parser.error("name DATA, or --table")
    print(statement())
    for cell in [] if options.table else _missing(options):
        row = cell | {"machine": statement()} | _measured(options.data / options.set, cell)
        keep(ROWS, row)
    print(table(read(ROWS)))


def _missing(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    done = [{key: row[key] for key in KEY} for row in read(ROWS)]
    about = {"set": options.set, "backbone": options.backbone, "size": options.size}
    for number in range(options.rounds):
        for count in options.counts:
            for side in options.sides:
                cell = about | {"side": side, "count": count, "round": number}
                if cell not in done:
                    yield cell


def _measured(data: Path, cell: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = _chosen(data, cell["count"], folder / "images")
        if cell["side"] in ("given", "measured"):
            return _fit(images, cell, folder)
        return _pass(images, cell, folder)


def _chosen(data: Path, count: int, out: Path) -> Path:
    """A folder of class folders with copies of `count` training files, classes in equal parts."""
    classes = sorted(path for path in (data / "train").iterdir() if path.is_dir())
    files = [sorted(path.iterdir()) for path in classes]
    for turn in islice(_turns(files), count):
        target = out / turn.parent.name / turn.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(turn, target)
    return out


def _turns(files: list[list[Path]]) -> Iterator[Path]:
    for at in range(max(map(len, files))):
        for one in files:
            if at < len(one):
                yield one[at]


# ---- ours ----


def _fit(images: Path, cell: dict[str, Any], folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "autotl", "fit", str(images), "--out", str(folder / "run")]
    command += ["--backbone", cell["backbone"], "--trials", "1", "--quiet"]
    if cell["side"] == "given":
        command += ["--strategy", "feature-extraction"]
    seconds, memory = _watched(command, {"AUTOTL_CACHE": str(folder / "store")})
    report = json.loads((folder / "run" / "report.json").read_text("utf-8"))
    size = report["backbone"]["preprocessing"]["size"]
    if size != cell["size"]:
        raise SystemExit(f"fit decided for {size} pixels: say --size {size}")
    conversions = len(list((folder / "store").rglob("*.onnx")))
    return {
        "seconds": seconds,
        "steps": report["seconds"],
        "conversion": conversions * _conversion(cell, folder) if conversions else 0.0,
        "conversions": conversions,
        "accuracy": report["evaluation"]["accuracy"]["value"],
    } | memory


def _conversion(cell: dict[str, Any], folder: Path) -> float:
    """Seconds that one conversion for onnxruntime's passes takes, its imports done."""
    command = _command("conversion", cell, folder)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def _command(side: str, cell: dict[str, Any], where: Path) -> list[str]:
    about = [side, cell["backbone"], str(cell["size"]), str(where)]
    return [sys.executable, __file__, "--pass", *about]


def _watched(command: list[str], environment: dict[str, str]) -> tuple[float, dict[str, int]]:
    """Seconds, and the most memory that the process and those it starts hold together: with the
    pages of mapped files (`resident`) and without (`private`), in bytes.
    """
    begun = time.perf_counter()
    most = {"resident": 0, "private": 0}
    with tempfile.TemporaryFile() as told:
        with subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=told
        ) as process:
            while process.poll() is None:
                most = {key: max(value, most[key]) for key, value in _memory(process.pid).items()}
                time.sleep(SAMPLED)
        seconds = time.perf_counter() - begun
        told.seek(0)
        if process.returncode:
            raise SystemExit(f"{command} ended with {process.returncode}: {told.read().decode()}")
    return seconds, most


def _memory(pid: int) -> dict[str, int]:
    found = {"resident": 0, "private": 0}
    try:
        first = psutil.Process(pid)
        tree = [first, *first.children(recursive=True)]
    except psutil.Error:
        return found
    for process in tree:
        try:
            info = process.memory_info()
        except psutil.Error:
            continue
        found["resident"] += info.rss
        found["private"] += info.rss - getattr(info, "shared", 0)
    return found


# ---- bare passes ----


def _pass(images: Path, cell: dict[str, Any], folder: Path) -> dict[str, Any]:
    seconds = _conversion(cell, folder) if cell["side"] == "onnxruntime" else 0.0
    command = _command(cell["side"], cell, images)
    environment = {"AUTOTL_BENCH_ONNX": str(folder / "model.onnx"), "TF_ENABLE_ONEDNN_OPTS": "1"}
    spent, memory = _watched(command, environment)
    return {"seconds": spent, "conversion": seconds} | memory


def _bare(side: str, backbone: str, pixels: str, where: str) -> None:
    """In a process of its own: one pass over the files under `where`, or the conversion."""
    if side == "conversion":
        print(_converted(backbone, int(pixels), Path(where) / "model.onnx"))
        return
    files = sorted(str(path) for path in Path(where).rglob("*") if path.is_file())
    count = (_tensorflow if side == "tensorflow" else _onnxruntime)(files, backbone, int(pixels))
    assert count == len(files), (count, len(files))


def _net(backbone: str, size: int) -> Any:
    """The backbone with averaged features, its input as the preprocessing gives it."""
    import keras
    from cells import located_at

    from autotl import model

    located = located_at(backbone, size)
    net = model.build(located, pretrained=True, seed=1)
    features = keras.layers.GlobalAveragePooling2D()(net.output)
    return keras.Model(net.input, features)


def _tensorflow(files: list[str], backbone: str, size: int) -> int:
    import tensorflow as tf

    net = _net(backbone, size)

    def read(path: Any) -> Any:
        image = tf.io.decode_image(tf.io.read_file(path), 3, expand_animations=False)
        return tf.image.resize(image, (size, size), "bicubic", antialias=True) / 127.5 - 1.0

    data = tf.data.Dataset.from_tensor_slices(files).map(read, tf.data.AUTOTUNE)
    signature = [tf.TensorSpec((None, size, size, 3), tf.float32)]
    run = tf.function(lambda x: net(x, training=False), input_signature=signature)
    return sum(len(run(x).numpy()) for x in data.batch(BATCH).prefetch(tf.data.AUTOTUNE))


def _converted(backbone: str, size: int, out: Path) -> float:
    from autotl import convert

    net = _net(backbone, size)
    importlib.import_module("tf2onnx")
    begun = time.perf_counter()
    out.write_bytes(convert.to_onnx(net, output_names=["features"]).SerializeToString())
    return time.perf_counter() - begun


def _onnxruntime(files: list[str], _: str, size: int) -> int:
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    import onnxruntime
    from PIL import Image

    session = onnxruntime.InferenceSession(
        os.environ["AUTOTL_BENCH_ONNX"], providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def read(path: str) -> Any:
        with Image.open(path) as image:
            small = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
        return np.asarray(small, np.float32) / 127.5 - 1.0

    found = 0
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        pending = [threads.submit(read, path) for path in files]
        for start in range(0, len(files), BATCH):
            batch = np.stack([one.result() for one in pending[start : start + BATCH]])
            pending[start : start + BATCH] = [None] * len(batch)  # type: ignore[list-item]
            found += len(session.run(None, {name: batch})[0])
    return found


# ---- tables ----


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: seconds over the fewest images, and memory."""
    lines = [
        "| set, backbone, images | given, s | measured, s | TensorFlow's pass, s "
        "| onnxruntime's | given / TensorFlow | measured / TensorFlow | given / onnxruntime "
        "| apart: conversion of the pass; export |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    memory = ["| set, backbone, images | side | resident, MB | without mapped files, MB |"]
    memory.append("|---|---|---:|---:|")
    notes = [
        "| set, backbone, images | over TensorFlow's, the quickest totals of the fewest taken off: "
        "given, measured | with export: given, measured "
        "| ms a further image since the count before: given, measured, TensorFlow, onnxruntime |",
        "|---|---|---|---|",
    ]
    for about in dict.fromkeys((row["set"], row["backbone"]) for row in rows):
        own = [row for row in rows if (row["set"], row["backbone"]) == about]
        counts = sorted({row["count"] for row in own})
        for count in counts:
            memory += _memory_lines(own, count)
        lines += [line for count in counts[1:] if (line := _line(own, counts[0], count))]
        notes += [note for count in counts[1:] if (note := _other_bases(own, counts, count))]
    return "\n".join([*lines, "", *notes, "", *memory])


def _of(rows: list[dict[str, Any]], side: str, count: int) -> list[dict[str, Any]]:
    return [row for row in rows if row["side"] == side and row["count"] == count]


def _bulk(row: dict[str, Any]) -> float:
    """Seconds without what is shown apart."""
    if "steps" not in row:
        return float(row["seconds"])
    return float(row["seconds"] - row["steps"]["export"] - row["conversion"])


def _line(rows: list[dict[str, Any]], least: int, count: int) -> str | None:
    found = {}
    for side in SIDES:
        few, many = _of(rows, side, least), _of(rows, side, count)
        if not few or not many:
            return None
        found[side] = statistics.median(map(_bulk, many)) - statistics.median(map(_bulk, few))
    given, measured, tensorflow, runtime = (found[side] for side in SIDES)
    apart = _of(rows, "given", count)
    conversion = statistics.median(row["conversion"] for row in apart)
    export = statistics.median(row["steps"]["export"] for row in apart)
    about = f"{apart[0]['set']}, {apart[0]['backbone']}, {count:,}"
    return (
        f"| {about} | {given:.1f} | {measured:.1f} | {tensorflow:.1f} | {runtime:.1f} "
        f"| {given / tensorflow:.2f} | {measured / tensorflow:.2f} | {given / runtime:.2f} "
        f"| {conversion:.1f}; {export:.1f} |"
    )


def _other_bases(rows: list[dict[str, Any]], counts: list[int], count: int) -> str | None:
    """The ratios by other bases than the medians; None where a side is missing."""
    if not all(_of(rows, side, count) for side in SIDES):
        return None
    least = counts[0]
    passed = _middle(rows, "tensorflow", count, _bulk) - _middle(rows, "tensorflow", least, _bulk)
    quickest, whole = [], []
    for side in SIDES[:2]:
        base = min(map(_bulk, _of(rows, side, least)))
        quickest.append((_middle(rows, side, count, _bulk) - base) / passed)
        apart = _middle(rows, side, count, _exported) - _middle(rows, side, least, _exported)
        whole.append(apart / passed)
    before = [n for n in counts if n < count and all(_of(rows, side, n) for side in SIDES)][-1]
    steps = [
        1000 * (_middle(rows, s, count, _bulk) - _middle(rows, s, before, _bulk)) / (count - before)
        for s in SIDES
    ]
    about = f"{rows[0]['set']}, {rows[0]['backbone']}, {count:,}"
    told = [", ".join(f"{x:.2f}" for x in some) for some in (quickest, whole)]
    return f"| {about} | {told[0]} | {told[1]} | {', '.join(f'{x:.1f}' for x in steps)} |"


def _middle(
    rows: list[dict[str, Any]], side: str, count: int, of: Callable[[dict[str, Any]], float]
) -> float:
    return statistics.median(map(of, _of(rows, side, count)))


def _exported(row: dict[str, Any]) -> float:
    """Seconds without conversions only."""
    return float(row["seconds"] - row["conversion"])


def _memory_lines(rows: list[dict[str, Any]], count: int) -> list[str]:
    lines = []
    for side in SIDES[:2]:
        own = _of(rows, side, count)
        if own:
            resident, private = (
                statistics.median(row[key] for row in own) / 1e6 for key in ("resident", "private")
            )
            about = f"{own[0]['set']}, {own[0]['backbone']}, {count:,}"
            lines.append(f"| {about} | {side} | {resident:,.0f} | {private:,.0f} |")
    return lines


if __name__ == "__main__":
    main()
