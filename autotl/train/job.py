"""What one trial is given, read from its spec."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.records import LocatedBackbone, Metric, Recipe, StoredPixels, from_json
from autotl.rows import opened

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One recipe to be fitted.

    `seed` is for weights and order, `view_seed` for augmented views. `probe` is the file of a
    linear probe's weights to start a head from, `parent` that of a trained model of the same
    shape to go on from; `deadline` is in seconds from `started`
    (`time.monotonic`), None for no limit. `batch` is the examples of a step; `stored` whether
    training starts from stored outputs of the boundary, None where that is yet to be seen.
    Training and validation rows with the same number in `bundles` are in one fold.
    """

    recipe: Recipe
    located: LocatedBackbone
    pixels: StoredPixels
    metric: Metric
    seed: int
    view_seed: int
    folder: Path
    out: Path
    run_folder: Path
    probe: Path | None
    parent: Path | None
    deadline: float | None
    progress: Progress
    batch: int
    stored: bool | None
    bundles: NDArray[np.int64] | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since the trial began."""
        return time.monotonic() - self.started

    @property
    def stages(self) -> tuple[str, ...]:
        """The backbone's stage names."""
        return self.located.backbone.stages

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """Labels of training rows, then validation rows."""
        labels: NDArray[np.int32] = opened(self.pixels.labels)
        return labels

    @property
    def train_labels(self) -> NDArray[np.int32]:
        """int32 (train,)."""
        return self.labels[: self.pixels.train]

    @property
    def validation_labels(self) -> NDArray[np.int32]:
        """int32 (validation,)."""
        return self.labels[self.pixels.train :]


def read(spec: Mapping[str, Any], progress: Progress) -> Job:
    """The job that a spec describes (keys: see `trial.run`)."""
    probe, parent = spec.get("probe"), spec.get("parent")
    recipe, pixels = from_json(Recipe, spec["recipe"]), from_json(StoredPixels, spec["pixels"])
    return Job(
        recipe=recipe,
        located=from_json(LocatedBackbone, spec["located"]),
        pixels=pixels,
        metric=spec["metric"],
        seed=spec["seed"],
        view_seed=spec.get("view_seed", spec["seed"]),
        folder=Path(spec["folder"]),
        out=Path(spec["out"]),
        run_folder=Path(spec["run_folder"]),
        probe=Path(probe) if probe else None,
        parent=Path(parent) if parent else None,
        deadline=spec.get("deadline"),
        progress=progress,
        batch=min(spec.get("batch") or recipe.numbers.batch, pixels.train),
        stored=spec.get("stored"),
        bundles=np.array(spec["bundles"], np.int64) if spec.get("bundles") else None,
    )
