"""Does the code that measures still give what the decision's coefficients were fitted to?

    python benchmarks/remeasured.py DATA
    python benchmarks/remeasured.py --table

Measures cells of `strategies.jsonl` with 200 examples and the first seed again, and compares what
predictions are made from: the features, the probe of all stages, the tap and the boundary, and as
far as a noisy clock allows the speeds. Where no figure is off by more than is allowed,
`coefficients.json` says that it holds for this code too. Otherwise the rows are to be made anew
(`strategies.py`). A set that is not as it was when its rows were made is left out. A finished cell
is a line in `remeasured.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cells import Bench
from coefficients import OUT, write
from coefficients import ROWS as MADE
from kept import keep, read
from machine import statement
from variants import EVERY

from autotl.decide.coefficients import Coefficients, Scale, measurer_digest
from autotl.decide.features import FEATURES, features
from autotl.records import Measurements, from_json

ROWS = Path(__file__).with_suffix(".jsonl")
KEY = ("data", "backbone", "input_size", "limit", "seed")
EXAMPLES, SEED = 200, 1
CELLS = 8
"""The least that tells, of every backbone that the coefficients know."""
OFF = 0.01
"""Deviations over the table that a feature may be off."""
ALLOWED = {
    "tap": 0.0,
    "boundary": 0.0,
    "probe of all stages": 0.001,
    "stages read": 0.0,
    "share of a step above the boundary": 0.15,
    "log of a step over a pass": math.log(2),
    "log of seconds of a pass": math.log(4),
}
"""What the others may be off: seconds are of a shared machine."""


def main() -> None:
    """Measure what is missing, print the comparison, and write down what holds."""
    chosen = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    chosen.add_argument("data", type=Path, nargs="?")
    chosen.add_argument("--table", action="store_true", help="print what is finished")
    options = chosen.parse_args()
    if options.data is None and not options.table:
        chosen.error("name the folder of data sets, or --table")
    print(statement())
    if not options.table:
        run(options.data)
    known = from_json(Coefficients, json.loads(OUT.read_text("utf-8")))
    found = [row for row in read(ROWS) if row["measurer"] == measurer_digest()]
    print(table(found, known.features))
    if options.data is not None:
        if len(found) < CELLS or {row["backbone"] for row in found} != set(known.backbones):
            raise SystemExit(f"{len(found)} cells are too few to tell: {CELLS}, of every backbone.")
        if not all(same(row, known.features) for row in found):
            raise SystemExit("The coefficients do not hold for this code: make the rows anew.")
        write(replace(known, measurer=measurer_digest()))


def run(data: Path) -> None:
    """Add the missing cells of the sets that are there."""
    with Bench() as bench:
        rows = read(MADE)
        for head in heads(rows):
            here = {key: head[key] for key in KEY} | {"measurer": measurer_digest()}
            path = data / head["data"]
            if any({key: row[key] for key in here} == here for row in read(ROWS)):
                continue
            if not path.is_dir() or bench.fingerprint(path) != head["fingerprint"]:
                print(f"{head['data']} is not as it was, or not there: left out", flush=True)
                continue
            now = bench.measured(path, {key: head[key] for key in KEY})[1]
            keep(ROWS, here | {"then": figures(before(head, rows)), "now": figures(now)})
            print(f"{head['data']}, {head['backbone']}", flush=True)


def heads(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows that tell of the measurements of the cells to repeat."""
    for row in rows:
        if (row["limit"], row["seed"], row["strategy"]) == (EXAMPLES, SEED, None):
            yield row


def before(head: dict[str, Any], rows: Sequence[dict[str, Any]]) -> Measurements:
    """What was measured then; of all stages together their own row tells."""
    cell = {key: head[key] for key in KEY}
    of = (row for row in rows if row["variant"] == EVERY and {k: row[k] for k in KEY} == cell)
    every = next(row for row in of if "reads" in row)
    measured = from_json(Measurements, head["measurements"])
    return replace(measured, together=every["together"], reads=tuple(every["reads"]))


def figures(measured: Measurements) -> dict[str, float | None]:
    """What predictions are made from, where the network is tapped and cut, and the speeds."""
    speed, boundary = measured.speed, measured.boundary
    named = dict(zip(FEATURES, features(measured), strict=True))
    others = (
        measured.tap,
        boundary,
        measured.together,
        len(measured.reads),
        speed.share_above[boundary],
        math.log(speed.train / speed.forward),
        math.log(speed.forward),
    )
    return named | dict(zip(ALLOWED, others, strict=True))


def allowed(scales: Sequence[Scale]) -> dict[str, float]:
    """By how much each figure may be off."""
    return {scale.name: OFF * scale.deviation for scale in scales} | ALLOWED


def off(row: dict[str, Any]) -> dict[str, float]:
    """By how much each figure of a cell is off; infinite where it is null on one side alone."""
    found = {}
    for name, then in row["then"].items():
        now = row["now"][name]
        null = then is None or now is None
        found[name] = (0.0 if then is now else math.inf) if null else abs(now - then)
    return found


def same(row: dict[str, Any], scales: Sequence[Scale]) -> bool:
    """Whether no figure of a cell is off by more than is allowed."""
    most = allowed(scales)
    return all(value <= most[name] for name, value in off(row).items())


def table(found: Sequence[dict[str, Any]], scales: Sequence[Scale]) -> str:
    """Markdown: the cells measured again, and the largest that each figure is off."""
    if not found:
        return "No cell was measured again by this code."
    most, every = allowed(scales), [off(row) for row in found]
    lines = [
        f"{len(found)} cells measured again, {sum(same(row, scales) for row in found)} the same.",
        "",
        "| figure | largest difference | allowed |",
        "|---|---:|---:|",
    ]
    for name, value in most.items():
        lines.append(f"| {name} | {max(one[name] for one in every):.2g} | {value:.2g} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
