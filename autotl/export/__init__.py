"""The trained model as one ONNX file that takes raw images, converted and then held against it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
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
    about = describe(evaluation, search, dataset, split, located, card, embedding=embedding)
    options = {"card": about, "embedding": embedding, "largest": largest}
    exported = _exported(subject, worker, options, progress)
    subject = replace(subject, features=exported.features)
    variants: list[Quantised] = []
    for asked, name, make in (
        (int8, quantise.INT8, partial(quantise.int8, train=split.train, points=int8_points)),
        (float16, halves.FLOAT16, partial(quantise.float16, worker=worker)),
    ):
        if asked:
            variants.append(make(run_folder / MODEL, subject, progress=progress))
        else:
            outside.remove(run_folder / name)
    write_example(run_folder)
    seconds = time.monotonic() - started
    return replace(exported, variants=tuple(variants), seconds=seconds)


def _exported(
    subject: Subject, worker: Worker, options: Mapping[str, Any], progress: Progress | None
) -> Export:
    """Convert, examine, and put the file into the subject's folder; `options` are the rest of what
    `graph.convert` takes.
    """
    spec = {
        **options,
        "model": str(subject.keras_model),
        "preprocessing": to_json(subject.preprocessing),
        "classes": list(subject.dataset.classes),
    }
    with outside.staging(subject.folder) as room:
        out = Path(room) / MODEL
        spec["out"] = str(out)
        told = worker.call("autotl.export.graph:convert", spec, progress=progress)
        features = told["features"] if options["embedding"] else None
        held = replace(subject, features=features)
        parity, checks = examine(out, held, worker, progress=progress)
        model, data = outside.place(out, subject.folder)
    return Export(
        model=model, opset=OPSET, parity=parity, checks=checks, data=data, features=features
    )
