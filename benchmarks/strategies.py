"""Does the decision choose well? Every strategy in every cell, and the regret of ways to choose.

    python benchmarks/strategies.py DATA [--fashion FOLDER] [--cifar FOLDER] [--quick] [--minutes M]
    python benchmarks/strategies.py --table [--rows FILE]

A cell is a data set, a training size, a backbone and a seed, which draws the examples and all else.
In each, what `fit` measures is measured, each strategy is trained by its default recipe to its own
stop or to `CAPS`, and once more with a tenth of the epochs, for the rival that chooses by that. In
cells of the sizes in `variants.VARIED`, what the literature says to try is trained beside them. A
measurement and a training are a line each in `strategies.jsonl`, so that a run can be stopped
anywhere; the cells that tell most for their time come first. `--minutes` begins no training after
that time. Two such commands with other `--sets` may run side by side, each pinned to a core. What
the rows say is worked out in `regret.py`, `signals.py`, `variants.py`, `predicted.py`, `gained.py`
and `backbones.py`.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import backbones
import gained
import numpy as np
import predicted
import regret
import signals
import variants
from cells import Bench, recipe_of
from choices import ways
from fashion import npz
from kept import keep, read
from machine import statement
from trained import runs

from autotl.decide.coefficients import measurer_digest, trainer_digest
from autotl.decide.prediction import possible
from autotl.errors import DiskError, ResourceError
from autotl.records import Measurements, Recipe, Strategy, from_json, to_json

ROWS = Path(__file__).with_suffix(".jsonl")
SETS = ("flowers", "sign-digits", "neu-steel", "cifar10", "trashnet", "fashion-mnist", "brain-mri")
ORDER = (
    ("embedded", 200, 1),
    ("embedded", 200, 2),
    ("embedded", 50, 1),
    ("embedded", 50, 2),
    ("MobileNetV2", 200, 1),
    ("MobileNetV2", 200, 2),
    ("MobileNetV2", 50, 1),
    ("MobileNetV2", 50, 2),
    ("embedded", 1000, 1),
    ("embedded", 1000, 2),
    ("embedded", 5000, 1),
    ("MobileNetV2", 1000, 1),
    ("embedded", 20000, 1),
    ("MobileNetV2", 5000, 1),
)
"""Backbone, training examples at most, and seed: the dear cells have one."""
QUICK = (("embedded", 200, 1), ("embedded", 50, 1))
QUICK_SETS = SETS[:4]
SMALL, SIZES = ("cifar10", "fashion-mnist"), {"embedded": 64, "MobileNetV2": 96}
"""Sets that `embedded` sees at 32 pixels, and the input size of the others."""
CAPS = {"embedded": None, "MobileNetV2": 1200.0}
"""Seconds that end a training, which is then censored."""
GROWN = 1.5
"""A set has a cell of a size where it has so many times the examples of the size before."""
TENTH, TEST = 0.1, 2000
PROBE = "feature-extraction"
FASHION = 30_000
"""Training images of Fashion-MNIST, of which validation takes a fifth."""
CELL = ("data", "backbone", "input_size", "limit", "seed", "code", "fingerprint")


def main() -> None:
    """Run what is missing, then print the tables."""
    options = parser().parse_args()
    print(statement(), flush=True)
    if not options.table:
        if options.data is None:
            parser().error("name DATA, or --table")
        run(options)
    rows = read(options.rows)
    found = runs(rows)
    print(regret.table(rows), signals.table(rows), variants.table(rows), sep="\n\n")
    if len({run.data for run in found}) >= regret.SETS:
        own = ways(found)["autotl"]
        tables = [predicted.table(found), gained.table(found), backbones.table(found, own)]
        print()
        print(*tables, _hours(rows), sep="\n\n")


def _hours(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the whole table took: measuring and training, of the newest trainer."""
    spent = sum(row["seconds"] for row in rows if row["code"] == rows[-1]["code"]) / 3600
    return f"All measurements and trainings took {spent:.1f} hours of one core each."


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("data", type=Path, nargs="?")
    made.add_argument("--fashion", type=Path, help="folder of Fashion-MNIST's IDX files")
    made.add_argument("--cifar", type=Path, help="CIFAR-10 whole, for its cell of 20,000")
    made.add_argument("--quick", action="store_true", help="two cells of four sets")
    made.add_argument("--minutes", type=float, help="begin no training after that time")
    made.add_argument("--backbones", nargs="+", default=list(SIZES), choices=list(SIZES))
    made.add_argument("--sets", nargs="+", choices=SETS)
    made.add_argument("--rows", type=Path, default=ROWS, help="file of rows, to make them anew")
    made.add_argument("--table", action="store_true", help="print what the rows say")
    return made


def run(options: argparse.Namespace) -> None:
    """Add the missing rows."""
    ends = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    with Bench() as bench:
        paths = {name: options.data / name for name in _sets(options)}
        if options.cifar is not None:
            paths["cifar10"] = options.cifar
        if "fashion-mnist" in paths:
            paths["fashion-mnist"] = npz(options.fashion, bench.folder, FASHION)
        for cell in cells(options):
            there = partial(read, options.rows)
            for row in _missing(bench, paths[cell["data"]], cell, there):
                keep(options.rows, row)
                _tell(row)
                if ends is not None and time.monotonic() > ends:
                    return


def _sets(options: argparse.Namespace) -> list[str]:
    wanted = options.sets or (QUICK_SETS if options.quick else SETS)
    if options.fashion is None and "fashion-mnist" in wanted:
        print("fashion-mnist is left out: name its folder with --fashion", flush=True)
    return [name for name in wanted if name != "fashion-mnist" or options.fashion]


def cells(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The cells in the order in which they are run, whether the sets are large enough or not."""
    order = QUICK if options.quick else ORDER
    for (backbone, limit, seed), data in itertools.product(order, _sets(options)):
        if backbone in options.backbones:
            small = backbone == "embedded" and data in SMALL
            cell = {"data": data, "backbone": backbone, "limit": limit, "seed": seed}
            cell["input_size"] = 32 if small else SIZES[backbone]
            yield cell | {"code": trainer_digest()}


def _missing(
    bench: Bench, path: Path, cell: dict[str, Any], known: Callable[[], list[dict[str, Any]]]
) -> Iterator[dict[str, Any]]:
    """The rows of a cell that are not among those `known`, as they are made."""
    cell = cell | {"fingerprint": bench.fingerprint(path)}
    there = [row for row in known() if all(row[key] == cell[key] for key in CELL)]
    done = {(row["strategy"], row["share"], row["variant"]) for row in there if _whole(row)}
    head = next((row for row in there if row["strategy"] is None), None)
    if head and {one[:3] for one in _planned(cell, head)} <= done:
        return
    if not _large_enough(bench, path, cell):
        return
    about = cell | {"machine": statement(), "measurer": measurer_digest()}
    if head is None:
        begun = time.monotonic()
        asked, truth, measured = bench.opened(path, cell, TEST)
        truths = np.load(asked["pixels"].labels, allow_pickle=False)[asked["pixels"].train :]
        trainings = list(_trainings(cell, measured))
        head = {"strategy": None, "share": None, "variant": ""}
        head |= {"planned": sum(not variant for _, _, variant, _ in trainings)}
        head |= {"seconds": time.monotonic() - begun, "measurements": to_json(measured)}
        head |= {"validation_truth": bytes(truths.astype(np.uint8)).hex()}
        yield about | head | {"proxies": bench.proxies(asked)}
    else:  # what was measured then, and no other recipes
        asked, truth = bench.prepared(path, cell, TEST)
        trainings = list(_planned(cell, head))
    most = CAPS[cell["backbone"]]
    for name, share, variant, recipe in trainings:
        which = {"strategy": name, "share": share, "variant": variant, "cap": most}
        if name == PROBE and not variant:
            found, asked = bench.probed(asked, to_json(recipe), truth)
        elif (name, share, variant) not in done:
            found = _trained(bench, asked, recipe, truth, most)
        if (name, share, variant) not in done:
            if variant == variants.EVERY and "failure" not in found:
                found |= bench.together(asked, to_json(recipe), head["measurements"]["tap"])
            yield about | which | found


def _whole(row: Mapping[str, Any]) -> bool:
    """Whether a row has all that is asked of it: the first ones of all stages had no probe."""
    return row["variant"] != variants.EVERY or "reads" in row or "failure" in row


def _planned(
    cell: dict[str, Any], head: Mapping[str, Any]
) -> Iterator[tuple[Strategy, float, str, Recipe]]:
    return _trainings(cell, from_json(Measurements, head["measurements"]))


def _trained(
    bench: Bench, asked: dict[str, Any], recipe: Recipe, truth: Any, most: float | None
) -> dict[str, Any]:
    """What a training gave; its failure where it diverged or memory would not do."""
    try:
        return bench.trained(asked, to_json(recipe), truth, most)
    except DiskError:
        raise
    except ResourceError as error:
        return {"failure": error.message, "seconds": 0.0}


def _trainings(
    cell: dict[str, Any], measured: Measurements
) -> Iterator[tuple[Strategy, float, str, Recipe]]:
    """Strategy, share of the epochs, variant and recipe of each training of a cell."""
    recipes = {name: recipe_of(name, measured) for name in possible(measured)}
    for name, recipe in recipes.items():
        yield name, 1.0, "", recipe
        if recipe.head.solver != "logistic-regression":  # which has no tenth
            fewer = max(1, round(TENTH * recipe.numbers.epochs))
            numbers = replace(recipe.numbers, epochs=fewer)
            yield name, TENTH, "", replace(recipe, numbers=numbers)
    made = variants.variants(recipes, len(measured.stages))
    for variant in variants.planned(recipes, len(measured.stages), cell):
        yield made[variant].strategy, 1.0, variant, made[variant]


def _large_enough(bench: Bench, path: Path, cell: dict[str, Any]) -> bool:
    limits = sorted({limit for backbone, limit, _ in ORDER if backbone == cell["backbone"]})
    smaller = [limit for limit in limits if limit < cell["limit"]]
    return not smaller or bench.examples(path) >= GROWN * smaller[-1]


def _tell(row: dict[str, Any]) -> None:
    about = ", ".join(str(row[key]) for key in CELL[:5])
    what = "measured" if row["strategy"] is None else f"{row['strategy']} x {row['share']}"
    what += f", {row['variant']}" if row["variant"] else ""
    figure = f" {row['accuracy']:.3f}" if "accuracy" in row else ""
    print(f"{about}: {what}{figure} ({row['seconds']:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
