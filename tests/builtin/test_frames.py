from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from PIL import Image

from autotl.builtin import arrays, digits, image_folders, tables
from autotl.builtin.frames import autotl_loaders, load, matches
from autotl.errors import DataError, UsageError
from autotl.loading import load as load_data
from autotl.pixels import decode
from autotl.records import Loader
from autotl.testing import check_loader
from tests.builtin.table_data import SPECIES, images, species
from tests.images import encoded, pattern

(LOADER,) = autotl_loaders()
LOADERS: list[Loader] = [
    loader
    for module in (image_folders, tables, arrays, digits)
    for loader in module.autotl_loaders()
] + [LOADER]


class Own(pandas.DataFrame):
    """A class made of pandas' one, as other libraries have."""


def pixels(count: int = 12) -> list[Any]:
    return [pattern(number % 3, number) for number in range(count)]


def frame(**more: Any) -> pandas.DataFrame:
    return pandas.DataFrame({"image": pixels(), "label": species(), **more})


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (frame(), "frames"),
        (Own(frame()), "frames"),
        ({"train": frame()[:8], "val": frame()[8:]}, "frames"),
        ({"images": frame()["image"].tolist(), "labels": frame()["label"]}, "arrays"),
        ((np.stack(pixels()), frame()["label"]), "arrays"),
        ((np.stack(pixels()), frame()[["label"]]), "arrays"),
        ({"images": np.stack(pixels()), "labels": frame()[["label"]]}, "arrays"),
    ],
    ids=["frame", "own", "splits", "series", "pair", "framed", "named"],
)
def test_exactly_one_loader_matches_each(data: Any, name: str) -> None:
    found = [loader.name for loader in LOADERS if loader.matches(data, {}) is not None]
    assert found == [name]
    record = load_data(data, LOADERS).record
    assert (record.examples, record.classes) == (12, SPECIES)


@pytest.mark.parametrize(
    "data",
    [None, 3, "frame", [], {}, frame()["label"], (1, 2), (np.stack(pixels()), frame()[["label"]])],
)
def test_what_is_no_frame_does_not_match(data: Any) -> None:
    assert matches(data, {}) is None
    with pytest.raises(DataError):
        load(data, {})


def pictures(make: Callable[[Any], Any]) -> list[Any]:
    return [make(one) for one in pixels()]


@pytest.mark.parametrize(
    "make",
    [
        lambda one: one,
        encoded,
        lambda one: bytearray(encoded(one)),
        lambda one: {"bytes": encoded(one), "path": None},
        Image.fromarray,
        lambda one: Image.open(BytesIO(encoded(one))),
    ],
    ids=["pixels", "bytes", "bytearray", "dict", "pil", "opened"],
)
def test_images_in_the_frame_itself(make: Callable[[Any], Any]) -> None:
    data = pandas.DataFrame({"picture": pictures(make), "what": species()})
    found = check_loader(LOADER, data)
    assert found.ids[:2] == ("000000", "000001")
    assert found.found == (
        "12 rows of the data frame: images by column 'picture', labels by 'what' ('ant', 'bee', "
        "'cat'); --input-column and --label-column to name others"
    )
    for row, expected in enumerate(pixels()):
        assert np.array_equal(decode(found.read(row)), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK", "YCbCr", "HSV"])
def test_pil_images_of_every_mode_are_what_their_file_would_be(mode: str) -> None:
    if mode == "I;16":
        made = Image.fromarray(pattern(0, 1)[:, :, 0].astype(np.uint16) * 200)
        expected = np.rint(np.asarray(made) / 257).astype(np.uint8)[:, :, None].repeat(3, axis=2)
    else:
        made = Image.fromarray(pattern(0, 1)).convert(mode)
        expected = np.asarray(made.convert("RGB"))
    data = pandas.DataFrame({"image": [made, made], "label": ["a", "b"]})
    assert np.array_equal(decode(load(data, {}).read(0)), expected)


def test_the_orientation_of_a_pil_image_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(pattern(0, 1), ".jpg", exif=exif)
    data = pandas.DataFrame({"image": [Image.open(BytesIO(content))] * 2, "label": ["a", "b"]})
    assert np.array_equal(decode(load(data, {}).read(0)), decode(content))


def test_paths_are_relative_to_the_current_folder(tmp_path: Path) -> None:
    names = images(tmp_path / "images")
    data = pandas.DataFrame({"path": [Path("images") / name for name in names], "y": species()})
    with chdir(tmp_path):
        found = check_loader(LOADER, data)
    assert found.ids[0] == "images/000.png"
    assert found.read(11) == (tmp_path / "images" / "011.png").read_bytes()


def test_categories_keep_their_order_and_missing_labels_are_left_out() -> None:
    kinds = pandas.Categorical(species(), categories=["cat", "yak", "bee", "ant"])
    assert load(frame(label=kinds), {}).classes == ("cat", "bee", "ant")
    for nothing in (None, np.nan, pandas.NA, "  "):
        data = pandas.DataFrame({"image": pixels(24), "label": species(24)})
        data.loc[3, "label"] = nothing
        found = load(data, {})
        assert len(found.ids) == 23
        assert found.warnings == ("1 of 24 rows have no label, and are left out: iloc 3.",)
        assert np.array_equal(found.read(3), pixels(5)[4])
    numbers = pandas.DataFrame({"image": pixels(24), "label": [10.0, 9.0, np.nan] + [9.0] * 21})
    assert load(numbers, {}).classes == ("9", "10")


def test_given_splits() -> None:
    data = {"test": frame()[8:], "Training": frame()[:8]}
    found = load(data, {})
    assert found.splits == ("train",) * 8 + ("test",) * 4
    assert np.array_equal(found.read(0), pixels()[0])
    assert found.labels == (0, 1, 2) * 4
    with pytest.raises(UsageError, match="--split-column says nothing"):
        load(data, {"split_column": "label"})
    with pytest.raises(DataError, match="Two data frames are of the train split"):
        load({"train": frame()[:3], "training": frame()[3:]}, {})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (frame()[:0], "the data frame has no rows"),
        (frame(image=[*pixels(11), "a.png"]), "images and other things: str in iloc 11"),
        (pandas.concat([frame(), frame()[["label"]]], axis=1), "2 columns named 'label'"),
        (pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]}), "No column of the data frame"),
    ],
    ids=["empty", "mixed", "twice", "none"],
)
def test_frames_that_cannot_be_used(data: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(data, {})


def test_columns_may_be_named_by_numbers() -> None:
    data = pandas.DataFrame({0: pixels(), 1: species(), 2: ["x", "y"] * 6})
    assert load(data, {"label_column": "2"}).classes == ("x", "y")
    with pytest.raises(DataError, match="No column of the data frame is clearly"):
        load(data, {})


def test_an_image_that_is_missing_or_no_pixels_is_set_aside() -> None:
    data = pandas.DataFrame({"image": pixels(40), "label": species(40)})
    data.at[3, "image"] = None
    data.at[4, "image"] = np.zeros((4, 4), np.float32)
    aside = load_data(data, LOADERS).record.set_aside
    assert [(one.id, one.reason) for one in aside] == [
        ("000003", "The data frame holds no image there."),
        ("000004", "The pixels are float32, not uint8."),
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"train": frame(), "unlabeled": frame()}, "'unlabeled' is the name of no split"),
        ({"x": frame(), "y": frame()}, "'x' is the name of no split"),
        ({"train": frame(), 7: 1}, "'7' is the name of no split"),
        ({"train": frame(), "test": pixels()}, "'test' is a list, not a pandas data frame"),
        ((frame(), frame()), "A tuple of data frames does not say of which split each is"),
        ([frame()] * 3, "A list of data frames does not say of which split each is"),
    ],
    ids=["name", "names", "number", "list", "pair", "three"],
)
def test_frames_of_unknown_splits_are_told_which_by_their_own_loader(data: Any, words: str) -> None:
    assert [loader.name for loader in LOADERS if loader.matches(data, {})] == ["frames"]
    with pytest.raises(DataError, match=words) as caught:
        load_data(data, LOADERS)
    assert '"train": frame' in (caught.value.hint or "")


def test_a_column_that_not_all_frames_have_is_refused_only_where_it_is_used() -> None:
    more = {"note": "x", "patient": [1, 2] * 6}
    found = load({"train": frame(), "test": frame(note="x")}, {})
    assert "not used: 'note'" in found.found
    assert np.array_equal(found.read(13), pixels()[1])
    data = {"train": frame(**more), "test": frame()}
    words = "'patient', by which the groups would be told: that of the test split has not"
    with pytest.raises(DataError, match=words) as caught:
        load(data, {})
    assert "--group-column NAME, or 'none'" in (caught.value.hint or "")
    assert load(data, {"group_column": "none"}).groups is None
    with pytest.raises(DataError, match="'note', by which the labels would be told") as caught:
        load(data, {"group_column": "none", "label_column": "note"})
    del data["test"]["label"]
    with pytest.raises(DataError, match="'label', by which the labels would be told"):
        load(data, {"group_column": "none"})


def test_the_column_of_labels_is_one_that_all_frames_have() -> None:
    plain = frame().rename(columns={"label": "what"})
    found = load({"train": plain, "test": plain.assign(more=1)}, {})
    assert "labels by 'what'" in found.found


def test_categories_of_numbers_keep_their_order_too() -> None:
    kinds = pandas.Categorical([2.0, 0.5, 1.0] * 4, categories=[2.0, 1.0, 0.5])
    assert load(frame(label=kinds), {}).classes == ("2", "1", "0.5")


def test_categories_of_one_frame_order_both_where_they_name_all_classes() -> None:
    order = pandas.CategoricalDtype(["cat", "bee", "ant"])
    ordered = frame().astype({"label": order})
    assert load({"train": ordered, "test": frame()}, {}).classes == ("cat", "bee", "ant")
    other = frame(label=["yak", "ant"] * 6)
    assert load({"train": ordered, "test": other}, {}).classes == ("ant", "bee", "cat", "yak")


def test_a_thousand_columns_take_no_time() -> None:
    begun = time.process_time()
    wide = pandas.DataFrame(np.zeros((12, 1500), np.uint8)).add_prefix("p")
    load(pandas.concat([frame(), wide], axis=1), {"label_column": "label"})
    assert time.process_time() - begun < 5


def test_one_pil_image_is_read_by_many_threads() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    content = encoded(noise)
    for _ in range(5):
        opened = Image.open(BytesIO(content))
        found = load(pandas.DataFrame({"image": [opened] * 2, "label": ["a", "b"]}), {})
        with ThreadPoolExecutor(8) as pool:
            read = list(pool.map(found.read, [0, 1] * 4))
        assert all(np.array_equal(decode(one), noise) for one in read)
