"""Exported files checked again and evaluated: sound ones pass, broken ones are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image
from sklearn import metrics

from autotl import loading, verify
from autotl.cli.program import run
from autotl.delivery import Tally, judging, known, verifying
from autotl.errors import DataError, ParityError, UsageError
from autotl.plugins import discover
from autotl.prediction import Predicted, open_model
from autotl.records import Verified, from_json, to_json
from autotl.split import split
from tests.models import CARD, CLASSES, write_foreign, write_model

COLOURS = {"rouge": (230, 20, 30), "grün": (10, 220, 40), "bleu": (5, 15, 240)}


def write_photos(root: Path, counts: dict[str, int], *, wrong: int = 0) -> Path:
    """Class folders of plain images; the last `wrong` of each class are of the next colour."""
    names = list(COLOURS)
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            off = int(n >= count - wrong)
            colour = np.array(COLOURS[names[(names.index(name) + off) % 3]])
            image = np.clip(np.tile(colour, (9, 12, 1)) + n, 0, 255).astype(np.uint8)
            Image.fromarray(image).save(root / name / f"{n:03}.png")
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", dict.fromkeys(COLOURS, 10), wrong=2)


def _card_of(photos: Path, *, right: int | None = None, **more: Any) -> dict[str, Any]:
    """A card as the run on these photographs would have written it: 2 of 10 are wrong a class."""
    loaded = loading.load(str(photos), discover().loaders)
    rows = split(loaded.dataset, loaded.hashes, seed=7).test
    wrong = sum(int(Path(loaded.dataset.ids[row]).stem) >= 8 for row in rows)
    value = (len(rows) - wrong if right is None else right) / len(rows)
    return CARD | {
        "seed": 7,
        "data": {"fingerprint": loaded.record.fingerprint, "test": len(rows)},
        "metrics": {
            "examples": len(rows),
            "accuracy": {"value": value, "low": value / 2, "high": 1.0},
        },
        **more,
    }


# ---- the file alone ----


def test_a_sound_file_passes_and_says_what_was_checked(model: Path) -> None:
    found = verify(model)
    assert found.classes == tuple(CLASSES)
    assert found.data is None
    assert found.size == model.stat().st_size
    told = " ".join(found.checks)
    for words in ("onnx.checker", "as declared", "optimisations", "batch", "labels"):
        assert words in told
    assert from_json(Verified, json.loads(json.dumps(to_json(found)))) == found


def test_a_foreign_classifier_with_a_card_passes(tmp_path: Path) -> None:
    names = {"input": {"name": "photo"}, "outputs": {"probabilities": "scores", "label": None}}
    path = write_foreign(tmp_path / "model.onnx", CARD | names)
    assert "onnx.checker passes" in verify(path).checks


def _changed(model: Path, out: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    proto = onnx.load_model(model)
    change(proto)
    onnx.save_model(proto, out / "model.onnx")
    return out / "model.onnx"


def _least_wins(proto: onnx.ModelProto) -> None:
    (node,) = (node for node in proto.graph.node if node.op_type == "ArgMax")
    node.op_type = "ArgMin"


def _no_softmax(proto: onnx.ModelProto) -> None:
    (node,) = (node for node in proto.graph.node if node.op_type == "Softmax")
    node.op_type = "Relu"
    del node.attribute[:]


def _mixed_batch(proto: onnx.ModelProto) -> None:
    """Softmax over the batch as well: one image alone is answered otherwise than in a batch."""
    (node,) = (node for node in proto.graph.node if node.op_type == "ReduceMean")
    axes = numpy_helper.from_array(np.array([0, 1, 2], np.int64), "wrong_axes")
    proto.graph.initializer.append(axes)
    shape = numpy_helper.from_array(np.array([1, 3], np.int64), "row")
    proto.graph.initializer.append(shape)
    first, mean = node.input[0], node.output[0]
    place = list(proto.graph.node).index(node)
    node.input[1], node.output[0] = "wrong_axes", "over_all"
    own = helper.make_node("ReduceMean", [first, "own_axes"], ["own"], keepdims=0)
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1, 2], np.int64), "own_axes"))
    proto.graph.node.insert(place + 1, own)
    both = helper.make_node("Add", ["own", "over_all"], [mean])
    proto.graph.node.insert(place + 2, both)


def _one_more_output(proto: onnx.ModelProto) -> None:
    again = helper.make_node("Identity", ["image"], ["again"])
    proto.graph.node.append(again)
    proto.graph.output.append(
        helper.make_tensor_value_info(
            "again", onnx.TensorProto.UINT8, ["batch", "height", "width", 3]
        )
    )


def _operator_of_another_domain(proto: onnx.ModelProto) -> None:
    (node,) = (node for node in proto.graph.node if node.op_type == "Softmax")
    (scores,) = node.input
    node.input[0] = "scaled"
    scaler = {"domain": "ai.onnx.ml", "scale": [1.0], "offset": [0.0]}
    place = list(proto.graph.node).index(node)
    proto.graph.node.insert(place, helper.make_node("Scaler", [scores], ["scaled"], **scaler))
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_least_wins, "labels are not those"),
        (_no_softmax, "add up to 1"),
        (_mixed_batch, "One by one"),
        (_one_more_output, "outputs are not the declared ones"),
        (_operator_of_another_domain, "operators that are not standard"),
    ],
)
def test_a_broken_file_fails_with_what_is_wrong(
    model: Path,
    tmp_path: Path,
    change: Callable[[onnx.ModelProto], None],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = _changed(model, tmp_path, change)
    with pytest.raises(ParityError, match=words):
        verify(path)
    assert run(["verify", str(path)]) == 6
    told = capsys.readouterr()
    assert words in told.err
    assert "Traceback" not in told.err
    assert "no model file was written" not in told.err
    assert not told.out


@pytest.mark.parametrize("side", ["features", 3])
def test_an_embedding_that_the_card_names_has_a_length(
    tmp_path: Path, side: str | int, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = CARD["outputs"] | {"embedding": "embedding"}
    path = write_model(tmp_path / "model.onnx", CARD | {"outputs": outputs})

    def give(proto: onnx.ModelProto) -> None:
        (mean,) = (node for node in proto.graph.node if node.op_type == "ReduceMean")
        proto.graph.node.append(helper.make_node("Identity", [mean.output[0]], ["embedding"]))
        told = helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["batch", side])
        proto.graph.output.append(told)

    if side == 3:
        assert "inputs and outputs are as declared" in verify(_changed(path, tmp_path, give)).checks
        return
    for each in (path, _changed(path, tmp_path, give)):
        assert run(["verify", str(each)]) == 6
        assert "outputs are not the declared ones" in capsys.readouterr().err


def _answer_otherwise(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """A runtime that is wrong without its optimisations: a share of one probability moves."""
    real = verifying.open_session

    def off(path: Path, *, optimised: bool) -> Any:
        session = real(path, optimised=optimised)

        class Off:
            def run(self, names: Any, inputs: Any) -> Any:
                probabilities, _ = session.run(names, inputs)
                away = probabilities.copy()
                away[:, 0] += share * probabilities[:, 1]
                away[:, 1] *= 1 - share
                best = [CLASSES[place] for place in away.argmax(axis=1)]
                return away, np.array(best, object)

        return Off()

    monkeypatch.setattr(verifying, "open_session", off)


def test_optimisations_that_change_the_answer_fail(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer_otherwise(monkeypatch, 0.02)
    with pytest.raises(ParityError, match="Without onnxruntime's optimisations"):
        verify(model)


def test_a_model_of_8_bits_may_answer_a_little_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By about 0.007, and not by 0.1."""
    path = write_model(tmp_path / "model.onnx", CARD | {"precision": "int8"})
    with monkeypatch.context() as patch:
        _answer_otherwise(patch, 0.02)
        assert any("change little" in check for check in verify(path).checks)
    _answer_otherwise(monkeypatch, 0.3)
    with pytest.raises(ParityError, match="Without onnxruntime's optimisations") as raised:
        verify(path)
    assert "allowed: 0.15" in str(raised.value)
    assert "allowed: 0.04" in str(raised.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_least_wins, "labels are not those"),
        (_no_softmax, "add up to 1"),
        (_mixed_batch, "One by one"),
    ],
)
def test_a_broken_model_of_8_bits_fails(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], words: str
) -> None:
    path = write_model(tmp_path / "model.onnx", CARD | {"precision": "int8"})
    with pytest.raises(ParityError, match=words):
        verify(_changed(path, tmp_path, change))


def test_a_refused_file_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(UsageError):
        verify(tmp_path)
    assert run(["verify", str(tmp_path)]) == 2


# ---- on data ----


def test_on_its_own_data_the_test_rows_are_found_again(tmp_path: Path, photos: Path) -> None:
    card = _card_of(photos)
    found = verify(write_model(tmp_path / "model.onnx", card), photos).data
    assert found is not None
    assert (found.rows, found.difference) == ("run's test rows", 0)
    assert found.scores.examples == card["metrics"]["examples"]
    assert found.scores.accuracy.value == pytest.approx(card["metrics"]["accuracy"]["value"])


def test_one_image_apart_is_told_and_more_fail(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = _card_of(photos)
    right = round(card["metrics"]["accuracy"]["value"] * card["metrics"]["examples"])
    near = write_model(tmp_path / "near.onnx", _card_of(photos, right=right - 1))
    assert run(["verify", str(near), str(photos)]) == 0
    assert "1 image apart" in capsys.readouterr().out
    far = write_model(tmp_path / "far.onnx", _card_of(photos, right=right - 3))
    assert run(["verify", str(far), str(photos)]) == 6
    told = capsys.readouterr().err
    assert "better than its card says" in told
    assert "3 of" in told


def test_a_card_without_figures_is_compared_with_nothing(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = {"metrics": None, "abstention": None, "precision": "int8"}
    path = write_model(tmp_path / "model.onnx", _card_of(photos) | nothing)
    found = verify(path, photos).data
    assert found is not None
    assert found.rows == "run's test rows"
    assert (found.card, found.card_examples, found.difference, found.notes) == (None,) * 3 + ((),)
    assert run(["verify", str(path), str(photos)]) == 0
    assert "The card tells no accuracy to compare with." in capsys.readouterr().out
    assert run(["predict", str(path), str(photos), "--evaluate", "--format", "csv"]) == 0
    told = capsys.readouterr()
    assert "abstained" not in told.out
    assert "Accuracy           0.800" in told.err
    assert "Abstention" not in told.err


def test_another_test_count_is_compared_with_nothing(tmp_path: Path, photos: Path) -> None:
    card = _card_of(photos)
    card["metrics"]["examples"] += 2
    found = verify(write_model(tmp_path / "model.onnx", card), photos).data
    assert found is not None
    assert found.difference is None
    assert "test rows" in found.notes[-1]


def test_on_other_data_nothing_is_claimed(tmp_path: Path, photos: Path) -> None:
    model = write_model(tmp_path / "model.onnx", _card_of(photos))
    other = write_photos(tmp_path / "other", {"bleu": 4, "rouge": 6}, wrong=1)
    found = verify(model, other).data
    assert found is not None
    assert (found.rows, found.difference, found.scores.examples) == ("all", None, 10)
    assert found.scores.accuracy.value == 0.8
    assert any("grün" in note for note in found.notes)
    given = write_photos(tmp_path / "given" / "train", {"bleu": 4, "rouge": 6}).parent
    write_photos(given / "test", {"bleu": 1, "rouge": 2})
    found = verify(model, given).data
    assert found is not None
    assert (found.rows, found.scores.examples) == ("test split", 3)


def test_one_class_with_one_image_will_do(model: Path, tmp_path: Path) -> None:
    found = verify(model, write_photos(tmp_path / "one", {"bleu": 1})).data
    assert found is not None
    assert found.scores.examples == 1


def test_a_class_that_the_model_does_not_know_is_named(
    model: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "bleu").rename(photos / "jaune")
    with pytest.raises(DataError, match="jaune"):
        verify(model, photos)
    assert run(["verify", str(model), str(photos)]) == 3
    assert "jaune" in capsys.readouterr().err


def test_arrays_and_loaders_are_taken(model: Path, tmp_path: Path) -> None:
    images = np.stack([np.full((9, 9, 3), colour, np.uint8) for colour in COLOURS.values()] * 2)
    labels = np.array(list(COLOURS) * 2)
    found = verify(model, (images, labels)).data
    assert found is not None
    assert found.scores.accuracy.value == 1
    with pytest.raises(UsageError, match="no-such"):
        verify(model, (images, labels), loader="no-such")


def test_an_unreadable_example_is_counted_apart(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = write_photos(tmp_path / "photos", {"bleu": 4, "rouge": 4})
    real = verifying._read

    def read(dataset: Any, row: int) -> Any:
        if row == 3:
            raise OSError(5, "Input/output error")
        return real(dataset, row)

    monkeypatch.setattr(verifying, "_read", read)
    found = verify(model, photos).data
    assert found is not None
    assert (found.scores.examples, found.scores.unreadable) == (7, 1)


def test_json_is_the_record(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model.onnx", _card_of(photos))
    assert run(["verify", str(model), str(photos), "--json"]) == 0
    found = from_json(Verified, json.loads(capsys.readouterr().out))
    assert found.data is not None
    assert found.data.difference == 0
    assert run(["verify", str(model), str(photos)]) == 0
    assert "equal" in capsys.readouterr().out


# ---- predict --evaluate ----


def test_the_figures_are_those_of_scikit_learn(model: Path) -> None:
    generator = np.random.default_rng(0)
    true, told = generator.integers(0, 3, (2, 200))
    told = np.where(generator.random(200) < 0.6, true, told)
    tally = Tally(open_model(model))
    for label, place in zip(true, told, strict=True):
        name = CLASSES[place]
        tally.add(Predicted(id="x", label=name, probability=0.5, top=((name, 0.5),)), label)
    scores = tally.scores()
    assert scores.accuracy.value == pytest.approx(metrics.accuracy_score(true, told))
    balanced = metrics.balanced_accuracy_score(true, told)
    assert scores.balanced_accuracy.value == pytest.approx(balanced)
    assert scores.macro_f1.value == pytest.approx(metrics.f1_score(true, told, average="macro"))
    columns = metrics.precision_recall_fscore_support(true, told)
    for place, each in enumerate(scores.per_class):
        wanted = [column[place] for column in columns]
        assert [each.precision, each.recall, each.f1, each.examples] == pytest.approx(wanted)


def test_evaluate_says_how_good_the_labels_are(
    model: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "bleu" / "torn.png").write_bytes(b"")
    assert run(["predict", str(model), str(photos), "--evaluate", "--format", "csv"]) == 0
    told = capsys.readouterr()
    assert told.out.count("\n") == 32
    assert "abstained" not in told.out
    assert "Accuracy           0.800" in told.err
    assert "on 30 images; 1 could not be read" in told.err
    assert "Macro-F1" in told.err
    assert "grün" in told.err


def test_evaluate_ends_json_lines_with_the_figures(
    model: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(model), str(photos), "--evaluate", "--json", "-q"]) == 0
    *lines, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert len(lines) == 30
    assert last["evaluation"]["accuracy"]["value"] == 0.8
    assert last["evaluation"]["abstention"] is None


def test_evaluate_needs_folders_that_are_classes(
    model: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "rouge").rename(photos / "red")
    assert run(["predict", str(model), str(photos), "--evaluate"]) == 3
    told = capsys.readouterr()
    assert "'red'" in told.err
    for name in CLASSES:
        assert name in told.err
    assert not told.out


def test_evaluate_knows_the_folder_of_a_file_named_alone(
    model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos / "grün")
    paths, labels = known(open_model(model), ("000.png", "../bleu/001.png"))
    assert labels == (1, 2)
    assert [path.name for path in paths] == ["000.png", "001.png"]


def test_evaluate_of_nothing_readable_is_an_error(model: Path, tmp_path: Path) -> None:
    (tmp_path / "bleu").mkdir()
    (tmp_path / "bleu" / "a.png").write_bytes(b"")
    assert run(["predict", str(model), str(tmp_path), "--evaluate"]) == 3


def test_what_is_no_file_has_no_known_class(model: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        known(open_model(model), [np.zeros((4, 4, 3), np.uint8)])


def test_classes_in_other_unicode_forms_are_the_same(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gru\u0308n"
    folder.mkdir()
    Image.new("RGB", (9, 9), COLOURS["grün"]).save(folder / "a.png")
    assert known(open_model(model), [folder])[1] == (1,)


# ---- abstention ----

CAREFUL = CARD | {"abstention": {"threshold": 0.7, "target_precision": 0.95}}


def test_below_its_threshold_the_model_abstains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model.onnx", CAREFUL)
    (tmp_path / "photos" / "bleu").mkdir(parents=True)
    for n, blue in enumerate((240, 60, 30)):
        name = tmp_path / "photos" / "bleu" / f"{n}.png"
        Image.new("RGB", (9, 9), (20, 20, blue)).save(name)
    (tmp_path / "photos" / "bleu" / "torn.png").write_bytes(b"")
    arguments = ["predict", str(model), str(tmp_path / "photos"), "-q"]
    assert run([*arguments, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("abstained") for line in lines] == [False, True, True, None]
    assert [line.get("label") for line in lines] == ["bleu", "bleu", "bleu", None]
    assert run([*arguments, "--format", "csv"]) == 0
    rows = [row.split(",") for row in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["input", "label", "probability", "abstained", "error"]
    assert [row[3] for row in rows[1:]] == ["false", "true", "true", ""]
    assert run([*arguments, "--top", "2"]) == 0
    table = capsys.readouterr().out
    assert table.count("unsure (bleu)") == 2
    assert run([*arguments, "--format", "csv", "--evaluate"]) == 0
    told = capsys.readouterr().err
    assert "answers 1 of 3 (33.3 %) at a probability of 0.700 or more, right in 1.000" in told


def test_a_model_that_always_abstains_is_right_in_nothing(tmp_path: Path) -> None:
    card = CARD | {"abstention": {"threshold": 1.0}}
    opened = open_model(write_model(tmp_path / "model.onnx", card))
    tally = Tally(opened)
    tally.add(
        Predicted(id="x", label="bleu", probability=0.5, top=(("bleu", 0.5),), abstained=True), 2
    )
    abstention = tally.scores().abstention
    assert abstention is not None
    assert (abstention.answered, abstention.coverage, abstention.precision) == (0, 0.0, None)


@pytest.mark.parametrize(
    "given", [0.5, {"threshold": 2}, {"threshold": "high"}, {"threshold": True}]
)
def test_a_threshold_that_is_none_is_refused(tmp_path: Path, given: Any) -> None:
    path = write_model(tmp_path / "model.onnx", CARD | {"abstention": given})
    with pytest.raises(UsageError, match="abstain"):
        open_model(path)


def test_a_card_may_say_that_it_never_abstains(tmp_path: Path) -> None:
    opened = open_model(write_model(tmp_path / "model.onnx", CARD | {"abstention": None}))
    assert opened.threshold is None
    assert replace(opened, threshold=0.4).threshold == 0.4
    assert judging.Tally(opened).threshold is None


def test_classes_that_are_paths_and_folders_above_tell_the_class(tmp_path: Path) -> None:
    names = ["warm/rouge", "grün", "warm"]
    model = open_model(
        write_model(tmp_path / "model.onnx", CARD | {"classes": names}, classes=names)
    )
    data = tmp_path / "grün" / "data"
    for place in ("warm/rouge", "warm/other", "grün/session1"):
        (data / place).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(data / place / "a.png")
    assert known(model, [data])[1] == (1, 2, 0)  # by path: grün/session1, warm/other, warm/rouge
    assert known(model, (str(data / "warm"),))[1] == (2, 0)
    (data / "lost").mkdir()
    Image.new("RGB", (9, 9)).save(data / "lost" / "a.png")
    with pytest.raises(DataError, match="'lost', which is no class"):  # not by what lies above data
        known(model, [data])
