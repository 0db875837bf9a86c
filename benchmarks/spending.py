"""Where does a budget help, if not in searching? One training against what three would buy.

    python benchmarks/spending.py DATA [--backbone embedded] [--sets flowers trashnet]
    python benchmarks/spending.py --table

The default recipe of full fine-tuning, with three seeds (`one`); the mean of the weights of these
three (`soup`: Wortsman 2022, arXiv 2203.05482, whose members share their start, as ours do: the
transferred weights and the probe's head); the default recipe at three times its epochs (`long`);
and at a larger input (`large`), which costs about as much. 1,000 training images; test accuracy on
the whole test split, with an interval that knows the test rows, not the noise of training.
A finished part is a line in `spending.jsonl`.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cells import SEED, Bench, recipe_of
from kept import keep, read
from machine import statement
from numpy.typing import NDArray

from autotl.records import TrialResult, from_json, to_json

ROWS = Path(__file__).with_suffix(".jsonl")
KEY = ("set", "backbone", "limit", "size", "way", "seed")
LONGER = 3
EVERYTHING = 10**9
COUNT = {"one": 3, "long": 1, "large": 2}
"""Trainings of each way."""


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--backbone", default="embedded")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--large", type=int, default=96)
    parser.add_argument("--limit", type=int, default=1000, help="training images")
    parser.add_argument("--sets", nargs="+", default=["flowers", "trashnet"])
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.data is None and not options.table:
        parser.error("name DATA, or --table")
    print(statement())
    for name in [] if options.table else options.sets:
        for size, ways in ((options.size, ("one", "long")), (options.large, ("large",))):
            cell = {"set": name, "backbone": options.backbone, "limit": options.limit}
            cell["size"] = size
            for row in _made(options.data / name, cell, ways):
                keep(ROWS, row | {"machine": statement()})
    print(table(read(ROWS)))


def _made(data: Path, cell: dict[str, Any], ways: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    trained = [cell | {"way": way, "seed": seed} for way in ways for seed in range(COUNT[way])]
    wanted = trained + ([cell | {"way": "soup", "seed": 0}] if "one" in ways else [])
    done = [{key: row[key] for key in KEY} for row in read(ROWS)]
    if all(one in done for one in wanted):
        return
    with Bench() as bench:
        about = {"backbone": cell["backbone"], "input_size": cell["size"]} | {
            "limit": cell["limit"]
        }
        asked, truth = bench._asked(data, about, None, EVERYTHING)
        measured = bench._measured(data, asked)
        recipe = recipe_of("full-fine-tune", measured)
        probe = _trained(bench, asked, recipe_of("feature-extraction", measured), "probe", 1)[1]
        files = []
        for one in trained:
            numbers = recipe.numbers
            if one["way"] == "long":
                numbers = replace(numbers, epochs=LONGER * numbers.epochs)
            name = f"{one['way']}-{one['seed']}"
            given = asked | {"probe": str(probe)}
            found, file = _trained(
                bench, given, replace(recipe, numbers=numbers), name, one["seed"]
            )
            files += [file] if one["way"] == "one" else []
            if one not in done:
                yield one | found | _judged(bench, asked, recipe, file, truth)
        if files:
            mean = _mean(files, bench.folder / "soup.npz")
            yield wanted[-1] | {"seconds": None} | _judged(bench, asked, recipe, mean, truth)


def _trained(
    bench: Bench, asked: dict[str, Any], recipe: Any, name: str, seed: int
) -> tuple[dict[str, Any], Path]:
    spec = asked | {"recipe": to_json(recipe), "seed": SEED + seed, "view_seed": SEED}
    spec |= {key: to_json(asked[key]) for key in ("located", "pixels")}
    spec |= {"out": str(bench.folder / name)}
    begun = time.perf_counter()
    result = from_json(TrialResult, bench.worker.call("autotl.train.trial:run", spec))
    seconds = time.perf_counter() - begun
    found = {"seconds": seconds, "epochs": result.epochs, "stopped": result.stopped}
    return found | {"validation": result.metrics}, bench.folder / result.weights.path


def _judged(
    bench: Bench, asked: dict[str, Any], recipe: Any, file: Path, truth: NDArray[np.int64]
) -> dict[str, Any]:
    spec = asked | {"recipe": to_json(recipe), "weights": str(file)}
    spec |= {key: to_json(asked[key]) for key in ("located", "pixels")}
    right = np.array(bench.worker.call("cells:predict", spec)) == truth
    packed = np.packbits(right).tobytes().hex()
    return {"accuracy": float(right.mean()), "test": len(truth), "right": packed}


def _mean(files: list[Path], out: Path) -> Path:
    """The mean of several trainings' weights as a file."""
    arrays = [dict(np.load(file, allow_pickle=False)) for file in files]
    with out.open("wb") as stream:
        mean = {name: np.mean([one[name] for one in arrays], axis=0) for name in arrays[0]}
        np.savez(stream, allow_pickle=False, **{k: v.astype(np.float32) for k, v in mean.items()})
    return out


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row a set and a way, against the mean of single trainings."""
    lines = [
        "| set, backbone | way | test accuracy, mean (each) "
        "| points over one training, 95 % of the test rows alone "
        "| seconds of a training |",
        "|---|---|---|---|---:|",
    ]
    for about in dict.fromkeys((row["set"], row["backbone"]) for row in rows):
        own = [row for row in rows if (row["set"], row["backbone"]) == about]
        single = [_right(row) for row in own if row["way"] == "one"]
        for way in ("one", "soup", "long", "large"):
            some = [row for row in own if row["way"] == way]
            if some and single:
                lines.append(_line(about, way, some, np.mean(single, axis=0)))
    return "\n".join(lines)


def _line(
    about: tuple[str, str], way: str, rows: list[dict[str, Any]], single: NDArray[Any]
) -> str:
    each = " ".join(f"{row['accuracy']:.3f}".lstrip("0") for row in rows)
    mean = statistics.mean(row["accuracy"] for row in rows)
    apart = np.mean([_right(row) for row in rows], axis=0) - single
    half = 1.96 * float(apart.std()) / math.sqrt(len(apart))
    value = float(apart.mean())
    over = f"{100 * value:+.1f} ({100 * (value - half):+.1f} to {100 * (value + half):+.1f})"
    seconds = [row["seconds"] for row in rows if row["seconds"] is not None]
    spent = f"{statistics.mean(seconds):.0f}" if seconds else "the three above"
    name = f"{way}, {rows[0]['size']} pixels"
    told = "" if way == "one" else over
    return f"| {', '.join(about)} | {name} | {mean:.3f} ({each}) | {told} | {spent} |"


def _right(row: dict[str, Any]) -> NDArray[np.float64]:
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(row["right"]), np.uint8))
    return bits[: row["test"]].astype(float)


if __name__ == "__main__":
    main()
