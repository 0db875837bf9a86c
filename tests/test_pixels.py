from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from autotl.errors import UnreadableError
from autotl.pixels import (
    IMAGE_SUFFIXES,
    decode,
    pillow_warnings_ignored,
    readable_side,
    resize,
    resized,
    shorter_side,
)
from tests.images import encoded, pattern

PICTURE = pattern(1, 0, size=(12, 8))


def file_of(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm"])
def test_lossless_formats_give_their_pixels_back(suffix: str) -> None:
    assert np.array_equal(decode(encoded(PICTURE, suffix)), PICTURE)
    assert suffix in IMAGE_SUFFIXES


def test_lossless_webp_gives_its_pixels_back() -> None:
    assert np.array_equal(decode(encoded(PICTURE, ".webp", lossless=True)), PICTURE)


def test_jpeg_is_near_its_pixels() -> None:
    smooth = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    assert np.abs(decode(encoded(smooth, ".jpg")).astype(int) - smooth).max() <= 3


def test_greyscale_and_bilevel_become_three_equal_channels() -> None:
    grey = PICTURE[:, :, 0]
    shown = decode(file_of(Image.fromarray(grey), "PNG"))
    assert shown.shape == (8, 12, 3)
    assert all(np.array_equal(shown[:, :, channel], grey) for channel in range(3))
    bilevel = decode(file_of(Image.fromarray(grey).convert("1"), "PNG"))
    assert set(np.unique(bilevel)) <= {0, 255}


def test_sixteen_bits_become_eight_by_dividing_by_257() -> None:
    values = np.array([[0, 257, 65535], [128 * 257, 300, 40000]], np.uint16)
    shown = decode(file_of(Image.fromarray(values), "PNG"))[:, :, 0]
    assert shown.tolist() == [[0, 1, 255], [128, 1, 156]]


def test_float_images_are_refused_rather_than_guessed() -> None:
    content = file_of(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF")
    with pytest.raises(UnreadableError, match="neither of 8 nor of 16 bits"):
        decode(content)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(mode: str) -> None:
    clear = Image.new(mode, (3, 2), 0)
    assert (decode(file_of(clear, "PNG")) == 255).all()


def test_half_transparent_red_over_white_is_pink() -> None:
    half = Image.new("RGBA", (2, 2), (255, 0, 0, 128))
    assert decode(file_of(half, "PNG"))[0, 0].tolist() == [255, 127, 127]


def test_transparent_palette_entry_becomes_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    shown = decode(file_of(image, "PNG", transparency=0))
    assert shown.tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_cmyk_becomes_rgb() -> None:
    shown = decode(file_of(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert shown.shape == (8, 8, 3)
    assert shown[..., 0].min() > 240
    assert shown[..., 1:].max() < 15


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_undone(orientation: int) -> None:
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(Image.fromarray(PICTURE), "PNG", exif=exif)
    assert np.array_equal(decode(content), undo[orientation](PICTURE))


def test_broken_exif_does_not_make_an_image_unreadable() -> None:
    content = file_of(Image.fromarray(PICTURE), "PNG", exif=b"Exif\x00\x00broken")
    with pillow_warnings_ignored():
        assert np.array_equal(decode(content), PICTURE)


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    content = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(content)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".gif", ".tif"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_truncated_content_is_unreadable(suffix: str, share: float) -> None:
    content = encoded(pattern(2, 1, size=(64, 64)), suffix)
    with pillow_warnings_ignored(), pytest.raises(UnreadableError):
        decode(content[: int(len(content) * share)])


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_other_content_is_unreadable(content: bytes) -> None:
    with pytest.raises(UnreadableError):
        decode(content)


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"GIF89a", b"II*\0"]))
def test_arbitrary_bytes_decode_or_are_unreadable(content: bytes, start: bytes) -> None:
    with pillow_warnings_ignored():
        try:
            pixels = decode(start + content)
        except UnreadableError:
            return
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


@pytest.mark.parametrize("wanted", ["error", "ignore"])
def test_a_bomb_is_refused_unread_however_warnings_are_filtered(wanted: str) -> None:
    content = file_of(Image.new("1", (10_000, 10_000)), "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter(wanted)
        with pytest.raises(UnreadableError, match="pixels"):
            decode(content)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 3), (5, 4, 4)])
def test_arrays_become_rgb(shape: tuple[int, ...]) -> None:
    pixels = np.full(shape, 255, np.uint8)
    assert decode(pixels).shape == (5, 4, 3)
    assert (decode(pixels) == 255).all()


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_other_arrays_are_unreadable(pixels: np.ndarray) -> None:
    with pytest.raises(UnreadableError):
        decode(pixels)


def test_squash_is_pillows_bicubic() -> None:
    wanted = Image.fromarray(PICTURE).resize((5, 5), Image.Resampling.BICUBIC, reducing_gap=None)
    assert np.array_equal(resize(PICTURE, 5, "squash"), np.asarray(wanted))


def test_an_image_of_the_wanted_size_is_unchanged() -> None:
    square = pattern(0, 0, size=(9, 9))
    assert np.array_equal(resize(square, 9), square)
    assert np.array_equal(resize(square, 9, "crop"), square)


@pytest.mark.parametrize(("width", "height"), [(30, 10), (10, 30), (31, 10)])
def test_crop_cuts_the_centre(width: int, height: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    top, left = (height - 10) // 2, (width - 10) // 2
    image[top : top + 10, left : left + 10] = 200
    assert (resize(image, 10, "crop") == 200).all()


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
def test_resize_always_gives_the_size(width: int, height: int, size: int) -> None:
    image = np.full((height, width, 3), 77, np.uint8)
    for policy in ("squash", "crop"):
        out = resize(image, size, policy)
        assert out.shape == (size, size, 3)
        assert (out == 77).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".bmp", ".gif", ".tif"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_shorter_side_is_that_of_the_decoded_image(suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(pattern(1, 0, size=(40, 24)), suffix, exif=exif)
    assert shorter_side(content) == min(decode(content).shape[:2]) == 24


def test_the_shorter_side_of_pixels_is_that_of_their_shape() -> None:
    assert shorter_side(np.zeros((9, 4), np.uint8)) == 4
    assert shorter_side(np.zeros((7, 9, 3), np.uint8)) == 7


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_has_no_side(content: bytes) -> None:
    with pytest.raises(UnreadableError):
        shorter_side(content)


# ---- judging ----


def large(image_format: str, mode: str = "RGB", **options: object) -> bytes:
    image = Image.fromarray(pattern(3, 1, size=(90, 70))).convert(mode)
    return file_of(image, image_format, **options)


WHOLE = {
    "baseline": large("JPEG", quality=80),
    "progressive": large("JPEG", progressive=True),
    "cmyk": large("JPEG", "CMYK"),
    "grey": large("JPEG", "L"),
    "restarts": large("JPEG", restart_marker_rows=1),
    "png": large("PNG"),
    "alpha": large("PNG", "RGBA"),
    "gif": large("GIF", "P"),
    "webp": large("WEBP", lossless=True),
    "tiff": large("TIFF"),
}


def outcome(function: Callable[[bytes], object], content: bytes) -> str:
    with pillow_warnings_ignored():
        try:
            function(content)
        except UnreadableError as error:
            return error.message
    return "readable"


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE)
def test_judging_gives_the_shorter_side(content: bytes) -> None:
    assert readable_side(content) == shorter_side(content) == min(decode(content).shape[:2]) == 70


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_what_is_judged_readable_is_what_can_be_decoded(name: str, data: st.DataObject) -> None:
    content = bytearray(WHOLE[name])
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    torn = bytes(content[: data.draw(st.integers(0, len(content)))])
    for one in (bytes(content), torn):
        assert outcome(readable_side, one) == outcome(decode, one)


def test_pixels_are_judged_as_they_are_decoded() -> None:
    assert readable_side(PICTURE) == 8
    with pytest.raises(UnreadableError, match="not uint8"):
        readable_side(PICTURE.astype(np.float32))


def lossless_jpeg(grey: Any) -> bytes:
    """A JPEG without loss (ITU-T T.81, process 14, SOF3) of uint8 (height, width), each value
    predicted by the one to its left.
    """
    height, width = grey.shape
    values = grey.astype(int)
    before = np.concatenate([values[:, :1], values[:, :-1]], axis=1)
    before[1:, 0], before[0, 0] = values[:-1, 0], 128
    bits = ""
    for apart in (values - before).ravel().tolist():
        size = abs(apart).bit_length()
        bits += format(size, "04b")
        bits += format(apart if apart > 0 else apart + (1 << size) - 1, f"0{size}b") * (size > 0)
    bits += "1" * (-len(bits) % 8)
    data = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    segments = [
        (0xC3, struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0])),
        (0xC4, bytes([0, 0, 0, 0, 9, *[0] * 12, *range(9)])),
        (0xDA, bytes([1, 1, 0, 1, 0, 0])),
    ]
    headers = b"".join(struct.pack(">BBH", 255, m, len(c) + 2) + c for m, c in segments)
    return b"\xff\xd8" + headers + data.replace(b"\xff", b"\xff\0") + b"\xff\xd9"


def test_a_jpeg_that_cannot_be_read_small_is_readable() -> None:
    grey = pattern(1, 0, size=(40, 32))[:, :, 0]
    content = lossless_jpeg(grey)
    assert np.array_equal(decode(content)[:, :, 0], grey)
    assert readable_side(content) == 32


# ---- several sizes of one decoding ----


@pytest.mark.parametrize("policy", ["squash", "crop"])
@pytest.mark.parametrize("name", ["baseline", "cmyk", "alpha"])
def test_sizes_of_one_decoding_are_those_of_the_decoded_image(name: str, policy: Any) -> None:
    sizes = (16, 70, 90, 18)
    found = resized(WHOLE[name], sizes, policy)
    for image, size in zip(found, sizes, strict=True):
        assert np.array_equal(image, resize(decode(WHOLE[name]), size, policy))
    assert np.array_equal(resized(PICTURE, [5])[0], resize(PICTURE, 5))
