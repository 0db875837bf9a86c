from __future__ import annotations

import hashlib
import shutil
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autotl.builtin import arrays, digits, frames, image_folders, tables
from autotl.errors import DataError, PluginError, RunFolderError, UsageError
from autotl.loading import Loaded, load, median_side
from autotl.records import Dataset, Loader, LoadRecord, from_json, to_json
from tests.images import arrays as some_arrays
from tests.images import encoded, pattern, write_class_folders, write_split_folders

LOADERS = [
    loader
    for module in (image_folders, tables, arrays, frames, digits)
    for loader in module.autotl_loaders()
]


def loader_of(dataset: Any, *, name: str = "own", why: str | None = "it is ours") -> Loader:
    def give(data: Any, options: Mapping[str, Any]) -> Any:
        if isinstance(dataset, Exception):
            raise dataset
        return dataset

    return Loader(name=name, description="ours", matches=lambda data, options: why, load=give)


def dataset_of(contents: list[Any], numbers: list[int], **more: Any) -> Dataset:
    def read(row: int) -> Any:
        if isinstance(contents[row], Exception):
            raise contents[row]
        return contents[row]

    fields = {
        "kind": "image",
        "ids": tuple(f"{row:03d}" for row in range(len(contents))),
        "labels": tuple(numbers),
        "classes": ("a", "b"),
        "read": read,
    }
    return Dataset(**{**fields, **more})


def picture(row: int) -> bytes:
    return encoded(pattern(row % 2, row, size=(12, 10)))


def load_own(dataset: Dataset, **more: Any) -> Loaded:
    return load("anything", [loader_of(dataset)], **more)


def test_the_record_says_what_was_loaded(tmp_path: Path) -> None:
    write_class_folders(tmp_path, classes=("a", "b"), per_class={"a": 3, "b": 2}, size=(40, 30))
    done = load(str(tmp_path), LOADERS)
    assert done.record.loader == "image-folders"
    assert done.record.reason == "it is a folder of images"
    assert (done.record.examples, done.record.classes) == (5, ("a", "b"))
    assert (done.record.per_class, done.record.median_side) == ((3, 2), 30)
    content = (tmp_path / "b" / "000.png").read_bytes()
    assert done.hashes[3] == hashlib.sha256(content).hexdigest()
    assert from_json(LoadRecord, to_json(done.record)) == done.record


def test_every_built_in_kind_of_data_is_read_by_its_loader(tmp_path: Path) -> None:
    images, labels = some_arrays(classes=2, per_class=3)
    np.savez(tmp_path / "some.npz", x=images, y=labels)
    found = [
        load(data, LOADERS).record
        for data in ((images, labels), str(tmp_path / "some.npz"), {"x": images, "y": labels})
    ]
    assert [record.loader for record in found] == ["arrays"] * 3
    assert len({record.fingerprint for record in found}) == 1


def test_progress_counts_to_the_end() -> None:
    told: list[tuple[str, int, int]] = []
    dataset = dataset_of([picture(row) for row in range(40)], [0, 1] * 20)
    load_own(dataset, progress=lambda *now: told.append(now))
    assert [done for _, done, _ in told] == [16, 32, 40]
    assert {total for _, _, total in told} == {40}


def test_the_unreadable_are_set_aside_and_said(tmp_path: Path) -> None:
    write_split_folders(tmp_path, splits={"train": 24, "test": 6}, classes=("a", "b"))
    (tmp_path / "train" / "a" / "001.png").write_bytes(b"")
    whole = (tmp_path / "test" / "b" / "002.png").read_bytes()
    (tmp_path / "test" / "b" / "002.png").write_bytes(whole[:200])
    done = load(str(tmp_path), LOADERS)
    assert [one.id for one in done.record.set_aside] == ["train/a/001.png", "test/b/002.png"]
    assert "0 bytes" in done.record.set_aside[0].reason
    assert done.record.examples == len(done.dataset.ids) == len(done.hashes) == 58
    assert done.dataset.splits is not None
    assert len(done.dataset.splits) == 58
    row = done.dataset.ids.index("test/b/003.png")
    assert done.dataset.read(row) == (tmp_path / "test" / "b" / "003.png").read_bytes()


def test_up_to_the_stated_share_may_be_unreadable() -> None:
    contents: list[Any] = [picture(row) for row in range(40)]
    contents[3] = contents[4] = b"broken"
    assert len(load_own(dataset_of(contents, [0, 1] * 20)).record.set_aside) == 2
    contents[5] = b"broken"
    with pytest.raises(DataError, match=r"3 of 40 examples cannot be read, more than 5%") as caught:
        load_own(dataset_of(contents, [0, 1] * 20))
    assert "up to 5% may be unreadable" in caught.value.hint


def test_numpy_values_of_a_plugin_become_plain_ones() -> None:
    pictures = [picture(row) for row in range(6)]
    numpys: dict[str, Any] = {
        "ids": np.array([10, 11, 12, 13, 14, 15]),
        "labels": np.array([0, 1] * 3),
        "classes": np.array([7, 8]),
        "groups": np.arange(6),
        "splits": np.array(["train"] * 4 + ["test"] * 2),
    }
    done = load_own(dataset_of(pictures, [], **numpys))
    assert {type(label) for label in done.dataset.labels} == {int}
    assert done.dataset.ids == ("10", "11", "12", "13", "14", "15")
    assert done.record.classes == ("7", "8")
    texts = (*done.dataset.ids, *(done.dataset.groups or ()), *(done.dataset.splits or ()))
    assert {type(text) for text in texts} == {str}
    assert from_json(LoadRecord, to_json(done.record)) == done.record


def test_names_that_differ_only_in_type_are_one_name() -> None:
    pictures = [picture(row) for row in range(4)]
    with pytest.raises(PluginError, match="an id occurs twice"):
        load_own(dataset_of(pictures, [0, 1] * 2, ids=(1, "1", "2", "3")))


def test_the_median_side_is_blind_to_a_given_test_split() -> None:
    sizes = [12, 12, 12, 12, 90, 90, 90, 90, 90, 90]
    pictures = [encoded(pattern(row % 2, row, size=(s, s))) for row, s in enumerate(sizes)]
    splits = ("train",) * 4 + ("test",) * 6
    assert load_own(dataset_of(pictures, [0, 1] * 5, splits=splits)).record.median_side == 12
    assert load_own(dataset_of(pictures, [0, 1] * 5)).record.median_side == 90


def test_the_median_side_can_be_of_some_rows_only() -> None:
    sizes = [12, 14, 16, 12, 90, 90, 90, 90, 90, 90]
    contents: list[Any] = [
        encoded(pattern(row % 2, row, size=(s + 5, s))) for row, s in enumerate(sizes)
    ]
    contents[4] = np.zeros((90, 100), np.uint8)
    loaded = load_own(dataset_of(contents, [0, 1] * 5))
    assert loaded.sides == tuple(sizes)
    assert median_side(loaded, (0, 1, 2)) == 14
    assert median_side(loaded, (3, 4, 5, 6)) == 90


def test_faults_of_a_plugins_read_set_one_example_aside() -> None:
    contents: list[Any] = [picture(row) for row in range(60)]
    contents[7], contents[9], contents[11] = KeyError("x"), PermissionError(13, "denied"), "text"
    aside = load_own(dataset_of(contents, [0, 1] * 30)).record.set_aside
    assert ["KeyError" in aside[0].reason, "denied" in aside[1].reason] == [True, True]
    assert len(aside) == 3


def test_classes_without_examples_are_left_out_and_said() -> None:
    pictures = [picture(row) for row in range(4)]
    done = load_own(dataset_of(pictures, [0, 2, 0, 2], classes=("a", "b", "c")))
    assert done.dataset.classes == done.record.classes == ("a", "c")
    assert done.dataset.labels == (0, 1, 0, 1)
    assert done.record.warnings == ("No example is of 'b': left out.",)


def test_copies_under_two_classes_are_a_warning() -> None:
    contents = [picture(row) for row in (0, 1, 2, 3, 0, 5)]
    (warning,) = load_own(dataset_of(contents, [0, 1, 0, 1, 1, 0])).record.warnings
    assert warning == "1 image occurs under different classes: 000 (a) = 004 (b)."


def test_equal_values_of_other_shape_are_other_content() -> None:
    pixels = [np.zeros(shape, np.uint8) for shape in ((4, 2), (2, 4), (8, 1), (4, 2))]
    hashes = load_own(dataset_of(pixels, [0, 1, 1, 0])).hashes
    assert len(set(hashes)) == 3


def test_images_are_not_kept_in_memory() -> None:
    pixels = np.zeros((400, 400, 3), np.uint8)
    dataset = replace(
        dataset_of([b""] * 100, [0, 1] * 50), read=lambda row: np.full_like(pixels, row)
    )
    tracemalloc.start()
    load_own(dataset)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 * pixels.nbytes


# ---- the fingerprint and later starts ----


def test_a_later_start_decodes_nothing_and_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_class_folders(tmp_path, per_class=20)
    (tmp_path / "apple" / "000.png").write_bytes(b"broken")
    first = load(str(tmp_path), LOADERS)

    def refuse(content: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("autotl.loading.reading.readable_side", refuse)
    second = load(str(tmp_path), LOADERS, known=first.record)
    assert second.record == first.record
    assert (second.hashes, second.dataset.ids) == (first.hashes, first.dataset.ids)
    assert second.sides == first.sides == (32,) * len(first.hashes)


@pytest.mark.parametrize("change", ["add", "remove", "content", "rename", "class"])
def test_changed_data_is_refused_and_the_change_named(tmp_path: Path, change: str) -> None:
    write_class_folders(tmp_path, per_class=4)
    known = load(str(tmp_path), LOADERS).record
    first = tmp_path / "birch" / "000.png"
    said = {
        "add": "class 'birch': 4 examples then, 5 now",
        "remove": "class 'birch': 4 examples then, 3 now",
        "content": "as many examples of each class",
        "rename": "as many examples of each class",
        "class": "class 'zoo': new",
    }[change]
    if change == "add":
        shutil.copy(first, tmp_path / "birch" / "new.png")
    elif change == "remove":
        first.unlink()
    elif change == "content":
        first.write_bytes(encoded(pattern(1, 99)))
    elif change == "rename":
        first.rename(tmp_path / "birch" / "other.png")
    else:
        (tmp_path / "birch").rename(tmp_path / "zoo")
    with pytest.raises(RunFolderError, match="no longer") as caught:
        load(str(tmp_path), LOADERS, known=known)
    assert any(said in line for line in caught.value.details)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ("a", "B")},
        {"ids": tuple("qrstuv")},
        {"labels": (1, 0, 0, 1, 0, 1)},
        {"splits": ("train", "train", "train", "train", "test", "test")},
        {"groups": tuple("uvwxyz")},
    ],
)
def test_the_fingerprint_covers_every_part(change: dict[str, Any]) -> None:
    contents = [picture(row) for row in range(6)]
    plain = load_own(dataset_of(contents, [0, 1] * 3)).record.fingerprint
    assert load_own(dataset_of(contents, [0, 1] * 3)).record.fingerprint == plain
    assert load_own(dataset_of(contents, [0, 1] * 3, **change)).record.fingerprint != plain


# ---- which loader ----


def test_two_loaders_that_match_are_listed() -> None:
    dataset = dataset_of([picture(row) for row in range(4)], [0, 1] * 2)
    both = [loader_of(dataset, name="one"), loader_of(dataset, name="two", why="it is theirs")]
    with pytest.raises(DataError, match="2 loaders") as caught:
        load("x", both)
    assert caught.value.details == ("one: it is ours", "two: it is theirs")
    assert load("x", both, options={"loader": "TWO"}).record.reason == "it is theirs"


def test_a_loader_that_fails_to_look_hurts_no_other(tmp_path: Path) -> None:
    def fail(data: Any, options: Mapping[str, Any]) -> str | None:
        raise RuntimeError("no luck")

    dataset = dataset_of([picture(row) for row in range(4)], [0, 1] * 2)
    broken = replace(loader_of(dataset, name="broken"), matches=fail)
    (warning,) = load("x", [broken, loader_of(dataset)]).record.warnings
    assert "broken" in warning
    assert "no luck" in warning
    file = tmp_path / "data.own"
    file.touch()
    for data in (str(file), str(tmp_path / "empty"), object()):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(DataError) as caught:
            load(data, [broken])
        assert "no luck" in "".join(caught.value.details), "an author sees the own fault"


def test_what_a_loader_found_is_in_the_record() -> None:
    dataset = dataset_of([picture(row) for row in range(4)], [0, 1] * 2, found="labels by 'x'")
    assert load_own(dataset).record.reason == "labels by 'x'"


def test_columns_reach_the_loader_that_heeds_them_and_no_other() -> None:
    dataset = dataset_of([picture(row) for row in range(4)], [0, 1] * 2)
    told: list[Mapping[str, Any]] = []

    def give(data: Any, options: Mapping[str, Any]) -> Dataset:
        told.append(dict(options))
        return dataset

    heeding = replace(loader_of(dataset), load=give, options=("label_column",))
    load("x", [heeding], options={"label_column": "a", "own": "b"})
    assert told == [{"label_column": "a", "own": "b"}]
    with pytest.raises(UsageError, match=r"--group-column says nothing here.* own .it is ours."):
        load("x", [heeding], options={"group_column": "a"})
    other = loader_of(dataset, why=None)
    loaders = [replace(heeding, matches=other.matches), loader_of(dataset, name="two")]
    with pytest.raises(UsageError, match="--label-column says nothing here") as caught:
        load("x", loaders, options={"label_column": "a"})
    assert caught.value.hint == "Leave it out, or give a table (own)."
    assert len(told) == 1


def test_an_unknown_loader_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'arrays'"):
        load("x", LOADERS, options={"loader": "array"})


@pytest.mark.parametrize(
    ("description", "hint"),
    [
        ("ours", "Name one: --loader one (ours) or --loader two (ours)."),
        ("what takes long to say " * 9, "Name one: --loader one or --loader two."),
    ],
)
def test_where_two_loaders_match_both_are_named(description: str, hint: str) -> None:
    dataset = dataset_of([picture(row) for row in range(4)], [0, 1, 0, 1])
    both = [
        replace(loader_of(dataset, name=name), description=description) for name in ("one", "two")
    ]
    with pytest.raises(DataError, match="can be read by 2 loaders") as caught:
        load("x", both)
    assert caught.value.hint == hint
    assert caught.value.details == ("one: it is ours", "two: it is ours")


@pytest.mark.parametrize("given", [RuntimeError("no luck"), None, {"ids": ()}])
def test_a_loader_that_fails_is_named(given: object) -> None:
    with pytest.raises(PluginError, match="'own'"):
        load("x", [loader_of(given)])


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"kind": "sound"}, "kind"),
        ({"ids": ("a", "a", "b", "c")}, "id occurs twice"),
        ({"ids": ("a", "b")}, "2 ids but 4 labels"),
        ({"classes": ("a", "a")}, "class name occurs twice"),
        ({"classes": ("a",)}, "none of the 1 classes"),
        ({"groups": ("g",)}, "groups"),
        ({"groups": ("g", "h", None, "g")}, "example '002' has None for a group"),
        ({"groups": ("g", "", "h", "g")}, "example '001' has '' for a group"),
        ({"groups": np.array([1.0, 2.0, 2.0, np.nan])}, r"example '003' has .*nan.* for a group"),
        ({"groups": pd.array([1, None, 2, 2])}, "example '001' has <NA> for a group"),
        ({"splits": ("train",)}, "splits"),
    ],
)
def test_a_broken_contract_is_named(more: dict[str, Any], fault: str) -> None:
    with pytest.raises(PluginError, match=fault):
        load_own(dataset_of([picture(row) for row in range(4)], [0, 1, 0, 1], **more))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((0.5, 1.5, 2.0, 3.0), "regression"),
        (((0, 1), (0,), (1,), (1,)), "multi-label"),
        (("a", "b", "a", "b"), "not the number of a class"),
    ],
)
def test_targets_of_a_plugin_that_are_no_classes(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_own(dataset_of([picture(row) for row in range(4)], labels))


def test_an_unknown_split_of_a_plugin_is_named() -> None:
    splits = ("train", "train", "train", "hidden")
    with pytest.raises(DataError, match="no split 'hidden'"):
        load_own(dataset_of([picture(row) for row in range(4)], [0, 1, 0, 1], splits=splits))
