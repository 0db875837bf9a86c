"""Parquet: large groups of rows, many threads, odd columns, numbers of classes."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotl.builtin import table_parquet
from autotl.builtin.tables import load
from autotl.errors import DataError, UnreadableError
from tests.builtin.table_data import images, species, write_parquet


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The groups of rows that are read from their first row on, as they are."""
    from pyarrow import parquet

    begun: list[Any] = []
    real = parquet.ParquetFile.iter_batches

    def noted(self: Any, **given: Any) -> Iterator[Any]:
        if given.get("row_groups"):
            begun.append(given["row_groups"][0])
        return iter(real(self, **given))

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", noted)
    return begun


def small(monkeypatch: pytest.MonkeyPatch, size: int = 100_000) -> None:
    """Let so little be kept that no group of rows of these tests fits."""
    monkeypatch.setattr(table_parquet, "_KEPT_BYTES", size)
    monkeypatch.setattr(table_parquet, "_MOST_BYTES", size)


@pytest.mark.slow
def test_structs_of_more_than_two_gib_in_one_group_of_rows_are_read_once(
    tmp_path: Path, passes: list[Any]
) -> None:
    import pyarrow
    from pyarrow import parquet

    size, chunks, rows = 2**20, 4, 550
    zeros = pyarrow.py_buffer(np.zeros(rows * size, np.uint8))  # pages that take no memory
    offsets = pyarrow.py_buffer((np.arange(rows + 1) * size).astype(np.int32))
    content = pyarrow.Array.from_buffers(pyarrow.binary(), rows, [None, offsets, zeros])
    struct = pyarrow.StructArray.from_arrays([content, ["x.png"] * rows], ["bytes", "path"])
    table = pyarrow.table(
        {"image": pyarrow.chunked_array([struct] * chunks), "label": ["a", "b"] * (rows * 2)}
    )
    path = tmp_path / "t.parquet"
    parquet.write_table(table, path, row_group_size=rows * chunks, use_dictionary=False)
    del table, struct, content, zeros
    found = load(str(path), {})
    for row in range(0, rows * chunks, 50):
        assert found.read(row) == bytes(size)
    assert passes == [0]


def test_a_group_of_rows_that_fits_is_read_once_in_whatever_order(
    tmp_path: Path, passes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [os.urandom(1000) for _ in range(400)]
    columns = {"image": contents, "label": ["a", "b"] * 200}
    path = write_parquet(tmp_path / "t.parquet", columns, row_group_size=200)
    found = load(path, {})
    rows = np.random.default_rng(0).permutation(400).tolist()
    assert [found.read(row) for row in rows] == [contents[row] for row in rows]
    assert sorted(passes) == [0, 1]
    monkeypatch.setattr(table_parquet, "_KEPT_BYTES", 100_000)
    passes.clear()
    found = load(path, {})  # two groups are kept though they are larger
    assert [found.read(row) for row in rows] == [contents[row] for row in rows]
    assert sorted(passes) == [0, 1]
    passes.clear()
    small(monkeypatch)
    found = load(path, {})  # no group fits: rows in their order are still one pass a group
    assert [found.read(row) for row in range(400)] == contents
    assert passes == [0, 1]
    assert [found.read(row) for row in rows[:200]] == [contents[row] for row in rows[:200]]
    assert [found.read(row) for row in range(60)] == contents[:60]
    passes.clear()
    assert [found.read(row) for row in range(60)] == contents[:60]
    assert passes == []


def test_threads_that_each_read_a_stretch_of_rows_share_one_pass_a_group(
    tmp_path: Path, passes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [os.urandom(500) for _ in range(2000)]
    columns = {"image": contents, "label": ["a", "b"] * 1000}
    path = write_parquet(tmp_path / "t.parquet", columns, row_group_size=500)
    small(monkeypatch, 200_000)  # 400 rows
    found = load(path, {})

    def stretch(first: int) -> list[Any]:
        read = []
        for row in range(first, first + 16):
            read.append(found.read(row))
            time.sleep(0.001)  # as long as an image takes to decode
        return read

    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(stretch, range(0, 2000, 16)))
    assert [content for some in read for content in some] == contents
    assert len(passes) < 12  # 4, and one for a thread that the machine held back


def test_many_threads_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [bytes([row % 251]) * 2000 for row in range(1000)]
    columns = {"image": contents, "label": ["a", "b"] * 500}
    path = write_parquet(tmp_path / "t.parquet", columns, row_group_size=500)
    small(monkeypatch)
    found = load(path, {})
    rows = np.random.default_rng(0).permutation(1000).tolist()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            read = list(pool.map(found.read, rows))
    finally:
        sys.setswitchinterval(before)
    assert read == [contents[row] for row in rows]


def test_a_block_that_is_read_again_takes_no_more_room(
    tmp_path: Path, passes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [os.urandom(1000) for _ in range(400)]
    columns = {"image": contents, "label": ["a", "b"] * 200}
    path = write_parquet(tmp_path / "t.parquet", columns, row_group_size=400)
    small(monkeypatch)
    found = load(path, {})
    for _ in range(40):
        for row in range(0, 120, 6):
            assert found.read(0) == contents[0]
            assert found.read(row) == contents[row]
    passes.clear()
    for row in (*range(60, 120, 6), 0):
        assert found.read(row) == contents[row]
    assert passes == []


def test_two_groups_of_rows_are_read_side_by_side(
    tmp_path: Path, passes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [os.urandom(1000) for _ in range(400)]
    columns = {"image": contents, "label": ["a", "b"] * 200}
    path = write_parquet(tmp_path / "t.parquet", columns, row_group_size=200)
    small(monkeypatch)
    found = load(path, {})
    for row in range(200):
        assert found.read(row) == contents[row]
        assert found.read(row + 200) == contents[row + 200]
    assert passes == [0, 1]


def test_rows_that_cannot_be_read_any_more_say_why(tmp_path: Path, passes: list[Any]) -> None:
    contents = [os.urandom(20_000) for _ in range(200)]
    columns = {"image": contents, "label": ["a", "b"] * 100}
    path = Path(
        write_parquet(
            tmp_path / "t.parquet",
            columns,
            use_dictionary=False,
            data_page_size=20_000,
            write_batch_size=1,
            compression="zstd",
        )
    )
    found = load(str(path), {})
    middle = path.read_bytes().index(contents[150][:1000])
    with path.open("r+b") as stream:
        stream.seek(middle - 200)
        stream.write(bytes(5000))
    assert found.read(3) == contents[3]
    assert passes == [0]
    for row in (150, 199, 150):
        with pytest.raises(UnreadableError, match=f"Row {row + 1} of 'image' cannot be read: .+"):
            found.read(row)
    assert passes == [0]
    assert found.read(100) == contents[100]


def test_columns_of_odd_types_that_nobody_asked_for_hurt_nobody(tmp_path: Path) -> None:
    import pandas
    import pyarrow
    from pyarrow import parquet

    names = images(tmp_path)
    frame = pandas.DataFrame({"file": names, "label": species()})
    frame["span"] = pandas.interval_range(0, 12)
    frame["month"] = pandas.period_range("2020-01", periods=12, freq="M")
    frame["took"] = pandas.to_timedelta(range(12), unit="s")
    table = pyarrow.Table.from_pandas(frame)
    ids = [uuid.UUID(int=number) for number in range(12)]
    raw = pyarrow.array([one.bytes for one in ids], pyarrow.binary(16))
    table = table.append_column("key", pyarrow.ExtensionArray.from_storage(pyarrow.uuid(), raw))
    far = pyarrow.array([2**62] * 12, pyarrow.timestamp("us"))  # a time that Python has not
    kind = pyarrow.opaque(far.type, "time", "someone")
    table = table.append_column("far", pyarrow.ExtensionArray.from_storage(kind, far))
    parquet.write_table(table, tmp_path / "t.parquet")
    found = load(str(tmp_path / "t.parquet"), {})
    assert len(found.ids) == 12
    assert "not used: 'span', 'month', 'took' and 2 more" in found.found
    grouped = load(str(tmp_path / "t.parquet"), {"group_column": "key"})
    assert grouped.groups == tuple(map(str, ids))
    with pytest.raises(DataError, match="nested values"):
        load(str(tmp_path / "t.parquet"), {"label_column": "far"})


def class_numbers(path: Path, numbers: list[Any]) -> str:
    features = {"label": {"names": ["zebra", "yak", "ape"], "_type": "ClassLabel"}}
    told = json.dumps({"info": {"features": features}})
    columns = {"file": images(path.parent, len(numbers)), "label": numbers}
    return write_parquet(path, columns, metadata={"huggingface": told})


@pytest.mark.parametrize("nothing", [-1, None, -1.0])
def test_no_label_in_a_column_of_class_numbers_is_no_class(tmp_path: Path, nothing: Any) -> None:
    kind = float if isinstance(nothing, float) else int
    path = class_numbers(tmp_path / "t.parquet", [nothing, *map(kind, [2, 0, 1] * 13)])
    found = load(path, {})
    assert found.classes == ("zebra", "yak", "ape")
    assert found.labels == (2, 0, 1) * 13
    assert found.warnings == ("1 of 40 rows have no label, and are left out: row 1.",)


@pytest.mark.parametrize("number", [3, -2])
def test_a_number_of_no_class_is_an_error(tmp_path: Path, number: int) -> None:
    path = class_numbers(tmp_path / "t.parquet", [*[2, 0, 1] * 13, number])
    words = rf"'label' of t\.parquet names 3 classes, but holds '{number}' too: row 40"
    with pytest.raises(DataError, match=words) as caught:
        load(path, {})
    assert caught.value.hint
