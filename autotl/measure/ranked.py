"""The part of ranking backbones that runs one, called in a worker by name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl import activations, model
from autotl.calls import Progress
from autotl.measure import speed
from autotl.records import LocatedBackbone, from_json
from autotl.rows import opened

GRAPHS = 3
"""Graphs of a pass that a training step's is as large as."""


def run(spec: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Pass a sample through a backbone, pretrained where there are weights, and time a pass.

    `spec`: located (JSON of `LocatedBackbone`), pixels (path, as `autotl.rows.opened` takes it),
    key (of these pixels), folder (the store's), seed. Returns `features`, the path of the last
    stage's averaged outputs (rows, channels), `forward`, seconds an image, and `fixed`, seconds to
    build and compile a training model, whose graph is about three times that of a pass.
    """
    located = from_json(LocatedBackbone, spec["located"])
    images = opened(spec["pixels"])
    import keras  # noqa: F401 - a new process's import is no part of building

    pretrained = located.weights is not None
    begun = time.perf_counter()
    net = model.build(located, pretrained=pretrained, seed=spec["seed"])
    built = time.perf_counter() - begun

    def read(start: int, stop: int) -> NDArray[np.uint8]:
        return np.asarray(images[start:stop])

    with activations.holding():
        (path,) = activations.ensure(
            folder=Path(spec["folder"]),
            key=spec["key"],
            read=read,
            count=len(images),
            located=located,
            pretrained=pretrained,
            seed=spec["seed"],
            wants=((len(located.backbone.stages), True),),
            progress=progress,
            build=lambda: net,
        )
        some = read(0, min(len(images), speed.batch(located.input_size)))
        prepared = model.prepare(some, located.preprocessing)
        begun = time.perf_counter()
        forward = speed.forward(net, prepared)
        passes = speed.REPEATS * forward * len(some)
        traced = max(time.perf_counter() - begun - passes, 0.0)
    return {"features": str(path), "forward": forward, "fixed": built + GRAPHS * traced}
