"""SIGKILL in every step and in a trial: each time the run is taken up and nothing is repeated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import autotl
from autotl.errors import RunFolderError
from autotl.records import RunEstimate, Trial
from autotl.sitting import Silent

SCRIPT = """
import os, signal, sys
import autotl
from autotl.run import Run
from autotl.sitting import Silent

command, run, killed, when = sys.argv[1:]

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

class Killer(Silent):
    now = ""
    def step_started(self, step):
        self.now = step
    def progress(self, what, done, total):
        if self.now == killed and when not in ("", "end") and when in what:
            kill()

once = Run.once

def killing(self, step, record_class, compute, **options):
    def work():
        record = compute()
        if step == killed and when == "end":
            kill()
        return record
    return once(self, step, record_class, work, **options)

Run.once = killing
if command == "fit":
    autotl.fit("digits", out=run, trials=3, seed=3, listener=Killer())
else:
    autotl.resume(run, listener=Killer())
"""

KILLS = [
    ("load", "reading"),
    ("load", "end"),
    ("split", "end"),
    ("backbone", "end"),
    ("measure", "probes"),
    ("measure", "end"),
    ("decide", "end"),
    ("estimate", "end"),
    ("search", "training"),
    ("search", "end"),
    ("evaluate", "predict"),
    ("evaluate", "end"),
    ("export", "gate"),
    ("export", "end"),
    ("pictures", "end"),
    ("report", "end"),
]
"""Steps, and where in them: at the first progress of a part that is so called, or at the end, when
all of the step's work is done and its line not yet in the journal."""


def _sitting(command: str, run: Path, step: str = "", when: str = "") -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, command, str(run), step, when],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"AUTOTL_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def _journal(run: Path) -> list[dict[str, Any]]:
    lines = (run / "journal.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_in_each_step_and_resumed_to_the_end(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = "fit"
    for step, when in KILLS:
        assert _sitting(command, run, step, when) == -signal.SIGKILL, (step, when)
        command = "resume"
    assert _sitting("resume", run) == 0

    lines = _journal(run)
    steps = Counter(line["name"] for line in lines if line["kind"] == "step")
    assert set(steps) == {step for step, _ in KILLS}
    assert set(steps.values()) == {1}
    ended = Counter(line["number"] for line in lines if line["kind"] == "trial-finished")
    started = Counter(line["number"] for line in lines if line["kind"] == "trial-started")
    assert ended == {0: 1, 1: 1, 2: 1}
    assert sum(started.values()) == sum(ended.values()) + 1  # the one that was killed
    assert not [path for path in run.rglob(".*") if path.name != ".lock"]
    assert autotl.load(run).report["search"]["trials"] == 3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_run_gives_what_an_uninterrupted_one_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    monkeypatch.setenv("AUTOTL_CACHE", str(tmp_path / "store"))
    assert _sitting("fit", whole) == 0
    assert _sitting("fit", killed, "search", "training") == -signal.SIGKILL
    assert _sitting("resume", killed) == 0
    one, two = autotl.load(whole).report, autotl.load(killed).report
    for report in (one, two):
        for trial in report["search"]["ledger"]:
            trial["seconds"] = None
    assert one["evaluation"] == two["evaluation"]
    same = ("number", "recipe", "hyperparameters", "metrics")
    pick = [[[t[key] for key in same] for t in r["search"]["ledger"]] for r in (one, two)]
    assert pick[0] == pick[1]


def test_a_run_that_gets_more_time_is_foreseen_anew(tmp_path: Path) -> None:
    """Stopped after its probe, with other seconds and trials."""

    class Told(Silent):
        def __init__(self, stops: str) -> None:
            self.stops = stops
            self.estimates: list[RunEstimate] = []

        def step_finished(self, step: str, record: Any, seconds: float) -> None:
            if isinstance(record, RunEstimate):
                self.estimates.append(record)
            if step == self.stops:
                raise KeyboardInterrupt

        def trial_finished(self, trial: Trial) -> None:
            if self.stops == "probe":
                raise KeyboardInterrupt

    run, first, second = tmp_path / "run", Told("probe"), Told("estimate")
    with pytest.raises(KeyboardInterrupt):
        autotl.fit("digits", out=run, budget=60, backbone="embedded", listener=first)
    with pytest.raises(KeyboardInterrupt):
        autotl.resume(run, budget=600, trials=2, listener=second)
    (before,), (after,) = first.estimates, second.estimates
    assert (before.budget, after.budget) == (60.0, 600.0)
    assert [one.role for one in before.trainings][:1] == ["heads"]
    assert "heads" not in [one.role for one in after.trainings]
    assert after.warnings == ()
    assert after.longer is None
    assert after.most is not None
    assert 450 < after.most < 600
    again = Told("estimate")
    with pytest.raises(KeyboardInterrupt):
        autotl.resume(run, listener=again)
    assert again.estimates == [after]


def test_an_unfinished_run_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        autotl.load(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunFolderError, match="autotl resume"):
        autotl.load(tmp_path)
