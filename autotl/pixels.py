"""Bytes to upright RGB pixels to resized pixels: the one decoder and the one resizer.

Training, the export gate and prediction all go through `decode` and `resize` (`resized` is both),
and so may plugins: whoever decodes in another way sees other numbers than the exported model. Here
too: how the names of image files end, and how they are written. NumPy and Pillow only.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from autotl.errors import UnreadableError

IMAGE_SUFFIXES: frozenset[str] = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".dib", ".gif"),
        *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
    )
)
"""File name endings, in lower case, of the formats that `decode` reads."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "AVIF")
"""Pillow's names of those formats. Others are refused: EPS, for one, would run a program."""

MAX_PIXELS = 89_478_485
"""Width times height above which an image is refused unread (256 MiB as RGB, Pillow's limit)."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(content: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Upright RGB pixels, uint8 (height, width, 3), of an encoded image or of given pixels.

    `content` is the bytes of an image file, or uint8 pixels (height, width) or
    (height, width, 1|3|4). The EXIF orientation is applied; transparency is laid over white;
    greyscale, palette and CMYK become RGB; 16 bits a channel become 8 by value / 257; of an
    animation the first frame is taken.

    Raises `UnreadableError` for what is empty, truncated, of no known format, or of more than
    `MAX_PIXELS` pixels.
    """
    return np.asarray(_decoded(content))


def readable_side(content: bytes | NDArray[np.uint8]) -> int:
    """What `shorter_side` gives, of an image that `decode` can read.

    Raises `UnreadableError` exactly where `decode` does.
    """
    if isinstance(content, np.ndarray):
        return min(_decoded(content).size)
    try:
        return _read_small(content)
    except UnreadableError:  # a lossless JPEG, say, cannot be read small
        return min(_decoded(content).size)


def _read_small(content: bytes) -> int:
    """The shorter side of an image that was read to its end, a JPEG at an eighth of its size: what
    is torn shows as well, and most of the arithmetic is spared.
    """
    with _opened(content) as image:
        side = min(image.size)
        image.draft(None, (1, 1))
        image.load()
        _rgb(_upright(image))
        return side


def resized(
    content: bytes | NDArray[np.uint8],
    sizes: Sequence[int],
    policy: Literal["squash", "crop"] = "squash",
) -> list[NDArray[np.uint8]]:
    """`resize(decode(content), size, policy)` for each of the sizes, with one decoding."""
    image = _decoded(content)
    return [_fitted(image, size, policy) for size in sizes]


def shorter_side(content: bytes | NDArray[np.uint8]) -> int:
    """The shorter side in pixels of what `decode` gives, from the header alone.

    Raises `UnreadableError` where there is none; a torn image may have one.
    """
    if isinstance(content, np.ndarray):
        return int(min(content.shape[:2]))
    with _opened(content) as image:
        return min(image.size)


def resize(
    image: NDArray[np.uint8], size: int, policy: Literal["squash", "crop"] = "squash"
) -> NDArray[np.uint8]:
    """The image as uint8 (size, size, 3), by Pillow's antialiased bicubic on uint8, across first.

    `image` is uint8 (height, width, 3). `squash` ignores the aspect ratio. `crop` resizes the
    shorter side to `size` and the longer to floor(longer * size / shorter + 1/2), then cuts
    `size` pixels out of it from floor((that - size) / 2) on.
    """
    if image.shape[:2] == (size, size):
        return image
    return _fitted(Image.fromarray(image), size, policy)


def content_hash(content: Any) -> str:
    """SHA-256 in hex of encoded bytes, or of an array's shape, type and values."""
    if not isinstance(content, np.ndarray):
        return hashlib.sha256(content).hexdigest()
    digest = hashlib.sha256(f"{content.dtype.str}{content.shape}".encode())
    digest.update(np.ascontiguousarray(content).data)
    return digest.hexdigest()


@contextmanager
def pillow_warnings_ignored() -> Iterator[None]:
    """Silence Pillow's remarks on odd files (corrupt EXIF, great size); `decode` judges them.

    Filters of warnings belong to the process: enter this once around a pool of threads, never
    inside its threads.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def printable(name: str) -> str:
    """A file's name as text that can be written anywhere: bytes that are no UTF-8 are escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


@contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    """The image with its header read; what goes wrong inside becomes an `UnreadableError`."""
    if len(content) == 0:
        raise UnreadableError("The file is empty (0 bytes).")
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            _check_size(image.width, image.height)
            yield image
    except UnreadableError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableError(f"The image has more than {MAX_PIXELS:,} pixels.") from error
    except UnidentifiedImageError as error:
        raise UnreadableError("The content is no image of a known format.") from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise a dozen different types on bad content
        raise UnreadableError(f"The image cannot be decoded: {error}.") from error


def _decoded(content: bytes | NDArray[np.uint8]) -> Image.Image:
    """Upright, of mode RGB, and loaded."""
    if isinstance(content, np.ndarray):
        return _rgb(_from_array(content))
    with _opened(content) as image:
        image.load()
        return _rgb(_upright(image))


def _fitted(image: Image.Image, size: int, policy: Literal["squash", "crop"]) -> NDArray[np.uint8]:
    if policy == "squash":
        return _resized(image, size, size)
    width, height = image.size
    shorter = min(height, width)
    tall, wide = ((2 * side * size + shorter) // (2 * shorter) for side in (height, width))
    top, left = (tall - size) // 2, (wide - size) // 2
    return _resized(image, tall, wide)[top : top + size, left : left + size]


def _resized(image: Image.Image, height: int, width: int) -> NDArray[np.uint8]:
    # across, then down: left to itself Pillow picks the order by the shape, and clips in between
    across = image.resize((width, image.height), Image.Resampling.BICUBIC)
    return np.asarray(across.resize((width, height), Image.Resampling.BICUBIC))


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadableError(
            f"The image has {width} × {height} pixels, more than {MAX_PIXELS:,} in all."
        )


def _from_array(pixels: NDArray[Any]) -> Image.Image:
    if pixels.dtype != np.uint8:
        raise UnreadableError(f"The pixels are {pixels.dtype}, not uint8.")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise UnreadableError(
            f"The pixels have shape {pixels.shape}, not (height, width) or (height, width, 1|3|4)."
        )
    if pixels.size == 0:
        raise UnreadableError(f"The image is empty: its shape is {pixels.shape}.")
    _check_size(pixels.shape[1], pixels.shape[0])
    return Image.fromarray(np.ascontiguousarray(pixels))


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a broken EXIF block says nothing of the pixels, which are sound
        orientation = 1
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if image.has_transparency_data:
        above = image.convert("RGBA")
        white = Image.new("RGBA", above.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, above)
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 65535:
        raise UnreadableError(
            f"The image's values (mode {image.mode}) are neither of 8 nor of 16 bits."
        )
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
