"""`autotl report RUN`: the page again, from what the run recorded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import autotl
from autotl import pipeline
from autotl.cli.program import run
from autotl.errors import RunFolderError
from autotl.files import file_ref
from autotl.records import Evaluation, Pictures, ReportRecord, to_json
from autotl.report import write
from autotl.request import request
from autotl.run import open_run, reopen
from tests import pages

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "run"
    with open_run(folder, to_json(request(data="digits")), name="digits") as opened:
        records = pages.records(folder, ("a", "b"))
        shown, found = records.pictures, write(records, folder)
        assert shown is not None
        (folder / "model.keras").write_bytes(b"a model")
        model = file_ref(folder / "model.keras", folder)
        tested = replace(records.evaluation, model=model, predictions=model)
        opened.once("evaluate", Evaluation, lambda: tested)
        opened.once("pictures", Pictures, lambda: shown)
        opened.once("report", ReportRecord, lambda: found)
    return folder


@pytest.fixture
def finished(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def test_the_same_page_is_written_and_its_place_told(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = finished / "report.html"
    before = page.read_bytes()
    page.unlink()
    assert run(["report", str(finished)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert page.read_bytes() == before
    with reopen(finished, read_only=True) as opened:
        kept = opened.recorded("report", ReportRecord)
        assert kept is not None
        assert opened.page() == kept.page
    assert pipeline.resume(finished) == autotl.load(finished)


def test_a_page_that_was_changed_is_refused_until_it_is_written_again(finished: Path) -> None:
    page = finished / "report.html"
    page.write_text("else")
    with pytest.raises(RunFolderError, match=r"report\.html is not the file") as raised:
        pipeline.resume(finished)
    assert raised.value.hint == f"Write it again: autotl report {finished}"
    assert run(["report", str(finished)]) == 0
    assert pipeline.resume(finished).folder == finished


@pytest.mark.parametrize("content", [None, b"else"])
def test_a_thumbnail_that_is_gone_or_changed_stops_no_run_and_is_left_out_of_the_page(
    content: bytes | None, finished: Path
) -> None:
    with reopen(finished, read_only=True) as opened:
        shown = opened.recorded("pictures", Pictures)
        found = opened.recorded("evaluate", Evaluation)
    assert shown is not None
    assert found is not None
    assert found.mistakes
    before = (finished / "report.html").read_text("utf-8").count("no picture")
    for thumbnail in (shown.suspects[0].example.thumbnail, found.mistakes[0].thumbnail):
        assert thumbnail is not None
        if content is None:
            (finished / thumbnail.path).unlink()
        else:
            (finished / thumbnail.path).write_bytes(content)
    assert pipeline.resume(finished).folder == finished
    assert run(["report", str(finished)]) == 0
    assert (finished / "report.html").read_text("utf-8").count("no picture") >= before + 2
    assert pipeline.resume(finished).folder == finished


def test_a_model_that_is_gone_is_refused_all_the_same(finished: Path) -> None:
    (finished / "model.keras").unlink()
    with pytest.raises(RunFolderError, match=r"model\.keras is missing"):
        pipeline.resume(finished)


def test_the_api_notes_the_page_as_the_command_does(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autotl.report.writing.page", lambda *_: "<p>of another version</p>")
    assert autotl.load(finished).render() == finished / "report.html"
    assert pipeline.resume(finished).folder == finished


@pytest.mark.parametrize("change", ["figure", "key", "empty"])
def test_a_report_that_was_changed_is_not_rendered(
    change: str, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, page = finished / "report.json", (finished / "report.html").read_bytes()
    told = json.loads(file.read_text("utf-8"))
    if change == "figure":
        told["evaluation"]["examples"] += 1
    else:
        told = {key: told[key] for key in ("schema", *(["data"] if change == "key" else []))}
    file.write_text(json.dumps(told))
    assert run(["report", str(finished)]) == 2
    said = capsys.readouterr().err
    assert f"{file} is not the file that the run wrote" in said
    assert "Put the file back as it was" in said
    with pytest.raises(RunFolderError, match=r"report\.json is not the file"):
        autotl.load(finished).render()
    assert (finished / "report.html").read_bytes() == page


def test_a_report_that_is_not_in_the_journal_is_of_an_unfinished_run(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = finished / "journal.jsonl"
    lines = journal.read_text("utf-8").splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if '"name": "report"' not in line))
    assert run(["report", str(finished)]) == 2
    assert f"autotl resume {finished}" in capsys.readouterr().err


def test_a_page_of_another_renderer_takes_the_first_one_s_place(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autotl.report.writing.page", lambda *_: "<p>of another version</p>")
    assert run(["report", str(finished)]) == 0
    assert pipeline.resume(finished).folder == finished
    (finished / "report.html").write_text("else")
    with pytest.raises(RunFolderError, match=r"report\.html"):
        pipeline.resume(finished)


@pytest.mark.parametrize("there", [True, False])
def test_a_browser_is_asked_or_the_file_named(
    there: bool,
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[str] = []

    def opened(address: str) -> bool:
        asked.append(address)
        if not there:
            raise webbrowser.Error("could not locate runnable browser")
        return True

    monkeypatch.setattr(webbrowser, "open", opened)
    assert run(["report", str(finished), "--open"]) == 0
    told = capsys.readouterr()
    assert asked == [(finished / "report.html").as_uri()]
    assert told.out == f"{finished / 'report.html'}\n"
    assert ("No browser was found" in told.err) == (not there)


def test_what_is_no_finished_run_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (finished / "report.json").write_text('{"schema": ')
    assert run(["report", str(finished)]) == 2
    assert "report.json cannot be read" in capsys.readouterr().err
    (finished / "report.json").unlink()
    assert run(["report", str(finished)]) == 2
    told = capsys.readouterr().err
    assert "holds an unfinished run" in told
    assert f"autotl resume {finished}" in told
    assert run(["report", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_another_process_in_the_run_is_named(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with reopen(finished):
        assert run(["report", str(finished)]) == 2
    assert "Another process is working on" in capsys.readouterr().err


def test_it_needs_neither_the_data_nor_what_trains(finished: Path) -> None:
    code = (
        "import sys\n"
        "from autotl.cli.program import run\n"
        "code = run(['report', sys.argv[1]])\n"
        "heavy = {'keras', 'tensorflow', 'sklearn', 'scipy', 'onnx', 'onnxruntime'}\n"
        "sys.exit(code or ', '.join(heavy & set(sys.modules)) or 'pyplot' in str(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(finished)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


def test_a_config_of_the_user_s_changes_nothing(finished: Path, tmp_path: Path) -> None:
    before = (finished / "report.html").read_bytes()
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 40\nbackend: TkAgg\n")
    environment: dict[str, Any] = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MATPLOTLIBRC": str(tmp_path),
        "HOME": "/nonexistent",
        "MPLCONFIGDIR": "",
    }
    done = subprocess.run(
        [sys.executable, "-m", "autotl", "report", str(finished)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (finished / "report.html").read_bytes() == before
