"""Which backbone and which input size, where nobody named them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autotl import decide
from autotl.activations import store_rows
from autotl.errors import PluginError
from autotl.loading import Loaded
from autotl.measure import beforehand, rank, shortlist, time_to_compare, timed
from autotl.plugins import (
    AUTO,
    choose_input_size,
    located,
    present,
    resized,
    smaller,
    takes,
    usable,
)
from autotl.records import LocatedBackbone, Measurements, Ranked, Ranking, Split, Strategy
from autotl.sitting import Sitting
from autotl.split import bundled
from autotl.train import default
from autotl.worker import Worker

Store = Callable[[LocatedBackbone, Sequence[int]], tuple[Path, str, list[int]]]


@dataclass(frozen=True, kw_only=True)
class Settling:
    """What is known when backbone and input size are settled; `side` is the median shorter side."""

    at: Sitting
    loaded: Loaded
    rows: Split
    side: int
    cache: Path
    worker: Worker


def backbone(known: Settling) -> tuple[str, str, Ranking | None]:
    """The backbone's name, and why it is taken; where it is "auto" and several have weights here,
    the one that a probe of each prefers, and the comparison.
    """
    at, asked, left = known.at, known.at.asked, known.at.seconds_left()
    if at.run is not None and at.run.recorded("rank", Ranking) is not None:
        found = at.once("rank", rank)  # from the journal
        return found.chosen, found.reason, found
    settled = at.run is not None and at.run.recorded("backbone", LocatedBackbone) is not None
    named = asked.backbone.lower() != AUTO or asked.weights or asked.strategy == "scratch"
    if settled or named or not time_to_compare(left):
        return asked.backbone, "", None
    several = [(one, one.offered.backbone.input_sizes) for one in usable(at.plugins)]
    given = asked.input_size
    places = shortlist(
        [
            located(one, given or choose_input_size(sizes, known.side))
            for one, sizes in several
            if given is None or takes(sizes, given)
        ]
    )
    if len(places) == 1 < len(several):
        name = places[0].backbone.name
        return name, f"{name} is taken: no other one with weights here takes {given} pixels.", None
    if len(places) < 2:
        return asked.backbone, "", None
    with way_out(at, places[0]):
        found = _compared(known, places, left)
    return found.chosen, found.reason, found


def instead(known: Settling) -> str:
    """What "auto" would do where a backbone was named and another one has weights here; or ""."""
    asked = known.at.asked
    if asked.backbone.lower() == AUTO or asked.weights or asked.strategy == "scratch":
        return ""
    names = present(known.at.plugins, asked.input_size)
    if len(names) < 2:
        return ""
    return (
        f"{asked.backbone} was named; of the {len(names)} whose weights are here, auto would take "
        f"{names[0]} unless the probe of another is clearly better."
    )


def uncompared(at: Sitting) -> bool:
    """Whether "auto" took a backbone without a comparison for which a larger budget has time."""
    asked = at.asked
    named = asked.backbone.lower() != AUTO or asked.weights or asked.strategy == "scratch"
    if named or asked.budget.seconds is None or "rank" in at.passed:
        return False
    return len(present(at.plugins, asked.input_size)) > 1


def _compared(known: Settling, places: Sequence[LocatedBackbone], left: float | None) -> Ranking:
    at, data = known.at, known.loaded.dataset
    return at.once(
        "rank",
        rank,
        places,
        np.array([data.labels[row] for row in known.rows.train]),
        len(data.classes),
        _store(known),
        known.worker,
        folder=known.cache,
        examples=len(data.labels),
        seed=at.asked.seed,
        seconds_left=left,
        bundles=bundled(data, known.loaded.hashes, known.rows),
        progress=at.listener.progress,
    )


@contextmanager
def way_out(at: Sitting, place: LocatedBackbone) -> Iterator[None]:
    """Have an error of the backbone's plugin say how to do without, where nobody named it."""
    try:
        yield
    except PluginError as error:
        if at.asked.backbone.lower() == AUTO and not error.hint:
            own = place.distribution in at.plugins.versions()
            leaving = f", or leave its plugin out: --no-plugin {place.distribution}" if own else ""
            error.hint = f"Name another with --backbone NAME{leaving}."
        raise


def sized(known: Settling, place: LocatedBackbone, ranking: Ranking | None) -> LocatedBackbone:
    """The backbone at the input size that the images would bear, or at a smaller one where the
    budget is better spent so, with the reason.
    """
    at = known.at
    sizes = [*smaller(place.backbone.input_sizes, place.input_size), place.input_size]
    if at.asked.input_size or at.asked.budget.seconds is None or len(sizes) == 1:
        return place
    speed = _timed(known, place, ranking)
    decoding = speed.decode * (len(known.rows.train) + len(known.rows.validation))
    labels = np.array([known.loaded.dataset.labels[row] for row in known.rows.train])
    about = (known.loaded.record, known.rows.record, labels, speed)
    candidates = [beforehand(resized(place, size), *about) for size in sizes]
    size, reason = decide.input_size(
        candidates,
        [epochs(one) for one in candidates],
        seconds_left=max((at.seconds_left() or 0.0) - decoding, 0.0),
        strategy=at.asked.strategy,
    )
    return resized(place, size, reason)


def epochs(measured: Measurements) -> dict[Strategy, int]:
    """Epochs of the default recipe of each strategy that is possible; a fitted head counts as 1."""
    recipes = {name: default(name, measured) for name in decide.possible(measured)}
    return {
        name: 1 if one.head.solver == "logistic-regression" else one.numbers.epochs
        for name, one in recipes.items()
    }


def _timed(known: Settling, place: LocatedBackbone, ranking: Ranking | None) -> Ranked:
    """Seconds of a pass, which the comparison of backbones has where there was one."""
    for one in ranking.candidates if ranking else ():
        if one.name == place.backbone.name and one.forward is not None:
            return one
    at, about = known.at, (len(known.rows.train), _store(known), known.worker)
    tools = {"seed": at.asked.seed, "deadline": at.seconds_left(), "folder": known.cache}
    return timed(place, *about, **tools, progress=at.listener.progress)  # type: ignore[arg-type]


def _store(known: Settling) -> Store:
    """What stores the pixels of training rows, by place, for a backbone."""
    data, train = known.loaded.dataset, known.rows.train

    def store(place: LocatedBackbone, chosen: Sequence[int]) -> tuple[Path, str, list[int]]:
        wanted = {train[i]: i for i in chosen}
        progress = known.at.listener.progress
        kept = store_rows(data, list(wanted), known.loaded.hashes, place, known.cache, progress)
        return kept.path, kept.key, [wanted[row] for row in kept.rows]

    return store
