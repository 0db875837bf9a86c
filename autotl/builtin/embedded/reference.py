"""Statistics of the network's averaged stage outputs on photographs held out from its training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from autotl.builtin.embedded import STAGES, network, pictures

Arrays = dict[str, npt.NDArray[np.float32]]


def measured(weights: Path, images: pictures.Pixels) -> Arrays:
    """Return `STAGE/mean` (channels,) and `STAGE/covariance` (channels, channels), float32, of
    each stage's output averaged over positions, for uint8 images `(n, 64, 64, 3)`.
    """
    import keras

    net = network.build(pictures.SIDE, weights)
    pool = keras.layers.GlobalAveragePooling2D()
    pooled = keras.Model(net.input, [pool(net.get_layer(stage).output) for stage in STAGES])
    parts = [
        pooled.predict_on_batch(pictures.normalise(images[start : start + 250]))
        for start in range(0, len(images), 250)
    ]
    found: Arrays = {"images": np.array([len(images)], np.float32)}
    for stage, outputs in zip(STAGES, zip(*parts, strict=True), strict=True):
        whole = np.concatenate(outputs).astype(np.float64)
        found[f"{stage}/mean"] = whole.mean(axis=0).astype(np.float32)
        found[f"{stage}/covariance"] = np.cov(whole, rowvar=False).astype(np.float32)
    return found


def write(weights: Path, images: pictures.Pixels, out: Path) -> None:
    """Measure and write to `out`, a `.npz` without pickle, replacing it in one step."""
    unfinished = out.with_name(out.name + ".part")
    with unfinished.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **measured(weights, images))
    unfinished.replace(out)
