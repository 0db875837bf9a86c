from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from PIL import Image

from autotl.errors import ParityError
from autotl.export import asking, card, export, gate, graph, parity, runtime, structure
from autotl.files import file_ref
from autotl.pixels import resize
from autotl.records import (
    Backbone,
    Dataset,
    Evaluation,
    FileRef,
    InputSizes,
    Interval,
    LocatedBackbone,
    Preprocessing,
    Recipe,
    SearchRecord,
    Split,
    SplitRecord,
    Trial,
)
from autotl.worker import Worker

SIZE = 16
CLASSES = ("amber", "blau", "grün")
EXAMPLES = 48

BUILDER = """
def build(spec, progress):
    import keras
    import numpy as np

    keras.utils.set_random_seed(3)
    layers = keras.layers
    pixels = keras.Input((16, 16, 3), name="pixels")
    x = layers.Rescaling([1 / 60, 1 / 70, 1 / 80], [-2.1, -1.7, -1.5])(pixels)
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.1, 0.9, 1.3])(x)
    x = layers.Conv2D(8, 3, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.MaxPooling2D(3, 2)(x)
    x = layers.Conv2D(12, 3)(x)
    x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Concatenate()([x] * 30)  # wide, as a head's: its statistics are captured otherwise
    x = layers.Normalization(mean=np.zeros(360), variance=np.linspace(300, 400, 360))(x)
    logits = layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(0, 4))(x)
    scaled = layers.Rescaling(1 / 1.5)(logits)
    keras.Model(pixels, layers.Softmax(name="probabilities")(scaled)).save(spec["out"])
    return {}
"""


class Recording:
    """A worker that remembers what the Keras model answered."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.answers: np.ndarray[Any, Any] | None = None
        self.responses: dict[str, Any] = {}

    def call(self, function: str, spec: dict[str, Any], **rest: Any) -> Any:
        result = self.worker.call(function, spec, **rest)
        if function.endswith(":answers"):
            self.answers, self.responses = np.load(spec["out"]), result
        return result


class Replaying:
    """A worker that converts to the given bytes and answers what was recorded."""

    def __init__(self, recorded: Recording, model: bytes) -> None:
        self.recorded, self.model = recorded, model

    def call(self, function: str, spec: dict[str, Any], **rest: Any) -> Any:
        if function.endswith(":convert"):
            Path(spec["out"]).write_bytes(self.model)
            return {}
        assert function.endswith(":answers")
        assert self.recorded.answers is not None
        np.save(spec["out"], self.recorded.answers)
        return self.recorded.responses


def photograph(number: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(number)
    height, width = (int(side) for side in rng.integers(9, 60, 2))
    coarse = rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def encoded(pixels: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


DATASET = Dataset(
    kind="image",
    ids=tuple(f"{number}.png" for number in range(EXAMPLES)),
    labels=tuple(number % 3 for number in range(EXAMPLES)),
    classes=CLASSES,
    read=lambda row: encoded(photograph(row)),
)
ROWS = tuple(range(8, EXAMPLES))
SPLIT = Split(
    train=tuple(range(4)),
    validation=ROWS,
    test=tuple(range(4, 8)),
    record=SplitRecord(train=4, validation=len(ROWS), test=4, dropped=0, digest=""),
)
PREPROCESSING = Preprocessing(size=SIZE, scale=1 / 255)
LOCATED = LocatedBackbone(
    backbone=Backbone(
        name="Tiny",
        build="x:y",
        stages=("one", "two", "three"),
        input_sizes=InputSizes(least=16, most=16, default=16),
        preprocessing=PREPROCESSING,
        parameters=10,
        license="Apache-2.0",
        source_domain="stripes",
    ),
    distribution="tiny",
    input_size=SIZE,
    preprocessing=PREPROCESSING,
    weights="/w",
    weights_sha256="ab",
)
RECIPE = Recipe(
    backbone="Tiny",
    strategy="partial-freeze",
    input_size=SIZE,
    pretrained=True,
    boundary=1,
    last=2,
    taps=(2,),
)
TRIAL = Trial(
    number=3,
    origin="proposal",
    recipe=RECIPE,
    hyperparameters={},
    status="finished",
    seconds=1.0,
)
SEARCH = SearchRecord(
    best=TRIAL,
    probe=TRIAL,
    trials=4,
    failed=0,
    comparable=4,
    metric="accuracy",
    stopped="trials",
)


def evaluation(model: FileRef) -> Evaluation:
    interval = Interval(value=0.9, low=0.8, high=0.95)
    return Evaluation(
        examples=4,
        accuracy=interval,
        balanced_accuracy=interval,
        macro_f1=interval,
        log_loss=0.3,
        per_class=(),
        confusion=(),
        majority=interval,
        linear_probe=interval,
        calibration_error=0.02,
        calibration_error_before=0.04,
        temperature=1.5,
        model=model,
        predictions=model,
    )


def run_export(folder: Path, worker: Any) -> Any:
    return export(
        evaluation(file_ref(folder / "model.keras", folder)),
        SEARCH,
        DATASET,
        SPLIT,
        LOCATED,
        card={"data_fingerprint": "f00d", "versions": {"keras": "3"}, "seed": 7},
        worker=worker,
        run_folder=folder,
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("run")
    modules = tmp_path_factory.mktemp("modules")
    (modules / "tiny_model.py").write_text(BUILDER)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(modules))
        with Worker() as worker:
            worker.call("tiny_model:build", {"out": str(folder / "model.keras")})
            recording = Recording(worker)
            record = run_export(folder, recording)
    model = (folder / "model.onnx").read_bytes()
    return SimpleNamespace(folder=folder, record=record, recording=recording, model=model)


def examine(exported: SimpleNamespace, model: onnx.ModelProto, folder: Path) -> Any:
    path = folder / "candidate.onnx"
    path.write_bytes(model.SerializeToString())
    subject = asking.Subject(
        folder=folder,
        keras_model=exported.folder / "model.keras",
        dataset=DATASET,
        rows=ROWS,
        preprocessing=PREPROCESSING,
    )
    return gate.examine(path, subject, Replaying(exported.recording, b""))


# ---- a faithful file ----


def test_the_file_passes_and_its_record_says_how(exported: SimpleNamespace) -> None:
    record = exported.record
    assert record.opset == 18
    assert record.model == file_ref(exported.folder / "model.onnx", exported.folder)
    assert record.parity.examples == len(ROWS)
    assert record.parity.top1_agreement + record.parity.explained / len(ROWS) >= 0.999
    assert record.parity.median_difference <= 1e-3
    assert record.parity.tolerance < 1e-3
    assert record.parity.optimised_difference <= record.parity.tolerance
    assert len(record.checks) == 10
    assert record.seconds > 0


def test_nothing_but_the_model_is_left_in_the_run_folder(exported: SimpleNamespace) -> None:
    names = ["model.keras", "model.onnx", "serve_example.py"]
    assert sorted(path.name for path in exported.folder.iterdir()) == names


def test_the_file_takes_any_size_and_any_batch(exported: SimpleNamespace) -> None:
    session = onnxruntime.InferenceSession(exported.model)
    for shape in ((1, 1, 1, 3), (3, 40, 7, 3), (2, 16, 16, 3)):
        probabilities, labels = session.run(None, {"image": np.full(shape, 90, np.uint8)})
        assert probabilities.shape == (shape[0], 3)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
        assert set(labels) <= set(CLASSES)


def test_the_card_tells_what_the_model_is(exported: SimpleNamespace) -> None:
    session = onnxruntime.InferenceSession(exported.model)
    found = json.loads(session.get_modelmeta().custom_metadata_map["autotl"])
    assert found["schema"] == "autotl-card/1"
    assert found["classes"] == list(CLASSES)
    assert found["stages"] == {"frozen": ["one"], "trained": ["two"], "taps": ["two"]}
    assert found["backbone"]["weights_sha256"] == "ab"
    assert found["metrics"]["accuracy"] == {"value": 0.9, "low": 0.8, "high": 0.95}
    assert found["data"] == {"fingerprint": "f00d", "train": 4, "validation": 40, "test": 4}
    assert (found["seed"], found["versions"]) == (7, {"keras": "3"})
    assert found["preprocessing"]["size"] == SIZE


def test_what_the_caller_does_not_know_is_null() -> None:
    ref = FileRef(path="model.keras", sha256="", size=0)
    scratch = replace(SEARCH, best=replace(TRIAL, recipe=replace(RECIPE, pretrained=False)))
    found = card.describe(evaluation(ref), scratch, DATASET, SPLIT, LOCATED, {})
    assert (found["versions"], found["seed"], found["data"]["fingerprint"]) == (None, None, None)
    assert found["backbone"]["weights_sha256"] is None
    assert json.loads(json.dumps(found))["classes"] == list(CLASSES)


# ---- the gate's own test: broken on purpose ----


def _after_pixels(
    model: onnx.ModelProto, operator: str, *constants: Any, **attributes: Any
) -> None:
    """Put a node between the resized pixels and the model."""
    names = [f"broken_{place}" for place in range(len(constants))]
    for node in model.graph.node:
        node.input[:] = ["broken" if name == "pixels" else name for name in node.input]
    place = next(i for i, node in enumerate(model.graph.node) if "pixels" in node.output)
    node = helper.make_node(operator, ["pixels", *names], ["broken"], **attributes)
    model.graph.node.insert(place + 1, node)
    for name, value in zip(names, constants, strict=True):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))


def wrong_mean(model: onnx.ModelProto) -> None:
    _after_pixels(model, "Add", np.array([0.5, 0, 0], np.float32))


def swapped_channels(model: onnx.ModelProto) -> None:
    _after_pixels(model, "Gather", np.array([2, 1, 0], np.int64), axis=3)


def dropped_layer(model: onnx.ModelProto) -> None:
    (relu,) = (node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type = "Identity"


def forgotten_temperature(model: onnx.ModelProto) -> None:
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    scaling = next(node for node in model.graph.node if softmax.input[0] in node.output)
    assert scaling.op_type == "Mul"
    arrays = {array.name: array for array in model.graph.initializer}
    (constant,) = (arrays[name] for name in scaling.input if name in arrays)
    one = np.ones_like(numpy_helper.to_array(constant))
    constant.CopyFrom(numpy_helper.from_array(one, constant.name))


def _set_resize(model: onnx.ModelProto, **attributes: Any) -> None:
    for node in model.graph.node:
        if node.op_type == "Resize":
            kept = [one for one in node.attribute if one.name not in attributes]
            del node.attribute[:]
            node.attribute.extend(kept)
            node.attribute.extend(helper.make_attribute(*pair) for pair in attributes.items())


def linear_resize(model: onnx.ModelProto) -> None:
    _set_resize(model, mode="linear")


def aliased_resize(model: onnx.ModelProto) -> None:
    _set_resize(model, antialias=0)


def other_cubic(model: onnx.ModelProto) -> None:
    _set_resize(model, cubic_coeff_a=-0.75)


def _pad_with(model: onnx.ModelProto, value: float) -> None:
    (array,) = (each for each in model.graph.initializer if each.name.endswith("nearly_zero"))
    array.CopyFrom(numpy_helper.from_array(np.float32(value), array.name))


def folded_padding(model: onnx.ModelProto) -> None:
    """What onnxruntime 1.31 makes of padding with zero: the pooling's own, minus infinity."""
    _pad_with(model, -1e30)


def constant_as_input(model: onnx.ModelProto) -> None:
    array = next(each for each in model.graph.initializer if each.dims)
    value = helper.make_tensor_value_info(array.name, array.data_type, list(array.dims))
    model.graph.initializer.remove(array)
    model.graph.input.append(value)


def float_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def unnamed_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def other_output(model: onnx.ModelProto) -> None:
    del model.graph.output[1]


def swapped_labels(model: onnx.ModelProto) -> None:
    gather = next(
        node
        for node in model.graph.node
        if node.op_type == "Gather" and node.name.startswith("lookup/")
    )
    labels = next(node for node in model.graph.node if gather.input[0] in node.output)
    strings = labels.attribute[0].t.string_data
    strings[0], strings[1] = strings[1], strings[0]


def no_card(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def foreign_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    next(node for node in model.graph.node if node.op_type == "Relu").domain = "com.microsoft"


def numbers_elsewhere(model: onnx.ModelProto) -> None:
    array = next(each for each in model.graph.initializer if each.dims)
    array.ClearField("raw_data")
    array.data_location = onnx.TensorProto.EXTERNAL
    array.external_data.add(key="location", value="elsewhere.bin")


def torn_graph(model: onnx.ModelProto) -> None:
    del model.graph.node[-3]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (wrong_mean, "On resized pixels"),
        (swapped_channels, "On resized pixels"),
        (dropped_layer, "On resized pixels"),
        (forgotten_temperature, "On resized pixels"),
        (folded_padding, "On resized pixels"),
        (linear_resize, "resizes images otherwise"),
        (aliased_resize, "resizes images otherwise|fails on images"),
        (other_cubic, "resizes images otherwise"),
        (constant_as_input, "inputs are not the declared"),
        (float_input, "inputs are not the declared"),
        (unnamed_batch, "inputs are not the declared"),
        (other_output, "outputs are not the declared"),
        (swapped_labels, "labels are not those"),
        (no_card, "card is missing"),
        (foreign_operator, "not (standard|valid)"),
        (numbers_elsewhere, "outside its own file|not valid"),
        (torn_graph, "not valid ONNX"),
    ],
)
def test_a_file_broken_on_purpose_is_refused(
    exported: SimpleNamespace, tmp_path: Path, break_it: Any, said: str
) -> None:
    model = onnx.load_model_from_string(exported.model)
    break_it(model)
    with pytest.raises(ParityError, match=said):
        examine(exported, model, tmp_path)


def _runtime_folds_padding() -> bool:
    """Whether this onnxruntime folds a zero Pad into the pooling after it, as 1.31 does."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[1,1,4,4] x) => (float[1,1,2,2] z)'
        " <int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}> {"
        " y = Pad(x, p) z = MaxPool<kernel_shape: ints = [3, 3], strides: ints = [2, 2]>(y) }"
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (pooled,) = session.run(None, {"x": np.full((1, 1, 4, 4), -1, np.float32)})
    return bool(pooled[0, 0, 0, 0] < 0)


def test_zero_padding_is_refused_just_where_the_runtime_folds_it(
    exported: SimpleNamespace, tmp_path: Path
) -> None:
    model = onnx.load_model_from_string(exported.model)
    _pad_with(model, 0)
    if _runtime_folds_padding():
        with pytest.raises(ParityError, match="On resized pixels"):
            examine(exported, model, tmp_path)
    else:
        found, _ = examine(exported, model, tmp_path)
        assert found.top1_agreement == exported.record.parity.top1_agreement


def test_the_unbroken_file_passes_the_same_way(exported: SimpleNamespace, tmp_path: Path) -> None:
    model = onnx.load_model_from_string(exported.model)
    found, _ = examine(exported, model, tmp_path)
    assert found == exported.record.parity


def test_a_refusal_has_figures_and_the_worst_examples(
    exported: SimpleNamespace, tmp_path: Path
) -> None:
    model = onnx.load_model_from_string(exported.model)
    swapped_channels(model)
    with pytest.raises(ParityError) as raised:
        examine(exported, model, tmp_path)
    text = str(raised.value)
    assert "largest difference of a probability" in text
    assert "allowed" in text
    assert ".png: differs by" in text


def test_a_refused_file_is_not_written_and_the_earlier_one_stays(
    exported: SimpleNamespace, tmp_path: Path
) -> None:
    shutil.copy(exported.folder / "model.keras", tmp_path)
    model = onnx.load_model_from_string(exported.model)
    wrong_mean(model)
    broken = Replaying(exported.recording, model.SerializeToString())
    with pytest.raises(ParityError):
        run_export(tmp_path, broken)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    (tmp_path / "model.onnx").write_bytes(b"earlier")
    with pytest.raises(ParityError):
        run_export(tmp_path, broken)
    assert (tmp_path / "model.onnx").read_bytes() == b"earlier"
    assert len(list(tmp_path.iterdir())) == 2


# ---- judging figures ----


def answers(reference: Any, **changed: Any) -> asking.Answers:
    table = np.asarray(reference, np.float32)
    given: dict[str, Any] = {
        "names": tuple(str(number) for number in range(len(table))),
        "pixels": np.zeros((len(table), 2, 2, 3), np.uint8),
        "raw": table,
        "exact": table,
        "few": tuple(range(len(table)))[:4],
        "reference": table,
        "resize_off": 1.0,
        "resize_apart": 0.0,
        "tolerance": 1e-3,
        "typical": 1e-5,
        "level_response": 1e-3,
    }
    first = changed.get("raw", table)[:4]
    given |= {"plain": first, "through": first} | changed
    return asking.Answers(**given)


def sure(count: int, lead: float = 0.8) -> np.ndarray[Any, Any]:
    return np.tile(np.array([0.5 + lead / 2, 0.5 - lead / 2], np.float32), (count, 1))


def test_equal_answers_are_judged_equal() -> None:
    found = gate.judge(answers(sure(10)))
    assert (found.top1_agreement, found.explained, found.largest_difference) == (1.0, 0, 0.0)


def test_another_class_within_the_resize_s_reach_is_explained() -> None:
    reference = np.concatenate([sure(10), sure(1, lead=1e-3)])
    raw = reference.copy()
    raw[-1] = raw[-1, ::-1]
    found = gate.judge(answers(reference, raw=raw))
    assert found.explained == 1
    assert found.top1_agreement == pytest.approx(10 / 11)


@pytest.mark.parametrize(("count", "refused"), [(100, True), (1000, False)])
def test_one_unexplained_row_in_a_thousand_is_allowed(count: int, refused: bool) -> None:
    reference = sure(count)
    raw = reference.copy()
    raw[0] = raw[0, ::-1]
    if refused:
        with pytest.raises(ParityError, match="From raw images"):
            gate.judge(answers(reference, raw=raw))
    else:
        assert gate.judge(answers(reference, raw=raw)).explained == 0


def test_a_median_beyond_the_bar_is_refused() -> None:
    with pytest.raises(ParityError, match="From raw images"):
        gate.judge(answers(sure(9), raw=sure(9, lead=0.79)))


@pytest.mark.parametrize("which", ["exact", "plain", "raw"])
def test_answers_that_are_not_numbers_are_refused(which: str) -> None:
    bad = np.full((4, 2), np.nan, np.float32)
    with pytest.raises(ParityError):
        gate.judge(answers(sure(4), **{which: bad}))


def test_optimisations_that_change_the_answers_are_refused() -> None:
    with pytest.raises(ParityError, match="Without onnxruntime's optimisations"):
        gate.judge(answers(sure(8), plain=sure(4, lead=0.79)))


def test_a_small_fault_in_every_row_is_refused_though_some_rows_respond_strongly() -> None:
    with pytest.raises(ParityError, match="On resized pixels"):
        gate.judge(answers(sure(8), exact=sure(8, lead=0.7999), tolerance=1e-3, typical=1e-5))
    one_row = np.concatenate([sure(7), sure(1, lead=0.7999)])
    gate.judge(answers(sure(8), exact=one_row, plain=sure(4), tolerance=1e-3, typical=1e-5))


def test_the_tolerance_grows_with_the_model_s_response() -> None:
    assert parity.tolerance(0.0) == parity.ROUNDING
    assert parity.tolerance(0.0, parity.EXTREME) == parity.EXTREME > 1.12e-5  # met on digits
    assert parity.tolerance(1e-3) == pytest.approx(1e-2)


def test_rows_are_spread_from_first_to_last() -> None:
    assert asking.spread(range(5)) == (0, 1, 2, 3, 4)
    chosen = asking.spread(range(10_000))
    assert len(chosen) == 1_000
    assert (chosen[0], chosen[-1]) == (0, 9_999)


def test_what_onnxruntime_cannot_load_is_refused() -> None:
    with pytest.raises(ParityError, match="does not load"):
        runtime.open_session(b"not a model")


# ---- the resize ----


@pytest.fixture(scope="module")
def resizers() -> dict[str, onnxruntime.InferenceSession]:
    return {
        policy: onnxruntime.InferenceSession(
            graph._front(Preprocessing(size=32, resize=policy)).SerializeToString()
        )
        for policy in ("squash", "crop")
    }


@pytest.mark.parametrize("policy", ["squash", "crop"])
@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 150), width=st.integers(1, 150), seed=st.integers(0, 99))
def test_the_graph_resizes_as_pillow_does(
    resizers: dict[str, onnxruntime.InferenceSession],
    policy: Any,
    height: int,
    width: int,
    seed: int,
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    (found,) = resizers[policy].run(None, {"image": image[None]})
    assert found.shape == (1, 32, 32, 3)
    off = np.abs(found[0] - resize(image, 32, policy).astype(np.float32))
    assert off.max() <= gate.MOST_LEVELS
    assert (off > 1).mean() < 0.01
    assert off.mean() < 0.05


@pytest.mark.parametrize(("seed", "side"), [(340, 8), (247, 16), (17, 32), (34, 128)])
def test_noise_on_which_two_faithful_resizes_were_two_levels_apart(seed: int, side: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    size = side * 5 // 4
    front = graph._front(Preprocessing(size=size)).SerializeToString()
    (found,) = onnxruntime.InferenceSession(front).run(None, {"image": image[None]})
    off = np.abs(found[0] - resize(image, size, "squash").astype(np.float32))
    assert off.max() <= gate.MOST_LEVELS


def test_a_tie_that_falls_either_way_is_no_fault() -> None:
    assert gate.judge(answers(sure(4), resize_off=2.0, resize_apart=1e-7)).examples == 4


@pytest.mark.parametrize("changed", [{"resize_off": 3.0}, {"resize_apart": 2e-4}])
def test_a_resize_further_off_is_refused(changed: dict[str, float]) -> None:
    with pytest.raises(ParityError, match="resizes images otherwise"):
        gate.judge(answers(sure(4), **changed))


def test_parts_of_an_older_opset_are_brought_to_ours() -> None:
    core = onnx.parser.parse_model(
        '<ir_version: 7, opset_import: ["": 13, "ai.onnx.ml": 2]>'
        "g (float[N,8,8,3] x) => (float[N,3] y) {"
        " axes = Constant<value_ints: ints = [1, 2]>()"
        " m = ReduceMean<axes: ints = [1, 2], keepdims: int = 0>(x)"
        " y = Softmax<axis: int = 1>(m) }"
    )
    model = graph.assemble(
        core, preprocessing=Preprocessing(size=8), classes=CLASSES, card={"classes": list(CLASSES)}
    )
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    _, (label,) = session.run(None, {"image": np.full((1, 5, 9, 3), (0, 0, 200), np.uint8)})
    assert label == "grün"
    assert structure.declared(3)[0][0][0] == session.get_inputs()[0].name
