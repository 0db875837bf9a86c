"""A finished run's model in other formats: through the command line, from Python, and refused."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest

import autotl
from autotl.cli.export import export
from autotl.delivery import delivering
from autotl.errors import DiskError, ParityError, RunFolderError, UsageError
from autotl.export.formats import FORMATS, openvino
from autotl.export.formats.openvino_import import imported
from autotl.files import sha256
from autotl.records import Delivered, from_json
from tests.images import write_class_folders

ROOT = Path(__file__).parents[1]


def _autotl(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "autotl", *arguments],
        capture_output=True,
        cwd=cwd,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "AUTOTL_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The data and a finished run on it."""
    root = tmp_path_factory.mktemp("finished")
    data = write_class_folders(root / "data", per_class=40, size=(40, 33), noise=60)
    how = ("--trials", "1", "--strategy", "feature-extraction", "--out", str(root / "run"))
    done = _autotl("fit", str(data), *how)
    assert done.returncode == 0, done.stderr
    return data, root / "run"


@pytest.fixture
def run(folders: tuple[Path, Path], tmp_path: Path) -> Path:
    shutil.copytree(folders[1], tmp_path / "run")
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


# ---- what is delivered ----


def test_the_command_writes_the_format_and_leaves_the_run_as_it_was(run: Path) -> None:
    before = contents(run)
    done = _autotl("export", str(run), "--to", "saved-model", "--json")
    assert done.returncode == 0, done.stderr
    delivered = from_json(Delivered, json.loads(done.stdout))
    target = run / "export" / "saved-model"
    assert delivered.folder == str(target)
    assert {file.path: file.sha256 for file in delivered.files} == contents(target)
    after = contents(run)
    inside = {f"export/saved-model/{name}": digest for name, digest in contents(target).items()}
    assert after == before | inside
    assert sorted(path.name for path in (run / "export").iterdir()) == ["saved-model"]
    assert {"tensorflow", "autotl"} <= delivered.versions.keys()
    card = json.loads((target / "card.json").read_text("utf-8"))
    assert card["classes"] == ["apple", "birch", "cedar"]


def test_the_command_tells_what_was_written_and_the_gate_s_figures(
    run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "triton"
    done = _autotl("export", str(run), "--to", "Triton", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "same label on 100.0 % of 19 raw validation images" in done.stdout
    assert "probabilities differ by" in done.stdout
    assert "no Triton server was run" in done.stdout
    assert str(out) in done.stdout
    assert (out / "data" / "1" / "model.onnx").read_bytes() == (run / "model.onnx").read_bytes()
    assert "\x1b[" not in done.stdout + done.stderr
    quiet = _autotl("export", str(run), "--to", "triton", "-q")
    assert quiet.stdout == f"{run / 'export' / 'triton'}\n"
    assert quiet.stderr == ""


def test_a_finished_run_is_told_to_be_and_shown_whichever_of_its_files_is_named(run: Path) -> None:
    for named in (run, run / "model.onnx"):
        done = _autotl("resume", str(named))
        assert done.returncode == 0, done.stderr
        assert done.stderr == f"{run} is finished: its files are as they were written.\n"
        assert "Test figures on" in done.stdout
        assert f"{run}/model.onnx" in done.stdout


def test_the_model_s_file_stands_for_its_run(run: Path) -> None:
    done = _autotl("export", str(run / "model.onnx"), "--to", "saved-model", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(run / "export" / "saved-model")


def test_from_python(run: Path) -> None:
    delivered = autotl.deliver(run, "openvino")
    assert (delivered.format, delivered.parity.examples) == ("openvino", 19)
    assert delivered.versions["openvino"]
    assert delivered.seconds > 0
    assert not list((run / "export").glob(".*"))


def test_a_run_from_arrays_needs_them_again(
    run: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    described = json.loads((run / "run.json").read_text("utf-8"))
    described["request"]["data"] = None
    (run / "run.json").write_text(json.dumps(described), "utf-8")
    done = _autotl("export", str(run), "--to", "openvino")
    assert done.returncode == 2
    assert "was started with arrays" in done.stderr
    assert "autotl.deliver(run, to, data=" in done.stderr
    assert autotl.deliver(run, "openvino", data=folders[0]).parity.examples == 19


def test_the_command_names_every_format() -> None:
    (option,) = (each for each in export.params if each.name == "to")
    assert all(name in (option.help or "") for name in FORMATS)


# ---- what is refused ----


def test_an_existing_folder_is_never_overwritten(run: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("there", "dangling"):
        with pytest.raises(UsageError, match="exists already"):
            autotl.deliver(run, "triton", out=tmp_path / name)
    assert not (run / "export").exists()


def test_a_folder_that_cannot_be_made_is_no_traceback(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = _autotl("export", str(run), "--to", "triton", "--out", str(tmp_path / "file" / "x"))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "cannot be" in done.stderr


def test_an_unknown_format_is_guessed_and_no_run_is_opened(tmp_path: Path) -> None:
    done = _autotl("export", str(tmp_path), "--to", "openvin")
    assert done.returncode == 2
    assert "Did you mean 'openvino'?" in done.stderr
    none = _autotl("export", str(tmp_path), "--to", "openvino")
    assert none.returncode == 2
    assert "holds no run" in none.stderr


def test_an_unfinished_run_is_refused(run: Path) -> None:
    (run / "report.json").unlink()
    with pytest.raises(RunFolderError, match="unfinished run"):
        autotl.deliver(run, "triton")


@pytest.mark.parametrize("name", ["model.onnx", "model.keras"])
def test_a_model_that_is_not_the_run_s_is_refused(run: Path, name: str) -> None:
    (run / name).write_bytes((run / name).read_bytes() + b"more")
    with pytest.raises(RunFolderError, match=f"{name} is not the file that the run wrote"):
        autotl.deliver(run, "triton")
    assert not (run / "export").exists()


def test_data_that_changed_is_refused(
    run: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders[0], tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "cedar")
    with pytest.raises(RunFolderError, match="no longer what this run was begun with") as caught:
        autotl.deliver(run, "triton", data=tmp_path / "data")
    assert "class 'cedar': gone" in str(caught.value)


def test_another_split_is_refused(run: Path) -> None:
    described = json.loads((run / "run.json").read_text("utf-8"))
    described["request"]["seed"] = 1
    (run / "run.json").write_text(json.dumps(described), "utf-8")
    with pytest.raises(RunFolderError, match="split drawn now is not the one"):
        autotl.deliver(run, "triton")


def test_a_run_that_another_process_works_on_is_refused(run: Path) -> None:
    with (
        filelock.FileLock(run / ".lock"),
        pytest.raises(RunFolderError, match="Another process is working"),
    ):
        autotl.deliver(run, "triton")


def test_where_the_gate_refuses_nothing_is_left_and_the_figures_are_told(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, ov = openvino.write, imported()

    def blue_first(onnx: Path, preprocessing: Any, path: Path) -> None:
        right(onnx, preprocessing, path.with_name("right.xml"))
        model = ov.Core().read_model(path.with_name("right.xml"))
        pixels = openvino._named(model, "pixels")
        readers = list(pixels.get_target_inputs())
        turned = ov.opset15.gather(pixels, np.array([2, 1, 0]), np.array(3))
        for reader in readers:
            reader.replace_source_output(turned.output(0))
        ov.save_model(model, path, compress_to_fp16=False)

    monkeypatch.setattr(openvino, "write", blue_first)
    before = contents(run)
    with pytest.raises(ParityError, match=r"As openvino: On resized pixels") as caught:
        autotl.deliver(run, "openvino")
    assert caught.value.exit_code == 6
    told = str(caught.value)
    assert "largest difference of a probability: " in told
    assert re.search(r"(apple|birch|cedar)/\d+\.png: differs by|made-up image \d: differs by", told)
    assert contents(run) == before
    assert not (run / "export").exists()


def test_a_disk_that_is_too_small_or_full_is_told(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(FORMATS, "triton", replace(FORMATS["triton"], make=full))
    with pytest.raises(DiskError, match="is full; it needs about"):
        autotl.deliver(run, "triton")
    monkeypatch.setattr(delivering, "_TIMES_MODEL", 1e9)
    with pytest.raises(DiskError, match=r"Only \d+ MB are free"):
        autotl.deliver(run, "triton")
    assert not (run / "export").exists()


def test_what_a_killed_process_left_is_removed(run: Path) -> None:
    left = run / "export" / ".writing-0123456789ab"
    (left / "made").mkdir(parents=True)
    autotl.deliver(run, "triton")
    assert sorted(path.name for path in (run / "export").iterdir()) == ["triton"]


def test_a_folder_is_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "new" / "deep" / "target"
    with contextlib.suppress(KeyboardInterrupt), delivering._beside(target, 0) as (made, _):
        (made / "half").write_text("")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with delivering._beside(target, 0) as (made, scratch):
        (made / "whole").write_text("")
        (scratch / "rest").write_text("")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["whole"]
    assert [path.name for path in target.parent.iterdir()] == ["target"]
