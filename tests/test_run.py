from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autotl import records
from autotl.errors import DataError, DiskError, InternalError, RunFolderError, WorkerError
from autotl.files import file_ref
from autotl.records import FileRef, Recipe, Trial, TrialResult
from autotl.run import journal as run_journal
from autotl.run import open_run, opening, reopen

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, kw_only=True)
class Note:
    text: str
    values: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OtherNote:
    text: str
    must_be_there: int


RECIPE = Recipe(
    backbone="embedded",
    strategy="partial-freeze",
    input_size=64,
    pretrained=True,
    boundary=2,
    last=6,
    taps=(6,),
)


def trial(number: int, *, failed: bool = False) -> Trial:
    ref = FileRef(path=f"trials/{number}/weights.npz", sha256="0" * 64, size=1)
    result = TrialResult(
        metrics={"accuracy": 0.75, "log-loss": float("inf")},
        epochs=3,
        seconds=1.5,
        weights=ref,
        predictions=ref,
        stopped="epochs",
        history=({"loss": 0.1 + 0.2}, {"loss": 1e-300}),
    )
    return Trial(
        number=number,
        origin="proposal",
        recipe=RECIPE,
        hyperparameters={"rate": 0.1, "augment": "flip", "epochs": 3},
        status="failed" if failed else "finished",
        seconds=1.5,
        result=None if failed else result,
        failure="out of memory" if failed else None,
    )


class Listening:
    def __init__(self):
        self.steps: list[tuple[str, object]] = []
        self.trials: list[int] = []

    def step_finished(self, step, record):
        self.steps.append((step, record))

    def trial_finished(self, trial):
        self.trials.append(trial.number)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def make(out: Path, **request):
    return open_run(out, request, name="flowers")


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]


def never():
    raise AssertionError("this step is in the journal")


# ---- opening ----


def test_a_new_run_writes_what_was_asked_for_once(out):
    with make(out, data="flowers", seed=3) as run:
        assert run.folder == out.absolute()
        described = json.loads((out / "run.json").read_text())
        before = (out / "run.json").stat().st_mtime_ns
        run.once("load", Note, lambda: Note(text="x"))
    assert described["request"] == {"data": "flowers", "seed": 3}
    assert described["schema"] == "autotl-run/1"
    assert described["versions"]["python"].count(".") == 2
    assert "msgspec" not in described["versions"]
    with reopen(out) as again:
        assert (again.name, again.request) == ("flowers", {"data": "flowers", "seed": 3})
        assert again.versions == described["versions"]
    assert (out / "run.json").stat().st_mtime_ns == before


def test_without_a_folder_runs_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = []
    for name in ("flowers", "flowers", "../odd name/", "///"):
        with open_run(None, {}, name=name) as run:
            names.append(run.folder.relative_to(tmp_path / "autotl-runs").as_posix())
    assert names == ["flowers-1", "flowers-2", "odd-name-1", "run-1"]


def test_an_empty_folder_is_taken(out):
    out.mkdir()
    make(out).close()
    assert (out / "run.json").is_file()


def test_a_folder_that_holds_another_run_is_refused_with_a_way_on(out):
    make(out).close()
    with pytest.raises(RunFolderError, match="holds another run") as caught:
        make(out)
    assert f"autotl resume {out}" in caught.value.hint


def test_a_folder_with_something_else_is_refused_and_left_alone(out):
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    with pytest.raises(RunFolderError, match="not empty"):
        make(out)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_a_file_is_refused(out):
    out.write_text("precious")
    with pytest.raises(RunFolderError, match="is a file"):
        make(out)
    assert out.read_text() == "precious"


def test_what_a_kill_before_run_json_left_is_no_obstacle(out):
    out.mkdir()
    (out / ".lock").touch()
    (out / ".writing-0123456789ab.json").write_text('{"half')
    make(out).close()
    assert (out / "run.json").is_file()


@pytest.mark.parametrize(
    ("number", "expected", "text"),
    [
        (errno.EROFS, RunFolderError, "cannot be written"),
        (errno.EACCES, RunFolderError, "cannot be written"),
        (errno.ENOSPC, DiskError, "full"),
        (errno.EDQUOT, DiskError, "full"),
        (errno.EIO, RunFolderError, "cannot be used"),
    ],
)
def test_what_the_system_refuses_is_said(out, monkeypatch, number, expected, text):
    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(opening, "write_atomically", refuse)
    with pytest.raises(expected, match=text) as caught:
        make(out)
    assert type(caught.value) is expected
    assert caught.value.hint or number == errno.EIO
    monkeypatch.undo()
    make(out).close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunFolderError, match="cannot be written"):
        make(tmp_path / "out")
    tmp_path.chmod(0o700)


def test_a_full_disk_is_noticed_before_anything_is_written(out, monkeypatch):
    usage = opening.shutil.disk_usage(out.parent)
    monkeypatch.setattr(opening.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DiskError, match="MB are free"):
        make(out)
    assert list(out.iterdir()) == []


# ---- reopening ----


def test_a_folder_without_a_run_is_refused(out):
    with pytest.raises(RunFolderError, match="does not exist"):
        reopen(out)
    out.mkdir()
    with pytest.raises(RunFolderError, match=r"run\.json is missing"):
        reopen(out)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "cannot be read"),
        ('{"schema": "autotl-run/1"', "cannot be read"),
        ("3", "cannot be read"),
        ('{"schema": "autotl-run/1"}', "incomplete: name, plugins, request, versions"),
    ],
)
def test_a_damaged_run_json_is_refused(out, content, text):
    make(out).close()
    (out / "run.json").write_text(content)
    with pytest.raises(RunFolderError, match=text):
        reopen(out)


def test_another_schema_is_refused_with_both_names(out):
    make(out).close()
    text = (out / "run.json").read_text().replace("autotl-run/1", "autotl-run/9")
    (out / "run.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"autotl-run/9.*autotl-run/1"):
        reopen(out)


def test_a_missing_journal_is_an_empty_one(out):
    make(out).close()
    (out / "journal.jsonl").unlink()
    with reopen(out) as run:
        assert run.recorded("load", Note) is None


# ---- steps ----


def test_a_step_is_computed_once(out):
    listening = Listening()
    with make(out) as run:
        run.observers.append(listening)
        note = run.once("load", Note, lambda: Note(text="ä\n\u2028", values=(0.1, 1e-300)))
        assert run.once("load", Note, never) == note
        assert run.recorded("load", Note) == note
        assert run.recorded("split", Note) is None
    with reopen(out) as run:
        run.observers.append(listening)
        assert run.once("load", Note, never) == note
    assert listening.steps == [("load", note)]


def test_values_that_are_no_json_survive(out):
    values = (float("inf"), float("-inf"), float("nan"))
    with make(out) as run:
        run.once("load", Note, lambda: Note(text="", values=values))
    with reopen(out) as run:
        found = run.recorded("load", Note)
    assert repr(found.values) == repr(values)


def test_verify_sees_records_from_the_journal_only(out):
    def refuse(note):
        raise RunFolderError(f"{note.text} changed")

    with make(out) as run:
        run.once("load", Note, lambda: Note(text="x"), verify=refuse)
        with pytest.raises(RunFolderError, match="x changed"):
            run.once("load", Note, never, verify=refuse)


def test_a_record_that_does_not_fit_its_class_is_a_bug(out):
    with make(out) as run, pytest.raises(InternalError, match="does not fit"):
        run.once("load", Note, lambda: Note(text=3))


def test_a_record_of_another_version_is_refused(out):
    with make(out) as run:
        run.once("load", Note, lambda: Note(text="x"))
        with pytest.raises(RunFolderError, match="another version"):
            run.recorded("load", OtherNote)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x"), RunFolderError("y")])
def test_a_step_that_raises_is_computed_again(out, error):
    def fail():
        raise error

    with make(out) as run:
        with pytest.raises(type(error)):
            run.once("load", Note, fail)
        assert run.once("load", Note, lambda: Note(text="x")) == Note(text="x")
    assert [line["kind"] for line in lines(out)] == [
        "sitting",
        "step-started",
        "step-stopped",
        "step-started",
        "step",
    ]


def test_a_full_disk_during_a_step_is_said(out):
    def fill():
        raise OSError(errno.ENOSPC, "No space left on device")

    with make(out) as run, pytest.raises(DiskError, match="full") as caught:
        run.once("load", Note, fill)
    assert "Free" in caught.value.hint


# ---- seconds ----


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def sleep(self, seconds):
            self.now += seconds

    one = Clock()
    monkeypatch.setattr(run_journal.time, "monotonic", lambda: one.now)
    return one


def taking(clock, seconds, error=None):
    def compute():
        clock.sleep(seconds)
        if error is not None:
            raise error
        return Note(text="x")

    return compute


def test_seconds_are_of_all_sittings_without_the_pauses(out, clock):
    with make(out) as run:
        run.once("load", Note, taking(clock, 3))
        clock.sleep(0.5)
        with pytest.raises(KeyboardInterrupt):
            run.once("search", Note, taking(clock, 7, KeyboardInterrupt()))
        assert run.seconds_spent() == pytest.approx(10.5)
    clock.sleep(1000)
    with reopen(out) as run:
        assert run.seconds_spent() == pytest.approx(10.5)
        assert run.seconds() == pytest.approx({"load": 3, "search": 7})
        run.once("search", Note, taking(clock, 2))
        assert run.seconds() == pytest.approx({"load": 3, "search": 9})
        assert run.seconds_spent() == pytest.approx(12.5)
    with reopen(out, read_only=True) as run:
        assert run.seconds_spent() == pytest.approx(12.5)
        assert run.seconds() == pytest.approx({"load": 3, "search": 9})


def test_a_killed_step_counts_up_to_its_last_line(out, clock):
    run = make(out)
    run.once("load", Note, taking(clock, 3))

    def search():
        run.ledger().started(0, RECIPE, {}, 0)
        clock.sleep(4)
        run.ledger().finished(trial(0))
        clock.sleep(5)
        killed_now(run)

    with pytest.raises(SystemExit):
        run.once("search", Note, search)
    with reopen(out) as again:
        assert again.seconds_spent() == pytest.approx(7)
        assert again.seconds() == pytest.approx({"load": 3, "search": 4})
        again.once("search", Note, taking(clock, 1))
        assert again.seconds() == pytest.approx({"load": 3, "search": 5})
        assert again.seconds_spent() == pytest.approx(8)


def killed_now(run):
    """Leave the run as a kill would: nothing more can be written."""
    run.close()
    raise SystemExit


# ---- trials ----


def test_the_date_may_jump(out, clock, monkeypatch):
    import time

    days = iter([0.0, 4e9, 1e6, 2e9, 5.0, 3e9, 1e8])
    gmtime = time.gmtime
    monkeypatch.setattr(run_journal.time, "gmtime", lambda: gmtime(next(days)))
    with make(out) as run:
        run.once("load", Note, taking(clock, 3))
        run.ledger().started(0, RECIPE, {}, 0)
    with reopen(out) as run:
        assert run.seconds() == pytest.approx({"load": 3})
        assert run.seconds_spent() == pytest.approx(3)
        assert run.ledger().starts(0) == 1


def test_starts_count_from_the_epoch_that_was_reached(out):
    with make(out) as run:
        ledger = run.ledger()
        ledger.started(0, RECIPE, {}, 0)
        ledger.started(0, RECIPE, {}, 4)
        assert [ledger.starts(0, epoch) for epoch in (0, 4, 7)] == [1, 1, 0]
        assert ledger.starts(0) == 2


def test_the_ledger_replays_what_ended(out):
    listening = Listening()
    with make(out) as run:
        run.observers.append(listening)
        ledger: records.Ledger = run.ledger()
        assert (ledger.starts(0), ledger.replay(0)) == (0, None)
        ledger.started(0, RECIPE, {"rate": 0.1}, 0)
        assert ledger.starts(0) == 1
        ledger.finished(trial(0))
        assert (ledger.starts(0), ledger.replay(0)) == (0, trial(0))
        ledger.started(1, RECIPE, {}, 0)
    with reopen(out) as run:
        run.observers.append(listening)
        ledger = run.ledger()
        assert ledger.replay(0) == trial(0)
        assert (ledger.starts(1), ledger.replay(1)) == (1, None)
        ledger.started(1, RECIPE, {}, 0)
        assert ledger.starts(1) == 2
        ledger.finished(trial(1, failed=True))
        assert (ledger.starts(1), ledger.replay(1)) == (0, trial(1, failed=True))
        assert run.trials() == (trial(0), trial(1, failed=True))
    assert listening.trials == [0, 1]
    started = [line for line in lines(out) if line["kind"] == "trial-started"]
    assert records.from_json(Recipe, started[0]["recipe"]) == RECIPE
    assert started[0]["hyperparameters"] == {"rate": 0.1}


def test_a_trial_that_ends_twice_is_a_bug(out):
    with make(out) as run:
        run.ledger().finished(trial(0))
        with pytest.raises(InternalError, match="already"):
            run.ledger().finished(trial(0))


# ---- damage ----


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "written"
    with make(out) as run:
        run.once("load", Note, lambda: Note(text="\r\n ü", values=(1.5,)))
        run.ledger().started(0, RECIPE, {}, 0)
        run.once("split", Note, lambda: Note(text="last"))
    return out


def test_a_journal_cut_at_any_byte_goes_on(written, tmp_path):
    journal = written / "journal.jsonl"
    whole = journal.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    try:
        near_ends = {end + step for end in (0, *ends) for step in (-2, -1, 0, 1, 2)}
        cuts = near_ends | set(range(ends[-2], len(whole))) | set(range(0, len(whole), 11))
        for cut in sorted(cuts & set(range(len(whole) + 1))):
            journal.write_bytes(whole[:cut])
            kept = max((end for end in ends if end <= cut), default=0)
            with reopen(written) as run:
                assert journal.read_bytes()[:kept] == whole[:kept]
                assert len(lines(written)) == (ends.index(kept) + 2 if kept else 1)
                assert (run.recorded("split", Note) is not None) == (cut == len(whole))
    finally:
        journal.write_bytes(whole)


def test_reading_only_passes_over_a_torn_line_and_changes_nothing(written):
    journal = written / "journal.jsonl"
    whole = journal.read_bytes()
    torn = whole[:-10]
    try:
        journal.write_bytes(torn)
        before = sorted(path.name for path in written.iterdir())
        with reopen(written, read_only=True) as run:
            assert run.recorded("load", Note) is not None
            assert run.recorded("split", Note) is None
            with pytest.raises(InternalError, match="read only"):
                run.once("split", Note, lambda: Note(text="x"))
        assert journal.read_bytes() == torn
        assert sorted(path.name for path in written.iterdir()) == before
    finally:
        journal.write_bytes(whole)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_journal_changed_before_its_last_line_is_refused(written, data):
    journal = written / "journal.jsonl"
    whole = journal.read_bytes()
    last = whole[:-1].rindex(b"\n") + 1
    where = data.draw(st.integers(0, last - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[where]))
    changed = whole[:where] + bytes([byte]) + whole[where + 1 :]
    try:
        journal.write_bytes(changed)
        with pytest.raises(RunFolderError, match="damaged at line"):
            reopen(written)
        assert journal.read_bytes() == changed
    finally:
        journal.write_bytes(whole)


@pytest.mark.parametrize(
    "tail", [b"\x00" * 512, b'{"kind": ' + bytes(512) + b"}\n", b'{"kind": "step"}']
)
def test_a_last_line_that_never_reached_the_disk_is_cut(written, tail):
    journal = written / "journal.jsonl"
    whole = journal.read_bytes()
    try:
        journal.write_bytes(whole + tail)
        with reopen(written):
            assert journal.read_bytes().startswith(whole)
            assert lines(written)[-1]["kind"] == "sitting"
    finally:
        journal.write_bytes(whole)


@pytest.mark.parametrize("tail", [b"{}\n", b"null\n", b'{"kind": "step"}\n', b"\n", b"x\n{}"])
def test_a_whole_line_that_the_journal_did_not_write_is_refused(written, tail):
    journal = written / "journal.jsonl"
    whole = journal.read_bytes()
    try:
        journal.write_bytes(whole + tail)
        with pytest.raises(RunFolderError, match="damaged at line"):
            reopen(written)
        assert journal.read_bytes() == whole + tail
    finally:
        journal.write_bytes(whole)


def test_a_line_that_did_not_fit_on_the_disk_leaves_no_trace(out, monkeypatch):
    real = os.write
    left = [20]

    def full(descriptor, content):
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(content)[: left.pop()])

    with make(out) as run:
        before = (out / "journal.jsonl").read_bytes()
        monkeypatch.setattr(run_journal.os, "write", full)
        with pytest.raises(DiskError, match="full"):
            run.ledger().started(0, RECIPE, {}, 0)
        monkeypatch.undo()
        assert (out / "journal.jsonl").read_bytes() == before
        assert run.ledger().starts(0) == 0
        run.ledger().started(0, RECIPE, {}, 0)
    with reopen(out) as run:
        assert run.ledger().starts(0) == 1


# ---- two processes ----

HOLDER = """
import sys, time
from pathlib import Path
from autotl.run import open_run
run = open_run(Path(sys.argv[1]), {}, name="held")
print("held", flush=True)
time.sleep(60)
"""


def test_one_process_a_run_and_a_kill_lets_go(out):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(out)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunFolderError, match="Another process"):
            reopen(out)
        with pytest.raises(RunFolderError, match="holds another run"):
            make(out)
        reopen(out, read_only=True).close()
        with pytest.raises(RunFolderError, match="Another process"):
            reopen(out, read_only=True, locked=True)
        holder.kill()
    start = time.monotonic()
    with reopen(out) as run:
        assert run.name == "held"
    assert time.monotonic() - start < 5


def test_the_lock_holds_within_one_process_too(out):
    with make(out), pytest.raises(RunFolderError, match="Another process"):
        reopen(out)
    run = reopen(out)
    run.close()
    run.close()
    reopen(out).close()


# ---- files ----


def test_files_are_named_by_their_content(out):
    with make(out) as run:
        path = run.folder / "trials" / "0" / "weights.npz"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"abc")
        ref = file_ref(path, run.folder)
        assert (ref.path, ref.size) == ("trials/0/weights.npz", 3)
        assert ref.sha256.startswith("ba7816bf")
        assert run.check(ref) == path.resolve()
        path.write_bytes(b"abd")
        with pytest.raises(RunFolderError, match="content differs"):
            run.check(ref)
        path.unlink()
        with pytest.raises(RunFolderError, match="missing"):
            run.check(ref)


def test_files_outside_the_folder_are_refused(out, tmp_path):
    (tmp_path / "secret").write_text("x")
    with make(out) as run, pytest.raises(RunFolderError, match="outside"):
        run.check(FileRef(path="../secret", sha256="0" * 64, size=1))


# ---- a budget given later ----


def test_a_budget_given_later_is_kept_in_the_journal(out):
    first, later = (records.Budget(seconds=s, trials=None) for s in (90.0, 600.0))
    with make(out, data="flowers", budget=records.to_json(first)) as run:
        before = (out / "run.json").read_bytes()
    with reopen(out) as run:
        run.set_budget(later)
        assert run.request["budget"] == {"seconds": 600.0, "trials": None}
    assert (out / "run.json").read_bytes() == before
    with reopen(out, read_only=True) as run:
        assert run.request == {"data": "flowers", "budget": {"seconds": 600.0, "trials": None}}
    assert [line["kind"] for line in lines(out)] == ["sitting", "sitting", "budget"]


def test_the_budget_that_a_step_was_done_under_is_known(out):
    first, later = (records.Budget(seconds=s, trials=None) for s in (90.0, 600.0))
    counts = records.SplitRecord(train=1, validation=1, test=1, dropped=0, digest="x")
    with make(out, data="flowers", budget=records.to_json(first)) as run:
        run.once("split", records.SplitRecord, lambda: counts)
        run.set_budget(later)
        run.once("decide", records.SplitRecord, lambda: counts)
    with reopen(out, read_only=True) as run:
        assert [run.budget_of(step) for step in ("split", "decide", "x")] == [first, later, None]


# ---- a run that came to nothing ----


def fails(out: Path, error: BaseException, *steps: str, trials: bool = False) -> None:
    def work() -> None:
        with open_run(out, {}, name="flowers") as run:
            (run.folder / "worker.log").write_text("started")
            for step in steps:
                run.once(step, Note, lambda: Note(text="x"))
            if trials:
                run.ledger().started(0, RECIPE, {}, 0)
            raise error

    with pytest.raises(type(error)):
        work()


def test_a_fresh_run_that_measured_nothing_leaves_nothing(out):
    fails(out, DataError("no images"), "load", "split", "backbone")
    assert not out.exists()
    out.mkdir()
    fails(out, DataError("no images"))
    assert list(out.iterdir()) == []
    make(out).close()


@pytest.mark.parametrize(
    ("error", "steps", "trials"),
    [
        (DataError("x"), ("load", "measure"), False),
        (DataError("x"), (), True),
        (KeyboardInterrupt(), ("load",), False),
        (InternalError("a bug"), ("load",), False),
        (WorkerError("it died"), ("load",), False),
        (ValueError("a bug"), ("load",), False),
    ],
)
def test_a_run_that_is_worth_something_is_kept(out, error, steps, trials):
    fails(out, error, *steps, trials=trials)
    assert {path.name for path in out.iterdir()} >= {"run.json", "journal.jsonl", "worker.log"}
    reopen(out).close()


def test_what_others_put_into_the_folder_stays(out):
    with make(out) as run:
        (run.folder / "thesis.txt").write_text("precious")
        assert run.abandon()
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_a_reopened_run_is_never_removed(out):
    make(out).close()
    with pytest.raises(DataError), reopen(out):
        raise DataError("x")
    assert (out / "run.json").is_file()


# ---- interrupted trials ----


@pytest.mark.parametrize(
    ("error", "starts"),
    [
        (KeyboardInterrupt(), 0),
        (DiskError("full"), 0),
        (OSError(errno.ENOSPC, "No space left on device"), 0),
        (ValueError(), 1),
    ],
)
def test_a_trial_that_ended_through_no_fault_of_its_own_was_not_started(out, error, starts):
    def search():
        run.ledger().started(0, RECIPE, {}, 0)
        run.ledger().finished(trial(0))
        run.ledger().started(1, RECIPE, {}, 0)
        raise error

    with make(out) as run, pytest.raises((type(error), DiskError)):
        run.once("search", Note, search)
    with reopen(out) as run:
        assert (run.ledger().starts(0), run.ledger().starts(1)) == (0, starts)
        run.ledger().started(1, RECIPE, {}, 0)
        assert run.ledger().starts(1) == starts + 1


def test_only_this_sittings_start_is_taken_back(out):
    def killed():
        run.ledger().started(0, RECIPE, {}, 0)
        killed_now(run)

    def interrupted():
        run.ledger().started(0, RECIPE, {}, 0)
        raise KeyboardInterrupt

    run = make(out)
    with pytest.raises(SystemExit):
        run.once("search", Note, killed)
    for _ in range(2):
        with reopen(out) as run, pytest.raises(KeyboardInterrupt):
            run.once("search", Note, interrupted)
    with reopen(out) as run:
        assert run.ledger().starts(0) == 1


# ---- reopening after a kill, or with another version ----


def test_what_a_kill_left_half_written_is_swept(out):
    with make(out) as run:
        run.once("load", Note, lambda: Note(text="x"))
    left = [".writing-0123456789ab.onnx", ".gate-abc/model.onnx", ".probe-x/weights.npz"]
    left += ["trials/000/.writing-0123456789ab.npz", "export/.writing-ab/model.xml"]
    keep = ["thesis.txt", ".hidden", "writing-1", "trials/000/weights.npz"]
    for name in (*left, *keep):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("x")
    reopen(out, read_only=True).close()
    assert all((out / name).exists() for name in left)
    reopen(out).close()
    assert not any((out / name).parent.exists() for name in left[1:3])
    assert not any((out / name).exists() for name in left)
    assert all((out / name).exists() for name in keep)


def test_a_run_can_be_locked_and_its_journal_left_as_it_is(out):
    with make(out) as run:
        run.once("load", Note, lambda: Note(text="x"))
    before = (out / "journal.jsonl").read_bytes()
    with reopen(out, read_only=True, locked=True) as run:
        assert run.recorded("load", Note) == Note(text="x")
        with pytest.raises(RunFolderError, match="Another process"):
            reopen(out)
        with pytest.raises(InternalError, match="read only"):
            run.once("search", Note, lambda: Note(text="y"))
    assert (out / "journal.jsonl").read_bytes() == before
    reopen(out).close()


def test_a_request_of_another_version_is_refused(out):
    refused = pytest.raises(RunFolderError, match=r"another version.*request")
    with make(out, text="x", values=["many"]) as run, refused:
        run.asked(Note)
    with open_run(out.parent / "two", {"text": "x"}, name="two") as run:
        assert run.asked(Note) == Note(text="x")
