"""The trained model as one ONNX file that takes raw images, converted and then held against it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotl.calls import Progress
from autotl.export import halves, outside, quantise
from autotl.export.asking import Subject
from autotl.export.card import SCHEMA, describe
from autotl.export.example import write_example
from autotl.export.gate import examine
from autotl.export.graph import OPSET
from autotl.records import (
    Dataset,
    Evaluation,
    Export,
    LocatedBackbone,
    Quantised,
    SearchRecord,
    Split,
    to_json,
)

if TYPE_CHECKING:
    from autotl.worker import Worker

__all__ = ["SCHEMA", "export"]

MODEL = "model.onnx"


def export(
    evaluation: Evaluation,
    search: SearchRecord,
    dataset: Dataset,
    split: Split,
    located: LocatedBackbone,
    *,
    card: Mapping[str, Any],
    worker: Worker,
    run_folder: Path,
    progress: Progress | None = None,
    embedding: bool = False,
    int8: bool = False,
    int8_points: float = 1.0,
    float16: bool = False,
    largest: int = outside.LARGEST,
) -> Export:
    """Convert the final Keras model, put it through the gate, and write `model.onnx` with the lines
    that serve it.

    `card` gives what only the caller knows: `name`, `data_fingerprint`, `versions`, `seed`,
    `created`. With `embedding` the file also gives what its head reads. `int8` and `float16` ask
    for variants of the file, each kept where it passes what `quantise` says; a model of more than
    `largest` bytes has its numbers in `model.onnx.data`. Raises `ParityError` where the file is not
    the model that was trained; then no file is written and one of an earlier run is left as it was.
    """
    started = time.monotonic()
    run_folder = run_folder.resolve()
    subject = Subject(
        keras_model=run_folder / evaluation.model.path,
        dataset=dataset,
        rows=split.validation,
        preprocessing=located.preprocessing,
        folder=run_folder,
    )
    told = describe(evaluation, search, dataset, split, located, card, embedding=embedding)
    spec = _spec(subject, told) | {"embedding": embedding, "largest": largest}
    with outside.staging(run_folder) as room:
        out = Path(room) / MODEL
        spec["out"] = str(out)
        made = worker.call("autotl.export.graph:convert", spec, progress=progress)
        subject = replace(subject, features=made["features"] if embedding else None)
        parity, checks = examine(out, subject, worker, progress=progress)
        model, data = outside.place(out, run_folder)
    points = int8_points if int8 else None
    variants = _variants(subject, split.train, worker, progress, points=points, float16=float16)
    write_example(run_folder)
    return Export(
        model=model,
        opset=OPSET,
        parity=parity,
        checks=checks,
        seconds=time.monotonic() - started,
        data=data,
        features=subject.features,
        variants=variants,
    )


def _spec(subject: Subject, card: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": str(subject.keras_model),
        "preprocessing": to_json(subject.preprocessing),
        "classes": list(subject.dataset.classes),
        "card": card,
    }


def _variants(
    subject: Subject,
    train: Sequence[int],
    worker: Worker,
    progress: Progress | None,
    *,
    points: float | None,
    float16: bool,
) -> tuple[Quantised, ...]:
    """Those asked for, kept or not; what lies there of an earlier export and is not wanted goes.

    `points` is the accuracy that the one in 8 bits may lose, None where it is not wanted.
    """
    path = subject.folder / MODEL
    made: list[Quantised] = []
    if points is not None:
        made.append(quantise.int8(path, subject, train=train, points=points, progress=progress))
    else:
        outside.remove(subject.folder / quantise.INT8)
    if float16:
        made.append(quantise.float16(path, subject, worker, progress=progress))
    else:
        outside.remove(subject.folder / halves.FLOAT16)
    return tuple(made)
