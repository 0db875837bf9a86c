"""Files that bear an image's name: torn, empty, of other formats, huge, or odd but sound."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bad.case import Case, loads, pets, photo, photos, refused
from tests.crafted import IMAGES as HARMFUL
from tests.images import encoded, pattern

PIXELS = pattern(0, 900, size=(16, 16))
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
HTML = b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60)


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
    stream = BytesIO()
    image.save(stream, form, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def _grey(values: np.ndarray) -> bytes:
    return _saved(Image.fromarray(values), "TIFF")


def _one(name: str, content: bytes | Callable[[], bytes]) -> Callable[[Path], None]:
    """Pets, thirty of each, and one more file among the cats."""

    def write(root: Path) -> None:
        made = content if isinstance(content, bytes) else content()
        (pets(root, 30) / name).write_bytes(made)

    return write


def _broken_exif() -> bytes:
    torn = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff" * 3
    return _saved(Image.fromarray(PIXELS), "JPEG", exif=torn)


def _all_one(root: Path) -> None:
    pets(root)
    for path in root.rglob("*.png"):
        path.write_bytes(photo(0, 0))


def _no_image_at_all(root: Path) -> None:
    pets(root)
    for path in root.rglob("*.png"):
        path.write_bytes(HTML)


def _too_many(root: Path) -> None:
    for number in range(7):
        (pets(root, 50) / f"bad{number}.jpg").write_bytes(b"")


def _one_class(root: Path) -> None:
    photos(root, cats=40, dogs=40, owls=2)
    for path in (root / "owls").iterdir():
        path.write_bytes(HTML)


def _one_left(root: Path) -> None:
    photos(root, cats=40, dogs=40, owls=2)
    (root / "owls" / "00.png").write_bytes(b"")


JPEG = encoded(pattern(0, 901, size=(64, 64)), ".jpg")
PNG = photo(0, 902)
UNKNOWN = "no image of a known format"
TORN = "cannot be decoded"
TOO_MANY_PIXELS = "pixels, more than|more than 89,478,485 pixels"
TWO_PIECES = [Image.new("L", (8, 8), shade) for shade in (0, 255)]

BROKEN: tuple[tuple[str, str, bytes | Callable[[], bytes], str], ...] = (
    ("of-no-bytes", "x.jpg", b"", "0 bytes"),
    ("of-one-byte", "x.jpg", b"\xff", UNKNOWN),
    ("of-zeros", "x.png", bytes(5000), UNKNOWN),
    ("jpeg-cut-short", "x.jpg", JPEG[: len(JPEG) // 2], TORN),
    ("jpeg-header-alone", "x.jpg", JPEG[:20], f"{TORN}|{UNKNOWN}"),
    ("png-cut-short", "x.png", PNG[: len(PNG) // 2], TORN),
    ("png-with-a-wrong-sum", "x.png", PNG[:-20] + b"abcd" + PNG[-16:], TORN),
    ("page-named-jpg", "x.jpg", HTML, UNKNOWN),
    ("text-named-png", "x.png", "kein Bild — ничего".encode("utf-16"), UNKNOWN),
    ("drawing-named-png", "x.png", SVG, UNKNOWN),
    ("document-named-jpg", "x.jpg", b"%PDF-1.7\n%%EOF", UNKNOWN),
    ("postscript-named-jpg", "x.jpg", HARMFUL["script.jpg"], UNKNOWN),
    ("heic-named-jpg", "x.jpg", HEIC, UNKNOWN),
    ("layers-named-png", "x.png", b"8BPS\0\1" + bytes(300), UNKNOWN),
    ("archive-named-jpg", "x.jpg", b"PK\3\4" + bytes(60), UNKNOWN),
    ("bomb-png", "x.png", HARMFUL["huge.png"], TOO_MANY_PIXELS),
    ("bomb-gif", "x.gif", HARMFUL["huge.gif"], TOO_MANY_PIXELS),
    ("bomb-tiff", "x.tiff", HARMFUL["huge.tiff"], TOO_MANY_PIXELS),
    ("bomb-webp", "x.webp", HARMFUL["huge.webp"], TOO_MANY_PIXELS),
    ("bomb-ppm", "x.ppm", HARMFUL["huge.ppm"], TOO_MANY_PIXELS),
    ("note-of-a-hundred-megabytes", "x.png", HARMFUL["note.png"], TORN),
    ("floats", "x.tif", lambda: _grey(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)), "F"),
    ("not-a-number", "x.tif", lambda: _grey(np.full((8, 8), np.nan, np.float32)), "mode F"),
)

SOUND: tuple[tuple[str, str, Callable[[], bytes]], ...] = (
    ("of-one-pixel", "x.png", lambda: _saved(Image.new("RGB", (1, 1)), "PNG")),
    ("long-and-thin", "x.png", lambda: _saved(Image.new("RGB", (20_000, 1)), "PNG")),
    ("of-four-inks", "x.jpg", lambda: _saved(Image.new("CMYK", (16, 16)), "JPEG")),
    ("with-broken-exif", "x.jpg", _broken_exif),
    ("of-sixteen-bits", "x.png", lambda: _saved(Image.new("I;16", (8, 8), 40_000), "PNG")),
    ("of-two-colours", "x.png", lambda: _saved(Image.new("1", (8, 8)), "PNG")),
    ("transparent", "x.png", lambda: _saved(Image.new("RGBA", (8, 8)), "PNG")),
    ("named-as-another-format", "x.jpg", lambda: photo(0, 903)),
    ("with-a-tail", "x.png", lambda: photo(0, 904) + b"<?php ?>" * 9),
    (
        "moving",
        "x.gif",
        lambda: _saved(TWO_PIECES[0], "GIF", save_all=True, append_images=TWO_PIECES[1:]),
    ),
)

CASES: tuple[Case, ...] = (
    *(
        loads(f"image-{name}", _one(file, content), f"set aside: cats/{file}: .*({told})")
        for name, file, content, told in BROKEN
    ),
    *(
        loads(f"image-{name}", _one(file, content), "61 examples", silent=("set aside: cats",))
        for name, file, content in SOUND
    ),
    refused("no-image-is-one", _no_image_at_all, "8 of 8", f"cats/00.png: .*{UNKNOWN}", "Mend"),
    refused("six-of-a-hundred-are-broken", _too_many, "7 of 107", "more than 5%", "bad0.jpg"),
    refused("a-class-is-all-broken", _one_class, "No example of 'owls'", "owls/00.png: "),
    refused("a-class-has-one-whole-image", _one_left, "'owls' has one example"),
    loads("all-images-are-one", _all_one, "occurs under different classes"),
)
