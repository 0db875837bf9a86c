"""What a resumed run does about weights that are not where they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autotl import preparation
from autotl.errors import PluginError, RunFolderError, UsageError
from autotl.files import sha256
from autotl.records import InputSizes, LocatedBackbone, Ranking


@pytest.fixture
def located(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocatedBackbone:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import tiny_backbone

    path = tmp_path / "old.npz"
    path.write_bytes(b"weights")
    return replace(tiny_backbone.located(path), weights_sha256=sha256(path))


def found_again(
    monkeypatch: pytest.MonkeyPatch, found: LocatedBackbone | PluginError
) -> list[dict[str, Any]]:
    """Where the weights are looked for again, and how that was asked."""
    asked: list[dict[str, Any]] = []

    def locate(plugins: Any, name: str, **options: Any) -> LocatedBackbone:
        asked.append(options)
        if isinstance(found, PluginError):
            raise found
        return found

    monkeypatch.setattr(preparation, "locate_backbone", locate)
    return asked


AT: Any = SimpleNamespace(plugins=None, asked=SimpleNamespace(backbone="tiny"))


def test_weights_that_lie_where_they_were_are_not_looked_for(
    located: LocatedBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = found_again(monkeypatch, PluginError("not asked for"))
    preparation._same_weights(located)
    assert preparation._with_weights(AT, located, {}) is located
    assert asked == []


def test_other_weights_in_their_place_are_refused(located: LocatedBackbone) -> None:
    Path(str(located.weights)).write_bytes(b"others")
    with pytest.raises(RunFolderError, match="are changed since"):
        preparation._same_weights(located)


def test_weights_that_moved_are_found_by_their_content_and_never_downloaded(
    located: LocatedBackbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(str(located.weights)).rename(tmp_path / "new.npz")
    moved = replace(located, weights=str(tmp_path / "new.npz"))
    asked = found_again(monkeypatch, moved)
    preparation._same_weights(located)
    assert preparation._with_weights(AT, located, {"median_side": 9}) == moved
    assert asked == [{"median_side": 9, "download": False}]


@pytest.mark.parametrize(
    ("run", "trials", "crops"),
    [(True, 1, False), (True, 2, True), (True, None, True), (False, None, False)],
)
def test_a_margin_is_wanted_where_views_may_be_cut(
    run: bool, trials: int | None, crops: bool
) -> None:
    asked = SimpleNamespace(budget=SimpleNamespace(trials=trials))
    at: Any = SimpleNamespace(run="run" if run else None, asked=asked)
    assert preparation._crops(at) is crops


@pytest.mark.parametrize("kind", ["others", "none"])
def test_weights_that_are_gone_are_said_to_be(
    kind: str, located: LocatedBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(str(located.weights)).unlink()
    others = replace(located, weights_sha256="0" * 64)
    found_again(monkeypatch, others if kind == "others" else PluginError("none here"))
    with pytest.raises(RunFolderError, match="are gone since"):
        preparation._with_weights(AT, located, {})


def offered(name: str, parameters: int) -> Any:
    backbone = SimpleNamespace(
        name=name, input_sizes=InputSizes(least=32, most=64, default=64), parameters=parameters
    )
    return SimpleNamespace(offered=SimpleNamespace(backbone=backbone))


def chosen_among(
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    *,
    left: float | None = None,
    recorded: Any = None,
    **asked: Any,
) -> tuple[tuple[str, str], list[Any]]:
    """What is chosen where these backbones have weights, and what was handed to the ranking."""
    handed: list[Any] = []

    def rank(candidates: Any, labels: Any, classes: int, store: Any, *_: Any, **__: Any) -> Ranking:
        handed.append((candidates, labels.tolist(), classes, store(candidates[0], [2, 0])))
        return Ranking(chosen="b", reason="why", examples=2, candidates=())

    def once(step: str, function: Any, *arguments: Any, **options: Any) -> Any:
        assert step == "rank"
        return function(*arguments, **options)

    def store_rows(data: Any, rows: list[int], *_: Any) -> Any:
        return SimpleNamespace(path=Path("x.npy"), key="key", rows=tuple(rows[1:]))

    monkeypatch.setattr(preparation, "usable", lambda _: [offered(name, 1) for name in names])
    monkeypatch.setattr(preparation, "located", lambda one, side: (one.offered.backbone.name, side))
    monkeypatch.setattr(preparation, "rank", rank)
    monkeypatch.setattr(preparation, "store_rows", store_rows)
    wishes = {"backbone": "Auto", "weights": None, "strategy": None, "input_size": None, "seed": 1}
    at: Any = SimpleNamespace(
        asked=SimpleNamespace(**wishes | asked),
        plugins=None,
        once=once,
        listener=SimpleNamespace(progress=None),
        seconds_left=lambda: left,
        run=None if recorded is None else SimpleNamespace(recorded=lambda *_: recorded),
    )
    data = SimpleNamespace(labels=[0, 1, 1, 0, 1], classes=["x", "y"])
    loaded: Any = SimpleNamespace(dataset=data, hashes=[])
    rows: Any = SimpleNamespace(train=(4, 2, 0))
    found = preparation._chosen(at, loaded, rows, 40, Path("cache"), None)  # type: ignore[arg-type]
    return found, handed


def test_several_backbones_are_ranked_on_training_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    found, handed = chosen_among(monkeypatch, ["a", "b", "c", "d", "e"])
    assert found == ("b", "why")
    candidates, labels, classes, stored = handed[0]
    assert candidates == [(name, 50) for name in "abcd"]
    assert (labels, classes) == ([1, 1, 0], 2)
    assert stored == (Path("x.npy"), "key", [0])  # training row 2 was set aside


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (["a"], {}),
        ([], {}),
        (["a", "b"], {"backbone": "a"}),
        (["a", "b"], {"strategy": "scratch"}),
    ],
)
def test_where_there_is_no_choice_nothing_is_ranked(
    names: list[str], asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, handed = chosen_among(monkeypatch, names, **asked)
    assert found == (asked.get("backbone", "Auto"), "")
    assert handed == []


def test_nothing_is_ranked_once_the_run_has_its_backbone_or_little_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for more in ({"recorded": "embedded"}, {"left": 100.0}):
        found, handed = chosen_among(monkeypatch, ["a", "b"], **more)
        assert (found, handed) == (("Auto", ""), [])


def test_stages_are_checked_before_anything_is_measured(located: LocatedBackbone) -> None:
    stages = located.backbone.stages
    for frozen, tap in ((stages[-1], None), ("nowhere", None), (None, "nowhere")):
        at: Any = SimpleNamespace(asked=SimpleNamespace(frozen=frozen, tap=tap))
        with pytest.raises(UsageError, match="no stage"):
            preparation._check_stages(at, located)
    fine: Any = SimpleNamespace(asked=SimpleNamespace(frozen=stages[0].upper(), tap=stages[-1]))
    preparation._check_stages(fine, located)


def test_a_given_input_size_is_that_of_every_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    _, handed = chosen_among(monkeypatch, ["a", "b"], input_size=32)
    assert handed[0][0] == [("a", 32), ("b", 32)]


def test_a_backbone_that_does_not_take_the_given_size_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = {"a": InputSizes(least=96, most=96, default=96)}
    sizes |= dict.fromkeys("bc", InputSizes(least=32, most=64, default=64))
    one = offered
    monkeypatch.setitem(globals(), "offered", lambda name, n: sized(one(name, n), sizes[name]))
    _, handed = chosen_among(monkeypatch, ["a", "b", "c"], input_size=64)
    assert handed[0][0] == [("b", 64), ("c", 64)]


def sized(one: Any, sizes: InputSizes) -> Any:
    one.offered.backbone.input_sizes = sizes
    return one
