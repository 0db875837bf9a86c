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
CELLS = 8
"""Cells measured again, the least."""


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("kept")


def test_trainers_that_count_as_alike_answered_alike(kept: Any) -> None:
    rows = kept.read(HERE / "confirm.jsonl", renamed=False)
    assert kept.ALIKE
    for pair in map(set, kept.ALIKE.items()):
        both = [row for row in rows if {row["rows"], row["code"]} == pair]
        every = [one for row in both for one in row["strategies"].values()]
        trained = [one for one in every if one["then"]["cap"] is None]  # else the clock counts too
        assert len(trained) >= LEAST
        for one in trained:
            for key in ("right", "validation_told", "curve"):
                assert one["then"][key] == one["now"][key]


def test_the_code_that_measures_gives_the_figures_of_the_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    remeasured, read = (importlib.import_module(name) for name in ("remeasured", "kept"))
    known = coefficients.shipped()[0]
    assert known.measurer == coefficients.measurer_digest()
    found = [row for row in read.read(remeasured.ROWS) if row["measurer"] == known.measurer]
    assert len(found) >= CELLS
    assert {row["backbone"] for row in found} == set(known.backbones)
    assert all(remeasured.same(row, known.features) for row in found)
    moved = found[0] | {"now": found[0]["now"] | {"tap": found[0]["then"]["tap"] + 1}}
    assert not remeasured.same(moved, known.features)
    gone = found[0] | {"now": found[0]["now"] | {"similarity": None}}
    assert not remeasured.same(gone, known.features)
    widths = {scale.name: scale.deviation for scale in known.features}
    nearly = found[0]["then"]["probe"] + 0.009 * widths["probe"]
    assert remeasured.same(found[0] | {"now": found[0]["then"] | {"probe": nearly}}, known.features)
    beyond = found[0]["then"]["probe"] + 0.011 * widths["probe"]
    moved = found[0] | {"now": found[0]["then"] | {"probe": beyond}}
    assert not remeasured.same(moved, known.features)


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
