"""Bad data, as a user would give it: one clear message and the exit code of data, 3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotl.builtin import arrays, digits, image_folders, nested_folders
from autotl.errors import DataError
from autotl.loading import load
from tests.images import arrays as some_arrays
from tests.images import write_class_folders, write_split_folders

MODULES = (image_folders, nested_folders, arrays, digits)
LOADERS = [loader for module in MODULES for loader in module.autotl_loaders()]


def refusal(data: Any, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        load(data, LOADERS, options=options)
    assert caught.value.exit_code == 3
    assert "\n" not in caught.value.message
    return caught.value


def test_missing_path_with_the_nearest_name(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "flowers", per_class=2)
    error = refusal(str(tmp_path / "flower"))
    assert "no file or folder" in error.message
    assert f"Did you mean {tmp_path / 'flowers'}?" in error.message


def test_misspelt_built_in_name() -> None:
    assert "Did you mean digits?" in refusal("digit").message


def test_missing_path_with_a_named_loader() -> None:
    assert "no file or folder" in refusal("/nowhere", loader="image-folders").message


def test_a_file_where_a_folder_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"x")
    error = refusal(str(path))
    assert "is a file that no loader reads" in error.message
    assert "image-folders" in error.hint


def test_empty_folder(tmp_path: Path) -> None:
    assert "is empty" in refusal(str(tmp_path)).message


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "table.csv").write_text("a")
    assert refusal(str(tmp_path)).details == ("Found: sub/, 1 .csv file",)


def test_one_class(tmp_path: Path) -> None:
    write_class_folders(tmp_path, classes=("only",), per_class=4)
    assert "All 4 examples are of one class, 'only'" in refusal(str(tmp_path)).message


def test_a_class_with_one_example(tmp_path: Path) -> None:
    write_class_folders(tmp_path, classes=("a", "lone"), per_class={"a": 4, "lone": 1})
    assert "The class 'lone' has one example" in refusal(str(tmp_path)).message


def test_a_class_that_only_the_test_split_holds(tmp_path: Path) -> None:
    write_split_folders(tmp_path, splits={"train": 3, "test": 2}, classes=("cat", "dog"))
    (tmp_path / "test" / "dog").rename(tmp_path / "test" / "Dog")
    error = refusal(str(tmp_path))
    assert "No training example of 'Dog'" in error.message
    assert "spelt alike" in error.hint


def test_too_many_unreadable_images(tmp_path: Path) -> None:
    write_class_folders(tmp_path, per_class=4)
    (tmp_path / "apple" / "000.png").write_bytes(b"")
    error = refusal(str(tmp_path))
    assert "1 of 12 examples cannot be read, more than 5%" in error.message
    assert error.details[0].startswith("apple/000.png: ")


def test_a_class_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    write_class_folders(tmp_path, classes=("a", "b", "c"), per_class={"a": 30, "b": 30, "c": 2})
    for path in (tmp_path / "c").iterdir():
        path.write_bytes(b"broken")
    assert "No example of 'c' can be read" in refusal(str(tmp_path)).message


def test_multi_label_targets() -> None:
    images, _ = some_arrays(classes=2, per_class=2)
    targets = np.array([[1, 1], [0, 1], [1, 0], [1, 1]])
    assert "2 of 4 examples bear several labels" in refusal((images, targets)).message


def test_regression_targets() -> None:
    images, _ = some_arrays(classes=2, per_class=2)
    assert "regression" in refusal((images, [0.1, 2.5, 3.0, 1.0])).message


def test_whole_numbers_that_are_no_classes() -> None:
    images, _ = some_arrays(classes=2, per_class=10)
    assert "regression" in refusal((images, list(range(100, 2100, 100)))).message


def test_no_example() -> None:
    assert "no example" in refusal((np.zeros((0, 4, 4), np.uint8), np.zeros(0, int))).message


def test_an_object_that_no_loader_reads() -> None:
    assert "an object of type set" in refusal({1, 2}).message
