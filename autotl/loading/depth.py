"""Whether images of 16 bits a channel use so few of them that they become nearly black."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from autotl.pixels import FORMATS, decode, pillow_warnings_ignored
from autotl.records import Dataset

SAMPLE = 32
"""Images that are looked at, spread over all."""
DIM = 64
"""Of 255: up to this are images of 14 bits and fewer that are stored in 16."""
_PNG = b"\x89PNG\r\n\x1a\n"
_BITS_PER_SAMPLE = 258


def nearly_black(dataset: Dataset) -> tuple[str, ...]:
    """A remark where no sampled image of 16 bits has a pixel above `DIM` of 255; else none."""
    if not dataset.ids:
        return ()
    rows = np.unique(np.linspace(0, len(dataset.ids) - 1, SAMPLE).astype(int)).tolist()
    with pillow_warnings_ignored():
        brightest = [most for row in rows if (most := _brightest(dataset, row)) is not None]
    if not brightest or max(brightest) > DIM:
        return ()
    return (
        f"Images of 16 bits are nearly black: none of {len(brightest)} that were looked at reaches "
        f"more than {max(brightest)} of 255, since 16 bits become 8 by value / 257. Values of 12 "
        "bits, say, want to be multiplied by 16 in the files first.",
    )


def sixteen_bits(content: bytes) -> bool:
    """Whether an image file's header says that its channels have 16 bits."""
    if content.startswith(_PNG):
        return content[24:25] == b"\x10"
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            tags = getattr(image, "tag_v2", None) or {}
            return image.mode.startswith("I") or 16 in np.atleast_1d(tags.get(_BITS_PER_SAMPLE, 0))
    except MemoryError:
        raise
    except Exception:  # Pillow's many; whoever decodes it tells what is wrong
        return False


def _brightest(dataset: Dataset, row: int) -> int | None:
    """The largest value of an example, of 255, where it is a file of 16 bits that can be read."""
    try:
        content = dataset.read(row)
        if not isinstance(content, bytes) or not sixteen_bits(content):
            return None
        return int(decode(content).max())
    except MemoryError:
        raise
    except Exception:  # it could be read before; a plugin's `read` raises what it likes
        return None
