from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import psutil
import pytest

from autotl.cli.program import run
from autotl.delivery import verify
from autotl.errors import ParityError, RunFolderError
from autotl.export import outside, runtime, structure
from autotl.files import file_ref, sha256
from autotl.records import Preprocessing, Verified, from_json, to_json
from autotl.run import open_run
from autotl.sitting import same_files
from tests.exported import FEATURES, asked, run_export, worker
from tests.test_export import CLASSES, photograph

LARGEST = 20_000
"""Bytes: the tiny model's kernels do not fit."""


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("run")
    with worker(tmp_path_factory.mktemp("modules")) as opened:
        opened.call("tiny_headed:build", {"out": str(folder / "model.keras")})
        record = run_export(folder, opened, embedding=True, largest=LARGEST)
        yield SimpleNamespace(folder=folder, record=record, worker=opened)


@pytest.fixture
def copied(apart: SimpleNamespace, tmp_path: Path) -> Path:
    for name in ("model.onnx", "model.onnx.data"):
        shutil.copy(apart.folder / name, tmp_path)
    return tmp_path / "model.onnx"


def check(path: Path) -> Any:
    return structure.check(path, CLASSES, FEATURES)


def test_verify_names_the_files_beside_it(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = verify(copied)
    data = copied.with_name("model.onnx.data")
    assert found.beside == (file_ref(data, copied.parent),)
    assert found.size == copied.stat().st_size
    assert from_json(Verified, json.loads(json.dumps(to_json(found)))) == found
    assert run(["verify", str(copied)]) == 0
    (line,) = (each for each in capsys.readouterr().out.splitlines() if "model.onnx.data:" in each)
    assert f"{data.stat().st_size / 1e6:.1f} MB, sha256 {sha256(data)}" in line


def test_a_large_model_has_its_numbers_beside_the_file(apart: SimpleNamespace) -> None:
    folder, record = apart.folder, apart.record
    assert record.model == file_ref(folder / "model.onnx", folder)
    assert record.data == file_ref(folder / "model.onnx.data", folder)
    assert record.data.size > LARGEST > record.model.size - 10_000
    assert "big numbers in model.onnx.data beside it" in " ".join(record.checks)
    assert sorted(one.name for one in folder.iterdir()) == [
        "model.keras",
        "model.onnx",
        "model.onnx.data",
        "serve_example.py",
    ]
    model = onnx.load_model(folder / "model.onnx", load_external_data=False)
    places = {
        entry.value
        for array in model.graph.initializer
        for entry in array.external_data
        if entry.key == "location"
    }
    assert places == {"model.onnx.data"}


def test_it_answers_as_the_same_model_in_one_file(apart: SimpleNamespace, tmp_path: Path) -> None:
    shutil.copy(apart.folder / "model.keras", tmp_path)
    record = run_export(tmp_path, apart.worker, embedding=True)
    assert record.data is None
    for output in ("probabilities", "embedding"):
        image = photograph(11)[None]
        one, other = (
            asked(each / "model.onnx", output, image) for each in (tmp_path, apart.folder)
        )
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_what_lay_beside_an_older_file_goes(apart: SimpleNamespace, tmp_path: Path) -> None:
    for one in apart.folder.iterdir():
        shutil.copy(one, tmp_path)
    run_export(tmp_path, apart.worker, embedding=True)
    names = ["model.keras", "model.onnx", "serve_example.py"]
    assert sorted(one.name for one in tmp_path.iterdir()) == names


def test_a_float16_variant_of_it_has_its_own_numbers(
    apart: SimpleNamespace, tmp_path: Path
) -> None:
    shutil.copy(apart.folder / "model.keras", tmp_path)
    options: dict[str, Any] = {"int8": True, "float16": True, "largest": LARGEST}
    eight, half = run_export(tmp_path, apart.worker, **options).variants
    assert not eight.kept
    assert "beside its file" in eight.reason
    assert half.kept, half.reason
    image = photograph(12)[None]
    one, other = (
        asked(tmp_path / name, "probabilities", image)
        for name in ("model.onnx", "model.float16.onnx")
    )
    np.testing.assert_allclose(one, other, atol=0.01)


def test_a_resumed_run_checks_both_files(apart: SimpleNamespace, tmp_path: Path) -> None:
    with open_run(tmp_path / "run", {}, name="run") as run:
        for name in ("model.onnx", "model.onnx.data"):
            shutil.copy(apart.folder / name, run.folder)
        verify = same_files(run, "model", "data", "variants")
        verify(apart.record)
        data = run.folder / "model.onnx.data"
        content = bytearray(data.read_bytes())
        content[5000] ^= 1
        data.write_bytes(content)
        with pytest.raises(RunFolderError, match=r"model\.onnx\.data is not the file"):
            verify(apart.record)


# ---- what may lie where ----


def _place(path: Path, location: str, **about: str) -> None:
    model = onnx.load_model(path, load_external_data=False)
    array = next(one for one in model.graph.initializer if one.external_data)
    for entry in array.external_data:
        entry.value = {"location": location, **about}.get(entry.key, entry.value)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "location",
    ["/etc/passwd", "../model.onnx.data", "sub/model.onnx.data", "other.data", "./model.onnx.data"],
)
def test_numbers_elsewhere_are_refused(copied: Path, location: str) -> None:
    check(copied)
    shutil.copy(copied.with_name("model.onnx.data"), copied.with_name("other.data"))
    _place(copied, location)
    with pytest.raises(ParityError, match="outside its own file"):
        check(copied)


@pytest.mark.parametrize("about", [{"offset": "99999999"}, {"length": "4"}, {"offset": "-4"}])
def test_numbers_that_are_not_all_there_are_refused(copied: Path, about: dict[str, str]) -> None:
    _place(copied, "model.onnx.data", **about)
    with pytest.raises(ParityError, match="outside its own file"):
        check(copied)


def test_a_link_is_refused_and_a_missing_file(copied: Path, apart: SimpleNamespace) -> None:
    data = copied.with_name("model.onnx.data")
    data.unlink()
    with pytest.raises(ParityError, match="outside its own file"):
        check(copied)
    data.symlink_to(apart.folder / "model.onnx.data")
    with pytest.raises(ParityError, match="outside its own file"):
        check(copied)


def test_a_constant_s_numbers_elsewhere_are_refused(copied: Path) -> None:
    model = onnx.load_model(copied, load_external_data=False)
    constant = next(node for node in model.graph.node if node.op_type == "Constant")
    tensor = constant.attribute[0].t
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    copied.write_bytes(model.SerializeToString())
    with pytest.raises(ParityError, match="outside its own file"):
        check(copied)


# ---- placing ----


def _written(folder: Path, content: bytes, beside: bytes | None) -> Path:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(content)
    if beside is not None:
        (folder / "model.onnx.data").write_bytes(beside)
    return folder / "model.onnx"


def test_an_older_file_never_meets_another_s_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a kill falls, what lies there is one pair or no model."""
    target = tmp_path / "run"
    target.mkdir()
    outside.place(_written(tmp_path / "first", b"1", b"one"), target)
    seen = []
    replace = Path.replace

    def told(self: Path, to: Path) -> Path:
        seen.append({one.name: one.read_bytes() for one in sorted(target.iterdir())})
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", told)
    outside.place(_written(tmp_path / "second", b"2", b"two"), target)
    seen.append({one.name: one.read_bytes() for one in sorted(target.iterdir())})
    assert seen == [
        {"model.onnx.data": b"one"},
        {"model.onnx.data": b"two"},
        {"model.onnx": b"2", "model.onnx.data": b"two"},
    ]


# ---- above protobuf's own limit ----


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(psutil.virtual_memory().available < 16e9, reason="needs 16 GB of free memory")
def test_a_model_above_two_gib_is_exported(tmp_path: Path) -> None:
    keras_model, out = tmp_path / "model.keras", tmp_path / "model.onnx"
    with worker(tmp_path) as opened:
        opened.call("tiny_headed:large", {"out": str(keras_model)})
        spec = {
            "model": str(keras_model),
            "preprocessing": to_json(Preprocessing(size=16)),
            "classes": list(CLASSES),
            "card": {"classes": list(CLASSES)},
            "out": str(out),
            "embedding": False,
            "largest": outside.LARGEST,
        }
        told = opened.call("autotl.export.graph:convert", spec)
        assert told["bytes"] > 2**31
        assert structure.check(out, CLASSES)
        session = runtime.open_session(out)
        image = np.full((1, 16, 16, 3), 90, np.uint8)
        (found,) = session.run(["probabilities"], {"image": image})
        del session
        np.save(tmp_path / "pixels.npy", image)
        reference = {"model": str(keras_model), "pixels": str(tmp_path / "pixels.npy")}
        reference |= {"out": str(tmp_path / "out.npy"), "sample": [0], "seed": 0}
        opened.call(
            "autotl.export.reference:answers", {**reference, "features": None, "float16": False}
        )
    np.testing.assert_allclose(found, np.load(tmp_path / "out.npy"), atol=1e-5)
