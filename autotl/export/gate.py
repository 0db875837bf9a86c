"""The gate that every exported file must pass: its structure, then its answers.

The answers are compared in two steps, so that a fault is seen at its full size. On pixels that
are already resized, the file must equal the Keras model up to rounding. From raw images it also
resizes, where a level's difference here and there is allowed: the resize is compared by itself,
and the answers must agree in class and, in the median, in figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autotl.calls import Progress
from autotl.errors import ParityError
from autotl.export import runtime, structure
from autotl.export.asking import Answers, Candidate, Subject, ask
from autotl.export.parity import AGREEMENT, MEDIAN, Apart, compare
from autotl.records import Parity

if TYPE_CHECKING:
    from autotl.worker import Worker

MOST_LEVELS = 2
"""Each of the resize's two passes rounds to whole levels, where two faithful ones may fall on
either side of a tie; the second makes of one level's difference at most two."""

MOST_APART = 1e-4
"""Share of values that two faithful resizes may have more than one level apart; met: 1e-7."""

Checked = tuple[Parity, tuple[str, ...]]


def examine(
    path: Path, subject: Subject, worker: Worker, *, progress: Progress | None = None
) -> Checked:
    """Put an ONNX file through every check: the parity figures, and the checks in words.

    Raises `ParityError` with figures and the worst examples at the first that fails.
    """
    classes = subject.dataset.classes
    checks = structure.check(path, classes, subject.features)
    candidate = runtime.candidate(path, classes, subject.features)
    parity, said = hold(candidate, subject, worker, progress=progress)
    return parity, (*checks, *said)


def hold(
    candidate: Candidate, subject: Subject, worker: Worker, *, progress: Progress | None = None
) -> Checked:
    """Hold the answers of a model in whatever runtime against the Keras model's; as `examine`."""
    answers = ask(subject, candidate, worker, progress)
    return judge(answers), _said(answers)


def judge(answers: Answers) -> Parity:
    """The figures of a faithful model; raises `ParityError` where they are not."""
    count = len(answers.names)
    _check_resize(answers)
    names = (*answers.names, *(f"made-up image {n}" for n in range(len(answers.pixels) - count)))
    exact = compare(answers.exact, answers.reference)
    bounds = (answers.tolerance, answers.typical)
    _check_rounding("On resized pixels the exported model", exact, bounds, names)
    embedding = _check_embedding(answers, names)
    plain = _check_plain(answers, names)
    _check_through(answers, names)
    raw = compare(answers.raw[:count], answers.reference[:count])
    _check_raw(raw, answers)
    return Parity(
        examples=count,
        top1_agreement=raw.agreement,
        explained=int((~raw.agree).sum() - raw.unexplained(_margin(answers)).sum()),
        median_difference=raw.median,
        largest_difference=raw.largest,
        tolerance=answers.tolerance,
        optimised_difference=plain,
        embedding_difference=embedding,
    )


def _check_resize(answers: Answers) -> None:
    if answers.resize_off > MOST_LEVELS or answers.resize_apart > MOST_APART:
        raise ParityError(
            "The exported model resizes images otherwise than training did.",
            details=(
                f"largest difference: {answers.resize_off:.0f} of 255 levels, "
                f"allowed: {MOST_LEVELS}",
                f"share of values more than one level apart: {answers.resize_apart:.1e}, "
                f"allowed: {MOST_APART:.0e}",
            ),
        )


def _check_plain(answers: Answers, names: Sequence[str]) -> float | None:
    """The largest difference of the second way, one image at a time; None where there is none."""
    if answers.plain is None:
        return None
    few = list(answers.few)
    plain = compare(answers.plain, answers.raw[few])
    what = "Without onnxruntime's optimisations the exported model"
    bounds = answers.same or (answers.tolerance, answers.typical)
    _check_rounding(what, plain, bounds, [names[place] for place in few])
    return plain.largest


def _check_embedding(answers: Answers, names: Sequence[str]) -> float | None:
    """The largest difference of a feature, in shares of the largest; None without an embedding."""
    found = answers.embedded
    if found is None:
        return None
    largest, median = float(found.off.max()), float(np.median(found.off))
    if not (largest <= found.tolerance and median <= found.typical):
        raise ParityError(
            "The exported model's embedding is not what the trained one's head reads.",
            details=(
                "in shares of the largest feature:",
                f"largest difference: {largest:.2e}, allowed: {found.tolerance:.2e}",
                f"median difference: {median:.2e}, allowed: {found.typical:.2e}",
                f"worst: {names[int(found.off.argmax())]}",
            ),
        )
    return largest


def _check_through(answers: Answers, names: Sequence[str]) -> None:
    """A raw image must be answered as what the model's own resize makes of it: else the network
    sees other pixels than those that were compared.
    """
    few = list(answers.few)
    through = compare(answers.through, answers.raw[few])
    what = "On what its own resize makes of raw images the exported model"
    bounds = answers.same or (answers.tolerance, answers.typical)
    _check_rounding(what, through, bounds, [names[place] for place in few])


def _margin(answers: Answers) -> float:
    """The lead below which one level's difference of the resize may turn the class."""
    return 2 * max(answers.tolerance, answers.level_response)


def _check_rounding(
    what: str, apart: Apart, bounds: tuple[float, float], names: Sequence[str]
) -> None:
    """`bounds` are those of the largest difference and of the median one."""
    largest, typical = bounds
    turned = apart.unexplained(2 * largest)
    faithful = apart.largest <= largest and apart.median <= typical
    if not faithful or turned.any():
        raise ParityError(
            f"{what} answers otherwise than it should.",
            details=(
                f"largest difference of a probability: {apart.largest:.2e}, allowed: {largest:.2e}",
                f"median difference: {apart.median:.2e}, allowed: {typical:.2e}",
                f"same class: {apart.agreement:.2%}",
                *apart.worst(names),
            ),
        )


def _check_raw(raw: Apart, answers: Answers) -> None:
    turned = raw.unexplained(_margin(answers))
    if 1 - turned.mean() < AGREEMENT or not raw.median <= MEDIAN:
        raise ParityError(
            "From raw images the exported model answers otherwise than the trained one.",
            details=(
                f"same class: {raw.agreement:.2%}; {turned.sum()} of {len(turned)} differ by more "
                f"than a lead of {_margin(answers):.2e} explains",
                f"median difference: {raw.median:.2e}, allowed: {MEDIAN:.0e}",
                *raw.worst(answers.names),
            ),
        )


def _said(answers: Answers) -> tuple[str, ...]:
    made_up = len(answers.pixels) - len(answers.names)
    again = len(answers.few) - made_up
    plain = f"onnxruntime's optimisations change nothing ({again} raw images and {made_up} made up)"
    return (
        *([] if answers.plain is None else [plain]),
        f"resizes as training did, within {answers.resize_off:.0f} of 255 levels "
        f"({answers.resize_apart:.1e} of the values by more than one)",
        f"answers raw images as what it makes of them ({again} and {made_up} made up)",
        f"equals the Keras model on {len(answers.names)} resized images and {made_up} made-up ones",
        f"agrees from raw validation images ({len(answers.names)})",
        "labels are those of the largest probabilities",
        *([] if answers.embedded is None else ["the embedding is what the model's head reads"]),
    )
