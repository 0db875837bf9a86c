"""Which backbone and which input size are taken where nobody named them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autotl import settling
from autotl.decide import coefficients, input_size, sizing
from autotl.errors import PluginError
from autotl.measure import beforehand
from autotl.plugins import choose_input_size, resized, smaller
from autotl.records import Budget, InputSizes, LocatedBackbone, Ranked, Ranking
from tests.test_decide import fitted
from tests.test_measure import load_record, located, split_record

# ---- backbone ----


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

    def rank(
        candidates: Any, labels: Any, classes: int, store: Any, *_: Any, **wishes: Any
    ) -> Ranking:
        given = (labels.tolist(), classes, store(candidates[0], [2, 0]), wishes["bundles"])
        handed.append((candidates, *given))
        return Ranking(chosen="b", reason="why", examples=2, candidates=())

    def once(step: str, function: Any, *arguments: Any, **options: Any) -> Any:
        assert step == "rank"
        return function(*arguments, **options)

    def store_rows(data: Any, rows: list[int], *_: Any) -> Any:
        return SimpleNamespace(path=Path("x.npy"), key="key", rows=tuple(rows[1:]))

    monkeypatch.setattr(settling, "usable", lambda _: [offered(name, 1) for name in names])
    monkeypatch.setattr(settling, "located", lambda one, side: (one.offered.backbone.name, side))
    monkeypatch.setattr(settling, "rank", rank)
    monkeypatch.setattr(settling, "store_rows", store_rows)
    wishes = {"backbone": "Auto", "weights": None, "strategy": None, "input_size": None, "seed": 1}
    at: Any = SimpleNamespace(
        asked=SimpleNamespace(**wishes | asked),
        plugins=None,
        once=once,
        listener=SimpleNamespace(progress=None),
        seconds_left=lambda: left,
        run=None
        if recorded is None
        else SimpleNamespace(recorded=lambda step, _: recorded if step == "backbone" else None),
    )
    data = SimpleNamespace(
        labels=[0, 1, 1, 0, 1], classes=["x", "y"], groups=None, ids=tuple("abcde")
    )
    loaded: Any = SimpleNamespace(dataset=data, hashes=list("hijkh"))
    rows: Any = SimpleNamespace(train=(4, 2, 0), validation=(1,))
    known: Any = SimpleNamespace(
        at=at, loaded=loaded, rows=rows, side=40, cache=Path("cache"), worker=None
    )
    name, reason, _ = settling.backbone(known)
    return (name, reason), handed


def test_several_backbones_are_ranked_on_training_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    found, handed = chosen_among(monkeypatch, ["a", "b", "c", "d", "e"])
    assert found == ("b", "why")
    candidates, labels, classes, stored, bundles = handed[0]
    assert candidates == [(name, 50) for name in "abce"], "the smallest has a place"
    assert (labels, classes) == ([1, 1, 0], 2)
    assert stored == (Path("x.npy"), "key", [0])  # training row 2 was set aside
    assert bundles[0] == bundles[2] != bundles[1], "copies are judged together"


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


def test_who_names_a_backbone_is_told_what_auto_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(names: list[str], **asked: Any) -> str:
        monkeypatch.setattr(settling, "present", lambda *_: names)
        wishes = {"backbone": "b", "weights": None, "strategy": None, "input_size": None}
        at: Any = SimpleNamespace(asked=SimpleNamespace(**wishes | asked), plugins=None)
        known: Any = SimpleNamespace(at=at)
        return settling.instead(known)

    assert told(["a", "b"]) == (
        "b was named; of the 2 whose weights are here, auto would take a unless the probe of "
        "another is clearly better."
    )
    assert told(["b"]) == ""
    assert told(["a", "b"], backbone="Auto") == ""
    assert told(["a", "b"], weights="own.h5") == ""
    assert told(["a", "b"], strategy="scratch") == ""


@pytest.mark.parametrize(
    ("names", "asked", "passed", "found"),
    [
        ("ab", {}, set(), True),
        ("ab", {}, {"rank"}, False),
        ("a", {}, set(), False),
        ("ab", {"backbone": "b"}, set(), False),
        ("ab", {"weights": "own.h5"}, set(), False),
        ("ab", {"strategy": "scratch"}, set(), False),
        ("ab", {"budget": Budget(seconds=None, trials=2)}, set(), False),
    ],
)
def test_a_budget_that_would_be_compared_by_is_known(
    names: str,
    asked: dict[str, Any],
    passed: set[str],
    found: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settling, "present", lambda *_: list(names))
    wishes = {"backbone": "Auto", "weights": None, "strategy": None, "input_size": None}
    wishes |= {"budget": Budget(seconds=60, trials=None)}
    request = SimpleNamespace(**wishes | asked)
    at: Any = SimpleNamespace(asked=request, plugins=None, passed=passed)
    assert settling.uncompared(at) is found


def test_nothing_is_ranked_once_the_run_has_its_backbone_or_little_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for more in ({"recorded": "embedded"}, {"left": 100.0}):
        found, handed = chosen_among(monkeypatch, ["a", "b"], **more)
        assert (found, handed) == (("Auto", ""), [])


def test_a_ranking_in_the_journal_stands_however_little_time_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = Ranking(chosen="b", reason="then", examples=2, candidates=())
    at: Any = SimpleNamespace(
        asked=SimpleNamespace(backbone="auto"),
        seconds_left=lambda: 1.0,
        run=SimpleNamespace(recorded=lambda step, _: there if step == "rank" else None),
        once=lambda step, function: there,
    )
    known: Any = SimpleNamespace(at=at)
    assert settling.backbone(known) == ("b", "then", there)


ANOTHER = "Name another with --backbone NAME"


@pytest.mark.parametrize(
    ("backbone", "distribution", "hint"),
    [
        ("AUTO", "odd", f"{ANOTHER}, or leave its plugin out: --no-plugin odd."),
        ("auto", "autotl", f"{ANOTHER}."),
        ("b", "odd", ""),
    ],
)
def test_a_backbone_that_nobody_named_and_cannot_be_built_leaves_a_way_out(
    backbone: str, distribution: str, hint: str
) -> None:
    at: Any = SimpleNamespace(
        asked=SimpleNamespace(backbone=backbone),
        plugins=SimpleNamespace(versions=lambda: {"odd": "1"}),
    )
    place = replace(located(), distribution=distribution)
    with pytest.raises(PluginError) as caught, settling.way_out(at, place):
        raise PluginError("could not be built")
    assert caught.value.hint == hint
    with pytest.raises(PluginError) as caught, settling.way_out(at, place):
        raise PluginError("damaged", hint="Install it again.")
    assert caught.value.hint == "Install it again."


def test_where_no_backbone_can_be_compared_there_is_a_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hinted: list[Any] = []

    @contextmanager
    def way_out(at: Any, place: Any) -> Iterator[None]:
        hinted.append(place)
        yield

    monkeypatch.setattr(settling, "way_out", way_out)
    chosen_among(monkeypatch, ["a", "b"])
    assert hinted == [("a", 50)]


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


# ---- input size ----

LABELS = np.arange(2000) % 4
LADDER = (32, 48, 64, 96, 128)


def candidates(forward: float, train: int = 2000, at: int = 128) -> list[Any]:
    """What is known at each size where a pass takes `forward` seconds an image at `at` pixels."""
    speed = Ranked(name="x", input_size=at, parameters=1, forward=forward, fixed=2.0)
    about = (load_record(train, (500, 500, 500, 500)), split_record(train), LABELS[:train], speed)
    return [beforehand(resized(located(), side), *about) for side in LADDER]


def sized_for(seconds: float, forward: float = 1e-3, **more: Any) -> tuple[int, str]:
    known = replace(fitted(), doubling=dict.fromkeys(fitted().strategies, 0.3))
    every = candidates(forward)
    counts = [settling.epochs(one) for one in every]
    return input_size(every, counts, seconds_left=seconds, coefficients=known, **more)


def test_seconds_grow_with_the_pixels() -> None:
    small, *_, large = candidates(1e-3)
    assert (small.input_size, large.input_size) == (32, 128)
    assert large.speed.forward == pytest.approx(16 * small.speed.forward)
    assert large.speed.train == pytest.approx(3 * large.speed.forward)
    assert large.speed.share_above[0] == 1
    assert large.speed.share_above[-1] == 0
    assert large.size.train == 2000


def test_what_is_chosen_fits_and_nothing_larger_is_worth_more() -> None:
    assert sized_for(10**6) == (128, "")
    size, reason = sized_for(1.0)
    assert size == 32
    assert "no whole training fits" in reason
    assert {sized_for(seconds)[0] for seconds in (100, 200, 400, 800, 1600)} - {32, 128}


def test_a_smaller_size_is_explained_with_minutes() -> None:
    size, reason = next(
        found for s in (100, 200, 400, 800, 1600) if (found := sized_for(s))[0] < 128
    )
    assert reason.startswith(f"The input is {size} pixels: at 128, which the images would bear,")
    assert "minutes where there are" in reason


def test_what_size_costs_decides() -> None:
    known, every = fitted(), candidates(1e-3)
    counts = [settling.epochs(one) for one in every]
    about: dict[str, Any] = {"seconds_left": 400.0}
    dear = replace(known, doubling=dict.fromkeys(known.strategies, 9.0))
    assert input_size(every, counts, coefficients=dear, **about) == (128, "")


def test_validation_rows_are_passed_as_well_before_any_training() -> None:
    one = candidates(1e-3)[-1]
    more = replace(one, size=replace(one.size, validation=one.size.validation + 10_000))
    assert sizing._room(one, 400.0) - sizing._room(more, 400.0) == pytest.approx(10.0)


def test_a_named_strategy_is_given_the_size_at_which_it_fits() -> None:
    sizes = [
        sized_for(seconds, strategy="full-fine-tune")[0] for seconds in (1, 100, 400, 2000, 10**6)
    ]
    assert sizes[0] == 32
    assert sizes[-1] == 128
    assert sizes == sorted(sizes)


def test_the_shipped_figures_of_doubling_are_those_of_the_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    sizes = importlib.import_module("sizes")
    found = sizes.doubling(sizes.read(sizes.ROWS))
    assert found == coefficients.shipped()[0].doubling
    assert all(value > 0 for value in found.values())
    known = {("x", "b", 500, "full-fine-tune"): [(32, 0.5), (64, 0.6), (128, 0.7)]}
    rows = [
        {"data": data, "backbone": backbone, "limit": limit, "strategy": name, "code": "c"}
        | {"input_size": side, "accuracy": value, "test": 10**6}
        for (data, backbone, limit, name), figures in known.items()
        for side, value in figures
    ]
    slope = np.polyfit([5, 6, 7], np.log([1, 1.5, 7 / 3]), 1)[0]
    assert sizes.doubling(rows)["full-fine-tune"] == pytest.approx(slope, abs=1e-3)


def test_the_ladder_goes_down_to_a_quarter() -> None:
    sizes = InputSizes(least=32, most=128, default=64, multiple_of=16)
    assert smaller(sizes, 128) == [32, 48, 64, 96]
    assert smaller(sizes, 32) == []
    keras = InputSizes(least=32, most=224, default=224, multiple_of=32)
    assert smaller(keras, 224) == [64, 128, 160]
    assert all(choose_input_size(sizes, side) in range(32, 129) for side in (8, 60, 900))


def known_of(
    place: LocatedBackbone, seconds: float | None, side: int | None = None, **more: Any
) -> Any:
    """A settling whose budget has that many seconds left, and a worker that counts its calls."""
    calls: list[str] = []

    def call(function: str, spec: Any, **_: Any) -> dict[str, float]:
        calls.append(function)
        return {"forward": 0.02, "fixed": 2.0}

    asked = SimpleNamespace(
        input_size=side, budget=SimpleNamespace(seconds=seconds), strategy=None, seed=0
    )
    at = SimpleNamespace(
        asked=asked, seconds_left=lambda: seconds, listener=SimpleNamespace(progress=None)
    )
    dataset = SimpleNamespace(labels=LABELS.tolist())
    return SimpleNamespace(
        at=at,
        loaded=SimpleNamespace(dataset=dataset, record=load_record(2000, (500,) * 4), hashes=[]),
        rows=SimpleNamespace(train=range(2000), validation=range(500), record=split_record(2000)),
        cache=Path("cache"),
        worker=SimpleNamespace(call=call),
        calls=calls,
        **more,
    )


def test_a_budget_takes_the_size_down_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = SimpleNamespace(path=Path("x"), key="k", rows=tuple(range(32)))
    monkeypatch.setattr(settling, "store_rows", lambda *_: stored)
    place = replace(resized(located(), 128), reason="Because.")
    known = known_of(place, 700.0)
    known.at.asked.strategy = "full-fine-tune"
    found = settling.sized(known, place, None)
    assert known.calls == ["autotl.measure.ranked:run"]
    assert found.input_size == found.preprocessing.size < 128
    assert found.reason == "Because."
    assert found.size_reason.startswith("The input is")


@pytest.mark.parametrize(("seconds", "side"), [(None, None), (300.0, 128)])
def test_without_a_clock_or_with_a_named_size_nothing_is_timed(
    seconds: float | None, side: int | None
) -> None:
    place = resized(located(), 128)
    known = known_of(place, seconds, side)
    assert settling.sized(known, place, None) is place
    assert known.calls == []


def test_the_comparison_of_backbones_has_timed_it_already() -> None:
    place = resized(located(), 128)
    known = known_of(place, 10**6)
    one = Ranked(name="embedded", input_size=128, parameters=1, linear=0.5, forward=1e-4)
    ranking = Ranking(chosen="embedded", reason="", examples=1, candidates=(one,))
    assert settling.sized(known, place, ranking) == place
    assert known.calls == []
