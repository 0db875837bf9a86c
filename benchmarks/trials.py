"""What does a trial cost once its shape is compiled, and does memory grow with trials?

    python benchmarks/trials.py DATA [--trials 100]

On flowers with MobileNetV2 at 96 pixels: trials of one step through the journal (fsync included)
and in a real worker; heads alone on 1,000 training and 250 validation examples, stages on 32 and
10; the first of each shape apart, for it compiles. Then the worker's private memory after each of
so many trials of changing numbers and shapes.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from cells import Bench, recipe_of
from machine import statement

from autotl.records import Budget, Head, Measurements, Numbers, Recipe, Trial
from autotl.run import open_run
from autotl.search.trainers import Local
from autotl.search.trials import Before, Planned, Setting, attempt

HEADS, STAGES = 1000, 32
"""Training examples of heads alone, and of stages."""
WARM = 10
"""Trials of a shape that are timed after its first."""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--trials", type=int, default=100)
    options = parser.parse_args()
    print(statement())
    path = options.data / "flowers"
    with Bench() as bench, tempfile.TemporaryDirectory() as name:
        lines = ["| one-step trial of | first, s | median of later, ms |", "|---|---:|---:|"]
        for limit in (HEADS, STAGES):
            cell = {"backbone": "MobileNetV2", "input_size": 96, "limit": limit}
            asked, measured = bench.measured(path, cell)
            with open_run(Path(name) / f"run-{limit}", {}, name="bench", plugins={}) as run:
                setting = _setting(bench, asked, measured, run)
                numbers = itertools.count()
                probe = _run(setting, next(numbers), recipe_of("feature-extraction", measured))
                kinds = recipes(measured)[:2] if limit == HEADS else recipes(measured)[2:]
                for kind, recipe in kinds:
                    lines.append(_seconds(setting, kind, recipe, numbers, probe))
                if limit == STAGES:
                    print("\n".join(lines))
                    print(_memory(setting, measured, numbers, options.trials))


def _setting(bench: Bench, asked: dict[str, Any], measured: Measurements, run: Any) -> Setting:
    decision: Any = None
    return Setting(
        decision=decision,
        measurements=measured,
        pixels=asked["pixels"],
        located=asked["located"],
        budget=Budget(seconds=None, trials=1),
        seconds_left=lambda: None,
        metric="accuracy",
        seed=1,
        worker=bench.worker,
        trainer=Local(worker=bench.worker),
        ledger=run.ledger(),
        run_folder=run.folder,
        folder=Path(asked["folder"]),
        progress=None,
        tensorboard=False,
        test_rows=None,
        clock=time.monotonic,
    )


def _run(setting: Setting, number: int, recipe: Recipe, probe: Trial | None = None) -> Trial:
    planned = Planned(
        number=number, origin="proposal", recipe=recipe, values={}, allowance=float("inf")
    )
    (trial,) = attempt(setting, [(planned, Before(probe=probe))])
    if trial.failure:
        raise SystemExit(trial.failure)
    return trial


def recipes(measured: Measurements) -> list[tuple[str, Recipe]]:
    """With names: two heads alone, partial freeze and full fine-tune, one step each."""
    step = Numbers(epochs=1, batch=measured.size.train)
    head = recipe_of("feature-extraction", measured)
    return [
        ("head", replace(head, head=Head(), numbers=step)),
        ("hidden head", replace(head, head=Head(hidden=256), numbers=step)),
        ("partial-freeze", replace(recipe_of("partial-freeze", measured), numbers=step)),
        ("full-fine-tune", replace(recipe_of("full-fine-tune", measured), numbers=step)),
    ]


def _seconds(setting: Setting, name: str, recipe: Recipe, numbers: Any, probe: Trial) -> str:
    spent = []
    for i in range(WARM + 1):
        changed = replace(recipe.numbers, learning_rate=1e-4 * (i + 1))
        begun = time.perf_counter()
        _run(setting, next(numbers), replace(recipe, numbers=changed), probe)
        spent.append(time.perf_counter() - begun)
    return f"| {name} | {spent[0]:.1f} | {1000 * statistics.median(spent[1:]):.0f} |"


def _memory(setting: Setting, measured: Measurements, numbers: Any, count: int) -> str:
    import psutil

    kinds = [recipe for _, recipe in recipes(measured)]
    used: list[float] = []
    for i in range(count):
        recipe = kinds[i % len(kinds)]
        changed = replace(recipe.numbers, learning_rate=1e-4 * (1 + i % 7), batch=64)
        _run(setting, next(numbers), replace(recipe, numbers=changed))
        worker: Any = setting.worker
        info = psutil.Process(worker.pid).memory_info()
        used.append((info.rss - info.shared) / 1e6)
    shown = [i for i in (0, 4, 9, 19, 39, 59, 79, 99) if i < count]
    lines = [
        "| after trial | " + " | ".join(str(i + 1) for i in shown) + " |",
        "|---|" + "---:|" * len(shown),
        "| MB in the worker | " + " | ".join(f"{used[i]:,.0f}" for i in shown) + " |",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
