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

SCRIPT = """
import os, signal, sys
import autotl

class Killer:
    def __init__(self, step, what):
        self.step, self.what, self.now = step, what, ""
    def step_started(self, step):
        self.now = step
        if step == self.step and not self.what:
            os.kill(os.getpid(), signal.SIGKILL)
    def progress(self, what, done, total):
        if self.what and self.now == self.step and self.what in what:
            os.kill(os.getpid(), signal.SIGKILL)
    def step_finished(self, step, record, seconds): pass
    def trial_finished(self, trial): pass
    def note(self, message): pass

command, run, step, what = sys.argv[1:]
listener = Killer(step, what)
if command == "fit":
    autotl.fit("digits", out=run, trials=3, seed=3, listener=listener)
else:
    autotl.resume(run, listener=listener)
"""

KILLS = [
    ("load", ""),
    ("split", ""),
    ("backbone", ""),
    ("measure", ""),
    ("decide", ""),
    ("search", ""),
    ("search", "training"),
    ("evaluate", ""),
    ("export", ""),
    ("report", ""),
]


def _sitting(command: str, run: Path, step: str, what: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, command, str(run), step, what],
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
    for step, what in KILLS:
        assert _sitting(command, run, step, what) == -signal.SIGKILL, (step, what)
        command = "resume"
    assert _sitting("resume", run, "", "") == 0

    lines = _journal(run)
    steps = Counter(line["name"] for line in lines if line["kind"] == "step")
    assert set(steps) == {step for step, _ in KILLS}
    assert set(steps.values()) == {1}
    ended = Counter(line["number"] for line in lines if line["kind"] == "trial-finished")
    started = Counter(line["number"] for line in lines if line["kind"] == "trial-started")
    assert ended == {0: 1, 1: 1, 2: 1}
    assert sum(started.values()) == sum(ended.values()) + 1
    assert autotl.load(run).report["search"]["trials"] == 3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_run_gives_what_an_uninterrupted_one_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    monkeypatch.setenv("AUTOTL_CACHE", str(tmp_path / "store"))
    assert _sitting("fit", whole, "", "") == 0
    assert _sitting("fit", killed, "search", "training") == -signal.SIGKILL
    assert _sitting("resume", killed, "", "") == 0
    one, two = autotl.load(whole).report, autotl.load(killed).report
    for report in (one, two):
        for trial in report["search"]["ledger"]:
            trial["seconds"] = None
    assert one["evaluation"] == two["evaluation"]
    same = ("number", "recipe", "hyperparameters", "metrics")
    pick = [[[t[key] for key in same] for t in r["search"]["ledger"]] for r in (one, two)]
    assert pick[0] == pick[1]


def test_an_unfinished_run_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        autotl.load(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunFolderError, match="autotl resume"):
        autotl.load(tmp_path)
