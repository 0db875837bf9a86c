"""Which input sizes a backbone takes, and which of them suits the images."""

from __future__ import annotations

import math
from dataclasses import replace

from autotl.records import Backbone, InputSizes, LocatedBackbone

ENLARGEMENT = 1.25
"""An input that is somewhat larger than the image loses nothing of it to the first strides."""


def choose_input_size(sizes: InputSizes, median_side: int) -> int:
    """The least allowed input size that is 1.25 times the images' median shorter side.

    Where the images are larger than any allowed size it is the largest, where smaller the least.
    Unit: pixels.
    """
    step = sizes.multiple_of
    least = math.ceil(sizes.least / step) * step
    most = max(least, sizes.most // step * step)
    wanted = math.ceil(median_side * ENLARGEMENT / step) * step
    return min(max(wanted, least), most)


def smaller(sizes: InputSizes, side: int) -> list[int]:
    """Allowed input sizes below `side`, down to a quarter of it, by steps of about the square root
    of 2; smallest first.
    """
    step = sizes.multiple_of
    wished = {round(side / 2 ** (i / 2) / step) * step for i in range(1, 5)}
    return sorted(one for one in wished if takes(sizes, one) and one < side)


def resized(found: LocatedBackbone, side: int, why: str = "") -> LocatedBackbone:
    """The same backbone at another allowed input size, and why."""
    preprocessing = replace(found.preprocessing, size=side)
    return replace(found, input_size=side, preprocessing=preprocessing, size_reason=why)


def takes(sizes: InputSizes, side: int) -> bool:
    """Whether that many pixels a side are an allowed input."""
    return sizes.least <= side <= sizes.most and side % sizes.multiple_of == 0


def said(backbone: Backbone) -> str:
    """What inputs a backbone takes, as a sentence without its full stop."""
    sizes = backbone.input_sizes
    return (
        f"{backbone.name} takes inputs of {sizes.least} to {sizes.most} pixels in steps of "
        f"{sizes.multiple_of}"
    )
