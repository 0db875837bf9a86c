"""What `fit`, `load` and `inspect` give back: a finished run, or the evidence without one."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from autotl.errors import RunFolderError
from autotl.files import expanded, look
from autotl.records import (
    Decision,
    LoadRecord,
    LocatedBackbone,
    Measurements,
    ReportRecord,
    RunEstimate,
    SplitRecord,
    to_json,
)
from autotl.report import SCHEMA, brief, decided, foretold, inspected, render

NO_RUN = "Name a run's folder; a new run begins with: autotl fit DATA"

if TYPE_CHECKING:
    import keras

    from autotl.prediction import Predicted


_NATIVE = re.compile(
    rb"[IWE]\d{4} \d|WARNING: All log messages before absl|To enable the following "
)
"""How lines begin that TensorFlow's own libraries write, whatever their settings."""
_log = logging.getLogger("autotl")


@contextmanager
def _quiet() -> Iterator[None]:
    """Put what native libraries write of themselves on standard error into our log (level debug);
    other lines come out after the work, and all of them where it fails.
    """
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        done = False
        try:
            yield
            done = True
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught:
                if done and _NATIVE.match(line):
                    _log.debug("%s", line.decode(errors="replace").rstrip())
                else:
                    os.write(2, line)


@dataclass(frozen=True)
class Fitted:
    """A finished run: its folder and its report (`report.json` as a mapping)."""

    folder: Path
    report: dict[str, Any] = field(repr=False)

    @property
    def onnx(self) -> Path:
        """The exported model: raw pixels in, probabilities and label out."""
        return self.folder / "model.onnx"

    @property
    def accuracy(self) -> float:
        """Accuracy on the test rows, 0 to 1; `report` has its interval."""
        return float(self.report["evaluation"]["accuracy"]["value"])

    def render(self) -> Path:
        """Write `report.html` again, from the `report.json` that the run wrote, and note that in
        the run's journal; returns its path.

        Raises `RunFolderError` where `report.json` is not the file that the run wrote or of another
        schema, where another process works on the run, or its folder cannot be written.
        """
        from autotl.run import disk, reopen

        with reopen(self.folder) as run, disk(self.folder):
            record = run.recorded("report", ReportRecord)
            if record is None:
                raise _unfinished(self.folder)
            run.check(record.report)
            report = _told(self.folder)
            if report.get("schema") != SCHEMA:
                raise RunFolderError(
                    f"{self.folder / 'report.json'} has schema {report.get('schema')}; this autotl "
                    f"reads {SCHEMA}.",
                    hint="Use the version named in run.json.",
                )
            path = render(report, self.folder)
            run.rendered(path)
        return path

    def _repr_html_(self) -> str:
        return brief(self.report, str(self.folder))

    def model(self) -> keras.Model:
        """The Keras model: float32 pixels (batch, size, size, 3), 0 to 255, to probabilities."""
        with _quiet():
            import keras

            return keras.models.load_model(self.folder / "model.keras")

    def predict(self, inputs: Sequence[Any], *, top: int = 1) -> Iterator[Predicted]:
        """Label files, folders or uint8 arrays with the exported model."""
        from autotl.prediction import predict

        return predict(self.onnx, inputs, top=top)


def load(run: str | Path) -> Fitted:
    """The finished run in the folder `run`, which a file in it stands for too; raises
    `RunFolderError` where it is not finished.
    """
    folder = run_folder(run)
    if look(folder / "report.json") == "file":
        return Fitted(folder, _told(folder))
    if look(folder / "run.json") == "file":
        raise _unfinished(folder)
    runs = _runs_in(folder)
    raise RunFolderError(
        f"{folder} holds no run{' itself' if runs else ''}.",
        hint=f"Name one of those in it: {', '.join(map(quote, runs))}." if runs else NO_RUN,
    )


def _runs_in(folder: Path, most: int = 5) -> list[str]:
    """The runs that lie directly in a folder, latest first, as one would name them."""
    try:
        held = [each for each in folder.iterdir() if look(each / "run.json") == "file"]
        held.sort(key=lambda each: -(each / "run.json").stat().st_mtime)
    except (OSError, ValueError):  # a name with a null character is no folder's
        return []
    return [str(each) for each in held[:most]]


def _unfinished(folder: Path) -> RunFolderError:
    return RunFolderError(
        f"{folder} holds an unfinished run.",
        hint=f"Go on with: autotl resume {quote(str(folder))}",
    )


def _told(folder: Path) -> dict[str, Any]:
    """`report.json` as a mapping."""
    report = folder / "report.json"
    try:
        told = json.loads(report.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(
            f"{report} cannot be read: {error}.",
            hint="Put the file back as it was, or start a new run in another folder.",
        ) from error
    if not isinstance(told, dict):
        raise RunFolderError(f"{report} is no report of a run.", hint=NO_RUN)
    return told


def run_folder(named: str | Path) -> Path:
    """The folder that was named, or the run's where it was a file of a run, its `model.onnx` say;
    raises `RunFolderError` for any other file.
    """
    path = expanded(Path(named))
    if look(path) != "file":
        return path
    for folder in path.absolute().parents:
        if look(folder / "run.json") == "file":
            return folder
    raise RunFolderError(f"{path} is a file that lies in no run.", hint=NO_RUN)


@dataclass(frozen=True)
class Inspection:
    """The evidence and the decision; nothing was trained. `recipe_learning_rate` is that of the
    chosen strategy's default recipe, None where its head is fitted; `estimate` is what a run would
    take from here on.
    """

    load: LoadRecord
    split: SplitRecord
    located: LocatedBackbone
    measurements: Measurements
    decision: Decision
    recipe_learning_rate: float | None = None
    estimate: RunEstimate | None = None

    def __repr__(self) -> str:
        chosen = self.decision.predicted[self.decision.strategy]
        return (
            f"<Inspection: {self.load.examples:,} examples in {len(self.load.classes)} classes; "
            f"{self.located.backbone.name} at {self.located.input_size} pixels, "
            f"{self.decision.strategy}, predicted {chosen.accuracy:.3f} "
            f"[{chosen.low:.3f}, {chosen.high:.3f}]; document() has all of it>"
        )

    def _repr_html_(self) -> str:
        return inspected(self.document())

    def document(self) -> dict[str, Any]:
        """All of it as a JSON-ready mapping, schema `autotl-inspection/1`."""
        return {
            "schema": "autotl-inspection/1",
            "data": to_json(self.load),
            "split": to_json(self.split),
            "backbone": to_json(self.located),
            "measurements": to_json(self.measurements),
            "decision": to_json(self.decision) | decided(self.decision, self.recipe_learning_rate),
            "estimate": foretold(self.estimate),
        }
