"""Ways to choose a strategy, ours and its rivals, over the rows of `strategies.py` (pure).

Whatever is fitted for a choice is fitted without the cell's data set.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from fitting import fit
from numpy.typing import NDArray
from trained import PROBE, TAPPED, Name, Run
from variants import SHIFTED

from autotl.decide import decide
from autotl.decide.coefficients import Coefficients, Thresholds
from autotl.decide.features import per_class
from autotl.decide.scenario import TABLE
from autotl.pipeline import epochs
from autotl.records import (
    STRATEGIES,
    Budget,
    Decision,
    FileRef,
    Recipe,
    Similarity,
    Strategy,
    Trial,
    TrialResult,
    from_json,
    to_json,
)
from autotl.search import selection

FIXED = Thresholds(per_class=200.0, similarity=0.7, gap=1.0)
"""Of the table with fixed lines."""
NO_FILE = FileRef(path="", sha256="", size=0)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is taken, a strategy or the probe, and the seconds of measuring and training that it
    took to know and to have it.
    """

    strategy: Name
    seconds: float


Way = Callable[[Run], Choice]


# ---- ways to choose ----


def ways(found: Sequence[Run]) -> dict[str, Way]:
    """Ours and its rivals by name.

    Rivals that name one strategy stand twice: alone, and with the probe beside it, of which a
    search would keep the better one.
    """
    unlike = _left_out([_unlike(run) for run in found], _ours, coefficients)
    there = [name for name in STRATEGIES if any(name in run.whole for run in found)]
    always = {f"always {name}": _always(name) for name in there}
    beside = {f"{name} or the probe": _beside(name) for name in there if name != PROBE}
    return {
        "autotl": _left_out(found, _ours, coefficients),
        "autotl without similarity": lambda run: unlike(_unlike(run)),
        "autotl, highest prediction": _left_out(found, _ours_predicted, coefficients),
        "autotl, highest validation": _left_out(found, _ours_highest, coefficients),
        "autotl, choice unless beaten": _left_out(found, _ours_held, coefficients),
        "autotl, probe unless beaten": _left_out(found, _ours_unless, coefficients),
        "choice and best generalist": _left_out(found, _with_generalist, _known),
        **always,
        **beside,
        "best generalist or the probe": _left_out(found, _generalist_beside, generalist),
        "table, fixed lines": lambda run: _taken(run, _by_table(run)),
        "size only": _left_out(found, _by_size, _size_line),
        "similarity only": _left_out(found, _by_similarity, _similarity_line),
        "LogME only": _left_out(found, _by_logme, _logme_line),
        "best of a tenth each": _by_tenth,
    }


def _always(name: Strategy) -> Way:
    return lambda run: _taken(run, name)


def _beside(name: Strategy) -> Way:
    return lambda run: _best_of(run, [_possible(run, name)])


def _possible(run: Run, name: Strategy) -> Strategy:
    """A strategy; where it is impossible or failed, the one next to it that is there."""
    place = STRATEGIES.index(name)
    return min(run.whole, key=lambda one: (abs(STRATEGIES.index(one) - place), one))


def _taken(run: Run, name: Strategy) -> Choice:
    """The strategy alone; what freezes stages has to measure where."""
    taken = _possible(run, name)
    measuring = run.measured.seconds if taken in (PROBE, "partial-freeze") else 0.0
    return Choice(strategy=taken, seconds=measuring + run.seconds([taken]))


def _left_out(
    found: Sequence[Run],
    choose: Callable[[Any, Run], Choice],
    learn: Callable[[list[Run]], Any],
) -> Way:
    """A way that learns from the runs of other data sets than the one that it chooses for."""
    known = _learnt(found, learn)
    return lambda run: choose(known[run.data], run)


def _learnt(found: Sequence[Run], learn: Callable[[list[Run]], Any]) -> dict[str, Any]:
    """By data set: what the runs of the others teach."""
    return {
        name: learn([run for run in found if run.data != name])
        for name in {run.data for run in found}
    }


def left_out_coefficients(found: Sequence[Run]) -> dict[str, Coefficients]:
    """By data set: the coefficients that the runs of the others give."""
    return _learnt(found, coefficients)


def coefficients(found: list[Run]) -> Coefficients:
    """The decision's coefficients, fitted to these runs."""
    return fit(fitted_rows(found))[0]


def fitted_rows(found: Sequence[Run]) -> list[dict[str, Any]]:
    """The rows that they are fitted to: what a shifted test folder gives tells of the shift."""
    return [
        {
            "data": run.data,
            "measurements": to_json(run.measured),
            "strategies": run.whole,
            "code": run.code,
            "machine": run.processors[0],
            "timed": len(run.processors) == 1,
        }
        for run in found
        if run.data != SHIFTED
    ]


def _ours(known: Coefficients, run: Run) -> Choice:
    """What a run trains, without the longer training and proposals: the probe, the choice, where
    the margin is small the runner-up, and a head on all stages; and keeps of these.
    """
    return _best_of(run, _named(known, run))


def _ours_highest(known: Coefficients, run: Run) -> Choice:
    """The same trainings, of which the one with the highest validation accuracy is kept."""
    names = _named(known, run)
    tried = _tried(run, names)
    best = max(tried, key=lambda name: (run.row(name)["validation"], -tried.index(name)))
    return replace(_best_of(run, names), strategy=best)


def _ours_held(known: Coefficients, run: Run) -> Choice:
    """The same trainings, of which the choice is kept unless another one beats it on the validation
    rows by more than a standard error.
    """
    names = _named(known, run)
    return replace(_best_of(run, names), strategy=_unless(run, _tried(run, names), names[0]))


def _ours_unless(known: Coefficients, run: Run) -> Choice:
    """The same with the probe in place of the choice."""
    names = _named(known, run)
    tried = _tried(run, names)
    return replace(_best_of(run, names), strategy=_unless(run, tried, tried[0]))


def _unless(run: Run, tried: Sequence[Name], first: Name) -> Name:
    """The first one, unless others are clearly better, of which the highest score is taken."""
    base = _told(run, first)
    better = [
        name
        for name in tried
        if selection.clearly_better(_told(run, name), base, run.labels, "accuracy")
    ]
    return max(better or [first], key=lambda name: float(run.row(name)["validation"]))


def _told(run: Run, name: Name) -> NDArray[np.float32]:
    """What it said of the validation rows, as (validation, classes) of zeros and ones."""
    answers = np.frombuffer(bytes.fromhex(run.row(name)["validation_told"]), np.uint8)
    return np.eye(run.measured.size.classes, dtype=np.float32)[answers]


def _ours_predicted(known: Coefficients, run: Run) -> Choice:
    """What would be trained if the highest prediction were the choice."""
    decision = decision_of(known, run)
    first = max(decision.predicted, key=lambda name: decision.predicted[name].accuracy)
    return _best_of(run, [_possible(run, first)])


def _named(known: Coefficients, run: Run) -> list[Strategy]:
    decision = decision_of(known, run)
    raced = [decision.runner_up] if decision.race > 0 and decision.runner_up else []
    return [_possible(run, name) for name in (decision.strategy, *raced)]


def _unlike(run: Run) -> Run:
    """The run as if similarity could not have been measured."""
    unknown = Similarity(value=None, low=None, high=None, reason="left out")
    return replace(run, measured=replace(run.measured, similarity=unknown))


def _known(found: list[Run]) -> tuple[Coefficients, Strategy]:
    """The coefficients, and the best generalist."""
    return coefficients(found), generalist(found)


def generalist(found: list[Run]) -> Strategy:
    """The strategy that is best in the mean."""
    return max(
        STRATEGIES,
        key=lambda name: np.mean([run.accuracy(_possible(run, name)) for run in found]),
    )


def _with_generalist(known: tuple[Coefficients, Strategy], run: Run) -> Choice:
    """The probe, the choice and the best generalist (Renggli 2020)."""
    return _best_of(
        run, [_possible(run, n) for n in (decision_of(known[0], run).strategy, known[1])]
    )


def _generalist_beside(name: Strategy, run: Run) -> Choice:
    return _best_of(run, [_possible(run, name)])


def decision_of(known: Coefficients, run: Run) -> Decision:
    """What would be decided of the run, without a budget."""
    limits = Budget(seconds=None, trials=None)
    return decide(run.measured, limits, epochs=epochs(run.measured), coefficients=known)


def _tried(run: Run, names: Sequence[Strategy]) -> list[Name]:
    """The probe, these and the head that feature extraction is, each once and where possible."""
    every: list[Name] = [TAPPED if run.has(TAPPED) else PROBE, *names, PROBE]
    return [name for name in dict.fromkeys(every) if run.has(name)]


def _best_of(run: Run, names: Sequence[Strategy]) -> Choice:
    """What a search keeps of these and the probe; it took measuring too."""
    tried = _tried(run, names)
    kept = selected(run, tried)
    paid = [name for name in tried if name != TAPPED]  # with the head that feature extraction is
    return Choice(strategy=kept, seconds=run.measured.seconds + run.seconds(paid))


def selected(run: Run, tried: Sequence[Name]) -> Name:
    """The one that the search's own rule keeps; the first is the probe, if there is one. The rows
    have no out-of-fold predictions of heads, by which a run judges proposals alone.
    """
    first = 0 if tried[0] in (TAPPED, PROBE) else 1  # trial 0 is the probe
    trials, told = [], {}
    for number, name in enumerate(tried, first):
        row = run.row(name)
        told[number] = _told(run, name)
        metrics = {"accuracy": row["validation"], "log-loss": row["validation_loss"]}
        result = TrialResult(
            metrics=metrics,
            epochs=row["epochs"],
            seconds=row["seconds"],
            weights=NO_FILE,
            predictions=NO_FILE,
            stopped=row["stopped"],
        )
        trial = Trial(
            number=number,
            origin="default",
            recipe=from_json(Recipe, row["recipe"]),
            hyperparameters={},
            status="finished",
            seconds=row["seconds"],
            result=result,
        )
        trials.append(trial)
    best = selection.best(trials, "accuracy", run.labels, lambda trial: told[trial.number])
    assert best is not None
    return tried[best.number - first]


def _by_tenth(run: Run) -> Choice:
    """The highest on validation rows after about a tenth of the epochs, trained whole."""
    seen = {**{name: run.whole[name] for name in run.whole if name == PROBE}, **run.tenth}
    seen = {name: row for name, row in seen.items() if name in run.whole}
    best = max(seen, key=lambda name: (seen[name]["validation"], -STRATEGIES.index(name)))
    spent = sum(float(one["seconds"]) for one in seen.values())
    rest = 0.0 if best == PROBE else run.seconds([best])
    return Choice(strategy=best, seconds=run.measured.seconds + spent + rest)


def _size_line(found: list[Run]) -> float:
    """The examples a class from which fine-tuning all is better than training a head alone."""
    return _best_line([per_class(run.measured) for run in found], found)


def _by_size(line: float, run: Run) -> Choice:
    return _taken(run, "full-fine-tune" if per_class(run.measured) >= line else PROBE)


def _similarity_line(found: list[Run]) -> float:
    return _best_line([-(run.measured.similarity.value or 0.0) for run in found], found)


def _by_similarity(line: float, run: Run) -> Choice:
    far = -(run.measured.similarity.value or 0.0) >= line
    found = _taken(run, "full-fine-tune" if far else PROBE)
    return replace(found, seconds=found.seconds + (run.measured.seconds if far else 0.0))


def _logme_line(found: list[Run]) -> float:
    return _best_line([-_logme(run) for run in found], found)


def _by_logme(line: float, run: Run) -> Choice:
    found = _taken(run, "full-fine-tune" if -_logme(run) >= line else PROBE)
    measuring = 0.0 if found.strategy == PROBE else run.measured.seconds
    return replace(found, seconds=found.seconds + measuring)


def _logme(run: Run) -> float:
    """Of the pretrained last stage (You 2021); the less, the more freeing gave."""
    return float(run.proxies["pretrained"]["logme"])


def _by_table(run: Run) -> Strategy:
    """The textbook's table: by examples a class, and by similarity."""
    near = (run.measured.similarity.value or 0.0) >= FIXED.similarity
    return TABLE[per_class(run.measured) >= FIXED.per_class, near]


def _best_line(values: Sequence[float], found: Sequence[Run]) -> float:
    """The line of least regret: full fine-tuning from it on, a head alone below."""
    spots = sorted(set(values))
    lines = [-math.inf, *((a + b) / 2 for a, b in itertools.pairwise(spots)), math.inf]

    def lost(line: float) -> float:
        full: Strategy = "full-fine-tune"
        taken = [full if value >= line else PROBE for value in values]
        return sum(
            run.accuracy(run.best()) - run.accuracy(_possible(run, name))
            for name, run in zip(taken, found, strict=True)
        )

    return min(lines, key=lost)
