"""SIGKILL at twenty random moments of one run: what was finished stays, and nothing is repeated."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import autotl

KILLS = 20
TRIALS = 8
MOMENTS = (0.02, 0.6)
"""When a sitting is killed, as shares of the time that the whole run takes here."""
SURROUNDINGS = {"AUTOTL_DISABLE_PLUGIN_AUTOLOAD": "1"}


def command(run: Path, *, fresh: bool) -> list[str]:
    if not fresh:
        return [sys.executable, "-m", "autotl", "resume", str(run), "-q"]
    return [
        *(sys.executable, "-m", "autotl", "fit", "digits", "-q", "--out", str(run)),
        *("--trials", str(TRIALS), "--seed", "3", "--strategy", "partial-freeze"),
    ]


def journal(run: Path) -> list[dict[str, Any]]:
    path = run / "journal.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def ended(run: Path) -> dict[int, Any]:
    """By number, what each trial that ended tried and gave."""
    found = {}
    for line in journal(run):
        if line["kind"] == "trial-finished":
            record = line["record"]
            metrics = record["result"] and record["result"]["metrics"]
            found[line["number"]] = [record["recipe"], record["hyperparameters"], metrics]
    return found


def sitting(run: Path, seconds: float | None) -> bool:
    """Whether the run ended, or was killed after so many seconds."""
    process = subprocess.Popen(
        command(run, fresh=not (run / "run.json").exists()),
        env=os.environ | SURROUNDINGS,
        start_new_session=True,
    )
    try:
        assert process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        return False
    return True


def check(run: Path, expected: dict[int, Any]) -> None:
    lines = journal(run)
    steps = Counter(line["name"] for line in lines if line["kind"] == "step")
    assert set(steps.values()) == {1}
    finished = Counter(line["number"] for line in lines if line["kind"] == "trial-finished")
    assert finished == Counter(range(TRIALS))
    # one that got as far as a checkpoint has two starts from there again
    started = [line for line in lines if line["kind"] == "trial-started"]
    starts = Counter((line["number"], line["epoch"]) for line in started)
    assert all(count <= 2 for count in starts.values())
    given = ended(run)
    lost = [number for number in range(TRIALS) if given[number][2] is None]
    for number in range(min(lost, default=TRIALS)):  # a lost trial may change what comes after it
        assert given[number] == expected[number]
    assert autotl.load(run).report["search"]["trials"] == TRIALS
    assert not [path for path in run.rglob(".*") if path.name != ".lock"]


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_twenty_kills_at_random_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTL_CACHE", str(tmp_path / "store"))
    whole, began = tmp_path / "whole", time.monotonic()
    assert sitting(whole, None)
    seconds = time.monotonic() - began
    expected = ended(whole)

    draw, kills, number = random.Random(12), 0, 0
    kept: dict[int, Any] = {}
    while kills < KILLS or kept:
        run = tmp_path / f"run-{number}"
        after = seconds * draw.uniform(*MOMENTS)
        over = sitting(run, after if kills < KILLS else None)
        kills += not over
        now = ended(run)
        assert kept.items() <= now.items()
        kept = now
        if over:
            check(run, expected)
            number, kept = number + 1, {}
