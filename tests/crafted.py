"""Files that were made to harm: models and images, each a maker that writes one into a folder."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tests.models import CARD, write_model

Maker = Callable[[Path], Path]


def _sound(folder: Path) -> onnx.ModelProto:
    return onnx.load_model(write_model(folder / "model.onnx"))


def _saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


# ---- not a model, or not all of it ----


def truncated(folder: Path) -> Path:
    path = write_model(folder / "model.onnx")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def too_large(folder: Path) -> Path:
    path = write_model(folder / "model.onnx")
    os.truncate(path, 2**31)  # sparse: it takes no disk
    return path


def linked_away(folder: Path) -> Path:
    (folder / "elsewhere").mkdir()
    (folder / "model").mkdir()
    write_model(folder / "elsewhere" / "model.onnx")
    path = folder / "model" / "model.onnx"
    path.symlink_to(folder / "elsewhere" / "model.onnx")
    return path


def nested(folder: Path) -> Path:
    """Graphs in graphs, five thousand deep."""
    inner = b""
    for _ in range(5_000):
        for number in (6, 5, 1):  # attribute.g, node.attribute, graph.node
            inner = bytes([number << 3 | 2]) + _length(inner) + inner
    path = folder / "model.onnx"
    path.write_bytes(b"\x08\x08\x3a" + _length(inner) + inner)
    return path


def _length(content: bytes) -> bytes:
    left, out = len(content), bytearray()
    while left > 127:
        out.append(left & 127 | 128)
        left >>= 7
    return bytes([*out, left])


def endless_fields(folder: Path) -> Path:
    path = write_model(folder / "model.onnx")
    path.write_bytes(path.read_bytes() + b"\x08\x08" * 1_100_000)
    return path


def bad_text(folder: Path) -> Path:
    """A name that is not UTF-8."""
    path = write_model(folder / "model.onnx")
    path.write_bytes(path.read_bytes().replace(b"Softmax", b"Soft\xff\xfex"))
    return path


# ---- weights outside ----


def _outside(folder: Path, **told: str) -> Path:
    """Weights of which the file says that they lie where `told` says: 12 bytes, 3 numbers."""
    model = _sound(folder)
    tensor = TensorProto(name="far", data_type=TensorProto.FLOAT, dims=[3])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in told.items():
        tensor.external_data.add(key=key, value=value)
    model.graph.initializer.append(tensor)
    model.graph.node.append(helper.make_node("Identity", ["far"], ["unused"]))
    return _saved(model, folder)


def absolute(folder: Path) -> Path:
    (folder / "weights").write_bytes(b"\0" * 12)
    return _outside(folder, location=str(folder / "weights"))


def upward(folder: Path) -> Path:
    (folder / "weights").write_bytes(b"\0" * 12)
    (folder / "model").mkdir()
    return _outside(folder / "model", location="../weights")


def down_and_up(folder: Path) -> Path:
    (folder / "weights").write_bytes(b"\0" * 12)
    (folder / "model" / "in").mkdir(parents=True)
    return _outside(folder / "model", location="in/../../weights")


def linked_weights(folder: Path) -> Path:
    (folder / "secret").write_bytes(b"\0" * 12)
    (folder / "model").mkdir()
    (folder / "model" / "weights").symlink_to("../secret")
    return _outside(folder / "model", location="weights")


def linked_folder(folder: Path) -> Path:
    (folder / "far").mkdir()
    (folder / "far" / "weights").write_bytes(b"\0" * 12)
    (folder / "model").mkdir()
    (folder / "model" / "in").symlink_to("../far")
    return _outside(folder / "model", location="in/weights")


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "weights")
    return _outside(folder, location="weights")


def nowhere(folder: Path) -> Path:
    return _outside(folder, location="weights")


def no_location(folder: Path) -> Path:
    return _outside(folder, offset="0")


def too_short(folder: Path) -> Path:
    (folder / "weights").write_bytes(b"\0" * 8)
    return _outside(folder, location="weights")


def beyond(folder: Path) -> Path:
    (folder / "weights").write_bytes(b"\0" * 20)
    return _outside(folder, location="weights", offset="12", length="12")


def other_length(folder: Path) -> Path:
    (folder / "weights").write_bytes(b"\0" * 20)
    return _outside(folder, location="weights", length="8")


def negative_offset(folder: Path) -> Path:
    (folder / "weights").write_bytes(b"\0" * 20)
    return _outside(folder, location="weights", offset="-4", length="12")


def address(folder: Path) -> Path:
    """A place in memory, as onnxruntime itself notes it."""
    (folder / "*" / "_ORT_MEM_ADDR_").mkdir(parents=True)
    (folder / "*" / "_ORT_MEM_ADDR_" / "*").write_bytes(b"\0" * 12)
    return _outside(folder, location="*/_ORT_MEM_ADDR_/*", offset="4096", length="12")


# ---- shapes ----


def _with(folder: Path, *nodes: onnx.NodeProto, **arrays: object) -> Path:
    """The sound model, and beside its own operators these on constants."""
    model = _sound(folder)
    for name, values in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    model.graph.node.extend(nodes)
    model.graph.output.append(helper.make_empty_tensor_value_info(nodes[-1].output[0]))
    return _saved(model, folder)


def constant_of_shape(folder: Path) -> Path:
    return _with(folder, helper.make_node("ConstantOfShape", ["s"], ["big"]), s=[10**6, 10**6])


def computed_shape(folder: Path) -> Path:
    return _with(
        folder,
        helper.make_node("Mul", ["s", "s"], ["squared"]),
        helper.make_node("ConstantOfShape", ["squared"], ["big"]),
        s=[10**6],
    )


def expanded(folder: Path) -> Path:
    return _with(
        folder,
        helper.make_node("Expand", ["one", "s"], ["wide"]),
        helper.make_node("Tile", ["wide", "s"], ["big"]),
        s=[10**6],
        one=np.ones(1, np.float32),
    )


def doubled(folder: Path) -> Path:
    """A list joined with itself forty times."""
    names = ["s", *(f"twice{n}" for n in range(40))]
    nodes = [
        helper.make_node("Concat", [before, before], [after], axis=0)
        for before, after in pairwise(names)
    ]
    return _with(folder, *nodes, s=[1, 1])


def doubled_numbers(folder: Path) -> Path:
    """The same with fractions, whose values no inference follows."""
    names = ["s", *(f"twice{n}" for n in range(40))]
    nodes = [
        helper.make_node("Concat", [before, before], [after], axis=0)
        for before, after in pairwise(names)
    ]
    return _with(folder, *nodes, s=np.ones(2, np.float32))


def denied(folder: Path) -> Path:
    """The file claims a small shape of what is huge."""
    model = onnx.load_model(constant_of_shape(folder))
    claim = helper.make_tensor_value_info("big", TensorProto.FLOAT, [3])
    model.graph.output[-1].CopyFrom(claim)
    return _saved(model, folder)


def _with_tensor(folder: Path, tensor: TensorProto) -> Path:
    model = _sound(folder)
    model.graph.initializer.append(tensor)
    model.graph.node.append(helper.make_node("Identity", [tensor.name], ["unused"]))
    return _saved(model, folder)


def no_such_data(folder: Path) -> Path:
    tensor = TensorProto(name="big", data_type=TensorProto.FLOAT, dims=[10**6, 10**6])
    tensor.raw_data = b"\0" * 12
    return _with_tensor(folder, tensor)


def too_much_data(folder: Path) -> Path:
    tensor = TensorProto(name="small", data_type=TensorProto.FLOAT, dims=[3])
    tensor.raw_data = b"\0" * 50_000
    return _with_tensor(folder, tensor)


def too_few_numbers(folder: Path) -> Path:
    tensor = TensorProto(name="few", data_type=TensorProto.FLOAT, dims=[30_000])
    tensor.float_data.extend([1.0] * 20_000)
    return _with_tensor(folder, tensor)


def negative_side(folder: Path) -> Path:
    tensor = TensorProto(name="odd", data_type=TensorProto.FLOAT, dims=[-3])
    return _with_tensor(folder, tensor)


def overflowing_sides(folder: Path) -> Path:
    """2**32 × 2**32 elements are none in 64 bits."""
    tensor = TensorProto(name="odd", data_type=TensorProto.UINT8, dims=[2**32, 2**32])
    return _with_tensor(folder, tensor)


def no_type(folder: Path) -> Path:
    tensor = TensorProto(name="odd", data_type=99, dims=[3])
    tensor.raw_data = b"\0" * 12
    return _with_tensor(folder, tensor)


def sparse(folder: Path) -> Path:
    """One number, and a square of a million by a million for it to lie in."""
    model = _sound(folder)
    values = numpy_helper.from_array(np.ones(1, np.float32), "thin")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "thin_indices")
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, indices, [10**6, 10**6])
    )
    model.graph.node.append(helper.make_node("Identity", ["thin"], ["unused"]))
    return _saved(model, folder)


def huge_input(folder: Path) -> Path:
    model = _sound(folder)
    for side in model.graph.input[0].type.tensor_type.shape.dim[:3]:
        side.dim_value = 10**6
    return _saved(model, folder)


def branches(folder: Path, count: int = 8_000) -> Path:
    """So many choices between two graphs; each graph may use all that came before it."""
    model = _sound(folder)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["yes"], ["same"])],
        "inner",
        [],
        [helper.make_tensor_value_info("same", TensorProto.BOOL, [])],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    node = helper.make_node("If", ["yes"], ["told"], then_branch=graph, else_branch=graph)
    for number in range(count):
        model.graph.node.append(node)
        model.graph.node[-1].output[0] = f"told{number}"
    return _saved(model, folder)


# ---- notes and operators ----


def huge_card(folder: Path) -> Path:
    return write_model(folder / "model.onnx", CARD | {"note": "x" * 5_000_000})


def many_notes(folder: Path) -> Path:
    model = _sound(folder)
    for number in range(5_000):
        model.metadata_props.add(key=str(number), value="x")
    return _saved(model, folder)


def two_cards(folder: Path) -> Path:
    model = _sound(folder)
    model.metadata_props.add(key="autotl", value=json.dumps(CARD))
    return _saved(model, folder)


def deep_card(folder: Path) -> Path:
    model = _sound(folder)
    model.metadata_props[0].value = "[" * 200_000
    return _saved(model, folder)


def deep_notes(folder: Path) -> Path:
    model = _sound(folder)
    model.metadata_props[0].value = (
        json.dumps(CARD)[:-1] + ', "x": ' + "[" * 50_000 + "]" * 50_000 + "}"
    )
    return _saved(model, folder)


def foreign_operator(folder: Path) -> Path:
    model = _sound(folder)
    model.graph.node.add(op_type="Spawn", domain="evil", input=["image"], output=["unused"])
    model.opset_import.add(domain="evil", version=1)
    return _saved(model, folder)


def function(folder: Path) -> Path:
    """Operators defined in the file, each of which is twice the one before."""
    model = _sound(folder)
    model.opset_import.add(domain="local", version=1)
    for number in range(30):
        body = [
            helper.make_node(f"F{number - 1}" if number else "Neg", ["a"], ["b"], domain=domain)
            for domain in ("local" if number else "",)
        ]
        body.append(helper.make_node("Add", ["b", "b"], ["c"]))
        model.functions.append(
            helper.make_function("local", f"F{number}", ["a"], ["c"], body, model.opset_import)
        )
    model.graph.node.add(op_type="F29", domain="local", input=["probabilities"], output=["unused"])
    return _saved(model, folder)


MODELS: dict[str, tuple[Maker, str]] = {
    "truncated": (truncated, "too early"),
    "too large": (too_large, "cannot have more than"),
    "linked away": (linked_away, "symbolic link"),
    "nested": (nested, "graphs lie in graphs"),
    "endless fields": (endless_fields, "parts"),
    "bad text": (bad_text, "not UTF-8"),
    "absolute": (absolute, "no place in the model's folder"),
    "upward": (upward, "leads out of the model's folder"),
    "down and up": (down_and_up, "leads out of the model's folder"),
    "linked weights": (linked_weights, "symbolic link"),
    "linked folder": (linked_folder, "symbolic link"),
    "pipe": (pipe, "not a regular file"),
    "nowhere": (nowhere, "No such file"),
    "no location": (no_location, "no place in the model's folder"),
    "too short": (too_short, "up to byte 12, which has 8"),
    "beyond": (beyond, "up to byte 24, which has 20"),
    "other length": (other_length, "should have 12 bytes by its sides, and 8"),
    "negative offset": (negative_offset, "'-4'"),
    "address": (address, "no place in the model's folder"),
    "ConstantOfShape": (constant_of_shape, "more than 268,435,456"),
    "computed shape": (computed_shape, "more than 268,435,456"),
    "Expand and Tile": (expanded, "more than 268,435,456"),
    "doubled": (doubled, "make lists of"),
    "doubled numbers": (doubled_numbers, "make lists of"),
    "denied": (denied, "more than 268,435,456"),
    "no such data": (no_such_data, "should hold 4,000,000,000,000 bytes"),
    "too much data": (too_much_data, "should hold 12 bytes"),
    "too few numbers": (too_few_numbers, "should hold 30,000 numbers"),
    "negative side": (negative_side, "sides that no tensor can have"),
    "overflowing sides": (overflowing_sides, "should hold 18,446,744,073,709,551,616"),
    "no type": (no_type, "of no type of ONNX"),
    "sparse": (sparse, "a sparse tensor has 1,000,000,000,000 elements"),
    "branches": (branches, "nodes hold 16,000 graphs"),
    "huge input": (huge_input, "more than 268,435,456"),
    "huge card": (huge_card, "metadata has 1 entries"),
    "many notes": (many_notes, "metadata has 5,001 entries"),
    "two cards": (two_cards, "two entries of one name"),
    "deep card": (deep_card, "card"),
    "deep notes": (deep_notes, "card"),
    "foreign operator": (foreign_operator, "'evil'"),
    "function": (function, "operators of its own"),
}
"""By name: what writes the file, and words that its refusal must have."""


# ---- images ----


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def _png(width: int, height: int, *chunks: bytes, data: bytes = b"") -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = _chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + body + _chunk(b"IEND", b"")


def _packed_zeros(size: int) -> bytes:
    squeeze = zlib.compressobj(9)
    parts = [squeeze.compress(b"\0" * 1_000_000) for _ in range(size // 1_000_000)]
    return b"".join([*parts, squeeze.flush()])


def huge_png() -> bytes:
    return _png(2**31 - 1, 2**31 - 1)


def zipped_note_png() -> bytes:
    """A small image with a note of 100 MB, zipped to 100 kB."""
    note = _chunk(b"zTXt", b"note\0\0" + _packed_zeros(100_000_000))
    return _png(4, 4, note, data=b"\0" * 4 * 13)


def zipped_profile_png() -> bytes:
    profile = _chunk(b"iCCP", b"icc\0\0" + _packed_zeros(100_000_000))
    return _png(4, 4, profile, data=b"\0" * 4 * 13)


def zipped_pixels_png() -> bytes:
    """285 MB of black pixels, zipped to 280 kB."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 9_500, 8, 2, 0, 0, 0))
    body = _chunk(b"IDAT", _packed_zeros(9_500 * 30_001))
    return b"\x89PNG\r\n\x1a\n" + header + body + _chunk(b"IEND", b"")


def huge_gif() -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0)
        + (b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x02\x4c\x01\x00;")
    )


def huge_tiff() -> bytes:
    return _tiff(10**6, 10**6)


def _tiff(width: int, height: int) -> bytes:
    tags: Sequence[tuple[int, int, int]] = (
        *((256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1)),
        *((273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, 4)),
    )
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return (
        b"II*\0"
        + struct.pack("<IHH", 12, 0, 0)
        + struct.pack("<H", len(tags))
        + (entries + struct.pack("<I", 0))
    )


def huge_webp() -> bytes:
    """An animation's canvas of 16,383 by 16,383 pixels, without a frame."""
    side = (16_383 - 1).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + side + side
    animation = b"ANIM" + struct.pack("<I", 6) + b"\0" * 6
    body = b"WEBP" + extended + animation
    return b"RIFF" + struct.pack("<I", len(body)) + body


def huge_bmp() -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, 10**6, 10**6, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def huge_ppm() -> bytes:
    return b"P6 100000 100000 255\n" + b"\0" * 30


def postscript() -> bytes:
    """What a program would be run for, named as a photograph."""
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n%%EOF\n"


def cut_jpeg() -> bytes:
    stream = BytesIO()
    Image.effect_noise((64, 64), 90).save(stream, "JPEG")
    return stream.getvalue()[:600]


IMAGES: dict[str, Callable[[], bytes]] = {
    "huge.png": huge_png,
    "note.png": zipped_note_png,
    "profile.png": zipped_profile_png,
    "pixels.png": zipped_pixels_png,
    "huge.gif": huge_gif,
    "huge.tiff": huge_tiff,
    "huge.webp": huge_webp,
    "huge.bmp": huge_bmp,
    "huge.ppm": huge_ppm,
    "script.jpg": postscript,
    "cut.jpg": cut_jpeg,
}
