"""The wrong answers that the model was surest of, with a picture of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autotl.evaluate.figures import Floats, Labels
from autotl.records import Dataset, Mistake
from autotl.thumbnails import thumbnail

SHOWN = 24
"""Mistakes that are kept at most."""


def mistakes(
    dataset: Dataset,
    hashes: Sequence[str],
    rows: Sequence[int],
    probabilities: Floats,
    run_folder: Path,
) -> tuple[Mistake, ...]:
    """The most confident wrong answers on the test `rows`, surest first, pictures written.

    `probabilities` is (rows, classes). Raises what writing a file raises.
    """
    labels = np.asarray(dataset.labels, np.int64)[list(rows)]
    return tuple(
        Mistake(
            id=dataset.ids[rows[place]],
            label=int(labels[place]),
            predicted=int(probabilities[place].argmax()),
            probability=float(probabilities[place].max()),
            thumbnail=thumbnail(dataset, hashes, rows[place], run_folder),
        )
        for place in surest(probabilities, labels)
    )


def surest(probabilities: Floats, labels: Labels) -> list[int]:
    """Places of the `SHOWN` wrong answers of highest probability, in that order."""
    told = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(told != labels)
    order = np.argsort(-probabilities[wrong, told[wrong]], kind="stable")
    return [int(place) for place in wrong[order][:SHOWN]]
