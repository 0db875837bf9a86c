"""What each measured signal tells of the strategies: rank correlations over the cells (pure).

Of two differences of test accuracy: what transfer gives (the best transferred strategy over
scratch), and what freeing gives (full fine-tuning over feature extraction). The measures of the
literature stand beside ours; one that tells no more than a probe is left out of the product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from choices import Run, runs

from autotl.decide.features import FEATURES, features

Signal = Callable[[Run, Mapping[str, Any]], float | None]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a row a signal, with the number of cells."""
    found = [run for run in runs(rows) if len(run.whole) > 1 and "scratch" in run.whole]
    heads = {_key(row): row for row in rows if row["strategy"] is None}
    transfer = [_gain(run, "scratch") for run in found]
    freeing = [run.accuracy("full-fine-tune") - run.accuracy("feature-extraction") for run in found]
    lines = [
        "| signal | what transfer gives | what freeing gives | cells |",
        "|---|---:|---:|---:|",
    ]
    for name, signal in SIGNALS.items():
        values = [signal(run, heads[_run_key(run)]) for run in found]
        told = [_correlation(values, target) for target in (transfer, freeing)]
        lines.append(f"| {name} | {told[0]} | {told[1]} | {sum(v is not None for v in values)} |")
    return "\n".join(lines)


def _gain(run: Run, rival: Any) -> float:
    return max(run.accuracy(n) for n in run.whole if n != rival) - run.accuracy(rival)


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["data"], row["backbone"], row["limit"], row["seed"], row["code"]


def _run_key(run: Run) -> tuple[Any, ...]:
    return run.data, run.backbone, run.limit, run.seed, run.code


def _correlation(values: Sequence[float | None], target: Sequence[float]) -> str:
    from scipy.stats import spearmanr

    pairs = [(v, t) for v, t in zip(values, target, strict=True) if v is not None]
    if len(pairs) < 4 or len({v for v, _ in pairs}) < 2 or len({t for _, t in pairs}) < 2:
        return "–"
    return f"{spearmanr(*zip(*pairs, strict=True)).statistic:+.2f}"


def _feature(name: str) -> Signal:
    place = FEATURES.index(name)
    return lambda run, _: features(run.measured)[place]


def _proxy(name: str) -> Signal:
    return lambda _, row: _of(row, "pretrained", name)


def _proxy_gap(name: str) -> Signal:
    def apart(_: Run, row: Mapping[str, Any]) -> float | None:
        own, foil = _of(row, "pretrained", name), _of(row, "random", name)
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
