"""The faults of others that we work around: still there, or mended, as our own words have it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from autotl import convert

FOLDER = Path(__file__).parents[1] / "benchmarks" / "upstream"
SCRIPTS = sorted(FOLDER.glob("*.py"))
STILL = "still there"
MENDED = re.compile(r"mended in (\w+) ([\d.]+): the work-around at autotl/convert\.py:(\w+) may go")


def said(script: str) -> str:
    """What the docstring of `convert` says of the fault that a script shows."""
    (found,) = re.findall(rf"^- `{script}`: (.*?)(?=^- |^$)", str(convert.__doc__), re.M | re.S)
    return " ".join(str(found).split())


def test_each_fault_has_its_script_its_words_and_its_row() -> None:
    told = re.findall(r"^- `(\w+\.py)`", str(convert.__doc__), re.M)
    listed = re.findall(r"^\| `(\w+\.py)`", (FOLDER / "README.md").read_text(), re.M)
    assert sorted(told) == sorted(listed) == [script.name for script in SCRIPTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_the_verdict_is_what_is_said_of_the_fault(script: Path) -> None:
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    *_, verdict = done.stdout.splitlines()
    row = next(
        line for line in (FOLDER / "README.md").read_text().splitlines() if script.name in line
    )
    listed = row.split("|")[-2].strip()
    mended = MENDED.fullmatch(verdict)
    since = re.search(r"(\w+) before (\d+\.\d+)", said(script.name))
    if verdict == STILL:
        assert listed == STILL
        assert since is None, "the docstring of convert says that it is mended"
        return
    assert mended, f"{script.name} gives no verdict: {verdict}"
    library, version, place = mended.groups()
    assert callable(getattr(convert, place))
    assert since is not None, "the docstring of convert does not say that it is mended"
    assert since.group(1) == library
    first = listed.removeprefix("mended in ")
    assert first.startswith(since.group(2))
    assert [int(part) for part in version.split(".")] >= [int(part) for part in first.split(".")]


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_the_place_that_a_script_names_is_there(script: Path) -> None:
    (place,) = re.findall(r"autotl/convert\.py:(\w+)", script.read_text())
    assert callable(getattr(convert, place))


def test_a_script_needs_nothing_of_ours() -> None:
    for script in SCRIPTS:
        assert not re.search(r"^(from|import) autotl", script.read_text(), re.M)
