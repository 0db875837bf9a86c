"""Rows of an earlier trainer count where a later one was shown to train alike."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from autotl.decide import coefficients

HERE = Path(__file__).parents[1] / "benchmarks"
LEAST = 12
"""Trainings by both trainers, the least that shows it."""
COMPARED = ("right", "validation_told", "curve")
CLOCKED = {
    ("trashnet", "MobileNetV2", "full-fine-tune"),
    ("flowers", "MobileNetV2", "full-fine-tune"),
}
"""Under a cap the learning rate goes by the clock too: beside other work these got another one."""


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("kept")


def test_trainers_that_count_as_alike_answered_alike(kept: Any) -> None:
    rows = kept.read(HERE / "confirm.jsonl", renamed=False)
    assert kept.ALIKE
    for pair in map(set, kept.ALIKE.items()):
        both = [row for row in rows if {row["rows"], row["code"]} == pair]
        trained = [one for row in both for one in row["strategies"].items()]
        assert len(trained) >= LEAST
        differ = {
            (one["then"]["data"], one["then"]["backbone"], name)
            for name, one in trained
            if any(one["then"][key] != one["now"][key] for key in COMPARED)
        }
        assert differ <= CLOCKED


def test_the_code_that_measures_gives_the_figures_of_the_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    remeasured, read = (importlib.import_module(name) for name in ("remeasured", "kept"))
    known = coefficients.shipped()[0]
    assert known.measurer == coefficients.measurer_digest()
    found = [row for row in read.read(remeasured.ROWS) if row["measurer"] == known.measurer]
    assert len(found) >= remeasured.CELLS
    assert {row["backbone"] for row in found} == set(known.backbones)
    assert all(remeasured.same(row, known.features) for row in found)
    then = found[0]["then"]
    probe = remeasured.allowed(known.features)["probe"]
    for figures, holds in (
        ({"probe": then["probe"] + 0.9 * probe}, True),
        ({"probe": then["probe"] + 1.1 * probe}, False),
        ({"tap": then["tap"] + 1}, False),
        ({"similarity": None}, False),
        ({"probe of all stages": then["probe of all stages"] + 0.01}, False),
        ({"log of a step over a pass": then["log of a step over a pass"] + 3.4}, False),
    ):
        assert remeasured.same(found[0] | {"now": then | figures}, known.features) is holds


def test_rows_are_read_as_the_last_trainers_that_trains_alike(
    kept: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kept, "ALIKE", {"a": "b", "b": "c"})
    file = tmp_path / "rows.jsonl"
    rows = [{"code": "a"}, {"code": "d"}, {"no": "code"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"torn')
    assert kept.read(file) == [{"code": "c"}, {"code": "d"}, {"no": "code"}]
    assert kept.read(file, renamed=False) == rows
    assert kept.read(tmp_path / "none.jsonl") == []
