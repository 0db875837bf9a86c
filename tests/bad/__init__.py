"""A corpus of bad, odd and hostile data sets and options: `python -m tests.bad FOLDER` writes it.

Each case says what it must come to: an exit code and words of the message, or that it loads.
"""

from __future__ import annotations

from tests.bad import (
    archives,
    arrays,
    folders,
    images,
    models,
    names,
    options,
    runs,
    surroundings,
    tables,
)
from tests.bad.case import Case

KINDS: dict[str, tuple[Case, ...]] = {
    "folders": folders.CASES,
    "names": names.CASES,
    "images": images.CASES,
    "arrays": arrays.CASES,
    "archives": archives.CASES,
    "tables": tables.CASES,
    "options": options.CASES,
    "models": models.CASES,
    "runs": runs.CASES,
    "surroundings": surroundings.CASES,
}
CASES: tuple[Case, ...] = tuple(case for cases in KINDS.values() for case in cases)
