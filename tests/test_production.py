"""Everything that is done for production, asked for at once, on photographs that are not square."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnxruntime
import pytest

import autotl
from tests.images import pattern, write_class_folders

ROOT = Path(__file__).parents[1]
OPTIONS = [
    "--trials",
    "1",
    "--strategy",
    "feature-extraction",
    "--input-size",
    "32",
    "--resize",
    "crop",
    "--embedding",
    "--int8",
    "--int8-points",
    "40",
    "--float16",
    "--target-precision",
    "0.6",
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "photos"
    return write_class_folders(folder, per_class=120, suffix=".jpg", size=(90, 40), noise=60.0)


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    done = subprocess.run(
        [sys.executable, "-m", "autotl", "fit", str(photos), "--out", str(out), *OPTIONS],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "AUTOTL_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    assert done.returncode == 0, done.stderr
    return out


def card_of(path: Path) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(str(path))
    told: dict[str, Any] = json.loads(session.get_modelmeta().custom_metadata_map["autotl"])
    return told


def test_the_card_is_of_its_schema_and_says_what_was_asked(run: Path) -> None:
    card = card_of(run / "model.onnx")
    schema = resources.files("autotl.export").joinpath("card.schema.json").read_text("utf-8")
    jsonschema.Draft202012Validator(json.loads(schema)).validate(card)
    assert card["preprocessing"]["resize"] == "crop"
    assert card["outputs"]["embedding"] == "embedding"
    assert card["abstention"]["target_precision"] == 0.6


def test_each_variant_is_there_or_its_reason_is(run: Path) -> None:
    report = autotl.load(run).report
    variants = {each["kind"]: each for each in report["export"]["variants"]}
    assert set(variants) == {"int8", "float16"}
    for kind, told in variants.items():
        path = run / f"model.{kind}.onnx"
        assert path.is_file() is told["kept"]
        assert told["reason"]
        if told["kept"]:
            assert card_of(path)["precision"] == kind
            assert autotl.verify(path).classes == tuple(report["data"]["classes"])
    assert variants["float16"]["kept"]
    assert variants["int8"]["accuracy"] is not None
    text = (run / "MODEL_CARD.md").read_text("utf-8")
    assert "`model.float16.onnx` is written" in text


def test_verify_finds_the_test_images_again(run: Path, photos: Path) -> None:
    found = autotl.verify(run, photos)
    assert found.data is not None
    assert (found.data.rows, found.data.difference) == ("run's test rows", 0)


def test_the_embedding_is_of_the_centre_that_is_cut(run: Path) -> None:
    session = onnxruntime.InferenceSession(str(run / "model.onnx"))
    image = pattern(1, 5, size=(90, 40))
    centre = image[:, 25:65]
    (whole,), (cut,) = (
        session.run(["embedding"], {"image": pixels[None]}) for pixels in (image, centre)
    )
    assert whole.shape == (1, autotl.load(run).report["export"]["features"])
    assert np.abs(whole - cut).max() < 0.05 * np.abs(whole).max()


@pytest.mark.parametrize("name", ["saved-model", "openvino", "triton"])
def test_other_formats_give_the_embedding_too(run: Path, name: str) -> None:
    made = autotl.deliver(run, name)
    assert made.parity.embedding_difference is not None
    assert made.parity.top1_agreement == 1.0


def test_a_finished_run_knows_that_a_variant_is_gone(run: Path) -> None:
    path = run / "model.float16.onnx"
    content = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(autotl.errors.RunFolderError, match=r"model\.float16\.onnx is missing"):
            autotl.resume(run)
    finally:
        path.write_bytes(content)
    assert autotl.resume(run).folder == run
