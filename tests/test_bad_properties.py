"""Whatever bytes, names, tables and options: a result, or an error of ours that can be printed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autotl
from autotl.cli.program import run
from autotl.errors import AutotlError, UnreadableError, UsageError
from autotl.loading import load
from autotl.pixels import decode, pillow_warnings_ignored, printable, readable_side, resized
from autotl.plugins import discover
from autotl.request import Request, request
from tests.bad.case import photo
from tests.images import encoded, pattern
from tests.models import write_model

LOADERS = discover().loaders
NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda name: not {0, ord("/")} & set(name) and name not in (b".", b"..")
)
TEXT = st.text(max_size=30)
SOUND = [
    encoded(pattern(0, 1, size=(24, 24)), suffix) for suffix in (".png", ".jpg", ".gif", ".tif")
]


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder for each example: names left by another one would be found."""
    with tempfile.TemporaryDirectory(prefix="autotl-any-") as name:
        yield Path(name)


def check_printable(error: AutotlError) -> None:
    """The message says something, in letters that UTF-8 has."""
    assert error.message.strip()
    assert str(error).encode()


# ---- folders ----


@settings(max_examples=60)
@given(trees=st.dictionaries(NAMES, st.sets(NAMES, min_size=0, max_size=5), min_size=0, max_size=5))
def test_any_tree_loads_each_image_once_or_is_refused(trees: dict[bytes, set[bytes]]) -> None:
    with folder() as root:
        written: dict[str, bytes] = {}
        for label, (name, files) in enumerate(trees.items()):
            above = root / os.fsdecode(name)
            above.mkdir()
            for number, file in enumerate(sorted(files)):
                path = above / f"{os.fsdecode(file)}.png"
                path.write_bytes(photo(label, number))
                if not name.startswith(b".") and not file.startswith(b"."):
                    written[printable(f"{os.fsdecode(name)}/{path.name}")] = path.read_bytes()
        try:
            dataset = load(str(root), LOADERS).dataset
        except AutotlError as error:
            check_printable(error)
            return
        found = {name: dataset.read(row) for row, name in enumerate(dataset.ids)}
        assert found == written
        assert len(dataset.ids) == len(found)
        for name in (*dataset.ids, *dataset.classes):
            assert name.encode()


@settings(max_examples=60)
@given(names=st.lists(st.one_of(st.text(max_size=12), st.binary(max_size=12).map(os.fsdecode))))
def test_any_path_is_loaded_or_refused(names: list[str]) -> None:
    path = "/".join(["nowhere", *names])
    for call in (autotl.load, lambda path: load(path, LOADERS), autotl.inspect):
        with pytest.raises(AutotlError) as caught:
            call(path)  # type: ignore[operator]
        check_printable(caught.value)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.onnx")


@settings(max_examples=40)
@given(text=st.one_of(TEXT, st.binary(max_size=20).map(os.fsdecode)))
def test_any_path_is_predicted_or_refused(model: Path, text: str) -> None:
    for where, what in ((model, f"nowhere/{text}"), (f"nowhere/{text}", [])):
        try:
            found = list(autotl.predict(where, what))
        except AutotlError as error:
            check_printable(error)
        else:
            assert not found


# ---- images ----


def _seen(content: bytes) -> dict[str, object]:
    """What each function of `pixels` makes of the bytes; None where it refuses them in words."""
    looks = {
        "pixels": lambda: (decode(content).dtype.name, decode(content).shape),
        "side": lambda: readable_side(content),
        "resized": lambda: resized(content, [8])[0].shape,
    }
    found: dict[str, object] = {}
    with pillow_warnings_ignored():
        for name, look in looks.items():
            try:
                found[name] = look()
            except UnreadableError as error:
                check_printable(error)
                found[name] = None
    return found


def _wanted(found: dict[str, Any]) -> dict[str, object]:
    """What all should make of them, by what `decode` made."""
    if found["pixels"] is None:
        return {"pixels": None, "side": None, "resized": None}
    _, (height, width, _) = found["pixels"]
    pixels = ("uint8", (height, width, 3))
    return {"pixels": pixels, "side": min(height, width), "resized": (8, 8, 3)}


@given(content=st.binary(max_size=200))
def test_any_bytes_are_an_image_or_unreadable(content: bytes) -> None:
    found = _seen(content)
    assert found == _wanted(found)


@settings(max_examples=150)
@given(
    start=st.sampled_from(SOUND),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=12),
    kept=st.integers(1, 10_000),
)
def test_any_damaged_image_is_one_or_unreadable(
    start: bytes, changes: list[tuple[int, int]], kept: int
) -> None:
    content = bytearray(start)
    for place, value in changes:
        content[place % len(content)] = value
    found = _seen(bytes(content[:kept]))
    assert found == _wanted(found)


# ---- tables ----

CELL = st.one_of(TEXT, st.sampled_from(["a.png", "b.png", "file", "label", "cat", "", "1", '"']))
ROWS = st.lists(st.lists(CELL, min_size=0, max_size=4), max_size=6)


@settings(max_examples=80)
@given(rows=ROWS, mark=st.sampled_from(",;\t|"), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_rows_are_a_table_or_refused(rows: list[list[str]], mark: str, end: str) -> None:
    text = end.join(mark.join(row) for row in rows)
    assert _read(text.encode(errors="surrogatepass"), "table.csv") <= {"a.png", "b.png"}


@settings(max_examples=80)
@given(content=st.binary(max_size=120), name=st.sampled_from(["csv", "tsv", "jsonl", "parquet"]))
def test_any_bytes_are_a_table_or_refused(content: bytes, name: str) -> None:
    for whole in (
        content,
        b"file,label\na.png,cat\nb.png," + content,
        b"PAR1" + content + b"PAR1",
    ):
        assert _read(whole, f"table.{name}") <= {"a.png", "b.png"}


def _read(content: bytes, name: str) -> set[str]:
    """The images that a table beside two of them gives; none where it is refused in words."""
    with folder() as root:
        for number, file in enumerate(("a.png", "b.png")):
            (root / file).write_bytes(photo(0, number))
        (root / name).write_bytes(content)
        try:
            dataset = load(str(root / name), LOADERS).dataset
        except AutotlError as error:
            check_printable(error)
            return set()
        return set(dataset.ids)


# ---- options ----

VALUE: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.integers(), st.floats(), TEXT, st.binary(max_size=4), st.lists(TEXT, max_size=2)
)
OPTIONS = tuple(name for name in Request.__dataclass_fields__ if name != "data")


@settings(max_examples=300)
@given(name=st.sampled_from(OPTIONS), value=VALUE)
def test_any_value_of_an_option_is_meant_or_refused(name: str, value: object) -> None:
    try:
        made = request(**{"data": "photos", name: value})  # type: ignore[arg-type]
    except UsageError as error:
        check_printable(error)
    else:
        assert isinstance(made, Request)


@settings(max_examples=60)
@given(
    option=st.sampled_from(
        ["--budget", "--trials", "--seed", "--metric", "--resize", "--learning-rate", "--loader"]
    ),
    value=TEXT,
)
def test_any_text_for_an_option_is_no_bug(option: str, value: str) -> None:
    assert run(["inspect", "nowhere-at-all", option, value]) in (2, 3)
