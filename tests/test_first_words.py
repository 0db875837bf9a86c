"""What somebody meets who has just installed it: the first screen, help, and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotl.cli.commands import FIRST
from autotl.cli.program import program, run


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
