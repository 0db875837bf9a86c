from __future__ import annotations

import copy
import json
from dataclasses import replace
from importlib import resources
from typing import Any

import jsonschema
import pytest

from autotl.export import card
from autotl.records import Abstention, FileRef, Interval, Weights
from tests.models import CARD
from tests.test_export import DATASET, LOCATED, SEARCH, SPLIT, evaluation

SCHEMA = json.loads(
    resources.files("autotl.export").joinpath("card.schema.json").read_text("utf-8")
)
REF = FileRef(path="model.keras", sha256="", size=0)
FACTS = {"name": "run", "data_fingerprint": "f00d", "versions": {"keras": "3"}, "seed": 7}


def described(**changes: Any) -> dict[str, Any]:
    judged = replace(evaluation(REF), **changes)
    return card.describe(judged, SEARCH, DATASET, SPLIT, LOCATED, FACTS)


def faults(told: dict[str, Any]) -> list[str]:
    found = jsonschema.Draft202012Validator(SCHEMA).iter_errors(json.loads(json.dumps(told)))
    return [error.message for error in found]


def validate(told: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(told)))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"] == SCHEMA["properties"]["schema"]["const"] == card.SCHEMA


def test_a_card_is_of_its_schema() -> None:
    assert faults(described()) == []


def test_the_card_of_the_small_models_in_tests_is_of_the_form_that_is_written() -> None:
    validate(CARD)
    assert sorted(_keys(CARD)) == sorted(_keys(described() | {"versions": None}))


def test_a_card_that_knows_little_is_of_its_schema_too() -> None:
    recipe = replace(SEARCH.best.recipe, pretrained=False, strategy="scratch")
    found = replace(SEARCH, best=replace(SEARCH.best, recipe=recipe))
    judged = replace(evaluation(REF), linear_probe=None)
    assert faults(card.describe(judged, found, DATASET, SPLIT, LOCATED, {})) == []


def _keys(part: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(part, dict):
        return []
    own = [(*path, key) for key in part if path != ("versions",)]
    return own + [key for name in part for key in _keys(part[name], (*path, name))]


@pytest.mark.parametrize("path", _keys(described()))
def test_each_entry_is_required(path: tuple[str, ...]) -> None:
    told: Any = copy.deepcopy(described())
    within = told
    for key in path[:-1]:
        within = within[key]
    del within[path[-1]]
    with pytest.raises(jsonschema.ValidationError):
        validate(told)


def test_the_threshold_is_there_for_programs_that_abstain() -> None:
    share = Interval(value=0.8, low=0.7, high=0.9)
    chosen = Abstention(
        target_precision=0.95, threshold=0.7, bound=0.951, coverage=share, precision=share
    )
    told = described(abstention=chosen)
    validate(told)
    assert told["abstention"]["threshold"] == 0.7
    assert described(abstention=replace(chosen, threshold=None))["abstention"] is None


def test_a_card_of_8_bits_has_figures_of_its_own() -> None:
    told = described() | {"precision": "int8", "metrics": None, "abstention": None}
    measured = {"rows": 40, "accuracy": 0.9, "accuracy_float": 0.9, "difference": {}, "paces": []}
    validate(told | {"variant": measured})
    del measured["accuracy_float"]
    with pytest.raises(jsonschema.ValidationError):
        validate(told | {"variant": measured})


def test_the_weights_have_a_source() -> None:
    assert described()["backbone"]["weights_source"] is None
    for weights, source in (
        (Weights(file="w", url="https://example.org/w"), "https://example.org/w"),
        (Weights(file="w", package="tiny"), "package tiny"),
    ):
        backbone = replace(LOCATED.backbone, weights=(weights,))
        located = replace(LOCATED, backbone=backbone)
        told = card.describe(evaluation(REF), SEARCH, DATASET, SPLIT, located, FACTS)
        assert told["backbone"]["weights_source"] == source
