"""Does the code that measures still give what the decision's coefficients were fitted to?

    python benchmarks/remeasured.py DATA
    python benchmarks/remeasured.py --table

Measures cells of `strategies.jsonl` with 200 examples and the first seed again, and compares what
predictions are made from, the tap and the boundary. Where no figure is off by more than a hundredth
of its deviation over the table, and tap and boundary are the same, `coefficients.json` says that it
holds for this code too. Otherwise the rows are to be made anew (`strategies.py`). A finished cell
is a line in `remeasured.jsonl`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cells import Bench
from coefficients import OUT
from coefficients import ROWS as MADE
from kept import keep, read
from machine import statement

from autotl.decide.coefficients import Coefficients, Scale, measurer_digest
from autotl.decide.features import FEATURES, features
from autotl.records import Measurements, from_json, to_json

ROWS = Path(__file__).with_suffix(".jsonl")
KEY = ("data", "backbone", "input_size", "limit", "seed")
EXAMPLES, SEED = 200, 1
OFF = 0.01
"""Deviations over the table that a figure may be off."""
STAGES = ("tap", "boundary")


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
        if not found or not all(same(row, known.features) for row in found):
            raise SystemExit("The coefficients do not hold for this code: make the rows anew.")
        known = replace(known, measurer=measurer_digest())
        OUT.write_text(json.dumps(to_json(known), indent=1) + "\n", encoding="utf-8")


def run(data: Path) -> None:
    """Add the missing cells of the sets that are there."""
    with Bench() as bench:
        for head in heads(read(MADE)):
            here = {key: head[key] for key in KEY} | {"measurer": measurer_digest()}
            path = data / head["data"]
            if any({key: row[key] for key in here} == here for row in read(ROWS)):
                continue
            if not path.is_dir() or bench.fingerprint(path) != head["fingerprint"]:
                print(f"{head['data']} is not as it was, or not there: left out", flush=True)
                continue
            now = bench.measured(path, {key: head[key] for key in KEY})[1]
            then = from_json(Measurements, head["measurements"])
            keep(ROWS, here | {"then": figures(then), "now": figures(now)})
            print(f"{head['data']}, {head['backbone']}", flush=True)


def heads(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows that tell of the measurements of the cells to repeat."""
    for row in rows:
        if (row["limit"], row["seed"], row["strategy"]) == (EXAMPLES, SEED, None):
            yield row


def figures(measured: Measurements) -> dict[str, float | None]:
    """What predictions are made from, and where the network is tapped and cut."""
    named = dict(zip(FEATURES, features(measured), strict=True))
    return named | {name: getattr(measured, name) for name in STAGES}


def off(row: dict[str, Any], scales: Sequence[Scale]) -> dict[str, float]:
    """By how many deviations over the table each figure is off; infinite where one is null."""
    width = {scale.name: scale.deviation for scale in scales} | dict.fromkeys(STAGES, 1.0)
    found = {}
    for name, then in row["then"].items():
        now = row["now"][name]
        null = then is None or now is None
        found[name] = (0.0 if then is now else float("inf")) if null else abs(now - then)
        found[name] /= width[name]
    return found


def same(row: dict[str, Any], scales: Sequence[Scale]) -> bool:
    """Whether no figure of a cell is off."""
    return max(off(row, scales).values()) <= OFF


def table(found: Sequence[dict[str, Any]], scales: Sequence[Scale]) -> str:
    """Markdown: the cells measured again, and the largest that each figure is off."""
    if not found:
        return "No cell was measured again by this code."
    every = [off(row, scales) for row in found]
    lines = [
        f"{len(found)} cells measured again, {sum(same(row, scales) for row in found)} the same.",
        "",
        "| figure | largest difference, in deviations over the table |",
        "|---|---:|",
    ]
    lines += [f"| {name} | {max(one[name] for one in every):.1g} |" for name in every[0]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
