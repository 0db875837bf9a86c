"""What stands for `-` among inputs: one image piped in, or a list of files, told by its content.

A text whose first name is that of a file is a list, though images may begin so too. A list has a
name a line, or names that end with a null character, as `find -print0` gives them. It is taken as
it comes, so that one of any length needs little memory.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any

from PIL import Image

from autotl.errors import DataError, UnreadableError, UsageError
from autotl.files import MOST_IMAGE, look
from autotl.pixels import FORMATS, printable
from autotl.prediction.inputs import Item, in_folder, items

NAME = "-"
_CHUNK = 65_536
_HEAD = 64
"""Bytes that tell an image of each format."""
_MOST_NAME = 65_536
"""Bytes of one file's name; the system's own limit is far below."""
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
_PPM = re.compile(rb"P\w(\s+|\s*#[^\n]*\n)+\d+\s")
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<svg")
_NEITHER = "It is neither an image of a known format nor a list of file names in UTF-8."


def with_standard_input(inputs: Sequence[str], stream: IO[bytes]) -> Iterable[Item]:
    """Every input with its id, in order, `-` as what `stream` gives.

    Raises at once `UsageError` and `DataError` for inputs that `items` refuses, `UsageError` where
    `-` is there twice. What is wrong with a name in the list is told of that item alone.
    """
    if inputs.count(NAME) > 1:
        raise UsageError(
            "The standard input can be read once, but - is among the inputs twice.",
            hint="A file that is called - is given as ./-",
        )
    parts = [_piped(stream) if given == NAME else items([given])[0] for given in inputs]
    return chain.from_iterable(parts)


def is_image(head: bytes) -> bool:
    """Whether these first bytes are those of an image in a format that `pixels.decode` reads."""
    if head.startswith(b"BM"):  # so may a file's name
        return int.from_bytes(head[14:18], "little") in _BMP_HEADERS and len(head) >= 18
    if re.match(rb"P\w", head) and _accepts("PPM", head):
        return _PPM.match(head) is not None
    return any(_accepts(name, head) for name in FORMATS)


def _accepts(name: str, head: bytes) -> bool:
    Image.init()
    accept = Image.OPEN[name][1] if name in Image.OPEN else None
    return accept is not None and len(head) >= 4 and bool(accept(head[:16]))


def _piped(stream: IO[bytes]) -> Iterator[Item]:
    """The image, or the files named, of a stream; or one item with what is wrong."""
    chunks = _chunks(stream)
    head = _beginning(chunks)
    if not head:
        yield NAME, _raising("The standard input is empty (0 bytes).")
    elif _begins_with_a_file(head):
        yield from _named(head, chunks)
    elif is_image(head):
        yield NAME, _whole(head, chunks)
    elif head.lstrip().lower().startswith(_MARKUP):
        yield NAME, _raising("It is a web page or other markup, no image of a known format.")
    elif not _is_list(head):
        yield NAME, _raising(_NEITHER)
    else:
        yield from _named(head, chunks)


def _beginning(chunks: Iterator[bytes]) -> bytes:
    """The first bytes: enough to tell an image by, of a text also its first name."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) < _HEAD:
            continue
        if len(head) >= _MOST_NAME or re.search(rb"[\0\n]", head) or not _is_list(head):
            break
    return head


def _begins_with_a_file(head: bytes) -> bool:
    """Whether it is a text whose first name is that of something there; two letters, such as P5,
    do not suffice.
    """
    name = _trimmed(*_first(head.removeprefix(codecs.BOM_UTF8)))
    looked_at = head[: max(_HEAD, len(name))]
    if not 2 < len(name) <= _MOST_NAME or not _is_list(looked_at) or _CONTROL.search(looked_at):
        return False
    try:
        return look(Path(os.fsdecode(name))) is not None
    except UsageError:  # it is told of the item
        return False


def _first(head: bytes) -> tuple[bytes, bytes]:
    """The first name of a list, and what ends every name."""
    ending = b"\0" if b"\0" in head else b"\n"
    return head.split(ending, 1)[0], ending


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """What there is to read, as soon as there is some."""
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    while chunk := read(_CHUNK):
        yield chunk


def _whole(head: bytes, chunks: Iterator[bytes]) -> bytes | Callable[[], Any]:
    parts, size = [head], len(head)
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > MOST_IMAGE:
            return _raising(f"The standard input has more than {MOST_IMAGE:,} bytes.")
    return b"".join(parts)


def _is_list(head: bytes) -> bool:
    """Whether the bytes begin a text in UTF-8 whose names, where null characters end them, are none
    of them empty.
    """
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return not head.startswith(b"\0") and b"\0\0" not in head


def _named(head: bytes, chunks: Iterator[bytes]) -> Iterator[Item]:
    """The items of a list that begins with `head`; what ends the first name ends all."""
    head = head.removeprefix(codecs.BOM_UTF8)
    _, ending = _first(head)
    name = b""
    for name in _names(chain([head], chunks), ending):
        yield from _item(name)
    if not name:
        yield NAME, _raising("The list names no file: it has only empty lines.")


def _names(chunks: Iterable[bytes], ending: bytes) -> Iterator[bytes]:
    """The names, without the empty ones; one too long is cut to a byte above the limit."""
    rest = b""
    for chunk in chunks:
        *ended, rest = (rest + chunk).split(ending)
        yield from filter(None, (_trimmed(name, ending) for name in ended))
        rest = rest[: _MOST_NAME + 1]
    if last := _trimmed(rest, ending):
        yield last


def _trimmed(name: bytes, ending: bytes) -> bytes:
    return name.removesuffix(b"\r") if ending == b"\n" else name


def _item(raw: bytes) -> Iterator[Item]:
    """The file, or the images of the folder, of one name in a list."""
    name = os.fsdecode(raw)
    path = Path(name)
    try:
        found = look(path) if len(raw) <= _MOST_NAME else None
        if found == "folder":
            yield from in_folder(path)
        elif found is None:
            yield printable(name[:256]), _raising("There is no file or folder of this name.")
        else:
            yield printable(name), path
    except (UsageError, DataError) as error:
        yield printable(name), _raising(error.message)


def _raising(message: str) -> Callable[[], Any]:
    """A content that cannot be read, for this reason."""

    def read() -> Any:
        raise UnreadableError(message)

    return read
