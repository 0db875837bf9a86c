"""How good is the model that `autotl fit` gives within a budget, and where does the time go?

    python benchmarks/main_job.py DATA --backbone MobileNetV2 --budget 5m --seeds 3
    python benchmarks/main_job.py --table

DATA is a folder that holds the data sets as `NAME/{train,test}/CLASS/*`. Each run is one
`autotl fit` in a process of its own with an empty store; it is a line in `main_job.jsonl` beside
this script, with its machine and commit, and one that ended well is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kept import keep, read
from machine import commit, statement

ROWS = Path(__file__).with_suffix(".jsonl")
SETS = ("flowers", "trashnet", "sign-digits", "neu-steel")


def main() -> None:
    options = _options()
    if not options.table:
        print(statement())
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            for name in options.sets:
                _once(options, name, seed)
    print(table(read(ROWS)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--table", action="store_true", help="print the table of finished runs")
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    options = parser.parse_args()
    if options.data is None and not options.table:
        parser.error("name the folder of data sets, or --table")
    return options


def _once(options: argparse.Namespace, name: str, seed: int) -> None:
    cell = {"set": name, "backbone": options.backbone, "budget": options.budget, "seed": seed}
    if any({key: row[key] for key in cell} == cell and not row["exit"] for row in read(ROWS)):
        return
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "autotl", "fit", str(options.data / name)]
        command += ["--out", str(out), "--backbone", options.backbone]
        command += ["--budget", options.budget, "--seed", str(seed), "--quiet"]
        started = time.monotonic()
        store = os.environ | {"AUTOTL_CACHE": str(Path(folder) / "store")}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=store)
        wall = time.monotonic() - started
        row = {**cell, "machine": statement(load=False), "commit": commit()}
        row |= {"wall": wall, "exit": done.returncode}
        if done.returncode == 0:
            row |= _figures(json.loads((out / "report.json").read_text("utf-8")))
            row["record"] = _recorded(out / "journal.jsonl", "measure")
        else:
            row["error"] = done.stderr.strip().splitlines()[-20:]
    keep(ROWS, row)
    told = row["accuracy"]["value"] if done.returncode == 0 else f"exit {done.returncode}"
    print(f"{name} seed {seed}: {told} in {row['wall']:.0f} s", flush=True)


def _recorded(journal: Path, step: str) -> Any:
    lines = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    return next(x["record"] for x in lines if x["kind"] == "step" and x["name"] == step)


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    decision, evaluation = report["decision"], report["evaluation"]
    return {
        "input_size": decision["input_size"],
        "strategy": decision["strategy"],
        "best": report["search"]["best"]["recipe"]["strategy"],
        "trials": report["search"]["trials"],
        "failed": report["search"]["failed"],
        "predicted": decision["predicted"],
        "reasons": decision["reasons"],
        "similarity": report["measurements"]["similarity"],
        "accuracy": evaluation["accuracy"],
        "linear_probe": evaluation["linear_probe"],
        "majority": evaluation["majority"],
        "parity": report["export"]["parity"],
        "seconds": report["seconds"],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row a (backbone, budget, data set); medians of seconds, means of accuracies."""
    lines = [
        "| backbone, budget | set | seeds | accuracy (mean; each) | 95 % of the median seed "
        "| linear probe | majority | similarity | decided | best trial "
        "| measure / search / evaluate / export / total s | same label, largest difference |",
        "|---|---|---:|---|---|---:|---:|---:|---|---|---|---|",
    ]
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    failed = [row for row in rows if row["exit"]]
    for row in rows:
        if row["exit"]:
            continue
        groups.setdefault((row["backbone"], row["budget"], row["set"]), []).append(row)
    about = sorted({f"{row['machine']} Commit {row['commit']}." for row in rows})
    ends = [f"Failed: {row['set']}, seed {row['seed']}, exit {row['exit']}." for row in failed]
    body = [*lines, *(_line(key, group) for key, group in groups.items())]
    return "\n".join([*body, "", *ends, *about])


def _line(key: tuple[str, str, str], group: list[dict[str, Any]]) -> str:
    backbone, budget, name = key
    scores = [row["accuracy"]["value"] for row in group]
    middle = sorted(group, key=lambda row: row["accuracy"]["value"])[len(group) // 2]["accuracy"]
    each = " ".join(f"{score:.3f}"[1:] if score < 1 else "1.000" for score in scores)
    steps = ("measure", "search", "evaluate", "export", "total")
    seconds = " / ".join(f"{_median(group, 'seconds', step):.0f}" for step in steps)
    same = min(row["parity"]["top1_agreement"] for row in group)
    apart = max(row["parity"]["largest_difference"] for row in group)
    return (
        f"| {backbone}, {budget} | {name} | {len(group)} | {statistics.mean(scores):.3f}; {each} "
        f"| {middle['low']:.3f} to {middle['high']:.3f} "
        f"| {_mean(group, 'linear_probe'):.3f} | {_mean(group, 'majority'):.3f} "
        f"| {_median(group, 'similarity', 'value'):.2f} | {_names(group, 'strategy')} "
        f"| {_names(group, 'best')} | {seconds} | {same:.4f}, {apart:.0e} |"
    )


def _mean(group: list[dict[str, Any]], key: str) -> float:
    return statistics.mean(row[key]["value"] for row in group)


def _median(group: list[dict[str, Any]], key: str, inner: str) -> float:
    figures = [row[key][inner] for row in group if row[key].get(inner) is not None]
    return statistics.median(figures) if figures else float("nan")


def _names(group: list[dict[str, Any]], key: str) -> str:
    names = [row[key] for row in group]
    return ", ".join(f"{name} ×{names.count(name)}" for name in sorted(set(names)))


if __name__ == "__main__":
    main()
