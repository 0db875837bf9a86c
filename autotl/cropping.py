"""How long and thin an image may be whose shorter side is resized before its centre is cut."""

from __future__ import annotations

from autotl.errors import UnreadableError
from autotl.pixels import MAX_PIXELS


def check_crop(height: int, width: int, size: int) -> None:
    """Raise `UnreadableError` where the image would have more than `MAX_PIXELS` pixels once its
    shorter side is `size`: a file of a kilobyte may hold 400,000 × 1 pixels, which at 160 are 10
    thousand million.
    """
    shorter, longer = sorted((height, width))
    if size * size * longer > MAX_PIXELS * shorter:
        raise UnreadableError(
            f"The image has {width} × {height} pixels, and more than {MAX_PIXELS:,} once its "
            f"shorter side is {size}: it cannot be cropped."
        )
