"""Scalars of each trial for TensorBoard, written without tensorflow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from autotl.records import Trial


def write_scalars(folder: Path, trial: Trial) -> None:
    """Write one event file for a finished trial under `folder`: a scalar an epoch and figure of
    its history (epoch 0 is before any training), and the final metrics. Raises `OSError` where it
    cannot be written.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    if trial.result is None:
        return
    now = time.time()
    home = folder / f"{trial.number:03d}-{trial.recipe.strategy}"
    home.mkdir(parents=True, exist_ok=True)
    steps = [_by_epoch(entry) for entry in trial.result.history]
    final = {f"validation/{name}": value for name, value in trial.result.metrics.items()}
    with (home / "events.out.tfevents.autotl").open("wb") as stream:
        writer = RecordWriter(stream)
        writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        for step, values in [*steps, (trial.result.epochs, final)]:
            scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            event = Event(wall_time=now, step=step, summary=Summary(value=scalars))
            writer.write(event.SerializeToString())


def _by_epoch(entry: Mapping[str, float]) -> tuple[int, dict[str, float]]:
    figures = dict(entry)
    return int(figures.pop("epoch")), figures
