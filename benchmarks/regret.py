"""What the rows of `strategies.py` say: the regret of each way to choose a strategy (pure).

Regret is what a choice loses, in points of test accuracy, to the best strategy of the same cell.
With two seeds it is worked out twice. `raw` takes the best strategy by the very figures that it is
judged by, so noise alone gives some regret; `fair` names the best and chooses on one seed, and
judges both on the other. Noise is the deviation between seeds, pooled over data sets and
strategies at each size; a raw regret within it is a tie. A training that the cap ended counts as
worse by no more than what the cap does not explain (`explained`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from choices import Run, Way, runs, ways

from autotl.records import STRATEGIES, Strategy

LEAST = 200
"""Examples from which on the bars hold."""
BARS = {"mean": 0.5, "90 %": 2.0, "worst": 3.0, "cost": 0.3}
RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Score:
    """How a way to choose did in one cell: regrets in points, share of exact picks and of ties,
    and cost over that of training everything.
    """

    data: str
    limit: int
    raw: float
    fair: float
    exact: float
    tied: float
    cost: float


# ---- scores ----


def noise(found: Sequence[Run]) -> dict[int, float]:
    """Deviation of test accuracy between seeds by size, in points."""
    squares: dict[int, list[float]] = {}
    for group in _cells(found).values():
        for name in set.intersection(*(set(run.whole) for run in group)):
            if len(group) > 1:
                values = [100 * run.accuracy(name) for run in group]
                squares.setdefault(group[0].limit, []).append(float(np.var(values, ddof=1)))
    return {limit: math.sqrt(float(np.mean(values))) for limit, values in squares.items()}


def _cells(found: Sequence[Run]) -> dict[tuple[str, str, int], list[Run]]:
    cells: dict[tuple[str, str, int], list[Run]] = {}
    for run in found:
        cells.setdefault(run.cell, []).append(run)
    return cells


def explained(found: Sequence[Run]) -> dict[Strategy, float]:
    """Accuracy that each strategy gains from ten times the epochs, in the mean over cells where a
    tenth and the whole of a training are there and no cap ended it; 0 where there is none.
    """
    gains: dict[Strategy, list[float]] = {name: [] for name in STRATEGIES}
    for run in found:
        for name in run.tenth.keys() & run.whole.keys():
            if not run.censored(name):
                gains[name].append(run.accuracy(name) - float(run.tenth[name]["accuracy"]))
    return {name: max(float(np.mean(some)), 0.0) if some else 0.0 for name, some in gains.items()}


def lost(run: Run, best: Strategy, taken: Strategy, gains: Mapping[Strategy, float]) -> float:
    """Points that `taken` lost to `best`, without what a cap on its training explains: the gain
    from ten times the epochs, for each factor of ten that it had too few.
    """
    apart = run.accuracy(best) - run.accuracy(taken)
    if apart > 0 and run.censored(taken):
        row = run.whole[taken]
        had = max(int(row["epochs"]), 1) / int(row["recipe"]["numbers"]["epochs"])
        apart = max(apart - gains[taken] * math.log10(1 / min(had, 1.0)), 0.0)
    return 100 * apart


def scores(found: Sequence[Run], way: Way) -> list[Score]:
    """Of one way to choose, a score a cell."""
    ties, gains = noise(found), explained(found)
    cells = _cells(found).values()
    return [_score(group, way, ties.get(group[0].limit, 0.0), gains) for group in cells]


def _score(group: Sequence[Run], way: Way, tie: float, gains: Mapping[Strategy, float]) -> Score:
    chosen = {run.seed: way(run) for run in group}
    raw = [lost(run, run.best(), chosen[run.seed].strategy, gains) for run in group]
    pairs = list(itertools.permutations(group, 2)) or [(group[0], group[0])]
    fair = [lost(there, here.best(), chosen[here.seed].strategy, gains) for here, there in pairs]
    costs = [chosen[run.seed].seconds / run.seconds(run.whole) for run in group]
    return Score(
        data=group[0].data,
        limit=group[0].limit,
        raw=float(np.mean(raw)),
        fair=float(np.mean(fair)),
        exact=float(np.mean([chosen[r.seed].strategy == r.best() for r in group])),
        tied=float(np.mean([value <= tie for value in raw])),
        cost=float(np.mean(costs)),
    )


def interval(scored: Sequence[Score], *, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean raw regret, by drawing data sets with replacement."""
    names = sorted({score.data for score in scored})
    by = {name: [score.raw for score in scored if score.data == name] for name in names}
    rng = np.random.default_rng(seed)
    means = [
        np.mean(np.concatenate([by[name] for name in rng.choice(names, len(names))]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


# ---- tables ----


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: the ways to choose, then the cells."""
    found = runs(rows)
    if len({run.data for run in found}) < 3:
        return "Finished cells of three data sets are the least that a regret can be told from."
    return "\n\n".join([_ways_table(found), _cells_table(found), _noise_line(found)])


def _ways_table(found: Sequence[Run]) -> str:
    judged = [run for run in found if run.limit >= LEAST]
    lines = [
        f"{len(_cells(judged))} cells of {LEAST} examples or more, "
        f"{len({run.data for run in judged})} data sets; in points of test accuracy.",
        "",
        f"| way to choose | mean raw regret, 95 % (bar {BARS['mean']}) | 90th percentile "
        f"({BARS['90 %']}) | worst ({BARS['worst']}) | mean fair regret | exact | within noise "
        f"| cost of training all ({BARS['cost']:.0%}) |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, way in ways(found).items():
        scored = scores(judged, way)
        raw = [score.raw for score in scored]
        low, high = interval(scored)
        lines.append(
            f"| {name} | {np.mean(raw):.2f} ({low:.2f} to {high:.2f}) "
            f"| {np.percentile(raw, 90):.1f} | {max(raw):.1f} "
            f"| {np.mean([s.fair for s in scored]):.2f} | {np.mean([s.exact for s in scored]):.0%} "
            f"| {np.mean([s.tied for s in scored]):.0%} | {np.mean([s.cost for s in scored]):.0%} |"
        )
    return "\n".join(lines)


def _cells_table(found: Sequence[Run]) -> str:
    lines = [
        "| set, backbone, examples (seeds) | " + " | ".join(STRATEGIES) + " | censored |",
        "|---|" + "---:|" * len(STRATEGIES) + "---|",
    ]
    for (data, backbone, limit), group in sorted(_cells(found).items()):
        figures = [_mean(group, name) for name in STRATEGIES]
        cut = sorted({n for r in group for n, o in r.whole.items() if o["stopped"] == "deadline"})
        about = f"{data}, {backbone}, {limit:,} ({len(group)})"
        lines.append(f"| {about} | {' | '.join(figures)} | {', '.join(cut) or '–'} |")
    return "\n".join(lines)


def _mean(group: Sequence[Run], name: Strategy) -> str:
    values = [run.accuracy(name) for run in group if name in run.whole]
    return f"{np.mean(values):.3f}" if values else "–"


def _noise_line(found: Sequence[Run]) -> str:
    told = ", ".join(f"{value:.1f} at {limit:,}" for limit, value in sorted(noise(found).items()))
    return f"Deviation between seeds, points: {told or 'one seed each so far'}."
