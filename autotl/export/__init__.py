"""The trained model as one ONNX file that takes raw images, converted and then held against it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotl.calls import Progress
from autotl.export.asking import Subject
from autotl.export.card import SCHEMA, describe
from autotl.export.example import write_example
from autotl.export.gate import examine
from autotl.export.graph import OPSET
from autotl.files import file_ref, write_atomically
from autotl.records import (
    Dataset,
    Evaluation,
    Export,
    LocatedBackbone,
    Parity,
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
) -> Export:
    """Convert the final Keras model, put it through the gate, and write `model.onnx` with the lines
    that serve it.

    `card` gives what only the caller knows: `name`, `data_fingerprint`, `versions`, `seed`,
    `created`. Raises `ParityError` where the file is not the model that was trained;
    then no file is written and one of an earlier run is left as it was.
    """
    started = time.monotonic()
    run_folder = run_folder.resolve()
    keras_model = run_folder / evaluation.model.path
    spec = {
        "model": str(keras_model),
        "preprocessing": to_json(located.preprocessing),
        "classes": list(dataset.classes),
        "card": describe(evaluation, search, dataset, split, located, card),
    }
    passed: list[tuple[Parity, tuple[str, ...]]] = []

    def write(path: Path) -> None:
        worker.call("autotl.export.graph:convert", {**spec, "out": str(path)}, progress=progress)
        subject = Subject(
            keras_model=keras_model,
            dataset=dataset,
            rows=split.validation,
            preprocessing=located.preprocessing,
            folder=run_folder,
        )
        passed.append(examine(path, subject, worker, progress=progress))

    written = write_atomically(run_folder / MODEL, write)
    ((parity, checks),) = passed
    return Export(
        model=file_ref(written, run_folder),
        opset=OPSET,
        parity=parity,
        checks=checks,
        example=file_ref(write_example(run_folder), run_folder),
        seconds=time.monotonic() - started,
    )
