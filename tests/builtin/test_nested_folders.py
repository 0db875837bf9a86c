from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from autotl.builtin import arrays, digits, folder_listing, image_folders, nested_folders
from autotl.builtin.folder_listing import DEEPEST, Walk, listing
from autotl.builtin.nested_folders import GROUPED, NESTED, TOP
from autotl.errors import DataError
from autotl.loading import load as loaded
from autotl.records import Dataset
from autotl.split import split
from autotl.testing import check_loader
from tests.images import encoded, pattern

MODULES = (image_folders, nested_folders, arrays, digits)
LOADERS = {loader.name: loader for module in MODULES for loader in module.autotl_loaders()}


def images_at(root: Path, *paths: str, count: int = 1) -> Path:
    """`count` images in each of the folders `paths`; no two images are equal."""
    for place, path in enumerate(paths):
        folder = root / path
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (folder / f"{number:02d}.png").write_bytes(encoded(pattern(place, number)))
    return root


def matching(root: Path, name: str = "") -> dict[str, str]:
    options = {"loader": name} if name else {}
    reasons = {each: LOADERS[each].matches(str(root), options) for each in LOADERS}
    return {each: reason for each, reason in reasons.items() if reason is not None}


def read(root: Path, name: str) -> Dataset:
    return LOADERS[name].load(str(root), {"loader": name})


def test_a_tree_with_distinct_leaves_is_read_by_its_paths(tmp_path: Path) -> None:
    images_at(tmp_path, "animals/cat", "animals/dog", "plants/oak", count=2)
    reason = matching(tmp_path)[NESTED]
    assert set(matching(tmp_path)) == {NESTED}
    assert reason == (
        "it is a tree of folders: the class is the path, such as animals/cat (3 classes); "
        "--loader top-folders takes the first folder (2 classes)"
    )
    found = loaded(str(tmp_path), list(LOADERS.values()))
    assert found.record.loader == NESTED
    assert found.record.reason == reason
    assert found.dataset.classes == ("animals/cat", "animals/dog", "plants/oak")
    assert found.dataset.labels == (0, 0, 1, 1, 2, 2)
    assert found.dataset.ids[0] == "animals/cat/00.png"
    assert found.dataset.read(5) == (tmp_path / "plants/oak/01.png").read_bytes()


@pytest.mark.parametrize(
    "paths",
    [
        ("cat/session1", "cat/session2", "dog/session1"),
        ("cat/patient_17", "dog/patient_18"),
        ("cat/2024-01-31", "dog/2024-02-01", "dog/2024-02-02"),
        ("cat", "dog/beagle", "dog/poodle"),
    ],
)
def test_where_either_may_be_meant_the_user_says(tmp_path: Path, paths: tuple[str, ...]) -> None:
    images_at(tmp_path, *paths, count=2)
    assert set(matching(tmp_path)) == {NESTED, TOP}
    with pytest.raises(DataError, match="can be read by 2 loaders") as caught:
        loaded(str(tmp_path), list(LOADERS.values()))
    lines = " ".join(caught.value.details)
    assert f"({len(paths)} classes)" in lines
    assert "(2 classes)" in lines
    assert "grouped-folders" in lines
    assert caught.value.hint == (
        "Name one: --loader nested-folders (folders in folders, the class is the path) or "
        "--loader top-folders (folders in folders, the class is the first folder)."
    )
    chosen = loaded(str(tmp_path), list(LOADERS.values()), options={"loader": TOP})
    assert chosen.record.loader == TOP
    assert "the class is the first folder, such as " in chosen.record.reason
    assert chosen.dataset.classes == ("cat", "dog")


def test_plain_class_folders_are_left_to_their_loader(tmp_path: Path) -> None:
    images_at(tmp_path, "cat", "dog", "dog/more", "empty")
    (tmp_path / "empty" / "00.png").unlink()
    assert set(matching(tmp_path)) == {"image-folders"}
    (remark,) = [line for line in read(tmp_path, "image-folders").warnings if "dog/" in line]
    assert "--loader top-folders" in remark
    assert read(tmp_path, TOP).labels == (0, 1, 1)
    assert read(tmp_path, NESTED).classes == ("cat", "dog", "dog/more")


def test_given_splits_go_with_all(tmp_path: Path) -> None:
    paths = ("train/a/x", "train/b/y", "val/a/x", "test/a/x", "test/b/y")
    images_at(tmp_path, *paths)
    splits = ("train", "train", "validation", "test", "test")
    for name, classes in ((NESTED, ("a/x", "b/y")), (TOP, ("a", "b")), (GROUPED, ("a", "b"))):
        found = read(tmp_path, name)
        assert found.splits == splits
        assert found.classes == classes
        assert found.labels == (0, 1, 0, 0, 1)
    assert read(tmp_path, NESTED).ids[2] == "val/a/x/00.png"
    assert set(matching(tmp_path)) == {NESTED}


def test_splits_inside_the_classes_are_given_splits(tmp_path: Path) -> None:
    images_at(tmp_path, "cat/train", "cat/test", "dog/train", "dog/test/more")
    assert set(matching(tmp_path)) == {TOP}
    assert "with train, validation or test folders in them" in matching(tmp_path)[TOP]
    found = read(tmp_path, TOP)
    assert found.splits == ("train", "train", "test", "test")
    assert found.ids[-1] == "dog/test/more/00.png"
    assert found.labels == (0, 1, 0, 1)


def test_groups_are_the_folders_in_the_classes(tmp_path: Path) -> None:
    images_at(tmp_path, *(f"{c}/p{n}" for c in ("cat", "dog") for n in range(8)), count=3)
    images_at(tmp_path, "cat/p0/left")
    reason = matching(tmp_path, GROUPED)[GROUPED]
    assert "each folder below it a group (8)" in reason
    found = read(tmp_path, GROUPED)
    assert found.groups is not None
    assert set(found.groups) == {f"p{n}" for n in range(8)}
    assert found.groups[found.ids.index("cat/p0/left/00.png")] == "p0"
    rows = split(found, [str(row) for row in range(len(found.ids))], seed=1)
    sides = [{found.groups[row] for row in part} for part in (rows.train, rows.test)]
    assert not sides[0] & sides[1]
    assert sides[1]


def test_an_image_in_no_folder_is_a_group_of_its_own(tmp_path: Path) -> None:
    images_at(tmp_path, "cat", "dog/p1", count=2)
    assert read(tmp_path, GROUPED).groups == ("cat/00.png", "cat/01.png", "p1", "p1")


def test_folders_like_sessions_are_said_to_leak(tmp_path: Path) -> None:
    images_at(tmp_path, "cat/s1", "cat/s2", "dog/s3")
    (warning,) = read(tmp_path, TOP).warnings
    assert "--loader grouped-folders keeps each on one side" in warning
    assert read(tmp_path, GROUPED).warnings == ()
    for paths in (("cat", "dog"), ("cat/s1", "dog/s2")):
        assert read(images_at(tmp_path / str(len(paths[0])), *paths), TOP).warnings == ()
    assert read(images_at(tmp_path / "two", "cat/red", "cat/blue", "dog/wild"), TOP).warnings == ()


def test_a_folder_that_wraps_everything_is_guessed(tmp_path: Path) -> None:
    images_at(tmp_path, "photos/cat", "photos/dog/beagle")
    assert set(matching(tmp_path)) == {"image-folders"}
    with pytest.raises(DataError, match=r"Did you mean .*photos"):
        loaded(str(tmp_path), list(LOADERS.values()))


def test_the_loader_of_plain_folders_names_those_of_trees(tmp_path: Path) -> None:
    images_at(tmp_path, "animals/cat", "plants/oak")
    with pytest.raises(DataError, match="hold folders where images were expected") as caught:
        read(tmp_path, "image-folders")
    assert "--loader nested-folders" in caught.value.hint
    assert "--loader top-folders" in caught.value.hint


def circle(path: Path, target: Path) -> None:
    path.symlink_to(target, target_is_directory=True)


def test_links_in_circles_end_and_are_said(tmp_path: Path) -> None:
    images_at(tmp_path, "a/x", "b/y")
    circle(tmp_path / "a" / "up", tmp_path)
    circle(tmp_path / "a" / "x" / "self", tmp_path / "a" / "x")
    circle(tmp_path / "b" / "across", tmp_path / "a" / "x")
    found = read(tmp_path, NESTED)
    assert found.ids == ("a/x/00.png", "b/across/00.png", "b/y/00.png")
    assert found.warnings == (
        "Links that lead back to a folder above them were not followed: a/up/, a/x/self/ and "
        "b/across/self/.",
    )


@pytest.mark.parametrize("above", [".", "..", "../..", "../../.."])
def test_no_image_gets_a_second_class_by_a_link_up(tmp_path: Path, above: str) -> None:
    images_at(tmp_path / "data", "cat/in", "cat/out", "dog/in", "dog/out", count=10)
    circle(tmp_path / "data" / "cat" / "in" / "up", Path(above))
    found = read(tmp_path / "data", TOP)
    assert len(found.ids) == 40
    assert found.labels.count(0) == 20
    at = "cat/in/up/data/" if above == "../../.." else "cat/in/up/"
    assert any(f"not followed: {at}." in line for line in found.warnings)


@pytest.mark.parametrize("above", ["..", "../..", "../../.."])
def test_no_test_image_comes_into_training_by_a_link_up(tmp_path: Path, above: str) -> None:
    images_at(tmp_path, *(f"{s}/{c}/a" for s in ("train", "test") for c in ("cat", "dog")))
    circle(tmp_path / "train" / "cat" / "a" / "up", Path(above))
    for name in (NESTED, TOP, GROUPED):
        found = read(tmp_path, name)
        assert [path.split("/")[0] for path in found.ids] == ["train", "train", "test", "test"]
        assert any("not followed: train/cat/a/up/." in line for line in found.warnings)


def test_a_link_up_makes_no_tree_of_plain_folders(tmp_path: Path) -> None:
    images_at(tmp_path, "cat", "dog", count=2)
    circle(tmp_path / "latest", Path())
    circle(tmp_path / "cat" / "all", Path(".."))
    assert set(matching(tmp_path)) == {"image-folders"}
    found = read(tmp_path, "image-folders")
    assert len(found.ids) == 4
    assert found.warnings == (
        "Links that lead back to a folder above them were not followed: latest/ and cat/all/.",
    )
    assert read(tmp_path, NESTED).classes == ("cat", "dog")
    assert read(tmp_path, NESTED).warnings == found.warnings


def test_links_up_beside_splits_are_said(tmp_path: Path) -> None:
    images_at(tmp_path, *(f"{s}/{c}" for s in ("train", "test") for c in ("cat", "dog")))
    circle(tmp_path / "current", Path())
    circle(tmp_path / "test" / "again", Path(".."))
    circle(tmp_path / "test" / "dog" / "back", Path("../.."))
    assert set(matching(tmp_path)) == {"image-folders"}
    said = "not followed: current/, test/again/ and test/dog/back/."
    for name in ("image-folders", NESTED, TOP):
        found = read(tmp_path, name)
        assert len(found.ids) == 4
        assert [said in line for line in found.warnings] == [True]


def test_no_deeper_than_said(tmp_path: Path) -> None:
    inner = "/".join("n" * (DEEPEST - 1))
    images_at(tmp_path, "a/x", f"b/{inner[2:]}", f"b/{inner}")
    found = read(tmp_path, TOP)
    assert len(found.ids) == 2
    (warning,) = found.warnings
    assert (
        warning == f"Folders more than {DEEPEST} levels down are not read: those in b/{inner[2:]}/."
    )


def test_no_more_folders_than_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images_at(tmp_path, *(f"{c}/n{n}" for c in "ab" for n in range(5)))
    monkeypatch.setattr(folder_listing, "MOST_FOLDERS", 12)
    assert len(read(tmp_path, NESTED).ids) == 10
    monkeypatch.setattr(folder_listing, "MOST_FOLDERS", 11)
    with pytest.raises(DataError, match="more than 11 folders"):
        read(tmp_path, NESTED)
    assert len(list(Walk().through(listing(tmp_path / "a")))) == 6


def test_composed_and_decomposed_paths_are_one_class(tmp_path: Path) -> None:
    images_at(tmp_path, "train/caf\u00e9/x", "test/cafe\u0301/x", "train/tea/y")
    assert read(tmp_path, NESTED).classes == ("caf\u00e9/x", "tea/y")
    assert read(tmp_path, TOP).classes == ("caf\u00e9", "tea")


@pytest.mark.parametrize("name", [image_folders.NAME, NESTED, TOP, GROUPED])
def test_names_that_are_written_alike_get_ids_that_differ(tmp_path: Path, name: str) -> None:
    images_at(tmp_path, "cat", "dog", count=2)
    (tmp_path / "cat" / "00.png").rename(os.fsdecode(bytes(tmp_path / "cat") + b"/q\xff.png"))
    (tmp_path / "cat" / "01.png").rename(tmp_path / "cat" / "q\\xff.png")
    found = loaded(str(tmp_path), list(LOADERS.values()), options={"loader": name}).dataset
    assert found.ids[:2] == ("cat/q\\xff.png", "cat/q\\xff.png (2)")
    assert found.read(0) == encoded(pattern(0, 1))
    assert found.read(1) == encoded(pattern(0, 0))
    assert found.groups == (found.ids if name == GROUPED else None)


def test_a_folder_without_images_is_refused_by_all(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert matching(tmp_path, NESTED) == {}
    for name in (NESTED, TOP, GROUPED):
        with pytest.raises(DataError, match="holds no folders with images"):
            read(tmp_path, name)
        for data in ("/nowhere/at/all", 7):
            with pytest.raises(DataError):
                LOADERS[name].load(data, {})
            assert LOADERS[name].matches(data, {"loader": name}) is None


def test_a_layout_that_is_refused_is_refused_with_its_reason(tmp_path: Path) -> None:
    images_at(tmp_path, "valid/a/x", "test/b/y")
    assert set(matching(tmp_path)) == {NESTED}
    assert set(matching(tmp_path, TOP)) == {NESTED, TOP}
    with pytest.raises(DataError, match="no train folder"):
        read(tmp_path, NESTED)


@pytest.mark.parametrize("name", [NESTED, TOP, GROUPED])
def test_they_keep_their_contract(tmp_path: Path, name: str) -> None:
    paths = [f"{c}/p{n}" for c in ("cat", "dog") for n in range(6)]
    images_at(tmp_path, *paths, count=2)
    options = {"loader": name}
    found = check_loader(LOADERS[name], str(tmp_path), options=options)
    assert len(found.ids) == 24


def test_the_fingerprint_of_plain_folders_is_as_it_was(tmp_path: Path) -> None:
    images_at(tmp_path, "apple", "birch", "cedar", count=3)
    make = partial(loaded, str(tmp_path), list(LOADERS.values()))
    assert make().record.fingerprint == FINGERPRINT


FINGERPRINT = "7cf3f4cf19e8d53f0a425dd1d63d709ad5bf5ca566930f94363cf51d1d638863"
