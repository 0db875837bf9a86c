from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotl.activations import store_pixels
from autotl.errors import DataError, UnreadableError
from autotl.pixels import MAX_PIXELS, content_hash, resize
from autotl.records import Dataset
from autotl.scaling import check_resize, most_pixels
from tests import tiny_backbone as tiny
from tests.images import encoded, pattern

THIN = encoded(np.zeros((1, 90_000, 3), np.uint8))


@pytest.mark.parametrize(
    ("policy", "height", "width"),
    [("crop", 1, 40_000), ("crop", 40_000, 1), ("squash", 3_000_000, 1)],
)
def test_what_would_be_huge_on_its_way_is_refused(policy: Any, height: int, width: int) -> None:
    check_resize(height, width, 8, policy)
    with pytest.raises(UnreadableError, match=f"of {width} × {height} pixels is too narrow"):
        check_resize(height, width, 48, policy)


def test_across_comes_first() -> None:
    assert most_pixels(3_000_000, 1, 48, "squash") == 48 * 3_000_000
    assert most_pixels(1, 3_000_000, 48, "squash") == 48 * 48
    assert most_pixels(10, 20, 30, "crop") == 30 * 60
    assert most_pixels(100, 200, 30, "crop") == 100 * 60


def test_a_panorama_is_cropped() -> None:
    check_resize(500, 20_000, 224, "crop")
    assert resize(np.zeros((50, 2_000, 3), np.uint8), 32, "crop").shape == (32, 32, 3)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 10**5), st.integers(1, 10**5), st.integers(1, 1024))
def test_what_does_not_grow_never_grows_huge(height: int, width: int, size: int) -> None:
    if height * width <= MAX_PIXELS and min(height, width) >= size:
        check_resize(height, width, size, "squash")
        check_resize(height, width, size, "crop")


def dataset() -> Dataset:
    contents = [THIN, *(encoded(pattern(n % 2, n)) for n in range(5))]
    return Dataset(
        kind="image",
        ids=tuple(f"{n}.png" for n in range(6)),
        labels=(0, 1, 0, 1, 0, 1),
        classes=("a", "b"),
        read=contents.__getitem__,
    )


def test_an_example_that_cannot_be_cropped_is_named(tmp_path: Path) -> None:
    data = dataset()
    hashes = [content_hash(data.read(row)) for row in range(6)]
    located = tiny.located()
    split = ((0, 1, 2, 3), (4, 5))
    store_pixels(data, hashes, split, located, folder=tmp_path)
    crop = replace(located, preprocessing=replace(located.preprocessing, resize="crop", size=48))
    with pytest.raises(DataError) as caught:
        store_pixels(data, hashes, split, crop, folder=tmp_path)
    assert "0.png: The image of 90000 × 1 pixels is too narrow" in str(caught.value)
    assert "take these examples out" in str(caught.value)


def test_cropped_pixels_are_those_of_the_decoder(tmp_path: Path) -> None:
    data = replace(dataset(), read=lambda row: encoded(pattern(row % 2, row)))
    hashes = [content_hash(data.read(row)) for row in range(6)]
    located = tiny.located()
    crop = replace(located, preprocessing=replace(located.preprocessing, resize="crop"))
    kept = store_pixels(data, hashes, ((0, 1, 2, 3), (4, 5)), crop, folder=tmp_path)
    stored = np.load(kept.pixels, allow_pickle=False)
    for row in range(6):
        assert np.array_equal(stored[row], resize(pattern(row % 2, row), tiny.SIZE, "crop"))
