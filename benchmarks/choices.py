"""Ways to choose a strategy, ours and its rivals, over the rows of `strategies.py` (pure).

Whatever is fitted for a choice is fitted without the cell's data set.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from coefficients import fit

from autotl.decide import decide
from autotl.decide.coefficients import Coefficients, Thresholds
from autotl.decide.features import per_class
from autotl.decide.scenario import proposed
from autotl.pipeline import epochs
from autotl.records import (
    STRATEGIES,
    Budget,
    Decision,
    Measurements,
    Similarity,
    Strategy,
    from_json,
    to_json,
)

FIXED = Thresholds(per_class=200.0, similarity=0.7, gap=1.0)
"""Of the table with fixed lines."""
PROBE: Strategy = "feature-extraction"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One seed of a cell: what was measured, and what each strategy gave, whole and by a tenth."""

    data: str
    backbone: str
    limit: int
    seed: int
    code: str
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

    def censored(self, strategy: Strategy) -> bool:
        """Whether a cap ended its training."""
        return bool(self.whole[strategy]["stopped"] == "deadline")

    def seconds(self, names: Iterable[Strategy]) -> float:
        """Of training these."""
        return sum(float(self.whole[name]["seconds"]) for name in names)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The strategy taken, and the seconds of training that it took to know and to have it."""

    strategy: Strategy
    seconds: float


Way = Callable[[Run], Choice]


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
                code=head["code"],
                measured=from_json(Measurements, head["measurements"]),
                whole=shares[1.0],
                tenth=next((v for share, v in shares.items() if share != 1.0), {}),
            )
        )
    return found


# ---- ways to choose ----


def ways(found: Sequence[Run]) -> dict[str, Way]:
    """Ours and its rivals by name."""
    unlike = _left_out([_unlike(run) for run in found], _ours, coefficients)
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
        "autotl without similarity": lambda run: unlike(_unlike(run)),
        "choice and best generalist": _left_out(found, _with_generalist, _known),
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
    the runner-up; of these the best on the validation rows.
    """
    decision = _decision(known, run)
    raced = [decision.runner_up] if decision.race > 0 and decision.runner_up else []
    return _best_of(run, [decision.strategy, *raced])


def _unlike(run: Run) -> Run:
    """The run as if similarity could not have been measured."""
    unknown = Similarity(value=None, low=None, high=None, reason="left out")
    return replace(run, measured=replace(run.measured, similarity=unknown))


def _known(found: list[Run]) -> tuple[Coefficients, Strategy]:
    """The coefficients, and the strategy that is best in the mean."""
    names = [name for name in STRATEGIES if all(name in run.whole for run in found)]
    generalist = max(names, key=lambda name: np.mean([run.accuracy(name) for run in found]))
    return coefficients(found), generalist


def _with_generalist(known: tuple[Coefficients, Strategy], run: Run) -> Choice:
    """The probe, the choice and the best generalist (Renggli 2020), by validation."""
    fitted, generalist = known
    return _best_of(run, [_decision(fitted, run).strategy, generalist])


def _decision(known: Coefficients, run: Run) -> Decision:
    limits = Budget(seconds=None, trials=1)
    return decide(run.measured, limits, epochs=epochs(run.measured), coefficients=known)


def _best_of(run: Run, names: Sequence[Strategy]) -> Choice:
    """The best of these and the probe on the validation rows, the earlier one of equal ones; it
    took measuring too.
    """
    tried = [name for name in dict.fromkeys([*names, PROBE]) if name in run.whole]
    best = max(tried, key=lambda name: (run.whole[name]["validation"], -tried.index(name)))
    return Choice(strategy=best, seconds=run.measured.seconds + run.seconds(tried))


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
