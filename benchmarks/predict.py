"""What does `autotl.predict` cost over bare onnxruntime, and what does decoding ahead gain?

    python benchmarks/predict.py MODEL FOLDER [--images 256] [--side 128] [--rounds 11]
    python benchmarks/predict.py --table

Three questions about one exported MODEL, on images of FOLDER:

- Arrays: `autotl.predict` on uint8 arrays of one size, against a loop that hands slices of the same
  array to a bare session; by batch.
- Files: `autotl.predict` on the folder, against a loop that decodes a batch in as many threads and
  then runs it, against bare decoding and the bare session on what was decoded.
- Start: `autotl predict` of one image, against Python that imports onnxruntime and loads the model,
  and what of it is the look at the file before.

Sides take turns, in the other order every second time, so that a drifting machine moves all of
them; a figure is the median of the rounds, a ratio the median of the rounds' ratios. Processor
seconds are noted too, which other work on the machine moves less; in a session of the usual kind
they hold what threads spend waiting. A row is a line in `predict.jsonl`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from kept import keep, read
from machine import commit, statement

ROWS = Path(__file__).with_suffix(".jsonl")
BATCHES = (1, 16, 32)
BAR = 0.95
"""The least share of bare onnxruntime's throughput on arrays."""
Sides = dict[str, Callable[[], None]]


def main() -> None:
    """Measure what is missing, then print the tables."""
    options = _options()
    print(statement())
    if not options.table:
        for about, sides in _questions(options):
            keep(
                ROWS, about | {"machine": statement(), "commit": commit()} | _timed(sides, options)
            )
    print(table(read(ROWS)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.folder is None and not options.table:
        parser.error("name MODEL and FOLDER, or --table")
    return options


def _questions(options: argparse.Namespace) -> Iterator[tuple[dict[str, Any], Sides]]:
    paths = sorted(path for path in options.folder.rglob("*.jpg"))[: options.images]
    arrays = _arrays(paths, options.side)
    for batch in BATCHES:
        about = {"question": "arrays", "batch": batch, "side": options.side}
        yield about | {"images": len(paths)}, _on_arrays(options.model, arrays, batch)
    about = {"question": "files", "batch": 16, "images": len(paths)}
    yield about, _on_files(options.model, paths)
    size = options.model.stat().st_size
    yield {"question": "start", "images": 1, "bytes": size}, _start(options.model, paths[0])


def _timed(sides: Sides, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each side in every round, after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    processor: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(options.rounds + 1):
        for name, run in list(sides.items())[:: 1 if turn % 2 else -1]:
            began, spent = time.perf_counter(), _processor()
            run()
            if turn:
                seconds[name].append(round(time.perf_counter() - began, 5))
                processor[name].append(round(_processor() - spent, 5))
    return {"seconds": seconds, "processor": processor}


def _processor() -> float:
    """Processor seconds of this process, its threads and the children that ended."""
    return sum(os.times()[:4])


# ---- the sides ----


def _arrays(paths: list[Path], side: int) -> np.ndarray:
    from autotl.pixels import resized

    return np.stack([resized(path.read_bytes(), [side])[0] for path in paths])


def _bare(model: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])


def _on_arrays(model: Path, arrays: np.ndarray, batch: int) -> Sides:
    from autotl.prediction import open_model, predict

    # as `predict` itself opens a path
    session, opened = _bare(model), open_model(model, spinning=True)

    def bare() -> None:
        for start in range(0, len(arrays), batch):
            session.run(["probabilities", "label"], {"image": arrays[start : start + batch]})

    def ours() -> None:
        assert sum(1 for _ in predict(opened, arrays, batch=batch)) == len(arrays)

    return {"bare onnxruntime": bare, "autotl.predict": ours}


def _on_files(model: Path, paths: list[Path]) -> Sides:
    from autotl.pixels import decode
    from autotl.prediction import open_model, predict

    session, opened = _bare(model), open_model(model)
    images = [decode(path.read_bytes()) for path in paths]

    def run(some: list[np.ndarray]) -> None:
        for _, alike in groupby(some, lambda image: image.shape):
            session.run(["probabilities", "label"], {"image": np.stack(list(alike))})

    def in_turn() -> None:
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(paths), 16):
                part = paths[start : start + 16]
                run(list(pool.map(lambda path: decode(path.read_bytes()), part)))

    def decoding() -> None:
        with ThreadPoolExecutor() as pool:
            assert all(pool.map(lambda path: decode(path.read_bytes()).size, paths))

    def bare() -> None:
        for start in range(0, len(images), 16):
            run(images[start : start + 16])

    def ours() -> None:
        assert sum(1 for _ in predict(opened, paths)) == len(paths)

    return {
        "decode a batch, then run it": in_turn,
        "autotl.predict": ours,
        "decoding alone": decoding,
        "bare onnxruntime on what was decoded": bare,
    }


def _start(model: Path, image: Path) -> Sides:
    load = f"import onnxruntime; onnxruntime.InferenceSession({str(model)!r})"
    imports = "import numpy, onnx; from pathlib import Path; from autotl.modelfile import examined"
    commands = {
        "bare Python": ["-c", "pass"],
        "onnxruntime loads the model": ["-c", load],
        "autotl predict, one image": ["-m", "autotl", "predict", str(model), str(image), "--json"],
        "Python with onnx and our room": ["-c", imports],
        "the same, and the look at the file": [
            *("-c", f"{imports}; examined(Path({str(model)!r}))")
        ],
    }

    def runs(command: list[str]) -> Callable[[], None]:
        return lambda: check(subprocess.run([sys.executable, *command], capture_output=True))

    def check(done: Any) -> None:
        done.check_returncode()

    return {name: runs(command) for name, command in commands.items()}


# ---- the tables ----


def table(rows: list[dict[str, Any]]) -> str:
    """A table a question, of the last row of each kind."""
    latest = {
        (row["question"], row["batch"] if "batch" in row else row["bytes"]): row for row in rows
    }
    parts = []
    arrays = [row for (question, _), row in latest.items() if question == "arrays"]
    if arrays:
        parts.append(_arrays_table(arrays))
    for question in ("files", "start"):
        parts += [_seconds_table(row) for (asked, _), row in latest.items() if asked == question]
    return "\n\n".join(parts)


def _arrays_table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{rows[0]['images']} arrays of {rows[0]['side']} pixels, images a second:",
        "",
        f"| batch | bare onnxruntime | autotl.predict | share (bar {BAR}) |",
        "|---:|---:|---:|---:|",
    ]
    for row in rows:
        bare, ours = (row["seconds"][name] for name in ("bare onnxruntime", "autotl.predict"))
        share = statistics.median(a / b for a, b in zip(bare, ours, strict=True))
        speeds = [row["images"] / statistics.median(times) for times in (bare, ours)]
        lines.append(f"| {row['batch']} | {speeds[0]:,.0f} | {speeds[1]:,.0f} | {share:.3f} |")
    return "\n".join(lines)


def _seconds_table(row: dict[str, Any]) -> str:
    what = (
        f"{row['images']} image files, batch {row['batch']}:"
        if row["question"] == "files"
        else f"Start, a model of {row['bytes'] / 1e6:.0f} MB:"
    )
    lines = [
        what,
        "",
        "| side | median s | least | most | processor s |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, times in row["seconds"].items():
        middle = statistics.median(times)
        spent = statistics.median(row["processor"][name])
        lines.append(
            f"| {name} | {middle:.3f} | {min(times):.3f} | {max(times):.3f} | {spent:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
