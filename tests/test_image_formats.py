"""Image files of every format, from a folder through the loader and the decoder to known pixels.

The files are written byte by byte where Pillow would be both writer and reader.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import autotl
from autotl.builtin import image_folders
from autotl.loading import load
from autotl.loading.depth import DIM, SAMPLE, nearly_black, sixteen_bits
from autotl.pixels import IMAGE_SUFFIXES, decode
from autotl.records import Dataset
from tests.images import pattern

Values = NDArray[Any]
GREY = np.array([[0, 1, 128], [129, 254, 255]])
COLOUR = np.array([[[255, 0, 0], [0, 255, 0], [1, 2, 3]], [[9, 8, 7], [0, 0, 255], [250, 5, 50]]])
DEEP = np.array([[0, 128, 129], [257, 32768, 65535]])
"""Of 16 bits: 128 / 257 is just below a half, 129 / 257 just above it."""
DEEP_IN_8 = np.array([[0, 0, 1], [1, 128, 255]])
HIGH_BYTES = np.array([[0, 0, 0], [1, 128, 255]])


def png(values: Values, bits: int, colour: int, *chunks: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    height, width = values.shape[:2]
    if bits < 8:
        lines = [np.packbits(line.astype(np.uint8)).tobytes() for line in values]
    else:
        lines = [line.astype(">u2" if bits == 16 else "u1").tobytes() for line in values]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    more = b"".join(chunk(each[:4], each[4:]) for each in chunks)
    data = zlib.compress(b"".join(b"\0" + line for line in lines))
    parts = chunk(b"IHDR", header), more, chunk(b"IDAT", data), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(values: Values, bits: int, photometric: int, order: str = "<") -> bytes:
    """One uncompressed strip; as many channels as `values` has."""
    height, width = values.shape[:2]
    channels = values.shape[2] if values.ndim == 3 else 1
    data = values.astype(f"{order}u{bits // 8}").tobytes()
    depths = struct.pack(f"{order}{channels}H", *[bits] * channels)
    after = 8 + 2 + 9 * 12 + 4
    aside = depths if len(depths) > 4 else b""

    def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
        return struct.pack(f"{order}HHI", tag, kind, count) + value.ljust(4, b"\0")

    def short(tag: int, value: int) -> bytes:
        return entry(tag, 3, 1, struct.pack(f"{order}H", value))

    def long(tag: int, value: int) -> bytes:
        return entry(tag, 4, 1, struct.pack(f"{order}I", value))

    depth_at = struct.pack(f"{order}I", after) if aside else depths
    entries = (
        *(short(256, width), short(257, height), entry(258, 3, channels, depth_at), short(259, 1)),
        *(short(262, photometric), long(273, after + len(aside)), short(277, channels)),
        *(short(278, height), long(279, len(data))),
    )
    head = b"II*\0" if order == "<" else b"MM\0*"
    count = struct.pack(f"{order}H", len(entries))
    body = count + b"".join(entries) + struct.pack(f"{order}I", 0)
    return head + struct.pack(f"{order}I", 8) + body + aside + data


def bmp(lines: bytes, bits: int, palette: bytes = b"", height: int = 2) -> bytes:
    """Three pixels wide; `lines` are padded to four bytes, the lowest line first."""
    start = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, 3, height, 1, bits, 0, 0, 0, 0, len(palette) // 4, 0)
    return b"BM" + struct.pack("<IHHI", start + len(lines), 0, 0, start) + info + palette + lines


def bgr(values: Values) -> bytes:
    return b"".join(line[:, ::-1].astype("u1").tobytes() + b"\0" * 3 for line in values[::-1])


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def grey(values: Values) -> Values:
    return np.repeat(values[..., None], 3, axis=2)


def pages(compression: str | None = None) -> bytes:
    """A TIFF whose first page is `COLOUR` and whose second page is black, and larger."""
    first = Image.fromarray(COLOUR.astype(np.uint8))
    rest = [Image.new("RGB", (30, 20))]
    options = {"compression": compression} if compression else {}
    return saved(first, "TIFF", save_all=True, append_images=rest, **options)


def frames() -> bytes:
    """A GIF of three frames, the first one with two colours."""
    first = Image.fromarray(GREY.astype(np.uint8) // 128).convert("P")
    first.putpalette([10, 20, 30, 200, 100, 50])
    rest = [Image.new("P", (3, 2), 1) for _ in range(2)]
    return saved(first, "GIF", save_all=True, append_images=rest, duration=40)


TWO = np.where(GREY[..., None] < 128, [10, 20, 30], [200, 100, 50])
PALETTE = b"PLTE" + bytes([10, 20, 30, 200, 100, 50])
ODD = np.array([[0, 1, 0], [1, 1, 0]])
TEXT = b"P3\n# by hand\n3 2\n255\n" + b" ".join(b"%d" % each for each in COLOUR.ravel())
ALPHA = np.concatenate([COLOUR, np.array([[[255], [255], [0]], [[255], [0], [255]]])], axis=2)
OVER_WHITE = np.where(ALPHA[..., 3:] == 0, 255, COLOUR)
INK = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 255, 0]]] * 2)
INK_IN_RGB = np.array([[[255, 255, 255], [0, 255, 255], [255, 0, 0]]] * 2)

FILES: dict[str, tuple[bytes, Values]] = {
    "grey.png": (png(GREY, 8, 0), grey(GREY)),
    "colour.png": (png(COLOUR, 8, 2), COLOUR),
    "one-bit.png": (png(ODD, 1, 0), grey(ODD * 255)),
    "palette.png": (png(GREY // 128, 8, 3, PALETTE), TWO),
    "clear-palette.png": (
        png(GREY // 128, 8, 3, PALETTE, b"tRNS\0"),
        np.where(GREY[..., None] < 128, 255, TWO),
    ),
    "half-clear-palette.png": (
        png(GREY // 128, 8, 3, PALETTE, b"tRNS\xff\x80"),
        np.where(GREY[..., None] < 128, TWO, [227, 177, 152]),
    ),
    "alpha.png": (png(ALPHA, 8, 6), OVER_WHITE),
    "grey-16.png": (png(DEEP, 16, 0), grey(DEEP_IN_8)),
    "colour-16.png": (png(grey(DEEP), 16, 2), grey(HIGH_BYTES)),
    "bits-24.bmp": (bmp(bgr(COLOUR), 24), COLOUR),
    "bits-8.bmp": (
        bmp(b"\1\1\1\0" + b"\0\0\1\0", 8, bytes([30, 20, 10, 0, 50, 100, 200, 0])),
        TWO,
    ),
    "bits-1.bmp": (
        bmp(b"\xc0\0\0\0\x40\0\0\0", 1, bytes([0, 0, 0, 0, 255, 255, 255, 0])),
        grey(ODD * 255),
    ),
    "still.dib": (bmp(bgr(COLOUR), 24)[14:], COLOUR),
    "frames.gif": (frames(), TWO),
    "pages.tif": (pages(), COLOUR),
    "pages-lzw.tiff": (pages("tiff_lzw"), COLOUR),
    "deflated.tiff": (pages("tiff_adobe_deflate"), COLOUR),
    "grey-16.tif": (tiff(DEEP, 16, 1), grey(DEEP_IN_8)),
    "grey-16-big.tif": (tiff(DEEP, 16, 1, ">"), grey(DEEP_IN_8)),
    "grey-16-lzw.tif": (
        saved(Image.fromarray(DEEP.astype(np.uint16)), "TIFF", compression="tiff_lzw"),
        grey(DEEP_IN_8),
    ),
    "colour-16.tif": (tiff(grey(DEEP), 16, 2), grey(HIGH_BYTES)),
    "white-is-zero.tif": (tiff(GREY, 8, 0), grey(255 - GREY)),
    "ink.tif": (tiff(INK, 8, 5), INK_IN_RGB),
    "ink-16.tif": (tiff(INK * 257, 16, 5), INK_IN_RGB),
    "colour.ppm": (b"P6 3 2 255\n" + COLOUR.astype("u1").tobytes(), COLOUR),
    "text.ppm": (TEXT, COLOUR),
    "colour-16.ppm": (b"P6 3 2 65535\n" + grey(DEEP).astype(">u2").tobytes(), grey(DEEP_IN_8)),
    "grey.pgm": (b"P5 3 2 255\n" + GREY.astype("u1").tobytes(), grey(GREY)),
    "grey-16.pgm": (b"P5 3 2 65535\n" + DEEP.astype(">u2").tobytes(), grey(DEEP_IN_8)),
    "grey-12.pgm": (
        b"P5 3 2 4095\n" + np.array([[0, 8, 9], [16, 2048, 4095]]).astype(">u2").tobytes(),
        grey(np.array([[0, 0, 1], [1, 128, 255]])),
    ),
    "grey.pnm": (b"P2 3 2 255\n0 1 128 129 254 255\n", grey(GREY)),
    "bits.pbm": (b"P4 3 2\n\xa0\x20", grey(ODD * 255)),
}
"""By file name: content, and the pixels (2, 3, 3) that it stands for."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, each with all the files; those of the second class end with other zeros."""
    root = tmp_path_factory.mktemp("formats")
    for name in ("one", "two"):
        (root / name).mkdir()
        for file, (content, _) in FILES.items():
            (root / name / file).write_bytes(content)
    return root


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    found = load(str(folder), image_folders.autotl_loaders())
    assert found.record.set_aside == ()
    assert found.record.examples == 2 * len(FILES)
    assert found.record.median_side == 2
    return found.dataset


@pytest.mark.parametrize("name", FILES)
def test_a_file_comes_through_with_its_pixels(dataset: Dataset, name: str) -> None:
    wanted = FILES[name][1]
    row = dataset.ids.index(f"one/{name}")
    shown = decode(dataset.read(row))
    assert (shown.dtype, shown.shape) == (np.uint8, (2, 3, 3))
    assert shown.tolist() == wanted.tolist()


def test_every_ending_but_those_of_lossy_formats_is_here() -> None:
    lossy = {".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif"}
    assert {Path(name).suffix for name in FILES} == IMAGE_SUFFIXES - lossy


def test_a_run_on_all_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained on eight formats in turn, and asked about each of them."""
    monkeypatch.setenv("AUTOTL_DISABLE_PLUGIN_AUTOLOAD", "1")
    wide = {"bmp": {}, "tiff": {"compression": "tiff_lzw"}, "ppm": {}, "png": {}, "webp": {}}
    root = tmp_path / "data"
    for label, name in enumerate(("oak", "elm")):
        (root / name).mkdir(parents=True)
        for number in range(40):
            picture = pattern(label, number, size=(32, 32))
            image = Image.fromarray(picture)
            form = ("bmp", "gif", "tiff", "ppm", "pgm", "png", "webp", "deep")[number % 8]
            path = root / name / f"{number}.{'png' if form == 'deep' else form}"
            if form == "deep":
                path.write_bytes(png(picture.astype(int) * 257, 16, 2))
            elif form == "pgm":
                image.convert("L").save(path, "PPM")
            elif form == "gif":
                image.quantize(200).save(path, "GIF")
            else:
                image.save(path, form.upper(), **wide[form])
    fitted = autotl.fit(root, out=tmp_path / "run", trials=1, seed=3)
    assert fitted.report["data"]["examples"] == 80
    assert fitted.report["data"]["set_aside"] == []
    files = sorted((root / "oak").iterdir())[:8] + sorted((root / "elm").iterdir())[:8]
    answers = [each.label for each in fitted.predict(files)]
    right = sum(label == file.parent.name for label, file in zip(answers, files, strict=True))
    assert right >= 14


# ---- 16 bits of which few are used ----


def deep_data(root: Path, most: int, count: int = 40, form: str = "png") -> Any:
    rng = np.random.default_rng(most)
    for name in ("one", "two"):
        (root / name).mkdir(parents=True)
        for number in range(count // 2):
            values = rng.integers(0, most + 1, (8, 9))
            values[0, 0] = most
            content = png(values, 16, 0) if form == "png" else tiff(values, 16, 1)
            (root / name / f"{number:03d}.{form}").write_bytes(content)
    return load(str(root), image_folders.autotl_loaders()).record


@pytest.mark.parametrize("form", ["png", "tif"])
@pytest.mark.parametrize(("most", "shown"), [(4095, 16), (1023, 4), (16383, 64)])
def test_values_of_few_bits_in_sixteen_are_named(
    tmp_path: Path, form: str, most: int, shown: int
) -> None:
    (warning,) = deep_data(tmp_path, most, form=form).warnings
    assert "Images of 16 bits are nearly black: none of 32 that were looked at" in warning
    assert f"more than {shown} of 255" in warning


@pytest.mark.parametrize("form", ["png", "tif"])
def test_sixteen_bits_in_use_are_not_remarked_on(tmp_path: Path, form: str) -> None:
    assert deep_data(tmp_path, 30_000, form=form).warnings == ()


def test_dark_images_of_eight_bits_are_not_remarked_on(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.png").write_bytes(png(GREY // 20 + number, 8, 0))
    record = load(str(tmp_path), image_folders.autotl_loaders()).record
    assert not any("16 bits" in line for line in record.warnings)


def test_no_more_than_the_sample_is_read() -> None:
    read: list[int] = []
    content = png(DEEP // 16, 16, 0)

    def give(row: int) -> bytes:
        read.append(row)
        return content

    some = Dataset(
        kind="image",
        ids=tuple(map(str, range(5000))),
        labels=(0,) * 5000,
        classes=("a",),
        read=give,
    )
    assert len(nearly_black(some)) == 1
    assert len(read) == SAMPLE
    assert (read[0], read[-1]) == (0, 4999)
    assert DIM < 255


@pytest.mark.parametrize(
    ("content", "deep"),
    [
        *(
            (FILES[name][0], "16" in name and "ppm" not in name)
            for name in FILES
            if "12" not in name
        ),
        (b"", False),
        (b"\x89PNG\r\n\x1a\n", False),
        (b"II*\0" + b"\xff" * 60, False),
    ],
)
def test_the_header_tells_sixteen_bits(content: bytes, deep: bool) -> None:
    assert sixteen_bits(content) is deep
