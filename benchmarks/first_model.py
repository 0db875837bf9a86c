"""How many minutes from `git clone` to a verified model, on a machine that has Python and git?

    python benchmarks/first_model.py [--data DATA] [--budget 2m]; --table prints the rows again

Clones this repository, makes a virtual environment, installs autotl into it from the package index
(without pip's cache, so that all is fetched), trains by the README's first command, and has
`autotl verify` check the file. Every step is a fresh process and timed; the folder goes away.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import commit, statement

ROWS = Path(__file__).with_suffix(".jsonl")
ROOT = Path(__file__).parents[1]
STEPS = {
    "git clone": "clone",
    "a virtual environment": "environment",
    "pip install": "install",
    "autotl fit": "fit",
    "autotl verify": "verify",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--budget", default="2m")
    parser.add_argument("--table", action="store_true", help="only print the rows")
    options = parser.parse_args()
    if not options.table:
        with tempfile.TemporaryDirectory() as folder:
            row = measured(Path(folder), options.data, options.budget)
        with ROWS.open("a", encoding="utf-8") as file:
            print(json.dumps(row), file=file)
    print(statement())
    print(table([json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]))


def measured(folder: Path, data: str, budget: str) -> dict[str, Any]:
    """Seconds of each step, and what the model came to."""
    python, run = ".venv/bin/python", ["--out", "run"]
    given = data if data == "digits" else str(Path(data).resolve())
    commands = {
        "clone": ["git", "clone", "--quiet", str(ROOT), "autotl"],
        "environment": [sys.executable, "-m", "venv", ".venv"],
        "install": [python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "./autotl"],
        "fit": [".venv/bin/autotl", "fit", given, "--budget", budget, *run],
        "verify": [".venv/bin/autotl", "verify", "run/model.onnx", given],
    }
    seconds = {}
    for name, command in commands.items():
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        seconds[name] = round(time.perf_counter() - began, 1)
    report = json.loads((folder / "run/report.json").read_text("utf-8"))
    installed = sum(f.stat().st_size for f in (folder / ".venv").rglob("*") if f.is_file())
    return {
        "data": Path(data).name,
        "budget": budget,
        "seconds": seconds,
        "installed_mb": round(installed / 1e6),
        "examples": report["data"]["examples"],
        "accuracy": report["evaluation"]["accuracy"],
        "commit": commit(),
        "machine": statement(load=False),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """A row a measurement."""
    heads = ("data", "budget", *STEPS, "in all", "test accuracy", "installed")
    lines = [f"| {' | '.join(heads)} |", "|---|---|" + "---:|" * (len(heads) - 2)]
    for row in rows:
        took = [row["seconds"][step] for step in STEPS.values()]
        figure = row["accuracy"]
        cells = (
            f"{row['data']}, {row['examples']:,} images",
            row["budget"],
            *(f"{seconds:.0f} s" for seconds in took),
            f"{sum(took) / 60:.1f} min",
            f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]",
            f"{row['installed_mb'] / 1000:.1f} GB",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
