"""Files given as data: archives, broken ones, and what no loader reads."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tests.bad.case import Case, pets
from tests.images import arrays


def _file(name: str, content: Callable[[], bytes]) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / name).write_bytes(content())
        return ["fit", str(folder / name)]

    return make


def _case(
    name: str, file: str, content: Callable[[], bytes] | bytes, *says: str, outcome: int = 3
) -> Case:
    made = partial(bytes, content) if isinstance(content, bytes) else content
    return Case(name=name, make=_file(file, made), outcome=outcome, says=says)


def _npz() -> bytes:
    images, labels = arrays(2, 8, size=(8, 8))
    stream = io.BytesIO()
    np.savez(stream, images=images, labels=labels)
    return stream.getvalue()


def _half() -> bytes:
    return _npz()[: len(_npz()) // 2]


def _wrong_sum() -> bytes:
    whole = bytearray(_npz())
    whole[400] ^= 255
    return bytes(whole)


def _of_sides(text: str, packed: bytes = b"") -> bytes:
    """An `.npz` whose images say in their header that they have these sides."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {text}, }}"
    header = header.ljust(117) + "\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + packed
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", array)
        archive.writestr("labels.npy", array)
    return stream.getvalue()


def _zipped(*, suffix: str = "") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"photos/cats/1.png{suffix}", b"x")
    return stream.getvalue()


def _tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("photos/cats/1.png"))
    return stream.getvalue()


def _folder_named_npz(folder: Path) -> list[str]:
    (folder / "data.npz").mkdir()
    return ["fit", str(folder / "data.npz")]


def _archive_in_a_folder(folder: Path) -> list[str]:
    (folder / "photos").mkdir()
    (folder / "photos" / "photos.zip").write_bytes(_zipped())
    return ["fit", str(folder / "photos")]


def _loader_for_a_folder(folder: Path) -> list[str]:
    pets(folder / "photos")
    return ["fit", str(folder / "photos"), "--loader", "arrays"]


def _loader_for_an_archive(folder: Path) -> list[str]:
    (folder / "data.npz").write_bytes(_npz())
    return ["fit", str(folder / "data.npz"), "--loader", "image-folders"]


PLAIN = "Save plain arrays"

CASES: tuple[Case, ...] = (
    _case("zip-as-data", "photos.zip", _zipped, "[Uu]npack", "unzip"),
    _case("tar-as-data", "photos.tar.gz", _tarred, "[Uu]npack", "tar"),
    _case("seven-zip-as-data", "photos.7z", b"7z\xbc\xaf\x27\x1c", "[Uu]npack"),
    _case("photo-as-data", "cat.jpg", b"\xff\xd8\xff", "no loader reads", "one folder a class"),
    _case("model-as-data", "model.onnx", b"\x08\x08", "no loader reads"),
    _case("npz-of-no-bytes", "data.npz", b"", "cannot be read", PLAIN),
    _case("npz-of-text", "data.npz", b"images,labels", "cannot be read", PLAIN),
    _case("npz-that-is-one-array", "data.npz", lambda: _npz()[100:], "cannot be read", PLAIN),
    _case("npz-cut-short", "data.npz", _half, "cannot be read", PLAIN),
    _case("npz-with-a-wrong-sum", "data.npz", _wrong_sum, "cannot be read", PLAIN),
    _case("npz-of-photographs", "data.npz", _zipped, "names of the arrays", "Expected"),
    _case(
        "npz-that-claims-a-terabyte",
        "data.npz",
        partial(_of_sides, "(1000000, 1000, 1000)"),
        "not enough memory",
        outcome=5,
    ),
    _case("npz-that-claims-too-much", "data.npz", partial(_of_sides, f"({2**62}, 8, 8)"), PLAIN),
    _case("npz-with-negative-sides", "data.npz", partial(_of_sides, "(-1, 8, 8)"), PLAIN),
    _case("npz-whose-header-is-code", "data.npz", partial(_of_sides, "(__import__('os'),)"), PLAIN),
    _case("npz-that-is-a-pickle", "data.npz", b"\x80\x04\x95\x05\0\0\0\0\0\0\0C\x01x\x94.", PLAIN),
    Case(name="npz-that-is-a-folder", make=_folder_named_npz, outcome=3, says=("is empty",)),
    Case(
        name="zip-in-a-folder",
        make=_archive_in_a_folder,
        outcome=3,
        says=("photos.zip is an archive", "[Uu]npack|unzip"),
    ),
    Case(
        name="arrays-for-a-folder",
        make=_loader_for_a_folder,
        outcome=3,
        says=("photos is no file", ".npz"),
    ),
    Case(
        name="image-folders-for-an-archive",
        make=_loader_for_an_archive,
        outcome=3,
        says=("is a file, not a folder", "one folder a class"),
    ),
)
