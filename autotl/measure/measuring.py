"""The step itself: a sample through the worker, then probes on what came back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from autotl.calls import Caller, Progress
from autotl.errors import DeadlineError, ResourceError
from autotl.folds import fold_numbers
from autotl.measure import depth, probes, quality, size
from autotl.measure.together import together
from autotl.records import (
    CurvePoint,
    LoadRecord,
    LocatedBackbone,
    Measurements,
    Probe,
    Similarity,
    Size,
    Speed,
    SplitRecord,
    StoredPixels,
    from_json,
    to_json,
)

SAMPLE = 2000
"""Most training rows that are probed."""
WHOLE = 4 * SAMPLE
"""Training rows up to which all of them pass the pretrained network at once: the first trial wants
them, and would pass the sample anew."""
RANDOM_SAMPLE = 1000
"""Most rows passed through the network with random weights."""
SIMILAR_SAMPLE = 256
"""Most rows mirrored, and compared with the source domain; half as many are compared where that
decides no strategy."""
LOST = 1 / 3
"""Orientation matters where mirroring loses more than this share of what the probe has over
chance."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Labels, folds and bundles (n,) of the sample's rows, and the pooled outputs by stage:
    pretrained (n, channels), random and mirrored for `random_rows` and `mirrored_rows` of it. The
    mirrored ones are pretrained where there are such weights, and random where not. `validation`
    are the pretrained ones of the validation rows, empty where these were not passed.
    """

    labels: NDArray[np.int32]
    fold: NDArray[np.int64]
    classes: int
    pretrained: list[NDArray[np.float32]]
    random: list[NDArray[np.float32]]
    mirrored: list[NDArray[np.float32]]
    random_rows: NDArray[np.int64]
    mirrored_rows: NDArray[np.int64]
    validation: list[NDArray[np.float32]] = field(default_factory=list)
    bundles: list[int] | None = None


def measure(
    pixels: StoredPixels,
    located: LocatedBackbone,
    load: LoadRecord,
    split: SplitRecord,
    worker: Caller,
    *,
    folder: Path,
    seed: int,
    given: bool = False,
    trained: bool = False,
    deadline: float | None = None,
    name: Callable[[int], str] = str,
    bundles: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Measurements:
    """Measure size, similarity, probes and speed; at most `SAMPLE` training rows are probed.

    One pass of the pretrained backbone and one of the same network with random weights give the
    averaged outputs of every stage; the pretrained one stays in the store `folder`. `given` says
    that the strategy is not to be chosen: where there are pretrained weights, random ones are then
    left out, and half as many rows are compared with the source domain. `trained` says that trials
    will follow: all rows then pass the pretrained backbone, up to `WHOLE` of training, as the first
    trial will want them. `name(i)` is the id of training row i; rows with the same number in
    `bundles` (train or more,) are in one fold of the probes. Everything but `speed` and `seconds`
    is a function of the data, the seed, `given` and `trained`. Raises `ResourceError` where the
    networks take longer than `deadline` seconds, and what the worker raises.
    """
    begun = time.monotonic()
    labels = np.load(pixels.labels, mmap_mode="r", allow_pickle=False)[: pixels.train]
    spec = _spec(pixels, located, labels, folder, seed, given)
    spec["whole"] = len(labels) <= (WHOLE if trained else SAMPLE)
    answer = within(worker, "autotl.measure.sample:run", spec, "measuring", deadline, progress)
    sample = _sample(spec, answer, labels, pixels.classes, bundles)
    stages, above = located.backbone.stages, tuple(answer["parameters_above"])
    with threadpool_limits(limits=1, user_api="blas"):  # more threads wait for each other's core
        found, linears, tap, boundary = probe(sample, stages, above, progress=progress)
        whole, reads = _together(sample, tap, linears[tap - 1])
        curve = _curve(sample, tap, linears[tap - 1], seed)
        orientation = orientation_matters(sample, tap, linears[tap - 1].strength)
        counts = _size(size.count(load, split, labels), sample, tap, spec["rows"], name)
    return Measurements(
        backbone=located.backbone.name,
        input_size=located.input_size,
        stages=stages,
        pretrained=bool(sample.pretrained),
        size=counts,
        similarity=from_json(Similarity, answer["similarity"]),
        probes=found,
        curve=curve,
        tap=tap,
        boundary=0 if located.backbone.no_partial_freeze else boundary,
        parameters_above=above,
        orientation_matters=orientation,
        speed=_speed(answer, pixels),
        seconds=time.monotonic() - begun,
        weights=located.weights_sha256,
        no_partial_freeze=located.backbone.no_partial_freeze,
        together=whole,
        reads=reads,
        notes=alone(sample.labels if sample.pretrained else sample.labels[sample.random_rows]),
    )


def alone(labels: NDArray[np.int32]) -> tuple[str, ...]:
    """A note on classes with a single one of the probed rows `labels` (n,): it is never in the
    folds that a probe of it learns from.
    """
    count = int((np.bincount(labels) == 1).sum())
    if not count:
        return ()
    what, them = ("1 class has", "it") if count == 1 else (f"{count:,} classes have", "them")
    most = 100 * (1 - count / len(labels))
    return (
        f"{what} one example among those probed: no probe can be right on {them}, nor on more than "
        f"{most:.1f} % in all.",
    )


def _curve(sample: Sample, tap: int, tapped: probes.Linear, seed: int) -> tuple[CurvePoint, ...]:
    features = (sample.pretrained or sample.random)[tap - 1]
    rows = slice(None) if sample.pretrained else sample.random_rows
    kept = (sample.labels[rows], sample.classes, _fold_of(sample, rows))
    return probes.curve(features, *kept, tapped, seed=seed)


def _together(
    sample: Sample, tap: int, tapped: probes.Linear
) -> tuple[float | None, tuple[int, ...]]:
    if not sample.pretrained:
        return None, (tap,)
    own = (sample.pretrained, sample.labels, sample.classes, sample.fold)
    return together(*own, tap=tap, tapped=tapped, bundles=sample.bundles)


def _speed(answer: dict[str, Any], pixels: StoredPixels) -> Speed:
    found = from_json(Speed, answer["speed"])
    return replace(found, decode=0.0 if pixels.stored else pixels.decode)


def within(
    worker: Caller,
    function: str,
    spec: dict[str, Any],
    what: str,
    deadline: float | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """What the worker answers; raises `ResourceError` where `what` takes longer than `deadline`
    seconds.
    """
    if progress is not None:
        progress("building the backbone", 0, 1)
    try:
        answer: dict[str, Any] = worker.call(function, spec, deadline=deadline, progress=progress)
    except DeadlineError as error:
        raise ResourceError(
            f"The budget was used up while {what}, which had {deadline:.0f} s.",
            hint="Give a larger one with --budget, such as 10m.",
        ) from error
    return answer


def _spec(
    pixels: StoredPixels,
    located: LocatedBackbone,
    labels: NDArray[np.int32],
    folder: Path,
    seed: int,
    given: bool,
) -> dict[str, Any]:
    """What the worker is asked (see `sample.run`): stratified rows, the later lists within
    `rows`.
    """
    most = 0 if given and located.weights is not None else RANDOM_SAMPLE
    similar = SIMILAR_SAMPLE // 2 if given else SIMILAR_SAMPLE
    drawn = size.draw(labels, SAMPLE, seed=seed)
    some = drawn[size.interleaved(labels[drawn], seed=seed)]
    return {
        "pixels": to_json(pixels),
        "located": to_json(located),
        "rows": drawn.tolist(),
        "random_rows": np.sort(some[:most]).tolist(),
        "mirrored_rows": np.sort(some[:SIMILAR_SAMPLE]).tolist(),
        "similar_rows": np.sort(some[:similar]).tolist(),
        "folder": str(folder),
        "seed": seed,
    }


def _sample(
    spec: dict[str, Any],
    answer: dict[str, Any],
    labels: NDArray[np.int32],
    classes: int,
    bundles: Sequence[int] | None,
) -> Sample:
    rows = np.array(spec["rows"])
    alike = None if bundles is None else np.asarray(bundles)[rows].tolist()
    return Sample(
        labels=np.asarray(labels[rows]),
        fold=fold_numbers(labels[rows], seed=spec["seed"], bundles=alike),
        bundles=alike,
        classes=classes,
        pretrained=_features(answer["pretrained"], rows if spec["whole"] else None),
        random=_features(answer["random"]),
        mirrored=_features(answer["mirrored"]),
        random_rows=np.searchsorted(rows, spec["random_rows"]),
        mirrored_rows=np.searchsorted(rows, spec["mirrored_rows"]),
        validation=_features(answer["pretrained"], slice(len(labels), None))
        if spec["whole"]
        else [],
    )


def _size(
    counts: Size, sample: Sample, tap: int, rows: list[int], name: Callable[[int], str]
) -> Size:
    """The counts, with what pretrained outputs at the tap say of copies and doubtful labels."""
    if not sample.pretrained:
        return counts
    others = sample.validation[tap - 1] if sample.validation else None
    own = sample.pretrained[tap - 1]
    return quality.judged(counts, own, sample.labels, others, lambda i: name(rows[i]))


def _features(
    paths: list[str], rows: NDArray[np.int64] | slice | None = None
) -> list[NDArray[np.float32]]:
    """Pooled outputs by stage, of these rows or of all that are stored."""
    stored = [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]
    return stored if rows is None else [array[rows] for array in stored]


def probe(
    sample: Sample,
    stages: tuple[str, ...],
    parameters_above: tuple[int, ...],
    *,
    progress: Progress | None,
) -> tuple[tuple[Probe, ...], list[probes.Linear], int, int]:
    """Probes of every stage, pretrained ones first; linear probes by stage (pretrained where there
    are such weights); the proposed tap and boundary.

    Without pretrained weights the tap is the last stage and there is no boundary.
    """
    every = slice(None)
    runs: list[tuple[bool, list[NDArray[np.float32]], Any]] = [
        (True, sample.pretrained, every),
        (False, sample.random, sample.random_rows),
    ]
    found, linears = [], []
    total = len(sample.pretrained) + len(sample.random)
    for pretrained, outputs, rows in runs:
        labels, fold = sample.labels[rows], _fold_of(sample, rows)
        for stage, features in zip(stages, outputs, strict=False):
            linear = probes.linear(features, labels, sample.classes, fold)
            linears.append(linear)
            found.append(
                Probe(
                    stage=stage,
                    pretrained=pretrained,
                    linear=linear.accuracy,
                    knn=probes.neighbours(features, labels, sample.classes, fold),
                    examples=len(labels),
                )
            )
            if progress is not None:
                progress("probes", len(found), total)
    if not sample.pretrained:
        return tuple(found), linears, len(stages), 0
    right = [linear.right for linear in linears[: len(stages)]]
    tap = depth.tap(right, sample.bundles)
    boundary = depth.boundary(right, parameters_above, tap, sample.bundles)
    return tuple(found), linears, tap, boundary


def _fold_of(sample: Sample, rows: NDArray[np.int64] | slice) -> NDArray[np.int64]:
    """Folds of some rows, drawn anew where they are all of one: else none could be judged."""
    fold = sample.fold[rows]
    if len(fold) < 2 or len(np.unique(fold)) > 1:
        return fold
    return fold_numbers(sample.labels[rows], seed=0)


def orientation_matters(sample: Sample, tap: int, strength: float) -> bool:
    """Whether the probe at the tap, of that strength, loses its hold on mirrored images."""
    own = bool(sample.pretrained)
    rows = np.arange(len(sample.labels)) if own else sample.random_rows
    labels = sample.labels[rows]
    plain, turned = probes.mirror_drop(
        (sample.pretrained if own else sample.random)[tap - 1],
        sample.mirrored[tap - 1],
        np.searchsorted(rows, sample.mirrored_rows),
        labels,
        sample.classes,
        _fold_of(sample, rows),
        strength,
    )
    chance = float(np.bincount(labels).max()) / len(labels)
    return plain - turned > LOST * max(plain - chance, 0.0) and plain > chance
