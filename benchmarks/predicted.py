"""Do the decision's predictions hold for a data set that they were not fitted on? (pure)

Of the cells of `strategies.py`: test accuracy and seconds as `decide` predicts them, by
coefficients fitted without the cell's data set, against what the training gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from choices import decision_of, left_out_coefficients
from fitting import whole
from trained import Run
from variants import SHIFTED

from autotl.records import STRATEGIES, Strategy


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of one training: whether its test accuracy lay in the predicted interval, the difference in
    points, and its seconds over those predicted (None where other machines took part).
    """

    strategy: Strategy
    inside: bool
    error: float
    times: float | None


def outcomes(found: Sequence[Run]) -> list[Outcome]:
    """Of all trainings that had at least half of their epochs, without the shifted set."""
    judged = [run for run in found if run.data != SHIFTED]
    known = left_out_coefficients(judged)
    made = []
    for run in judged:
        predicted = decision_of(known[run.data], run).predicted
        for name, row in run.whole.items():
            if not whole(row):
                continue
            one, reached = predicted[name], run.accuracy(name)
            timed = len(run.processors) == 1 and row["stopped"] != "deadline"
            made.append(
                Outcome(
                    strategy=name,
                    inside=one.low <= reached <= one.high,
                    error=100 * (one.accuracy - reached),
                    times=row["seconds"] / (60 * one.minutes) if timed else None,
                )
            )
    return made


def table(found: Sequence[Run]) -> str:
    """Markdown: a row a strategy."""
    lines = [
        "| strategy (trainings) | within the 95 % interval | predicted too high, points, mean "
        "| off by, points, mean | seconds over those predicted: 10th, 50th, 90th percentile |",
        "|---|---:|---:|---:|---|",
    ]
    every = outcomes(found)
    for name in STRATEGIES:
        some = [one for one in every if one.strategy == name]
        if not some:
            continue
        errors = np.array([one.error for one in some])
        times = [one.times for one in some if one.times is not None]
        spread = "–"
        if times:
            spread = ", ".join(f"{value:.2f}" for value in np.percentile(times, [10, 50, 90]))
        lines.append(
            f"| {name} ({len(some)}) | {np.mean([one.inside for one in some]):.0%} "
            f"| {errors.mean():+.1f} | {np.abs(errors).mean():.1f} | {spread} |"
        )
    return "\n".join(lines)
