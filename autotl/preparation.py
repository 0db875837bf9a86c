"""What `fit` and `inspect` do alike before anything is measured: data, split, backbone, pixels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from autotl import loading
from autotl.activations import exports, store_pixels
from autotl.errors import ParityError, PluginError, RunFolderError, UsageError
from autotl.files import sha256
from autotl.measure.measuring import within
from autotl.plugins import locate_backbone
from autotl.records import (
    Backbone,
    LoadRecord,
    LocatedBackbone,
    Measurements,
    Split,
    SplitRecord,
    StoredPixels,
    to_json,
)
from autotl.request import Request, loader_options, one_of
from autotl.settling import Settling, backbone, instead, sized, way_out
from autotl.sitting import Sitting
from autotl.split import split
from autotl.worker import Worker


def prepared(
    at: Sitting, data: Any, cache: Path, worker: Worker
) -> tuple[loading.Loaded, Split, LocatedBackbone, StoredPixels]:
    """Load the data, split it, settle the backbone and its input size, and store the pixels."""
    loaded = _loaded(at, data)
    at.require_seconds("the data was split")
    rows = split(loaded.dataset, loaded.hashes, seed=at.asked.seed)
    at.once("split", _counts, rows, verify=same_split(rows.record))
    side = loading.median_side(loaded, (*rows.train, *rows.validation))
    wanted: dict[str, Any] = {
        "median_side": side,
        "weights_file": Path(at.asked.weights) if at.asked.weights else None,
        "strategy": at.asked.strategy,
        "input_size": at.asked.input_size,
    }
    known = Settling(at=at, loaded=loaded, rows=rows, side=side, cache=cache, worker=worker)
    name, reason, ranking = backbone(known)

    def locate() -> LocatedBackbone:
        progress = at.listener.progress
        found = locate_backbone(at.plugins, name, **wanted, reason=reason, progress=progress)
        with way_out(at, found):
            return replace(sized(known, found, ranking), instead=instead(known))

    located = at.once("backbone", locate, verify=_same_weights)
    located = _with_weights(at, located, wanted)
    check_stages(at.asked, located.backbone)
    with way_out(at, located):
        _check_export(at, located, cache, worker)
    pixels = store_pixels(
        loaded.dataset,
        loaded.hashes,
        (rows.train, rows.validation),
        located,
        folder=cache,
        crops=_crops(at),
        progress=at.listener.progress,
    )
    at.require_seconds("anything was measured")
    return loaded, rows, located, pixels


def check_stages(asked: Request, backbone: Backbone) -> None:
    """Raise `UsageError` where a stage that was named is none that it could be, or where the named
    strategy freezes some of a backbone that cannot be cut.
    """
    name, stages = backbone.name, backbone.stages
    if asked.strategy == "partial-freeze" and (backbone.no_partial_freeze or len(stages) == 1):
        one = "it has one stage, above which nothing would be trained"
        raise UsageError(
            f"partial-freeze is impossible with {name}: "
            f"{(backbone.no_partial_freeze or one).rstrip('.')}.",
            hint="Take another --strategy or --backbone.",
        )
    if asked.frozen is not None:
        one_of(asked.frozen, stages[:-1], f"stage to freeze up to in {name}:")
    if asked.tap is not None:
        one_of(asked.tap, stages, f"stage of {name} called")


def _check_export(at: Sitting, located: LocatedBackbone, cache: Path, worker: Worker) -> None:
    """Raise `PluginError` where the backbone cannot be converted, before anything is trained.

    A conversion is tried unless the store knows of one, or the run is past its measurements.
    """
    past = at.run is not None and at.run.recorded("measure", Measurements) is not None
    if past or exports.shown(located, cache):
        return
    spec = {"located": to_json(located), "folder": str(cache)}
    limits = ("converting the backbone", at.seconds_left(), at.listener.progress)
    try:
        within(worker, exports.SHOW, spec, *limits)
    except ParityError as error:
        name = located.backbone.name
        raise PluginError(
            f"{name} cannot be exported to ONNX, so nothing was trained with it: {error.message}",
            details=error.details,
        ) from error


def _crops(at: Sitting) -> bool:
    """Whether any augmented view may be cut: by no step but trials, and not by the first one."""
    return at.run is not None and at.asked.budget.trials != 1


def _loaded(at: Sitting, data: Any) -> loading.Loaded:
    found: list[loading.Loaded] = []
    options = loader_options(at.asked)

    def load(known: LoadRecord | None = None) -> loading.Loaded:
        return loading.load(
            data,
            at.plugins.loaders,
            options=options,
            known=known,
            progress=at.listener.progress,
        )

    def compute() -> LoadRecord:
        found.append(load())
        return found[0].record

    record = at.once("load", compute)
    return found[0] if found else load(record)


def _counts(rows: Split) -> SplitRecord:
    return rows.record


def same_split(now: SplitRecord) -> Callable[[SplitRecord], None]:
    """What raises `RunFolderError` for the record of another split than the one drawn now."""

    def verify(then: SplitRecord) -> None:
        if then.digest != now.digest:
            raise RunFolderError(
                "The split drawn now is not the one that the run was started with.",
                hint="The versions in run.json say what drew it; use them, or start a new run.",
            )

    return verify


def _same_weights(located: LocatedBackbone) -> None:
    """Raise `RunFolderError` where the weights file is there and is another one."""
    path = None if located.weights is None else Path(located.weights)
    if path is not None and path.is_file() and sha256(path) != located.weights_sha256:
        raise _other_weights(located, "changed")


def _with_weights(at: Sitting, located: LocatedBackbone, wanted: dict[str, Any]) -> LocatedBackbone:
    """The backbone with its weights where they lie now, should they have moved since."""
    if located.weights is None or Path(located.weights).is_file():
        return located
    with contextlib.suppress(PluginError):
        now = locate_backbone(at.plugins, located.backbone.name, **wanted, download=False)
        if now.weights_sha256 == located.weights_sha256:
            return replace(located, weights=now.weights)
    raise _other_weights(located, "gone")


def _other_weights(located: LocatedBackbone, what: str) -> RunFolderError:
    return RunFolderError(
        f"The weights of {located.backbone.name} are {what} since the run was started: "
        f"{located.weights}.",
        hint="Put the old file back, or start a new run.",
    )
