"""What the rows of `strategies.py` say: the regret of each way to choose a strategy (pure).

Regret is what a choice loses, in points of test accuracy, to the best strategy of the same cell,
in the mean over its seeds; a probe that is kept counts as itself, and never as a gain. `raw` takes
the best strategy by the very figures that it is judged by, so noise alone gives some regret. `fair`
names the best on one half of the test rows (and on another seed, where there are two) and judges
both on the other half: it is 0 in the mean where all are equal, and below 0 where what looked best
on few rows is not, so it compares ways and is no score by itself. Noise is the deviation between
seeds of what two strategies of a cell lie apart (they share its examples), pooled over data sets
and pairs at each size; a raw regret within it is a tie. A training that
the cap ended counts as worse by no more than what the cap does not explain (`explained`); where
another one than the choice was ended so, the regret is the least that it may be.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from choices import Way, ways
from numpy.typing import NDArray
from trained import PROBE, TAPPED, Name, Run, runs
from variants import SHIFTED

from autotl.records import STRATEGIES, Strategy

LEAST = 200
"""Examples from which on the bars hold."""
BARS = {"mean": 0.5, "90 %": 2.0, "worst": 3.0, "cost": 0.3}
FEW_WAYS = (
    "autotl",
    "autotl, choice unless beaten",
    "autotl, probe unless beaten",
    *(f"always {name}" for name in STRATEGIES),
)
"""Ways that are shown for the smaller cells too."""
SETS = 3
"""Data sets, the least that a regret can be told from."""
RESAMPLES = 2000
HALVINGS = 20

Gains = Mapping[tuple[str, int, Strategy], float]


@dataclass(frozen=True, kw_only=True)
class Score:
    """How a way to choose did in one cell: regrets in points, share of exact picks and of ties
    (None where the noise of that size is not known), and cost over that of training everything
    (None where no seed's seconds are all of one kind of machine).
    """

    data: str
    limit: int
    raw: float
    fair: float
    exact: float
    tied: float | None
    cost: float | None


# ---- scores ----


def noise(found: Sequence[Run]) -> dict[int, float]:
    """Deviation between seeds of the difference of two strategies by size, in points."""
    squares: dict[int, list[float]] = {}
    for group in _cells(found).values():
        for one, other in itertools.combinations(_common(group), 2):
            if len(group) > 1:
                values = [100 * (run.accuracy(one) - run.accuracy(other)) for run in group]
                squares.setdefault(group[0].limit, []).append(float(np.var(values, ddof=1)))
    return {limit: math.sqrt(float(np.mean(values))) for limit, values in squares.items()}


def _cells(found: Sequence[Run]) -> dict[tuple[str, str, int], list[Run]]:
    cells: dict[tuple[str, str, int], list[Run]] = {}
    for run in found:
        cells.setdefault(run.cell, []).append(run)
    return cells


def _common(group: Sequence[Run]) -> list[Strategy]:
    return [name for name in STRATEGIES if all(name in run.whole for run in group)]


def explained(found: Sequence[Run]) -> dict[tuple[str, int, Strategy], float]:
    """Accuracy that a strategy gains from ten times the epochs, by backbone and size, in the mean
    over cells where a tenth and the whole of a training are there and no cap ended it.
    """
    gains: dict[tuple[str, int, Strategy], list[float]] = {}
    for run in found:
        for name in run.tenth.keys() & run.plain.keys():
            few, many = (int(side[name]["epochs"]) for side in (run.tenth, run.plain))
            if run.plain[name]["stopped"] != "deadline" and many > few:
                apart = float(run.plain[name]["accuracy"] - run.tenth[name]["accuracy"])
                key = (run.backbone, run.limit, name)
                gains.setdefault(key, []).append(apart / math.log10(many / few))
    return {key: max(float(np.mean(some)), 0.0) for key, some in gains.items()}


def gain_of(run: Run, name: Strategy, gains: Gains) -> float:
    """The same for a cell: of its backbone and the nearest size; of any backbone, where there is
    none of it; 0 where there is none at all.
    """
    known = [key for key in gains if key[2] == name]
    near = [key for key in known if key[0] == run.backbone] or known
    if not near:
        return 0.0
    return gains[min(near, key=lambda key: abs(math.log(key[1] / run.limit)))]


def lost(run: Run, best: Strategy, taken: Name, gains: Gains) -> float:
    """Points that `taken` lost to `best`, without what a cap on its training explains: the gain
    from ten times the epochs, for each factor of ten that it had too few.
    """
    apart = max(run.accuracy(best) - run.accuracy(taken), 0.0)
    return 100 * _excused(run, apart, taken, gains)


def _excused(run: Run, apart: float, taken: Name, gains: Gains) -> float:
    if taken != TAPPED and apart > 0 and run.censored(taken):
        row = run.whole[taken]
        had = max(int(row["epochs"]), 1) / int(row["recipe"]["numbers"]["epochs"])
        apart = max(apart - gain_of(run, taken, gains) * math.log10(1 / min(had, 1.0)), 0.0)
    return apart


def fairly(here: Run, there: Run, taken: Name, gains: Gains) -> float:
    """Points that `taken` lost on half of the test rows of `there` to what was best on the other
    half of those of `here`, in the mean over `HALVINGS` and both directions.
    """
    names = _common([here, there])
    first, other = ({n: run.right(n) for n in names} for run in (here, there))
    own, found = there.right(taken), []
    for half in _halves(len(first[names[0]])):
        best = max(names, key=lambda n: (first[n][half].mean(), -STRATEGIES.index(n)))
        found.append(float(other[best][~half].mean() - own[~half].mean()))
    # excused once: an excuse for each half would not be 0 in the mean for equals
    return 100 * _excused(there, float(np.mean(found)), taken, gains)


def _halves(rows: int) -> Iterator[NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    for _ in range(HALVINGS):
        half = rng.permutation(rows) < rows // 2
        yield from (half, ~half)


def scores(found: Sequence[Run], way: Way) -> list[Score]:
    """Of one way to choose, a score a cell."""
    ties, gains = noise(found), explained(found)
    cells = _cells(found).values()
    return [_score(group, way, ties.get(group[0].limit), gains) for group in cells]


def _score(group: Sequence[Run], way: Way, tie: float | None, gains: Gains) -> Score:
    chosen = {run.seed: way(run) for run in group}
    raw = [lost(run, run.best(), chosen[run.seed].strategy, gains) for run in group]
    fair = [
        fairly(here, there, chosen[here.seed].strategy, gains)
        for here, there in list(itertools.permutations(group, 2)) or [(group[0], group[0])]
        if there.has(chosen[here.seed].strategy)
    ]
    timed = [run for run in group if len(run.processors) == 1]
    costs = [chosen[run.seed].seconds / run.seconds(run.whole) for run in timed]
    within = None if tie is None else [value <= tie for value in raw]
    return Score(
        data=group[0].data,
        limit=group[0].limit,
        raw=float(np.mean(raw)),
        fair=float(np.mean(fair)) if fair else float(np.mean(raw)),
        exact=float(np.mean([_strategy(chosen[r.seed].strategy) == r.best() for r in group])),
        tied=None if within is None else float(np.mean(within)),
        cost=float(np.mean(costs)) if costs else None,
    )


def _strategy(name: Name) -> Strategy:
    """The probe is feature extraction, though not the head that stands for it."""
    return PROBE if name == TAPPED else name


def interval(scored: Sequence[Score], *, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean raw regret, by drawing data sets with replacement."""
    return interval_of([(score.data, score.raw) for score in scored], seed)


def interval_of(pairs: Sequence[tuple[str, float]], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of these figures of data sets, by drawing sets with replacement."""
    names = sorted({name for name, _ in pairs})
    by = {name: [value for data, value in pairs if data == name] for name in names}
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
    if len({run.data for run in found}) < SETS:
        return "Finished cells of three data sets are the least that a regret can be told from."
    tables = [_ways_table(found), _small_table(found), _cells_table(found), _noise_line(found)]
    return "\n\n".join(tables)


def _ways_table(found: Sequence[Run]) -> str:
    judged = [run for run in found if run.limit >= LEAST]
    if not judged:
        return f"No cell of {LEAST} examples or more is finished."
    known = ways(found)
    own = scores(judged, known["autotl"])
    tied, timed = ([getattr(s, of) is not None for s in own] for of in ("tied", "cost"))
    lines = [
        f"{len(own)} cells of {LEAST} examples or more, "
        f"{len({run.data for run in judged})} data sets; in points of test accuracy. "
        f"Noise is known for {sum(tied)} of the cells, cost for {sum(timed)}.",
        "",
        *_head(),
    ]
    lines += [_way_row(name, scores(judged, way), own) for name, way in known.items()]
    whole = [cell for cell in _cells(judged).values() if not any(map(_capped, cell))]
    without = {
        "cells without a capped training": [run for cell in whole for run in cell],
        f"without {SHIFTED}": [run for run in judged if run.data != SHIFTED],
    }
    lines += [
        _way_row(f"autotl, {about}", scores(some, known["autotl"]))
        for about, some in without.items()
        if 0 < len(some) < len(judged)
    ]
    return "\n".join(lines)


def _head() -> list[str]:
    return [
        f"| way to choose | mean raw regret, 95 % (bar {BARS['mean']}) | 90th percentile "
        f"({BARS['90 %']}) | worst ({BARS['worst']}) | mean fair regret | exact | within noise "
        f"| cost of training all ({BARS['cost']:.0%}) | more lost than autotl, raw, 95 % |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]


def _small_table(found: Sequence[Run]) -> str:
    """The same for the cells that no bar is set for."""
    judged = [run for run in found if run.limit < LEAST]
    if not judged:
        return f"No cell of fewer than {LEAST} examples is finished."
    shown = {name: way for name, way in ways(found).items() if name in FEW_WAYS}
    lines = [f"{len(_cells(judged))} cells of fewer examples, for which no bar is set.", ""]
    own = scores(judged, shown["autotl"])
    rows = [_way_row(name, scores(judged, way), own) for name, way in shown.items()]
    return "\n".join([*lines, *_head(), *rows])


def _capped(run: Run) -> bool:
    return any(run.censored(name) for name in run.whole)


def _way_row(name: str, scored: Sequence[Score], own: Sequence[Score] = ()) -> str:
    """`own` are those of autotl in the same cells."""
    raw = [score.raw for score in scored]
    low, high = interval(scored)
    tied = [score.tied for score in scored if score.tied is not None]
    return (
        f"| {name} | {np.mean(raw):.2f} ({low:.2f} to {high:.2f}) "
        f"| {np.percentile(raw, 90):.1f} | {max(raw):.1f} "
        f"| {np.mean([s.fair for s in scored]):.2f} | {np.mean([s.exact for s in scored]):.0%} "
        f"| {f'{np.mean(tied):.0%}' if tied else '–'} "
        f"| {np.mean([s.cost for s in scored if s.cost is not None]):.0%} "
        f"| {_more(scored, own)} |"
    )


def _more(scored: Sequence[Score], own: Sequence[Score]) -> str:
    pairs = [(a.data, a.raw - b.raw) for a, b in zip(scored, own, strict=bool(own))]
    if not any(apart for _, apart in pairs):
        return "–"
    low, high = interval_of(pairs)
    return f"{np.mean([apart for _, apart in pairs]):+.2f} ({low:+.2f} to {high:+.2f})"


def _cells_table(found: Sequence[Run]) -> str:
    lines = [
        "| set, backbone, examples (seeds) | " + " | ".join(STRATEGIES) + " | censored |",
        "|---|" + "---:|" * len(STRATEGIES) + "---|",
    ]
    for (data, backbone, _), group in sorted(_cells(found).items()):
        figures = [_mean(group, name) for name in STRATEGIES]
        cut = sorted({n for r in group for n, o in r.whole.items() if o["stopped"] == "deadline"})
        about = f"{data}, {backbone}, {group[0].measured.size.train:,} ({len(group)})"
        lines.append(f"| {about} | {' | '.join(figures)} | {', '.join(cut) or '–'} |")
    return "\n".join(lines)


def _mean(group: Sequence[Run], name: Strategy) -> str:
    values = [run.accuracy(name) for run in group if name in run.whole]
    return f"{np.mean(values):.3f}" if values else "–"


def _noise_line(found: Sequence[Run]) -> str:
    told = ", ".join(
        f"{value:.1f} at {limit:,} or fewer" for limit, value in sorted(noise(found).items())
    )
    told = told or "one seed each so far"
    return f"Deviation between seeds of what two strategies lie apart, points: {told}."
