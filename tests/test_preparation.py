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
from autotl.records import LocatedBackbone


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


def test_stages_are_checked_before_anything_is_measured(located: LocatedBackbone) -> None:
    stages = located.backbone.stages
    for frozen, tap in ((stages[-1], None), ("nowhere", None), (None, "nowhere")):
        asked: Any = SimpleNamespace(strategy=None, frozen=frozen, tap=tap)
        with pytest.raises(UsageError, match="no stage"):
            preparation.check_stages(asked, located.backbone)
    fine: Any = SimpleNamespace(strategy=None, frozen=stages[0].upper(), tap=stages[-1])
    preparation.check_stages(fine, located.backbone)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"no_partial_freeze": "Its cuts carry two tensors."}, "Its cuts carry two tensors."),
        ({"stages": ("all",)}, "it has one stage, above which nothing would be trained."),
    ],
)
@pytest.mark.parametrize("frozen", [None, "all"])
def test_partial_freeze_of_what_cannot_be_cut_is_refused_before_anything_is_measured(
    changes: dict[str, Any], why: str, frozen: str | None, located: LocatedBackbone
) -> None:
    whole = replace(located.backbone, **changes)
    asked: Any = SimpleNamespace(strategy="partial-freeze", frozen=frozen, tap=None)
    with pytest.raises(UsageError) as caught:
        preparation.check_stages(asked, whole)
    assert caught.value.message == f"partial-freeze is impossible with Tiny: {why}"
    assert "--strategy" in caught.value.hint
    other: Any = SimpleNamespace(strategy="full-fine-tune", frozen=None, tap=None)
    preparation.check_stages(other, whole)
    asked = SimpleNamespace(strategy="partial-freeze", frozen=None, tap=None)
    preparation.check_stages(asked, located.backbone)
