"""Small pictures of examples, as files in the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autotl.files import file_ref, write_atomically
from autotl.pixels import content_hash, decode, pillow_warnings_ignored
from autotl.records import Dataset, FileRef

FOLDER, SIDE, QUALITY = "thumbnails", 128, 80
"""Where they lie in the run folder, their longer side in pixels at most, and JPEG's quality."""


def thumbnail(
    dataset: Dataset, hashes: Sequence[str], row: int, run_folder: Path
) -> FileRef | None:
    """The JPEG made of an example, named by its row; None where the example cannot be read again,
    or is not what was loaded. Raises what writing a file raises.
    """
    pixels = _read(dataset, row, hashes[row])
    if pixels is None:
        return None
    path = run_folder / FOLDER / f"{row:06d}.jpg"
    write_atomically(path, partial(_write, _small(pixels)))
    return file_ref(path, run_folder)


def _read(dataset: Dataset, row: int, known: str) -> NDArray[np.uint8] | None:
    try:
        content = dataset.read(row)
        with pillow_warnings_ignored():
            return decode(content) if content_hash(content) == known else None
    except MemoryError:
        raise
    except Exception:  # a loader's `read` raises what it likes, and a picture is worth no run
        return None


def _small(pixels: NDArray[np.uint8]) -> Image.Image:
    """At most `SIDE` on its longer side, both sides at least 1; smaller ones are left as they
    are.
    """
    image = Image.fromarray(pixels)
    shrink = SIDE / max(image.size)
    if shrink >= 1:
        return image
    width, height = (max(1, round(side * shrink)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


def _write(image: Image.Image, path: Path) -> None:
    image.save(path, "JPEG", quality=QUALITY)
