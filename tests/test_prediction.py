from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from autotl.cli.program import run
from autotl.delivery import verify
from autotl.errors import DataError, UsageError
from autotl.export import card
from autotl.prediction import CARD_KEY, CARD_SCHEMA, Model, Predicted, open_model, predict
from tests.models import CLASSES, write_foreign, write_model

RED, GREEN, BLUE = (230, 20, 30), (10, 220, 40), (5, 15, 240)


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (12, 9)) -> Image.Image:
    return Image.new("RGB", size, colour)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    plain(RED).save(folder / "a.png")
    plain(GREEN, (31, 17)).save(folder / "b.JPG", "JPEG")
    (folder / "c.png").write_bytes(b"")
    plain(RED).save(folder / "deep" / "d.webp", lossless=True)
    (folder / "deep" / "e.jpg").write_bytes((folder / "b.JPG").read_bytes()[:300])
    (folder / "notes.txt").write_text("no image")
    plain(BLUE).save(folder / "z.png")
    return folder


def test_the_names_of_the_card_are_those_that_export_writes() -> None:
    assert (CARD_KEY, CARD_SCHEMA) == (card.KEY, card.SCHEMA)


def test_a_folder_gives_one_record_an_image_in_order(model: Path, photos: Path) -> None:
    found = list(predict(model, photos))
    names = [Path(each.id).relative_to(photos).as_posix() for each in found]
    assert names == ["a.png", "b.JPG", "c.png", "deep/d.webp", "deep/e.jpg", "z.png"]
    assert [each.label for each in found] == ["rouge", "grün", None, "rouge", None, "bleu"]


def test_what_cannot_be_read_says_why_and_stops_nothing(model: Path, photos: Path) -> None:
    broken = [each for each in predict(model, photos) if each.error]
    assert len(broken) == 2
    assert "empty" in str(broken[0].error)
    assert all(each.top == () and each.probability is None for each in broken)


@pytest.mark.parametrize("given", ["folder", "file", "entry"])
def test_names_that_are_no_utf8_get_printable_ids(model: Path, photos: Path, given: str) -> None:
    folder = photos / "deep"
    odd = Path(os.fsdecode(bytes(folder) + b"/caf\xe9.webp"))
    (folder / "d.webp").rename(odd)
    (folder / "e.jpg").unlink()
    entries = [entry for entry in os.scandir(folder) if entry.name == odd.name]
    (found,) = predict(model, {"folder": folder, "file": str(odd), "entry": entries[0]}[given])
    assert (found.id, found.label) == (f"{folder}/caf\\xe9.webp", "rouge")


def test_top_labels_come_best_first(model: Path, photos: Path) -> None:
    (found,) = predict(model, photos / "z.png", top=2)
    assert found.id == str(photos / "z.png")
    assert [label for label, _ in found.top] == ["bleu", "grün"]
    assert found.top[0] == (found.label, found.probability)
    (found,) = predict(model, photos / "z.png", top=99)
    assert len(found.top) == 3
    assert sum(probability for _, probability in found.top) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 3, 16])
def test_batching_changes_no_answer(model: Path, photos: Path, batch: int) -> None:
    images = [np.asarray(plain(c, s)) for s in ((9, 9), (4, 20)) for c in (RED, GREEN, GREEN, BLUE)]
    found = list(predict(model, images, batch=batch))
    assert [each.id for each in found] == [str(number) for number in range(8)]
    assert [each.label for each in found] == ["rouge", "grün", "grün", "bleu"] * 2
    alone = [next(predict(model, image)).probability for image in images]
    assert [each.probability for each in found] == pytest.approx(alone, abs=1e-6)


def test_arrays_bytes_and_paths_may_be_mixed(model: Path, photos: Path) -> None:
    content = (photos / "b.JPG").read_bytes()
    grey = np.full((5, 6), 80, np.uint8)
    found = list(predict(model, [np.asarray(plain(BLUE)), content, str(photos / "a.png"), grey]))
    assert [each.id for each in found] == ["0", "1", str(photos / "a.png"), "3"]
    assert [each.label for each in found[:3]] == ["bleu", "grün", "rouge"]
    batch = np.stack([np.asarray(plain(colour)) for colour in (GREEN, BLUE)])
    assert [each.label for each in predict(model, batch)] == ["grün", "bleu"]


def test_a_bad_array_is_that_input_s_error(model: Path) -> None:
    wrong = np.zeros((4, 4, 3), np.float32)
    first, second = predict(model, [wrong, np.asarray(plain(RED))])
    assert "uint8" in str(first.error)
    assert second.label == "rouge"


def test_the_photograph_is_turned_upright(model: Path, tmp_path: Path) -> None:
    image = plain(RED, (40, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    image.save(stream, "JPEG", exif=exif)
    (found,) = predict(model, stream.getvalue())
    assert found.label == "rouge"


def test_progress_counts_every_input(model: Path, photos: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    list(predict(model, photos, batch=4, progress=lambda *told: heard.append(told)))
    assert heard == [("predict", done, 6) for done in range(1, 7)]


def test_a_run_folder_stands_for_its_model(model: Path) -> None:
    (found,) = predict(model.parent, np.asarray(plain(GREEN)))
    assert found.label == "grün"


def test_nothing_given_gives_nothing(model: Path) -> None:
    assert list(predict(model, [])) == []


# ---- refusals, before anything is read ----


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no model at .*absent\.onnx"):
        predict(tmp_path / "absent.onnx", [])
    with pytest.raises(UsageError, match="no model at"):
        predict(tmp_path, [])


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(UsageError):
        predict(path, [])


def test_a_model_without_a_card_is_refused(model: Path, tmp_path: Path) -> None:
    bare = onnx.load_model(model)
    del bare.metadata_props[:]
    onnx.save_model(bare, tmp_path / "bare.onnx")
    with pytest.raises(UsageError, match="no autotl card") as raised:
        predict(tmp_path / "bare.onnx", [])
    assert raised.value.exit_code == 2
    assert "missing: 'autotl'" in str(raised.value)


# ---- classifiers from elsewhere ----

NAMED = {
    "schema": CARD_SCHEMA,
    "classes": CLASSES,
    "input": {"name": "photo"},
    "outputs": {"probabilities": "scores", "label": None},
}


def test_a_foreign_classifier_without_a_card_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """The lines of the refusal, run as they stand but for the names, make it work."""
    path = write_foreign(tmp_path / "their.onnx")
    with pytest.raises(UsageError, match="no autotl card") as raised:
        predict(path, [])
    assert "input: 'photo' tensor(uint8)" in str(raised.value)
    lines = [line for line in raised.value.hint.splitlines() if line.startswith("  ")]
    program = "\n".join(line[2:] for line in lines).replace("[...]", repr(CLASSES))
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    found = list(predict(path, [np.asarray(plain(colour)) for colour in (GREEN, BLUE, RED)]))
    assert [each.label for each in found] == ["grün", "bleu", "rouge"]
    assert found[0].top[0] == ("grün", found[0].probability)


def test_a_foreign_classifier_s_own_names_may_be_ours(tmp_path: Path) -> None:
    path = write_foreign(tmp_path / "model.onnx", {**NAMED, "outputs": {}}, output="probabilities")
    with pytest.raises(UsageError, match="'label'"):  # without a word on outputs: all of ours
        predict(path, [])
    (found,) = predict(write_foreign(path, NAMED), np.asarray(plain(BLUE)))
    assert found.label == "bleu"


def test_a_foreign_classifier_of_one_size_refuses_others_one_by_one(tmp_path: Path) -> None:
    path = write_foreign(tmp_path / "model.onnx", NAMED, sides="9,12")
    wide, tall = np.asarray(plain(RED)), np.asarray(plain(RED, (9, 12)))
    first, second, third = predict(path, [wide, tall, wide])
    assert (first.label, third.label) == ("rouge", "rouge")
    assert "takes images of 12 × 9 pixels only, and this one has 9 × 12" in str(second.error)


def test_a_foreign_classifier_of_one_image_at_a_time_gets_one(tmp_path: Path) -> None:
    path = write_foreign(tmp_path / "model.onnx", NAMED)
    one = onnx.load_model(path)
    one.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    one.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save_model(one, path)
    images = [np.asarray(plain(colour)) for colour in (GREEN, BLUE, RED)]
    assert [each.label for each in predict(path, images)] == ["grün", "bleu", "rouge"]


def test_a_foreign_classifier_made_with_spox_works(tmp_path: Path) -> None:
    import spox
    import spox.opset.ai.onnx.v18 as op

    photo = spox.argument(spox.Tensor(np.uint8, (None, None, None, 3)))
    mean = op.reduce_mean(op.cast(photo, to=np.float32), op.const([1, 2]), keepdims=0)
    scores = op.softmax(op.div(mean, op.const(np.float32(100))), axis=1)
    names = op.gather(op.const(np.array(CLASSES)), op.arg_max(scores, axis=1, keepdims=0))
    built = spox.build({"photo": photo}, {"scores": scores, "name": names})
    card = {**NAMED, "outputs": {"probabilities": "scores", "label": "name"}}
    onnx.helper.set_model_props(built, {CARD_KEY: json.dumps(card)})
    onnx.save_model(built, tmp_path / "model.onnx")
    (found,) = predict(tmp_path / "model.onnx", np.asarray(plain(GREEN)))
    assert found.label == "grün"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"input": {"name": "picture"}}, "the input 'picture'"),
        ({"input": "photo"}, "must be objects"),
        ({"input": {"name": 3}}, "is no text"),
        ({"outputs": {"probabilities": "logit"}}, "'logit'"),
        ({"outputs": {"probabilities": "scores", "label": "scores"}}, "must be text"),
        ({"classes": ["one", "two"]}, "a column for each"),
        ({"classes": ["one", "one", "two"]}, "a column for each"),
        ({"classes": [1, 2, 3]}, "a column for each"),
        ({"classes": {}}, "a column for each"),
    ],
)
def test_a_card_that_does_not_fit_a_foreign_graph_says_where(
    tmp_path: Path, told: Any, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        predict(write_foreign(tmp_path / "model.onnx", NAMED | told), [])


def _of_open_width(path: Path, side: str | None, card: Any) -> Path:
    """The foreign model; how many classes it has shows only when it runs."""
    proto = onnx.load_model(write_foreign(path, card))
    (node,) = (node for node in proto.graph.node if node.op_type == "Softmax")
    whole = onnx.helper.make_node("Compress", [node.input[0], "chosen"], ["columns"], axis=1)
    proto.graph.node.insert(-1, whole)
    chosen = onnx.numpy_helper.from_array(np.array([True] * 3), "chosen")
    proto.graph.initializer.append(chosen)
    node.input[0] = "columns"
    dimension = proto.graph.output[0].type.tensor_type.shape.dim[1]
    dimension.Clear()
    if side is not None:
        dimension.dim_param = side
    onnx.save_model(proto, path)
    return path


@pytest.mark.parametrize("side", ["classes", None])
def test_a_graph_may_leave_open_how_many_classes_it_has(tmp_path: Path, side: str | None) -> None:
    path = _of_open_width(tmp_path / "model.onnx", side, NAMED)
    (found,) = predict(path, np.asarray(plain(GREEN)))
    assert found.label == "grün"
    assert verify(path).checks
    _of_open_width(path, side, NAMED | {"classes": ["one", "two"]})
    with pytest.raises(UsageError, match=r"probabilities of shape \(1, 3\), not \(1, 2\)"):
        list(predict(path, np.asarray(plain(GREEN))))


def test_a_graph_of_other_types_is_refused(tmp_path: Path) -> None:
    path = write_foreign(tmp_path / "model.onnx", NAMED)
    other = onnx.load_model(path)
    other.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    onnx.save_model(other, path)
    with pytest.raises(UsageError, match="must be uint8"):
        predict(path, [])
    other = onnx.load_model(write_foreign(path, NAMED))
    other.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8
    other.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 8
    onnx.save_model(other, path)
    with pytest.raises(UsageError, match="with any batch, or with one image"):
        predict(path, [])


def _without_softmax(path: Path) -> Path:
    proto = onnx.load_model(write_foreign(path, NAMED))
    (node,) = (node for node in proto.graph.node if node.op_type == "Softmax")
    node.op_type = "Identity"
    del node.attribute[:]
    onnx.save_model(proto, path)
    return path


@pytest.mark.parametrize("shape", [(), (2,), (1, 1)])
def test_labels_of_another_number_are_refused(
    model: Path, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    proto = onnx.load_model(model)
    (node,) = (node for node in proto.graph.node if "label" in node.output)
    names = np.full(shape, "rouge").astype(object)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(names, "always"))
    node.op_type = "Identity"
    del node.input[:], node.attribute[:]
    node.input.append("always")
    proto.graph.output[1].type.tensor_type.ClearField("shape")
    onnx.save_model(proto, tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="labels of shape"):
        list(predict(tmp_path / "model.onnx", np.asarray(plain(RED))))


def test_logits_are_no_probabilities(tmp_path: Path) -> None:
    path = _without_softmax(tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="does not add up to 1") as raised:
        list(predict(path, np.asarray(plain(RED))))
    assert "softmax" in raised.value.hint


def test_what_is_not_a_number_is_no_probability(tmp_path: Path) -> None:
    path = _without_softmax(tmp_path / "model.onnx")
    proto = onnx.load_model(path)
    (node,) = (node for node in proto.graph.node if node.op_type == "Identity")
    node.op_type = "Log"
    proto.graph.node.insert(-1, onnx.helper.make_node("Neg", [node.input[0]], ["less"]))
    node.input[0] = "less"
    onnx.save_model(proto, path)
    with pytest.raises(UsageError, match="does not add up to 1"):
        list(predict(path, np.asarray(plain(RED))))


def _of_eights(path: Path) -> Path:
    """A model that fails on images whose sides are not multiples of 8, alone or among others."""
    proto = onnx.load_model(write_foreign(path, NAMED))
    (node,) = (node for node in proto.graph.node if node.op_type == "Cast")
    cut = onnx.helper.make_node("Reshape", ["photo", "eight"], ["squeezed"])
    proto.graph.node.insert(0, cut)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, 8, -1, 3]), "eight"))
    node.input[0] = "squeezed"
    onnx.save_model(proto, path)
    return path


def test_a_graph_that_fails_on_an_image_is_told(tmp_path: Path) -> None:
    path = _of_eights(tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="fails on images of shape"):
        list(predict(path, np.asarray(plain(RED, (7, 7)))))


def test_a_graph_that_fails_on_one_image_labels_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _of_eights(tmp_path / "model.onnx")
    odd, even = np.asarray(plain(RED, (7, 7))), np.asarray(plain(GREEN, (8, 8)))
    for images in ([odd, even, even], [even, odd, even], [b"torn", odd, b"torn", even, odd]):
        found = list(predict(path, images))
        assert [each.id for each in found] == [str(n) for n in range(len(images))]
        for image, each in zip(images, found, strict=True):
            if image is even:
                assert each.label == "grün"
            elif image is odd:
                assert "The model fails on images of shape (1, 7, 7, 3)" in str(each.error)
            else:
                assert "no image" in str(each.error)
    (tmp_path / "photos").mkdir()
    for name, image in (("a", odd), ("b", even)):
        Image.fromarray(image).save(tmp_path / "photos" / f"{name}.png")
    assert run(["predict", str(path), str(tmp_path / "photos"), "--format", "csv"]) == 0
    told = capsys.readouterr()
    assert "grün" in told.out
    assert "a.png: The model fails on" in told.err
    assert "1 of 2 inputs" in told.err


def _given_up(model: Model, batch: int, fails: Callable[[Any], bool]) -> tuple[int, list[Any]]:
    """How many of a thousand images were run, and what came of them."""
    real, runs = model.session, []

    class Session:
        def run(self, names: Any, inputs: Any) -> Any:
            runs.append(len(inputs["image"]))
            if fails(inputs["image"]):
                raise RuntimeError("odd")
            return real.run(names, inputs)

    images = [np.full((9, 9, 3), n % 250, np.uint8) for n in range(1_000)]
    found: list[Any] = []
    try:
        found.extend(predict(replace(model, session=Session()), images, batch=batch))
    except UsageError as error:
        found.append(error)
    return sum(runs), found


@pytest.mark.parametrize("batch", [1, 4, 300])
def test_a_graph_that_fails_on_all_is_given_up_early(model: Path, batch: int) -> None:
    images, found = _given_up(open_model(model), batch, lambda _: True)
    assert images <= 2 * 16 + batch
    (error,) = found
    assert "fails on images of shape (1, 9, 9, 3)" in error.message


def test_one_image_in_a_batch_fails_alone(model: Path) -> None:
    images, found = _given_up(open_model(model), 16, lambda images: bool((images == 99).any()))
    assert [each.id for each in found] == [str(n) for n in range(1_000)]
    assert [each.id for each in found if each.error] == ["99", "349", "599", "849"]
    assert images == 1_000 + 4 * 16


def test_a_file_that_onnxruntime_cannot_load_says_so_once(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    changed = onnx.load_model(model)
    (node,) = (node for node in changed.graph.node if node.op_type == "Softmax")
    node.op_type = "Softmaks"
    onnx.save_model(changed, tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="onnxruntime cannot load"):
        predict(tmp_path / "model.onnx", [])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"schema": "autotl-card/2", "classes": CLASSES}, "autotl-card/2"),
        ({"classes": CLASSES}, "schema None"),
        ([], "schema None"),
        ({"schema": CARD_SCHEMA, "classes": ["one"]}, "does not fit"),
        ({"schema": CARD_SCHEMA}, "does not fit"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tmp_path: Path, told: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        predict(write_model(tmp_path / "model.onnx", told), [])


def test_a_card_that_is_not_json_is_refused(model: Path, tmp_path: Path) -> None:
    changed = onnx.load_model(model)
    changed.metadata_props[0].value = "{"
    onnx.save_model(changed, tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="not JSON"):
        predict(tmp_path / "model.onnx", [])


def test_a_missing_input_is_refused_before_anything_runs(model: Path, photos: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        predict(model, [photos / "a.png", photos / "nowhere.png"])


def test_a_folder_without_images_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        predict(model, tmp_path)


@pytest.mark.parametrize("wrong", [{"top": 0}, {"batch": 0}])
def test_numbers_that_cannot_be_meant_are_refused(model: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        predict(model, [], **wrong)


def test_an_input_of_no_known_type_is_refused(model: Path) -> None:
    with pytest.raises(UsageError, match="type int"):
        predict(model, [3])


def test_predicting_loads_neither_training_nor_export_libraries(model: Path, photos: Path) -> None:
    program = (
        "import json, sys\n"
        "from autotl.prediction import predict\n"
        "(found,) = predict(sys.argv[1], sys.argv[2])\n"
        "print(json.dumps([found.label, sorted({name.split('.')[0] for name in sys.modules})]))\n"
    )
    command = [sys.executable, "-c", program, str(model), str(photos / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    label, modules = json.loads(done.stdout)
    assert label == "rouge"
    heavy = {"tensorflow", "keras", "sklearn", "scipy", "spox", "msgspec", "rich"}
    assert heavy.isdisjoint(modules)
    assert {"onnxruntime", "numpy", "PIL", "onnx"} <= set(modules)


def test_a_record_of_an_error_holds_nothing_else() -> None:
    assert Predicted(id="x", error="why").top == ()
