"""What a resize makes of an image on its way: of one that is long and thin something huge."""

from __future__ import annotations

from typing import Literal

from autotl.errors import UnreadableError
from autotl.pixels import MAX_PIXELS


def most_pixels(height: int, width: int, size: int, policy: Literal["squash", "crop"]) -> int:
    """Pixels of the largest image on the way to `size`: resizing goes across first, then down, and
    what is cut is cut at the end (`pixels.resize`).
    """
    if (height, width) == (size, size):
        return size * size
    tall = wide = size
    if policy == "crop":
        shorter = min(height, width)
        tall, wide = ((2 * side * size + shorter) // (2 * shorter) for side in (height, width))
    return max(height, tall) * wide


def check_resize(height: int, width: int, size: int, policy: Literal["squash", "crop"]) -> None:
    """Raise `UnreadableError` where the image would have more than `MAX_PIXELS` pixels on its way:
    a file of a kilobyte may hold 400,000 × 1 pixels, of which a crop to 160 makes 10,000 million.
    """
    if most_pixels(height, width, size, policy) > MAX_PIXELS:
        raise UnreadableError(
            f"The image of {width} × {height} pixels is too narrow: resized to {size}, it would "
            f"have more than {MAX_PIXELS:,} pixels on its way."
        )
