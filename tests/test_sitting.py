"""One process on a run: its budget, the files it checks, what it says of other versions."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import autotl
from autotl import pipeline, preparation, sitting
from autotl.activations import store
from autotl.errors import (
    AutotlError,
    DataError,
    DiskError,
    PluginError,
    ResourceError,
    RunFolderError,
    UsageError,
)
from autotl.files import file_ref
from autotl.plugins import Plugins
from autotl.records import (
    Budget,
    Evaluation,
    Export,
    FileRef,
    Interval,
    Parity,
    Recipe,
    ReportRecord,
    RunEstimate,
    SearchRecord,
    SplitRecord,
    Trial,
    to_json,
)
from autotl.request import Request, request
from autotl.run import Run, open_run, reopen
from autotl.run import journal as run_journal
from autotl.sitting import Silent, Sitting, run_records, same_files
from tests.test_decide import choose, measured

FILES = ("model.keras", "test.npy", "model.onnx", "report.json", "MODEL_CARD.md")


class NoPlugins:
    def versions(self) -> dict[str, str]:
        return {}

    def step_finished(self, step: str, record: Any) -> None: ...

    def trial_finished(self, trial: Any) -> None: ...


class Heard(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    one = SimpleNamespace(now=100.0)
    monkeypatch.setattr(run_journal.time, "monotonic", lambda: one.now)
    return one


def _asked(**options: Any) -> Request:
    return request(data="digits", **options)


def _sitting(run: Run, asked: Request, listener: Silent | None = None) -> Sitting:
    return Sitting(run, asked, NoPlugins(), listener or Silent())  # type: ignore[arg-type]


def test_a_run_that_has_its_measurements_goes_on_without_budget(
    tmp_path: Path, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sitting, "Measurements", SplitRecord)
    counts = SplitRecord(train=1, validation=1, test=1, dropped=0, digest="x")
    asked = _asked(budget="10s")
    with open_run(tmp_path / "run", to_json(asked), name="digits") as run:
        clock.now += 11
        with pytest.raises(ResourceError, match="spent"):
            _sitting(run, asked).require_seconds("the data was split")
        run.once("measure", SplitRecord, lambda: counts)
    with reopen(tmp_path / "run") as run:
        at = _sitting(run, asked)
        at.require_seconds("the data was split")
        left = at.seconds_left()
        assert left is not None
        assert left < 0


def test_files_that_changed_are_named(tmp_path: Path) -> None:
    with open_run(tmp_path / "run", {}, name="digits") as run:
        refs: dict[str, FileRef] = {}
        for name in ("report", "card"):
            (run.folder / name).write_text(name)
            refs[name] = file_ref(run.folder / name, run.folder)
        record = ReportRecord(**refs)
        verify = same_files(run, "report", "card")
        verify(record)
        (run.folder / "card").write_text("else")
        with pytest.raises(RunFolderError, match=r"run/card"):
            verify(record)


def test_other_versions_are_noted(tmp_path: Path) -> None:
    heard = Heard()
    with open_run(tmp_path / "run", {}, name="digits", plugins={"odd": "1"}) as run:
        run.versions["keras"] = "1.0"
        with _sitting(run, _asked(), heard):
            pass
    assert len(heard.notes) == 2
    assert "keras 1.0, now 3." in heard.notes[1]
    assert "odd 1, now absent" in heard.notes[1]
    assert "python" not in heard.notes[1]


def test_seconds_outside_of_steps_are_counted(tmp_path: Path, clock: SimpleNamespace) -> None:
    counts = SplitRecord(train=1, validation=1, test=1, dropped=0, digest="x")

    def slow() -> SplitRecord:
        clock.now += 2
        return counts

    with open_run(tmp_path / "run", {}, name="digits") as run:
        run.once("split", SplitRecord, slow)
        clock.now += 5
        nothing: Any = None
        found = run_records(_sitting(run, _asked()), *[nothing] * 8)
    assert found.seconds == pytest.approx({"split": 2, "other": 5})


def test_a_mistyped_name_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for out in (None, "x"):
        with pytest.raises(DataError):
            pipeline.fit("phtos", out=out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["fit", "inspect"])
def test_loaders_get_the_name_that_a_resumed_run_gives_them(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[Any] = []

    def prepared(at: Sitting, data: Any, cache: Path, worker: Any) -> None:
        got.append(data)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "prepared", prepared)
    monkeypatch.setattr(pipeline.Worker, "warm", lambda self: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    options = {"out": tmp_path / "run"} if command == "fit" else {}
    with pytest.raises(KeyboardInterrupt):
        getattr(pipeline, command)(Path("photos"), **options)
    if command == "fit":
        with pytest.raises(KeyboardInterrupt):
            pipeline.resume(tmp_path / "run")
    assert set(got) == {str(tmp_path / "photos")}


@pytest.mark.parametrize("command", ["fit", "inspect"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backbone": "embeded"}, "Did you mean 'embedded'"),
        ({"backbone": "embedded", "weights": "none.npz"}, "no weights file"),
        ({"weights": "none.npz"}, "--backbone NAME"),
        ({"input_size": 5}, "embedded takes inputs of 32 to "),
        ({"input_size": 5, "strategy": "scratch"}, "embedded takes inputs of 32 to "),
    ],
)
def test_a_backbone_that_cannot_be_had_is_said_before_the_data_is_read(
    command: str,
    options: dict[str, Any],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("the data was read")

    monkeypatch.setattr(preparation.loading, "load", read)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AutotlError) as caught:
        getattr(pipeline, command)("digits", **options)
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_partial_freeze_of_what_cannot_be_cut_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("the data was read")

    def found(**_: Any) -> Plugins:
        (one,) = (each for each in there.backbones if each.backbone.name == "embedded")
        whole = replace(one.backbone, no_partial_freeze="its cuts carry two tensors")
        return replace(there, backbones=(replace(one, backbone=whole),))

    there = pipeline.discover()
    monkeypatch.setattr(pipeline, "discover", found)
    monkeypatch.setattr(preparation.loading, "load", read)
    with pytest.raises(UsageError, match="carry two tensors"):
        pipeline.fit("digits", out=tmp_path / "x", backbone="embedded", strategy="partial-freeze")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_has_its_backbone_does_not_choose_again() -> None:
    assert pipeline._plugins(_asked(input_size=5), settled=True).backbones


def test_a_resumed_run_without_its_weights_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "prepared", stop)
    monkeypatch.setattr(pipeline.Worker, "warm", lambda self: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.npz").write_bytes(b"x")
    with pytest.raises(KeyboardInterrupt):
        pipeline.fit("digits", backbone="embedded", weights="mine.npz", out="run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(KeyboardInterrupt):
        pipeline.resume(tmp_path / "run")
    (tmp_path / "mine.npz").unlink()
    with pytest.raises(PluginError, match=r"mine\.npz"):
        pipeline.resume(tmp_path / "run")


@pytest.mark.parametrize("command", ["fit", "inspect"])
def test_what_was_held_in_the_store_is_let_go(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepared(at: Sitting, data: Any, cache: Path, worker: Any) -> None:
        with store.arrays(cache, ["0" * 40], [(4,)], [np.uint8]):
            pass
        held.append(len(store._held))
        raise KeyboardInterrupt

    held: list[int] = []
    before = dict(store._held)
    monkeypatch.setenv("AUTOTL_CACHE", str(tmp_path / "store"))
    monkeypatch.setattr(pipeline, "prepared", prepared)
    monkeypatch.setattr(pipeline.Worker, "warm", lambda self: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        getattr(pipeline, command)("digits")
    assert held == [len(before) + 1]
    assert store._held == before


def _finished(folder: Path, asked: Request) -> None:
    """A run folder as the last step leaves it; every figure is 1."""
    one = Interval(value=1, low=1, high=1)
    same = {"top1_agreement": 1, "tolerance": 1, "optimised_difference": 1}
    parity = Parity(examples=1, explained=1, median_difference=1, largest_difference=1, **same)
    with open_run(folder, to_json(asked), name="digits") as run:
        refs: dict[str, FileRef] = {}
        for name in FILES:
            (run.folder / name).write_text("{}")
            refs[name] = file_ref(run.folder / name, run.folder)
        figures = Evaluation(
            **dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "majority"), one),
            **dict.fromkeys(("log_loss", "calibration_error", "temperature"), 1.0),
            calibration_error_before=1,
            examples=1,
            per_class=(),
            confusion=(),
            linear_probe=None,
            model=refs["model.keras"],
            predictions=refs["test.npy"],
        )
        exported = Export(model=refs["model.onnx"], opset=18, parity=parity, checks=())
        written = ReportRecord(report=refs["report.json"], card=refs["MODEL_CARD.md"])
        run.once("evaluate", Evaluation, lambda: figures)
        run.once("export", Export, lambda: exported)
        run.once("report", ReportRecord, lambda: written)


def test_a_finished_run_is_returned_without_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: Any, **__: Any) -> None:
        raise AssertionError("there is nothing left to do")

    monkeypatch.setattr(pipeline, "discover", work)
    monkeypatch.setattr(pipeline, "_worker", work)
    _finished(tmp_path / "run", request(data=None))
    assert pipeline.resume(tmp_path / "run") == autotl.load(tmp_path / "run")


@pytest.mark.parametrize("name", FILES)
def test_a_finished_run_whose_files_changed_is_refused(name: str, tmp_path: Path) -> None:
    _finished(tmp_path / "run", request(data="digits"))
    (tmp_path / "run" / name).write_text("else")
    with pytest.raises(RunFolderError, match=name):
        pipeline.resume(tmp_path / "run")


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Budget]]:
    """A run that was interrupted early, and the budgets that its next sittings go by."""

    def prepared(at: Sitting, data: Any, cache: Path, worker: Any) -> None:
        seen.append(at.asked.budget)
        raise KeyboardInterrupt

    seen: list[Budget] = []
    monkeypatch.setattr(pipeline, "prepared", prepared)
    monkeypatch.setattr(pipeline.Worker, "warm", lambda self: None)
    return tmp_path / "run", seen


def test_a_resumed_run_keeps_the_budget_that_it_was_given(
    started: tuple[Path, list[Budget]],
) -> None:
    folder, seen = started
    with pytest.raises(KeyboardInterrupt):
        pipeline.fit("digits", out=folder, budget="90s")
    for options in ({"budget": "10m"}, {}, {"trials": 4}, {"budget": 1200, "trials": 3}, {}):
        with pytest.raises(KeyboardInterrupt):
            pipeline.resume(folder, **options)  # type: ignore[arg-type]
    limits = [(budget.seconds, budget.trials) for budget in seen]
    assert limits == [(90, None), (600, None), (600, None), (600, 4), (1200, 3), (1200, 3)]
    with reopen(folder) as run:
        at = _sitting(run, run.asked(Request))
        left = at.seconds_left()
        assert left is not None
        assert left > 1100


@pytest.mark.parametrize(
    ("begun", "options", "said"),
    [
        ({}, {"trials": 4}, r"The time limit of 10\.0 min stays \(\d+ s left\); --budget changes"),
        ({"budget": 1e-9}, {"trials": 4}, r"The time limit of 0\.0 min stays \(0 s left\)"),
        ({"trials": 2}, {"trials": 4}, None),
        ({}, {"trials": 4, "budget": "1h"}, None),
        ({}, {}, None),
    ],
)
def test_a_time_limit_that_stays_is_said(
    begun: dict[str, Any],
    options: dict[str, Any],
    said: str | None,
    started: tuple[Path, list[Budget]],
) -> None:
    folder, _ = started
    with pytest.raises(KeyboardInterrupt):
        pipeline.fit("digits", out=folder, **begun)
    heard = Heard()
    with pytest.raises(KeyboardInterrupt):
        pipeline.resume(folder, listener=heard, **options)
    told = [note for note in heard.notes if "time limit" in note]
    assert len(told) == (said is not None)
    assert said is None or re.match(said, told[0])


def test_a_budget_that_cannot_be_meant_is_not_kept(started: tuple[Path, list[Budget]]) -> None:
    folder, _ = started
    with pytest.raises(KeyboardInterrupt):
        pipeline.fit("digits", out=folder, trials=3)
    wrong: list[dict[str, Any]] = [{"budget": "soon"}, {"trials": 0}, {"budget": 9, "trials": -1}]
    for options in wrong:
        with pytest.raises(UsageError):
            pipeline.resume(folder, **options)
    with reopen(folder, read_only=True) as run:
        assert run.asked(Request).budget == Budget(seconds=None, trials=3)


STAY = "a new run would choose anew."
BOTH = f"Strategy and input size were chosen for a budget of 0.5 min and stay; {STAY}"


@pytest.mark.parametrize(
    ("steps", "wishes", "later", "said"),
    [
        (("backbone", "decide"), {}, 1800.0, [BOTH]),
        (
            ("backbone",),
            {},
            1800.0,
            [f"The input size was chosen for a budget of 0.5 min and stays; {STAY}"],
        ),
        (
            ("backbone", "decide"),
            {"input_size": 32},
            1800.0,
            [f"The strategy was chosen for a budget of 0.5 min and stays; {STAY}"],
        ),
        (("backbone", "decide"), {"input_size": 32, "strategy": "scratch"}, 1800.0, []),
        (("backbone", "decide"), {}, 30.0, []),
        ((), {}, 1800.0, []),
    ],
)
def test_what_was_chosen_for_another_budget_is_said(
    steps: tuple[str, ...],
    wishes: dict[str, Any],
    later: float,
    said: list[str],
    tmp_path: Path,
) -> None:
    counts = SplitRecord(train=1, validation=1, test=1, dropped=0, digest="x")
    with open_run(tmp_path / "run", to_json(_asked(budget=30, **wishes)), name="digits") as run:
        for step in steps:
            run.once(step, SplitRecord, lambda: counts)
    heard = Heard()
    with reopen(tmp_path / "run") as run:
        sitting.limit(run, later, None)
        decision, nothing = choose(measured()), cast("Any", None)
        with _sitting(run, run.asked(Request), heard) as at:
            found = run_records(at, *[nothing] * 4, decision, *[nothing] * 3)
    assert heard.notes[1:] == said
    assert list(found.decision.reasons) == [*decision.reasons, *said]


def test_what_was_chosen_without_a_clock_is_said(tmp_path: Path) -> None:
    counts = SplitRecord(train=1, validation=1, test=1, dropped=0, digest="x")
    with open_run(tmp_path / "run", to_json(_asked(trials=3)), name="digits") as run:
        run.once("backbone", SplitRecord, lambda: counts)
        sitting.limit(run, "1m", None)
        run.once("decide", SplitRecord, lambda: counts)
        sitting.limit(run, "1h", None)
        assert sitting.chosen_before(run, run.asked(Request)) == (
            f"The strategy was chosen for a budget of 1.0 min and stays; {STAY}",
            f"The input size was chosen without a time limit and stays; {STAY}",
        )


def _trial(number: int, origin: str) -> Trial:
    recipe = Recipe(
        backbone="embedded",
        strategy="scratch",
        input_size=32,
        pretrained=False,
        boundary=0,
        last=4,
        taps=(4,),
    )
    return Trial(
        number=number,
        origin=origin,
        recipe=recipe,
        hyperparameters={},
        status="failed",
        seconds=1.0,
    )


def test_a_budget_that_the_trials_so_far_contradict_is_refused(
    started: tuple[Path, list[Budget]],
) -> None:
    folder, seen = started
    with pytest.raises(KeyboardInterrupt):
        pipeline.fit("digits", out=folder, trials=9)
    with reopen(folder) as run:
        run.ledger().finished(_trial(0, "probe"))
        run.ledger().finished(_trial(1, "default"))
    with pytest.raises(UsageError, match="2 trials have ended"):
        pipeline.resume(folder, trials=1)
    for options in ({"trials": 2}, {"budget": "1h"}):
        with pytest.raises(KeyboardInterrupt):
            pipeline.resume(folder, **options)  # type: ignore[arg-type]
    assert seen[1:] == [Budget(seconds=None, trials=2), Budget(seconds=3600, trials=2)]


def test_no_clock_is_set_once_trials_were_proposed_without_one(
    started: tuple[Path, list[Budget]],
) -> None:
    folder, _ = started
    with pytest.raises(KeyboardInterrupt):
        pipeline.fit("digits", out=folder, trials=9)
    with reopen(folder) as run:
        run.ledger().finished(_trial(2, "proposal"))
    with pytest.raises(UsageError, match="without a time limit") as caught:
        pipeline.resume(folder, budget="1h")
    assert "--trials" in caught.value.hint


def test_the_estimate_is_made_anew_where_the_budget_changed(tmp_path: Path) -> None:
    """And the last one holds, until the search is over."""

    def foretold(suffices: float) -> RunEstimate:
        return RunEstimate(
            trainings=(), finishing=1.0, most=None, budget=None, suffices=suffices, longer=None
        )

    def told(at: Sitting, suffices: float) -> float | None:
        anew = at.outdated("estimate")
        return at.once("estimate", estimate, suffices, anew=anew).suffices

    def estimate(suffices: float) -> RunEstimate:
        return foretold(suffices)

    folder = tmp_path / "run"
    with open_run(folder, to_json(_asked(budget=40)), name="digits") as run:
        at = _sitting(run, run.asked(Request))
        assert not at.outdated("estimate")
        assert told(at, 1.0) == 1.0
        assert at.passed == {"estimate"}
    with reopen(folder) as run:
        assert told(_sitting(run, run.asked(Request)), 2.0) == 1.0
        sitting.limit(run, "10m", None)
        assert told(_sitting(run, run.asked(Request)), 3.0) == 3.0
        assert told(_sitting(run, run.asked(Request)), 4.0) == 3.0
    with reopen(folder) as run:
        assert told(_sitting(run, run.asked(Request)), 5.0) == 3.0
        sitting.limit(run, None, 2)
        at = _sitting(run, run.asked(Request))
        assert at.outdated("estimate")
        probe = _trial(0, "probe")
        search = SearchRecord(
            best=probe,
            probe=probe,
            trials=1,
            failed=0,
            comparable=1,
            metric="accuracy",
            stopped="budget",
            notes=(),
            seconds=1.0,
        )
        run.once("search", SearchRecord, lambda: search)
        assert not at.outdated("estimate")
        assert told(at, 6.0) == 3.0


def test_a_finished_search_takes_no_budget(tmp_path: Path) -> None:
    probe = _trial(0, "probe")
    record = SearchRecord(
        best=probe,
        probe=probe,
        trials=1,
        failed=0,
        comparable=1,
        metric="accuracy",
        stopped="",
    )
    with open_run(tmp_path / "run", to_json(_asked()), name="digits") as run:
        run.once("search", SearchRecord, lambda: record)
    for options in ({"budget": "1h"}, {"trials": 4}):
        with pytest.raises(UsageError, match="search is over"):
            pipeline.resume(tmp_path / "run", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ResourceError("spent", hint="Give a larger --budget."), "--budget 4m"),
        (DiskError("full", hint="Free some."), "Free some. Then: autotl resume "),
    ],
)
def test_an_error_that_a_resumed_run_can_mend_says_how(
    error: ResourceError,
    words: str,
    tmp_path: Path,
    clock: SimpleNamespace,
) -> None:
    def stop(*trials: Trial) -> None:
        with open_run(tmp_path / "run", {}, name="digits") as run:
            for trial in trials:
                run.ledger().finished(trial)
            with _sitting(run, _asked(budget="90s")):
                clock.now += 100
                raise error

    hint = error.hint
    with pytest.raises(ResourceError):
        stop()
    assert error.hint == hint
    with pytest.raises(ResourceError):
        stop(_trial(0, "probe"))
    assert f"autotl resume {tmp_path / 'run'}" in error.hint
    assert words in error.hint


def test_workers_are_recycled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "memory_ceiling", lambda: 30_000_000_000)
    assert pipeline._worker(None)._recycle_above == 10_000_000_000
    monkeypatch.setattr(pipeline, "memory_ceiling", lambda: 3_000_000_000)
    assert pipeline._worker(None)._recycle_above == 2_000_000_000


def test_a_request_of_another_version_is_one_message(tmp_path: Path) -> None:
    open_run(tmp_path / "run", {"data": "digits", "budget": 3}, name="digits").close()
    with pytest.raises(RunFolderError, match="another version"):
        pipeline.resume(tmp_path / "run")
