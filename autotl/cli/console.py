"""Progress on standard error: live where it is a terminal, plain lines where it is not."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.text import Text

    from autotl.records import Trial


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    _print_json(value, indent=2)


def print_json_line(value: Any) -> None:
    """The same in one line, at once."""
    _print_json(value, indent=None)


def _print_json(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if sys.stdout.isatty():  # what a program reads is as it is
        text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    print(text, flush=indent is None)


def let_go(*streams: TextIO) -> None:
    """Send what is still to be written there nowhere, at the interpreter's exit too: the reader
    has closed the pipe.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def plain(text: str) -> str:
    """Words from a file, or its name, without what would steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


PIPED_WIDTH = 1000
"""Characters a line may take where no terminal limits it, so that nothing is cut short."""


def standard_output() -> Console:
    """The console for results: plain and uncut where standard output is piped."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def show(renderables: Iterable[Any]) -> None:
    """Tables and text on standard output; lines end with their last letter where it is piped."""
    _show(renderables, standard_output(), sys.stdout)


def show_remarks(renderables: Iterable[Any]) -> None:
    """The same on standard error."""
    from rich.console import Console

    width = None if sys.stderr.isatty() else PIPED_WIDTH
    _show(renderables, Console(stderr=True, highlight=False, width=width), sys.stderr)


def _show(renderables: Iterable[Any], console: Console, stream: TextIO) -> None:
    from rich.text import Text

    for renderable in renderables:
        soft = isinstance(renderable, Text)
        if console.is_terminal:
            console.print(renderable, soft_wrap=soft)
            continue
        with console.capture() as captured:
            console.print(renderable, soft_wrap=soft)
        print("\n".join(line.rstrip() for line in captured.get().splitlines()), file=stream)


def log_level(verbose: bool) -> None:
    """What of autotl's own log goes to standard error: warnings, or with `verbose` all of it."""
    logging.getLogger("autotl").setLevel(logging.DEBUG if verbose else logging.WARNING)


def listener(*, quiet: bool, verbose: bool) -> Quiet | Plain | Live:
    """The listener for this terminal; `verbose` also sets the level of the log."""
    log_level(verbose)
    return Quiet() if quiet else progress(verbose=verbose)


def progress(*, verbose: bool = False) -> Plain | Live:
    """What the command line shows of a run, on standard error, for Python: `listener=progress()`
    of `fit`, `resume` and `inspect`.
    """
    return Live(verbose) if sys.stderr.isatty() else Plain(verbose)


class Quiet:
    """Says nothing."""

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        return None

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


MOST_REMARKS = 5
"""Warnings of one step that are shown without --verbose."""


def remarks(record: Any, verbose: bool) -> list[str]:
    """The warnings and notes of a step's record: the first few, or with `verbose` all of them
    and the examples that were set aside.
    """
    found = [*getattr(record, "warnings", ()), *getattr(record, "notes", ())]
    found += filter(None, (getattr(record, name, "") for name in ("instead", "size_reason")))
    if verbose:
        aside = getattr(record, "set_aside", ())
        found += (f"set aside: {each.id}: {each.reason}" for each in aside)
    found = [plain(line) for line in found]  # names of files and classes may steer a terminal
    if verbose:
        return found
    more = len(found) - MOST_REMARKS
    return found[:MOST_REMARKS] + ([f"and {more} more; -v shows all"] if more > 0 else [])


class Plain:
    """A line when a step ends, and within a long one after five seconds and then every ten."""

    first = 5.0
    every = 10.0

    def __init__(self, verbose: bool) -> None:
        self.verbose = verbose
        self.last = self.began = time.monotonic()
        self.pause = self.first
        self.what = ""
        self.done = 0

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def _say(self, text: str) -> None:
        self.last = time.monotonic()
        try:
            print(text, file=sys.stderr, flush=True)
        except BrokenPipeError:  # nobody listens, but the run goes on
            let_go(sys.stderr)

    def step_started(self, step: str) -> None:
        """Start the clock for the long step's own lines."""
        self.last = time.monotonic()
        self.pause, self.what = self.first, ""

    def progress(self, what: str, done: int, total: int) -> None:
        """A line, with the time left, if the last one is old enough."""
        now = time.monotonic()
        if what != self.what:
            self.what, self.began, self.done = what, now, done
        if now - self.last >= self.pause:
            self._say(f"  ... {what} {done:,} of {total:,}{self._left(done, total, now)}")
            self.pause = self.every

    def _left(self, done: int, total: int, now: float) -> str:
        from autotl.report.terminal import minutes

        if done <= self.done or now <= self.began:
            return ""
        seconds = (now - self.began) / (done - self.done) * max(0, total - done)
        return f", about {minutes(seconds / 60)} left"

    def step_finished(self, step: str, record: Any, seconds: float) -> None:
        """The step's line."""
        from autotl.report.terminal import step_line

        self._say(f"{step:<9} {plain(step_line(record))}  [{seconds:.1f} s]")
        for remark in remarks(record, self.verbose):
            self._say(f"  ! {remark}")

    def trial_finished(self, trial: Trial) -> None:
        """The trial's line."""
        from autotl.report.terminal import trial_line

        self._say(f"  {trial_line(trial)}")

    def note(self, message: str) -> None:
        """A remark on the run as a whole."""
        self._say(message)


class Live:
    """The step's line when it ends; while it runs a bar with how far it is and the time left."""

    def __init__(self, verbose: bool, *, redirect_stdout: bool = True) -> None:
        from rich.console import Console

        self.verbose = verbose
        self.redirect_stdout = redirect_stdout
        self.console = Console(stderr=True, highlight=False)
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self.what = ""

    def __enter__(self) -> Live:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("gone,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self.console,
            transient=True,
            redirect_stdout=self.redirect_stdout,
        )
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def step_started(self, step: str) -> None:
        """A bar without a length until the step says how long it is."""
        self._replace(step, None)

    def _replace(self, what: str, total: int | None) -> None:
        if self.bar is None:
            return
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.what = what
        self.task = self.bar.add_task(what, total=total)

    def progress(self, what: str, done: int, total: int) -> None:
        """Move the bar; a new `what` starts a new one."""
        if what != self.what:
            self._replace(what, total)
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=done, total=total or None)

    def step_finished(self, step: str, record: Any, seconds: float) -> None:
        """The step's line above the bar."""
        from rich.text import Text

        from autotl.report.terminal import step_line

        line = Text.assemble(plain(step_line(record)), (f"  {seconds:.1f} s", "dim"))
        self._hang(("✓", "green"), line, name=step)
        for remark in remarks(record, self.verbose):
            self._hang(("  !", "yellow"), Text(plain(remark)))

    def trial_finished(self, trial: Trial) -> None:
        """The trial's line above the bar."""
        from rich.text import Text

        from autotl.report.terminal import trial_line

        self._hang(("   ", ""), Text(trial_line(trial), style="dim"))

    def _hang(self, mark: tuple[str, str], text: Text, name: str = "") -> None:
        """A line after its mark; what does not fit the screen goes on under its beginning."""
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        cells = [Text(*mark), *([Text(f"{name:<9}", style="bold")] if name else []), text]
        table.add_row(*cells)
        self.console.print(table)

    def note(self, message: str) -> None:
        """A remark on the run as a whole."""
        from rich.markup import escape

        self.console.print(escape(message))
