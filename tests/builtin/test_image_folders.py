from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autotl.builtin.folder_listing import tree
from autotl.builtin.image_folders import autotl_loaders, load, matches
from autotl.errors import DataError
from tests.images import encoded, pattern, write_class_folders, write_split_folders


def image_at(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(pattern(0, 0)))


def test_class_folders_become_sorted_ids_labels_and_classes(tmp_path: Path) -> None:
    write_class_folders(tmp_path, classes=("b", "a"), per_class=2)
    found = load(str(tmp_path), {})
    assert found.ids == ("a/000.png", "a/001.png", "b/000.png", "b/001.png")
    assert found.labels == (0, 0, 1, 1)
    assert found.classes == ("a", "b")
    assert found.splits is None
    assert found.warnings == ()
    assert found.read(2) == (tmp_path / "b" / "000.png").read_bytes()


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "valid", "test"),
        ("Training", "Validation", "Testing"),
        ("TRAIN", "val", "holdout"),
        ("tr", "dev", "hold_out"),
        ("training_set", "val-set", "test set"),
    ],
)
def test_split_folders_in_their_usual_spellings(
    tmp_path: Path, train: str, validation: str, test: str
) -> None:
    write_split_folders(tmp_path, splits={train: 3, validation: 2, test: 1}, classes=("a", "b"))
    found = load(str(tmp_path), {})
    assert found.splits == ("train",) * 6 + ("validation",) * 4 + ("test",) * 2
    assert found.ids[0] == f"{train}/a/000.png"
    assert found.labels == (0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 0, 1)


def test_a_train_folder_alone_is_a_given_split(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train", per_class=1)
    assert set(load(str(tmp_path), {}).splits or ()) == {"train"}


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_class_folders(tmp_path, classes=("car", "train"), per_class=1)
    assert load(str(tmp_path), {}).classes == ("car", "train")


def test_hidden_and_system_files_are_not_there(tmp_path: Path) -> None:
    write_class_folders(tmp_path, classes=("a", "b"), per_class=1)
    for name in ("a/._000.png", "a/Thumbs.db", "a/.DS_Store", "__MACOSX/a/000.png", ".git/x.png"):
        image_at(tmp_path / name)
    found = load(str(tmp_path), {})
    assert found.ids == ("a/000.png", "b/000.png")
    assert found.warnings == ()


def test_other_files_are_counted_and_empty_folders_named(tmp_path: Path) -> None:
    write_class_folders(tmp_path, classes=("a", "b"), per_class=1)
    (tmp_path / "empty").mkdir()
    for name in ("a/notes.txt", "b/one.heic", "b/two.HEIC", "README"):
        (tmp_path / name).write_text("x")
    warnings = load(str(tmp_path), {}).warnings
    assert warnings == (
        "The folder empty/ holds no images: left out.",
        "Files in class folders that are no images were passed over: 2 .heic, 1 .txt.",
    )


def test_classes_that_look_alike_are_said(tmp_path: Path) -> None:
    write_class_folders(tmp_path, classes=("Red fox", "redfox", "bear"), per_class=1)
    (warning,) = load(str(tmp_path), {}).warnings
    assert "'Red fox', 'redfox'" in warning


def test_composed_and_decomposed_names_are_one_class(tmp_path: Path) -> None:
    image_at(tmp_path / "train" / "caf\u00e9" / "1.png")
    image_at(tmp_path / "test" / "cafe\u0301" / "2.png")
    image_at(tmp_path / "train" / "tea" / "3.png")
    assert load(str(tmp_path), {}).classes == ("caf\u00e9", "tea")


def test_images_and_folders_that_belong_to_no_class_are_said(tmp_path: Path) -> None:
    write_split_folders(tmp_path, splits={"train": 2, "test": 1}, classes=("a", "b"))
    for name in ("cover.png", "extra/1.png", "valid/1.png", "train/a/more/1.png"):
        image_at(tmp_path / name)
    found = load(str(tmp_path), {})
    assert len(found.ids) == 6
    text = " ".join(found.warnings)
    assert "1 image belongs to no class" in text
    assert "extra/ and valid/" in text
    assert "train/a/" in text


def test_circles_of_links_end(tmp_path: Path) -> None:
    write_class_folders(tmp_path, classes=("a", "b"), per_class=2)
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert len(load(str(tmp_path), {}).ids) == 4
    assert matches(str(tmp_path), {}) is not None


def test_a_broken_link_is_an_example_that_cannot_be_read(tmp_path: Path) -> None:
    write_class_folders(tmp_path, classes=("a", "b"), per_class=1)
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = load(str(tmp_path), {})
    assert found.ids[1] == "a/gone.png"
    with pytest.raises(FileNotFoundError):
        found.read(1)


def test_names_that_are_no_utf8_get_printable_ids(tmp_path: Path) -> None:
    write_class_folders(tmp_path, classes=("a", "b"), per_class=1)
    source = tmp_path / "a" / "000.png"
    shutil.copy(source, bytes(tmp_path / "a") + b"/\xff.png")
    found = load(str(tmp_path), {})
    assert found.ids[1] == "a/\\xff.png"
    assert found.read(1) == source.read_bytes()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["1.png", "2.png"], "directly"),
        (["train/1.png", "test/2.png"], "without class folders"),
        (["flower_photos/a/1.png", "flower_photos/b/2.png"], "Did you mean .*flower_photos"),
        (["valid/a/1.png", "test/b/2.png"], "no train folder"),
        (["train/a/1.png", "Training/a/2.png"], "all name the train split"),
    ],
)
def test_a_nearly_right_folder_is_told_what_was_expected(
    tmp_path: Path, files: list[str], message: str
) -> None:
    for name in files:
        image_at(tmp_path / name)
    assert matches(str(tmp_path), {})
    with pytest.raises(DataError, match=message) as caught:
        load(str(tmp_path), {})
    assert "DATA/CLASS/IMAGE" in caught.value.hint
    assert any("image" in line for line in caught.value.details)


def test_what_is_no_folder_of_images_does_not_match(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b")
    for data in (str(tmp_path), str(tmp_path / "table.csv"), "nowhere", ([], []), None):
        assert matches(data, {}) is None


@pytest.mark.parametrize("data", ["/nowhere/at/all", 7])
def test_loading_what_is_no_folder_is_an_error(data: object) -> None:
    with pytest.raises(DataError):
        load(data, {})


def test_the_tree_is_short(tmp_path: Path) -> None:
    write_class_folders(tmp_path, classes=[f"c{n}" for n in range(9)], per_class=2)
    lines = tree(tmp_path)
    assert lines[1] == "  c0/  2 images"
    assert lines[-1] == "  (5 more folders)"
    assert len(lines) == 6


def test_the_hook_offers_the_loader() -> None:
    (loader,) = autotl_loaders()
    assert (loader.name, loader.kind) == ("image-folders", "image")
