"""The complete graph: resize, the converted model, label lookup and the card in one file.

The parts around the model are authored with spox and joined to it by name. The worker process
runs `convert`; the rest needs no keras.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autotl.calls import Progress
from autotl.export import outside
from autotl.export.card import KEY
from autotl.export.features import with_features
from autotl.records import Preprocessing, from_json

if TYPE_CHECKING:
    import keras
    import onnx
    import spox

OPSET = 18
IR_VERSION = 8
"""The IR version that came with opset 18: every runtime that knows the one knows the other."""

IMAGE = "image"
PIXELS = "pixels"
PROBABILITIES = "probabilities"
LABEL = "label"
EMBEDDING = "embedding"
_MODEL = "model/"
_SCORES = "scores"
_FEATURES = "features"


def convert(spec: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a worker: a saved Keras model becomes the complete ONNX file.

    `spec`: model (`.keras`), preprocessing, classes, card, out (path of the `.onnx`), embedding
    (whether what the head reads is an output), largest (bytes that one file may hold; the big
    arrays of a larger model lie beside it). Gives bytes, of all that was written, and features, the
    embedding's length or None. Raises `ParityError` where the model cannot be converted.
    """
    import keras

    from autotl.convert import to_onnx

    progress("convert", 0, 2)
    model = keras.models.load_model(spec["model"], compile=False)
    whole = with_features(model) if spec["embedding"] else model
    apart = _apart(model, spec["largest"])
    outputs = (_SCORES, _FEATURES) if spec["embedding"] else (_SCORES,)
    converted = to_onnx(
        whole, opset=OPSET, input_names=(PIXELS,), output_names=outputs, apart=apart
    )
    progress("convert", 1, 2)
    arrays = {one.path: np.asarray(one.value) for one in apart} | outside.lift(converted)
    complete = assemble(
        converted,
        preprocessing=from_json(Preprocessing, spec["preprocessing"]),
        classes=spec["classes"],
        card=spec["card"],
    )
    named = {_MODEL + name: array for name, array in arrays.items()}
    written = outside.save(complete, named, Path(spec["out"]), largest=spec["largest"])
    progress("convert", 2, 2)
    features = whole.outputs[1].shape[1] if spec["embedding"] else None
    return {"bytes": written, "features": features}


def _apart(model: keras.Model, largest: int) -> list[keras.Variable]:
    """The big variables of a model that is too large for one protobuf, else none."""
    sizes = [4 * int(np.prod(one.shape)) for one in model.variables]
    if sum(sizes) <= largest:
        return []
    return [one for one, size in zip(model.variables, sizes, strict=True) if size >= outside.BIG]


def assemble(
    model: onnx.ModelProto,
    *,
    preprocessing: Preprocessing,
    classes: Sequence[str],
    card: Mapping[str, Any],
) -> onnx.ModelProto:
    """Join resize, model and label lookup, and put the card in.

    `model` has one float32 input (batch, size, size, 3) with levels 0 to 255, and constants that
    were lifted out of it, which stay inputs, under `model/`. Its first output is float32 (batch,
    classes), a second one an embedding, float32 (batch, features). The result takes uint8 (batch,
    height, width, 3), RGB, of any size and gives `probabilities` float32 (batch, classes), `label`
    string (batch,) and, where there is one, `embedding`.
    """
    from onnx import compose, helper

    core = _part(model, _MODEL, interface=True)
    ends = [value.name for value in core.graph.output]
    features = _sides(core.graph.output[1])[1] if len(ends) > 1 else None
    front = _part(_front(preprocessing), "resize/")
    back = _part(_back(classes, features), "lookup/")
    joined = compose.merge_models(front, core, io_map=[(PIXELS, core.graph.input[0].name)])
    pairs = list(zip(ends, (_SCORES, _FEATURES), strict=False))
    joined = compose.merge_models(joined, back, io_map=pairs)
    _declare(joined, preprocessing.size, len(classes), features)
    helper.set_model_props(joined, {KEY: json.dumps(card, ensure_ascii=False)})
    return joined


def _sides(value: onnx.ValueInfoProto) -> tuple[str | int, ...]:
    return tuple(side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim)


def _part(model: onnx.ModelProto, prefix: str, *, interface: bool = False) -> onnx.ModelProto:
    """A copy with every name under `prefix`, inputs and outputs only where `interface` says so,
    that declares the one opset and IR version and no domain that it does not use.
    """
    from onnx import ModelProto, compose, version_converter

    (given,) = (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    part = ModelProto()
    part.CopyFrom(model if given == OPSET else version_converter.convert_version(model, OPSET))
    used = {node.domain for node in part.graph.node} | {""}
    kept = [entry for entry in part.opset_import if entry.domain in used]
    part.ClearField("opset_import")
    part.opset_import.extend(kept)
    part.ir_version = IR_VERSION
    # shapes that the converter noted carry its own names for the batch
    part.graph.ClearField("value_info")
    return compose.add_prefix(
        part, prefix, inplace=True, rename_inputs=interface, rename_outputs=interface
    )


def _front(preprocessing: Preprocessing) -> onnx.ModelProto:
    """`image` uint8 of any size → `pixels` float32 (batch, size, size, 3)."""
    import spox
    import spox.opset.ai.onnx.v18 as op

    image = spox.argument(spox.Tensor(np.uint8, ("batch", "height", "width", 3)))
    place = _cropped if preprocessing.resize == "crop" else _squashed
    resized = place(image, preprocessing.size)
    return spox.build({IMAGE: image}, {PIXELS: op.cast(resized, to=np.float32)})


def _squashed(image: spox.Var, size: int) -> spox.Var:
    sides = _numbers(size)
    return _resized(image, sides, sides)


def _cropped(image: spox.Var, size: int) -> spox.Var:
    """The shorter side becomes `size`, the longer one in proportion, and the centre is cut."""
    import spox.opset.ai.onnx.v18 as op

    sides = op.shape(image, start=1, end=3)
    shorter = op.reduce_min(sides, keepdims=1)
    doubled = op.add(op.mul(sides, _numbers(2 * size)), shorter)
    scaled = op.div(doubled, op.mul(shorter, _numbers(2)))
    height, width = op.split(scaled, num_outputs=2)
    resized = _resized(image, height, width)
    start = op.div(op.sub(scaled, _numbers(size)), _numbers(2))
    return op.slice(resized, start, op.add(start, _numbers(size)), _numbers(1, 2))


def _resized(image: spox.Var, height: spox.Var, width: spox.Var) -> spox.Var:
    """Pillow's bicubic on uint8: across, rounded to whole levels, then down, as two nodes.

    One node for both leaves the order and the rounding between to the runtime.
    """
    return _stretched(_stretched(image, width, axis=2), height, axis=1)


def _stretched(image: spox.Var, length: spox.Var, *, axis: int) -> spox.Var:
    import spox.opset.ai.onnx.v18 as op

    return op.resize(
        image,
        sizes=length,
        axes=[axis],
        mode="cubic",
        cubic_coeff_a=-0.5,
        antialias=1,
        exclude_outside=1,
        coordinate_transformation_mode="half_pixel",
    )


def _numbers(*values: int) -> spox.Var:
    import spox.opset.ai.onnx.v18 as op

    return op.const(np.array(values, np.int64))


def _back(classes: Sequence[str], features: str | int | None) -> onnx.ModelProto:
    """Scores float32 (batch, classes) → the same as `probabilities`, and `label` (batch,); and
    features, of that length, as `embedding`.
    """
    import spox
    import spox.opset.ai.onnx.v18 as op

    scores = spox.argument(spox.Tensor(np.float32, ("batch", len(classes))))
    best = op.arg_max(scores, axis=1, keepdims=0)
    label = op.gather(op.const(np.array(classes, np.str_)), best)
    inputs, outputs = {_SCORES: scores}, {PROBABILITIES: op.identity(scores), LABEL: label}
    if features is not None:
        inputs[_FEATURES] = spox.argument(spox.Tensor(np.float32, ("batch", features)))
        outputs[EMBEDDING] = op.identity(inputs[_FEATURES])
    return spox.build(inputs, outputs)


def _declare(model: onnx.ModelProto, size: int, classes: int, features: str | int | None) -> None:
    """Name the dimensions of what the parts meet in, and state opset and producer once."""
    from onnx import TensorProto, helper

    graph = model.graph
    graph.name = model.producer_name = "autotl"
    model.producer_version = ""
    graph.ClearField("value_info")
    graph.value_info.append(
        helper.make_tensor_value_info(PIXELS, TensorProto.FLOAT, ["batch", size, size, 3])
    )
    outputs = [(PROBABILITIES, TensorProto.FLOAT, ["batch", classes])]
    outputs += [(LABEL, TensorProto.STRING, ["batch"])]
    if features is not None:
        outputs += [(EMBEDDING, TensorProto.FLOAT, ["batch", features])]
    graph.ClearField("output")
    graph.output.extend(helper.make_tensor_value_info(*each) for each in outputs)
    versions = {entry.domain: entry.version for entry in model.opset_import}
    model.ClearField("opset_import")
    model.opset_import.extend(helper.make_opsetid(name, it) for name, it in versions.items())
