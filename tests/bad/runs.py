"""Run folders that cannot be gone on with, and models that cannot be exported from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from autotl.records import to_json
from autotl.request import request
from autotl.run import open_run
from tests.bad.case import Case, pets

CHANGED = ("journal.jsonl", "worker.log")
"""To go on with a run is written down in it, whatever comes of it."""


def _run(folder: Path) -> Path:
    """A run that was begun on sound data and stopped before its first step."""
    pets(folder / "photos")
    asked = request(data=str(folder / "photos"), budget=60.0)
    with open_run(folder / "run", to_json(asked), name="photos") as run:
        pass
    return run.folder


def _told(folder: Path, **facts: object) -> Path:
    """The same with some facts of run.json put in place of others."""
    file = _run(folder) / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | facts))
    return file.parent


def _with_file(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        run = _run(folder)
        (run / name).write_bytes(content)
        return run

    return write


def _damaged_journal(folder: Path) -> Path:
    journal = _run(folder) / "journal.jsonl"
    journal.write_bytes(b'{"kind": "sit' + b"\n" + journal.read_bytes())
    return journal.parent


def _changed_journal(folder: Path) -> Path:
    journal = _run(folder) / "journal.jsonl"
    content = journal.read_bytes().replace(b'"pid": ', b'"pid": 1')
    journal.write_bytes(content + journal.read_bytes())
    return journal.parent


def _without_data(folder: Path) -> Path:
    run = _run(folder)
    for path in sorted((folder / "photos").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / "photos").rmdir()
    return run


def _of_arrays(folder: Path) -> Path:
    with open_run(folder / "run", to_json(request(data=None)), name="arrays") as run:
        pass
    return run.folder


def _shut(folder: Path) -> Path:
    run = _run(folder)
    run.chmod(0o555)
    return run


def _file(folder: Path) -> Path:
    (folder / "run").write_text("mine")
    return folder / "run"


def _resume(
    name: str,
    write: Callable[[Path], Path],
    *says: str,
    options: tuple[str, ...] = (),
    **more: object,
) -> Case:
    def make(folder: Path) -> list[str]:
        return ["resume", str(write(folder)), *options]

    settled = {"outcome": 2, "says": says, "changes": CHANGED} | more
    return Case(name=f"resume-{name}", make=make, **settled)  # type: ignore[arg-type]


def _export(name: str, write: Callable[[Path], Path], *says: str, to: str = "openvino") -> Case:
    def make(folder: Path) -> list[str]:
        return ["export", str(write(folder)), "--to", to]

    return Case(name=f"export-{name}", make=make, outcome=2, says=says)


OTHER_VERSION = ("another version of autotl", "run.json")

CASES: tuple[Case, ...] = (
    _resume("nothing", lambda folder: folder / "run", "does not exist", "autotl fit"),
    _resume("an-empty-folder", lambda folder: folder, "holds no run", "autotl fit"),
    _resume("a-file", _file, "run holds no run|is a file", "autotl fit"),
    _resume(
        "without-run-json-whole",
        _with_file("run.json", b'{"schema": '),
        "run.json",
        "backup|new run",
    ),
    _resume("with-run-json-of-no-bytes", _with_file("run.json", b""), "run.json cannot be read"),
    _resume("with-run-json-a-list", _with_file("run.json", b"[1, 2]"), "run.json", "new run"),
    _resume("with-run-json-text", _with_file("run.json", b'"schema"'), "run.json", "new run"),
    _resume("with-run-json-not-utf-8", _with_file("run.json", b'{"\xff": 1}'), "run.json"),
    _resume("with-run-json-deep", _with_file("run.json", b"[" * 100_000), "run.json"),
    _resume("with-half-of-run-json", _with_file("run.json", b"{}"), "incomplete", "new run"),
    _resume(
        "of-a-later-schema",
        lambda folder: _told(folder, schema="autotl-run/9"),
        "autotl-run/9",
        "autotl-run/1",
        "version",
    ),
    _resume(
        "of-other-options", lambda folder: _told(folder, request={"bugdet": 1}), *OTHER_VERSION
    ),
    _resume("with-a-request-of-text", lambda folder: _told(folder, request="none"), "run.json"),
    _resume("with-plugins-of-numbers", lambda folder: _told(folder, plugins=7), "run.json"),
    _resume("with-a-name-of-numbers", lambda folder: _told(folder, name=7), "run.json"),
    _resume("with-a-torn-journal", _damaged_journal, "journal.jsonl", "line 1", "new run"),
    _resume("with-a-changed-journal", _changed_journal, "journal.jsonl", "line 1", "new run"),
    _resume("without-its-data", _without_data, "no file or folder", "photos", outcome=3),
    _resume("of-arrays", _of_arrays, "was started with arrays", "autotl.resume"),
    _resume("with-a-budget-of-nothing", _run, "budget", options=("--budget", "0s")),
    _resume("that-may-not-be-written", _shut, "ermission", unprivileged=True),
    _export(
        "nothing", lambda folder: folder / "run", "holds no run|does not exist", "run's folder"
    ),
    _export("an-unfinished-run", _run, "holds an unfinished run", "autotl resume"),
    _export("to-no-format", _run, "openvin", "openvino", to="openvin"),
    _export("a-run-with-a-torn-report", _with_file("report.json", b'{"sch'), "report.json"),
    _export("a-run-with-a-report-of-bytes", _with_file("report.json", b"\xff\xfe"), "report.json"),
    _export("a-run-with-a-report-of-text", _with_file("report.json", b'"a"'), "unfinished|export"),
)
