"""Columns of tables, from the command line and the Python API to the loader and back by resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import pytest

from autotl.cli.program import run as command_line
from autotl.delivery import verify
from autotl.errors import RunFolderError, UsageError
from autotl.pipeline import fit, inspect, resume
from autotl.request import Request, loader_options, request
from autotl.run import reopen
from tests.builtin.table_data import images, species, write_csv

ASKED = {
    "label_column": "class",
    "input_column": "file",
    "group_column": "none",
    "split_column": "none",
}


class StoppedError(Exception):
    """Raised by `Stops` once the data is split."""


class Stops:
    """A listener that ends the run once the data is split, and keeps the record of loading."""

    def __init__(self) -> None:
        self.record: Any = None

    def step_finished(self, step: str, record: Any, seconds: float) -> None:
        if step == "load":
            self.record = record
        else:
            raise StoppedError

    def step_started(self, step: str) -> None:
        pass

    def progress(self, what: str, done: int, total: int) -> None:
        pass

    def note(self, message: str) -> None:
        pass


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A table of two columns that could hold the labels, and of groups and splits."""
    monkeypatch.setenv("AUTOTL_CACHE", str(tmp_path / "cache"))
    columns = {
        "file": images(tmp_path, 24),
        "label": ["x", "y"] * 12,
        "class": species(24),
        "patient": [number // 2 for number in range(24)],
        "split": ["train"] * 16 + ["val"] * 4 + ["test"] * 4,
    }
    return write_csv(tmp_path / "labels.csv", columns)


def test_options_reach_the_loader_and_resume_keeps_them(table: str, tmp_path: Path) -> None:
    heard = Stops()
    with pytest.raises(StoppedError):
        fit(table, out=tmp_path / "run", trials=1, listener=heard, **ASKED)
    found = (
        "24 rows of labels.csv: images by column 'file', labels by 'class' ('ant', 'bee', 'cat'); "
        "not used: 'label', 'patient', 'split'"
    )
    assert heard.record.reason == found
    with reopen(tmp_path / "run") as run:
        assert loader_options(run.asked(Request)) == ASKED
    again = Stops()
    with pytest.raises(StoppedError):
        resume(tmp_path / "run", listener=again)
    assert again.record == heard.record


def test_inspect_takes_the_same_options(table: str) -> None:
    heard = Stops()
    with pytest.raises(StoppedError):
        inspect(table, listener=heard, label_column="label")
    assert heard.record.classes == ("x", "y")
    assert (
        "groups by 'patient', splits by 'split'; not used: 'class'; --input" in heard.record.reason
    )


def test_a_frame_is_fitted_and_given_again_to_resume(table: str, tmp_path: Path) -> None:
    frame = pandas.read_csv(table)
    frame["file"] = [str(tmp_path / name) for name in frame["file"]]
    heard = Stops()
    with pytest.raises(StoppedError):
        fit(frame, out=tmp_path / "run", trials=1, listener=heard, label_column="class")
    assert heard.record.loader == "frames"
    with pytest.raises(RunFolderError, match="Give them again"):
        resume(tmp_path / "run")
    with pytest.raises(StoppedError):
        resume(tmp_path / "run", data=frame, listener=Stops())
    frame.loc[0, "class"] = "cat"
    with pytest.raises(RunFolderError, match="no longer what this run was begun with"):
        resume(tmp_path / "run", data=frame, listener=Stops())


def test_a_run_of_before_these_options_is_read() -> None:
    assert loader_options(request(data="x", loader="tables")) == {"loader": "tables"}
    for option in ASKED:
        assert loader_options(request(data="x", **{option: "a"})) == {option: "a"}
        with pytest.raises(UsageError, match=f"{option} is empty"):
            request(data="x", **{option: " "})


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{table}"], 3, "Several columns of labels.csv could hold the labels"),
        (["{table}", "--label-column", "clas"], 2, "Did you mean 'class'?"),
        (["{table}", "--label-column", "class", "--split-column", "label"], 3, "also 'x', 'y'"),
        (["{folder}", "--label-column", "class"], 2, "--label-column says nothing here"),
        (["digits", "--group-column", "none"], 2, "--group-column says nothing here"),
        (["{table}", "--input-column", ""], 2, "input_column is empty"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "inspect"])
def test_exit_codes(
    command: str,
    arguments: list[str],
    code: int,
    words: str,
    table: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "folder" / "a")
    places = {"table": table, "folder": str(tmp_path / "folder")}
    assert command_line([command, *(one.format(**places) for one in arguments)]) == code
    told = capsys.readouterr()
    assert words in told.err
    assert "Traceback" not in told.err


def test_what_was_found_is_printed_before_anything_is_measured(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from autotl import preparation

    def stop(*arguments: Any, **options: Any) -> None:
        raise UsageError("stopped at the split")

    monkeypatch.setattr(preparation, "split", stop)
    monkeypatch.chdir(tmp_path)
    assert command_line(["fit", "labels.csv", "--label-column", "class"]) == 2
    told = capsys.readouterr().err
    assert "stopped at the split" in told
    assert (
        "load      24 examples in 3 classes (24 rows of labels.csv: images by column 'file', "
        "labels by 'class' ('ant', 'bee', 'cat'), groups by 'patient', splits by 'split'; "
        "not used: 'label'; --input-column, --group-column and --split-column to name others)"
    ) in told


@pytest.mark.slow
def test_a_table_is_fitted_verified_and_its_columns_are_in_the_report(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = fit(table, out=tmp_path / "run", trials=1, label_column="class", split_column="none")
    assert done.report["data"]["found"].startswith("24 rows of labels.csv: images by column 'file'")
    found = verify(tmp_path / "run", table, label_column="class", split_column="none")
    assert found.data is not None
    assert found.data.rows == "run's test rows"
    assert found.data.difference == 0
    assert found.data.notes[0].startswith("24 rows of labels.csv")
    command = ["verify", str(tmp_path / "run"), table, "--label-column", "class"]
    assert command_line([*command, "--split-column", "none"]) == 0
    assert "the run's test images are found again" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--label-column says nothing here"):
        verify(tmp_path / "run", "digits", label_column="class")
