"""Transfer's three benefits over training from scratch, by the rows of `strategies.py` (pure).

Torrey and Shavlik (2009): a higher start, a higher slope, a higher asymptote, on validation rows,
as a run's report has them (`autotl.report.benefits`): the transferred training with the highest
curve, against scratch, each by its default recipe. Intervals draw data sets with replacement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from regret import interval_of
from trained import Run

from autotl.records import Strategy
from autotl.report.benefits import Curve, curve

TRANSFERRED: tuple[Strategy, ...] = ("partial-freeze", "full-fine-tune")
"""What is trained over epochs from pretrained weights."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Of one run: the curves of the transferred training and of that from scratch."""

    data: str
    limit: int
    transferred: Curve
    scratch: Curve


def pairs(found: Sequence[Run]) -> list[Pair]:
    """Of the runs that have both, and both to their own stop."""
    made = []
    for run in found:
        curves = {name: run.plain[name]["curve"] for name in run.plain if _whole(run, name)}
        rivals = [curves[name] for name in TRANSFERRED if name in curves]
        if rivals and "scratch" in curves:
            best, scratch = max(rivals, key=max), curves["scratch"]
            ours, theirs = (curve(one, max(scratch)) for one in (best, scratch))
            made.append(Pair(data=run.data, limit=run.limit, transferred=ours, scratch=theirs))
    return made


def _whole(run: Run, name: Strategy) -> bool:
    row = run.plain[name]
    return row["stopped"] != "deadline" and len(row["curve"]) > 1


def table(found: Sequence[Run]) -> str:
    """Markdown: a row a size; points of validation accuracy."""
    sizes: dict[int, list[Pair]] = {}
    for pair in pairs(found):
        sizes.setdefault(pair.limit, []).append(pair)
    if not sizes:
        return "No cell has a transferred training and one from scratch yet."
    lines = [
        "| examples (runs) | higher start, 95 % | faster rise, points an epoch, 95 % "
        "| higher end, 95 % | as good as the best of scratch | after epochs, median: transferred, "
        "scratch |",
        "|---|---|---|---|---:|---|",
    ]
    return "\n".join([*lines, *(_row(limit, some) for limit, some in sorted(sizes.items()))])


def _row(limit: int, some: Sequence[Pair]) -> str:
    figures = [_apart(some, name) for name in ("start", "slope", "asymptote")]
    level = [pair for pair in some if pair.transferred.reached is not None]
    epochs = "–"
    if level:
        sides: Mapping[str, list[int | None]] = {
            "transferred": [pair.transferred.reached for pair in level],
            "scratch": [pair.scratch.reached for pair in level],
        }
        epochs = ", ".join(f"{np.median([e or 0 for e in side]):.0f}" for side in sides.values())
    share = f"{len(level) / len(some):.0%}"
    return f"| {limit:,} ({len(some)}) | {' | '.join(figures)} | {share} | {epochs} |"


def _apart(some: Sequence[Pair], name: str) -> str:
    gains = [
        (one.data, 100 * (getattr(one.transferred, name) - getattr(one.scratch, name)))
        for one in some
    ]
    low, high = interval_of(gains)
    return f"{np.mean([gain for _, gain in gains]):+.1f} ({low:+.1f} to {high:+.1f})"
