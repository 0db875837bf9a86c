"""What the rows of `strategies.py` say: the regret of each way to choose a strategy (pure).

Regret is what a choice loses, in points of test accuracy, to the best strategy of the same cell.
With two seeds it is worked out twice. `raw` takes the best strategy by the very figures that it is
judged by, so noise alone gives some regret; `fair` names the best and chooses on one seed, and
judges both on the other. Noise is the deviation between seeds, pooled over data sets and
strategies at each size; a raw regret within it is a tie. Whatever is fitted for a choice is fitted
without the cell's data set.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from coefficients import fit

from autotl.decide import decide
from autotl.decide.coefficients import Coefficients, Thresholds
from autotl.decide.features import per_class
from autotl.decide.scenario import proposed
from autotl.pipeline import epochs
from autotl.records import STRATEGIES, Budget, Measurements, Strategy, from_json, to_json

FIXED = Thresholds(per_class=200.0, similarity=0.7, gap=1.0)
"""Of the table with fixed lines."""
LEAST = 200
"""Examples from which on the bars hold."""
BARS = {"mean": 0.5, "90 %": 2.0, "worst": 3.0, "cost": 0.3}
RESAMPLES = 2000
PROBE: Strategy = "feature-extraction"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One seed of a cell: what was measured, and what each strategy gave, whole and by a tenth."""

    data: str
    backbone: str
    limit: int
    seed: int
    measured: Measurements
    whole: dict[Strategy, dict[str, Any]]
    tenth: dict[Strategy, dict[str, Any]]

    @property
    def cell(self) -> tuple[str, str, int]:
        """What the seeds of a cell have in common."""
        return self.data, self.backbone, self.limit

    def accuracy(self, strategy: Strategy) -> float:
        """On the test rows."""
        return float(self.whole[strategy]["accuracy"])

    def best(self) -> Strategy:
        """The strategy of the highest test accuracy; of equal ones the one that trains least."""
        return max(self.whole, key=lambda name: (self.accuracy(name), -STRATEGIES.index(name)))

    def seconds(self, names: Iterable[Strategy]) -> float:
        """Of training these."""
        return sum(float(self.whole[name]["seconds"]) for name in names)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The strategy taken, and the seconds of training that it took to know and to have it."""

    strategy: Strategy
    seconds: float


Way = Callable[[Run], Choice]


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


def runs(rows: Sequence[Mapping[str, Any]]) -> list[Run]:
    """The cells of which every planned training is there, of the newest trainer."""
    newest = [row for row in rows if row["code"] == rows[-1]["code"] and not row["variant"]]
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in newest:
        groups.setdefault((row["data"], row["backbone"], row["limit"], row["seed"]), []).append(row)
    found = []
    for (data, backbone, limit, seed), group in groups.items():
        head = next((row for row in group if row["strategy"] is None), None)
        if head is None or len(group) <= head["planned"]:
            continue
        shares: dict[float, dict[Strategy, dict[str, Any]]] = {}
        for row in group:
            if row["strategy"] is not None:
                shares.setdefault(row["share"], {})[row["strategy"]] = dict(row)
        found.append(
            Run(
                data=data,
                backbone=backbone,
                limit=limit,
                seed=seed,
                measured=from_json(Measurements, head["measurements"]),
                whole=shares[1.0],
                tenth=next((v for share, v in shares.items() if share != 1.0), {}),
            )
        )
    return found


# ---- ways to choose ----


def ways(found: Sequence[Run]) -> dict[str, Way]:
    """Ours and its rivals by name."""
    fitted = {
        "size only": _left_out(found, _by_size, _size_line),
        "similarity only": _left_out(found, _by_similarity, _similarity_line),
    }
    always: dict[str, Way] = {
        f"always {name}": _always(name)
        for name in STRATEGIES
        if any(name in r.whole for r in found)
    }
    return {
        "autotl": _left_out(found, _ours, coefficients),
        **always,
        "table, fixed lines": lambda run: _taken(run, proposed(run.measured, FIXED)),
        **fitted,
        "best of a tenth each": _by_tenth,
    }


def _always(name: Strategy) -> Way:
    return lambda run: _taken(run, name)


def _taken(run: Run, name: Strategy) -> Choice:
    """A strategy, or the nearest one that is possible."""
    taken = name if name in run.whole else "full-fine-tune"
    return Choice(strategy=taken, seconds=run.seconds([taken]))


def _left_out(
    found: Sequence[Run],
    choose: Callable[[Any, Run], Choice],
    learn: Callable[[list[Run]], Any],
) -> Way:
    """A way that learns from the runs of other data sets than the one that it chooses for."""
    known = {
        name: learn([run for run in found if run.data != name])
        for name in {run.data for run in found}
    }
    return lambda run: choose(known[run.data], run)


def coefficients(found: list[Run]) -> Coefficients:
    """The decision's coefficients, fitted to these runs."""
    rows = [
        {
            "data": run.data,
            "measurements": to_json(run.measured),
            "strategies": run.whole,
            "code": "",
            "machine": "",
        }
        for run in found
    ]
    return fit(rows)[0]


def _ours(known: Coefficients, run: Run) -> Choice:
    """What a run trains, without proposals: the probe, the choice and, where the margin is small,
    the runner-up; of these the best on the validation rows, the earlier one where they are equal.
    """
    decision = decide(
        run.measured,
        Budget(seconds=None, trials=1),
        epochs=epochs(run.measured),
        coefficients=known,
    )
    names = [decision.strategy]
    if decision.race > 0 and decision.runner_up:
        names.append(decision.runner_up)
    tried = list(dict.fromkeys([*names, PROBE]))
    best = max(tried, key=lambda name: (run.whole[name]["validation"], -tried.index(name)))
    return Choice(strategy=best, seconds=run.seconds(tried))


def _by_tenth(run: Run) -> Choice:
    """The best on validation rows after a tenth of the epochs, trained whole."""
    seen = {PROBE: run.whole[PROBE], **run.tenth}
    best = max(seen, key=lambda name: (seen[name]["validation"], -STRATEGIES.index(name)))
    spent = sum(float(one["seconds"]) for one in seen.values())
    rest = 0.0 if best == PROBE else run.seconds([best])
    return Choice(strategy=best, seconds=spent + rest)


def _size_line(found: list[Run]) -> float:
    """The examples a class from which fine-tuning all is better than training a head alone."""
    return _best_line([per_class(run.measured) for run in found], found)


def _by_size(line: float, run: Run) -> Choice:
    return _taken(run, "full-fine-tune" if per_class(run.measured) >= line else PROBE)


def _similarity_line(found: list[Run]) -> float:
    return _best_line([-(run.measured.similarity.value or 0.0) for run in found], found)


def _by_similarity(line: float, run: Run) -> Choice:
    far = -(run.measured.similarity.value or 0.0) >= line
    return _taken(run, "full-fine-tune" if far else PROBE)


def _best_line(values: Sequence[float], found: Sequence[Run]) -> float:
    """The line of least regret: full fine-tuning from it on, a head alone below."""
    spots = sorted(set(values))
    lines = [-math.inf, *((a + b) / 2 for a, b in itertools.pairwise(spots)), math.inf]

    def lost(line: float) -> float:
        taken = ["full-fine-tune" if value >= line else PROBE for value in values]
        return sum(
            run.accuracy(run.best()) - run.accuracy(name)  # type: ignore[arg-type]
            for name, run in zip(taken, found, strict=True)
        )

    return min(lines, key=lost)


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


def scores(found: Sequence[Run], way: Way) -> list[Score]:
    """Of one way to choose, a score a cell."""
    ties = noise(found)
    return [_score(group, way, ties.get(group[0].limit, 0.0)) for group in _cells(found).values()]


def _score(group: Sequence[Run], way: Way, tie: float) -> Score:
    chosen = {run.seed: way(run) for run in group}
    raw = [100 * (r.accuracy(r.best()) - r.accuracy(chosen[r.seed].strategy)) for r in group]
    pairs = list(itertools.permutations(group, 2)) or [(group[0], group[0])]
    fair = [
        100 * (there.accuracy(here.best()) - there.accuracy(chosen[here.seed].strategy))
        for here, there in pairs
    ]
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
