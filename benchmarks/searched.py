"""Does searching help? The searched model against its own default recipe, on the same test rows.

    python benchmarks/searched.py DATA [--backbone embedded] [--input-size 64] [--budget 3m]
    python benchmarks/searched.py --table

For each set of the main job: `autotl fit` within the budget, then the same with `--trials 2` and
the strategy that was decided, which trains the linear probe and the default recipe only and has no
clock. The difference of test accuracy has a 95 % interval from the test rows, paired. A finished
set is a line in `searched.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from kept import keep, read
from machine import statement
from main_job import SETS
from numpy.typing import NDArray

ROWS = Path(__file__).with_suffix(".jsonl")
KEY = ("set", "backbone", "input_size", "budget", "seed")


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--backbone", default="embedded")
    parser.add_argument("--input-size", type=int, help="pixels; by default the engine's choice")
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.data is None and not options.table:
        parser.error("name DATA, or --table")
    print(statement())
    for name in [] if options.table else options.sets:
        cell = {"set": name, "backbone": options.backbone, "budget": options.budget}
        cell |= {"seed": options.seed, "input_size": options.input_size}
        if not any({key: row.get(key) for key in KEY} == cell for row in read(ROWS)):
            row = cell | {"machine": statement()} | _compared(options.data / name, cell)
            keep(ROWS, row)
    print(table(read(ROWS)))


def _compared(data: Path, cell: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        searched = _fitted(data, cell, folder / "searched", ["--budget", cell["budget"]])
        strategy = searched["decision"]["strategy"]
        limits = ["--trials", "2", "--strategy", strategy]
        default = _fitted(data, cell, folder / "default", limits)
        truth = _truth(data, cell["seed"])
        right = [
            np.load(folder / side / "test_predictions.npy", allow_pickle=False).argmax(axis=1)
            == truth
            for side in ("searched", "default")
        ]
    return {
        "strategy": strategy,
        "searched": _facts(searched),
        "default": _facts(default),
        "difference": _paired(*right),
        "test": len(truth),
    }


def _fitted(data: Path, cell: dict[str, Any], out: Path, limits: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "autotl", "fit", str(data), "--out", str(out), "--quiet"]
    command += ["--backbone", cell["backbone"], "--seed", str(cell["seed"]), *limits]
    if cell["input_size"]:
        command += ["--input-size", str(cell["input_size"])]
    store = os.environ | {"AUTOTL_CACHE": str(out.parent / "store")}
    subprocess.run(command, check=True, capture_output=True, env=store)
    report: dict[str, Any] = json.loads((out / "report.json").read_text("utf-8"))
    return report


def _facts(report: dict[str, Any]) -> dict[str, Any]:
    best = report["search"]["best"]
    return {
        "accuracy": report["evaluation"]["accuracy"],
        "input_size": report["decision"]["input_size"],
        "trials": report["search"]["trials"],
        "best": {"number": best["number"], "origin": best["origin"]},
        "seconds": report["seconds"]["total"],
    }


def _truth(data: Path, seed: int) -> NDArray[np.int64]:
    """Labels of the test rows, in the order of the predictions."""
    from autotl import loading, split
    from autotl.plugins import discover

    loaded = loading.load(str(data), discover().loaders)
    rows = split.split(loaded.dataset, loaded.hashes, seed=seed)
    return np.array([loaded.dataset.labels[row] for row in rows.test])


def _paired(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> dict[str, float]:
    """Difference of accuracy, and the ends of its 95 % interval (normal, paired)."""
    apart = one.astype(int) - other.astype(int)
    half = 1.96 * float(apart.std()) / math.sqrt(len(apart))
    value = float(apart.mean())
    return {"value": value, "low": value - half, "high": value + half}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row a set."""
    lines = [
        "| set, backbone, pixels, budget | strategy | searched: test accuracy (trials; best) "
        "| default recipe | difference in points, 95 % | seconds |",
        "|---|---|---|---:|---|---|",
    ]
    for row in rows:
        own, plain, apart = row["searched"], row["default"], row["difference"]
        best = f"{own['best']['origin']} {own['best']['number']}"
        told = " to ".join(f"{100 * apart[end]:+.1f}" for end in ("low", "high"))
        lines.append(
            f"| {row['set']}, {row['backbone']}, {own.get('input_size', '')}, {row['budget']} "
            f"| {row['strategy']} "
            f"| {own['accuracy']['value']:.3f} ({own['trials']}; {best}) "
            f"| {plain['accuracy']['value']:.3f} | {100 * apart['value']:+.1f} ({told}) "
            f"| {own['seconds']:.0f} / {plain['seconds']:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
