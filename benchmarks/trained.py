"""The finished cells of `strategies.py`: what was measured, and what a run would have trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from variants import EVERY, FASTER, rates

from autotl.decide.coefficients import Rate
from autotl.records import STRATEGIES, Measurements, Strategy, from_json

PROBE: Strategy = "feature-extraction"
TAPPED: Literal["probe"] = "probe"
"""A run's trial 0, the head that reads the tap, where feature extraction is another head."""
Name = Strategy | Literal["probe"]

Place = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One seed of a cell: what was measured, the labels of its validation rows, the kinds of
    machines that it ran on, and what each strategy gave, whole and by about a tenth of the epochs.
    Feature extraction is the head that a run trains: of all stages (then `probe` is that of the
    tap, and paid for in its seconds), or of the tap. The learning rate is the one that a run takes,
    by what the other data sets say; the tenths, and `plain`, are at the recipe's own. `proxies` are
    the literature's measures.
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
    probe: dict[str, Any] | None = None
    proxies: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cell(self) -> tuple[str, str, int]:
        """What the seeds of a cell have in common."""
        return self.data, self.backbone, self.limit

    def has(self, name: Name) -> bool:
        """Whether it was trained, and did not fail."""
        return name in self.whole or (name == TAPPED and self.probe is not None)

    def row(self, name: Name) -> dict[str, Any]:
        """What it gave."""
        if name != TAPPED:
            return self.whole[name]
        assert self.probe is not None
        return self.probe

    def accuracy(self, name: Name) -> float:
        """On the test rows."""
        return float(self.row(name)["accuracy"])

    def right(self, name: Name) -> NDArray[np.float64]:
        """Which test rows it got right, 1 or 0."""
        return right(self.row(name))

    def best(self) -> Strategy:
        """The strategy of the highest test accuracy; of equal ones the one that trains least."""
        return max(self.whole, key=lambda name: (self.accuracy(name), -STRATEGIES.index(name)))

    def censored(self, name: Name) -> bool:
        """Whether a cap ended its training."""
        return bool(self.row(name)["stopped"] == "deadline")

    def seconds(self, names: Iterable[Strategy]) -> float:
        """Of training these."""
        return sum(float(self.whole[name]["seconds"]) for name in names)


def right(row: Mapping[str, Any]) -> NDArray[np.float64]:
    """Which test rows (test,) a training got right, 1 or 0."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(row["right"]), np.uint8))
    return bits[: row["test"]].astype(float)


def runs(rows: Sequence[Mapping[str, Any]]) -> list[Run]:
    """The cells of which every planned training has ended, of the newest trainer; a training that
    failed is one that cannot be chosen.
    """
    newest = [row for row in rows if row["code"] == rows[-1]["code"]]
    groups, varied = _grouped(newest)
    found, known = [], _rates(newest)
    for place, group in groups.items():
        data, backbone, limit, seed, _ = place
        head = group.pop((None, None), None)
        if head is None or len(group) < head["planned"]:
            continue
        done = {key: dict(row) for key, row in group.items() if "failure" not in row}
        measured, others = from_json(Measurements, head["measurements"]), varied.get(place, {})
        plain = {name: row for (name, share), row in done.items() if share == 1.0}
        probe = None
        if (PROBE, 1.0) in done:
            if EVERY not in others:
                continue
            measured, done[PROBE, 1.0] = _reading(measured, plain[PROBE], others[EVERY])
            probe = plain[PROBE] if len(measured.reads) > 1 else None
        quicker = [
            one.strategy
            for one in known[data]
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
                probe=probe,
                proxies=head.get("proxies", {}),
            )
        )
    return found


def _rates(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Rate, ...]]:
    """By data set: the higher learning rates by the rows of the other ones."""
    names = {row["data"] for row in rows}
    return {name: rates([row for row in rows if row["data"] != name]) for name in names}


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
