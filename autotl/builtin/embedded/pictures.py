"""Tiny ImageNet in memory, and the cheap random crops of the recipe. NumPy and Pillow only."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from autotl.builtin.embedded import DEVIATION, MEAN

SIDE = 64
"""Height and width of the originals."""

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


def identifiers(folder: Path) -> list[str]:
    """Return the sorted WordNet ids of the classes; a label is an index into this list."""
    return sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())


def class_lines(folder: Path) -> list[str]:
    """Return `id<TAB>name` for every class, in the order of the labels."""
    with (folder / "words.txt").open(encoding="utf-8") as stream:
        names = dict(line.rstrip("\n").split("\t", 1) for line in stream)
    return [f"{identifier}\t{names[identifier]}" for identifier in identifiers(folder)]


def training_files(folder: Path) -> tuple[list[Path], Labels]:
    """Return the files of the training set in name order, and their labels `(n,)`."""
    found = [
        (path, label)
        for label, identifier in enumerate(identifiers(folder))
        for path in sorted((folder / "train" / identifier / "images").glob("*.JPEG"))
    ]
    return [path for path, _ in found], np.array([label for _, label in found], np.int32)


def validation_files(folder: Path) -> tuple[list[Path], Labels]:
    """Return the files of the official validation set, and their labels `(n,)`."""
    index = {identifier: label for label, identifier in enumerate(identifiers(folder))}
    with (folder / "val" / "val_annotations.txt").open(encoding="utf-8", newline="") as stream:
        rows = [row[:2] for row in csv.reader(stream, delimiter="\t")]
    paths = [folder / "val" / "images" / name for name, _ in rows]
    return paths, np.array([index[identifier] for _, identifier in rows], np.int32)


def decode(paths: list[Path], cache: Path) -> Pixels:
    """Return the images as uint8 `(n, 64, 64, 3)`, decoded once and then read from `cache`."""
    if cache.is_file():
        cached: Pixels = np.load(cache, allow_pickle=False)
        if len(cached) == len(paths):
            return cached
    images = np.empty((len(paths), SIDE, SIDE, len(MEAN)), np.uint8)
    for row, path in zip(images, paths, strict=True):
        with Image.open(path) as image:
            row[...] = np.asarray(image.convert("RGB"))
    unfinished = cache.with_name(cache.name + ".part")
    with unfinished.open("wb") as stream:
        np.save(stream, images, allow_pickle=False)
    unfinished.replace(cache)
    return images


def normalise(images: npt.NDArray[np.uint8] | Floats) -> Floats:
    """Return float32 images on the scale that the network expects, from values 0..255."""
    scale = 1.0 / (255.0 * np.array(DEVIATION, np.float32))
    shift = np.array(MEAN, np.float32) / np.array(DEVIATION, np.float32)
    return np.asarray(images * scale.astype(np.float32) - shift, np.float32)


@dataclasses.dataclass(frozen=True)
class Boxes:
    """Rectangles within the originals, in pixels: `(n,)` float each."""

    top: npt.NDArray[np.float64]
    left: npt.NDArray[np.float64]
    height: npt.NDArray[np.float64]
    width: npt.NDArray[np.float64]

    def of(self, rows: npt.NDArray[np.int64]) -> Boxes:
        """Return the boxes of some images."""
        return Boxes(self.top[rows], self.left[rows], self.height[rows], self.width[rows])


def boxes(n: int, seed: list[int], *, area: tuple[float, float], aspect: float) -> Boxes:
    """Return a random box for each of `n` images.

    A box covers a share of the image within `area`; its sides differ by a factor of at most
    `aspect`.
    """
    rng = np.random.default_rng(seed)
    shape = np.exp(rng.uniform(-0.5, 0.5, n) * np.log(aspect))
    length = SIDE * np.sqrt(rng.uniform(*area, n))
    height, width = np.minimum(length * shape, SIDE), np.minimum(length / shape, SIDE)
    top, left = rng.uniform(0, SIDE - height), rng.uniform(0, SIDE - width)
    return Boxes(top, left, height, width)


def crop(
    images: Pixels, where: Boxes, size: int, mirrored: npt.NDArray[np.bool_] | None = None
) -> Floats:
    """Return what the boxes show of uint8 `(n, 64, 64, 3)`, resampled: float32 0..255
    `(n, size, size, 3)`, left and right exchanged where `mirrored` `(n,)` says so.
    """
    rows = _sampling(where.top, where.height, size)
    columns = _sampling(where.left, where.width, size)
    if mirrored is not None:
        columns[mirrored] = columns[mirrored, ::-1]
    return _resample(images.astype(np.float32), rows, columns)


def _sampling(start: npt.NDArray[np.float64], length: npt.NDArray[np.float64], size: int) -> Floats:
    """Matrices `(n, size, 64)` that resample one axis; they average where it shrinks."""
    step = (length / size)[:, None, None]
    centre = start[:, None, None] + (np.arange(size)[None, :, None] + 0.5) * step
    distance = np.abs(np.arange(SIDE)[None, None, :] + 0.5 - centre)
    weight = np.maximum(0.0, 1.0 - distance / np.maximum(step, 1.0))
    return np.asarray(weight / weight.sum(axis=2, keepdims=True), np.float32)


def _resample(images: Floats, rows: Floats, columns: Floats) -> Floats:
    """Apply both matrices of every image as matrix products, which are quicker than gathers."""
    n, size = rows.shape[:2]
    tall = np.matmul(rows, images.reshape(n, SIDE, -1)).reshape(n, size, SIDE, -1)
    return np.asarray(np.matmul(columns[:, None], tall), np.float32)
