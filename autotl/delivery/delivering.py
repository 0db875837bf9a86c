"""What is done with a finished run's model: written in the form that a server runs, and proven."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from autotl import loading
from autotl.errors import ParityError, RunFolderError, UsageError
from autotl.export.asking import Subject
from autotl.export.formats import Source, format_named
from autotl.files import expanded, file_ref, sync
from autotl.fitted import load
from autotl.plugins import discover
from autotl.preparation import same_split
from autotl.records import (
    Dataset,
    Delivered,
    Evaluation,
    Export,
    LoadRecord,
    LocatedBackbone,
    Split,
    SplitRecord,
)
from autotl.request import Request
from autotl.run import Run, disk, reopen, versions
from autotl.sitting import Listener, Silent
from autotl.split import split
from autotl.worker import Worker

R = TypeVar("R")


def deliver(
    run: str | Path,
    to: str,
    *,
    out: str | Path | None = None,
    data: Any = None,
    listener: Listener | None = None,
) -> Delivered:
    """Write a finished run's model as `to`: "openvino", "saved-model" or "triton".

    What was written is run, and held against the trained Keras model on the validation images, as
    `model.onnx` was; it lies in the folder `out` (default `RUN/export/FORMAT`), which must not
    exist. `data` is needed only where the run was started with arrays. The run itself is left as
    it is. Raises `ParityError` where a check fails (then there is no folder), `UsageError` where
    the folder exists or what the format needs is not installed, `RunFolderError` where the run is
    not finished or the data or the model is no longer what it was.
    """
    began = time.monotonic()
    heard = listener or Silent()
    format_ = format_named(to)
    folder = load(run).folder
    target = expanded(Path(out)) if out else folder / "export" / format_.name
    _check_free(target)
    with reopen(folder, read_only=True, locked=True) as opened, Worker() as worker:
        worker.warm()
        onnx = opened.check(_record(opened, "export", Export).model)
        keras_model = opened.check(_record(opened, "evaluate", Evaluation).model)
        dataset, rows = _rows(opened, data, heard)
        heard.step_started(format_.name)
        with _beside(target.absolute()) as (made, scratch):
            subject = Subject(
                keras_model=keras_model,
                dataset=dataset,
                rows=rows.validation,
                preprocessing=_record(opened, "backbone", LocatedBackbone).preprocessing,
                folder=scratch,
            )
            source = Source(name=opened.name, onnx=onnx, subject=subject, split=rows)
            try:
                parity, checks = format_.make(source, made, worker, heard.progress)
            except ParityError as error:
                error.message = f"As {format_.name}: {error.message}"
                raise
    files = sorted(path for path in target.rglob("*") if path.is_file())
    return Delivered(
        format=format_.name,
        folder=str(target.absolute()),
        files=tuple(file_ref(path, target) for path in files),
        parity=parity,
        checks=checks,
        versions=versions() | format_.versions(),
        seconds=time.monotonic() - began,
    )


def _record(run: Run, step: str, record_class: type[R]) -> R:
    record = run.recorded(step, record_class)
    if record is None:
        raise RunFolderError(
            f"{run.folder} has a report, but its journal has no {step}.",
            hint="Restore the folder from a copy, or start a new run.",
        )
    return record


def _rows(run: Run, data: Any, listener: Listener) -> tuple[Dataset, Split]:
    """The data as the run loaded and split it; raises `RunFolderError` where either differs."""
    asked = run.asked(Request)
    if asked.data is None and data is None:
        raise RunFolderError(
            f"{run.folder} was started with arrays.",
            hint="Give them again, in Python: autotl.deliver(run, to, data=(images, labels))",
        )
    loaded = loading.load(
        asked.data if data is None else data,
        discover(disabled=asked.disabled_plugins).loaders,
        options={"loader": asked.loader} if asked.loader else {},
        known=_record(run, "load", LoadRecord),
        progress=listener.progress,
    )
    rows = split(loaded.dataset, loaded.hashes, seed=asked.seed)
    same_split(rows.record)(_record(run, "split", SplitRecord))
    return loaded.dataset, rows


def _check_free(target: Path) -> None:
    if os.path.lexists(target):
        raise UsageError(
            f"{target} exists already.", hint="Name another folder with --out, or remove it."
        )


@contextmanager
def _beside(target: Path) -> Iterator[tuple[Path, Path]]:
    """A folder that becomes `target` once all went well, and one for temporary files; where
    anything is raised neither is left, nor a folder that was made for them.
    """
    missing = [path for path in target.parents if not path.exists()]
    temporary = target.parent / f".writing-{uuid.uuid4().hex[:12]}"
    made, scratch = temporary / "made", temporary / "scratch"
    try:
        with disk(target):
            made.mkdir(parents=True)
            scratch.mkdir()
        yield made, scratch
        with disk(target):
            for path in (*made.rglob("*"), made):
                sync(path)
            _check_free(target)
            made.rename(target)
            sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for path in missing:
            with suppress(OSError):
                path.rmdir()
