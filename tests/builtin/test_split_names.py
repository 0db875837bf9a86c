from __future__ import annotations

import pytest

from autotl.builtin.split_names import split_of, words_of


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("TRAINING", "train"),
        ("train_images", "train"),
        ("Training-Set", "train"),
        ("trainset", "train"),
        ("val", "validation"),
        ("validation data", "validation"),
        ("dev", "validation"),
        ("Test", "test"),
        ("hold-out", "test"),
        ("holdout_set", "test"),
        ("steam train", None),
        ("trained", None),
        ("images", None),
        ("set", None),
        ("", None),
        ("evaluate", None),
    ],
)
def test_names_of_folders(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_words() -> None:
    assert words_of("X_train.images") == ("x", "train", "images")
