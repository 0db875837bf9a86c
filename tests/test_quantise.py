from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from autotl.delivery import verify, verifying
from autotl.errors import OutOfMemoryError, ParityError, UnreadableError
from autotl.export import gate, halves, quantise, reference, structure, timing, verdict
from autotl.export import runtime as runtime_
from autotl.files import file_ref
from autotl.records import Export, Interval, Pace, from_json, to_json
from tests.exported import asked, labelled_by, run_export, subject, worker
from tests.test_export import CLASSES, ROWS, SPLIT, photograph


def paced(*ratios: float) -> Any:
    """Times on a machine that is not busy: so many times as fast at each batch."""
    batches = (1, 32)

    def paces(sessions: Any, held: Any) -> tuple[Pace, ...]:
        return tuple(
            Pace(
                batch=batch,
                ratio=Interval(value=ratio, low=ratio * 0.95, high=ratio * 1.05),
                seconds=0.01 / ratio,
                seconds_float=0.01,
            )
            for batch, ratio in zip(batches, ratios, strict=True)
        )

    return paces


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("run")
    with worker(tmp_path_factory.mktemp("modules")) as opened:
        opened.call("tiny_headed:build", {"out": str(folder / "model.keras")})
        record = run_export(folder, opened)
        dataset = labelled_by(folder / "model.onnx")
        yield SimpleNamespace(folder=folder, record=record, worker=opened, dataset=dataset)


@pytest.fixture
def run(plain: SimpleNamespace, tmp_path: Path) -> SimpleNamespace:
    for name in ("model.keras", "model.onnx"):
        shutil.copy(plain.folder / name, tmp_path)
    held = subject(tmp_path, dataset=plain.dataset)
    return SimpleNamespace(
        folder=tmp_path, model=tmp_path / "model.onnx", held=held, worker=plain.worker
    )


def eight(run: SimpleNamespace, **options: Any) -> Any:
    return quantise.int8(run.model, run.held, train=SPLIT.train, **options)


# ---- 8 bits ----


def test_a_faster_file_as_good_is_kept_with_its_figures(
    run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantise, "paces", paced(1.5, 2.0))
    found = eight(run, points=40)
    assert found.kept, found.reason
    assert found.file == file_ref(run.folder / "model.int8.onnx", run.folder)
    assert found.rows == len(ROWS)
    assert found.accuracy_float == pytest.approx(0.9)
    assert abs(found.accuracy - 0.9) < 0.1
    assert found.difference.low <= found.difference.value <= found.difference.high
    assert found.difference.value == pytest.approx(found.accuracy - found.accuracy_float)
    assert "within 40 points" in found.reason
    assert "1.50 times as fast" in found.reason
    assert found.seconds > 0
    model = onnx.load_model(run.folder / "model.int8.onnx")
    card = json.loads(next(e.value for e in model.metadata_props if e.key == "autotl"))
    assert card["precision"] == "int8"
    assert (card["metrics"], card["abstention"]) == (None, None)
    assert card["variant"]["accuracy"] == found.accuracy
    assert card["variant"]["rows"] == found.rows
    assert card["classes"] == list(CLASSES)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("QuantizeLinear") >= 3
    assert [entry.domain for entry in model.opset_import] == [""]
    assert len(model.metadata_props) == 1
    assert structure.check(run.folder / "model.int8.onnx", CLASSES)


def test_the_8_bits_are_in_the_convolutions_alone(
    run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantise, "paces", paced(1.5, 2.0))
    assert eight(run, points=40).kept
    model = onnx.load_model(run.folder / "model.int8.onnx")
    arrays = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    whole = [one for one in arrays.values() if one.dtype == np.int8 and one.ndim == 4]
    assert sorted(one.shape for one in whole) == [(12, 3, 3, 3), (24, 12, 3, 3), (36, 24, 3, 3)]
    (logits,) = (one for one in arrays.values() if one.shape == (36, 3))
    assert logits.dtype == np.float32
    # a scale a channel
    scales = [node.input[1] for node in model.graph.node if node.op_type == "DequantizeLinear"]
    assert {(12,), (24,), (36,)} <= {arrays[name].shape for name in scales}
    files = (run.model, run.folder / "model.int8.onnx")
    fronts = [onnx.load_from_string(runtime_.front_of(path)).graph for path in files]
    assert list(fronts[0].node) == list(fronts[1].node)


def test_it_answers_nearly_as_the_model_with_all_optimisations_and_none(
    run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantise, "paces", paced(1.5, 2.0))
    assert eight(run, points=40).kept
    image = photograph(20)[None]
    model = asked(run.model, "probabilities", image)
    bits = asked(run.folder / "model.int8.onnx", "probabilities", image)
    plainly = runtime_.open_session(run.folder / "model.int8.onnx", optimised=False)
    assert 0 < np.abs(bits - model).max() < 0.1
    (again,) = plainly.run(["probabilities"], {"image": image})
    assert np.abs(again - model).max() < 0.1


def test_the_file_passes_verify_and_a_runtime_that_saturates_does_not(
    run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantise, "paces", paced(1.5, 2.0))
    assert eight(run, points=40).kept
    path = run.folder / "model.int8.onnx"
    assert any("change little" in check for check in verify(path).checks)
    clipped = onnx.load_model(path)
    for tensor in clipped.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.int8 and array.ndim == 4:
            less = numpy_helper.from_array(np.clip(array, -64, 63), tensor.name)
            tensor.CopyFrom(less)
    onnx.save_model(clipped, run.folder / "clipped.onnx")
    real = verifying.open_session
    monkeypatch.setattr(
        verifying, "open_session", lambda _, **how: real(run.folder / "clipped.onnx", **how)
    )
    with pytest.raises(ParityError, match="Without onnxruntime's optimisations"):
        verify(path)


@pytest.mark.parametrize("ratios", [(0.99, 2.0), (2.0, 1.04)])
def test_what_is_not_faster_at_both_batches_is_not_written(
    run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, ratios: tuple[float, float]
) -> None:
    monkeypatch.setattr(quantise, "paces", paced(*ratios))
    (run.folder / "model.int8.onnx").write_bytes(b"an older one")
    found = eight(run, points=40)
    assert not found.kept
    assert found.file is None
    assert "not shown to be faster" in found.reason
    assert found.accuracy is not None
    assert len(found.paces) == 2
    assert not (run.folder / "model.int8.onnx").exists()
    assert sorted(one.name for one in run.folder.iterdir()) == ["model.keras", "model.onnx"]


def test_few_rows_cannot_show_it_and_it_says_how_many_could(
    run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantise, "paces", paced(2.0, 2.0))
    found = eight(run)
    assert not found.kept
    assert "not within a point with 95 % confidence" in found.reason
    assert "rows would" in found.reason
    assert found.accuracy is not None
    assert not (run.folder / "model.int8.onnx").exists()


def test_ranges_that_do_not_hold_are_seen(
    run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calibrated on grey images, whose values lie near zero, the file knows few photographs."""
    monkeypatch.setattr(quantise, "paces", paced(2.0, 2.0))
    dark = replace(run.held.dataset, read=lambda row: np.full((16, 16, 3), 122, np.uint8))
    held = run.held
    run.held = replace(held, dataset=dark)
    images = quantise._Images(run.held, SPLIT.train, None)
    monkeypatch.setattr(quantise, "_Images", lambda *arguments: images)
    run.held = held
    found = eight(run, points=10)
    assert not found.kept
    assert found.accuracy < found.accuracy_float - 0.1


def test_a_training_image_that_cannot_be_read_is_passed_over(run: SimpleNamespace) -> None:
    def read(row: int) -> Any:
        if row in SPLIT.train[:2]:
            raise UnreadableError("torn")
        return run.held.dataset.read(row)

    torn = replace(run.held, dataset=replace(run.held.dataset, read=read))
    images = quantise._Images(torn, SPLIT.train, None)
    batch = images.get_next()
    assert batch is not None
    assert batch["pixels"].shape == (len(SPLIT.train) - 2, 16, 16, 3)
    assert images.get_next() is None


def test_a_model_without_convolutions_is_left_alone(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[N,4] x) => (float[N,4] y) { y = Relu(x) }'
    )
    onnx.save_model(model, tmp_path / "m.onnx")
    with pytest.raises(ParityError, match="no convolution"):
        quantise._kept_float(tmp_path / "m.onnx")


def table(*rows: float) -> np.ndarray[Any, Any]:
    return np.array([[row, 1 - row] for row in rows], np.float32)


def test_one_way_to_run_it_that_is_further_from_the_model_is_refused() -> None:
    model, near = table(0.5, 0.6, 0.7), table(0.51, 0.59, 0.71)
    quantise._check_alike(model, near, table(0.49, 0.61, 0.69))  # as far apart as both from it
    with pytest.raises(ParityError, match="further from the model"):
        quantise._check_alike(model, near, table(0.53, 0.63, 0.67))
    with pytest.raises(ParityError, match="further from the model"):
        quantise._check_alike(model, table(0.51, 0.59, 0.9), near)


# ---- float16 ----


def test_float16_halves_the_file_and_passes_the_gate(run: SimpleNamespace) -> None:
    found = halves.float16(run.model, run.held, run.worker)
    assert found.kept, found.reason
    path = run.folder / "model.float16.onnx"
    assert found.file == file_ref(path, run.folder)
    assert found.parity.top1_agreement >= 0.999
    assert found.parity.median_difference <= 1e-3
    assert found.parity.tolerance < 0.05
    assert len(found.paces) == 2
    arrays = [numpy_helper.to_array(one) for one in onnx.load_model(path).graph.initializer]
    big = [one for one in arrays if one.ndim > 1 and one.size >= 256]
    assert {one.dtype for one in big} == {np.dtype(np.float16)}
    assert found.size < found.size_float
    card = onnxruntime.InferenceSession(str(path)).get_modelmeta().custom_metadata_map["autotl"]
    assert json.loads(card)["precision"] == "float16"


@pytest.mark.parametrize("which", [0, 1])
def test_a_float16_file_with_one_layer_off_by_a_hundredth_is_refused(
    run: SimpleNamespace, which: int
) -> None:
    path = run.folder / "candidate.onnx"
    halves.write(run.model, path)
    held = replace(run.held, float16=True)
    gate.examine(path, held, run.worker)
    model = onnx.load_model(path)
    convolutions = [n for n in model.graph.node if n.op_type == "Conv"]
    name = f"{convolutions[which].input[1]}/float16"
    (array,) = (one for one in model.graph.initializer if one.name == name)
    values = numpy_helper.to_array(array)
    array.CopyFrom(numpy_helper.from_array((values * 1.01).astype(np.float16), name))
    onnx.save_model(model, path)
    with pytest.raises(ParityError, match="On resized pixels"):
        gate.examine(path, held, run.worker)


def test_a_float16_file_is_the_model_with_its_kernels_rounded(run: SimpleNamespace) -> None:
    path = run.folder / "candidate.onnx"
    halves.write(run.model, path)
    halves.check(run.model, path)
    model = onnx.load_model(path)
    array = next(one for one in model.graph.initializer if one.name.endswith("/float16"))
    values = numpy_helper.to_array(array)
    off = np.nextafter(values, np.float16(9), where=values == values.max(), out=values.copy())
    array.CopyFrom(numpy_helper.from_array(off, array.name))
    onnx.save_model(model, path)
    with pytest.raises(ParityError, match="kernels rounded"):
        halves.check(run.model, path)
    halves.write(run.model, path)
    model = onnx.load_model(path)
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Identity"
    onnx.save_model(model, path)
    with pytest.raises(ParityError, match="other nodes"):
        halves.check(run.model, path)


@pytest.mark.parametrize(
    ("checked", "said"), [(True, "kernels rounded"), (False, "On resized pixels")]
)
def test_a_refused_float16_file_is_not_written(
    run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, checked: bool, said: str
) -> None:
    if not checked:
        monkeypatch.setattr(halves, "check", lambda model, out: None)
    write = halves.write

    def broken(model: Path, out: Path, **options: Any) -> Any:
        given = onnx.load_model(model)
        array = next(one for one in given.graph.initializer if len(one.dims) == 4)
        array.CopyFrom(numpy_helper.from_array(1.05 * numpy_helper.to_array(array), array.name))
        onnx.save_model(given, out.with_name("broken.onnx"))
        return write(out.with_name("broken.onnx"), out, **options)

    monkeypatch.setattr(halves, "write", broken)
    (run.folder / "model.float16.onnx").write_bytes(b"an older one")
    found = halves.float16(run.model, run.held, run.worker)
    assert not found.kept
    assert said in found.reason
    assert sorted(one.name for one in run.folder.iterdir()) == ["model.keras", "model.onnx"]


def test_weights_beyond_float16_stay_as_they_are(run: SimpleNamespace) -> None:
    model = onnx.load_model(run.model)
    array = next(one for one in model.graph.initializer if len(one.dims) == 4)
    values = numpy_helper.to_array(array).copy()
    values[0, 0, 0, 0] = 70_000
    array.CopyFrom(numpy_helper.from_array(values, array.name))
    onnx.save_model(model, run.folder / "wide.onnx")
    _, left = halves.write(run.folder / "wide.onnx", run.folder / "out.onnx")
    assert left == [array.name]
    again = {one.name: one for one in onnx.load_model(run.folder / "out.onnx").graph.initializer}
    np.testing.assert_array_equal(numpy_helper.to_array(again[array.name]), values)


def test_what_is_rounded_are_kernels() -> None:
    assert reference.is_kernel(np.zeros((3, 3, 8, 8), np.float32))
    assert not reference.is_kernel(np.zeros((1, 512), np.float32))
    assert not reference.is_kernel(np.zeros((4, 4), np.float32))
    assert not reference.is_kernel(np.zeros((64, 64), np.int64))


def test_a_worker_that_dies_over_a_variant_does_not_fail_the_run(run: SimpleNamespace) -> None:
    class Dying:
        def call(self, *arguments: Any, **options: Any) -> Any:
            raise OutOfMemoryError("It took too much.")

    found = halves.float16(run.model, run.held, Dying())  # type: ignore[arg-type]
    assert not found.kept
    assert "took too much" in found.reason
    assert not (run.folder / "model.float16.onnx").exists()


# ---- the step ----


def test_a_refused_variant_does_not_fail_the_run(plain: SimpleNamespace, tmp_path: Path) -> None:
    shutil.copy(plain.folder / "model.keras", tmp_path)
    (tmp_path / "model.int8.onnx").write_bytes(b"an older one")
    (tmp_path / "model.float16.onnx").write_bytes(b"an older one")
    seen: list[str] = []
    record = run_export(
        tmp_path,
        plain.worker,
        plain.dataset,
        int8=True,
        progress=lambda what, done, total: seen.append(what),
    )
    (variant,) = record.variants
    assert not variant.kept
    assert {"int8", "int8 ranges"} <= set(seen)
    names = ["model.keras", "model.onnx", "serve_example.py"]
    assert sorted(one.name for one in tmp_path.iterdir()) == names
    assert from_json(Export, json.loads(json.dumps(to_json(record)))) == record


def test_a_record_of_an_older_run_is_read(plain: SimpleNamespace) -> None:
    told = to_json(plain.record)
    for name in ("data", "features", "variants"):
        del told[name]
    del told["parity"]["embedding_difference"]
    assert from_json(Export, told) == plain.record


# ---- the paired difference ----


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [
        # Fagerland, Lydersen, Laake, Statistics in Medicine 33, 2014: Bentur's table
        ((1, 1, 7, 12), -0.507, -0.026),
    ],
)
def test_intervals_of_the_paper(cells: tuple[int, ...], low: float, high: float) -> None:
    found = verdict.paired(*cells)
    assert found.low == pytest.approx(low, abs=6e-4)
    assert found.high == pytest.approx(high, abs=6e-4)


@pytest.mark.parametrize(("accuracy", "worse"), [(0.9, 0.0), (0.9, 0.01), (0.7, 0.02)])
def test_the_interval_covers_the_truth_nineteen_times_in_twenty(
    accuracy: float, worse: float
) -> None:
    generator = np.random.default_rng(3)
    cells = np.array([accuracy - worse - 0.02, 0.02, 0.02 + worse, 1 - accuracy - 0.02])
    missed = 0
    for both, gained, lost, neither in generator.multinomial(500, cells, 1000):
        missed += not verdict.paired(both, gained, lost, neither).low <= -worse
    assert missed / 1000 < 0.04  # 0.025 on this side


@settings(max_examples=200)
@given(st.tuples(*[st.integers(0, 300)] * 4).filter(any))
def test_an_interval_holds_its_value_and_turns_with_the_sides(cells: tuple[int, ...]) -> None:
    found = verdict.paired(*cells)
    assert -1 <= found.low <= found.value <= found.high <= 1
    both, first, second, neither = cells
    turned = verdict.paired(both, second, first, neither)
    assert turned.low == pytest.approx(-found.high, abs=1e-9)


def outcomes(both: int, gained: int, lost: int, neither: int) -> tuple[Any, Any]:
    model = np.repeat([True, False, True, False], [both, gained, lost, neither])
    variant = np.repeat([True, True, False, False], [both, gained, lost, neither])
    return model, variant


def test_the_difference_counts_rows_of_both() -> None:
    found = verdict.difference(*outcomes(80, 3, 5, 12))
    assert found.value == pytest.approx(-0.02)
    assert found == verdict.paired(80, 3, 5, 12)


def test_rows_needed_are_enough_and_none_where_it_is_worse() -> None:
    model, variant = outcomes(50, 1, 1, 8)
    needed = verdict.rows_needed(model, variant, -0.01)
    assert needed is not None
    scale = needed / 60
    assert verdict.paired(50 * scale, scale, scale, 8 * scale).low > -0.01
    fewer = 0.85 * scale
    assert verdict.paired(50 * fewer, fewer, fewer, 8 * fewer).low < -0.01
    assert verdict.rows_needed(*outcomes(40, 0, 5, 15), -0.01) is None


# ---- times in turns ----


def test_a_run_that_does_half_as_much_is_twice_as_fast() -> None:
    square = np.ones((400, 400))

    def work(times: int) -> Any:
        return lambda images: [square @ square for _ in range(times)]

    found = timing.pace(work(8), work(4), np.zeros((3, 2, 2, 3), np.uint8))
    assert found.batch == 3
    assert found.ratio.low <= found.ratio.value <= found.ratio.high
    assert 1.3 < found.ratio.value < 3
    assert found.ratio.low > 1
    assert found.seconds < found.seconds_float


def test_a_file_against_itself_is_not_shown_to_be_faster(run: SimpleNamespace) -> None:
    image = np.zeros((1, 16, 16, 3), np.uint8)
    runs = [
        partial(runtime_.open_session(run.model).run, ["probabilities"]) for _ in ("one", "other")
    ]
    first, second = (lambda images, ask=ask: ask({"image": images}) for ask in runs)
    found = [timing.pace(first, second, image) for _ in range(4)]
    # each may be with a chance of one in forty
    assert sum(one.ratio.low > 1 for one in found) < 3
