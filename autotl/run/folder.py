"""An open run folder: steps and trials that are done once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import filelock
import msgspec

from autotl.errors import AutotlError, DiskError, InternalError, RunFolderError, WorkerError
from autotl.files import checked, file_ref
from autotl.records import Budget, FileRef, Trial, from_json, to_json
from autotl.run.journal import Journal, Line, full_disk
from autotl.run.ledger import JournalLedger, round_trip

R = TypeVar("R")

LOCK = ".lock"
_OPENED_WITH = ("run.json", "journal.jsonl", "worker.log", LOCK)


class Observer(Protocol):
    """Who is told of finished steps and trials once they are in the journal; never of replays."""

    def step_finished(self, step: str, record: Any) -> None:
        """Called after a step's line is on the disk."""

    def trial_finished(self, trial: Trial) -> None:
        """Called after a trial's last line is on the disk."""


class Run:
    """An open run. Steps go through `once`, trials through `ledger()`; a context manager.

    `request` is that of `run.json` with the last budget that the run was given.
    A fresh run that an error of ours ends before anything was measured leaves nothing behind, so
    that the corrected command can have its folder. After a bug or a crash the evidence is kept.
    """

    def __init__(
        self,
        folder: Path,
        described: Mapping[str, Any],
        lock: filelock.FileLock | None,
        journal: Journal,
        *,
        fresh: bool = False,
        made: tuple[Path, ...] = (),
    ) -> None:
        self.folder = folder.absolute()
        self.name: str = described["name"]
        self.request: dict[str, Any] = dict(described["request"])
        self._first_budget: Any = self.request.get("budget")
        for line in journal.lines:
            if line["kind"] == "budget":
                self.request["budget"] = line["budget"]
        self.versions: dict[str, str] = dict(described["versions"])
        self.plugins: dict[str, str] = dict(described["plugins"])
        self.observers: list[Observer] = []
        self._lock = lock
        self._journal = journal
        self._fresh = fresh
        self._made = made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        a_bug = isinstance(error, InternalError | WorkerError)
        if isinstance(error, AutotlError | MemoryError) and not a_bug:
            self.abandon()
        self.close()

    def abandon(self) -> bool:
        """Close and remove a run that was begun here and has measured nothing, its folder too
        and those above it where they were `made` for it (the lowest first); say whether it did.
        Any other run is left as it is.
        """
        if self.kept():
            return False
        self._journal.close()
        with contextlib.suppress(OSError):
            for name in _OPENED_WITH:
                (self.folder / name).unlink(missing_ok=True)
            for folder in self._made:
                folder.rmdir()
        self.close()
        return True

    def kept(self) -> bool:
        """Whether the folder would stay if an error of ours ended this sitting now."""
        return not self._fresh or any(_worth_keeping(line) for line in self._journal.lines)

    def close(self) -> None:
        """Close the journal and let the folder go; closing twice is harmless."""
        self._journal.close()
        if self._lock is not None:
            self._lock.release()

    def once(
        self,
        step: str,
        record_class: type[R],
        compute: Callable[[], R],
        *,
        verify: Callable[[R], None] | None = None,
        anew: bool = False,
    ) -> R:
        """The step's record: from the journal where it is there, else computed and written there.

        `anew` computes it all the same; the last record is then the one that holds. `verify` sees
        a record from the journal and raises where its files are not as it says. Where `compute`
        raises, the seconds it took are written down and the error goes through.
        """
        known = None if anew else self.recorded(step, record_class)
        if known is not None:
            if verify is not None:
                verify(known)
            return known
        before = self.seconds().get(step, 0.0)
        self._journal.append("step-started", name=step)
        began = self._journal.elapsed()
        try:
            data, record = round_trip(record_class, compute())
        except BaseException as error:
            self._note_stop(step, error)
            if full_disk(error):
                raise DiskError(f"The disk is full: {error}.", hint="Free some space.") from error
            raise
        seconds = before + self._journal.elapsed() - began
        self._journal.append("step", name=step, record=data, seconds=seconds)
        for observer in self.observers:
            observer.step_finished(step, record)
        return record

    def _note_stop(self, step: str, error: BaseException) -> None:
        try:
            if isinstance(error, KeyboardInterrupt | DiskError) or full_disk(error):
                for number in self._running_trials():
                    self._journal.append("trial-stopped", number=number)
            self._journal.append("step-stopped", name=step)
        except AutotlError as second:
            error.add_note(f"The journal could not be written either: {second}")

    def _running_trials(self) -> list[int]:
        """Numbers of the trials that this sitting started and that have no end."""
        running: list[int] = []
        for line in self._journal.lines:
            if line["kind"] == "sitting":
                running = []
            elif line["kind"] == "trial-started":
                running.append(line["number"])
            elif line["kind"] in ("trial-stopped", "trial-finished") and line["number"] in running:
                running.remove(line["number"])
        return running

    def asked(self, record_class: type[R]) -> R:
        """The request as a record. Raises `RunFolderError` where it does not fit `record_class`:
        another version of autotl wrote it.
        """
        return self._converted(record_class, self.request, "request")

    def set_budget(self, budget: Budget) -> None:
        """Put another budget in place of the request's, for this sitting and later ones."""
        data = to_json(budget)
        self._journal.append("budget", budget=data)
        self.request["budget"] = data

    def rendered(self, path: Path) -> FileRef:
        """Note that the page at `path` was written again; `page` then gives its new checksum."""
        found = file_ref(path, self.folder)
        if found != self.page():
            self._journal.append("page", page=to_json(found))
        return found

    def page(self) -> FileRef | None:
        """The page as it was last written again, None where it never was."""
        for line in reversed(self._journal.lines):
            if line["kind"] == "page":
                return self._converted(FileRef, line["page"], "page")
        return None

    def budget_of(self, step: str) -> Budget | None:
        """The budget that the run had when the step ended, or None where it has not."""
        budget, found = self._first_budget, None
        for line in self._journal.lines:
            if line["kind"] == "budget":
                budget = line["budget"]
            elif line["kind"] == "step" and line["name"] == step:
                found = budget
        return None if found is None else self._converted(Budget, found, "budget")

    def recorded(self, step: str, record_class: type[R]) -> R | None:
        """The step's last record in the journal, or None. Raises `RunFolderError` where it does not
        fit `record_class`: another version of autotl wrote it.
        """
        for line in reversed(self._journal.lines):
            if line["kind"] == "step" and line["name"] == step:
                return self._understood(record_class, line)
        return None

    def _understood(self, record_class: type[R], line: Line) -> R:
        return self._converted(record_class, line["record"], f"{line.get('name', 'trial')} record")

    def _converted(self, record_class: type[R], data: Any, what: str) -> R:
        try:
            return from_json(record_class, data)
        except msgspec.ValidationError as error:
            raise RunFolderError(
                f"{self.folder} was written by another version of autotl: its {what} is not "
                f"understood ({error}).",
                hint="Use the version named in run.json, or start a new run.",
            ) from error

    def trials(self) -> tuple[Trial, ...]:
        """All trials that ended, finished or failed, in the order of their numbers."""
        ended = [line for line in self._journal.lines if line["kind"] == "trial-finished"]
        trials = (self._understood(Trial, line) for line in ended)
        return tuple(sorted(trials, key=lambda trial: trial.number))

    def trial(self, number: int) -> Trial | None:
        """The trial of that number that ended, finished or failed, or None."""
        for line in self._journal.lines:
            if line["kind"] == "trial-finished" and line["number"] == number:
                return self._understood(Trial, line)
        return None

    def seconds(self) -> dict[str, float]:
        """Seconds by step, over all sittings: finished steps, and so far known of unfinished."""
        found: dict[str, float] = {}
        running, since, last = "", 0.0, 0.0
        for line in [*self._journal.lines, Line(kind="sitting", at=0.0)]:
            if line["kind"] in ("sitting", "step-started", "step-stopped") and running:
                end = line["at"] if line["kind"] == "step-stopped" else last
                found[running] = found.get(running, 0.0) + end - since
                running = ""
            if line["kind"] == "step-started":
                running, since = line["name"], line["at"]
            elif line["kind"] == "step":
                found[line["name"]] = line["seconds"]
                running = ""
            last = line["at"]
        return found

    def seconds_spent(self) -> float:
        """Seconds of all sittings: earlier ones up to their last line, this one up to now."""
        return self._journal.earlier + self._journal.elapsed()

    def ledger(self) -> JournalLedger:
        """What the search tells of its trials to."""
        return JournalLedger(self, self._journal)

    def check(self, ref: FileRef) -> Path:
        """The absolute path of the file; raises `RunFolderError` unless it is as recorded."""
        return checked(ref, self.folder)


def _worth_keeping(line: Line) -> bool:
    kind: str = line["kind"]
    return kind.startswith("trial-") or (kind == "step" and line["name"] == "measure")
