"""What was foreseen of a run's time, in words."""

from __future__ import annotations

from collections.abc import Iterator

from autotl.records import Foreseen, RunEstimate
from autotl.request import typed


def line(estimate: RunEstimate) -> str:
    """In one line: the trainings, what comes after them, when it ends, and what would do."""
    after = f"evaluation and export {minutes(estimate.finishing / 60)}"
    text = "; ".join((*([_trainings(estimate)] if estimate.trainings else ()), after))
    text += f"; about {minutes(estimate.planned / 60)} in all"
    text += _at_most(estimate)
    if estimate.warnings or estimate.suffices is None or estimate.budget is None:
        return text
    named = f"--budget {typed(estimate.suffices)}"
    if estimate.suffices > estimate.budget:
        return f"{text} ({named} would hold it with a margin{_own(estimate)})"
    if estimate.suffices < estimate.budget:
        rest = "; what is left goes to a longer training and to proposals"
        more = rest if estimate.longer is not None else ""  # else there are no trials for it
        return f"{text} ({named} would do{_own(estimate)}{more})"
    return text


def rows(estimate: RunEstimate) -> Iterator[tuple[str, str]]:
    """The same as figures with their names, and the budgets for more."""
    yield "trainings", _trainings(estimate) or "all have ended"
    after = f"evaluation and export, about {minutes(estimate.finishing / 60)}"
    yield "afterwards", f"{after}, longer where the machine does other work"
    yield "in all", f"about {minutes(estimate.planned / 60)} from here{_at_most(estimate)}"
    if estimate.suffices is not None:
        size = ", at this input size" if estimate.larger is not None else ""
        yield "would do", f"--budget {typed(estimate.suffices)}{size}{_own(estimate, ',')}"
    if estimate.larger is not None:
        pixels = f"the {estimate.larger_size} pixels that the images would bear"
        yield "larger input", f"--budget {typed(estimate.larger)} for the same at {pixels}"
    if estimate.longer is not None:
        longer = "a training three times as long, whose gain is mostly within noise"
        yield "and longer", f"--budget {typed(estimate.longer)} for {longer}"


def _trainings(estimate: RunEstimate) -> str:
    return ", ".join(map(_training, estimate.trainings))


def _training(one: Foreseen) -> str:
    if one.role == "heads":
        return f"heads {minutes(one.seconds / 60)}"
    role = " (runner-up)" if one.role == "runner-up" else ""
    whole = minutes(one.seconds / 60)
    span = f"{minutes(one.span / 60)} of {whole}" if one.shortened else whole
    return f"{one.strategy} {span}{role}"


def _at_most(estimate: RunEstimate) -> str:
    if estimate.most is None or estimate.most <= estimate.planned:
        return ""
    return f", at most about {minutes(estimate.most / 60)}"


def _own(estimate: RunEstimate, comma: str = "") -> str:
    return f"{comma} with this backbone" if estimate.several else ""


def minutes(value: float) -> str:
    """A duration in words from minutes: "40 s", "3.5 min", "2.1 h"."""
    if value < 1:
        return f"{60 * value:.0f} s"
    return f"{value:.1f} min" if value < 90 else f"{value / 60:.1f} h"
