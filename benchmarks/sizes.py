"""What is a larger input worth? Each strategy at several input sizes, on the same examples.

    python benchmarks/sizes.py DATA [--sets ...] [--backbones ...] [--examples 500]
    python benchmarks/sizes.py --table
    python benchmarks/sizes.py --fit

A row is a data set, a backbone, an input size and a strategy: test accuracy and seconds of its
default recipe; a row without a strategy has the measurements. The input size is worth deciding only
where the images have the detail: the sets are those whose images are larger than the backbone's own
size. Finished rows are lines in `sizes.jsonl`.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cells import Bench, recipe_of
from coefficients import write
from kept import keep, read
from machine import statement

from autotl.decide.coefficients import shipped, trainer_digest
from autotl.decide.features import odds
from autotl.decide.prediction import possible
from autotl.records import STRATEGIES, to_json

ROWS = Path(__file__).with_suffix(".jsonl")
SETS = ("flowers", "trashnet", "neu-steel")
SIZES = {"embedded": (64, 128, 32, 96), "MobileNetV2": (96, 224, 160, 128)}
"""In the order in which they are run."""
TRAINED = ("feature-extraction", "partial-freeze", "full-fine-tune")
CAPS = {"embedded": None, "MobileNetV2": 600.0}
TEST = 1000
PROBE = "linear probe"
Groups = dict[tuple[str, str, int, str], list[dict[str, Any]]]
CELL = ("data", "backbone", "input_size", "limit", "seed", "code")


def main() -> None:
    """Run what is missing, then print the table."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("data", type=Path, nargs="?")
    made.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    made.add_argument("--backbones", nargs="+", default=["embedded"], choices=list(SIZES))
    made.add_argument("--examples", type=int, default=500)
    made.add_argument("--table", action="store_true", help="print what the rows say")
    made.add_argument("--fit", action="store_true", help="write it into the coefficients too")
    options = made.parse_args()
    print(statement(), flush=True)
    if not (options.table or options.fit):
        if options.data is None:
            made.error("name DATA, --table or --fit")
        with Bench() as bench:
            for cell in _cells(options):
                for row in _missing(bench, options.data / cell["data"], cell):
                    keep(ROWS, row)
                    print(*(row[key] for key in (*CELL[:3], "strategy", "accuracy")), flush=True)
    print(table(read(ROWS)))
    if options.fit:
        known = replace(shipped()[0], doubling=doubling(read(ROWS)))
        write(known)


def _cells(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for backbone in options.backbones:
        for size, data in itertools.product(SIZES[backbone], options.sets):
            cell = {"data": data, "backbone": backbone, "input_size": size}
            yield cell | {"limit": options.examples, "seed": 1, "code": trainer_digest()}


def _missing(bench: Bench, path: Path, cell: dict[str, Any]) -> Iterator[dict[str, Any]]:
    there = [row for row in read(ROWS) if all(row[key] == cell[key] for key in CELL)]
    done = {row["strategy"] for row in there}
    if len(done) == 1 + len(TRAINED):
        return
    asked, truth, measured = bench.opened(path, cell, TEST)
    about = cell | {"machine": statement()}
    if None not in done:
        tap = measured.stages[measured.tap - 1]
        probe = next(p.linear for p in measured.probes if p.pretrained and p.stage == tap)
        found = {"strategy": None, "accuracy": probe, "measurements": to_json(measured)}
        yield about | found
    for name in possible(measured):
        if name in TRAINED and name not in done:
            recipe = to_json(recipe_of(name, measured))
            trained = bench.trained(asked, recipe, truth, CAPS[cell["backbone"]])
            yield about | {"strategy": name} | trained


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row a set and backbone; accuracy (seconds) by size; then what doubling gives."""
    heading = "| set, backbone, examples, strategy | accuracy (seconds) by input size |"
    lines = [heading, "|---|---|"]
    groups = _groups(rows)
    for (data, backbone, limit, name), group in sorted(groups.items()):
        told = [
            f"{r['input_size']}: {r['accuracy']:.3f}"
            + (f" ({r['seconds']:.0f})" if "seconds" in r else "")
            for r in sorted(group, key=lambda r: int(r["input_size"]))
        ]
        lines.append(f"| {data}, {backbone}, {limit:,}, {name} | {', '.join(told)} |")
    return "\n".join([*lines, "", *_doubling(groups)])


def _groups(rows: list[dict[str, Any]]) -> Groups:
    found: Groups = {}
    for row in rows:
        if row["code"] == rows[-1]["code"]:
            key = (row["data"], row["backbone"], row["limit"], row["strategy"] or PROBE)
            found.setdefault(key, []).append(row)
    return found


def _slopes(groups: Groups) -> dict[str, list[float]]:
    """Log odds of accuracy gained from twice the input size, by strategy: a slope for each set."""
    slopes: dict[str, list[float]] = {}
    for (_, _, _, name), group in sorted(groups.items()):
        sizes = np.log2([row["input_size"] for row in group])
        if len(group) > 1:
            values = [odds(row["accuracy"], row.get("test", row["limit"])) for row in group]
            slopes.setdefault(name, []).append(float(np.polyfit(sizes, values, 1)[0]))
    return slopes


def _doubling(groups: Groups) -> Iterator[str]:
    """The slopes' mean with its standard error."""
    for name, found in _slopes(groups).items():
        error = f"{np.std(found, ddof=1) / math.sqrt(len(found)):.2f}" if len(found) > 1 else "?"
        yield f"{name}: {np.mean(found):+.2f} ± {error} log odds from twice the size."


def doubling(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The mean slope of each strategy, no less than 0; scratch, which is not trained here, has that
    of full fine-tuning.
    """
    found = {name: max(float(np.mean(x)), 0.0) for name, x in _slopes(_groups(rows)).items()}
    found["scratch"] = found["full-fine-tune"]
    return {name: round(found[name], 3) for name in STRATEGIES if name in found}


if __name__ == "__main__":
    main()
