"""The formats that servers run: made of one small model, run by their own runtimes, and broken on
purpose, since a gate that refuses nothing proves nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from autotl.errors import ParityError, UsageError
from autotl.export import gate, outside, runtime
from autotl.export.asking import Subject
from autotl.export.formats import FORMATS, Source, format_named, openvino, saved_model, triton
from autotl.export.formats.openvino_import import imported
from autotl.export.formats.openvino_resize import front
from autotl.pixels import resize
from autotl.records import Dataset, Preprocessing, Split, SplitRecord, to_json
from autotl.worker import Worker
from tests.images import encoded

ROOT = Path(__file__).parents[1]
ov = imported()
op = ov.opset15

SIZE = 16
CLASSES = ("amber", "blau", "grün")
PREPROCESSING = Preprocessing(size=SIZE)
ROWS = tuple(range(8, 48))

IN_THE_WORKER = '''
from functools import lru_cache

import keras
import numpy as np
import tensorflow as tf

from autotl.export.formats import saved_model
from autotl.records import Preprocessing

BLUE_FIRST = np.eye(3, dtype=np.float32)[::-1].reshape(1, 1, 3, 3)


def build(spec, progress):
    keras.utils.set_random_seed(3)
    layers = keras.layers
    pixels = keras.Input((16, 16, 3), name="pixels")
    x = layers.Rescaling([1 / 60, 1 / 70, 1 / 80], [-2.1, -1.7, -1.5])(pixels)
    x = layers.Conv2D(8, 3, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.MaxPooling2D(3, 2)(x)
    x = layers.Conv2D(12, 3, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    logits = layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(0, 4))(x)
    keras.Model(pixels, layers.Softmax(name="probabilities")(logits)).save(spec["out"])
    return {}


def broken(spec, progress):
    """Write a SavedModel with the fault that `spec` names."""
    load, resized = keras.models.load_model, saved_model.resized
    before = {
        "wrong mean": lambda x: keras.layers.Rescaling(1.0, [0.5, 0.0, 0.0])(x),
        "swapped channels": lambda x: keras.layers.Conv2D(
            3, 1, use_bias=False, kernel_initializer=lambda *_, **__: tf.constant(BLUE_FIRST)
        )(x),
    }.get(spec["fault"])
    method, antialias = {
        "linear resize": ("bilinear", True), "aliased resize": ("bicubic", False)
    }.get(spec["fault"], (None, None))

    def loaded(*given, **options):
        model = load(*given, **options)
        pixels = keras.Input(model.input_shape[1:])
        return keras.Model(pixels, model(before(pixels)))

    def otherwise(image, preprocessing):
        sides = [preprocessing.size] * 2
        levels = tf.image.resize(tf.cast(image, tf.float32), sides, method, antialias=antialias)
        return tf.clip_by_value(tf.round(levels), 0, 255)

    try:
        if before:
            keras.models.load_model = loaded
        if method:
            saved_model.resized = otherwise
        return saved_model.write(spec, progress)
    finally:
        keras.models.load_model, saved_model.resized = load, resized


def other_signature(spec, progress):
    given = [tf.TensorSpec((None, None, None, 3), tf.float32, name="image")]
    serve = tf.function(lambda image: {"probabilities": image}, input_signature=given)
    signatures = {saved_model.SERVING: serve, saved_model.PIXELS: serve}
    tf.saved_model.save(tf.Module(), spec["out"], signatures=signatures)


@lru_cache
def resizer(policy):
    how = Preprocessing(size=32, resize=policy)
    given = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
    return tf.function(lambda image: saved_model.resized(image, how), input_signature=given)


def resize(spec, progress):
    """Resize the image of a `.npy` with TensorFlow, into another."""
    np.save(spec["out"], resizer(spec["policy"])(np.load(spec["image"])[None])[0])
'''


def photograph(number: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(number)
    height, width = (int(side) for side in rng.integers(9, 60, 2))
    coarse = rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


DATASET = Dataset(
    kind="image",
    ids=tuple(f"{number}.png" for number in range(48)),
    labels=tuple(number % 3 for number in range(48)),
    classes=CLASSES,
    read=lambda row: encoded(photograph(row)),
)
SPLIT = Split(
    train=tuple(range(4)),
    validation=ROWS,
    test=tuple(range(4, 8)),
    record=SplitRecord(train=4, validation=len(ROWS), test=4, dropped=0, digest=""),
)


class Remembering:
    """A worker that asks the Keras model once."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.responses: Any = None
        self.answers: Any = None

    def call(self, function: str, spec: dict[str, Any], **rest: Any) -> Any:
        if function != "autotl.export.reference:answers":
            return self.worker.call(function, spec, **rest)
        if self.answers is None:
            self.responses = self.worker.call(function, spec, **rest)
            self.answers = np.load(spec["out"])
        np.save(spec["out"], self.answers)
        return self.responses


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    modules = tmp_path_factory.mktemp("modules")
    (modules / "in_the_worker.py").write_text(IN_THE_WORKER)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(modules))
        with Worker() as worker:
            yield Remembering(worker)


@pytest.fixture(scope="module")
def source(worker: Any, tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("run")
    keras_model, onnx = folder / "model.keras", folder / "model.onnx"
    worker.call("in_the_worker:build", {"out": str(keras_model)})
    spec = {"model": str(keras_model), "preprocessing": to_json(PREPROCESSING)}
    spec |= {"classes": list(CLASSES), "card": {"classes": list(CLASSES)}, "out": str(onnx)}
    spec |= {"embedding": False, "largest": outside.LARGEST}
    worker.call("autotl.export.graph:convert", spec)
    subject = Subject(
        keras_model=keras_model,
        dataset=DATASET,
        rows=ROWS,
        preprocessing=PREPROCESSING,
        folder=folder,
    )
    return Source(name="stones & more", onnx=onnx, subject=subject, split=SPLIT)


@pytest.fixture(scope="module")
def made(source: Source, worker: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder and what the gate said, by format."""
    found = {}
    for name in FORMATS:
        out = tmp_path_factory.mktemp("formats") / name
        out.mkdir()
        parity, checks = FORMATS[name].make(source, out, worker, None)
        found[name] = SimpleNamespace(folder=out, parity=parity, checks=checks)
    return found


def hold(candidate: Any, source: Source, worker: Any) -> Any:
    return gate.hold(candidate, source.subject, worker)


# ---- what is made ----


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_format_equals_the_model_that_was_trained(made: Any, name: str) -> None:
    parity = made[name].parity
    assert parity.examples == len(ROWS)
    assert parity.top1_agreement + parity.explained / len(ROWS) >= 0.999
    assert parity.median_difference <= 1e-4
    assert (parity.optimised_difference is None) is (name != "triton")
    assert any("resizes as training did" in check for check in made[name].checks)
    page = (made[name].folder / "README.md").read_text("utf-8")
    assert f"Of {len(ROWS)} raw validation images" in page
    for check in made[name].checks:
        assert check in page or check == "no Triton server was run"
    assert "## What was not" in page


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_card_lies_beside_it(made: Any, name: str) -> None:
    card = json.loads((made[name].folder / "card.json").read_text("utf-8"))
    assert card == {"classes": list(CLASSES)}


def test_openvino_keeps_float32(made: Any, source: Source) -> None:
    size = (made["openvino"].folder / "model.bin").stat().st_size
    weights = 4 * (3 * 8 * 9 + 8 * 5 + 8 * 12 * 9 + 12 + 12 * 3 + 3)
    assert size >= weights - 8 * 4 * 4  # the batch's statistics are folded into the convolution


def run(code: str, *arguments: str, cwd: Path, path: Path | None = None) -> str:
    """Run a program in a process of its own that cannot import autotl."""
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    guarded = f"{code}\nimport sys\nassert not {{'autotl', 'keras'}} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", guarded, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def lines_of(folder: Path) -> str:
    (block,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    return str(block)


def expected(source: Source, image: np.ndarray[Any, Any]) -> tuple[str, float]:
    answer = runtime.answerer(runtime.open_session(source.onnx))
    probabilities, labels = answer(image[None])
    return labels[0], float(probabilities.max())


@pytest.mark.parametrize("name", ["openvino", "saved-model"])
def test_the_readme_s_lines_label_an_image_without_us(
    made: Any, source: Source, tmp_path: Path, name: str
) -> None:
    for module in ("keras", "openvino_telemetry"):
        (tmp_path / f"{module}.py").write_text("raise ImportError('not needed')")
    image = photograph(77)
    (tmp_path / "new.png").write_bytes(encoded(image))
    folder = made[name].folder
    out = run(lines_of(folder), str(tmp_path / "new.png"), cwd=folder, path=tmp_path)
    label, probability = out.split()
    assert (label, pytest.approx(float(probability), abs=1e-3)) == expected(source, image)


def test_the_saved_model_takes_any_size_and_any_batch(
    made: Any, source: Source, worker: Any, tmp_path: Path
) -> None:
    candidate = saved_model.candidate(made["saved-model"].folder, CLASSES, worker, tmp_path)
    for shape in ((1, 1, 1, 3), (3, 40, 7, 3), (2, 16, 16, 3)):
        probabilities, labels = candidate.answer(np.full(shape, 90, np.uint8))
        assert probabilities.shape == (shape[0], 3)
        assert set(labels) <= set(CLASSES)


def test_a_saved_model_is_loaded_once_for_many_questions_and_again_once_it_changed(
    made: Any, worker: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made["saved-model"].folder, folder)
    candidate = saved_model.candidate(folder, CLASSES, worker, tmp_path)
    candidate.answer(np.zeros((1, 5, 5, 3), np.uint8))
    (folder / "saved_model.pb").write_bytes(b"torn")
    with pytest.raises(ParityError, match="does not load"):
        candidate.answer(np.zeros((1, 5, 5, 3), np.uint8))


def test_openvino_sends_no_figures_and_writes_nothing_to_the_home(
    source: Source, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from autotl.export.formats import openvino\n"
        "from autotl.records import Preprocessing\n"
        "openvino.write(Path(sys.argv[1]), Preprocessing(size=16), Path(sys.argv[2]))\n"
        "openvino.candidate(Path(sys.argv[2]), ('a', 'b', 'c'))\n"
        "assert not [name for name in sys.modules if name.startswith('openvino_telemetry.')]"
    )
    (tmp_path / "home").mkdir()
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(
        [sys.executable, "-c", code, str(source.onnx), str(out / "model.xml")],
        check=True,
        env=os.environ | {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)},
    )
    assert list((tmp_path / "home").iterdir()) == []
    assert sorted(path.name for path in out.iterdir()) == ["model.bin", "model.xml"]


# ---- the registry ----


def test_a_misspelt_format_is_guessed() -> None:
    with pytest.raises(UsageError, match="Did you mean 'openvino'") as caught:
        format_named("openvin")
    assert "saved-model, triton" in str(caught.value)


def test_what_a_format_needs_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "triton", replace(FORMATS["triton"], needs="not_installed_here"))
    with pytest.raises(UsageError, match=r"needs not_installed_here.*\n.*\.\[triton\]"):
        format_named("triton")


def test_versions_are_those_of_the_runtime() -> None:
    assert FORMATS["openvino"].versions().keys() == {"openvino"}
    assert FORMATS["saved-model"].versions() == {}


# ---- the resizes ----

SIDES = st.integers(1, 150)


def check_levels(found: np.ndarray[Any, Any], image: np.ndarray[Any, Any], policy: Any) -> None:
    off = np.abs(found - resize(image, 32, policy).astype(np.float32))
    assert found.shape == (32, 32, 3)
    assert off.max() <= gate.MOST_LEVELS
    assert (off > 1).mean() < 0.01
    assert off.mean() < 0.01


@pytest.fixture(scope="module")
def resizers() -> dict[str, Any]:
    found = {}
    for policy in ("squash", "crop"):
        image, pixels = front(Preprocessing(size=32, resize=policy))
        model = ov.Model([pixels], [image], "front")
        compiled = ov.Core().compile_model(model, openvino.DEVICE, openvino.PRECISION)
        found[policy] = compiled.create_infer_request()
    return found


@pytest.mark.parametrize("policy", ["squash", "crop"])
@settings(max_examples=60)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_openvino_resizes_as_pillow_does(
    resizers: dict[str, Any], policy: Any, height: int, width: int, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    check_levels(np.array(resizers[policy].infer({0: image[None]})[0])[0], image, policy)


@pytest.fixture(scope="module")
def by_tensorflow(worker: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    asked, out = (tmp_path_factory.mktemp("levels") / name for name in ("a.npy", "b.npy"))

    def resized(image: np.ndarray[Any, Any], policy: str) -> np.ndarray[Any, Any]:
        np.save(asked, image)
        spec = {"image": str(asked), "out": str(out), "policy": policy}
        worker.call("in_the_worker:resize", spec)
        return np.load(out)

    return resized


@pytest.mark.parametrize("policy", ["squash", "crop"])
@settings(max_examples=60)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_tensorflow_resizes_as_pillow_does(
    by_tensorflow: Any, policy: Any, height: int, width: int, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    check_levels(by_tensorflow(image, policy), image, policy)


@pytest.mark.parametrize("policy", ["squash", "crop"])
@pytest.mark.parametrize("sides", [(900, 4100), (3000, 40), (16, 16)])
def test_large_photographs_and_exact_halves_are_resized_as_pillow_does(
    resizers: dict[str, Any], by_tensorflow: Any, policy: Any, sides: tuple[int, int]
) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*sides, 3), dtype=np.uint8)
    check_levels(np.array(resizers[policy].infer({0: image[None]})[0])[0], image, policy)
    check_levels(by_tensorflow(image, policy), image, policy)


# ---- SavedModel: broken on purpose ----


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("wrong mean", "On resized pixels"),
        ("swapped channels", "On resized pixels"),
        ("linear resize", "resizes images otherwise"),
        ("aliased resize", "resizes images otherwise"),
        ("swapped labels", "labels are not those"),
    ],
)
def test_a_saved_model_broken_on_purpose_is_refused(
    source: Source, worker: Any, tmp_path: Path, fault: str, said: str
) -> None:
    named = ["blau", "amber", "grün"] if fault == "swapped labels" else list(CLASSES)
    spec = {"model": str(source.subject.keras_model), "preprocessing": to_json(PREPROCESSING)}
    spec |= {"classes": named, "out": str(tmp_path / "model"), "fault": fault, "embedding": False}
    worker.call("in_the_worker:broken", spec)
    candidate = saved_model.candidate(tmp_path / "model", CLASSES, worker, tmp_path)
    with pytest.raises(ParityError, match=said) as caught:
        hold(candidate, source, worker)
    assert caught.value.details


def test_a_saved_model_of_another_signature_is_refused(worker: Any, tmp_path: Path) -> None:
    worker.call("in_the_worker:other_signature", {"out": str(tmp_path / "model")})
    candidate = saved_model.candidate(tmp_path / "model", CLASSES, worker, tmp_path)
    with pytest.raises(ParityError, match="other inputs or outputs"):
        candidate.answer(np.zeros((1, 5, 5, 3), np.uint8))


def test_a_saved_model_without_its_variables_is_refused(
    made: Any, worker: Any, tmp_path: Path
) -> None:
    shutil.copytree(made["saved-model"].folder, tmp_path / "model")
    (data,) = (tmp_path / "model" / "variables").glob("*.data-*")
    data.write_bytes(data.read_bytes()[:100])
    candidate = saved_model.candidate(tmp_path / "model", CLASSES, worker, tmp_path)
    with pytest.raises(ParityError, match="does not load"):
        candidate.answer(np.zeros((1, 5, 5, 3), np.uint8))


# ---- OpenVINO: broken on purpose ----


def after_pixels(model: Any, change: Any) -> None:
    """Put a node between the resized pixels and the model."""
    pixels = openvino._named(model, openvino.PIXELS)
    readers = list(pixels.get_target_inputs())
    changed = change(pixels)
    for reader in readers:
        reader.replace_source_output(changed.output(0))


def swapped_channels(model: Any) -> None:
    after_pixels(model, lambda pixels: op.gather(pixels, np.array([2, 1, 0]), np.array(3)))


def wrong_mean(model: Any) -> None:
    after_pixels(model, lambda pixels: op.add(pixels, np.array([0.5, 0, 0], np.float32)))


@pytest.mark.parametrize("break_it", [swapped_channels, wrong_mean])
def test_an_openvino_model_broken_on_purpose_is_refused(
    made: Any, source: Source, worker: Any, tmp_path: Path, break_it: Any
) -> None:
    model = ov.Core().read_model(made["openvino"].folder / "model.xml")
    break_it(model)
    ov.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    candidate = openvino.candidate(tmp_path / "model.xml", CLASSES)
    with pytest.raises(ParityError, match="On resized pixels"):
        hold(candidate, source, worker)


def test_openvino_s_own_cubic_resize_is_refused(
    source: Source, worker: Any, tmp_path: Path
) -> None:
    model = ov.Core().read_model(source.onnx)
    ov.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    candidate = openvino.candidate(tmp_path / "model.xml", CLASSES)
    with pytest.raises(ParityError, match="resizes images otherwise"):
        hold(candidate, source, worker)


def test_openvino_s_swapped_labels_are_refused(made: Any, source: Source, worker: Any) -> None:
    candidate = openvino.candidate(made["openvino"].folder / "model.xml", CLASSES)

    def swapped(images: Any) -> Any:
        probabilities, labels = candidate.answer(images)
        turned = {"amber": "blau", "blau": "amber"}
        return probabilities, [turned.get(label, label) for label in labels]

    with pytest.raises(ParityError, match="labels are not those"):
        hold(replace(candidate, answer=swapped), source, worker)


def test_tampered_weights_of_openvino_are_refused(
    made: Any, source: Source, worker: Any, tmp_path: Path
) -> None:
    shutil.copytree(made["openvino"].folder, tmp_path / "model")
    weights = tmp_path / "model" / "model.bin"
    values = np.frombuffer(weights.read_bytes(), np.uint8).copy()
    middle = len(values) // 2 // 4 * 4
    values[middle : middle + 256] = values[middle : middle + 256][::-1]
    weights.write_bytes(values.tobytes())
    candidate = openvino.candidate(tmp_path / "model" / "model.xml", CLASSES)
    with pytest.raises(ParityError, match=r"On resized pixels|labels are not those"):
        hold(candidate, source, worker)


def test_torn_weights_of_openvino_are_refused(made: Any, tmp_path: Path) -> None:
    shutil.copytree(made["openvino"].folder, tmp_path / "model")
    (tmp_path / "model" / "model.bin").write_bytes(b"torn")
    with pytest.raises(ParityError, match="does not load"):
        openvino.candidate(tmp_path / "model" / "model.xml", CLASSES)


def test_an_openvino_model_for_other_classes_is_refused(made: Any) -> None:
    with pytest.raises(ParityError, match="other inputs or outputs"):
        openvino.candidate(made["openvino"].folder / "model.xml", ("one", "two"))


def test_what_openvino_cannot_read_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ParityError, match="does not convert"):
        openvino.write(tmp_path / "model.onnx", PREPROCESSING, tmp_path / "model.xml")


# ---- Triton ----


def test_the_repository_is_laid_out_as_triton_reads_it(made: Any, source: Source) -> None:
    folder = made["triton"].folder
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    assert found == [
        "README.md",
        "card.json",
        "stones-more/1/model.onnx",
        "stones-more/config.pbtxt",
        "stones-more/labels.txt",
    ]
    assert (folder / "stones-more/1/model.onnx").read_bytes() == source.onnx.read_bytes()
    assert (folder / "stones-more/labels.txt").read_text("utf-8") == "amber\nblau\ngrün\n"
    assert "no Triton server was run" in made["triton"].checks


def test_a_repository_with_another_model_in_it_is_refused(
    source: Source, worker: Any, tmp_path: Path
) -> None:
    model = onnx.load_model(source.onnx)
    for node in model.graph.node:
        if node.op_type == "Resize":
            (mode,) = (one for one in node.attribute if one.name == "mode")
            mode.s = b"linear"
    onnx.save_model(model, tmp_path / "model.onnx")
    (tmp_path / "out").mkdir()
    with pytest.raises(ParityError, match="resizes images otherwise"):
        triton.make(replace(source, onnx=tmp_path / "model.onnx"), tmp_path / "out", worker)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("dims: [ -1, -1, 3 ]", "dims: [ 224, 224, 3 ]", "other inputs or outputs"),
        ("dims: [ 3 ]", "dims: [ 4 ]", "other inputs or outputs"),
        ("reshape { shape: [ ] }", "", "other inputs or outputs"),
        ("TYPE_UINT8", "TYPE_FP32", "other inputs or outputs"),
        ('name: "image"', 'name: "input"', "other inputs or outputs"),
        ("max_batch_size: 32", "max_batch_size: 0", "not one for stones-more"),
        ('name: "stones-more"', 'name: "stones"', "not one for stones-more"),
        ("max_batch_size", "most_in_a_batch", "Triton cannot read"),
        ("TYPE_UINT8", "TYPE_UINT9", "Triton cannot read"),
        ("dynamic_batching {", "dynamic_batching", "Triton cannot read"),
    ],
)
def test_another_configuration_is_refused(
    made: Any, tmp_path: Path, old: str, new: str, said: str
) -> None:
    folder = tmp_path / "stones-more"
    shutil.copytree(made["triton"].folder / "stones-more", folder)
    text = (folder / "config.pbtxt").read_text()
    assert old in text
    (folder / "config.pbtxt").write_text(text.replace(old, new))
    with pytest.raises(ParityError, match=said):
        triton.check(folder, CLASSES)


def test_labels_in_another_order_are_refused(made: Any, tmp_path: Path) -> None:
    folder = tmp_path / "stones-more"
    shutil.copytree(made["triton"].folder / "stones-more", folder)
    (folder / "labels.txt").write_text("blau\namber\ngrün\n", "utf-8")
    with pytest.raises(ParityError, match="does not list the classes"):
        triton.check(folder, CLASSES)


def test_classes_that_are_no_lines_get_no_list_of_labels(source: Source, tmp_path: Path) -> None:
    names = ("one\ntwo", "blau", "grün")
    triton.write(source.onnx, tmp_path / "stones", names)
    assert not (tmp_path / "stones" / "labels.txt").exists()
    assert "agrees with the ONNX file" in triton.check(tmp_path / "stones", names)


@pytest.mark.parametrize(
    ("run_name", "model"), [("flowers", "flowers"), ("a b/ü.d", "a-b-d"), ("--", "model")]
)
def test_the_model_s_name_is_one_that_goes_everywhere(run_name: str, model: str) -> None:
    assert triton.model_name(run_name) == model


def test_the_readme_s_client_labels_an_image_where_triton_s_protocol_is_served(
    made: Any, source: Source, tmp_path: Path
) -> None:
    """Triton's own client and messages; the server is this test's, in front of onnxruntime."""
    image = photograph(78)
    (tmp_path / "new.png").write_bytes(encoded(image))
    with Served(made["triton"].folder) as address:
        out = run(lines_of(made["triton"].folder), address, str(tmp_path / "new.png"), cwd=tmp_path)
    label, probability = out.split()
    assert (label, pytest.approx(float(probability), abs=1e-3)) == expected(source, image)


class Served:
    """A gRPC server that answers for the models of a repository as its configuration says."""

    def __init__(self, repository: Path) -> None:
        import grpc
        from tritonclient.grpc import service_pb2_grpc

        self.repository = repository
        self.server = grpc.server(ThreadPoolExecutor(2))
        service = service_pb2_grpc.GRPCInferenceServiceServicer()
        service.ModelInfer = self.infer
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(service, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> str:
        self.server.start()
        return f"127.0.0.1:{self.port}"

    def __exit__(self, *_: object) -> None:
        self.server.stop(None)

    def infer(self, request: Any, context: Any) -> Any:
        from tritonclient.grpc import service_pb2
        from tritonclient.utils import serialize_byte_tensor

        folder = self.repository / request.model_name
        config = triton._parsed(folder / "config.pbtxt")
        session = runtime.open_session(folder / "1" / config.default_model_filename)
        (asked,) = request.inputs
        assert (asked.name, asked.datatype) == (config.input[0].name, "UINT8")
        pixels = np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(asked.shape)
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        names = [output.name for output in config.output]
        for output, values in zip(
            config.output, session.run(names, {asked.name: pixels}), strict=True
        ):
            shape = [len(pixels), *output.dims]
            text = output.name == "label"
            answer.outputs.add(name=output.name, datatype="BYTES" if text else "FP32", shape=shape)
            raw = serialize_byte_tensor(values.astype(object)).item() if text else values.tobytes()
            answer.raw_output_contents.append(raw)
        return answer
