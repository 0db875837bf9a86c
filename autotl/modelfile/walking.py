"""The protobuf of an ONNX file walked field by field, so that its structure can be had without its
weights, whatever their size, and before any parser sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

KEPT = 4096
"""Bytes of a tensor's data, or of a message, up to which it is kept as it is."""
MOST_STRUCTURE = 64_000_000
"""Bytes that all may take but the weights; a network of a thousand layers takes one million."""
MOST_FIELDS = 400_000
_DEEPEST = 100
"""Messages within messages; protobuf's own parsers stop there too."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_INNER: dict[str, dict[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Which field of a message holds which message, as far as tensors may lie in it."""
RAW = 9
_WIDTHS = {4: 4, 10: 8}
_VARINTS = (5, 7, 11)
_EXTERNAL_DATA = 13


class MalformedError(Exception):
    """The bytes are no ONNX model, or not all of it; the message is the end of a sentence."""


@dataclass(kw_only=True)
class _Kept:
    """What was copied so far, and the mark that stands for data that was left out."""

    mark: str
    size: int = 0
    fields: int = 0
    depth: int = 0


def slim(content: memoryview, mark: str) -> bytes:
    """The model without the data of large tensors.

    Such a tensor gets an entry of `external_data` with the key `mark`, which nobody can foresee,
    and the value "FIELD:COUNT": the number of the field that was left out, and how many bytes (of
    `RAW`) or numbers it holds. Raises `MalformedError`.
    """
    if len(content) == 0:
        raise MalformedError("it is empty (0 bytes)")
    return _slim(content, "model", _Kept(mark=mark))


def _slim(message: memoryview, kind: str, kept: _Kept) -> bytes:
    inner = _INNER.get(kind, {})
    parts: list[bytes | memoryview] = []
    kept.depth += 1
    if kept.depth > _DEEPEST:
        raise MalformedError(f"graphs lie in graphs more than {_DEEPEST // 3} deep")
    for number, wire, start, value, end in _fields(message, kept):
        large = wire == _BYTES and end - value > KEPT
        if large and number in inner:
            body = _slim(message[value:end], inner[number], kept)
            parts += [_varint(number << 3 | _BYTES), _varint(len(body)), body]
        elif large and kind == "tensor" and (count := _count(number, message[value:end])):
            parts.append(_entry(kept.mark, f"{number}:{count}"))
        else:
            kept.size += end - start
            parts.append(message[start:end])
        if kept.size > MOST_STRUCTURE:
            raise MalformedError(
                f"more than {MOST_STRUCTURE // 1_000_000} MB of it are other things than weights"
            )
    kept.depth -= 1
    return b"".join(parts)


def _fields(message: memoryview, kept: _Kept) -> Iterator[tuple[int, int, int, int, int]]:
    """(number, wire type, start, start of its value, end) of every field."""
    place, end = 0, len(message)
    while place < end:
        kept.fields += 1
        if kept.fields > MOST_FIELDS:
            raise MalformedError(f"it has more than {MOST_FIELDS:,} parts")
        start = place
        tag, place = _read(message, place)
        number, wire = tag >> 3, tag & 7
        value = place
        if wire == _VARINT:
            _, place = _read(message, place)
        elif wire == _BYTES:
            length, value = _read(message, place)
            place = value + length
        elif wire in (_FIXED64, _FIXED32):
            place += 8 if wire == _FIXED64 else 4
        else:
            raise MalformedError("it is not protobuf")
        if place > end:
            raise MalformedError(f"it ends {place - end:,} bytes too early, or is not protobuf")
        if number == 0:
            raise MalformedError("it is not protobuf")
        yield number, wire, start, value, place


def _read(message: memoryview, place: int) -> tuple[int, int]:
    """The variable-length number at `place`, and where it ends."""
    found = shift = 0
    while True:
        if place >= len(message):
            raise MalformedError("it ends in the middle of a number, or is not protobuf")
        byte = message[place]
        place += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, place
        shift += 7
        if shift > 63:
            raise MalformedError("it is not protobuf")


def _count(number: int, data: memoryview) -> int:
    """Bytes or numbers in a tensor's field of data; 0 for any other field."""
    if number == RAW:
        return len(data)
    if number in _WIDTHS:
        if len(data) % _WIDTHS[number]:
            raise MalformedError("a list of numbers ends within a number")
        return len(data) // _WIDTHS[number]
    if number in _VARINTS:
        return int(np.count_nonzero(np.frombuffer(data, np.uint8) < 128))
    return 0


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _entry(key: str, value: str) -> bytes:
    """The field `external_data` with one entry."""
    pair = b"".join(
        _varint(number << 3 | _BYTES) + _varint(len(text)) + text
        for number, text in ((1, key.encode()), (2, value.encode()))
    )
    return _varint(_EXTERNAL_DATA << 3 | _BYTES) + _varint(len(pair)) + pair
