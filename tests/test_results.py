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
    "remeasured",
    "similarity",
    "agreement",
    "latency",
    "predict",
    "first_model",
    "layouts",
    "asked",
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


def cells(page: str, starts: str) -> list[list[str]]:
    """The cells of a table's rows that start so."""
    lines = [line for line in page.splitlines() if line.startswith(f"| {starts}")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_what_the_readme_says_of_whole_runs_is_in_their_tables(results: Any) -> None:
    text = " ".join(README.split("## Figures")[1].split())
    runs = results.between(PAGE, "main_job")
    large, small = (
        [(row[1], row[3].split(";")[0].removeprefix("0")) for row in cells(runs, name)]
        for name in ("MobileNetV2, 5m", "embedded, 3m")
    )
    assert len(large) == len(small) == 4
    assert ", ".join(f"{name} {mean}" for name, mean in large) + " (means of three" in text
    assert "one seed: " + ", ".join(mean for _, mean in small) + "." in text

    beside = results.between(PAGE, "rivals")
    for name in ("flowers", "sign-digits", "cifar10"):
        (row,) = cells(beside, f"{name}, ")
        own, stock, other = (cell.split()[0].removeprefix("0") for cell in row[4:])
        assert re.search(rf"{name} {own} \([^(]*{stock}, (AutoKeras )?{other}\)", text), name

    speed = [row[4] for row in cells(results.between(PAGE, "throughput"), "flowers, ")[:2]]
    words = {"51": "a fifty-first of the time", "5": "with stages trained a fifth"}
    assert all(words[ratio] in text for ratio in speed)

    ratios = sorted(float(row[3]) for row in cells(results.between(PAGE, "interrupted"), "neu")[1:])
    assert f"{ratios[0]:.2f} to {ratios[-1]:.2f} times as long" in text

    cost = results.between(PAGE, "fit_cost").split("\n\n")[1]
    given, measured, bare, _ = cells(cost, "photographs, MobileNetV2, 8,000")[0][3].split(", ")
    low, high = sorted((float(given), float(measured)))
    assert f"a further one costs {low:.0f} to {high:.0f} ms, a bare pass in TensorFlow" in text
    assert f"TensorFlow {float(bare):.0f}." in text

    searched = cells(results.between(PAGE, "searched"), "")[2:]
    assert not any("proposal" in row[2] for row in searched)
    gains = [float(row[4].split()[0]) for row in searched if "longer" in row[2]]
    assert f"the longer training gave {min(gains)} to {max(gains)} points" in text


def test_marks_are_filled(results: Any) -> None:
    page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n<!-- y:2 -->\n<!-- /y:2 -->\n"
    done = results.filled(page, "x", "| new |")
    assert done == "a\n<!-- x -->\n\n| new |\n\n<!-- /x -->\nb\n<!-- y:2 -->\n<!-- /y:2 -->\n"
    assert results.between(done, "x") == "| new |"
    assert results.names(page) == ["x", "y:2"]
