"""Augmented views: view v of example i is drawn from (seed, i, v), wherever it is drawn.

View 0 is the example itself. Odd views are mirrored at the levels with "flip"; from view 1 on,
the levels with "crop" cut a random square, between 7/8 and all of the side, out of the pixels
stored with a margin, and resize it to the input size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.pixels import resize


def mirrored(level: str, view: int) -> bool:
    """Whether the view is mirrored left to right."""
    return "flip" in level and view % 2 == 1


def cropped(level: str, view: int) -> bool:
    """Whether the view is a random cut of the pixels with a margin."""
    return "crop" in level and view > 0


def name(level: str, view: int, seed: int) -> str:
    """Names a view so that equal names mean equal pixels, whatever the level is called."""
    cut = f"cut-{seed}-{view}" if cropped(level, view) else "whole"
    return f"{cut}-mirrored" if mirrored(level, view) else cut


def view(
    margin_pixels: NDArray[np.uint8], *, size: int, level: str, seed: int, row: int, view: int
) -> NDArray[np.uint8]:
    """One view, uint8 (size, size, 3), of uint8 pixels (side, side, 3) with side >= size."""
    image = margin_pixels
    if cropped(level, view):
        side = len(image)
        draw = np.random.default_rng(np.random.SeedSequence([seed, row, view]))
        cut = int(draw.integers(size, side + 1))
        top, left = draw.integers(0, side - cut + 1, 2)
        image = image[top : top + cut, left : left + cut]
    if image.shape[0] != size:
        image = resize(np.ascontiguousarray(image), size, "squash")
    return image[:, ::-1] if mirrored(level, view) else image


def views(
    pixels: NDArray[np.uint8],
    margin: NDArray[np.uint8],
    rows: Sequence[int] | NDArray[Any],
    *,
    level: str,
    seed: int,
    number: int,
) -> NDArray[np.uint8]:
    """View `number` of some rows: uint8 (len(rows), size, size, 3).

    `pixels` are stored at the input size, `margin` with the margin; rows index both.
    """
    if not cropped(level, number):
        plain = pixels[rows]
        return plain[:, :, ::-1] if mirrored(level, number) else plain
    size = pixels.shape[1]
    return np.stack(
        [
            view(image, size=size, level=level, seed=seed, row=int(row), view=number)
            for image, row in zip(margin[rows], rows, strict=True)
        ]
    )
