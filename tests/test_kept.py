"""Rows of an earlier trainer count where a later one was shown to train alike."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[1] / "benchmarks"
LEAST = 12
"""Trainings by both trainers, the least that shows it."""


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("kept")


def test_trainers_that_count_as_alike_answered_alike(kept: Any) -> None:
    rows = kept.read(HERE / "confirm.jsonl", renamed=False)
    assert kept.ALIKE
    for earlier, later in kept.ALIKE.items():
        both = [row for row in rows if (row["rows"], row["code"]) == (earlier, later)]
        pairs = [pair for row in both for pair in row["strategies"].values()]
        assert len(pairs) >= LEAST
        for pair in pairs:
            for key in ("right", "validation_told", "curve"):
                assert pair["then"][key] == pair["now"][key]


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
