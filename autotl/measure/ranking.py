"""Which of several backbones serves the data best: a linear probe of each on a small sample."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from autotl.errors import AutotlError
from autotl.measure import probes, size
from autotl.measure.measuring import Caller, Progress
from autotl.measure.size import Labels
from autotl.records import LocatedBackbone, Ranked, Ranking, to_json

SAMPLE = 400
"""Training rows that each backbone is probed on, at most."""
MOST = 4
"""Backbones that are probed, those with the most parameters."""
SHARE = 0.25
"""Of the time left, what one pass over all examples may take."""
COMPARING = 0.1
"""Of the time left, what comparing may take; backbones for which it would take longer are not."""

Store = Callable[[LocatedBackbone, Sequence[int]], tuple[Path, str, Sequence[int]]]
"""Stores the pixels of training rows (by place) for a backbone: path, key, and the rows stored."""


def rank(
    candidates: Sequence[LocatedBackbone],
    labels: Labels,
    classes: int,
    store: Store,
    worker: Caller,
    *,
    folder: Path,
    examples: int,
    seed: int,
    seconds_left: float | None = None,
    progress: Progress | None = None,
) -> Ranking:
    """Probe each backbone, and choose (see `choose`).

    `candidates` are backbones with weights; `labels` (n,) those of the training rows, of which
    `store(located, rows)` keeps the pixels of some; `examples` is how many images there are in all.
    A backbone that cannot be run, or for which there is no time, is set aside with the reason; the
    first one's error is raised where none can be run.
    """
    begun = time.monotonic()
    rows, stored = _stored(candidates, size.draw(labels, SAMPLE, seed=seed).tolist(), store)
    fold = probes.fold_numbers(labels[rows], seed=seed)
    found: list[Ranked] = []
    rights: dict[str, NDArray[np.bool_]] = {}
    errors: list[AutotlError] = []
    for located, (pixels, key, _) in zip(candidates, stored, strict=True):
        if rights and not _time_for_another(time.monotonic() - begun, len(found), seconds_left):
            found.append(_ranked(located, failure="comparing it would have taken too long"))
            continue
        if progress is not None:
            progress("comparing backbones", len(found), len(candidates))
        spec = {"located": to_json(located), "pixels": str(pixels), "key": key, "seed": seed}
        try:
            answer = worker.call("autotl.measure.ranked:run", spec | {"folder": str(folder)})
        except AutotlError as error:
            errors.append(error)
            found.append(_ranked(located, failure=error.message))
            continue
        linear = _probe(answer["features"], labels[rows], classes, fold)
        rights[located.backbone.name] = linear.right
        found.append(_ranked(located, linear=linear.accuracy, forward=answer["forward"]))
    if not rights:
        raise errors[0]
    chosen, reason = choose(found, rights, examples, seconds_left)
    return Ranking(
        chosen=chosen,
        reason=reason,
        examples=len(rows),
        candidates=tuple(found),
        seconds=time.monotonic() - begun,
    )


def _time_for_another(spent: float, done: int, left: float | None) -> bool:
    return left is None or spent * (1 + 1 / done) <= COMPARING * left


def _probe(features: str, labels: Labels, classes: int, fold: NDArray[np.int64]) -> probes.Linear:
    outputs = np.load(features, allow_pickle=False)
    with threadpool_limits(limits=1, user_api="blas"):
        return probes.linear(outputs, labels, classes, fold)


def _stored(
    candidates: Sequence[LocatedBackbone], rows: list[int], store: Store
) -> tuple[list[int], list[tuple[Path, str, Sequence[int]]]]:
    """The rows that every backbone's pixels could be stored of, and where these are."""
    while True:
        stored = [store(located, rows) for located in candidates]
        kept = sorted(set(rows).intersection(*(there for _, _, there in stored)))
        if len(kept) == len(rows):
            return rows, stored
        rows = kept


def _ranked(located: LocatedBackbone, **found: Any) -> Ranked:
    return Ranked(
        name=located.backbone.name,
        input_size=located.input_size,
        parameters=located.backbone.parameters,
        **found,
    )


def choose(
    found: Sequence[Ranked],
    rights: Mapping[str, NDArray[np.bool_]],
    examples: int,
    seconds_left: float | None,
) -> tuple[str, str]:
    """The backbone to take, and why in a sentence.

    `rights` (n,) says which sample rows the probe of each got right. The rival of them all is the
    static best, the one with the most parameters (a ranking by size alone correlates at .91 with
    the outcome of transfer, arXiv 2510.06448): another one must beat it by more than a standard
    error of the paired difference. What would need more than `SHARE` of the time left for one pass
    is no choice, unless all would.
    """
    ran = [one for one in found if one.linear is not None]
    room = math.inf if seconds_left is None else SHARE * seconds_left
    affordable = [one for one in ran if (one.forward or 0.0) * examples <= room]
    standing = affordable or [min(ran, key=lambda one: one.forward or 0.0)]
    static = max(standing, key=lambda one: one.parameters)
    best = max(standing, key=lambda one: (one.linear or 0.0, one.parameters))
    apart = rights[best.name].astype(float) - rights[static.name]
    error = float(apart.std() / np.sqrt(len(apart)))
    chosen = best if float(apart.mean()) > error else static
    return chosen.name, _reason(found, standing, chosen, len(apart))


def _reason(
    found: Sequence[Ranked], standing: Sequence[Ranked], chosen: Ranked, sample: int
) -> str:
    others = [one for one in standing if one.name != chosen.name]
    told = [f"{one.name} {100 * (one.linear or 0.0):.1f} %" for one in others]
    sentence = (
        f"{chosen.name} is taken of {len(found)} backbones with weights here: a linear probe on "
        f"{sample:,} examples reaches {100 * (chosen.linear or 0.0):.1f} %"
    )
    if told:
        sentence += f" ({', '.join(told)})"
    slow = [one.name for one in found if one.linear is not None and one not in standing]
    broken = [f"{one.name} ({one.failure.rstrip('.')})" for one in found if one.failure]
    if slow:
        sentence += f"; too slow for the budget: {', '.join(slow)}"
    if broken:
        sentence += f"; set aside: {', '.join(broken)}"
    return sentence + "."
