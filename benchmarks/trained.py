"""The finished cells of `strategies.py`: what was measured, and what a run would have trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from variants import EVERY, FASTER, rates

from autotl.records import STRATEGIES, Measurements, Strategy, from_json

PROBE: Strategy = "feature-extraction"

Place = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One seed of a cell: what was measured, the labels of its validation rows, the kinds of
    machines that it ran on, and what each strategy gave, whole and by about a tenth of the epochs.
    Feature extraction is the head that a run trains: of all stages, or of the tap; the learning
    rate is the one that a run takes. The tenths, and `plain`, are at the recipe's own.
    """

    data: str
    backbone: str
    limit: int
    seed: int
    code: str
    measured: Measurements
    labels: NDArray[np.int64]
    processors: tuple[str, ...]
    plain: dict[Strategy, dict[str, Any]]
    whole: dict[Strategy, dict[str, Any]]
    tenth: dict[Strategy, dict[str, Any]]

    @property
    def cell(self) -> tuple[str, str, int]:
        """What the seeds of a cell have in common."""
        return self.data, self.backbone, self.limit

    def accuracy(self, strategy: Strategy) -> float:
        """On the test rows."""
        return float(self.whole[strategy]["accuracy"])

    def right(self, strategy: Strategy) -> NDArray[np.float64]:
        """Which test rows it got right, 1 or 0."""
        row = self.whole[strategy]
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(row["right"]), np.uint8))
        return bits[: row["test"]].astype(float)

    def best(self) -> Strategy:
        """The strategy of the highest test accuracy; of equal ones the one that trains least."""
        return max(self.whole, key=lambda name: (self.accuracy(name), -STRATEGIES.index(name)))

    def censored(self, strategy: Strategy) -> bool:
        """Whether a cap ended its training."""
        return bool(self.whole[strategy]["stopped"] == "deadline")

    def seconds(self, names: Iterable[Strategy]) -> float:
        """Of training these."""
        return sum(float(self.whole[name]["seconds"]) for name in names)


def runs(rows: Sequence[Mapping[str, Any]]) -> list[Run]:
    """The cells of which every planned training has ended, of the newest trainer; a training that
    failed is one that cannot be chosen.
    """
    newest = [row for row in rows if row["code"] == rows[-1]["code"]]
    groups, varied = _grouped(newest)
    found, known = [], rates(newest)
    for place, group in groups.items():
        data, backbone, limit, seed, _ = place
        head = group.pop((None, None), None)
        if head is None or len(group) < head["planned"]:
            continue
        done = {key: dict(row) for key, row in group.items() if "failure" not in row}
        measured, others = from_json(Measurements, head["measurements"]), varied.get(place, {})
        plain = {name: row for (name, share), row in done.items() if share == 1.0}
        if (PROBE, 1.0) in done:
            if EVERY not in others:
                continue
            measured, done[PROBE, 1.0] = _reading(measured, done[PROBE, 1.0], others[EVERY])
        quicker = [
            one.strategy
            for one in known
            if one.backbone == backbone and measured.size.train >= one.examples
        ]
        if any((name, 1.0) in done and FASTER not in others for name in quicker):
            continue
        done |= {(name, 1.0): dict(others[FASTER]) for name in quicker if (name, 1.0) in done}
        used = [head, *group.values(), *done.values()]
        truth = np.frombuffer(bytes.fromhex(head["validation_truth"]), np.uint8)
        found.append(
            Run(
                data=data,
                backbone=backbone,
                limit=limit,
                seed=seed,
                code=head["code"],
                measured=replace(measured, size=replace(measured.size, validation=len(truth))),
                labels=truth.astype(np.int64),
                processors=tuple(sorted({_processor(row) for row in used})),
                plain=plain,
                whole={name: row for (name, share), row in done.items() if share == 1.0},
                tenth={name: row for (name, share), row in done.items() if share != 1.0},
            )
        )
    return found


def _grouped(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[dict[Place, dict[tuple[Any, Any], Mapping[str, Any]]], dict[Place, dict[str, Any]]]:
    """The rows of each cell by strategy and share, and its variants that can be used by name."""
    groups: dict[Place, dict[tuple[Any, Any], Mapping[str, Any]]] = {}
    varied: dict[Place, dict[str, Any]] = {}
    for row in rows:
        key = (row["data"], row["backbone"], row["limit"], row["seed"], row.get("fingerprint"))
        if not row["variant"]:
            groups.setdefault(key, {})[row["strategy"], row["share"]] = row
        elif "failure" not in row and (row["variant"] != EVERY or "reads" in row):
            varied.setdefault(key, {})[row["variant"]] = row
    return groups, varied


def _reading(
    measured: Measurements, tapped: dict[str, Any], every: Mapping[str, Any]
) -> tuple[Measurements, dict[str, Any]]:
    """The measurements with what the rows of all stages say, and the head that is trained then;
    the probe, which is trained before it, is in its seconds.
    """
    reads = tuple(every["reads"])
    seconds = measured.seconds + every.get("judging", 0.0)
    measured = replace(measured, together=every["together"], reads=reads, seconds=seconds)
    if len(reads) == 1:
        return measured, tapped
    return measured, dict(every) | {"seconds": every["seconds"] + tapped["seconds"]}


def _processor(row: Mapping[str, Any]) -> str:
    return str(row["machine"].removeprefix("Machine: ").split(" (", 1)[0])
