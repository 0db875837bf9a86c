"""What somebody meets who has just installed it: the first screen, help, and what was meant."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import autotl
from autotl.cli.commands import FIRST
from autotl.cli.console import Live, show
from autotl.cli.program import program, run
from autotl.cli.running import _from_here, finish
from autotl.cli.scores import lines
from autotl.delivery.judging import per_class
from autotl.errors import RunFolderError
from autotl.fitted import Fitted, run_folder
from autotl.prediction import open_model
from autotl.records import Interval, Scores, SplitRecord
from autotl.search.planning import Step
from autotl.search.runner import _untried
from autotl.train import default
from tests.models import write_model
from tests.test_decide import measured


def test_without_arguments_there_is_a_short_first_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", FIRST)
    assert len(FIRST.splitlines()) < 10
    for command in ("autotl fit digits", "autotl inspect photos/", "autotl fit photos/"):
        assert f"  {command} " in FIRST
    assert "autotl --help" in FIRST
    assert max(map(len, FIRST.splitlines())) <= 80


@pytest.mark.parametrize("command", ["", *program.commands])
def test_help_fits_eighty_columns(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([command, "--help"] if command else ["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    if not command:  # a command is told of in whole words
        assert [line for line in lines if line.endswith("...") and "Usage" not in line] == []


@pytest.mark.parametrize(
    ("arguments", "code", "meant"),
    [
        (["ft"], 2, "Did you mean: autotl fit\n"),
        (["FIT", "x y"], 2, "Did you mean: autotl fit 'x y'\n"),
        (["insepct", "photos"], 2, "Did you mean: autotl inspect photos\n"),
        (["photos/"], 2, "Did you mean: autotl fit photos/\n"),
        (["digits", "--budget", "2m"], 2, "Did you mean: autotl fit digits --budget 2m\n"),
        (["done"], 2, "Did you mean: autotl predict done IMAGE...\n"),
        (["stopped"], 2, "Did you mean: autotl resume stopped\n"),
        (["done/model.onnx", "new"], 2, "Did you mean: autotl predict done/model.onnx new\n"),
        (["zzzzz"], 2, "There is no command 'zzzzz'.\n"),
        (["\0"], 2, "There is no command"),
        (["--versoin"], 2, "--version"),
        (["fit", "digits", "--buget", "2m"], 2, "'--budget'"),
        (["fit", "digits", "--stratgy", "scratch"], 2, "'--strategy'"),
        (["fit", "digits", "--strategy", "scrach"], 2, "Did you mean 'scratch'?"),
        (["fit", "digits", "--metric", "acuracy"], 2, "Did you mean 'accuracy'?"),
        (["fit", "digits", "--resize", "squish"], 2, "Did you mean 'squash'?"),
        (["fit", "digits", "--backbone", "embeded"], 4, "Did you mean 'embedded'?"),
        (["fit", "digits", "--loader", "img-folders"], 2, "Did you mean 'image-folders'?"),
        (["export", "done", "--to", "onenvino"], 2, "Did you mean 'openvino'?"),
        (["predict", "done", "x", "--format", "jsn"], 2, "Did you mean 'jsonl'?"),
        (["completion", "bsh"], 2, "Did you mean 'bash'?"),
    ],
)
def test_what_was_meant_is_said(
    arguments: list[str],
    code: int,
    meant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "done", "stopped"):
        (tmp_path / name).mkdir()
    for name in ("done/run.json", "done/model.onnx", "stopped/run.json"):
        (tmp_path / name).touch()
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert meant in err
    assert "Traceback" not in err


def test_only_the_nearest_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", "digits", "--buget", "2m"]) == 2
    told = capsys.readouterr().err
    assert "--budget" in told
    assert "--quiet" not in told


def _judged(labels: list[int], said: list[int], classes: int = 3) -> Scores:
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, said), 1)
    figure = Interval(value=0.5, low=0.4, high=0.6)
    return Scores(
        examples=len(labels),
        unreadable=0,
        accuracy=figure,
        balanced_accuracy=figure,
        macro_f1=figure,
        per_class=per_class(confusion, [f"class-{n}" for n in range(classes)]),
        confusion=tuple(tuple(map(int, row)) for row in confusion),
    )


def _rows(out: str) -> dict[str, list[str]]:
    split = [line.split() for line in out.splitlines() if line.strip().startswith("class-")]
    return {cells[0]: cells[1:] for cells in split}


def test_classes_that_are_not_in_the_data_have_no_figures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(lines(_judged([0, 0, 0, 1], [0, 0, 1, 0])))
    told = capsys.readouterr().out
    assert "1 of 3 classes are not in the data" in told
    rows = _rows(told)
    assert rows["class-0"] == ["3", "0.667", "0.667", "0.667"]
    assert rows["class-1"] == ["1", "0.000", "0.000", "0.000"]
    assert rows["class-2"] == ["not", "in", "the", "data", "-", "-", "-"]
    show(lines(_judged([0, 0], [0, 2])))
    rows = _rows(capsys.readouterr().out)
    assert rows["class-2"] == ["not", "in", "the", "data", "0.000", "-", "-"]


def test_progress_is_offered_to_python(capsys: pytest.CaptureFixture[str]) -> None:
    told = autotl.progress()
    told.step_finished("split", SplitRecord(train=6, validation=2, test=2, dropped=0, digest=""), 1)
    assert "6 train, 2 validation, 2 test" in capsys.readouterr().err


def test_an_interrupted_fit_is_told_how_to_go_on_in_a_line_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(_: object) -> Fitted:
        error = KeyboardInterrupt()
        error.run_folder = tmp_path / "runs" / "my photos"  # type: ignore[attr-defined]
        raise error

    monkeypatch.chdir(tmp_path)
    assert finish(work, as_json=False, quiet=False, verbose=False) == 130
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "Go on with: autotl resume 'runs/my photos'"


def test_many_files_for_data_are_told_to_be_named_by_their_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["inspect", "photos/1.jpg", "photos/2.jpg"]) == 2
    assert "name the folder that holds them" in capsys.readouterr().err


def test_a_folder_of_runs_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("old", "new run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    os.utime(tmp_path / "old" / "run.json", (0, 0))
    assert run(["report", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "holds no run itself" in said
    assert said.index("new run'") < said.index("/old")


def test_more_labels_than_classes_are_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, photo = tmp_path / "model.onnx", tmp_path / "photo.png"
    write_model(model)
    Image.fromarray(np.full((12, 12, 3), 90, np.uint8)).save(photo)
    classes = len(open_model(model).classes)
    for quiet in ((), ("-q",)):
        assert (
            run(["predict", str(model), str(photo), "--top", "50", "--format", "csv", *quiet]) == 0
        )
        out, err = capsys.readouterr()
        header, line = csv.reader(out.splitlines())
        assert len(header) == len(line) == 2 + 2 * classes
        assert all(line[:-1])
        assert err == ("" if quiet else f"The model has {classes} classes: all are shown.\n")


def test_a_file_of_a_run_stands_for_the_run(tmp_path: Path) -> None:
    (tmp_path / "run" / "trials" / "000").mkdir(parents=True)
    for name in ("run.json", "model.onnx", "trials/000/weights.h5"):
        (tmp_path / "run" / name).touch()
        assert run_folder(tmp_path / "run" / name) == tmp_path / "run"
    assert run_folder(tmp_path / "run") == tmp_path / "run"
    assert run_folder(tmp_path / "not-there") == tmp_path / "not-there"
    (tmp_path / "alone.onnx").touch()
    with pytest.raises(RunFolderError, match=r"alone\.onnx is a file that lies in no run"):
        run_folder(tmp_path / "alone.onnx")


@pytest.mark.parametrize("command", [["resume"], ["export", "--to", "saved-model"]])
def test_commands_say_which_run_a_file_belongs_to(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alone.onnx").touch()
    assert run([*command, str(tmp_path / "alone.onnx")]) == 2
    assert "lies in no run" in capsys.readouterr().err


NATIVE = """I0000 00:00:1 1 port.cc:153] oneDNN custom operations are on.
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
"""
QUIET = f"""
import logging, os, sys
from autotl.fitted import _quiet
if "debug" in sys.argv:
    logging.basicConfig(level=logging.DEBUG, format="log: %(message)s")
try:
    with _quiet():
        os.write(2, {NATIVE.encode()!r})
        print("a warning of Python's", file=sys.stderr)
        if "fail" in sys.argv:
            raise ValueError
except ValueError:
    pass
print("after", file=sys.stderr)
"""


def _quieted(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", QUIET, *words], capture_output=True, text=True, check=True
    )
    return done.stderr


def test_what_native_libraries_say_goes_to_the_log() -> None:
    ours = "a warning of Python's\nafter\n"
    assert _quieted() == ours
    logged = "".join(f"log: {line}\n" for line in NATIVE.splitlines())
    assert _quieted("debug") == logged + ours
    assert _quieted("fail") == NATIVE + ours


def test_without_a_standard_error_the_work_is_done_all_the_same() -> None:
    code = "import os\nos.close(2)\nfrom autotl.fitted import _quiet\nwith _quiet():\n    print(1)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"1\n"


def test_what_does_not_fit_the_screen_goes_on_under_its_beginning() -> None:
    live = Live(verbose=False)
    out = io.StringIO()
    live.console = Console(file=out, width=50, highlight=False)
    record = SplitRecord(
        train=1150, validation=288, test=359, dropped=0, digest="", notes=("word " * 20 + "[b]",)
    )
    live.step_finished("split", record, 1.25)
    told = out.getvalue().splitlines()
    assert told[0].startswith("✓ split     1,150 train, 288 validation")
    assert told[1].rstrip() == " " * 12 + "1.2 s"
    assert told[2].startswith("  ! word word")
    assert told[3].startswith("    word")
    assert told[-1].rstrip().endswith("[b]")  # no markup
    assert max(map(len, told)) <= 50


def test_the_run_s_folder_is_named_as_one_would_type_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _from_here(tmp_path / "autotl-runs" / "a-1") == "autotl-runs/a-1"
    assert _from_here(Path("/elsewhere/a-1")) == "/elsewhere/a-1"


def test_a_head_that_was_not_fitted_is_not_called_the_strategy() -> None:
    """The probe is of that strategy too, and may well be the best."""
    one = measured()
    for taps, words in (((1, 2), "A head on all stages was not tried"), ((4,), "was not trained")):
        recipe = default("feature-extraction", one, taps=taps)
        assert words in _untried(Step(number=1, origin="default", recipe=recipe))
    tuned = Step(number=1, origin="default", recipe=default("full-fine-tune", one))
    assert _untried(tuned) == "full-fine-tune was not trained"
