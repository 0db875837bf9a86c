from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotl.builtin import frames, image_folders
from autotl.builtin.tables import autotl_loaders, load, matches
from autotl.errors import DataError, UsageError
from autotl.loading import load as load_data
from autotl.records import Dataset
from autotl.split import split
from autotl.testing import check_loader
from tests.builtin.table_data import (
    SPECIES,
    csv_text,
    images,
    species,
    write_csv,
    write_lines,
    write_parquet,
)
from tests.images import encoded, pattern

(LOADER,) = autotl_loaders()
Writer = Callable[..., str]


def twelve(folder: Path) -> dict[str, list[Any]]:
    """Twelve images in images/ and the columns of a table that names them."""
    names = images(folder / "images")
    return {"file": [f"images/{name}" for name in names], "species": species()}


def same(found: Dataset, folder: Path) -> None:
    """That it is what `twelve` wrote."""
    assert found.ids == tuple(f"images/{number:03d}.png" for number in range(12))
    assert found.classes == SPECIES
    assert found.labels == (0, 1, 2) * 4
    assert found.read(5) == (folder / "images" / "005.png").read_bytes()


# ---- formats ----


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding", "odd"),
    [
        ("t.csv", ",", "utf-8", ""),
        ("t.CSV", ",", "utf-8-sig", ""),
        ("t.csv", ";", "utf-8", " (semicolons)"),
        ("t.csv", "|", "utf-8", " (pipes)"),
        ("t.csv", "\t", "utf-8", " (tabs)"),
        ("t.tsv", "\t", "utf-8", ""),
        ("t.tab", "\t", "utf-16", " (UTF-16)"),
        ("t.tsv", ",", "utf-8", ""),
        ("t.csv", ";", "utf-16", " (semicolons, UTF-16)"),
    ],
)
def test_delimiters_and_encodings_are_found(
    tmp_path: Path, name: str, delimiter: str, encoding: str, odd: str
) -> None:
    path = write_csv(tmp_path / name, twelve(tmp_path), delimiter=delimiter, encoding=encoding)
    found = check_loader(LOADER, path)
    same(found, tmp_path)
    assert found.found.startswith(f"12 rows of {name}{odd}: ")
    assert found.warnings == ()


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson", "t.parquet", "t.pq"])
def test_json_lines_and_parquet(tmp_path: Path, name: str) -> None:
    write = write_lines if "j" in name else write_parquet
    same(check_loader(LOADER, write(tmp_path / name, twelve(tmp_path))), tmp_path)


def test_the_separator_that_a_spreadsheet_says_is_taken(tmp_path: Path) -> None:
    text = "sep=;\n" + csv_text(twelve(tmp_path), ";")
    (tmp_path / "t.csv").write_text(text)
    same(load(str(tmp_path / "t.csv"), {}), tmp_path)
    (tmp_path / "t.csv").write_text(text + "images/000.png\n")
    with pytest.raises(DataError) as caught:
        load(str(tmp_path / "t.csv"), {})
    assert caught.value.details == ("line 15: 1 cells",)


def test_a_table_of_any_name_is_read_where_the_loader_is_named(tmp_path: Path) -> None:
    columns = twelve(tmp_path)
    for write, name in ((write_csv, "a"), (write_lines, "b"), (write_parquet, "c.data")):
        assert matches(write(tmp_path / name, columns), {}) is None
        same(load(str(tmp_path / name), {}), tmp_path)


def test_what_is_no_table_does_not_match(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "a.txt").write_text("file,label")
    for data in (str(tmp_path / "folder.csv"), str(tmp_path / "a.txt"), "no.csv", 7, None, []):
        assert matches(data, {}) is None
    (tmp_path / "a.csv").write_text("file,label")
    assert matches(str(tmp_path / "a.csv"), {}) == "it is a table in delimited text"


def odd_names() -> st.SearchStrategy[str]:
    letters = st.characters(exclude_characters="/\0", exclude_categories=("Cs",))
    stems = st.text(letters, min_size=1, max_size=30)
    return stems.map(str.strip).filter(lambda stem: stem and len(stem.encode()) < 200)


LABELS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=12
).filter(lambda text: text.strip() and "." not in text)


@settings(max_examples=40, deadline=None)
@given(
    stems=st.lists(odd_names(), min_size=2, max_size=6, unique=True),
    words=st.lists(LABELS, min_size=6, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_labels_and_file_names_come_back_alike_from_every_format(
    stems: list[str], words: list[str], delimiter: str, encoding: str
) -> None:
    columns = {"file": [f"{stem}.png" for stem in stems], "label": words[: len(stems)]}
    with TemporaryDirectory() as made, chdir(made):
        folder = Path(made)
        for number, name in enumerate(columns["file"]):
            (folder / name).write_bytes(bytes([number]))
        paths = [
            write_csv(folder / "a.csv", columns, delimiter=delimiter, encoding=encoding),
            write_lines(folder / "b.jsonl", columns),
            write_lines(folder / "c.ndjson", columns, ascii_only=False),
            write_parquet(folder / "d.parquet", columns),
        ]
        found = [load(path, {}) for path in paths]
        import pandas

        found.append(frames.load(pandas.DataFrame(columns), {}))
        for one in found:
            assert [one.read(row) for row in range(len(stems))] == [
                bytes([number]) for number in range(len(stems))
            ]
            assert [one.classes[label] for label in one.labels] == [
                unicodedata.normalize("NFC", word.strip()) for word in columns["label"]
            ]
            assert one.ids == found[0].ids
            assert one.classes == found[0].classes


# ---- files that are no tables ----


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"\xef\xbb\xbf \n", "is empty"),
        ("t.csv", b"file,label\n", "has no rows"),
        ("t.csv", b"file,label\n,\n\n", "has no rows"),
        ("t.csv", b"file,label\na.png,caf\xe9\n", "byte 0xe9 in line 2 .position 20."),
        ("t.csv", "file,label\n".encode("utf-16-le"), "null character in line 1"),
        ("t.csv", b"\xff\xfef\x00\x00", "is not UTF-16: byte 0x00 in line 1"),
        ("t.csv", b"PK\x03\x04xlsx", "spreadsheet"),
        ("t.csv", b"\x1f\x8b\x08", "compressed"),
        ("t.jsonl", b"PAR1", "Parquet"),
        ("t.csv", b'file,label\na.png,"x\nb.png,y\n', "line 2: a quote is not closed"),
        ("t.csv", b'file,label\na.png,"x"y\n', "line 2: "),
        ("t.csv", b"file,label\na.png\nb.png,x,y\n", "2 rows have not the 2 cells"),
        ("t.csv", b"file,label,label \na.png,x,y\n", "2 columns named 'label' .number 2 and 3."),
        ("t.csv", b"a.png,cat\nb.png,dog\n", "first line of t.csv looks like a row"),
        ("t.csv", b"1,2\n3,4\n", "first line of t.csv looks like a row"),
        ("t.jsonl", b'{"file": "a.png"', "line 1: "),
        ("t.jsonl", b'{"a": 1}\n\n[1, 2]\n', "line 3 is JSON, but no object"),
        ("t.jsonl", b'[\n{"a": 1}\n]', "line 1: "),
        ("t.jsonl", b'{"a": 1, "a": 2}', "key 'a' occurs twice"),
        ("t.jsonl", b'{"a": ' + b"[" * 100_000, "line 1: nested too deeply"),
        ("t.jsonl", b'{"a": ' + b"1" * 5000 + b"}", "line 1: "),
        ("t.jsonl", b'{"a": 1, " a": 2}', "2 columns named 'a'"),
        ("t.jsonl", b"{}", "has no rows"),
        ("t.parquet", b"PAR1 and then nothing", "cannot be read as Parquet"),
        ("t.parquet", b"", "cannot be read as Parquet"),
    ],
)
def test_files_that_are_no_tables_are_told_what_is_wrong_and_where(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        load(str(tmp_path / name), {})
    assert name in str(caught.value)
    assert caught.value.hint


def test_a_torn_parquet_file_is_one_message(tmp_path: Path) -> None:
    path = Path(write_parquet(tmp_path / "t.parquet", twelve(tmp_path)))
    content = path.read_bytes()
    for end in range(1, len(content), 97):
        path.write_bytes(content[:end])
        with pytest.raises(DataError, match=r"t\.parquet cannot be read as Parquet"):
            load(str(path), {})


def test_a_table_that_cannot_be_read_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "t.csv").symlink_to("/proc/self/mem")  # a file whose first byte cannot be read
    with pytest.raises(DataError, match=r"t\.csv cannot be read: Input/output error"):
        load(str(tmp_path / "t.csv"), {})


@pytest.mark.parametrize("data", [7, "no.csv"])
def test_loading_what_is_no_file_is_an_error(data: object) -> None:
    with pytest.raises(DataError):
        load(data, {})


def test_quoted_line_breaks_are_part_of_a_value(tmp_path: Path) -> None:
    columns = twelve(tmp_path) | {"note": ["two\nlines"] * 12}
    same(load(write_csv(tmp_path / "t.csv", columns), {}), tmp_path)
    text = csv_text(columns) + "images/000.png,bee,x\n"
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        load(str(tmp_path / "t.csv"), {})
    assert "'ant' in line 2, 'bee' in line 26" in caught.value.details[0]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A folder of images, and sound tables of them by ending."""
    folder = tmp_path_factory.mktemp("sound")
    columns = {"file": images(folder), "label": species(), "patient": [1, 2] * 6}
    paths = [
        write_csv(folder / "t.csv", columns),
        write_lines(folder / "t.jsonl", columns),
        write_parquet(folder / "t.parquet", columns | {"bytes": [b"x"] * 12}),
    ]
    return folder, {Path(path).suffix: Path(path).read_bytes() for path in paths}


@settings(max_examples=150, deadline=None)
@given(
    ending=st.sampled_from([".csv", ".jsonl", ".parquet"]),
    at=st.floats(0, 1),
    cut=st.integers(0, 20),
    put=st.one_of(st.binary(max_size=6), st.text('",;{}[]\\:\n', max_size=6).map(str.encode)),
)
def test_a_damaged_table_is_read_or_refused_in_words(
    sound: tuple[Path, dict[str, bytes]], ending: str, at: float, cut: int, put: bytes
) -> None:
    folder, contents = sound
    content = contents[ending]
    start = int(at * len(content))
    path = folder / f"damaged{ending}"
    path.write_bytes(content[:start] + put + content[start + cut :])
    try:
        found = load(str(path), {})
    except DataError:
        return
    assert len(found.ids) == len(found.labels) == len(set(found.ids))
    assert set(found.labels) <= set(range(len(found.classes)))


# ---- columns ----


def test_what_was_found_is_said_with_the_options_that_settle_it(tmp_path: Path) -> None:
    columns = twelve(tmp_path) | {
        "age": list(range(12)),
        "patient_id": [f"p{number // 2}" for number in range(12)],
        "Split": ["train"] * 8 + ["val"] * 2 + ["test"] * 2,
    }
    path = write_csv(tmp_path / "t.csv", columns)
    found = load(path, {})
    assert found.found == (
        "12 rows of t.csv: images by column 'file', labels by 'species' ('ant', 'bee', 'cat'), "
        "groups by 'patient_id', splits by 'Split'; not used: 'age'; --input-column, "
        "--label-column, --group-column and --split-column to name others"
    )
    assert found.groups == tuple(columns["patient_id"])
    assert found.splits == ("train",) * 8 + ("validation",) * 2 + ("test",) * 2
    options = dict.fromkeys(("group_column", "split_column"), "none")
    settled = load(path, options | {"input_column": "FILE", "label_column": "age"})
    assert (settled.groups, settled.splits) == (None, None)
    assert settled.found == (
        "12 rows of t.csv: images by column 'file', labels by 'age' ('0', '1', '2' and 9 more); "
        "not used: 'species', 'patient_id', 'Split'"
    )
    assert load_data(path, [LOADER]).record.reason == found.found


@pytest.mark.parametrize(
    ("others", "label"),
    [
        ({}, "kind"),
        ({"": list(range(12))}, "kind"),
        ({"class": species(), "age": [7] * 12}, "class"),
        ({"labelName": species(), "x_ray": ["yes"] * 12}, "labelName"),
        ({"label_id": [0, 1, 2] * 4, "label_name": species()}, "label_name"),
        ({"mask_path": [f"masks/{n}.png" for n in range(12)], "dx": species()}, "dx"),
        ({"subject": [1, 2] * 6}, "kind"),
    ],
)
def test_the_columns_are_found_by_content_and_name(
    tmp_path: Path, others: dict[str, list[Any]], label: str
) -> None:
    columns = {"image_path": twelve(tmp_path)["file"], **others}
    columns |= {"kind": ["x", "y"] * 6} if label == "kind" else {}
    found = load(write_csv(tmp_path / "t.csv", columns), {}).found
    assert "images by column 'image_path'" in found
    assert f"labels by '{label}'" in found


STEMS = [f"{number:03d}" for number in range(12)]
PUBLISHED = {
    "HAM10000": (
        {"lesion_id": [f"HAM_{n // 2}" for n in range(12)], "image_id": STEMS, "dx": species()}
        | {"dx_type": ["histo"] * 12, "age": list(range(50, 62)), "sex": ["m", "f"] * 6},
        "images by column 'image_id', labels by 'dx' ('ant', 'bee', 'cat'), groups by 'lesion_id'; "
        "not used: 'dx_type', 'age', 'sex'; ",
    ),
    "CUB": (
        {"img_id": list(range(1, 13)), "filepath": [f"images/{stem}.png" for stem in STEMS]}
        | {"class_id": [0, 1, 2] * 4, "class_name": species(), "is_training": [0, 1] * 6},
        "images by column 'filepath', labels by 'class_name' ('ant', 'bee', 'cat'); ",
    ),
    "dog breeds": ({"id": STEMS, "breed": species()}, "column 'id', labels by 'breed' ("),
    "APTOS": ({"id_code": STEMS, "diagnosis": [0, 1, 2] * 4}, "'id_code', labels by 'diagnosis' ("),
    "folds": (
        {"image": [f"{stem}.png" for stem in STEMS], "target": species(), "fold": [0, 1, 2] * 4},
        "images by column 'image', labels by 'target' ('ant', 'bee', 'cat'); not used: 'fold'; ",
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_layouts_of_published_data_are_understood(tmp_path: Path, name: str) -> None:
    images(tmp_path / "images")
    columns, words = PUBLISHED[name]
    assert words in load(write_csv(tmp_path / "t.csv", columns), {}).found


def test_a_column_a_class_is_told_what_is_wanted(tmp_path: Path) -> None:
    columns = {"file": twelve(tmp_path)["file"], "healthy": [1, 0] * 6, "rust": [0, 1] * 6}
    with pytest.raises(DataError, match=r"No column of .* clearly") as caught:
        load(write_csv(tmp_path / "t.csv", columns), {})
    assert "Columns of 0 and 1, one a class" in caught.value.hint


def test_a_column_called_as_groups_are_holds_the_labels_where_no_other_does(
    tmp_path: Path,
) -> None:
    columns = {"file": twelve(tmp_path)["file"], "group": species()}
    found = load(write_csv(tmp_path / "t.csv", columns), {})
    assert (found.classes, found.groups) == (SPECIES, None)


@pytest.mark.parametrize(
    ("others", "option"),
    [
        ({"label": species(), "class": ["x", "y"] * 6}, "--label-column"),
        ({"one": species(), "two": ["x", "y"] * 6}, "--label-column"),
        ({"path": [f"other/{n}.png" for n in range(12)], "label": species()}, "--input-column"),
        ({"label": species(), "patient": [1, 2] * 6, "video": [1, 2, 3] * 4}, "--group-column"),
        ({"label": species(), "split": ["train"] * 12, "set": ["test"] * 12}, "--split-column"),
        ({"label": species(), "split": [*["train"] * 11, "trian"]}, "--split-column"),
        ({"label": species(), "split": [*["train"] * 11, ""]}, "--split-column"),
    ],
)
def test_what_could_mean_two_things_is_asked(
    tmp_path: Path, others: dict[str, list[Any]], option: str
) -> None:
    columns = {"file": twelve(tmp_path)["file"], **others}
    with pytest.raises(DataError) as caught:
        load(write_csv(tmp_path / "t.csv", columns), {})
    assert option in caught.value.hint
    assert "trian" in str(caught.value) or "''" in str(caught.value) or caught.value.details


def test_the_columns_that_could_be_meant_are_shown_with_three_values(tmp_path: Path) -> None:
    columns = twelve(tmp_path) | {"label": ["a\x1b[31m", "b" * 80] * 6, "class": [1, 2, 3] * 4}
    with pytest.raises(
        DataError, match=r"Several columns of t\.csv could hold the labels"
    ) as caught:
        load(write_csv(tmp_path / "t.csv", columns | {"species": [""] * 12}), {})
    long = "b" * 37 + "..."
    assert caught.value.details == (
        "species: empty",
        f"label: 'a\\x1b[31m', '{long}', 'a\\x1b[31m'",
        "class: '1', '2', '3'",
    )


def test_no_column_of_images_or_of_labels(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", {"name": ["x", "y"], "label": ["a", "b"]})
    with pytest.raises(DataError, match=r"No column of t\.csv names images") as caught:
        load(path, {})
    assert "--input-column" in caught.value.hint
    assert str(tmp_path) in caught.value.hint
    path = write_csv(tmp_path / "t.csv", {"file": twelve(tmp_path)["file"]})
    with pytest.raises(DataError, match="no column that could hold labels"):
        load(path, {})


def test_a_name_that_is_no_column_is_guessed_at(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", twelve(tmp_path))
    with pytest.raises(UsageError, match="Did you mean 'species'") as caught:
        load(path, {"label_column": "specis"})
    assert caught.value.hint == "Its columns: 'file', 'species'."
    with pytest.raises(UsageError, match="--input-column and --label-column name one column"):
        load(path, {"label_column": "file", "input_column": "file"})
    with pytest.raises(UsageError, match="no column 'none'"):
        load(path, {"label_column": "none"})


def test_columns_of_data_that_has_none_are_refused(tmp_path: Path) -> None:
    twelve(tmp_path)
    loaders = [*image_folders.autotl_loaders(), LOADER]
    with pytest.raises(UsageError, match=r"--label-column says nothing here.*image-folders"):
        load_data(str(tmp_path), loaders, options={"label_column": "x"})


# ---- labels ----


def labelled(
    folder: Path, values: list[Any], *, write: Writer = write_csv, **options: str
) -> Dataset:
    names = images(folder / "images", len(values))
    columns = {"file": [f"images/{name}" for name in names], "label": values}
    ending = ".csv" if write is write_csv else ".jsonl"
    return load(write(folder / f"t{ending}", columns), options)


def test_whole_numbers_are_sorted_by_number_and_all_else_as_text(tmp_path: Path) -> None:
    assert labelled(tmp_path, [10, 9, -1, 9]).classes == ("-1", "9", "10")
    assert labelled(tmp_path, [10, 9, -1], write=write_lines).classes == ("-1", "9", "10")
    assert labelled(tmp_path, ["10", "9", "b"]).classes == ("10", "9", "b")
    assert labelled(tmp_path, ["-12", "-3", "007", "7"]).classes == ("-12", "-3", "007", "7")
    assert labelled(tmp_path, [2.0, 1.0, None] + [1] * 30, write=write_lines).classes == ("1", "2")
    assert labelled(tmp_path, [True, False], write=write_lines).classes == ("False", "True")


@given(st.lists(st.integers(), min_size=2, max_size=8, unique=True))
@settings(max_examples=50, deadline=None)
def test_numbers_of_any_size_are_sorted_as_numbers(numbers: list[int]) -> None:
    from autotl.builtin.table_labels import _by_number

    assert sorted(map(str, numbers), key=_by_number) == [str(n) for n in sorted(numbers)]


def test_blanks_are_taken_off_and_said(tmp_path: Path) -> None:
    found = labelled(tmp_path, ["ant", " ant", "bee ", "bee"])
    assert found.classes == ("ant", "bee")
    assert found.warnings == ("Blanks around 2 labels were taken off: line 3, line 4.",)


def test_labels_that_differ_by_case_or_mean_nothing_are_said(tmp_path: Path) -> None:
    warnings = labelled(tmp_path, ["Ant", "ant", "NaN", "NaN"]).warnings
    assert warnings == (
        "'NaN' is taken as a class: line 4, line 5.",
        "These classes differ only by case or blanks: 'Ant', 'ant'.",
    )


def test_up_to_one_in_twenty_may_lack_a_label(tmp_path: Path) -> None:
    found = labelled(tmp_path, [" ", *["a", "b"] * 10])
    assert len(found.ids) == 20
    assert found.ids[0] == "images/001.png"
    assert found.read(0) == (tmp_path / "images" / "001.png").read_bytes()
    assert found.warnings == ("1 of 21 rows have no label, and are left out: line 2.",)
    with pytest.raises(DataError, match=r"2 of 21 rows .* have no label .*: line 2, line 3"):
        labelled(tmp_path, ["", "", *["a"] * 19])


def test_measurements_and_names_of_rows_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"30 different numbers such as 0\.5, .*regression"):
        labelled(tmp_path, [number + 0.5 for number in range(30)])
    with pytest.raises(DataError, match="regression"):
        labelled(tmp_path, [number + 0.5 for number in range(30)], label_column="label")
    with pytest.raises(DataError, match=r"30 different values in 30 rows"):
        labelled(tmp_path, [f"n{number}" for number in range(30)])
    assert len(labelled(tmp_path, [f"n{n}" for n in range(30)], label_column="label").ids) == 30
    with pytest.raises(DataError, match="regression"):
        labelled(tmp_path, [0.5, 1.25, 7.5, 2, 3.5])
    assert labelled(tmp_path, [0.5, 1, 1.5] * 4).classes == ("0.5", "1", "1.5")


@pytest.mark.parametrize("value", [["a", "b"], {"name": "a"}])
def test_several_labels_a_row_are_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(DataError, match=r"multi-label.*line 1, line 2"):
        labelled(tmp_path, [value, value], write=write_lines)


# ---- images ----


def test_absolute_and_home_and_windows_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = images(tmp_path / "home" / "images")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "tables").mkdir()
    forms = [str(tmp_path / "home" / "images"), "~/images", "..\\home\\images", "../home/images"]
    for form in forms:
        joint = "\\" if "\\" in form else "/"
        columns = {"file": [f"{form}{joint}{name}" for name in names], "label": species()}
        found = load(write_csv(tmp_path / "tables" / "t.csv", columns), {})
        assert found.ids[3] == str(tmp_path / "home" / "images" / "003.png")
        assert found.read(3) == (tmp_path / "home" / "images" / "003.png").read_bytes()


def test_a_backslash_that_is_part_of_a_name_stays(tmp_path: Path) -> None:
    images(tmp_path, 2)
    (tmp_path / "000.png").rename(tmp_path / "a\\0.png")
    columns = {"file": ["a\\0.png", "001.png"], "label": ["a", "b"]}
    assert load(write_csv(tmp_path / "t.csv", columns), {}).ids == ("a\\0.png", "001.png")


@pytest.mark.parametrize("ending", ["", ".png"])
@pytest.mark.parametrize("place", [".", "train"])
def test_names_alone_are_found_in_the_one_folder_that_holds_them(
    tmp_path: Path, ending: str, place: str
) -> None:
    images(tmp_path / place, 12)
    images(tmp_path / "test", 3)  # of the same names as the first three
    columns = {"id": [f"{n:03d}{ending}" for n in range(12)], "breed": species()}
    found = check_loader(LOADER, write_csv(tmp_path / "labels.csv", columns))
    prefix = "" if place == "." else "train/"
    assert found.ids[4] == f"{prefix}004.png"
    assert found.read(4) == (tmp_path / place / "004.png").read_bytes()
    if place == "train":
        how = "" if ending else " by their names without ending"
        assert found.warnings == (f"The images were found in train/{how}.",)


def test_names_that_two_folders_hold_are_asked(tmp_path: Path) -> None:
    images(tmp_path / "a")
    names = images(tmp_path / "b")
    path = write_csv(tmp_path / "t.csv", {"file": names, "label": species()})
    with pytest.raises(DataError, match=r"2 folders beside the table hold the images .*: a/, b/"):
        load(path, {})


def test_a_stem_of_two_files_is_not_guessed(tmp_path: Path) -> None:
    names = images(tmp_path / "images", 40)
    (tmp_path / "images" / "003.jpg").write_bytes(b"other")
    columns = {"id": [name[:3] for name in names], "label": ["a", "b"] * 20}
    done = load_data(write_csv(tmp_path / "t.csv", columns), [LOADER])
    assert [one.id for one in done.record.set_aside] == ["003"]


def test_missing_images_are_set_aside_and_too_many_are_an_error(tmp_path: Path) -> None:
    names = images(tmp_path / "images", 40)
    columns = {"file": [f"images/{name}" for name in names], "label": ["a", "b"] * 20}
    path = write_csv(tmp_path / "t.csv", columns)
    (tmp_path / "images" / "007.png").unlink()
    (tmp_path / "images" / "008.png").unlink()
    (tmp_path / "images" / "008.png").mkdir()
    aside = load_data(path, [LOADER]).record.set_aside
    assert [(one.id, one.reason) for one in aside] == [
        ("images/007.png", "It cannot be read: No such file or directory."),
        ("images/008.png", "What line 10 names is no file."),
    ]
    for name in names[9:12]:
        (tmp_path / "images" / name).unlink()
    with pytest.raises(DataError, match="5 of 40 examples cannot be read, more than 5%"):
        load_data(path, [LOADER])


def test_rows_that_name_no_image_are_set_aside(tmp_path: Path) -> None:
    names = images(tmp_path, 38)
    columns = {"file": [*names, "", "a\ud800.png"], "label": ["a", "b"] * 20}
    aside = load_data(write_lines(tmp_path / "t.jsonl", columns), [LOADER]).record.set_aside
    assert [one.id for one in aside] == ["line 39", "a\\ud800.png"]
    assert aside[0].reason == "The table names no image in line 39."


def test_letters_composed_in_the_table_and_not_on_the_disk_are_the_same(tmp_path: Path) -> None:
    images(tmp_path, 2)
    for number, form in enumerate(("NFC", "NFD")):
        there = unicodedata.normalize(form, f"caf\u00e9{number}.png")
        (tmp_path / f"{number:03d}.png").rename(tmp_path / there)
    for form in ("NFC", "NFD"):
        files = [unicodedata.normalize(form, f"caf\u00e9{number}.png") for number in range(2)]
        found = load(write_csv(tmp_path / "t.csv", {"file": files, "label": ["a", "b"]}), {})
        assert [len(found.read(row)) > 0 for row in range(2)] == [True, True]


def test_names_that_no_file_can_have_are_set_aside(tmp_path: Path) -> None:
    names = images(tmp_path, 38)
    columns = {"file": [*names, "a\0.png", "b" * 300 + ".png"], "label": ["a", "b"] * 20}
    aside = load_data(write_lines(tmp_path / "t.jsonl", columns), [LOADER]).record.set_aside
    assert [one.reason for one in aside] == [
        "What line 39 names can be no file's name.",
        "It cannot be read: File name too long.",
    ]


def test_a_file_called_as_the_place_of_a_row_has_an_id_of_its_own(tmp_path: Path) -> None:
    names = images(tmp_path, 38)
    (tmp_path / "line 40").write_bytes((tmp_path / names[0]).read_bytes())
    columns = {"file": [*names, "line 40", ""], "label": ["a", "b"] * 20}
    found = load(write_lines(tmp_path / "t.jsonl", columns), {})
    assert found.ids[38:] == ("line 40", "line 40 (2)")


def test_an_empty_column_names_no_images(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", {"file": [" ", ""], "label": ["a", "b"]})
    with pytest.raises(DataError, match=r"Column 'file' of t\.csv is empty"):
        load(path, {"input_column": "file"})


def test_of_images_half_of_which_a_folder_holds_the_others_are_missing(tmp_path: Path) -> None:
    images(tmp_path / "one")
    files = [f"{number:03d}.png" for number in (0, 1, 2, 90, 91, 92)]
    path = write_csv(tmp_path / "t.csv", {"file": files, "label": ["a", "b"] * 3})
    with pytest.raises(DataError, match="3 of 6 examples cannot be read") as caught:
        load_data(path, [LOADER])
    assert caught.value.details[0] == "090.png: It cannot be read: No such file or directory."
    path = write_csv(tmp_path / "t.csv", {"file": [*files, "93.png"], "label": ["a"] * 7})
    with pytest.raises(DataError, match="None of the 7 images"):
        load(path, {})


def test_no_image_at_all_says_where_they_were_looked_for(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", {"file": ["a.png", "b.png"], "label": ["a", "b"]})
    with pytest.raises(DataError, match="None of the 2 images") as caught:
        load(path, {})
    assert f"relative to {tmp_path}" in caught.value.hint


def test_addresses_of_the_web_are_refused(tmp_path: Path) -> None:
    columns = {"file": ["https://example.org/a.png", "s3://b/c.png"], "label": ["a", "b"]}
    with pytest.raises(DataError, match=r"URLs, such as https://.* .line 2, line 3."):
        load(write_csv(tmp_path / "t.csv", columns), {})


def test_an_image_named_twice_alike_counts_once(tmp_path: Path) -> None:
    columns = twelve(tmp_path)
    columns["file"] += ["images/../images/002.png", "images/000.png"]
    columns["species"] += ["cat", "ant"]
    found = load(write_csv(tmp_path / "t.csv", columns), {})
    same(found, tmp_path)
    assert found.warnings == (
        "2 rows name an image that an earlier row names alike: left out, line 14 (images/002.png), "
        "line 15 (images/000.png).",
    )


@pytest.mark.parametrize("column", ["species", "patient", "split"])
def test_an_image_named_twice_in_different_words_is_an_error(tmp_path: Path, column: str) -> None:
    columns = twelve(tmp_path) | {"patient": [1, 2] * 6, "split": ["train", "test"] * 6}
    twice = {name: [*values, values[0]] for name, values in columns.items()}
    twice[column][-1] = columns[column][1]
    what = {"species": "label", "patient": "group"}.get(column, column)
    with pytest.raises(DataError, match=f"1 image is named twice .* different {what}") as caught:
        load(write_csv(tmp_path / "t.csv", twice), {})
    assert "in line 2, " in caught.value.details[0]
    assert "in line 14" in caught.value.details[0]


def test_nested_paths_and_groups_are_refused(tmp_path: Path) -> None:
    columns = twelve(tmp_path) | {"patient": [[1], [2]] * 6}
    with pytest.raises(DataError, match=r"'patient' of t\.jsonl holds nested values"):
        load(write_lines(tmp_path / "t.jsonl", columns), {})
    columns = twelve(tmp_path) | {"file": [["a.png"]] * 12}
    with pytest.raises(DataError, match=r"'file' of t\.jsonl holds nested values"):
        load(write_lines(tmp_path / "t.jsonl", columns), {"input_column": "file"})


# ---- groups and splits ----


def test_groups_stay_on_one_side_and_rows_without_one_are_alone(tmp_path: Path) -> None:
    names = images(tmp_path, 60)
    columns = {
        "file": names,
        "label": species(60),
        "patient": ["", "", *[f"p{number // 3}" for number in range(58)]],
    }
    done = load_data(write_csv(tmp_path / "t.csv", columns), [LOADER])
    assert "2 rows name no group: each is one of its own." in done.record.warnings
    sides = split(done.dataset, done.hashes, seed=0)
    where: dict[str, set[str]] = {}
    for side in ("train", "validation", "test"):
        for row in getattr(sides, side):
            where.setdefault((done.dataset.groups or ())[row], set()).add(side)
    assert len(where) == 22
    assert all(len(found) == 1 for found in where.values())


def test_groups_that_given_splits_tear_apart_are_said(tmp_path: Path) -> None:
    columns = twelve(tmp_path) | {
        "split": ["train"] * 6 + ["val"] * 3 + ["test"] * 3,
        "patient": [1, 2, 3] * 2 + [4, 5, 6] + [1, 7, 8],
    }
    done = load_data(write_csv(tmp_path / "t.csv", columns), [LOADER])
    notes = split(done.dataset, done.hashes, seed=0).record.notes
    assert "1 group occurs in several of the given splits, which are kept." in notes


def test_a_column_that_only_is_called_like_splits_is_no_split(tmp_path: Path) -> None:
    columns = twelve(tmp_path) | {"set": [1, 2] * 6}
    found = load(write_csv(tmp_path / "t.csv", columns), {})
    assert found.splits is None
    assert found.warnings == ("Column 'set' names no splits, and is not used.",)
    with pytest.raises(DataError, match="names splits, but also '1', '2'"):
        load(str(tmp_path / "t.csv"), {"split_column": "set"})


# ---- Parquet ----


def test_columns_of_bytes_are_images(tmp_path: Path) -> None:
    contents = [encoded(pattern(number % 3, number)) for number in range(12)]
    columns = {"picture": [*contents[:11], None], "label": [0, 1, 2] * 4}
    found = load(write_parquet(tmp_path / "t.parquet", columns, row_group_size=5), {})
    assert found.ids[:2] == ("000000", "000001")
    assert [found.read(row) for row in (10, 0, 4, 5)] == [contents[n] for n in (10, 0, 4, 5)]
    with pytest.raises(Exception, match="Row 12 holds no bytes in 'picture'"):
        found.read(11)


def test_the_structs_and_class_names_of_hugging_face(tmp_path: Path) -> None:
    contents = [encoded(pattern(number % 3, number)) for number in range(12)]
    columns = {
        "image": [{"bytes": content, "path": None} for content in contents],
        "label": [2, 0, 1] * 4,
    }
    told = {
        "info": {
            "features": {
                "image": {"_type": "Image"},
                "label": {"names": ["zebra", "yak", "ape"], "_type": "ClassLabel"},
            }
        }
    }
    path = write_parquet(
        tmp_path / "t.parquet",
        columns,
        row_group_size=4,
        metadata={"huggingface": json.dumps(told)},
    )
    found = check_loader(LOADER, path)
    assert found.classes == ("zebra", "yak", "ape")
    assert found.labels == (2, 0, 1) * 4
    assert found.read(7) == contents[7]


def test_a_parquet_file_without_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.parquet has no rows"):
        load(write_parquet(tmp_path / "t.parquet", {"file": [], "label": []}), {})


def test_of_many_columns_twelve_are_shown(tmp_path: Path) -> None:
    columns = {f"c{number}": ["u", "v"] for number in range(15)}
    with pytest.raises(DataError) as caught:
        load(write_csv(tmp_path / "t.csv", columns), {})
    assert caught.value.details[11:] == ("c11: 'u', 'v'", "and 3 more columns")


def test_dates_and_nested_columns_of_parquet_hurt_nobody(tmp_path: Path) -> None:
    import datetime
    import decimal

    when = [datetime.datetime(9999, 1, 1 + number // 6) for number in range(12)]
    columns = twelve(tmp_path) | {
        "label": when,
        "boxes": [[1, 2]] * 12,
        "price": [decimal.Decimal("1.5")] * 12,
        "more": [{"a": 1}] * 12,
    }
    path = write_parquet(tmp_path / "t.parquet", columns)
    assert load(path, {"label_column": "label"}).classes == (
        "9999-01-01 00:00:00.000000",
        "9999-01-02 00:00:00.000000",
    )
    assert load(path, {"label_column": "price"}).classes == ("1.5",)
    with pytest.raises(DataError, match="nested") as caught:
        load(path, {"label_column": "more"})
    with pytest.raises(DataError, match="Several columns") as caught:
        load(path, {})
    del columns["species"], columns["label"]
    with pytest.raises(DataError, match="No column") as caught:
        load(write_parquet(tmp_path / "t.parquet", columns), {})
    assert "boxes: 'nested values', 'nested values', 'nested values'" in caught.value.details


def test_text_in_parquet_that_is_no_utf8_is_one_message(tmp_path: Path) -> None:
    columns = twelve(tmp_path) | {"note": ["Ameisenhaufen"] * 12}
    path = Path(write_parquet(tmp_path / "t.parquet", columns, compression="none"))
    path.write_bytes(path.read_bytes().replace(b"haufen", b"\xe4ufen "))
    with pytest.raises(DataError, match=r"t\.parquet cannot be read as Parquet: 'utf-8' codec"):
        load(str(path), {})


def test_no_more_than_some_groups_of_rows_are_in_memory(tmp_path: Path) -> None:
    import pyarrow

    columns = {"image": [os.urandom(1_000_000) for _ in range(24)], "label": ["a", "b"] * 12}
    path = write_parquet(tmp_path / "t.parquet", columns, row_group_size=2, compression="none")
    del columns
    before = pyarrow.total_allocated_bytes()
    from autotl.builtin import table_parquet

    kept, table_parquet._KEPT_BYTES = table_parquet._KEPT_BYTES, 5_000_000
    try:
        found = load(path, {})
        most = 0
        for row in range(24):
            assert len(found.read(row)) == 1_000_000
            most = max(most, pyarrow.total_allocated_bytes() - before)
    finally:
        table_parquet._KEPT_BYTES = kept
    assert most < 12_000_000
