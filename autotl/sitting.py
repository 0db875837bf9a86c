"""One process working on a run: the journal, the listener, plugins' observers and the clock."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass, replace
from functools import partial
from shlex import quote
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from autotl import records
from autotl.errors import DiskError, ResourceError, RunFolderError, UsageError
from autotl.plugins import Plugins
from autotl.records import (
    Budget,
    Decision,
    Evaluation,
    Export,
    FileRef,
    Ledger,
    LoadRecord,
    LocatedBackbone,
    Measurements,
    ReportRecord,
    RunRecords,
    SearchRecord,
    SplitRecord,
    Trial,
)
from autotl.request import Request, budget_of
from autotl.run import Run, versions

R = TypeVar("R")

_ANEW = "a new run would choose anew."


class Listener(Protocol):
    """Who is told how a run goes on; the command line's progress is one."""

    def step_started(self, step: str) -> None:
        """A step that is not in the journal begins."""

    def progress(self, what: str, done: int, total: int) -> None:
        """`done` of `total` parts of `what` are done."""

    def step_finished(self, step: str, record: Any, seconds: float) -> None:
        """A step has ended, or was found in the journal (then `seconds` is what it took)."""

    def trial_finished(self, trial: Trial) -> None:
        """A trial has ended, finished or failed."""

    def note(self, message: str) -> None:
        """A remark on the run as a whole."""


class Silent:
    """The listener that says nothing."""

    def step_started(self, step: str) -> None:
        """Nothing."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Nothing."""

    def step_finished(self, step: str, record: Any, seconds: float) -> None:
        """Nothing."""

    def trial_finished(self, trial: Trial) -> None:
        """Nothing."""

    def note(self, message: str) -> None:
        """Nothing."""


class Sitting:
    """Steps done once and told of. Without a run (`inspect`) they are computed and not kept."""

    def __init__(
        self, run: Run | None, asked: Request, plugins: Plugins, listener: Listener
    ) -> None:
        self.run = run
        self.asked = asked
        self.plugins = plugins
        self.listener = listener
        self.passed: set[str] = set()
        self._began = time.monotonic()
        if run is not None:
            run.observers += [plugins, _Trials(listener)]

    def __enter__(self) -> Self:
        if self.run is not None:
            self.listener.note(f"Run folder: {self.run.folder}")
            changed = _changed(self.run, self.plugins)
            if changed:
                self.listener.note(
                    f"Not the versions that the run was started with: {', '.join(changed)}."
                )
            for note in chosen_before(self.run, self.asked):
                self.listener.note(note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, KeyboardInterrupt) and self.run is not None:
            error.run_folder = self.run.folder  # type: ignore[attr-defined]
        elif isinstance(error, ResourceError) and self.run is not None and self.run.kept():
            error.hint = _way_on(self.run, self.asked, error)

    def once(
        self,
        step: str,
        function: Callable[..., R],
        *arguments: Any,
        verify: Callable[[R], None] | None = None,
        anew: bool = False,
        **options: Any,
    ) -> R:
        """What `function(*arguments, **options)` returns, or what the journal has of the step,
        unless it is to be done `anew`.

        The function's return annotation names the record's class; `verify` sees a record from
        the journal and raises where it no longer holds. The listener hears of the step.
        """
        record_class: type[R] = getattr(records, str(function.__annotations__["return"]))
        compute = partial(function, *arguments, **options)
        began = time.monotonic()
        if self.run is None:
            self.listener.step_started(step)
            record = compute()
        else:
            if anew or self.run.recorded(step, record_class) is None:
                self.listener.step_started(step)
            record = self.run.once(step, record_class, compute, verify=verify, anew=anew)
        seconds = time.monotonic() - began if self.run is None else self.run.seconds()[step]
        self.listener.step_finished(step, record, seconds)
        self.passed.add(step)
        return record

    def outdated(self, step: str) -> bool:
        """Whether the step was done for another budget than the run has, and the search, for which
        budgets are, is not over.
        """
        if self.run is None or self.run.recorded("search", SearchRecord) is not None:
            return False
        then = self.run.budget_of(step)
        return then is not None and then != self.asked.budget

    @property
    def ledger(self) -> Ledger:
        """What the search tells of its trials to."""
        if self.run is None:
            raise ValueError("only a run has a ledger")
        return self.run.ledger()

    def seconds_left(self) -> float | None:
        """What is left of the budget's seconds; None where they are not limited."""
        seconds = self.asked.budget.seconds
        return None if seconds is None else seconds - self.seconds_spent()

    def seconds_spent(self) -> float:
        """What this sitting and those before it took."""
        return self.run.seconds_spent() if self.run else time.monotonic() - self._began

    def require_seconds(self, before: str) -> None:
        """Raise `ResourceError` where the budget is spent before the step `before` began.

        A run that has its measurements goes on: what is left to do keeps to the budget by itself,
        and a finished run can be read again.
        """
        if self.run is not None and self.run.recorded("measure", Measurements) is not None:
            return
        left = self.seconds_left()
        if left is not None and left <= 0:
            raise ResourceError(
                f"The budget of {self.asked.budget.seconds:.0f} s was spent before {before}.",
                hint="Give a larger one with --budget, such as 10m.",
            )

    def card(self, load: LoadRecord) -> dict[str, Any]:
        """Facts for the exported file's card that the run knows and the export step does not."""
        return {
            "name": self.run.name if self.run else "",
            "data_fingerprint": load.fingerprint,
            "versions": _versions(self.run),
            "seed": self.asked.seed,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }


def _way_on(run: Run, asked: Request, error: ResourceError) -> str:
    """The error's hint, by a step that knows no run folder, with the command that goes on."""
    command = f"autotl resume {quote(str(run.folder))}"
    if isinstance(error, DiskError):
        return f"{error.hint} Then: {command}"
    if "--budget" not in error.hint:
        return error.hint
    spent = run.seconds_spent()
    minutes = math.ceil((spent + (asked.budget.seconds or 0.0)) / 60)
    return f"{spent:.0f} s are spent. Give it more in all: {command} --budget {minutes}m"


class _Trials:
    """Tells the listener of trials; steps are told of by `Sitting.once`."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    def step_finished(self, step: str, record: Any) -> None:
        """Nothing: `Sitting.once` tells, replayed steps included."""

    def trial_finished(self, trial: Trial) -> None:
        """Pass it on."""
        self.listener.trial_finished(trial)


def same_files(run: Run, *names: str) -> Callable[[Any], None]:
    """What raises `RunFolderError` unless the files in the named fields of a step's record are as
    recorded.
    """

    def verify(record: Any) -> None:
        for name in names:
            for file in _files(getattr(record, name)):
                run.check(file)

    return verify


def _files(value: Any) -> Iterator[FileRef]:
    """Every file that a record, or records in a tuple, name."""
    if isinstance(value, FileRef):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _files(one)
    elif is_dataclass(value):
        for one in vars(value).values():
            yield from _files(one)


def finished(run: Run) -> bool:
    """Whether all is done; raises `RunFolderError` where a file is not what the run wrote.

    Thumbnails are not looked at: the page does without those that are gone.
    """
    report = run.recorded("report", ReportRecord)
    if report is None:
        return False
    evaluation, page = run.recorded("evaluate", Evaluation), run.page() or report.page
    tested = evaluation and replace(evaluation, mistakes=None)
    for record in (tested, run.recorded("export", Export), replace(report, page=None)):
        for file in _files(record):
            run.check(file)
    if page is not None:
        _check_page(run, page)
    return True


def _check_page(run: Run, page: FileRef) -> None:
    try:
        run.check(page)
    except RunFolderError as error:
        error.hint = f"Write it again: autotl report {quote(str(run.folder))}"
        raise


def limit(run: Run, budget: str | float | None, trials: int | None) -> str | None:
    """Put new limits, in all and as in `fit`, in place of the run's; what is None stays.

    Returns what to say of a time limit that stays. Raises `UsageError` where they cannot be meant
    or what was tried so far contradicts them.
    """
    known, ended = run.asked(Request).budget, run.trials()
    given = budget_of(budget, trials)
    if run.recorded("search", SearchRecord) is not None:
        raise UsageError(
            f"The search is over in {run.folder}: a budget would change nothing.",
            hint="Leave out --budget and --trials.",
        )
    if given.trials is not None and given.trials < len(ended):
        raise UsageError(
            f"{len(ended)} trials have ended, so --trials must be at least {len(ended)}."
        )
    proposed = any(trial.origin == "proposal" for trial in ended)
    # under a clock scores steer no proposal, so the journal's would not be proposed again
    if budget is not None and known.seconds is None and proposed:
        raise UsageError(
            "The run was started without a time limit, and its trials were proposed accordingly.",
            hint=f"Limit it by --trials, {len(ended)} or more.",
        )
    run.set_budget(
        Budget(
            seconds=known.seconds if budget is None else given.seconds,
            trials=known.trials if given.trials is None else given.trials,
        )
    )
    if budget is not None or known.seconds is None:
        return None
    left = max(known.seconds - run.seconds_spent(), 0.0)
    return (
        f"The time limit of {known.seconds / 60:.1f} min stays ({left:.0f} s left); "
        "--budget changes it."
    )


def chosen_before(run: Run, asked: Request) -> tuple[str, ...]:
    """What to say of a strategy and an input size that the run chose for other seconds than it has
    now, and keeps.
    """
    found: dict[float | None, list[str]] = {}
    for step, what, named in (
        ("decide", "strategy", asked.strategy),
        ("backbone", "input size", asked.input_size),
    ):
        then = run.budget_of(step) if named is None else None
        if then is not None and then.seconds != asked.budget.seconds:
            found.setdefault(then.seconds, []).append(what)
    return tuple(
        f"{' and '.join(what).capitalize()} were chosen {_limit(seconds)} and stay; {_ANEW}"
        if len(what) > 1
        else f"The {what[0]} was chosen {_limit(seconds)} and stays; {_ANEW}"
        for seconds, what in found.items()
    )


def _limit(seconds: float | None) -> str:
    if seconds is None:
        return "without a time limit"
    return f"for a budget of {seconds / 60:.1f} min"


def _changed(run: Run, plugins: Plugins) -> list[str]:
    """The libraries and plugins whose version is not the one that the run was started with."""
    then = {**run.versions, **run.plugins}
    now = {**versions(), **plugins.versions()}
    return [
        f"{name} {then.get(name, 'absent')}, now {now.get(name, 'absent')}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]


def _versions(run: Run | None) -> dict[str, str]:
    return dict(run.versions) if run else versions()


def run_records(
    at: Sitting,
    load: LoadRecord,
    rows: SplitRecord,
    located: LocatedBackbone,
    measurements: Measurements,
    decision: Decision,
    found: SearchRecord,
    evaluation: Evaluation,
    exported: Export,
) -> RunRecords:
    """All records of the run, for the report; what `chosen_before` says is among the reasons."""
    if at.run is None:
        raise ValueError("only a run has a report")
    kept = chosen_before(at.run, at.asked)
    if kept:
        decision = replace(decision, reasons=(*decision.reasons, *kept))
    return RunRecords(
        name=at.run.name,
        load=load,
        split=rows,
        located=located,
        measurements=measurements,
        decision=decision,
        search=found,
        evaluation=evaluation,
        export=exported,
        trials=at.run.trials(),
        seconds=_seconds(at.run),
        versions=_versions(at.run),
        budget=at.asked.budget,
        metric=at.asked.metric,
        seed=at.asked.seed,
    )


def _seconds(run: Run) -> dict[str, float]:
    """Seconds by step; "other" is the rest of the sittings, such as storing the pixels."""
    steps = {step: value for step, value in run.seconds().items() if step != "report"}
    return {**steps, "other": max(0.0, run.seconds_spent() - sum(steps.values()))}
