"""The pages' tables are what the scripts print of the rows beside them."""

from __future__ import annotations

import importlib
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


def test_marks_are_filled(results: Any) -> None:
    page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n<!-- y:2 -->\n<!-- /y:2 -->\n"
    done = results.filled(page, "x", "| new |")
    assert done == "a\n<!-- x -->\n\n| new |\n\n<!-- /x -->\nb\n<!-- y:2 -->\n<!-- /y:2 -->\n"
    assert results.between(done, "x") == "| new |"
    assert results.names(page) == ["x", "y:2"]
