"""The part of ranking backbones that runs one, called in a worker by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl import activations, model
from autotl.measure import speed
from autotl.records import LocatedBackbone, from_json
from autotl.rows import opened

Progress = Callable[[str, int, int], None]


def run(spec: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Pass a sample through a pretrained backbone, and time a pass.

    `spec`: located (JSON of `LocatedBackbone`), pixels (path, as `autotl.rows.opened` takes it),
    key (of these pixels), folder (the store's), seed. Returns `features`, the path of the last
    stage's averaged outputs (rows, channels), and `forward`, seconds an image.
    """
    located = from_json(LocatedBackbone, spec["located"])
    images = opened(spec["pixels"])
    net = model.build(located, pretrained=True, seed=spec["seed"])

    def read(start: int, stop: int) -> NDArray[np.uint8]:
        return np.asarray(images[start:stop])

    with activations.holding():
        (path,) = activations.ensure(
            folder=Path(spec["folder"]),
            key=spec["key"],
            read=read,
            count=len(images),
            located=located,
            pretrained=True,
            seed=spec["seed"],
            wants=((len(located.backbone.stages), True),),
            progress=progress,
            build=lambda: net,
        )
        some = read(0, min(len(images), speed.batch(located.input_size)))
        forward = speed.forward(net, model.prepare(some, located.preprocessing))
    return {"features": str(path), "forward": forward}
