"""Does `model.onnx` say of a raw file what the trained model says?

    python benchmarks/agreement.py SET RUN FOLDER [--most N]
    python benchmarks/agreement.py --table

Every image of FOLDER (of SET, on which RUN was trained) is labelled four ways: by
`autotl.predict`, that is the exported file on the raw bytes; by the training path, that is our
decoder and resize and `model.keras`; by the run's `serve_example.py` as it is written; and with
the preprocessing left outside the file, as `image_dataset_from_directory` does it (TensorFlow's
decoder and bilinear resize, then `model.keras`). A second row is of one in twenty of the
photographs in odd formats (`odd_images.py`). A finished set is a line in `agreement.jsonl`.
"""

from __future__ import annotations

import argparse
import operator
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from kept import keep, read
from machine import statement
from odd_images import odd

ROWS = Path(__file__).with_suffix(".jsonl")
BATCH = 32
UNSURE = "unsure"
EVERY = 20
AHEAD = 64
"""Files a call of `serve_example.py`."""


def main() -> None:
    """Label what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("set", nargs="?")
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--most", type=int, help="images, spread over the folder")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    print(statement())
    if not options.table:
        if options.folder is None:
            parser.error("name SET, RUN and FOLDER, or --table")
        _run(options)
    print(table(read(ROWS)))


def _run(options: argparse.Namespace) -> None:
    from autotl import load
    from autotl.export.asking import spread

    files = sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in (".jpg", ".png"))
    files = list(spread(files, options.most or len(files)))
    report = load(options.run).report
    about = {"set": options.set, "machine": statement(), "backbone": report["backbone"]["name"]}
    about |= {"input_size": report["decision"]["input_size"]}
    keep(ROWS, about | {"images": "as they are"} | _compared(options.run, files, stock=True))
    with tempfile.TemporaryDirectory() as name:
        made = list(odd(files[::EVERY], Path(name)))
        found = _compared(options.run, made, stock=False)
        kinds = len({path.parent.name for path in made})
        keep(ROWS, about | {"images": f"in {kinds} odd formats"} | found)


def _compared(run: Path, files: Sequence[Path], *, stock: bool) -> dict[str, Any]:
    """Shares of equal labels and differences of probabilities, against the training path."""
    from autotl import load

    reference, classes = _training_path(run, files)
    ours = _predicted(run, files, classes)
    apart = np.abs(ours - reference).max(axis=1)
    ranked = np.sort(reference, axis=1)
    other = ours.argmax(axis=1) != reference.argmax(axis=1)
    told = reference.argmax(axis=1)
    least = (load(run).report["evaluation"]["abstention"] or {"threshold": 0})["threshold"] or 0
    expected = [
        classes[place] if row[place] >= least else UNSURE
        for row, place in zip(reference, told, strict=True)
    ]
    served = _served(run, files)
    found = {
        "count": len(files),
        "same": int((~other).sum()),
        "lead_of_others": float((ranked[:, -1] - ranked[:, -2])[other].max(initial=0)),
        "median": float(np.median(apart)),
        "high": float(np.percentile(apart, 99)),
        "largest": float(apart.max()),
        "served_same": sum(map(operator.eq, served, expected)),
    }
    if stock:
        outside = _outside(run, files)
        off = np.abs(outside - reference).max(axis=1)
        same = int((outside.argmax(axis=1) == told).sum())
        found["outside"] = {"same": same, "median": float(np.median(off))}
    return found


def _training_path(run: Path, files: Sequence[Path]) -> tuple[Any, list[str]]:
    from autotl import load
    from autotl.pixels import decode, resize

    fitted = load(run)
    model = fitted.model()
    policy = fitted.report["backbone"]["preprocessing"]["resize"]
    size = model.input_shape[1]
    parts = []
    for start in range(0, len(files), BATCH):
        some = files[start : start + BATCH]
        pixels = np.stack([resize(decode(path.read_bytes()), size, policy) for path in some])
        parts.append(np.asarray(model(pixels.astype(np.float32), training=False)))
    return np.concatenate(parts), list(fitted.report["data"]["classes"])


def _predicted(run: Path, files: Sequence[Path], classes: list[str]) -> Any:
    from autotl import predict

    rows = np.zeros((len(files), len(classes)))
    for row, one in zip(rows, predict(run, files, top=len(classes)), strict=True):
        assert one.error is None, one
        for label, probability in one.top:
            row[classes.index(label)] = probability
    return rows


def _served(run: Path, files: Sequence[Path]) -> list[str]:
    labels = []
    for start in range(0, len(files), AHEAD):
        command = [sys.executable, str(run / "serve_example.py")]
        command += [str(path) for path in files[start : start + AHEAD]]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        labels += [line.split("\t")[1] for line in told.splitlines()]
    return labels


def _outside(run: Path, files: Sequence[Path]) -> Any:
    import tensorflow as tf

    from autotl import load

    model = load(run).model()
    size = model.input_shape[1]
    parts = []
    for start in range(0, len(files), BATCH):
        images = [
            tf.image.resize(
                tf.io.decode_image(path.read_bytes(), 3, expand_animations=False), (size, size)
            )
            for path in files[start : start + BATCH]
        ]
        parts.append(np.asarray(model(tf.stack(images), training=False)))
    return np.concatenate(parts)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A line for each set and kind of images, the newest row of each."""
    newest = {(row["set"], row["backbone"], row["images"]): row for row in rows}
    lines = [
        "| set, backbone | images | same label | another label: largest lead | difference of a "
        "probability: median, 99th percentile, largest | `serve_example.py`: same label | "
        "preprocessing outside: same label, median difference |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in newest.values():
        count, outside = row["count"], row.get("outside")
        lead = f"{row['lead_of_others']:.4f}" if row["same"] < count else "–"
        told = "–"
        if outside:
            told = f"{100 * outside['same'] / count:.2f} %, {outside['median']:.1e}"
        model = f"{row['set']}, {row['backbone']} at {row['input_size']}"
        lines.append(
            f"| {model} | {count:,} {row['images']} | "
            f"{row['same']:,} ({100 * row['same'] / count:.2f} %) | {lead} | {row['median']:.1e}, "
            f"{row['high']:.1e}, {row['largest']:.1e} | {row['served_same']:,} "
            f"({100 * row['served_same'] / count:.2f} %) | {told} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
