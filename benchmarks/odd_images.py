"""The same photographs in the formats that break decoders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
MOST = 400
"""Pixels of the longer side, so that lossless formats stay small."""


def odd(files: Sequence[Path], folder: Path) -> Iterator[Path]:
    """Write every photograph in every format, as `folder`/KIND/NUMBER.SUFFIX."""
    for kind, (suffix, save) in KINDS.items():
        (folder / kind).mkdir(parents=True)
        for number, path in enumerate(files):
            image = Image.open(path).convert("RGB")
            image.thumbnail((MOST, MOST))
            made = folder / kind / f"{number:04d}{suffix}"
            save(image, made)
            yield made


def _as(mode: str, **options: Any) -> Callable[[Image.Image, Path], None]:
    return lambda image, path: image.convert(mode).save(path, **options)


def _turned(orientation: int) -> Callable[[Image.Image, Path], None]:
    def save(image: Image.Image, path: Path) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        image.save(path, exif=exif, quality=92)

    return save


def _see_through(image: Image.Image, path: Path) -> None:
    """Fading from left to right."""
    fade = np.linspace(0, 255, image.width).astype(np.uint8)
    image.putalpha(Image.fromarray(np.tile(fade, (image.height, 1))))
    image.save(path)


def _with_hole(image: Image.Image, path: Path) -> None:
    """A palette of which one colour is transparent."""
    few = image.quantize(64)
    few.save(path, transparency=3)


def _moving(image: Image.Image, path: Path) -> None:
    image.save(path, save_all=True, append_images=[image.rotate(90)])


def _thin(image: Image.Image, path: Path) -> None:
    image.resize((image.width, 3)).save(path)


def _dot(image: Image.Image, path: Path) -> None:
    image.resize((1, 1)).save(path)


KINDS: dict[str, tuple[str, Callable[[Image.Image, Path], None]]] = {
    **{f"turned-{n}": (".jpg", _turned(n)) for n in range(2, 9)},
    "grey-jpeg": (".jpg", _as("L", quality=92)),
    "cmyk-jpeg": (".jpg", _as("CMYK", quality=92)),
    "progressive-jpeg": (".jpg", _as("RGB", progressive=True, quality=85)),
    "full-chroma-jpeg": (".jpg", _as("RGB", subsampling=0, quality=95)),
    "palette-png": (".png", _as("P")),
    "palette-hole-png": (".png", _with_hole),
    "see-through-png": (".png", _see_through),
    "grey-alpha-png": (".png", _as("LA")),
    "one-bit-png": (".png", _as("1")),
    "gif": (".gif", _as("P")),
    "moving-gif": (".gif", _moving),
    "bmp": (".bmp", _as("RGB")),
    "lzw-tiff": (".tif", _as("RGB", compression="tiff_lzw")),
    "cmyk-tiff": (".tif", _as("CMYK")),
    "webp": (".webp", _as("RGB", quality=80)),
    "see-through-webp": (".webp", _see_through),
    "avif": (".avif", _as("RGB", quality=70)),
    "ppm": (".ppm", _as("RGB")),
    "three-lines": (".png", _thin),
    "one-pixel": (".png", _dot),
}
"""Of 16 bits a channel there is none: `serve_example.py`, which is compared too, reads 8."""
