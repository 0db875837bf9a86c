"""Thumbnails, and which examples the report shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autotl.pixels import content_hash
from autotl.records import Dataset, Pictures, Size, Split, SplitRecord, from_json, to_json
from autotl.report import gallery, pictured
from autotl.thumbnails import SIDE, thumbnail

COUNTS = SplitRecord(train=8, validation=2, test=2, dropped=0, digest="d")
SIZE = Size(
    examples=12,
    train=8,
    classes=2,
    per_class_least=4,
    per_class_median=4,
    imbalance=1,
    duplicates=0,
    median_side=40,
)


def plain(row: int, shape: tuple[int, ...] = (40, 60, 3)) -> Any:
    return np.full(shape, 10 * row, np.uint8)


def dataset(images: list[Any], read: list[int], labels: tuple[int, ...] = ()) -> Dataset:
    def one(row: int) -> Any:
        read.append(row)
        if isinstance(images[row], Exception):
            raise images[row]
        return images[row]

    count = len(images)
    return Dataset(
        kind="image",
        ids=tuple(f"{row:02d}" for row in range(count)),
        labels=labels or tuple(row % 2 for row in range(count)),
        classes=("a", "b"),
        read=one,
    )


@pytest.mark.parametrize(
    ("shape", "made"),
    [
        ((40, 60), (60, 40)),
        ((300, 600, 3), (SIDE, SIDE // 2)),
        ((5000, 3, 3), (1, SIDE)),
        ((1, 1, 4), (1, 1)),
        ((128, 128, 1), (128, 128)),
    ],
)
def test_thumbnails_keep_their_shape(
    shape: tuple[int, ...], made: tuple[int, int], tmp_path: Path
) -> None:
    image = plain(3, shape)
    found = thumbnail(dataset([image], []), [content_hash(image)], 0, tmp_path)
    assert found is not None
    assert found.path == "thumbnails/000000.jpg"
    with Image.open(tmp_path / found.path) as opened:
        assert (opened.format, opened.size) == ("JPEG", made)
    again = thumbnail(dataset([image], []), [content_hash(image)], 0, tmp_path)
    assert again == found


@pytest.mark.parametrize("fault", [OSError("gone"), ValueError("odd"), b"torn", plain(9)])
def test_what_cannot_be_read_again_has_no_thumbnail(fault: Any, tmp_path: Path) -> None:
    known = content_hash(b"torn") if isinstance(fault, bytes) else content_hash(plain(1))
    assert thumbnail(dataset([fault], []), [known], 0, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_not_kept_quiet(tmp_path: Path) -> None:
    (tmp_path / "thumbnails").write_text("a file in the way")
    image = plain(1)
    with pytest.raises(OSError, match="thumbnails"):
        thumbnail(dataset([image], []), [content_hash(image)], 0, tmp_path)


def _split(train: tuple[int, ...], test: tuple[int, ...]) -> Split:
    return Split(train=train, validation=(), test=test, record=COUNTS)


def test_no_test_row_is_opened_and_copies_are_grouped(tmp_path: Path) -> None:
    images = [plain(row) for row in range(12)]
    images[1] = images[3] = images[5] = images[0]  # three of them bear another label
    images[10] = images[2]  # a test row that repeats a training row
    images[11] = images[9]  # only test rows
    read: list[int] = []
    data = dataset(images, read)
    hashes = [content_hash(image) for image in images]
    size = replace(
        SIZE,
        doubts=26,
        doubtful=("04", "06"),
        borne=(1, 1),
        near_pairs=(("00", "01"), ("04", "07")),
    )
    split = _split(tuple(range(9)), (9, 10, 11))
    found = pictured(data, hashes, split, size, tmp_path)
    assert not {9, 10, 11} & set(read)
    assert [(one.example.id, one.example.label, one.borne) for one in found.suspects] == [
        ("04", 0, 1),
        ("06", 0, 1),
    ]
    assert found.doubts == 26
    assert [(a.id, b.id) for a, b in found.near] == [("04", "07")], "the others are exact copies"
    assert found.groups == 3
    first, second, third = found.copies
    assert (first.examples, first.ids, first.labels) == (4, ("00", "01", "03", "05"), (0, 1, 1, 1))
    assert first.thumbnail is not None
    assert second.ids == ("02", "10")
    assert second.thumbnail is not None
    assert (third.ids, third.thumbnail) == (("09", "11"), None)
    assert from_json(Pictures, to_json(found)) == found


def test_both_labels_of_a_large_group_are_among_those_named(tmp_path: Path) -> None:
    images = [plain(1)] * 20
    labels = (0,) * 19 + (1,)
    data = dataset(images, [], labels)
    hashes = [content_hash(plain(1))] * 20
    (group,) = pictured(data, hashes, _split(tuple(range(20)), ()), SIZE, tmp_path).copies
    assert (group.examples, len(group.ids)) == (20, gallery.NAMED)
    assert set(group.labels) == {0, 1}
    assert "19" in group.ids


def test_images_that_vanished_do_not_stop_the_run(tmp_path: Path) -> None:
    images: list[Any] = [OSError("gone")] * 4
    size = replace(SIZE, doubtful=("00",), borne=(1,), near_pairs=(("01", "02"),))
    found = pictured(dataset(images, []), list("abcc"), _split((0, 1, 2, 3), ()), size, tmp_path)
    assert found.suspects[0].example.thumbnail is None
    assert [one.thumbnail for one in found.near[0]] == [None, None]
    assert found.copies[0].thumbnail is None


def test_a_size_without_neighbours_labels_shows_none(tmp_path: Path) -> None:
    images = [plain(row) for row in range(4)]
    hashes = [content_hash(image) for image in images]
    size = replace(SIZE, doubtful=("00",))
    assert pictured(dataset(images, []), hashes, _split((0, 1, 2, 3), ()), size, tmp_path) == (
        Pictures()
    )
