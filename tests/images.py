"""Folders of small patterned images, learnable by class, for every test that needs data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLOURS = ((210, 60, 50), (60, 170, 70), (60, 90, 210), (220, 190, 50), (160, 70, 190))


def pattern(
    label: int, seed: int, *, size: tuple[int, int] = (40, 32), noise: float = 18.0
) -> NDArray[np.uint8]:
    """uint8 (height, width, 3): stripes whose angle, period and colour go with the label.

    `size` is (width, height); phase, brightness and noise go with the seed, so no two are equal.
    """
    rng = np.random.default_rng((label, seed))
    width, height = size
    y, x = np.mgrid[:height, :width]
    angle = np.pi * (label % 7) / 7
    period = 5 + 3 * (label % 4)
    along = x * np.cos(angle) + y * np.sin(angle)
    wave = np.sin(2 * np.pi * along / period + rng.uniform(0, 2 * np.pi))
    colour = np.array(COLOURS[label % len(COLOURS)], dtype=float)
    picture = colour * (0.75 + 0.35 * wave[..., None]) * rng.uniform(0.8, 1.1)
    return np.clip(picture + rng.normal(0, noise, (height, width, 3)), 0, 255).astype(np.uint8)


def encoded(pixels: NDArray[np.uint8], suffix: str = ".png", **options: object) -> bytes:
    """The pixels as the bytes of an image file of that format."""
    stream = BytesIO()
    image_format = {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper())
    Image.fromarray(pixels).save(stream, image_format, **options)
    return stream.getvalue()


def write_class_folders(
    root: Path,
    *,
    classes: Sequence[str] = ("apple", "birch", "cedar"),
    per_class: int | Mapping[str, int] = 8,
    suffix: str = ".png",
    size: tuple[int, int] = (40, 32),
    noise: float = 18.0,
    first_seed: int = 0,
) -> Path:
    """Write `root/CLASS/NNN.png`; the label of a class is its place in `classes`."""
    for label, name in enumerate(classes):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        count = per_class if isinstance(per_class, int) else per_class[name]
        for number in range(count):
            pixels = pattern(label, first_seed + number, size=size, noise=noise)
            (folder / f"{number:03d}{suffix}").write_bytes(encoded(pixels, suffix))
    return root


def write_split_folders(
    root: Path,
    *,
    splits: Mapping[str, int],
    classes: Sequence[str] = ("apple", "birch", "cedar"),
    suffix: str = ".png",
    size: tuple[int, int] = (40, 32),
    noise: float = 18.0,
) -> Path:
    """Write `root/SPLIT/CLASS/NNN.png` with so many images a class; none occurs twice."""
    for place, (split, count) in enumerate(splits.items()):
        write_class_folders(
            root / split,
            classes=classes,
            per_class=count,
            suffix=suffix,
            size=size,
            noise=noise,
            first_seed=100_000 * place,
        )
    return root


def arrays(
    classes: int = 3, per_class: int = 8, *, size: tuple[int, int] = (16, 16), noise: float = 18.0
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(images, labels): uint8 (n, height, width, 3) and int64 (n,), class after class."""
    pairs = [(label, number) for label in range(classes) for number in range(per_class)]
    images = np.stack([pattern(label, seed, size=size, noise=noise) for label, seed in pairs])
    return images, np.array([label for label, _ in pairs])
