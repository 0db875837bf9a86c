"""The ledger of trials, backed by a run's journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from autotl.errors import InternalError
from autotl.records import Recipe, Trial, from_json, to_json
from autotl.run.journal import Journal

if TYPE_CHECKING:
    from autotl.run.folder import Run

R = TypeVar("R")


class JournalLedger:
    """`records.Ledger`, backed by the journal and the run's observers."""

    def __init__(self, run: Run, journal: Journal) -> None:
        self._run = run
        self._journal = journal

    def started(self, number: int, recipe: Recipe, hyperparameters: Mapping[str, Any]) -> None:
        """Write down that a trial is about to be trained."""
        self._journal.append(
            "trial-started",
            number=number,
            recipe=to_json(recipe),
            hyperparameters=to_json(dict(hyperparameters)),
        )

    def finished(self, trial: Trial) -> None:
        """Write down how a trial ended; `InternalError` where it had already ended."""
        if self.replay(trial.number) is not None:
            raise InternalError(f"Trial {trial.number} is already in the journal.")
        data, record = round_trip(Trial, trial)
        self._journal.append("trial-finished", number=trial.number, record=data)
        for observer in self._run.observers:
            observer.trial_finished(record)

    def replay(self, number: int) -> Trial | None:
        """The journal's record of a trial that already ended, else None."""
        return self._run.trial(number)

    def starts(self, number: int) -> int:
        """How often a trial without an end was started, in all sittings; starts that the user
        interrupted or a full disk ended do not count.
        """
        kinds = [line["kind"] for line in self._journal.lines if line.get("number") == number]
        if "trial-finished" in kinds:
            return 0
        return kinds.count("trial-started") - kinds.count("trial-stopped")


def round_trip(record_class: type[R], record: R) -> tuple[Any, R]:
    """The record as JSON and as it will be read from there."""
    data = to_json(record)
    try:
        return data, from_json(record_class, data)
    except msgspec.ValidationError as error:
        raise InternalError(
            f"A {record_class.__name__} does not fit its own class: {error}."
        ) from error
