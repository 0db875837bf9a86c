"""What each measured signal tells of the strategies: rank correlations over the cells (pure).

Of two differences of test accuracy: what transfer gives (the best transferred strategy over
scratch), and what freeing gives (full fine-tuning over feature extraction). A correlation is taken
within each backbone and size, seeds averaged, and then the mean of these, weighted by their data
sets; the interval is the jackknife's over data sets, by Student's t. The measures of the literature
stand beside ours: one that tells no more than a probe is left out of the product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from trained import Run, runs

from autotl.decide.features import FEATURES, features

Signal = Callable[[Run, Mapping[str, Any]], float | None]
Group = dict[str, tuple[float, float]]
"""By data set: the signal, and what it is held against."""
FEWEST = 4
"""Data sets that a correlation is taken over, at least."""


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a row a signal, with the number of data sets times backbones and sizes."""
    wanted = {"scratch", "feature-extraction", "full-fine-tune"}
    found = [run for run in runs(rows) if wanted <= run.whole.keys()]
    heads = {_key(row): row for row in rows if row["strategy"] is None}
    targets: dict[str, Callable[[Run], float]] = {
        "transfer": lambda run: _gain(run, "scratch"),
        "freeing": lambda r: r.accuracy("full-fine-tune") - r.accuracy("feature-extraction"),
    }
    lines = [
        "| signal | what transfer gives, 95 % | what freeing gives, 95 % | cells |",
        "|---|---|---|---:|",
    ]
    for name, signal in SIGNALS.items():
        values = [(run, signal(run, heads[_run_key(run)])) for run in found]
        known = [(run, value) for run, value in values if value is not None]
        told = [_told(_grouped(known, target)) for target in targets.values()]
        cells = sum(len(g) for g in _grouped(known, targets["freeing"]) if len(g) >= FEWEST)
        lines.append(f"| {name} | {told[0]} | {told[1]} | {cells} |")
    return "\n".join(lines)


def _grouped(known: Sequence[tuple[Run, float]], target: Callable[[Run], float]) -> list[Group]:
    """By backbone and size: signal and target of each data set, seeds averaged."""
    cells: dict[tuple[str, int], dict[str, list[tuple[float, float]]]] = {}
    for run, value in known:
        group = cells.setdefault((run.backbone, run.limit), {})
        group.setdefault(run.data, []).append((value, target(run)))
    return [
        {data: (_mean(pairs, 0), _mean(pairs, 1)) for data, pairs in group.items()}
        for group in cells.values()
    ]


def _mean(pairs: Sequence[tuple[float, float]], side: int) -> float:
    return float(np.mean([pair[side] for pair in pairs]))


def _told(groups: Sequence[Group]) -> str:
    names = sorted({name for group in groups for name in group})
    value = _correlation(groups, names)
    without = [_correlation(groups, [n for n in names if n != out]) for out in names]
    if math.isnan(value) or any(map(math.isnan, without)):
        return "–"
    from scipy.stats import t

    n = len(without)
    wide = float(t.ppf(0.975, n - 1))
    error = math.sqrt((n - 1) / n * float(np.sum((np.array(without) - np.mean(without)) ** 2)))
    low, high = max(value - wide * error, -1.0), min(value + wide * error, 1.0)
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


def _correlation(groups: Sequence[Group], names: Sequence[str]) -> float:
    """Mean of the groups' rank correlations over these data sets, weighted by their number."""
    from scipy.stats import rankdata

    found, weights = [], []
    for group in groups:
        pairs = np.array([group[name] for name in names if name in group])
        if len(pairs) < FEWEST:
            continue
        a, b = (rankdata(column) for column in pairs.T)
        if a.std() > 0 and b.std() > 0:
            found.append(float(np.corrcoef(a, b)[0, 1]))
            weights.append(len(pairs))
    return float(np.average(found, weights=weights)) if found else math.nan


def _gain(run: Run, rival: Any) -> float:
    return max(run.accuracy(n) for n in run.whole if n != rival) - run.accuracy(rival)


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["data"], row["backbone"], row["limit"], row["seed"], row["code"]


def _run_key(run: Run) -> tuple[Any, ...]:
    return run.data, run.backbone, run.limit, run.seed, run.code


def _feature(name: str) -> Signal:
    place = FEATURES.index(name)
    return lambda run, _: features(run.measured)[place]


def _proxy(name: str) -> Signal:
    return lambda _, row: _of(row, "pretrained", name)


def _proxy_gap(name: str) -> Signal:
    def apart(_: Run, row: Mapping[str, Any]) -> float | None:
        own, foil = _of(row, "same rows", name), _of(row, "random", name)
        return None if own is None or foil is None else own - foil

    return apart


def _of(row: Mapping[str, Any], side: str, name: str) -> float | None:
    found = row["proxies"].get(side)
    return None if found is None or not np.isfinite(found[name]) else float(found[name])


def _stage(place: int) -> Signal:
    def similarity(run: Run, _: Mapping[str, Any]) -> float | None:
        by_stage = run.measured.similarity.stages
        return by_stage[place] if by_stage else None

    return similarity


SIGNALS: dict[str, Signal] = {
    "examples a class": _feature("examples"),
    "probe": _feature("probe"),
    "slope of its learning curve": _feature("slope"),
    "gap to random weights": _feature("gap"),
    "similarity, batch norm": _feature("similarity"),
    "similarity, first stage": _stage(0),
    "similarity, last stage": _stage(-1),
    "similarity, Frechet": lambda run, _: run.measured.similarity.frechet,
    "effective size": lambda run, _: run.measured.size.effective,
    "LogME": _proxy("logme"),
    "LogME, gap to random weights": _proxy_gap("logme"),
    "H-score": _proxy("h-score"),
    "H-score, gap to random weights": _proxy_gap("h-score"),
}
