"""Files that were made to harm, and what is refused of them; sound ones open, and cheaply."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from autotl.cli.program import run
from autotl.errors import UsageError
from autotl.modelfile import examined, open_session, walking
from autotl.prediction import predict
from tests import crafted
from tests.models import write_model

MARK = "mark"


@pytest.mark.parametrize("name", crafted.MODELS)
def test_a_crafted_model_is_refused_in_a_message(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = crafted.MODELS[name]
    path = make(tmp_path)
    Image.new("RGB", (9, 9), (230, 20, 30)).save(tmp_path / "a.png")
    began = time.monotonic()
    assert run(["predict", str(path), str(tmp_path / "a.png")]) == 2
    assert time.monotonic() - began < 20
    told = capsys.readouterr()
    assert words in told.err
    assert str(path) in told.err
    assert "Traceback" not in told.err
    assert told.err.replace("\n", "").isprintable()
    assert not told.out


def test_a_model_file_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="not a regular file"):
        examined(tmp_path / "model.onnx")


def test_the_file_of_onnxruntime_s_own_format_is_refused(tmp_path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(
        str(write_model(tmp_path / "a.onnx")), options, providers=["CPUExecutionProvider"]
    )
    (tmp_path / "model.ort").rename(tmp_path / "model.onnx")
    with pytest.raises(UsageError):
        examined(tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="onnxruntime cannot load"):
        open_session(tmp_path / "model.onnx")


# ---- what must open ----


def _sound(tmp_path: Path) -> onnx.ModelProto:
    return onnx.load_model(write_model(tmp_path / "sound.onnx"))


def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    model = _sound(tmp_path)
    scale = np.full(3, 2.0, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(scale, "scale"))
    (node,) = (node for node in model.graph.node if node.op_type == "Mul")
    node.input[1] = "scale"
    path = tmp_path / "model.onnx"
    onnx.save_model(
        model,
        path,
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=0,
        convert_attribute=False,
    )
    assert (tmp_path / "model.onnx.data").stat().st_size >= 12
    assert examined(path).external == (tmp_path / "model.onnx.data",)
    (found,) = predict(path, np.full((9, 9, 3), (0, 250, 0), np.uint8))
    assert (found.label, round(float(found.probability or 0), 3)) == ("grün", 1.0)
    (tmp_path / "model.onnx.data").write_bytes(b"")
    with pytest.raises(UsageError, match=r"which has 0"):
        examined(path)


def test_weights_in_a_folder_below_are_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = crafted._outside(tmp_path, location="in/weights", offset="8")
    (tmp_path / "in" / "weights").write_bytes(b"\0" * 20)
    assert examined(path).external == (tmp_path / "in" / "weights",)


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    write_model(tmp_path / "model-3.onnx")
    (tmp_path / "model.onnx").symlink_to("model-3.onnx")
    assert "autotl" in examined(tmp_path / "model.onnx").metadata
    (tmp_path / "run").symlink_to(tmp_path)
    assert "autotl" in examined(tmp_path / "run" / "model.onnx").metadata


TYPES = [
    *(TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32, TensorProto.INT64),
    *(TensorProto.UINT8, TensorProto.INT8, TensorProto.BOOL, TensorProto.FLOAT16),
    *(TensorProto.UINT32, TensorProto.UINT64, TensorProto.COMPLEX64, TensorProto.INT4),
    *(TensorProto.UINT4, TensorProto.BFLOAT16, TensorProto.FLOAT8E5M2),
]


@pytest.mark.parametrize("kind", TYPES, ids=TensorProto.DataType.Name)
@pytest.mark.parametrize("elements", [0, 1, 7, 20_000])
@pytest.mark.parametrize("raw", [False, True], ids=["list", "raw"])
def test_tensors_of_every_type_and_size_open(
    kind: int, elements: int, raw: bool, tmp_path: Path
) -> None:
    values = np.arange(elements) % 2
    tensor = helper.make_tensor("t", kind, [elements], values.tolist())
    if raw:
        array = numpy_helper.to_array(tensor)
        tensor = numpy_helper.from_array(array, "t")
        assert tensor.data_type == kind
    assert examined(crafted._with_tensor(tmp_path, tensor)).external == ()
    tensor.dims[0] += 3
    with pytest.raises(UsageError, match="should hold"):
        examined(crafted._with_tensor(tmp_path, tensor))


def test_a_bias_of_many_classes_is_no_bomb(tmp_path: Path) -> None:
    bias = np.zeros(200_000, np.float32)
    nodes = [helper.make_node("Add", ["row", "bias"], ["sum"])]
    path = crafted._with(tmp_path, *nodes, row=np.zeros((1, 200_000), np.float32), bias=bias)
    assert examined(path)


def test_many_branches_open_and_too_many_are_refused_at_once(tmp_path: Path) -> None:
    assert examined(crafted.branches(tmp_path, 200))
    path = crafted.branches(tmp_path)
    began = time.monotonic()
    with pytest.raises(UsageError, match="16,000 graphs, too many"):
        examined(path)
    assert time.monotonic() - began < 3


def test_opening_costs_no_more_with_more_weights(tmp_path: Path) -> None:
    """A sparse file of 1.5 GB is looked at within a second and a half, and little memory."""
    import resource

    path = tmp_path / "model.onnx"
    model = _sound(tmp_path)
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[1_500_000_000])
    head = tensor.SerializeToString()
    size = walking._varint(1_500_000_000)
    inside = head + bytes([walking.RAW << 3 | 2]) + size
    graph = model.graph.SerializeToString()
    length = len(inside) + 1_500_000_000
    body = graph + bytes([5 << 3 | 2]) + walking._varint(length) + inside
    model.ClearField("graph")
    start = model.SerializeToString() + bytes([7 << 3 | 2])
    path.write_bytes(start + walking._varint(len(body) + 1_500_000_000) + body)
    os.truncate(path, path.stat().st_size + 1_500_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    assert examined(path).metadata.keys() == {"autotl"}
    assert time.monotonic() - began < 1.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


# ---- the walk ----


def test_the_slim_copy_keeps_all_but_large_data(tmp_path: Path) -> None:
    model = _sound(tmp_path)
    for place, count in enumerate((10, 100_000)):
        values = np.arange(count, dtype=np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, f"w{place}"))
    slim = onnx.ModelProto.FromString(walking.slim(memoryview(model.SerializeToString()), MARK))
    large = slim.graph.initializer[-1]
    assert [(e.key, e.value) for e in large.external_data] == [(MARK, f"{walking.RAW}:400000")]
    large.ClearField("external_data")
    model.graph.initializer[-1].ClearField("raw_data")
    assert slim == model


@given(cut=st.integers(0, 10_000))
def test_a_model_cut_anywhere_is_no_model_or_a_part_of_it(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    path = write_model(folder / "model.onnx")
    content = path.read_bytes()
    path.write_bytes(content[: cut % len(content)])
    with contextlib.suppress(UsageError):
        assert "autotl" not in examined(path).metadata


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_model_with_a_changed_byte_opens_or_is_refused(
    place: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("changed")
    path = write_model(folder / "model.onnx")
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(content)
    with contextlib.suppress(UsageError):
        assert len(list(predict(path, np.zeros((9, 9, 3), np.uint8)))) == 1


@given(st.binary(max_size=300))
def test_any_bytes_are_walked_or_refused(content: bytes) -> None:
    try:
        kept = walking.slim(memoryview(content), MARK)
    except walking.MalformedError:
        return
    assert kept == content  # nothing in it is large
