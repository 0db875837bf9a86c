"""What asking a finished model file gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autotl.records.data import FileRef
from autotl.records.results import ClassScore, Interval


@dataclass(frozen=True, kw_only=True)
class AbstentionScore:
    """What a threshold does: the model abstains where its best probability lies below it.

    `answered` of the examples were answered, the share `coverage`; `precision` is the share of
    these that were right, None where there are none.
    """

    threshold: float
    answered: int
    coverage: float
    precision: Interval | None


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Figures of a model on examples whose classes are known, the `unreadable` ones not counted.

    `confusion[i][j]` counts examples of class i predicted as j. `abstention` is None where the
    model has no threshold; the other figures are of all examples in any case.
    """

    examples: int
    unreadable: int
    accuracy: Interval
    balanced_accuracy: Interval
    macro_f1: Interval
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    abstention: AbstentionScore | None = None


@dataclass(frozen=True, kw_only=True)
class VerifiedData:
    """The model on data. `rows` says which: the test rows of the run that made the model, found
    again; those of a given test split; or all.

    `card` is the accuracy that the model's card tells, of `card_examples` test rows, None where it
    tells none. `difference` is by how many images `scores` are off it, None unless they are of the
    same rows.
    """

    fingerprint: str
    rows: Literal["run's test rows", "test split", "all"]
    scores: Scores
    card: Interval | None
    card_examples: int | None
    difference: int | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A model file that passed: `checks` in words, its `size` in bytes and SHA-256 in hex.

    `beside` are the files that hold its weights where they are not in it; their paths are relative
    to its folder.
    """

    model: str
    size: int
    sha256: str
    classes: tuple[str, ...]
    checks: tuple[str, ...]
    data: VerifiedData | None = None
    beside: tuple[FileRef, ...] = ()
