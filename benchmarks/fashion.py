"""Fashion-MNIST's IDX files as one `.npz` that autotl loads."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np


def npz(folder: Path, out: Path, train: int = 10_000) -> Path:
    """Write the first `train` training and 2,000 test images to `out`; return the path."""

    def idx(name: str, skip: int, count: int) -> np.ndarray:
        with gzip.open(folder / name) as stream:
            return np.frombuffer(stream.read(), np.uint8, offset=skip)[:count]

    test, area = 2_000, 28 * 28
    path = out / "fashion-mnist.npz"
    np.savez(
        path,
        x_train=idx("train-images-idx3-ubyte.gz", 16, train * area).reshape(-1, 28, 28),
        y_train=idx("train-labels-idx1-ubyte.gz", 8, train),
        x_test=idx("t10k-images-idx3-ubyte.gz", 16, test * area).reshape(-1, 28, 28),
        y_test=idx("t10k-labels-idx1-ubyte.gz", 8, test),
    )
    return path
