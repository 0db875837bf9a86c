"""The part of measuring that runs a network, called in a worker by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl import activations, model
from autotl.calls import Progress
from autotl.measure import domain, speed
from autotl.records import LocatedBackbone, StoredPixels, from_json, to_json
from autotl.rows import opened

Read = Callable[[int, int], NDArray[np.uint8]]


def run(spec: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Pass a sample through the pretrained and the random network; time and compare.

    `spec`: pixels, located (JSON of `StoredPixels`, `LocatedBackbone`), rows (training rows of
    the sample), whole (whether all rows pass the pretrained network instead, those of training
    and then of validation, as the first trial will want them), random_rows (may be none),
    mirrored_rows and similar_rows (some of rows), folder (the store's), seed.
    Returns `pretrained`, `random` and `mirrored` (paths of pooled outputs (rows, channels), one a
    stage; without weights the first is empty and the last random), `similarity`, `speed`,
    `parameters_above`.
    The store's entries are held only until this returns, so open the paths at once.
    """
    with activations.holding():
        return _passed(spec, progress)


def _passed(spec: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    pixels = from_json(StoredPixels, spec["pixels"])
    located = from_json(LocatedBackbone, spec["located"])
    seed, folder = spec["seed"], Path(spec["folder"])
    images = opened(pixels.pixels)
    known = located.weights is not None
    net = model.build(located, pretrained=known, seed=seed)
    wants = tuple((stage, True) for stage in range(1, len(located.backbone.stages) + 1))

    count = len(images) if spec["whole"] else len(spec["rows"])
    engine = activations.engine_for(count, located.input_size)

    def passed(rows: list[int], name: str, mirror: bool = False, trained: bool = True) -> list[str]:
        whole = spec["whole"] and name == "sample"
        paths = activations.ensure(
            folder=folder,
            key=f"{pixels.key}-whole" if whole else f"{pixels.key}-{name}-{len(rows)}-{seed}",
            read=_reader(images, None if whole else rows, mirror),
            count=len(images) if whole else len(rows),
            located=located,
            pretrained=trained,
            seed=seed,
            wants=wants,
            progress=progress,
            # the network that was converted for the sample serves the mirrored rows too
            engine=engine if trained == known else "auto",
            build=(lambda: net) if trained == known else None,
        )
        return [str(path) for path in paths]

    similar = spec["similar_rows"]
    timed = spec["rows"][: speed.batch(located.input_size)]
    batch = model.prepare(np.asarray(images[timed]), located.preprocessing)
    return {
        "pretrained": passed(spec["rows"], "sample") if known else [],
        "random": passed(spec["random_rows"], "random", trained=False)
        if spec["random_rows"]
        else [],
        "mirrored": passed(spec["mirrored_rows"], "mirrored", mirror=True, trained=known),
        "similarity": to_json(domain.compare(net, located, images[similar], seed, progress)),
        "parameters_above": list(model.count_above(net, located.backbone.stages)),
        "speed": to_json(speed.measure(net, located, batch, pixels.classes, seed)),
    }


def _reader(images: NDArray[np.uint8], rows: list[int] | None, mirror: bool) -> Read:
    def read(start: int, stop: int) -> NDArray[np.uint8]:
        found = np.asarray(images[start:stop] if rows is None else images[rows[start:stop]])
        return found[:, :, ::-1] if mirror else found

    return read
