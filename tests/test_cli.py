"""The command line as a user meets it: help, messages, exit codes, nothing written over."""

from __future__ import annotations

import collections
import csv
import importlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from autotl.activations import store
from autotl.cli import console
from autotl.cli.program import run
from autotl.prediction import Predicted
from autotl.records import SetAside, SplitRecord
from autotl.report.terminal import _reasons
from tests.models import CARD, write_foreign, write_model

cli_backbones = importlib.import_module("autotl.cli.backbones")
cli_plugins = importlib.import_module("autotl.cli.plugins")
cli_predict = importlib.import_module("autotl.cli.predict")
program_of = importlib.import_module("autotl.cli.program")
ROOT = Path(__file__).parents[1]


def _photo(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(shade).integers(0, 40, (24, 24, 3))
    Image.fromarray((noise + shade % 200).astype(np.uint8)).save(path)


def _folder(root: Path, counts: dict[str, int]) -> Path:
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            _photo(root / name / f"{i}.png", 37 * label + i)
    return root


def _command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "autotl", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(cwd)},
    )


def test_help_is_quick_to_import_and_names_every_command(tmp_path: Path) -> None:
    code = "import sys\nfrom autotl.cli.program import run\nrun(['--help'])\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    for command in (
        "fit",
        "inspect",
        "predict",
        "verify",
        "resume",
        "backbones",
        "plugins",
        "cache",
    ):
        assert f"  {command} " in done.stdout
    heavy = {"tensorflow", "keras", "numpy", "rich", "onnxruntime", "sklearn", "msgspec"}
    assert not heavy & set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "command", ["fit", "inspect", "predict", "verify", "resume", "backbones", "plugins", "cache"]
)
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert "Usage: autotl" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["fit", "no-such-folder"], 3, "no-such-folder"),
        (["fit", "digits", "--strategy", "finetune"], 2, "full-fine-tune"),
        (["fit", "digits", "--metric", "acuracy"], 2, "accuracy"),
        (["fit", "digits", "--budget", "soon"], 2, "10m"),
        (["fit", "digits", "--budget", "0s"], 2, "budget"),
        (["fit", "digits", "--trials", "0"], 2, "--trials"),
        (["fit", "digits", "--trials", "many"], 2, "many"),
        (["fit", "digits", "--backbone", "embeded"], 4, "embedded"),
        (["fit", "digits", "--loader", "pictures"], 2, "pictures"),
        (["fit", "digits", "--wat"], 2, "--wat"),
        (["fit", "~nobody-of-this-name/photos"], 3, "no file or folder"),
        (["fit", "x" * 300], 3, "no file or folder"),
        (["fit", ""], 2, "data is empty"),
        (["fit", "digits", "--out", "x" * 300], 2, "too long"),
        (["fit", "digits", "--backbone", "embedded", "--weights", "x" * 300], 4, "weights file"),
        (["resume", "x" * 300], 2, "does not exist"),
        (["predict", "x" * 300, str(ROOT)], 2, "no model"),
        (["fit"], 2, "DATA"),
        (["nonsense"], 2, "nonsense"),
        (["resume", "no-such-run"], 2, "no-such-run"),
        (["predict", "no-such-model.onnx", str(ROOT)], 2, "no-such-model.onnx"),
        (["verify", "no-such-model.onnx"], 2, "no-such-model.onnx"),
        (["fit", "digits", "--budget", "1s"], 5, "budget"),
    ],
)
def test_wrong_usage_is_one_message_and_the_right_code(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOTL_CACHE", str(tmp_path / "cache"))
    assert run(arguments) == code
    told = capsys.readouterr()
    assert words in told.err
    assert "Traceback" not in told.err
    assert not told.out


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "empty"),
        ({"cats": 8}, "one class"),
        ({"cats": 8, "dogs": 1}, "dogs"),
        ({"cats": 8, "dogs": 0, "birds": 1}, "birds"),
    ],
)
def test_folders_that_cannot_be_used(
    counts: dict[str, int],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    data = _folder(tmp_path / "photos", counts)
    data.mkdir(exist_ok=True)
    assert run(["fit", str(data)]) == 3
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told


def test_too_many_unreadable_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = _folder(tmp_path / "photos", {"cats": 10, "dogs": 10})
    (data / "cats" / "0.png").write_bytes(b"")
    whole = (data / "dogs" / "1.png").read_bytes()
    (data / "dogs" / "1.png").write_bytes(whole[: len(whole) // 2])
    (data / "dogs" / "2.png").write_bytes(b"not an image")
    assert run(["fit", str(data)]) == 3
    told = capsys.readouterr().err
    assert "cats/0.png" in told
    assert "dogs/1.png" in told


@pytest.mark.parametrize(
    "labels",
    [np.eye(4)[np.arange(40) % 4] + np.eye(4)[(np.arange(40) + 1) % 4], np.linspace(0, 1, 40)],
    ids=["multi-label", "regression"],
)
def test_targets_of_another_kind(
    labels: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 255, (40, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "data.npz", x=images, y=labels)
    assert run(["fit", str(tmp_path / "data.npz")]) == 3
    assert "Traceback" not in capsys.readouterr().err


def test_out_that_holds_another_run_is_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_text("{}")
    (out / "report.json").write_text("mine")
    assert run(["fit", "digits", "--out", str(out)]) == 2
    assert "autotl resume" in capsys.readouterr().err
    assert (out / "report.json").read_text() == "mine"
    assert sorted(path.name for path in out.iterdir()) == ["report.json", "run.json"]


def test_no_free_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 0))
    assert run(["fit", "digits", "--out", str(tmp_path / "run")]) == 5
    assert "free" in capsys.readouterr().err


def test_an_unexpected_error_says_where_to_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import autotl.pipeline

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(autotl.pipeline, "fit", broken)
    assert run(["fit", "digits"]) == 1
    assert "report" in capsys.readouterr().err


def test_interrupted_says_how_to_resume(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import autotl.pipeline

    def interrupted(*_: object, **__: object) -> None:
        error = KeyboardInterrupt()
        error.run_folder = Path("runs/one")  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(autotl.pipeline, "fit", interrupted)
    assert run(["fit", "digits"]) == 130
    assert "autotl resume runs/one" in capsys.readouterr().err


def test_resume_takes_a_new_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    import autotl.pipeline

    def resumed(run: str, **options: object) -> None:
        given.append((run, options["budget"], options["trials"]))
        raise KeyboardInterrupt

    given: list[tuple[object, ...]] = []
    monkeypatch.setattr(autotl.pipeline, "resume", resumed)
    assert run(["resume", "runs/one"]) == 130
    assert run(["resume", "runs/one", "--budget", "20m", "--trials", "5"]) == 130
    assert given == [("runs/one", None, None), ("runs/one", "20m", 5)]


def test_backbones_and_plugins_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backbones", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    embedded = next(row for row in rows if row["name"] == "embedded")
    assert embedded["weights_here"]
    assert "non-commercial" in embedded["weights_license"]
    assert run(["plugins", "--json"]) == 0
    names = {row["name"] for row in json.loads(capsys.readouterr().out)}
    assert "image-folders" in names


def test_nothing_trails_where_it_is_piped(capsys: pytest.CaptureFixture[str]) -> None:
    console.show([_reasons(["One.", "A longer one " * 20])])
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == ["Reasons", "  - One."]
    assert told[2] == "  - " + ("A longer one " * 20).rstrip()


def test_a_plugin_s_words_are_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    words = {"name": "[bold]x", "distribution": "d", "version": "1", "status": "set aside"}
    reason = "it needs mypkg[gpu]; [/opt/x] is missing"
    row = {**words, "reason": reason, "backbones": [], "loaders": []}
    console.show([cli_plugins._table([row])])
    told = capsys.readouterr().out
    assert "[bold]x" in told
    assert reason in told


def test_backbones_show_a_plugin_s_words_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"least": 32, "most": 64}
    words = {"name": "n", "parameters": 10, "license": "MIT [x]", "weights_license": "[/y]"}
    row = {**words, "input_sizes": sizes, "weights_here": True, "source_domain": "photos [all]"}
    row |= {"no_export": "it needs [z]", "no_partial_freeze": "it has [one] cut"}
    console.show(cli_backbones._shown([row]))
    told = capsys.readouterr().out
    assert "MIT [x]; the weights: [/y]: n" in told
    assert "photos [all]: n" in told
    assert "it has [one] cut: n" in told
    assert "it needs [z]: n" in told


def test_many_backbones_are_a_line_each_and_what_they_share_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "PIPED_WIDTH", 80)
    assert run(["backbones"]) == 0
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines if line.endswith(("  here", "not here"))]
    assert [row[-2:] == ["not", "here"] for row in rows] == sorted(
        row[-2:] == ["not", "here"] for row in rows
    )
    names = [row[0] for row in rows]
    assert names[0] == "embedded"
    assert run(["backbones", "--quiet"]) == 0
    assert sorted(names) == sorted(capsys.readouterr().out.split())
    whole = " ".join(told.split())
    assert whole.count("Tiny ImageNet: 100,000 photographs") == 1
    licences = whole.partition("Licence")[2].partition("Trained on")[0]
    assert all(name in licences for name in names)


@pytest.mark.parametrize("command", ["plugins", "backbones"])
def test_verbose_shows_the_whole_log(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("autotl")
    before = log.level
    try:
        assert run([command, "--verbose"]) == 0
        assert log.level == logging.DEBUG
        assert run([command]) == 0
        assert log.level == logging.WARNING
    finally:
        log.setLevel(before)
    assert capsys.readouterr().out


def test_too_little_memory_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(**_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(program_of.program, "main", full)
    assert run(["fit", "digits"]) == 5
    told = capsys.readouterr().err
    assert "not enough memory" in told
    assert "bug" not in told


def test_the_cache_is_shown_and_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTOTL_CACHE", str(tmp_path))
    with (
        store.holding(),
        store.arrays(store.cache_folder(), ["0" * 40], [(250_000,)], [np.float32]),
    ):
        pass
    assert run(["cache"]) == 0
    assert "1 entries, 1 MB" in capsys.readouterr().out
    assert run(["cache", "--clear"]) == 0
    assert "1 MB came free." in capsys.readouterr().out
    assert run(["cache", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["entries"], found["bytes"], found["freed"]) == (0, 0, 0)


@pytest.mark.parametrize("arguments", [["cache"], ["fit", "digits"], ["inspect", "digits"]])
def test_a_cache_of_no_user_is_one_message(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOTL_CACHE", "~nobody-of-this-name/cache")
    assert run(arguments) == 2
    told = capsys.readouterr().err
    assert "AUTOTL_CACHE" in told
    assert "Traceback" not in told
    assert not list(tmp_path.glob("~*"))


def test_tables_are_plain_where_piped(tmp_path: Path) -> None:
    done = _command("backbones", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "embedded" in done.stdout
    assert "\x1b[" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments", [["backbones"], ["plugins", "--json"], ["--help"], ["backbones", "-q"]]
)
def test_a_reader_that_leaves_is_no_fault(arguments: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "autotl", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    ) as done:
        assert done.stdout
        assert done.stderr
        done.stdout.close()
        told = done.stderr.read()
    assert (done.returncode, told) == (0, b"")


@pytest.mark.parametrize("text", ["5 5", "1h30", "10m 5m", "30 1h"])
def test_durations_that_could_mean_two_things(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fit", "digits", "--budget", text]) == 2
    assert "1h30m" in capsys.readouterr().err


def test_the_help_says_the_default_budget(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", "--help"]) == 0
    assert "10m if neither" in " ".join(capsys.readouterr().out.split())


SPLIT = SplitRecord(
    train=1, validation=1, test=1, dropped=0, digest="x", notes=tuple(f"note {i}" for i in range(7))
)


@pytest.mark.parametrize("kind", [console.Plain, console.Live])
def test_notes_follow_their_step(
    kind: type[console.Plain | console.Live], capsys: pytest.CaptureFixture[str]
) -> None:
    for verbose in (False, True):
        with kind(verbose) as heard:
            heard.step_finished("split", SPLIT, 0.1)
        told = capsys.readouterr().err
        assert "note 4" in told
        assert ("note 6" in told) is verbose
        assert ("and 2 more; -v shows all" in told) is not verbose


def test_set_aside_examples_are_named_with_verbose() -> None:
    aside = (SetAside(id="cats/0.png", reason="empty"),)
    load = SimpleNamespace(warnings=("few",), set_aside=aside)
    assert console.remarks(load, verbose=False) == ["few"]
    assert console.remarks(load, verbose=True) == ["few", "set aside: cats/0.png: empty"]


def test_long_steps_say_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: clock.now))
    heard = console.Plain(verbose=False)
    heard.step_started("load")
    for second in range(31):
        clock.now = float(second)
        heard.progress("decoding", second, 50)
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "  ... decoding 5 of 50, about 45 s left",
        "  ... decoding 15 of 50, about 35 s left",
        "  ... decoding 25 of 50, about 25 s left",
    ]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("shape", "to_terminal", "quiet", "folder", "shown"),
    [
        ("csv", False, False, True, True),
        ("table", True, False, True, True),
        ("csv", True, False, True, False),
        ("csv", False, True, True, False),
        ("csv", False, False, False, False),
    ],
)
def test_predict_shows_progress_where_it_is_seen(
    shape: str,
    to_terminal: bool,
    quiet: bool,
    folder: bool,
    shown: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs = (str(tmp_path if folder else tmp_path / "a.png"),)
    monkeypatch.setattr(sys, "stdout", _Terminal() if to_terminal else io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(cli_predict._bar(inputs, shape, quiet), console.Quiet)
    monkeypatch.setattr(sys, "stderr", _Terminal())
    assert isinstance(cli_predict._bar(inputs, shape, quiet), console.Live) is shown
    told: list[Predicted] = [Predicted(id="a", error="torn")]
    bar = cli_predict._bar(inputs, shape, quiet)
    assert list(cli_predict._counted(told, bar, {"read": 0, "failed": 0}, quiet)) == told


@pytest.mark.parametrize("shape", cli_predict.FORMATS)
def test_predict_prints_names_that_are_no_utf8(
    shape: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.png"))
    odd.write_bytes(b"torn")
    model = write_model(tmp_path / "model.onnx")
    assert run(["predict", str(model), str(tmp_path), "--format", shape]) == 3
    told = capsys.readouterr()
    assert "caf\\xe9.png" in told.out.replace("\\\\", "\\")
    assert "caf\\xe9.png: The content is no image" in told.err


def test_progress_that_nobody_reads_stops_nothing() -> None:
    code = (
        "import sys\nfrom autotl.cli.console import Plain\nsys.stdin.read()\n"
        "for _ in range(3):\n    Plain(False).note('x' * 9999)\nprint('done')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    ) as done:
        assert done.stdin
        assert done.stdout
        assert done.stderr
        done.stderr.close()
        done.stdin.close()
        told = done.stdout.read()
    assert (done.returncode, told) == (0, b"done\n")


def test_a_model_s_labels_do_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Class names come from whoever wrote the file."""
    names = ["\x1b[2Jrouge", "gr\x9bn", "bl\reu"]
    told = {"schema": "autotl-card/1", "classes": names, "input": {"name": "photo"}}
    told["outputs"] = {"probabilities": "scores"}
    model = write_foreign(tmp_path / "model.onnx", told)
    folder = tmp_path / "a\x1b[1m"
    _photo(folder / "0.png", 3)
    (folder / "torn.png").write_bytes(b"")
    assert run(["predict", str(model), str(folder), "--top", "3"]) == 0
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert not set("\x1b\x9b\r") & set(text)
    assert "\\x1b[2Jrouge" in shown.out


@pytest.mark.parametrize("shape", ["csv", "jsonl"])
def test_lines_for_programs_do_not_steer_a_terminal_and_are_piped_as_they_are(
    shape: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ["\x1b[2Jrouge", "gr\x9bn", "bl\x7feu"]
    card = CARD | {"classes": names}
    model = write_model(tmp_path / "model.onnx", card, classes=names)
    folder = tmp_path / "a\x9b1m\x1b"
    for colour, name in zip(("red", "lime", "blue"), names, strict=True):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (9, 9), colour).save(folder / name / "0.png")
    (folder / names[0] / "torn.png").write_bytes(b"")
    command = ["predict", str(model), str(folder), "--evaluate", "--format", shape]
    assert run(command) == 0
    piped = capsys.readouterr().out
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert run(command) == 0
    shown = terminal.getvalue()
    assert shown.replace("\n", "").isprintable()
    assert capsys.readouterr().err.replace("\n", "").isprintable()
    if shape == "jsonl":
        read = [[json.loads(line) for line in text.splitlines()] for text in (shown, piped)]
        assert read[0] == read[1]
        assert {each.get("label") for each in read[1]} == {*names, None}
        assert "\x9b" in piped
    else:
        assert {row["label"] for row in csv.DictReader(io.StringIO(piped))} == {*names, ""}
        assert "\\x1b[2Jrouge" in shown


def test_what_verify_tells_does_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["\x1b[2Jrouge", "gr\x9bn", "bl\x7feu"]
    model = write_model(tmp_path / "model.onnx", CARD | {"classes": names}, classes=names)
    _photo(tmp_path / "data" / names[0] / "0.png", 3)
    assert run(["verify", str(model), str(tmp_path / "data")]) == 0
    _photo(tmp_path / "data" / "\x1bvert" / "0.png", 4)
    assert run(["verify", str(model), str(tmp_path / "data")]) == 3
    told = capsys.readouterr()
    assert "no example of" in told.out
    assert "does not know the class" in told.err
    for text in told:
        assert text.replace("\n", "").isprintable()
