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

    def started(
        self, number: int, recipe: Recipe, hyperparameters: Mapping[str, Any], epoch: int
    ) -> None:
        """Write down that a trial is about to be trained, from the end of `epoch` on."""
        self._journal.append(
            "trial-started",
            number=number,
            recipe=to_json(recipe),
            hyperparameters=to_json(dict(hyperparameters)),
            epoch=epoch,
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

    def starts(self, number: int, epoch: int | None = None) -> int:
        """How often a trial without an end was started (from the end of `epoch`, where named), in
        all sittings; starts that the user interrupted or a full disk ended do not count.
        """
        open_: list[int] = []
        for line in self._journal.lines:
            if line.get("number") != number:
                continue
            if line["kind"] == "trial-finished":
                return 0
            if line["kind"] == "trial-started":
                open_.append(line.get("epoch", 0))
            elif line["kind"] == "trial-stopped" and open_:
                open_.pop()
        return len(open_) if epoch is None else open_.count(epoch)


def round_trip(record_class: type[R], record: R) -> tuple[Any, R]:
    """The record as JSON and as it will be read from there."""
    data = to_json(record)
    try:
        return data, from_json(record_class, data)
    except msgspec.ValidationError as error:
        raise InternalError(
            f"A {record_class.__name__} does not fit its own class: {error}."
        ) from error
