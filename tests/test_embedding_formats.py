"""What a run with an embedding, or with numbers beside its file, becomes in other formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autotl.errors import ParityError
from autotl.export import gate, runtime
from autotl.export.formats import FORMATS, Source, openvino, triton
from tests.exported import FEATURES, run_export, subject, worker
from tests.test_export import CLASSES, SPLIT, photograph


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("run")
    with worker(tmp_path_factory.mktemp("modules")) as opened:
        opened.call("tiny_headed:build", {"out": str(folder / "model.keras")})
        record = run_export(folder, opened, embedding=True)
        held = subject(folder, features=record.features)
        source = Source(name="stones", onnx=folder / "model.onnx", subject=held, split=SPLIT)
        yield SimpleNamespace(source=source, worker=opened)


@pytest.fixture(scope="module")
def made(embedded: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = {}
    for name, format_ in FORMATS.items():
        out = tmp_path_factory.mktemp("formats") / name
        out.mkdir()
        parity, checks = format_.make(embedded.source, out, embedded.worker, None)
        found[name] = SimpleNamespace(folder=out, parity=parity, checks=checks)
    return found


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_embedding_goes_with_the_model(made: Any, name: str) -> None:
    assert 0 <= made[name].parity.embedding_difference < 1e-4
    assert "the embedding is what the model's head reads" in made[name].checks
    page = (made[name].folder / "README.md").read_text("utf-8")
    assert f"`embedding`, float32 `[batch, {FEATURES}]`" in page
    assert "no answer" not in page


def test_triton_is_told_of_the_embedding(made: Any) -> None:
    text = (made["triton"].folder / "stones" / triton.CONFIG).read_text("utf-8")
    assert f'{{ name: "embedding" data_type: TYPE_FP32 dims: [ {FEATURES} ] }}' in text


def test_an_embedding_that_is_another_is_refused(embedded: SimpleNamespace, made: Any) -> None:
    path = made["openvino"].folder / "model.xml"
    sound = openvino.candidate(path, CLASSES, FEATURES)
    assert sound.embedding is not None
    given = sound.embedding
    scaled = replace(sound, embedding=lambda images: given(images) * np.float32(1.01))
    with pytest.raises(ParityError, match="embedding is not"):
        gate.hold(scaled, embedded.source.subject, embedded.worker)


def test_a_model_that_lacks_its_embedding_is_refused(embedded: SimpleNamespace, made: Any) -> None:
    sound = openvino.candidate(made["openvino"].folder / "model.xml", CLASSES, FEATURES)
    with pytest.raises(ParityError, match="gives no embedding"):
        gate.hold(replace(sound, embedding=None), embedded.source.subject, embedded.worker)
    with pytest.raises(ParityError, match="other inputs or outputs"):
        openvino.candidate(made["openvino"].folder / "model.xml", CLASSES)


def test_numbers_beside_the_file_go_with_it_to_triton(
    embedded: SimpleNamespace, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    keras_model = embedded.source.subject.keras_model
    (run / "model.keras").write_bytes(keras_model.read_bytes())
    record = run_export(run, embedded.worker, largest=1)
    assert record.data is not None
    triton.write(run / "model.onnx", tmp_path / "stones", CLASSES)
    session = runtime.open_session(tmp_path / "stones" / "1" / "model.onnx")
    probabilities, labels = session.run(None, {"image": photograph(3)[None]})
    assert CLASSES[probabilities.argmax()] == labels[0]
