"""Records of a run that never was, to render pages from; names as hostile as one likes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autotl.evaluate.figures import figures
from autotl.evaluate.mistakes import mistakes
from autotl.pixels import content_hash
from autotl.records import (
    Backbone,
    Budget,
    CurvePoint,
    Dataset,
    Decision,
    Export,
    FileRef,
    InputSizes,
    LoadRecord,
    LocatedBackbone,
    Measurements,
    Numbers,
    Parity,
    Prediction,
    Preprocessing,
    Probe,
    Recipe,
    RunRecords,
    SearchRecord,
    SetAside,
    Similarity,
    Size,
    Speed,
    Split,
    SplitRecord,
    Trial,
    TrialResult,
)
from autotl.report import document, pictured

FILE = FileRef(path="x", sha256="0", size=1)
STAGES = ("stem", "middle", "last")
HOSTILE = (
    "<script>document.title = 'owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "{{ 7 * 7 }}{% for x in y %}",
    "$x^2$ costs $5",
    "كلب صغير \u202eabc",
    "line\nbreak\ttab",
    "👩‍👩‍👧‍👦 emoji",
    "a_very_long_name_of_sixty_characters_without_any_break_in_it_",
    "</style></title><b>bold</b>",
    "",
)
MARK = "&'\"<i>"
"""In every id."""


def dataset(classes: Sequence[str], rows: int, folder: str = "photos") -> Dataset:
    """`rows` images of noise, one class after the other; the last two are copies of the first."""

    def read(row: int) -> Any:
        seed = row % (rows - 2)
        return np.random.default_rng(seed).integers(0, 256, (40, 60 + seed % 9, 3), np.uint8)

    return Dataset(
        kind="image",
        ids=tuple(f"{folder}/{row}{MARK}.jpg" for row in range(rows)),
        labels=tuple(row % len(classes) for row in range(rows)),
        classes=tuple(classes),
        read=read,
    )


def trial(
    number: int,
    strategy: Any,
    accuracy: float,
    *,
    epochs: int = 3,
    stopped: str = "epochs",
    **changes: Any,
) -> Trial:
    """A finished trial; all but number 0 were trained by epochs."""
    recipe = Recipe(
        backbone="tiny",
        strategy=strategy,
        input_size=32,
        pretrained=strategy != "scratch",
        boundary=0,
        last=3,
        taps=(3,),
        numbers=Numbers(epochs=3),
    )
    stepped = [
        {"epoch": float(e), "accuracy": accuracy - 0.1 / (1 + e)}
        | ({"train-loss": 1.0} if e else {})
        for e in range(1 + epochs)
    ]
    result = TrialResult(
        metrics={
            "accuracy": accuracy,
            "balanced-accuracy": accuracy,
            "macro-f1": accuracy,
            "log-loss": 0.5,
        },
        seconds=2.0,
        weights=FILE,
        predictions=FILE,
        epochs=epochs,
        stopped=stopped,
        history=tuple(stepped) if number else (),
    )
    made = Trial(
        number=number,
        origin="default" if number else "probe",
        recipe=recipe,
        hyperparameters={},
        status="finished",
        seconds=2.0 + number,
        result=result,
    )
    return replace(made, **changes)


def failed(number: int) -> Trial:
    gone: dict[str, Any] = {"status": "failed", "result": None, "failure": "<b>no memory</b>"}
    return trial(number, "scratch", 0.1, **gone)


def records(folder: Path, classes: Sequence[str], *, rows: int = 0, wrong: int = 30) -> RunRecords:
    """Everything of a run on `rows` images, of which the last `wrong` test rows are mistaken; its
    thumbnails are written.
    """
    rows = rows or 12 * len(classes)
    data = dataset(classes, rows)
    hashes = tuple(content_hash(data.read(row)) for row in range(rows))
    train, test = tuple(range(0, rows, 2)), tuple(range(1, rows, 2))
    counts = SplitRecord(
        train=len(train) - 5, validation=5, test=len(test), dropped=0, digest="d", copies=1
    )
    split = Split(train=train, validation=(), test=test, record=counts)
    labels = np.array(data.labels)
    probabilities = np.full((len(test), len(classes)), 0.2 / max(1, len(classes) - 1), np.float32)
    told = labels[list(test)].copy()
    told[-wrong:] = (told[-wrong:] + 1) % len(classes)
    probabilities[np.arange(len(test)), told] = 0.8
    evaluation = figures(
        probabilities,
        labels[list(test)],
        classes=data.classes,
        train_labels=labels[list(train)],
        probe=probabilities[:, ::-1],
        temperature=0.9,
        model=FILE,
        predictions=FILE,
        seed=0,
        mistakes=mistakes(data, hashes, test, probabilities, folder),
    )
    size = Size(
        examples=rows,
        train=len(train),
        classes=len(classes),
        per_class_least=3,
        per_class_median=6.0,
        imbalance=4.0,
        duplicates=0,
        median_side=40,
        validation=5,
        copies=1,
        examined=len(train),
        near_copies=2,
        near_leaks=1,
        doubts=2,
        doubtful=(data.ids[0], data.ids[2]),
        borne=(1, 1),
        near_pairs=((data.ids[4], data.ids[6]), (data.ids[0], data.ids[rows - 2])),
        effective=20.0,
    )
    trials = (
        trial(0, "feature-extraction", 0.8),
        trial(1, "full-fine-tune", 0.9),
        trial(2, "scratch", 0.5),
        failed(3),
    )
    return RunRecords(
        name=f"run {MARK}",
        load=_load(data),
        split=counts,
        located=located(),
        measurements=measured(size),
        decision=decision(),
        search=SearchRecord(
            best=trials[1],
            probe=trials[0],
            trials=4,
            failed=1,
            comparable=3,
            metric="accuracy",
            stopped="the budget was spent",
            notes=("A note with <b>marks</b>.",),
        ),
        evaluation=evaluation,
        export=Export(model=FILE, opset=18, parity=parity(), checks=("a check",)),
        trials=trials,
        seconds={"load": 1.0, "measure": 2.0, "search": 9.0},
        versions={"autotl": "0.1.0", "python": "3"},
        budget=Budget(seconds=60.0, trials=None),
        metric="accuracy",
        seed=0,
        pictures=pictured(data, hashes, split, size, folder),
    )


def _load(data: Dataset) -> LoadRecord:
    sizes = np.bincount(data.labels, minlength=len(data.classes))
    return LoadRecord(
        fingerprint="f",
        loader="image-folders",
        reason="r",
        kind="image",
        examples=len(data.ids),
        classes=data.classes,
        per_class=tuple(int(n) for n in sizes),
        median_side=40,
        set_aside=(SetAside(id=f"torn{MARK}", reason="torn <b>"),),
        warnings=(f"A warning on '{HOSTILE[0]}'.",),
    )


def located() -> LocatedBackbone:
    preprocessing = Preprocessing(size=32)
    backbone = Backbone(
        name="tiny <b>",
        build="tiny:build",
        stages=STAGES,
        input_sizes=InputSizes(least=32, most=96, default=32),
        preprocessing=preprocessing,
        parameters=7,
        license="Apache-2.0 <b>",
        source_domain="noise {{ 7 * 7 }}",
    )
    return LocatedBackbone(
        backbone=backbone,
        distribution="tests",
        input_size=32,
        preprocessing=preprocessing,
        weights=None,
        weights_sha256=None,
    )


def measured(size: Size) -> Measurements:
    return Measurements(
        backbone="tiny",
        input_size=32,
        stages=STAGES,
        pretrained=True,
        size=size,
        similarity=Similarity(value=0.5, low=0.4, high=0.6, stages=(0.5, None, 0.6)),
        probes=tuple(
            Probe(
                stage=stage,
                pretrained=kind,
                linear=0.5 + place / 10 + kind / 10,
                knn=0.4,
                examples=5000,
            )
            for kind in (True, False)
            for place, stage in enumerate(STAGES)
        ),
        curve=tuple(CurvePoint(examples=50 * 2**i, accuracy=0.6 + i / 20) for i in range(3)),
        tap=3,
        boundary=1,
        parameters_above=(3, 2, 1),
        orientation_matters=False,
        speed=Speed(forward=0.1, train=0.3, share_above=(1.0, 0.5, 0.0), fixed=1.0),
        seconds=2.0,
    )


def decision() -> Decision:
    one = Prediction(accuracy=0.85, low=0.7, high=0.95, minutes=2.5)
    return Decision(
        backbone="tiny",
        input_size=32,
        strategy="full-fine-tune",
        engine="full-fine-tune",
        forced=False,
        boundary=0,
        frozen=(),
        taps=(3,),
        tap=("last",),
        learning_rate=0.0,
        runner_up="feature-extraction",
        margin=0.1,
        race=0.0,
        scenario="little data, near",
        reasons=tuple(f"Reason {n}: <b>{HOSTILE[2]}</b>." for n in range(9)),
        predicted=dict.fromkeys(("feature-extraction", "full-fine-tune", "scratch"), one),
        coefficients="0",
        provisional=False,
    )


def parity() -> Parity:
    return Parity(
        examples=5,
        top1_agreement=1.0,
        explained=0,
        median_difference=1e-9,
        largest_difference=1e-6,
        tolerance=1e-4,
        optimised_difference=None,
    )


def report(run: RunRecords) -> dict[str, Any]:
    """`report.json` as it is read from the disk."""
    made: dict[str, Any] = json.loads(json.dumps(document(run)))
    return made
