"""One whole run on the embedded data, in a process of its own, and what can be done with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import autotl
from autotl import pipeline
from autotl.errors import RunFolderError
from autotl.records import STRATEGIES, SearchRecord
from autotl.report.writing import model_card
from autotl.sitting import Silent

ROOT = Path(__file__).parents[1]


def _autotl(
    *arguments: str, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "autotl", *arguments],
        capture_output=True,
        cwd=cwd,
        text=True,
        check=False,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "AUTOTL_DISABLE_PLUGIN_AUTOLOAD": "1"}
        | environment,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    run = tmp_path_factory.mktemp("runs") / "digits"
    done = _autotl("fit", "digits", "--out", str(run), "--trials", "2", "--seed", "5")
    assert done.returncode == 0, done.stderr
    return run, done.stdout, done.stderr


@pytest.fixture(scope="module")
def report(finished: tuple[Path, str, str]) -> dict[str, Any]:
    return autotl.load(finished[0]).report


KEYS = """
data.examples data.classes data.split.train data.split.validation data.split.test
data.set_aside data.warnings measurements.similarity.value measurements.similarity.low
measurements.similarity.high measurements.probes decision.backbone decision.input_size
decision.strategy decision.frozen decision.tap decision.runner_up decision.margin
decision.reasons decision.predicted.feature-extraction.accuracy
decision.predicted.partial-freeze.low decision.predicted.full-fine-tune.high
decision.predicted.scratch.minutes search.trials search.failed search.best
evaluation.accuracy.value evaluation.accuracy.low evaluation.accuracy.high
evaluation.balanced_accuracy evaluation.macro_f1 evaluation.log_loss evaluation.per_class
evaluation.majority evaluation.linear_probe evaluation.calibration_error export.opset
export.parity.examples export.parity.top1_agreement export.parity.median_difference
export.parity.largest_difference seconds.load seconds.measure seconds.search seconds.evaluate
seconds.export seconds.total versions seed schema
"""


def _odd(folder: Path) -> list[str]:
    """Digits in formats that need care: turned, see-through, with a palette, grey, CMYK."""
    folder.mkdir()
    paths, _ = _digits(folder, 5)
    opened = [Image.open(path).convert("RGB").resize((40, 30)) for path in paths]
    exif = Image.Exif()
    exif[0x0112] = 6
    see_through = opened[1].copy()
    see_through.putalpha(90)
    made: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("turned.jpg", opened[0], {"exif": exif}),
        ("see-through.png", see_through, {}),
        ("palette.gif", opened[2], {}),
        ("grey.png", opened[3].convert("L"), {}),
        ("cmyk.jpg", opened[4].convert("CMYK"), {}),
    ]
    for name, image, options in made:
        image.save(folder / name, **options)
    return [str(folder / name) for name, *_ in made]


def test_the_example_serves_the_file_as_it_is_written(
    finished: tuple[Path, str, str], tmp_path: Path
) -> None:
    script, names = finished[0] / "serve_example.py", _odd(tmp_path / "odd")
    assert len(script.read_text("utf-8").splitlines()) <= 24
    alone = "import runpy, sys; sys.modules['autotl'] = None; sys.argv = sys.argv[1:]; "
    done = subprocess.run(
        [sys.executable, "-c", alone + "runpy.run_path(sys.argv[0])", str(script), *names],
        capture_output=True,
        cwd=tmp_path,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [line.split("\t") for line in done.stdout.splitlines()]
    expected = list(autotl.predict(finished[0], names))
    assert [(name, label) for name, label, _ in told] == [(e.id, e.label) for e in expected]
    for (_, _, confidence), found in zip(told, expected, strict=True):
        assert float(confidence) == pytest.approx(found.probability, abs=1e-4)


def test_report_has_the_keys_that_programs_read(report: dict[str, Any]) -> None:
    assert report["schema"] == "autotl-report/1"
    for key in KEYS.split():
        value: Any = report
        for part in key.split("."):
            value = value[part]


def test_figures_hang_together(report: dict[str, Any]) -> None:
    evaluation, counts = report["evaluation"], report["data"]["split"]
    confusion = np.array(evaluation["confusion"])
    assert confusion.sum() == counts["test"] == evaluation["examples"]
    accuracy = evaluation["accuracy"]
    assert accuracy["value"] == pytest.approx(np.trace(confusion) / confusion.sum())
    assert accuracy["low"] < accuracy["value"] <= accuracy["high"]
    assert accuracy["value"] > 0.8 > 0.2 > evaluation["majority"]["value"]
    assert counts["train"] + counts["validation"] + counts["test"] + counts["dropped"] == 1797
    assert report["search"]["trials"] == 2
    assert report["seconds"]["total"] > 0


def test_the_estimate_is_held_against_what_came(report: dict[str, Any]) -> None:
    foreseen, came = report["decision"]["estimate"], report["seconds"]
    assert [one["role"] for one in foreseen["trainings"]] == ["heads", "default"]
    assert foreseen["warnings"] == []
    after = came["search"] + came["evaluate"] + came["export"]
    assert after / 5 < foreseen["planned"] < 5 * after


def test_the_final_model_is_not_worse_than_the_probe_on_validation(report: dict[str, Any]) -> None:
    probe = report["search"]["ledger"][0]
    assert probe["origin"] == "probe"
    best = report["search"]["best"]["result"]["metrics"]["accuracy"]
    assert best >= probe["metrics"]["accuracy"]


def test_export_was_proven(report: dict[str, Any]) -> None:
    parity = report["export"]["parity"]
    assert parity["top1_agreement"] >= 0.999
    assert parity["median_difference"] <= 1e-3
    assert parity["examples"] > 100


def test_terminal_output_is_plain_and_complete(finished: tuple[Path, str, str]) -> None:
    _, out, err = finished
    assert "\x1b[" not in out + err
    assert "accuracy" in out
    assert "model.onnx" in out
    steps = ("load", "split", "backbone", "measure", "decide", "estimate", "search", "evaluate")
    for step in (*steps, "export"):
        assert any(line.startswith(step) for line in err.splitlines()), step


def test_the_page_shows_the_run_and_is_written_again_alike(
    finished: tuple[Path, str, str], report: dict[str, Any]
) -> None:
    run = finished[0]
    page = run / "report.html"
    html = page.read_text("utf-8")
    accuracy = report["evaluation"]["accuracy"]
    assert f"<b>{100 * accuracy['value']:.1f} %</b>" in html
    mistakes = report["evaluation"]["mistakes"]
    confusion = np.array(report["evaluation"]["confusion"])
    assert len(mistakes) == min(24, confusion.sum() - np.trace(confusion))
    for one in mistakes:
        assert confusion[one["label"], one["predicted"]] > 0
        assert (run / one["thumbnail"]["path"]).stat().st_size == one["thumbnail"]["size"]
    suspects = report["pictures"]["suspects"]
    size = report["measurements"]["size"]
    assert [one["example"]["id"] for one in suspects] == size["doubtful"]
    assert [one["borne"] for one in suspects] == size["borne"]
    shown = len(mistakes) + len(suspects) + 2 * len(report["pictures"]["near"])
    assert html.count("data:image/jpeg") == shown
    done = _autotl("report", str(run))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{page}\n"
    assert page.read_text("utf-8") == html


def test_model_card(finished: tuple[Path, str, str]) -> None:
    card = (finished[0] / "MODEL_CARD.md").read_text("utf-8")
    assert "non-commercial" in card
    assert "{{" not in card
    assert "selected among 2 trials" in card
    report = json.loads((finished[0] / "report.json").read_text("utf-8"))
    recipe = report["search"]["best"]["recipe"]
    assert ("its head reads" in card) is (len(recipe["taps"]) > 1)
    recipe["taps"] = [2, 5]
    first, last = (report["backbone"]["stages"][tap - 1] for tap in (2, 5))
    assert f"its head reads 2 stages, `{first}` to `{last}`" in model_card(report)


def _digits(folder: Path, count: int) -> tuple[list[Path], np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    paths = []
    for i in range(count):
        path = folder / f"{i:03d}.png"
        Image.fromarray((digits.images[i] * 255 / 16).astype(np.uint8)).save(path)
        paths.append(path)
    return paths, digits.target[:count]


def test_predict_labels_files_in_each_format(
    finished: tuple[Path, str, str], tmp_path: Path
) -> None:
    _, labels = _digits(tmp_path, 30)
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n")
    model = str(finished[0] / "model.onnx")
    lines = _autotl("predict", model, str(tmp_path), "--json", "--top", "3")
    assert lines.returncode == 0
    assert "1 of 31" in lines.stderr
    rows = [json.loads(line) for line in lines.stdout.splitlines()]
    read = [row for row in rows if "error" not in row]
    right = [row["label"] == str(label) for row, label in zip(read, labels, strict=True)]
    assert np.mean(right) > 0.8
    assert all(len(row["top"]) == 3 for row in read)
    table = _autotl("predict", model, str(tmp_path / "000.png"))
    assert "000.png" in table.stdout
    csv = _autotl("predict", model, str(tmp_path), "--format", "csv")
    assert csv.stdout.splitlines()[0] == "input,label,probability,error"
    assert len(csv.stdout.splitlines()) == 32


def test_predict_where_nothing_can_be_read(finished: tuple[Path, str, str], tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n")
    done = _autotl("predict", str(finished[0] / "model.onnx"), str(tmp_path / "torn.png"))
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_predict_loads_no_tensorflow(finished: tuple[Path, str, str], tmp_path: Path) -> None:
    _digits(tmp_path, 1)
    model, image = str(finished[0] / "model.onnx"), str(tmp_path / "000.png")
    code = (
        "import sys\nfrom autotl.cli.program import run\n"
        f"assert run(['predict', {model!r}, {image!r}]) == 0\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"tensorflow", "keras", "keras_tuner", "sklearn", "scipy"}


def test_a_finished_run_is_resumed_to_itself(finished: tuple[Path, str, str]) -> None:
    before = (finished[0] / "journal.jsonl").read_text("utf-8")
    done = _autotl("resume", str(finished[0]), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == autotl.load(finished[0]).report
    after = (finished[0] / "journal.jsonl").read_text("utf-8")
    steps = [line for line in after.splitlines() if '"kind":"step"' in line.replace(" ", "")]
    assert len(steps) == len(
        [line for line in before.splitlines() if '"kind":"step"' in line.replace(" ", "")]
    )


def test_ctrl_c_ends_cleanly_and_says_how_to_resume(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "autotl", "fit", "digits", "--out", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "AUTOTL_DISABLE_PLUGIN_AUTOLOAD": "1"},
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("backbone"):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
        assert process.wait(60) == 130
    assert f"autotl resume {tmp_path / 'run'}" in rest
    assert "Traceback" not in rest


def test_a_run_in_python_labels_files(finished: tuple[Path, str, str], tmp_path: Path) -> None:
    _, labels = _digits(tmp_path, 20)
    fitted = autotl.load(finished[0])
    assert fitted.accuracy == fitted.report["evaluation"]["accuracy"]["value"]
    found = list(fitted.predict([tmp_path]))
    assert [Path(each.id).name for each in found] == [f"{i:03d}.png" for i in range(20)]
    right = [each.label == str(label) for each, label in zip(found, labels, strict=True)]
    assert np.mean(right) > 0.8


def test_probes_are_judged_by_groups_that_they_did_not_see(tmp_path: Path) -> None:
    rng, group = np.random.default_rng(0), np.repeat(np.arange(60), 5)
    looks = rng.integers(0, 256, (60, 8, 8, 3)).repeat(4, axis=1).repeat(4, axis=2)
    images = np.clip(looks[group] + rng.normal(0, 20, (300, 32, 32, 3)), 0, 255).astype(np.uint8)
    labels = group % 2  # of a group, and of nothing that is to be seen
    np.savez(tmp_path / "patients.npz", images=images, labels=labels, groups=group)
    found = autotl.inspect(tmp_path / "patients.npz", trials=1)
    best = max(probe.linear for probe in found.measurements.probes)
    assert best < 0.75, "a probe that saw a group's other images knows its label"


def test_the_search_is_told_of_groups_in_the_order_of_the_stored_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, 16, 16, 3)).astype(np.uint8)
    group = rng.permutation(90) // 3
    told: dict[str, Any] = {}

    def stopped(decision: Any, measured: Any, pixels: Any, *_: Any, **wishes: Any) -> SearchRecord:
        told["labels"], told["bundles"] = np.load(pixels.labels), wishes["bundles"]
        raise KeyboardInterrupt

    monkeypatch.setattr("autotl.pipeline.search.search", stopped)
    splits = np.empty(90, object)
    splits[np.argsort(group)] = ["train", "validation", "test"] * 30
    data = {"images": images, "labels": group, "groups": group, "splits": splits.astype(str)}
    with pytest.raises(KeyboardInterrupt):
        autotl.fit(data, out=tmp_path / "run", trials=1)
    labels, bundles = told["labels"], np.array(told["bundles"])
    assert len(labels) == len(bundles) == 60
    for one, other in zip(labels, bundles, strict=True):
        assert set(bundles[labels == one]) == {other}, "a label is a group here"


def test_inspect_shows_the_evidence_and_writes_nothing(tmp_path: Path) -> None:
    shown = _autotl("inspect", "digits", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    for words in ("Probes by stage", "stage4", "feature-extraction", "(chosen)", "Reasons"):
        assert words in shown.stdout
    assert "\x1b[" not in shown.stdout + shown.stderr
    told = _autotl("inspect", "digits", "--json", "--quiet", cwd=tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    found = json.loads(told.stdout)
    assert found["schema"] == "autotl-inspection/1"
    assert set(found["decision"]["predicted"]) == set(STRATEGIES)
    foreseen = found["estimate"]
    assert foreseen["budget"] == 600.0
    assert foreseen["suffices"] < foreseen["longer"]
    assert 500 < foreseen["most"] < 600
    assert "What a run would take" in shown.stdout
    assert len(found["measurements"]["probes"]) == 10
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("run", [None, "a run"])
def test_only_a_run_leaves_out_what_a_named_strategy_does_not_need(run: str | None) -> None:
    """As the README's table of options says."""

    class MeasuredError(Exception):
        pass

    def once(step: str, *_: Any, given: bool, **__: Any) -> None:
        raise MeasuredError(given)

    asked = SimpleNamespace(seed=0, strategy="scratch")
    at: Any = SimpleNamespace(run=run, asked=asked, seconds_left=lambda: None, once=once)
    some: Any = SimpleNamespace(record=None)
    with pytest.raises(MeasuredError) as caught:
        pipeline._decided(at, some, some, some, some, None, {})
    assert caught.value.args == (run is not None,)
    rows = (ROOT / "README.md").read_text("utf-8").splitlines()
    (row,) = (row for row in rows if row.startswith("| `--strategy NAME` |"))
    assert "(* `inspect` measures all the same)" in row


class Stopping(Silent):
    """Ctrl-C as soon as the run has measured."""

    def step_finished(self, step: str, record: Any, seconds: float) -> None:
        if step == "measure":
            raise KeyboardInterrupt


def test_arrays_are_fitted_interrupted_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOTL_DISABLE_PLUGIN_AUTOLOAD", "1")
    rng = np.random.default_rng(0)
    labels = np.array(["left", "right"])[np.arange(80) % 2]
    images = rng.integers(0, 60, (80, 20, 30, 3), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, :15] += 120 * np.uint8(label == "left")
        image[:, 15:] += 120 * np.uint8(label == "right")
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt) as stopped:
        autotl.fit((images, labels), out=run, trials=1, listener=Stopping())
    assert stopped.value.run_folder == run  # type: ignore[attr-defined]
    with pytest.raises(RunFolderError, match="started with arrays"):
        autotl.resume(run)
    with pytest.raises(RunFolderError, match="no longer what this run was begun with"):
        autotl.resume(run, data=(images[::-1].copy(), labels))
    fitted = autotl.resume(run, data=(images, labels))
    assert fitted.report["data"]["classes"] == ["left", "right"]
    assert [each.label for each in fitted.predict(images[:2])] == list(labels[:2])


@pytest.mark.slow
def test_data_beyond_the_stores_cap_gives_the_same_run(
    finished: tuple[Path, str, str], tmp_path: Path
) -> None:
    run, store = tmp_path / "b", str(tmp_path / "store")
    given = {"AUTOTL_CACHE": store, "AUTOTL_CACHE_GB": "0.0005"}
    done = _autotl("fit", "digits", "--out", str(run), "--trials", "2", "--seed", "5", **given)
    assert done.returncode == 0, done.stderr
    assert "decoded anew for every pass" in done.stderr
    stored = {file.name: np.load(file, mmap_mode="r") for file in Path(store).rglob("*.npy")}
    assert stored
    assert all(array.dtype != np.uint8 for array in stored.values())
    one, other = (np.load(folder / "test_predictions.npy") for folder in (finished[0], run))
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
def test_two_runs_by_trials_are_the_same(
    finished: tuple[Path, str, str],
    report: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTOTL_CACHE", str(tmp_path / "store"))
    done = _autotl("fit", "digits", "--out", str(tmp_path / "b"), "--trials", "2", "--seed", "5")
    assert done.returncode == 0, done.stderr
    other = autotl.load(tmp_path / "b").report
    for key in ("decision", "evaluation"):
        drop = {"reasons", "predicted", "estimate"}  # of seconds measured
        one, two = ({k: v for k, v in r[key].items() if k not in drop} for r in (report, other))
        assert one == two
    ours, theirs = (r["search"]["best"]["result"]["weights"] for r in (report, other))
    assert ours == theirs


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["partial-freeze", "full-fine-tune", "scratch"])
def test_each_strategy_goes_all_the_way(strategy: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = rng.integers(0, 90, (120, 20, 20, 3), np.uint8)
    for label in range(3):
        images[labels == label, :, :, label] += 120
    script = tmp_path / "script.py"
    np.savez(tmp_path / "data.npz", x=images, y=labels)
    script.write_text(
        "import autotl\n"  # without a __main__ guard, as users write it
        f"fitted = autotl.fit({str(tmp_path / 'data.npz')!r}, out={str(tmp_path / 'run')!r}, "
        f"strategy={strategy!r}, trials=2)\n"
        "print(fitted.accuracy, fitted.model().output_shape)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "AUTOTL_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    assert done.returncode == 0, done.stderr
    decision = autotl.load(tmp_path / "run").report["decision"]
    assert decision["strategy"] == strategy
    assert decision["forced"]
    report = autotl.load(tmp_path / "run").report
    pretrained = report["search"]["best"]["recipe"]["pretrained"]
    card = (tmp_path / "run" / "MODEL_CARD.md").read_text("utf-8")
    assert (report["backbone"]["weights_sha256"] is not None) is pretrained
    assert ("non-commercial" in card) is pretrained
    assert done.stdout.split()[-1] == "3)"
