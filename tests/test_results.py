"""The pages' tables are what the scripts print of the rows beside them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[1] / "benchmarks"
PAGE = (HERE / "RESULTS.md").read_text("utf-8")
README = (HERE.parent / "README.md").read_text("utf-8")
NAMES = (
    "main_job",
    "throughput",
    "rivals",
    "searched",
    "fit_cost",
    "spending",
    "sizes",
    "interrupted",
    "features:2",
    "confirm",
    pytest.param("strategies", marks=pytest.mark.slow),
)


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("results")


@pytest.mark.parametrize("name", NAMES)
def test_a_table_is_what_its_script_prints(results: Any, name: str) -> None:
    assert results.between(PAGE, name) == results.printed(name)


def test_every_marked_table_is_compared(results: Any) -> None:
    named = {getattr(name, "values", (name,))[0] for name in NAMES}
    assert set(results.names(PAGE)) == named


def test_the_readme_has_rows_of_that_table(results: Any) -> None:
    shown = results.between(README, "ways")
    assert shown == results.ways(results.between(PAGE, "strategies"))
    assert "| autotl |" in shown


def test_what_the_readme_says_of_that_table_is_so(results: Any) -> None:
    page = results.between(PAGE, "strategies")
    text = " ".join(README.split("## Figures")[1].split())
    large, sets = re.findall(r"^(\d+) cells of 200 examples or more, (\d+) data sets", page, re.M)[
        0
    ]
    small = re.findall(r"^(\d+) cells of fewer", page, re.M)[0]
    assert f"In {large} cells of 200 examples or more ({sets} data sets" in text
    assert f"{small} cells of 50 examples" in text
    own = [cell.strip() for cell in re.findall(r"^\| autotl \|.*", page, re.M)[0].split("|")]
    assert f"The worst cell ({own[4]} points" in text
    told = re.findall(r"([+-][\d.]+) points on ([\d,]+) examples \(([^)]*)\)", text)
    assert len(told) >= 3
    for points, size, interval in told:
        row = rf"^\| all stages, feature-extraction \| {size} \(\d+\) \| (.*?) \|"
        assert re.findall(row, page, re.M) == [f"{points} ({interval})"]


def test_marks_are_filled(results: Any) -> None:
    page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n<!-- y:2 -->\n<!-- /y:2 -->\n"
    done = results.filled(page, "x", "| new |")
    assert done == "a\n<!-- x -->\n\n| new |\n\n<!-- /x -->\nb\n<!-- y:2 -->\n<!-- /y:2 -->\n"
    assert results.between(done, "x") == "| new |"
    assert results.names(page) == ["x", "y:2"]
