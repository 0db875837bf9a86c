from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autotl.builtin.arrays import autotl_loaders, load, matches
from autotl.errors import DataError
from tests.images import arrays, encoded, pattern

IMAGES, LABELS = arrays(classes=3, per_class=2, size=(6, 5))


def test_a_pair_becomes_a_dataset() -> None:
    found = load((IMAGES, LABELS), {})
    assert found.labels == (0, 0, 1, 1, 2, 2)
    assert found.classes == ("0", "1", "2")
    assert found.ids[-1] == "000005"
    assert found.splits is None
    assert np.array_equal(found.read(3), IMAGES[3])
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("images", "labels"),
    [("images", "labels"), ("x", "y"), ("X", "Y"), ("data_images", "targets"), ("imgs", "label")],
)
def test_spellings_in_a_file(tmp_path: Path, images: str, labels: str) -> None:
    path = tmp_path / "some.npz"
    np.savez(path, **{images.removeprefix("data_"): IMAGES, labels: LABELS})
    assert matches(str(path), {}) == "it is an .npz file"
    assert load(str(path), {}).labels == (0, 0, 1, 1, 2, 2)


@pytest.mark.parametrize(
    ("x", "y"), [("x_{}", "y_{}"), ("{}_images", "{}_labels"), ("X_{}", "{}_targets")]
)
def test_given_splits(x: str, y: str) -> None:
    named: dict[str, Any] = {}
    for split, rows in (("test", [5]), ("train", [0, 2, 4]), ("val", [1, 3])):
        named[x.format(split)] = IMAGES[rows]
        named[y.format(split)] = LABELS[rows]
    found = load(named, {})
    assert found.splits == ("train",) * 3 + ("validation",) * 2 + ("test",)
    assert found.labels == (0, 1, 2, 0, 1, 2)
    for row, source in enumerate([0, 2, 4, 1, 3, 5]):
        assert np.array_equal(found.read(row), IMAGES[source])


def test_extras_beside_images_and_labels() -> None:
    named = {
        "images": IMAGES,
        "labels": LABELS,
        "classes": ["oak", "elm", "fir"],
        "splits": ["train", "Val", "train", "valid", "test", "train"],
        "groups": [7, 7, 8, 8, 9, 9],
        "note": "of no use",
    }
    found = load(named, {})
    assert found.classes == ("oak", "elm", "fir")
    assert found.splits == ("train", "validation", "train", "validation", "test", "train")
    assert found.groups == ("7", "7", "8", "8", "9", "9")
    assert "note" in found.warnings[0]


@pytest.mark.parametrize(
    ("labels", "classes", "places"),
    [
        (["b", "a", "b"], ("a", "b"), (1, 0, 1)),
        (np.array(["b", "a", "b"], dtype=object), ("a", "b"), (1, 0, 1)),
        (np.array([b"b", b"a", b"b"]), ("a", "b"), (1, 0, 1)),
        ([10, 9, 10], ("9", "10"), (1, 0, 1)),
        ([1.0, 0.0, 1.0], ("0", "1"), (1, 0, 1)),
        ([True, False, True], ("0", "1"), (1, 0, 1)),
        (np.array([[3], [1], [3]]), ("1", "3"), (1, 0, 1)),
        (np.array([[0, 1], [1, 0], [0, 1]]), ("0", "1"), (1, 0, 1)),
    ],
)
def test_labels_of_many_types(labels: Any, classes: tuple[str, ...], places: Any) -> None:
    found = load((IMAGES[:3], labels), {})
    assert (found.classes, found.labels) == (classes, places)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.5, 1.25, 3.0], "regression"),
        ([0.0, float("nan"), 1.0], "regression"),
        (np.array([[1, 1], [0, 1], [1, 0]]), "multi-label"),
        (np.array([[0, 0], [0, 1], [1, 0]]), "multi-label"),
        (np.array([[0.2, 0.8], [0.1, 0.9], [1, 0]]), "regression or soft"),
        ([[1], [1, 2], []], "unequal"),
        (np.zeros((3, 2, 2)), "one class an example"),
        (np.array([None, 1, "a"], dtype=object), "one class an example"),
        ([0, 1], "3 images but 2 labels"),
    ],
)
def test_targets_that_are_no_classes(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load((IMAGES[:3], labels), {})


@pytest.mark.parametrize(
    ("factor", "dtype"), [(1, np.int64), (1 / 255, np.float32), (257, np.uint16)]
)
def test_values_are_scaled_to_eight_bits(factor: float, dtype: Any) -> None:
    found = load(((IMAGES.astype(np.float64) * factor).astype(dtype), LABELS), {})
    assert found.read(0).dtype == np.uint8
    assert np.abs(found.read(0).astype(int) - IMAGES[0]).max() <= 1
    assert len(found.warnings) == (factor != 1)


@pytest.mark.parametrize(
    ("least", "most", "top"),
    [
        (0.0, 1.0000001, 1),
        (-1e-8, 1.0, 1),
        (-0.04, 1.04, 1),
        (-1e-8, 255.0, 255),
        (-9.0, 264.0, 255),
    ],
)
def test_floats_a_hair_outside_their_range_are_clipped_and_it_is_said(
    least: float, most: float, top: int
) -> None:
    images = (IMAGES.astype(np.float32) / IMAGES.max() * top).astype(np.float32)
    images[0, 0, 0], images[1, 0, 0] = least, most
    found = load((images, LABELS), {})
    assert (found.read(0)[0, 0] == 0).all()
    assert (found.read(1)[0, 0] == 255).all()
    inside = np.rint(images[2].astype(np.float64) * (255 / top))
    assert np.array_equal(found.read(2), inside)
    (remark,) = found.warnings
    assert f"outside 0 to {top}" in remark
    assert ("multiplied by 255" in remark) == (top == 1)


@pytest.mark.parametrize(("least", "most"), [(-0.06, 1.0), (-0.01, 0.1), (-0.1, 9.0), (0.0, 270.0)])
def test_floats_further_outside_are_no_pixels(least: float, most: float) -> None:
    images = np.zeros((6, 4, 4, 3), np.float32)
    images[0], images[1] = least, most
    with pytest.raises(DataError, match=r"negative|neither"):
        load((images, LABELS), {})


def test_whole_numbers_below_zero_are_no_pixels() -> None:
    images = IMAGES.astype(np.int64)
    images[0, 0, 0] = -1
    with pytest.raises(DataError, match="negative"):
        load((images, LABELS), {})


def test_dim_integers_stay_and_are_said() -> None:
    found = load((IMAGES // 16, LABELS), {})
    assert np.array_equal(found.read(1), IMAGES[1] // 16)
    assert "taken as they are" in found.warnings[0]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES / 127.5 - 1, "negative"),
        (np.where(IMAGES > 0, np.nan, 0.5), "finite"),
        (IMAGES.astype(np.float32) * 1000, "neither 0 to 1 nor 0 to 255"),
        (np.moveaxis(IMAGES, -1, 1), "shape"),
        (IMAGES.reshape(6, -1), "shape"),
        (np.array(["a"] * 6), "not numbers"),
        (["a"] * 6, "not numbers"),
    ],
)
def test_images_that_are_no_pixels(images: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load((images, LABELS), {})


def test_images_of_unequal_sizes_and_encoded_ones() -> None:
    images = [pattern(0, 0, size=(8, 4)), pattern(1, 0, size=(5, 9)), encoded(pattern(1, 1))]
    found = load((images, [0, 1, 1]), {})
    assert found.read(1).shape == (9, 5, 3)
    assert found.read(2) == images[2]


@pytest.mark.parametrize(
    "named",
    [
        {"arr_0": IMAGES, "arr_1": LABELS},
        {"images": IMAGES},
        {"x_train": IMAGES, "y_test": LABELS},
        {"x": IMAGES, "images": IMAGES, "y": LABELS},
        {"x": IMAGES, "y": LABELS, "x_test": IMAGES, "y_test": LABELS},
    ],
)
def test_names_that_do_not_say_enough(named: dict[str, Any]) -> None:
    with pytest.raises(DataError) as caught:
        load(named, {})
    assert any("uint8 (6, 5, 6, 3)" in line for line in caught.value.details)


@pytest.mark.parametrize(
    "groups",
    [
        [7, None, 7, None, 8, 8],
        ["7", float("nan"), "7", "", "8", "8"],
        np.array(["7", "", "7", "", "8", "8"]),
        pd.Series(["7", None, "7", pd.NA, "8", "8"]),
    ],
)
def test_an_image_without_a_group_is_one_of_its_own(groups: Any) -> None:
    found = load({"images": IMAGES, "labels": LABELS, "groups": groups}, {})
    assert found.groups is not None
    assert (found.groups[0], found.groups[4]) == ("7", "8")
    assert len(set(found.groups)) == 4
    assert found.warnings == ("2 images name no group: each is one of its own.",)


@pytest.mark.parametrize(
    "extra", [{"classes": ["a", "b"]}, {"classes": ["a", "a", "b"]}, {"groups": [1]}]
)
def test_extras_that_do_not_fit(extra: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        load({"images": IMAGES, "labels": LABELS, **extra}, {})


def test_string_labels_outside_the_class_names() -> None:
    with pytest.raises(DataError, match="'yew'"):
        load({"x": IMAGES[:2], "y": ["oak", "yew"], "classes": ["oak", "elm"]}, {})


def test_pickled_arrays_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "pickled.npz"
    np.savez(path, images=IMAGES, labels=np.array([{}, 1], dtype=object))
    with pytest.raises(DataError, match="without pickle"):
        load(str(path), {})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"text"])
def test_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.npz"
    path.write_bytes(content)
    with pytest.raises(DataError):
        load(str(path), {})


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("flipped", [0x01, 0x06, 0xFF])
def test_a_flipped_byte_is_the_data_s_fault(tmp_path: Path, save: Any, flipped: int) -> None:
    path = tmp_path / "some.npz"
    save(path, images=IMAGES, labels=np.arange(len(IMAGES)) % 2)
    whole = path.read_bytes()
    refused = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= flipped
        path.write_bytes(damaged)
        try:
            load(str(path), {})
        except DataError:
            refused += 1
    assert refused > len(whole) / 2


def test_what_is_no_arrays_does_not_match(tmp_path: Path) -> None:
    for data in (str(tmp_path), "none.npz", IMAGES, (IMAGES,), None):
        assert matches(data, {}) is None


def test_the_hook_offers_the_loader() -> None:
    (loader,) = autotl_loaders()
    assert loader.name == "arrays"
