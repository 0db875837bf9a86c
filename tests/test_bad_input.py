"""Every case of the corpus of bad input: its exit code, its message, and nothing harmed."""

from __future__ import annotations

import csv
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autotl.cli import console
from autotl.cli.program import run
from autotl.pixels import printable
from autotl.worker import Worker
from tests.bad import CASES, KINDS, __main__
from tests.bad.case import LOADS, Case, photo

ROOT = Path(__file__).parents[1]
LONGEST = 4_000
"""Characters of a message, options' help aside: more is not read."""
MOST_MEMORY = 2_000_000
"""kB that a process may take for a million names."""
STOP_AFTER_LOADING = """
import os, sys
from pathlib import Path
from tests.test_bad_input import Loaded, stopping
stopping()
from autotl.cli.program import run
try:
    code = run(sys.argv[1:])
except Loaded:
    code = 77
# not ru_maxrss: that counts what the process which started this one held
(peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
Path(os.environ["HOME"], "peak").write_text(peak.split()[1])
sys.exit(code)
"""
LOADED_CODE = 77


class Loaded(BaseException):
    """The step `load` has ended; nothing is measured."""


class Stopping(console.Plain):
    """What tells of a run on standard error, until its data is loaded."""

    def step_finished(self, step: str, record: Any, seconds: float) -> None:
        super().step_finished(step, record, seconds)
        if step == "load":
            raise Loaded


def stopping() -> None:
    """Have `inspect` stop once its data is loaded."""
    console.listener = lambda *, quiet, verbose: Stopping(verbose)  # type: ignore[assignment]


def _fast(*, apart: bool) -> list[Any]:
    chosen = [case for case in CASES if (case.alone or case.unprivileged) == apart]
    marks = {True: [pytest.mark.slow, pytest.mark.timeout(2_000)], False: []}
    return [pytest.param(case, id=case.name, marks=marks[case.slow]) for case in chosen]


@pytest.mark.parametrize("case", _fast(apart=False))
def test_bad_input(
    case: Case,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    given, work = tmp_path / "given", tmp_path / "work"
    given.mkdir()
    work.mkdir()
    monkeypatch.chdir(work)
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)
    # a worker that is started beforehand only saves time, and no case comes to need one
    monkeypatch.setattr(Worker, "warm", lambda self: None)
    monkeypatch.setattr(console, "listener", lambda *, quiet, verbose: Stopping(verbose))
    arguments = list(case.make(given))
    before = tree(given, case.changes)
    outcome: int | str
    with _level_kept():
        try:
            outcome = run(arguments)
        except Loaded:
            outcome = LOADS
    told = capsys.readouterr()
    said = told.err + "\n".join(record.getMessage() for record in caplog.records)
    check(case, outcome, told.out, said)
    assert tree(given, case.changes) == before
    assert not list(work.iterdir())


@pytest.mark.parametrize("case", _fast(apart=True))
def test_bad_input_in_a_process_of_its_own(case: Case) -> None:
    with _folder_for_all() as place:
        given, work = place / "given", place / "work"
        given.mkdir()
        work.mkdir()
        arguments = list(case.make(given))
        before = tree(given, case.changes)
        by = _under_permissions() if case.unprivileged else []
        done = subprocess.run(
            [*by, sys.executable, "-c", STOP_AFTER_LOADING, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=work,
            timeout=1_900 if case.slow else 100,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "HOME": str(place),
                "AUTOTL_CACHE": str(place / "cache"),
                "PYTHONDONTWRITEBYTECODE": "1",
                **case.environment,
            },
        )
        outcome = LOADS if done.returncode == LOADED_CODE else done.returncode
        check(case, outcome, done.stdout, done.stderr)
        assert tree(given, case.changes) == before
        assert not list(work.iterdir())
        assert int((place / "peak").read_text()) < MOST_MEMORY


@contextmanager
def _level_kept() -> Iterator[None]:
    """A command sets the level of autotl's log; the next test finds it as it was."""
    log = logging.getLogger("autotl")
    level = log.level
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def _folder_for_all() -> Iterator[Path]:
    """A folder in memory, where a machine has that: a million files on a disk take half an hour."""
    memory = Path("/dev/shm")
    above = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    place = Path(tempfile.mkdtemp(prefix="autotl-bad-", dir=above))
    place.chmod(0o755)
    try:
        yield place
    finally:
        for folder, _, _ in os.walk(place):
            Path(folder).chmod(0o755)
        shutil.rmtree(place)


def _under_permissions() -> list[str]:
    """What a command is started by, so that permissions count: root may read everything else."""
    if os.geteuid():
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root without setpriv may read and write everything")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def check(case: Case, outcome: int | str, out: str, said: str) -> None:
    """The outcome, the words, no traceback, and on standard output nothing that is no result."""
    assert "Traceback" not in out + said
    assert outcome == case.outcome, said
    for words in case.says:
        assert re.search(words, said, re.DOTALL), f"{words!r} is not in:\n{said}"
    for words in ("bug in autotl", "\x1b", *case.silent):
        assert words not in said
    if outcome:
        assert not out or case.name.startswith("predict-")  # its results tell of each input
        assert len(said) < LONGEST


def tree(root: Path, changes: Sequence[str]) -> dict[bytes, tuple[int, int, int, bytes]]:
    """Mode, size, time of change and target of everything below; of folders without their time.

    Files of the names `changes` are left out, and a lock that was let go: it is empty.
    """
    found = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)  # noqa: PTH118
            about = os.lstat(path)
            is_folder = os.path.isdir(path) and not os.path.islink(path)  # noqa: PTH112, PTH114
            target = os.readlink(path) if os.path.islink(path) else b""  # noqa: PTH114, PTH115
            if os.fsdecode(name) in changes or (name == b".lock" and not about.st_size):
                continue
            times = (0, 0) if is_folder else (about.st_size, about.st_mtime_ns)
            found[path] = (about.st_mode, *times, target)
    return found


def test_the_corpus_can_be_written(tmp_path: Path) -> None:
    kept = {kind: cases[:2] for kind, cases in KINDS.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(__main__, "KINDS", kept)
        assert __main__.write(tmp_path / "corpus") == 2 * len(kept)
    found = json.loads((tmp_path / "corpus" / "expected.json").read_text())
    assert [case["name"] for case in found] == [c.name for cases in kept.values() for c in cases]
    assert (tmp_path / "corpus" / "folders" / "empty" / "photos").is_dir()


def test_no_two_cases_have_one_name_and_each_says_something() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 300
    assert [case.name for case in CASES if case.outcome not in (0, LOADS) and not case.says] == []


def test_no_case_accepts_a_message_that_says_nothing() -> None:
    nothing = (
        "/given/photos, table.csv, table.jsonl, table.parquet, data.npz or model.onnx cannot be "
        "used: see the file, line, row, column, label, folder and images; it is no data that loads."
    )
    weak = [
        case.name
        for case in CASES
        if case.outcome not in (0, LOADS)
        and all(re.search(words, nothing, re.DOTALL) for words in case.says)
    ]
    assert weak == []


# ---- all the way to a model ----

STRANGE = (b"\x1b[31mred\x1b[0m", "cat\u202egnp <b>|x|".encode(), b"a\nb", b"caf\xe9")
FAST = ("--trials", "1", "--backbone", "embedded", "--strategy", "feature-extraction")


def _strange(root: Path) -> Path:
    for label, name in enumerate(STRANGE):
        above = root / os.fsdecode(name)
        above.mkdir(parents=True)
        for number in range(10):
            (above / f"x\x1b{number}\n.png").write_bytes(photo(label, number))
    return root


def _tabled(root: Path) -> Path:
    _strange(root)
    rows = [
        ["file", "\u202elabel\x1b"],
        *(
            [str(path.relative_to(root)), f"{path.parent.name}, '\"\n"]
            for path in sorted(root.rglob("*.png"))
            if printable(path.parent.name) == path.parent.name
        ),
    ]
    with (root / "strange\x1b.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return root / "strange\x1b.csv"


@pytest.mark.slow
@pytest.mark.parametrize("write", [_strange, _tabled])
def test_strange_names_all_the_way_to_labels(
    write: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write(tmp_path / "photos")
    before = tree(tmp_path / "photos", ())
    assert run(["fit", str(data), *FAST, "--out", "run"]) == 0, capsys.readouterr().err
    assert run(["verify", "run"]) == 0
    assert run(["predict", "run", "photos"]) == 0
    told = capsys.readouterr()
    card = Path("run", "MODEL_CARD.md").read_text("utf-8")
    for text in (told.out, told.err, card):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "Traceback" not in text
    assert run(["predict", "run", "photos", "--json"]) == 0
    labels = [json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()]
    report = json.loads(Path("run", "report.json").read_text("utf-8"))
    assert len(labels) == 40
    assert set(labels) <= set(report["data"]["classes"])
    assert tree(tmp_path / "photos", ()) == before
