"""What a row of a table gets once an earlier row has named its image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autotl.builtin.look_alikes import look_alikes
from autotl.builtin.tables import load
from autotl.errors import DataError
from tests.builtin.table_data import images, species, write_csv


def columns(folder: Path, count: int = 12) -> dict[str, list[Any]]:
    return {
        "file": images(folder, count),
        "label": species(count),
        "patient": [f"p{number // 2}" for number in range(count)],
        "split": [("train", "train", "validation", "test")[n % 4] for n in range(count)],
    }


@pytest.mark.parametrize("at", [0, 1, 6, 11])
def test_rows_behind_one_that_is_left_out_keep_image_label_group_and_split(
    tmp_path: Path, at: int
) -> None:
    told = columns(tmp_path)
    doubled = {
        name: [*values[: at + 1], values[at], *values[at + 1 :]] for name, values in told.items()
    }
    found = load(write_csv(tmp_path / "t.csv", doubled), {})
    assert found.ids == tuple(told["file"])
    assert [found.read(row) for row in range(12)] == [
        (tmp_path / name).read_bytes() for name in told["file"]
    ]
    assert [found.classes[label] for label in found.labels] == told["label"]
    assert found.groups == tuple(told["patient"])
    assert found.splits == tuple(told["split"])
    assert f"left out, line {at + 3} ({told['file'][at]})." in found.warnings[-1]


def test_alike_rows_without_a_group_count_once(tmp_path: Path) -> None:
    told = columns(tmp_path)
    told["patient"][4:6] = ["", " "]
    twice = {name: [*values[:5], values[4], *values[5:]] for name, values in told.items()}
    found = load(write_csv(tmp_path / "t.csv", twice), {})
    assert found.groups is not None
    assert len(found.ids) == 12
    assert len(set(found.groups)) == 7
    assert found.groups[4] != found.groups[5]
    assert found.groups[6] == found.groups[7] == "p3"
    assert found.warnings[0] == "2 rows name no group: each is one of its own."


def test_a_row_without_a_group_contradicts_one_with_a_group_in_words(tmp_path: Path) -> None:
    told = columns(tmp_path)
    twice = {name: [*values, values[0]] for name, values in told.items()}
    twice["patient"][-1] = ""
    with pytest.raises(DataError, match=r"1 image is named twice .* different group") as caught:
        load(write_csv(tmp_path / "t.csv", twice), {})
    assert caught.value.details == ("000.png: group 'p0' in line 2, '' in line 14",)


def test_a_column_of_one_group_is_none(tmp_path: Path) -> None:
    told = columns(tmp_path)
    del told["split"]
    told["patient"] = ["7"] * 12
    found = load(write_csv(tmp_path / "t.csv", told), {})
    assert found.groups is None
    assert "not used: 'patient'" in found.found
    told["video"] = [number // 3 for number in range(12)]
    found = load(write_csv(tmp_path / "t.csv", told), {})
    assert found.groups == tuple(str(number // 3) for number in range(12))


def test_groups_that_differ_by_case_or_blanks_are_said(tmp_path: Path) -> None:
    told = columns(tmp_path)
    told["patient"] = ["P1", "p1", "P2", "p 2", "p3", "p3"] * 2
    found = load(write_csv(tmp_path / "t.csv", told), {})
    assert found.warnings == (
        "These groups differ only by case or blanks: 'P1', 'p1'.",
        "These groups differ only by case or blanks: 'P2', 'p 2'.",
    )


def test_look_alikes_show_letters_of_no_width_and_are_not_endless() -> None:
    assert look_alikes(["ant", "bee"], "classes") == []
    assert look_alikes(["cat", "ca\u200bt"], "classes") == [
        "These classes differ only by case or blanks: 'cat', 'ca\\u200bt'."
    ]
    names = [f"{case}{number}" for number in range(9) for case in "pP"]
    assert look_alikes(names, "groups")[4:] == [
        "These groups differ only by case or blanks: 'p4', 'P4'.",
        "So do 4 more sets of groups.",
    ]


def test_classes_with_letters_of_no_width_are_said(tmp_path: Path) -> None:
    told = {"file": images(tmp_path), "label": ["cat", "dog", "cat\u200b"] * 4}
    assert load(write_csv(tmp_path / "t.csv", told), {}).warnings == (
        "These classes differ only by case or blanks: 'cat', 'cat\\u200b'.",
    )


BOX = {name: list(range(12)) for name in ("x", "y", "w", "h")}


def test_y_is_a_place_beside_x_and_the_labels_without(tmp_path: Path) -> None:
    names = images(tmp_path)
    box = {"file": names, **BOX}
    with pytest.raises(DataError, match="clearly the one of the labels") as caught:
        load(write_csv(tmp_path / "t.csv", box | {"kind": species()}), {})
    assert caught.value.details[0] == "x: '0', '1', '2'"
    assert caught.value.details[4] == "kind: 'ant', 'bee', 'cat'"
    found = load(write_csv(tmp_path / "t.csv", box | {"species": species()}), {})
    assert "labels by 'species'" in found.found
    found = load(write_csv(tmp_path / "t.csv", {"x": names, "y": species()}), {})
    assert "images by column 'x', labels by 'y'" in found.found


def test_one_word_for_groups_beside_numbers_may_be_the_labels(tmp_path: Path) -> None:
    told = {"file": images(tmp_path), "person": species(), "age": list(range(30, 42))}
    path = write_csv(tmp_path / "t.csv", told)
    with pytest.raises(DataError, match=r"Two columns of t\.csv could hold the labels") as caught:
        load(path, {})
    assert caught.value.details == ("person: 'ant', 'bee', 'cat'", "age: '30', '31', '32'")
    assert "--label-column" in (caught.value.hint or "")
    assert load(path, {"label_column": "person"}).groups is None
    assert load(path, {"label_column": "age"}).groups == tuple(species())
    write_csv(tmp_path / "t.csv", {"": list(range(12)), **told})  # as pandas writes its index
    with pytest.raises(DataError, match=r"Two columns of t\.csv could hold the labels") as caught:
        load(path, {})
    assert len(caught.value.details) == 2
    del told["age"]
    for name, values in {
        "ill": [0, 1] * 6,  # numbers that say yes or no
        "kind": ["u", "v"] * 6,
        "grade_class": [0, 1, 2] * 4,
        "class": [0, 1, 2] * 4,
    }.items():
        path = write_csv(tmp_path / "t.csv", told | {name: values})
        if name == "grade_class":  # not all its words speak of labels
            with pytest.raises(DataError, match="Two columns"):
                load(path, {})
            continue
        assert f"labels by '{name}'" in load(path, {}).found


@pytest.mark.parametrize("text", [",,\n", ";;\n;;\n", "sep=;\n", "sep=;\n;\n"])
def test_a_table_of_delimiters_alone_is_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=r"t\.csv is empty"):
        load(str(tmp_path / "t.csv"), {})
