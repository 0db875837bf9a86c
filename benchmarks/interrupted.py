"""What does an interruption cost? Runs killed on the way and resumed, against one left alone.

    python benchmarks/interrupted.py DATA [--set flowers] [--trials 3] [--core 0]
    python benchmarks/interrupted.py --table

`autotl fit --strategy full-fine-tune --trials N` with the embedded backbone, left alone; then the
same, killed (SIGKILL to the whole process group) at a quarter, half and three quarters of that
time, and resumed at once. Each run has a store of its own. The trials of both must be the same, in
every figure. A run is a line in `interrupted.jsonl`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kept import keep, read
from machine import statement

ROWS = Path(__file__).with_suffix(".jsonl")
SHARES = (0.25, 0.5, 0.75)
BAR = 1.5


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--set", default="flowers")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--core", type=int)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.data is None and not options.table:
        parser.error("name DATA, or --table")
    print(statement())
    if not options.table:
        _run(options)
    print(table(read(ROWS)))


def _run(options: argparse.Namespace) -> None:
    about = {"set": options.set, "trials": options.trials, "core": options.core}
    known = {row["share"]: row for row in read(ROWS) if all(row[k] == about[k] for k in about)}
    for share in (None, *SHARES):
        if share not in known:
            after = None if share is None else share * known[None]["seconds"]
            known[share] = about | {"share": share} | _one(options, after)
            known[share]["machine"] = statement()
            keep(ROWS, known[share])


def _one(options: argparse.Namespace, after: float | None) -> dict[str, Any]:
    pinned = [] if options.core is None else ["taskset", "-c", str(options.core)]
    autotl = [*pinned, sys.executable, "-m", "autotl"]
    with tempfile.TemporaryDirectory() as name:
        run, store = Path(name) / "run", {"AUTOTL_CACHE": str(Path(name) / "store")}
        command = [*autotl, "fit", str(options.data / options.set), "--out", str(run)]
        command += ["--backbone", "embedded", "--strategy", "full-fine-tune"]
        command += ["--trials", str(options.trials), "--quiet"]
        begun = time.perf_counter()
        _killed(command, store, after)
        if after is not None:
            subprocess.run(
                [*autotl, "resume", str(run), "--quiet"],
                check=True,
                capture_output=True,
                env=os.environ | store,
            )
        seconds = time.perf_counter() - begun
        lines = (run / "journal.jsonl").read_text("utf-8").splitlines()
        return {"seconds": seconds, "killed": after, "figures": _figures(lines)}


def _killed(command: list[str], environment: dict[str, str], after: float | None) -> None:
    with subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after)
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        elif process.returncode or after is not None:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")


def _figures(lines: list[str]) -> list[Any]:
    """Number, epochs and metrics of each trial, in order."""
    found = {}
    for line in lines:
        entry = json.loads(line)
        if entry["kind"] == "trial-finished" and entry["record"]["result"]:
            result = entry["record"]["result"]
            found[entry["number"]] = [result["epochs"], result["metrics"]]
    return [[number, *found[number]] for number in sorted(found)]


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row a run."""
    lines = [
        f"| set, trials | killed after, s | whole time, s | over one left alone (bar {BAR}) "
        "| trials equal |",
        "|---|---:|---:|---:|---|",
    ]
    for row in rows:
        same = [r for r in rows if all(r[k] == row[k] for k in ("set", "trials", "core"))]
        alone = next(one for one in same if one["share"] is None)
        about = f"| {row['set']}, {row['trials']} | "
        if row is alone:
            lines.append(f"{about}– | {row['seconds']:.0f} | | |")
            continue
        equal = "yes" if row["figures"] == alone["figures"] else "no"
        lines.append(
            f"{about}{row['killed']:.0f} | {row['seconds']:.0f} "
            f"| {row['seconds'] / alone['seconds']:.2f} | {equal} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
