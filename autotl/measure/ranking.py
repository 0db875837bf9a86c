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

from autotl.calls import Caller, Progress
from autotl.errors import (
    AutotlError,
    DeadlineError,
    DiskError,
    ParityError,
    PluginError,
    ResourceError,
    WorkerError,
)
from autotl.folds import fold_numbers
from autotl.measure import probes, size
from autotl.measure.measuring import within
from autotl.measure.size import Labels
from autotl.records import LocatedBackbone, Ranked, Ranking, to_json

SAMPLE = 400
"""Training rows that each backbone is probed on, at most, unless the classes are many."""
A_CLASS, MOST_SAMPLE = 5, 2000
"""Rows a class that are drawn where these are more, up to so many in all: of a class with one row
no probe can be right.
"""
MOST = 4
"""Backbones that are probed: those with the most parameters, and the smallest."""
TIMED = 32
"""Training rows that a pass is timed on where nothing is compared."""
SHARE = 0.25
"""Of the time left, what one pass over all examples may take."""
COMPARING = 0.1
"""Of the time left, what comparing may take; backbones for which it would take longer are not."""
LEAST = 15.0
"""Seconds of that below which nothing is compared."""
CLEARLY = 2.0
"""Standard errors by which another one's probe must beat that of the largest: on few examples
probes mislead between backbones (`benchmarks/backbones.py`)."""
PATIENCE = 2.0
"""One backbone may take so many times what comparing may."""

OF_ONE = (PluginError, ResourceError, WorkerError, ParityError)
"""Errors that one backbone may meet while another one runs; `DiskError` is none of them."""

RUN = "autotl.measure.ranked:run"
TOO_LONG = "comparing would have taken too long"

Store = Callable[[LocatedBackbone, Sequence[int]], tuple[Path, str, Sequence[int]]]
"""Stores the pixels of training rows (by place) for a backbone: path, key, and the rows stored."""


def shortlist(candidates: Sequence[LocatedBackbone]) -> list[LocatedBackbone]:
    """At most `MOST` of the candidates, which are in order of size: the largest ones and, since it
    may be the only one that a budget holds, the smallest.
    """
    if len(candidates) <= MOST:
        return list(candidates)
    return [*candidates[: MOST - 1], candidates[-1]]


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
    bundles: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Ranking:
    """Probe each backbone, and choose (see `choose`).

    `candidates` are backbones with weights; `labels` (n,) those of the training rows, of which
    `store(located, rows)` keeps the pixels of some; rows with the same number in `bundles` (n or
    more,) are in one fold of the probe; `examples` is how many images there are in all.
    A backbone that cannot be built, passed through or held in memory, that ends the worker or for
    which there is no time is set aside with the reason; where none could be probed, the smallest of
    those that lacked only time is taken, and without one the first error is raised.
    """
    begun = time.monotonic()
    rows, stored = _stored(candidates, _drawn(labels, classes, seed), store)
    decode = (time.monotonic() - begun) / (len(rows) * len(candidates))
    alike = None if bundles is None else [bundles[row] for row in rows]
    fold = fold_numbers(labels[rows], seed=seed, bundles=alike)
    found: list[Ranked] = []
    rights: dict[str, NDArray[np.bool_]] = {}
    errors: list[AutotlError] = []
    for located, (pixels, key, _) in zip(candidates, stored, strict=True):
        ran = len(rights) + len(errors)
        if ran and not _time_for_another(time.monotonic() - begun, ran, seconds_left):
            found.append(_ranked(located, failure=TOO_LONG))
            continue
        spec = _spec(located, pixels, key, folder, seed)
        try:
            answer = worker.call(RUN, spec, deadline=_patience(seconds_left), progress=progress)
        except DiskError:
            raise
        except OF_ONE as error:
            errors.append(error)
            failure = TOO_LONG if isinstance(error, DeadlineError) else error.message
            found.append(_ranked(located, failure=failure))
            continue
        linear = _probe(answer["features"], labels[rows], classes, fold)
        rights[located.backbone.name] = linear.right
        found.append(_ranked(located, linear=linear.accuracy, decode=decode, **_seconds(answer)))
    if not rights and all(one.failure != TOO_LONG for one in found):
        raise errors[0]
    chosen, reason = choose(found, rights, examples, seconds_left, alike)
    return Ranking(
        chosen=chosen,
        reason=reason,
        examples=len(rows),
        candidates=tuple(found),
        seconds=time.monotonic() - begun,
    )


def timed(
    located: LocatedBackbone,
    train: int,
    store: Store,
    worker: Caller,
    *,
    folder: Path,
    seed: int,
    deadline: float | None = None,
    progress: Progress | None = None,
) -> Ranked:
    """Seconds of a pass of one backbone, on a batch of the `train` training rows, and of decoding
    an image; raises `ResourceError` where that takes longer than `deadline` seconds.
    """
    rows, begun = list(range(min(train, TIMED))), time.monotonic()
    pixels, key, _ = store(located, rows)
    decode = (time.monotonic() - begun) / len(rows)
    spec = _spec(located, pixels, key, folder, seed)
    answer = within(worker, RUN, spec, "timing a pass", deadline, progress)
    return _ranked(located, decode=decode, **_seconds(answer))


def _spec(
    located: LocatedBackbone, pixels: Path, key: str, folder: Path, seed: int
) -> dict[str, Any]:
    about = {"located": to_json(located), "pixels": str(pixels), "folder": str(folder)}
    return about | {"key": key, "seed": seed}


def _seconds(answer: Mapping[str, Any]) -> dict[str, float]:
    return {name: answer[name] for name in ("forward", "fixed")}


def time_to_compare(seconds_left: float | None) -> bool:
    """Whether a budget with that much left is large enough to compare backbones at all."""
    return seconds_left is None or COMPARING * seconds_left >= LEAST


def _patience(seconds_left: float | None) -> float | None:
    return None if seconds_left is None else PATIENCE * COMPARING * seconds_left


def _time_for_another(spent: float, ran: int, left: float | None) -> bool:
    return left is None or spent * (1 + 1 / ran) <= COMPARING * left


def _probe(features: str, labels: Labels, classes: int, fold: NDArray[np.int64]) -> probes.Linear:
    outputs = np.load(features, allow_pickle=False)
    with threadpool_limits(limits=1, user_api="blas"):
        return probes.linear(outputs, labels, classes, fold)


def _drawn(labels: Labels, classes: int, seed: int) -> list[int]:
    most = max(SAMPLE, min(A_CLASS * classes, MOST_SAMPLE))
    drawn: list[int] = size.draw(labels, most, seed=seed).tolist()
    return drawn


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
    bundles: Sequence[int] | None = None,
) -> tuple[str, str]:
    """The backbone to take, and why in a sentence.

    `rights` (n,) says which sample rows the probe of each got right. The rival of them all is the
    static best, the one with the most parameters (a ranking by size alone correlates at .91 with
    the outcome of transfer, arXiv 2510.06448): another one must beat it by more than `CLEARLY`
    standard errors of the paired difference (`bundles` as in `probes.standard_error`). What would
    need more than `SHARE` of the time left for one pass is no choice, unless all would; a smaller
    one for which there was no time goes before it.
    """
    ran = [one for one in found if one.linear is not None]
    late = [one for one in found if one.failure == TOO_LONG]
    room = math.inf if seconds_left is None else SHARE * seconds_left
    affordable = [one for one in ran if (one.forward or 0.0) * examples <= room]
    smallest = min([*late, *ran], key=lambda one: one.parameters)
    if not affordable and smallest in late:
        return smallest.name, _smallest(found, smallest, ran)
    standing = affordable or [min(ran, key=lambda one: one.forward or 0.0)]
    static = max(standing, key=lambda one: one.parameters)
    best = max(standing, key=lambda one: (one.linear or 0.0, one.parameters))
    apart = rights[best.name].astype(float) - rights[static.name]
    error = probes.standard_error(apart, bundles)
    chosen = best if float(apart.mean()) > CLEARLY * error else static
    if not affordable:
        return chosen.name, _quickest(found, chosen)
    return chosen.name, _reason(found, standing, chosen, chosen is static, len(apart))


def _smallest(found: Sequence[Ranked], chosen: Ranked, slow: Sequence[Ranked]) -> str:
    sentence = f"{chosen.name}, the smallest, is taken: {TOO_LONG}"
    if slow:
        sentence += f"; too slow for the budget: {_figures(slow)}"
    broken = [one for one in found if one.failure != TOO_LONG]
    return f"{sentence}{_broken(broken)}."


def _quickest(found: Sequence[Ranked], chosen: Ranked) -> str:
    ran = [one for one in found if one.linear is not None]
    alone = len(ran) == 1
    return (
        f"{chosen.name} is taken, the "
        f"{'only backbone' if alone else f'quickest of {len(ran)} backbones'} that could be timed: "
        f"a pass over all images would take {'' if alone else 'each of them '}over {SHARE:.0%} of "
        f"the time left{_broken(found)}."
    )


def _reason(
    found: Sequence[Ranked],
    standing: Sequence[Ranked],
    chosen: Ranked,
    largest: bool,
    sample: int,
) -> str:
    ordered = [chosen, *(one for one in standing if one is not chosen)]
    slow = [one for one in found if one.linear is not None and one not in standing]
    held = " that the budget holds" if slow else ""
    several = f"{len(standing)} backbones{held or ' compared'}"
    if len(standing) > 1 and not any(one.linear for one in standing):
        return (
            f"{chosen.name}, the largest of {len(standing)} backbones{held}, is taken: they cannot "
            f"be compared, as no linear probe is right on any of the {sample:,} examples"
            f"{_broken(found)}."
        )
    if len(standing) == 1:
        sentence = f"{chosen.name} is taken, the only backbone{held or ' that could be compared'}"
    elif largest:
        sentence = (
            f"{chosen.name}, the largest of {several}, is taken: no other one's linear probe "
        )
        sentence += "is better by more than two standard errors"
    else:
        sentence = f"{chosen.name} is taken of {several}: its linear probe is the best"
    sentence += f" (on {sample:,} examples {_figures(ordered)})"
    if slow:
        sentence += f"; too slow for the budget: {_figures(slow)}"
    return sentence + _broken(found) + "."


def _figures(some: Sequence[Ranked]) -> str:
    return ", ".join(f"{one.name} {100 * (one.linear or 0.0):.1f} %" for one in some)


def _broken(found: Sequence[Ranked]) -> str:
    broken = [f"{one.name} ({one.failure.rstrip('.')})" for one in found if one.failure]
    return f"; set aside: {', '.join(broken)}" if broken else ""
