"""Small ONNX classifiers: as our export assembles them, and as somebody else would write them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import onnx

from autotl.export import graph
from autotl.prediction import CARD_SCHEMA
from autotl.records import Preprocessing, to_json

CLASSES = ["rouge", "grün", "bleu"]
SHARE = {"value": 0.9, "low": 0.8, "high": 0.95}
CARD: dict[str, Any] = {
    "schema": CARD_SCHEMA,
    "name": "colours",
    "kind": "image",
    "classes": CLASSES,
    "input": {
        "name": "image",
        "dtype": "uint8",
        "shape": ["batch", "height", "width", 3],
        "content": "upright RGB, 0 to 255, of any height and width",
    },
    "outputs": {"probabilities": "probabilities", "label": "label", "embedding": None},
    "precision": "float32",
    "input_size": 8,
    "preprocessing": to_json(Preprocessing(size=8)),
    "backbone": {
        "name": "Mean",
        "distribution": "tests",
        "license": "Apache-2.0",
        "weights_license": None,
        "source_domain": None,
        "weights_sha256": None,
        "weights_source": None,
        "pretrained": False,
    },
    "strategy": "scratch",
    "stages": {"frozen": [], "trained": ["mean"], "taps": ["mean"]},
    "metrics": {
        "on": "test",
        "examples": 4,
        **dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "majority"), SHARE),
        **dict.fromkeys(("log_loss", "calibration_error", "calibration_error_before"), 0.1),
        "linear_probe": SHARE,
    },
    "data": {"fingerprint": "f00d", "train": 12, "validation": 4, "test": 4},
    "temperature": 1.0,
    "abstention": None,
    "versions": None,
    "seed": 7,
    "created": "2026-11-27T09:00:00+00:00",
}
"""Of the form that `fit` writes; tests/test_card.py holds it to the schema."""

CORE = """<ir_version: 8, opset_import: ["": 18]>
g (float[N,8,8,3] x) => (float[N,3] y) {
  axes = Constant<value_ints: ints = [1, 2]>()
  mean = ReduceMean<keepdims: int = 0>(x, axes)
  scale = Constant<value_float: float = 0.01>()
  scores = Mul(mean, scale)
  y = Softmax<axis: int = 1>(scores)
}"""

FOREIGN = """<ir_version: 8, opset_import: ["": 18], producer_name: "elsewhere">
theirs (uint8[N,%s,3] photo) => (float[N,3] %s) {
  axes = Constant<value_ints: ints = [1, 2]>()
  wide = Cast<to: int = 1>(photo)
  mean = ReduceMean<keepdims: int = 0>(wide, axes)
  scale = Constant<value_float: float = 0.01>()
  logits = Mul(mean, scale)
  %s = Softmax<axis: int = 1>(logits)
}"""


def write_model(
    path: Path,
    told: Any = CARD,
    *,
    classes: Sequence[str] = CLASSES,
    resize: Literal["squash", "crop"] = "squash",
) -> Path:
    """A model that names the strongest colour channel, assembled by our own export."""
    core = onnx.parser.parse_model(CORE)
    preprocessing = Preprocessing(size=8, resize=resize)
    model = graph.assemble(core, preprocessing=preprocessing, classes=classes, card=told)
    onnx.save_model(model, path)
    return path


def write_foreign(
    path: Path, told: Any = None, *, sides: str = "H,W", output: str = "scores"
) -> Path:
    """The same from elsewhere: other names, no label, a card only where one is given."""
    model = onnx.parser.parse_model(FOREIGN % (sides, output, output))
    if told is not None:
        onnx.helper.set_model_props(model, {"autotl": json.dumps(told)})
    onnx.save_model(model, path)
    return path
