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
from autotl.errors import DiskError, ParityError, RunFolderError, UsageError
from autotl.export.asking import Subject
from autotl.export.formats import Format, Source, format_named
from autotl.export.gate import Checked
from autotl.files import file_ref, out_folder, sync
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
from autotl.request import Request, loader_options
from autotl.run import LEAST_FREE_BYTES, Run, disk, full_disk, reopen, versions
from autotl.sitting import Listener, Silent
from autotl.split import split
from autotl.worker import Worker

R = TypeVar("R")

_TIMES_MODEL = 2
"""What was written, and what the gate asks and is answered, in sizes of both model files."""


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
    target = out_folder(out) or folder / "export" / format_.name
    _check_absent(target)
    with reopen(folder, read_only=True, locked=True) as opened, Worker() as worker:
        worker.warm()
        parity, checks = _written(opened, format_, target.absolute(), data, worker, heard)
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


def _written(
    run: Run, format_: Format, target: Path, data: Any, worker: Worker, listener: Listener
) -> Checked:
    """Write the format as `target`, once the run's files and the data are seen to be the same."""
    exported = _record(run, "export", Export)
    onnx = run.check(exported.model)
    if exported.data is not None:
        run.check(exported.data)
    keras_model = run.check(_record(run, "evaluate", Evaluation).model)
    dataset, rows = _rows(run, data, listener)
    listener.step_started(format_.name)
    size = sum(ref.size for ref in (exported.model, exported.data) if ref is not None)
    needed = LEAST_FREE_BYTES + _TIMES_MODEL * (size + keras_model.stat().st_size)
    with _beside(target, needed) as (made, scratch):
        subject = Subject(
            keras_model=keras_model,
            dataset=dataset,
            rows=rows.validation,
            preprocessing=_record(run, "backbone", LocatedBackbone).preprocessing,
            folder=scratch,
            features=exported.features,
        )
        source = Source(name=run.name, onnx=onnx, subject=subject, split=rows)
        try:
            return format_.make(source, made, worker, listener.progress)
        except ParityError as error:
            error.message = f"As {format_.name}: {error.message}"
            raise


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
        options=loader_options(asked),
        known=_record(run, "load", LoadRecord),
        progress=listener.progress,
    )
    rows = split(loaded.dataset, loaded.hashes, seed=asked.seed)
    same_split(rows.record)(_record(run, "split", SplitRecord))
    return loaded.dataset, rows


def _check_absent(target: Path) -> None:
    if os.path.lexists(target):
        raise UsageError(
            f"{target} exists already.", hint="Name another folder with --out, or remove it."
        )


@contextmanager
def _beside(target: Path, needed: int) -> Iterator[tuple[Path, Path]]:
    """A folder that becomes `target` once all went well, and one for temporary files; where
    anything is raised neither is left, nor a folder that was made for them.

    Raises `DiskError` where fewer than `needed` bytes are free, or the disk was full in between.
    """
    missing = [path for path in target.parents if not path.exists()]
    temporary = target.parent / f".writing-{uuid.uuid4().hex[:12]}"
    made, scratch = temporary / "made", temporary / "scratch"
    try:
        with disk(target):
            made.mkdir(parents=True)
            scratch.mkdir()
            free = shutil.disk_usage(made).free
        if free < needed:
            raise _too_small(f"Only {free / 1e6:.0f} MB are free for {target}", needed)
        yield made, scratch
        with disk(target):
            for path in (*made.rglob("*"), made):
                sync(path)
            _check_absent(target)
            made.rename(target)
            sync(target.parent)
    except OSError as error:
        if full_disk(error):
            raise _too_small(f"The disk that holds {target} is full", needed) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for path in missing:
            with suppress(OSError):
                path.rmdir()


def _too_small(said: str, needed: int) -> DiskError:
    return DiskError(
        f"{said}; it needs about {needed / 1e6:.0f} MB.",
        hint="Free some space, or name a folder on another disk with --out.",
    )
