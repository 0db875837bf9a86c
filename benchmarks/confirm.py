"""Does a changed trainer still give what the decision's coefficients were fitted to?

    python benchmarks/confirm.py DATA
    python benchmarks/confirm.py --table

Trains cells of `strategies.jsonl` with 200 examples and the first seed again, by the same recipes,
with the trainer of now, and compares test accuracies on the same test rows. The rows may be of
several trainers that count as one (`kept.py`). Those that a cap could have ended may differ though
nothing changed: with a cap the learning rate goes by the clock too, and here is none. Where the
mean difference is within half a point and its 95 % interval within a point, the coefficients are
said to hold for this trainer too (as far as 200 examples tell), and `coefficients.json` says by how
much they may be off. Otherwise the rows are to be made anew (`strategies.py`). A finished cell is a
line in `confirm.jsonl`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cells import Bench
from coefficients import OUT, write
from coefficients import ROWS as MADE
from kept import keep, last, read
from machine import statement
from trained import right

from autotl.decide.coefficients import Coefficients, Confirmation, trainer_digest
from autotl.records import STRATEGIES, from_json

ROWS = Path(__file__).with_suffix(".jsonl")
SETS = ("flowers", "sign-digits", "neu-steel", "trashnet")
KEY = ("data", "backbone", "input_size", "limit", "seed")
EXAMPLES, SEED, TEST = 200, 1, 2000
CELLS = 4
"""The least that tells."""
MEAN, INTERVAL = 0.005, 0.01
"""Largest mean difference, and largest end of its interval."""
SLOW = {"MobileNetV2": ("scratch",)}
"""What takes longer than all else, and is left out."""
PROBE = "feature-extraction"


def main() -> None:
    """Run what is missing, print the comparison, and write down what holds."""
    chosen = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    chosen.add_argument("data", type=Path, nargs="?")
    chosen.add_argument("--backbones", nargs="+", help="only these")
    chosen.add_argument("--table", action="store_true", help="print what is finished")
    options = chosen.parse_args()
    if options.data is None and not options.table:
        chosen.error("name the folder of data sets, or --table")
    print(statement())
    if not options.table:
        run(options.data, options.backbones)
    found = [row for row in read(ROWS, renamed=False) if row["code"] == trainer_digest()]
    print(table(found))
    if options.data is not None:
        write(_confirmed(found))


def cells(rows: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The cells to repeat, and what each strategy gave in them, by the trainer of their rows."""
    newest = [row for row in rows if last(row["code"]) == last(rows[-1]["code"])]
    wanted = [row for row in newest if (row["limit"], row["seed"]) == (EXAMPLES, SEED)]
    for head in wanted:
        if head["strategy"] is None and head["data"] in SETS:
            cell = {key: head[key] for key in (*KEY, "code")}
            slow = SLOW.get(head["backbone"], ())
            yield (
                cell,
                {
                    row["strategy"]: row
                    for row in wanted
                    if all(row[key] == cell[key] for key in cell)
                    and (row["share"], row["variant"]) == (1.0, "")
                    and row["strategy"] not in slow
                    and "failure" not in row
                },
            )


def run(data: Path, backbones: list[str] | None) -> None:
    """Add the missing cells to the rows."""
    with Bench() as bench:
        for cell, then in cells(read(MADE, renamed=False)):
            if backbones and cell["backbone"] not in backbones:
                continue
            here = cell | {"code": trainer_digest()}
            if any({key: one[key] for key in here} == here for one in read(ROWS, renamed=False)):
                continue
            begun = time.monotonic()
            asked, truth = bench.prepared(data / cell["data"], cell, TEST)
            found = {}
            if PROBE in then:  # whose head the others start from
                now, asked = bench.probed(asked, then[PROBE]["recipe"], truth)
                found[PROBE] = {"then": then[PROBE], "now": now}
            for name in then.keys() - {PROBE}:
                now = bench.trained(asked, then[name]["recipe"], truth, None)
                found[name] = {"then": then[name], "now": now}
            line = here | {"rows": cell["code"], "machine": statement(), "strategies": found}
            keep(ROWS, line)
            print(f"{cell['data']}, {cell['backbone']}: {time.monotonic() - begun:.0f} s")


def difference(pair: dict[str, Any]) -> tuple[float, float]:
    """Test accuracy now less that of then, and its standard error, paired by test rows."""
    now, then = right(pair["now"]), right(pair["then"])
    apart = now - then
    return float(apart.mean()), float(apart.std() / math.sqrt(len(apart)))


def outcome(found: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Mean difference over cells, its standard error, and the largest difference of a training."""
    apart = [[difference(pair)[0] for pair in row["strategies"].values()] for row in found]
    means = [statistics.mean(cell) for cell in apart]
    error = statistics.stdev(means) / math.sqrt(len(means)) if len(means) > 1 else math.inf
    return statistics.mean(means), error, max(itertools.chain(*apart), key=abs)


def table(found: list[dict[str, Any]]) -> str:
    """Markdown: a row a cell, in points of test accuracy."""
    lines = ["| set, backbone | " + " | ".join(STRATEGIES) + " |", "|---|" + "---:|" * 4]
    for row in found:
        shown = []
        for name in STRATEGIES:
            pair = row["strategies"].get(name)
            told = difference(pair) if pair else None
            shown.append(f"{100 * told[0]:+.1f} ± {100 * told[1]:.1f}" if told else "")
        lines.append(f"| {row['data']}, {row['backbone']} | " + " | ".join(shown) + " |")
    if found:
        mean, error, largest = outcome(found)
        lines.append(
            f"\nNow less then, in points: {100 * mean:+.2f} in the mean (standard error "
            f"{100 * error:.2f}), at most {100 * largest:+.1f} in one training."
        )
    return "\n".join(lines)


def _confirmed(found: list[dict[str, Any]]) -> Coefficients:
    """The coefficients with the trainer of now, where they hold for it."""
    if len(found) < CELLS:
        raise SystemExit(f"{len(found)} cells are too few to tell whether they hold: {CELLS}.")
    mean, error, largest = outcome(found)
    ends = mean - 1.96 * error, mean + 1.96 * error
    if abs(mean) > MEAN or max(map(abs, ends)) > INTERVAL:
        raise SystemExit("The coefficients do not hold for this trainer: make the rows anew.")
    known = from_json(Coefficients, json.loads(OUT.read_text("utf-8")))
    if last(found[0]["rows"]) == trainer_digest():  # the rows count as this trainer's own
        return replace(known, code=trainer_digest(), confirmation=None)
    confirmation = Confirmation(
        rows=found[0]["rows"],
        trainings=sum(len(row["strategies"]) for row in found),
        mean=mean,
        error=error,
        largest=largest,
    )
    return replace(known, code=trainer_digest(), confirmation=confirmation)


if __name__ == "__main__":
    main()
