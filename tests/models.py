"""Small ONNX classifiers: as our export assembles them, and as somebody else would write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx

from autotl.export import graph
from autotl.prediction import CARD_SCHEMA
from autotl.records import Preprocessing

CLASSES = ["rouge", "grün", "bleu"]
CARD = {"schema": CARD_SCHEMA, "classes": CLASSES}

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


def write_model(path: Path, told: Any = CARD) -> Path:
    """A model that names the strongest colour channel, assembled by our own export."""
    core = onnx.parser.parse_model(CORE)
    model = graph.assemble(core, preprocessing=Preprocessing(size=8), classes=CLASSES, card=told)
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
