"""Does the predicted order of the strategies change as the four scenarios say, and does it hold?

    python benchmarks/scenarios.py DATA [--fashion FOLDER] [--most SECONDS]
    python benchmarks/scenarios.py --table

200 and 3,000 training examples of cifar10 and of Fashion-MNIST, neither of which the decision's
coefficients were fitted on. In each cell the four strategies are predicted from measurements, then
all four are trained by their default recipes and judged on test rows (with `--most`, a training
that would be longer is annealed to end there). DATA holds
`cifar10/{train,test}/CLASS/*`; FOLDER holds Fashion-MNIST's four IDX files, of which the first
10,000 training and 2,000 test images are taken. A finished cell is a line in `scenarios.jsonl`.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from cells import Bench
from coefficients import done
from fashion import npz
from kept import keep, read
from machine import statement

from autotl.decide import decide
from autotl.decide.coefficients import trainer_digest
from autotl.pipeline import epochs
from autotl.records import Budget, Measurements, from_json

ROWS = Path(__file__).with_suffix(".jsonl")
EXAMPLES = (200, 3000)
BACKBONE, SIZE, TEST = "embedded", 48, 2000


def main() -> None:
    """Run what is missing, then print the table."""
    chosen = parser().parse_args()
    print(statement())
    if not chosen.table:
        if chosen.data is None or chosen.fashion is None:
            parser().error("name DATA and --fashion FOLDER, or --table")
        run(chosen.data, chosen.fashion, chosen.most)
    print(table(read(ROWS)))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("data", type=Path, nargs="?")
    made.add_argument("--fashion", type=Path, help="folder of Fashion-MNIST's IDX files")
    made.add_argument("--table", action="store_true", help="print the finished cells")
    made.add_argument("--most", type=float, help="seconds a training (default: no cap)")
    return made


def run(data: Path, fashion: Path, most: float | None) -> None:
    """Add the missing cells to the rows."""
    with Bench() as bench:
        paths = {"cifar10": data / "cifar10", "fashion-mnist": npz(fashion, bench.folder)}
        for examples, (data_set, path) in itertools.product(EXAMPLES, paths.items()):
            cell = {"data": data_set, "backbone": BACKBONE, "input_size": SIZE, "limit": examples}
            cell |= {"code": trainer_digest(), "most": most}
            if done(cell, read(ROWS)):
                continue
            begun = time.monotonic()
            found = bench.cell(path, cell, most, TEST)
            about = {"machine": statement(), "seconds": time.monotonic() - begun}
            row = {**cell, **found, **about}
            keep(ROWS, row)
            print(f"{data_set}, {examples}: {row['seconds']:.0f} s", flush=True)


def table(found: list[dict[str, Any]]) -> str:
    """Markdown: a row a cell; the predictions are made anew from the stored measurements."""
    lines = [
        "| set, examples | scenario | predicted, best first | trained, best first "
        "| first place confirmed | within a standard error (paired) |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_line(row) for row in found)])


def paired_error(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Standard error of the difference of two accuracies on the same test rows."""
    first, second = (
        np.unpackbits(np.frombuffer(bytes.fromhex(x["right"]), np.uint8))[: x["test"]].astype(int)
        for x in (one, other)
    )
    return float(np.std(first - second) / math.sqrt(len(first)))


def _line(row: dict[str, Any]) -> str:
    measured = from_json(Measurements, row["measurements"])
    decision = decide(measured, Budget(seconds=None, trials=1), epochs=epochs(measured))
    expected = sorted(decision.predicted.items(), key=lambda item: -item[1].accuracy)
    trained = sorted(row["strategies"].items(), key=lambda item: -item[1]["accuracy"])
    own, best = row["strategies"][decision.strategy], trained[0][1]
    predicted = ", ".join(f"{name} {one.accuracy:.3f}" for name, one in expected)
    came = ", ".join(f"{name} {one['accuracy']:.3f}" for name, one in trained)
    confirmed = "yes" if decision.strategy == trained[0][0] else "no"
    near = "yes" if best["accuracy"] - own["accuracy"] <= paired_error(own, best) else "no"
    return (
        f"| {row['data']}, {row['limit']} | {decision.scenario} | {predicted} | {came} "
        f"| {confirmed} | {near} |"
    )


if __name__ == "__main__":
    main()
