"""The benchmark of backbones: what each manner of choosing loses, by known answers."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from autotl.records import to_json
from tests.test_decide import measured
from tests.test_regret import rows


@pytest.fixture
def backbones(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("backbones")


def runs(backbone: str, parameters: int, probe: float, accuracy: float) -> list[Any]:
    """The run of one backbone, whose probe and full fine-tuning have these accuracies."""
    trained = importlib.import_module("trained")
    one = measured(pretrained=probe)
    one = replace(one, parameters_above=(parameters, *one.parameters_above[1:]))
    made = rows("x", full=accuracy)
    made[0]["measurements"] = to_json(one)
    return list(trained.runs([row | {"backbone": backbone} for row in made]))


@pytest.mark.parametrize(
    ("probe", "validated", "row"),
    [
        (0.81, 0.6, "| 200 (1) | 0% | 10.00 | 0.00 | 10.00 | 10.00 | 10.00 | – |"),  # .3 errors
        (0.86, 0.6, "| 200 (1) | 0% | 10.00 | 0.00 | 0.00 | 10.00 | 10.00 | – |"),  # 1.6
        (0.95, 0.6, "| 200 (1) | 0% | 10.00 | 0.00 | 0.00 | 0.00 | 10.00 | – |"),  # 4.7
        (0.79, 0.9, "| 200 (1) | 0% | 10.00 | 10.00 | 10.00 | 10.00 | 0.00 | – |"),
    ],
)
def test_what_each_manner_loses(
    backbones: ModuleType, probe: float, validated: float, row: str
) -> None:
    choices = importlib.import_module("choices")
    large = runs("large", 9, 0.80, 0.70)
    small = runs("small", 3, probe, 0.80)
    small[0].whole["full-fine-tune"]["validation"] = validated
    told = backbones.table([*small, *large], choices._always("full-fine-tune"))
    assert told.splitlines()[-1] == row


def test_one_backbone_alone_is_no_pair(backbones: ModuleType) -> None:
    choices = importlib.import_module("choices")
    told = backbones.table(runs("large", 9, 0.8, 0.7), choices._always("scratch"))
    assert "two backbones" in told
