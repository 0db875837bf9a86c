from __future__ import annotations

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
from onnx import helper, numpy_helper

import autotl
from autotl.errors import ParityError
from autotl.export import gate
from tests.exported import FEATURES, asked, run_export, subject, worker
from tests.test_export import photograph


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("run")
    with worker(tmp_path_factory.mktemp("modules")) as opened:
        opened.call("tiny_headed:build", {"out": str(folder / "model.keras")})
        record = run_export(folder, opened, embedding=True)
        yield SimpleNamespace(folder=folder, record=record, worker=opened)


def test_the_file_gives_what_the_head_reads(embedded: SimpleNamespace) -> None:
    record, path = embedded.record, embedded.folder / "model.onnx"
    assert record.features == FEATURES
    assert record.checks[-1] == "the embedding is what the model's head reads"
    assert 0 <= record.parity.embedding_difference < 1e-4
    images = np.stack([photograph(3)] * 2)
    features = asked(path, "embedding", images)
    assert features.shape == (2, FEATURES)
    assert features.dtype == np.float32
    session = onnxruntime.InferenceSession(str(path))
    assert [value.name for value in session.get_outputs()] == [
        "probabilities",
        "label",
        "embedding",
    ]
    # the head by hand: logits = features x kernel + bias, then temperature and softmax
    model = onnx.load_model(path)
    named = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    (kernel,) = (one for one in named.values() if one.shape == (FEATURES, 3))
    (bias,) = (values for name, values in named.items() if "logits" in name and values.ndim < 2)
    logits = (features @ kernel + bias) / 1.5
    scores = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum(axis=1)[:, None]
    np.testing.assert_allclose(scores, asked(path, "probabilities", images), atol=1e-5)


def test_the_card_names_the_outputs(embedded: SimpleNamespace) -> None:
    session = onnxruntime.InferenceSession(str(embedded.folder / "model.onnx"))
    card = json.loads(session.get_modelmeta().custom_metadata_map["autotl"])
    assert card["outputs"] == {name: name for name in ("probabilities", "label", "embedding")}


def test_a_file_with_an_embedding_predicts(embedded: SimpleNamespace) -> None:
    (found,) = autotl.predict(embedded.folder / "model.onnx", photograph(9))
    assert found.error is None
    assert found.label is not None


def _embedding_source(model: onnx.ModelProto) -> Any:
    return next(node for node in model.graph.node if "embedding" in node.output)


def scaled(model: onnx.ModelProto) -> None:
    end = _embedding_source(model)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1.01), "factor"))
    place = list(model.graph.node).index(end)
    node = helper.make_node("Mul", [end.input[0], "factor"], ["scaled"])
    model.graph.node.insert(place, node)
    end.input[0] = "scaled"


def turned(model: onnx.ModelProto) -> None:
    """The features in another order: as long, and as large."""
    end = _embedding_source(model)
    order = np.roll(np.arange(FEATURES), 1)
    model.graph.initializer.append(numpy_helper.from_array(order, "order"))
    place = list(model.graph.node).index(end)
    node = helper.make_node("Gather", [end.input[0], "order"], ["turned"], axis=1)
    model.graph.node.insert(place, node)
    end.input[0] = "turned"


def missing(model: onnx.ModelProto) -> None:
    del model.graph.output[2]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [(scaled, "embedding is not"), (turned, "embedding is not"), (missing, "outputs are not")],
)
def test_a_wrong_embedding_is_refused(
    embedded: SimpleNamespace, tmp_path: Path, break_it: Any, said: str
) -> None:
    model = onnx.load_model(embedded.folder / "model.onnx")
    break_it(model)
    onnx.save_model(model, tmp_path / "model.onnx")
    held = replace(subject(embedded.folder), features=FEATURES, folder=tmp_path)
    with pytest.raises(ParityError, match=said):
        gate.examine(tmp_path / "model.onnx", held, embedded.worker)


def test_a_model_without_a_head_is_refused(embedded: SimpleNamespace, tmp_path: Path) -> None:
    from tests.test_export import BUILDER

    (tmp_path / "headless.py").write_text(BUILDER)
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        with worker(tmp_path) as opened:
            opened.call("headless:build", {"out": str(folder / "model.keras")})
            with pytest.raises(ParityError, match="no head"):
                run_export(folder, opened, embedding=True)
    assert [path.name for path in folder.iterdir()] == ["model.keras"]


def test_without_asking_there_is_none(embedded: SimpleNamespace, tmp_path: Path) -> None:
    shutil.copy(embedded.folder / "model.keras", tmp_path)
    record = run_export(tmp_path, embedded.worker)
    assert record.features is None
    assert record.parity.embedding_difference is None
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert [value.name for value in session.get_outputs()] == ["probabilities", "label"]
