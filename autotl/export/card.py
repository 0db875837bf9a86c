"""The card: what a model file says of itself, as JSON in the file's own metadata.

`card.schema.json` beside this module is its JSON Schema: what other programs may rely on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotl.records import (
    Abstention,
    Dataset,
    Evaluation,
    LocatedBackbone,
    Recipe,
    SearchRecord,
    Split,
    to_json,
)

if TYPE_CHECKING:
    import onnx

SCHEMA = "autotl-card/1"
KEY = "autotl"


def describe(
    evaluation: Evaluation,
    search: SearchRecord,
    dataset: Dataset,
    split: Split,
    located: LocatedBackbone,
    facts: Mapping[str, Any],
    *,
    embedding: bool = False,
) -> dict[str, Any]:
    """The card as JSON-ready builtins.

    `facts` holds what only the caller knows: `name` of the run, `data_fingerprint`, `versions`,
    `seed` and `created`; one that is not given is null, and `created` is then now, in UTC.
    Strategy and stages are the exported trial's, which need not be what was decided. `embedding`
    says whether the file gives one.
    """
    recipe = search.best.recipe
    return {
        "schema": SCHEMA,
        "name": facts.get("name"),
        "kind": dataset.kind,
        "classes": list(dataset.classes),
        "input": {
            "name": "image",
            "dtype": "uint8",
            "shape": ["batch", "height", "width", 3],
            "content": "upright RGB, 0 to 255, of any height and width",
        },
        "outputs": {
            "probabilities": "probabilities",
            "label": "label",
            "embedding": "embedding" if embedding else None,
        },
        "precision": "float32",
        "input_size": located.input_size,
        "preprocessing": to_json(located.preprocessing),
        "backbone": _backbone(located, recipe),
        "strategy": recipe.strategy,
        "stages": _stages(located, recipe),
        "metrics": _metrics(evaluation),
        "data": {
            "fingerprint": facts.get("data_fingerprint"),
            "train": len(split.train),
            "validation": len(split.validation),
            "test": len(split.test),
        },
        "temperature": evaluation.temperature,
        "abstention": _abstention(evaluation.abstention),
        "versions": facts.get("versions"),
        "seed": facts.get("seed"),
        "created": facts.get("created") or datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _abstention(chosen: Abstention | None) -> dict[str, Any] | None:
    """What a program needs that shall abstain; None where there is no threshold to abstain by."""
    if chosen is None or chosen.threshold is None:
        return None
    told: dict[str, Any] = to_json(chosen)
    return told


def _backbone(located: LocatedBackbone, recipe: Recipe) -> dict[str, Any]:
    backbone = located.backbone
    return {
        "name": backbone.name,
        "distribution": located.distribution,
        "license": backbone.license,
        "weights_license": (backbone.weights_license or None) if recipe.pretrained else None,
        "source_domain": backbone.source_domain if recipe.pretrained else None,
        "weights_sha256": located.weights_sha256 if recipe.pretrained else None,
        "weights_source": _weights_source(located) if recipe.pretrained else None,
        "pretrained": recipe.pretrained,
    }


def _weights_source(located: LocatedBackbone) -> str | None:
    """Where the weights file may be had: its address, or the package that holds it."""
    name = Path(located.weights or "").name
    for weights in located.backbone.weights:
        if weights.file == name:
            return weights.url or (f"package {weights.package}" if weights.package else None)
    return None


def _stages(located: LocatedBackbone, recipe: Recipe) -> dict[str, Any]:
    stages = located.backbone.stages
    return {
        "frozen": list(stages[: recipe.boundary]),
        "trained": list(stages[recipe.boundary : recipe.last]),
        "taps": [stages[tap - 1] for tap in recipe.taps],
    }


def _metrics(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "on": "test",
        "examples": evaluation.examples,
        "accuracy": to_json(evaluation.accuracy),
        "balanced_accuracy": to_json(evaluation.balanced_accuracy),
        "macro_f1": to_json(evaluation.macro_f1),
        "log_loss": evaluation.log_loss,
        "calibration_error": evaluation.calibration_error,
        "calibration_error_before": evaluation.calibration_error_before,
        "majority": to_json(evaluation.majority),
        "linear_probe": to_json(evaluation.linear_probe),
    }


def add(model: onnx.ModelProto, facts: Mapping[str, Any]) -> None:
    """Add facts to the card that a file carries."""
    (entry,) = (one for one in model.metadata_props if one.key == KEY)
    entry.value = json.dumps({**json.loads(entry.value), **facts}, ensure_ascii=False)
