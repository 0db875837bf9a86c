from __future__ import annotations

import zipfile
from pathlib import Path
from shlex import quote

import pytest

from autotl.builtin import arrays, digits, image_folders, nested_folders, tables
from autotl.errors import DataError
from autotl.loading import load
from tests.images import encoded, pattern, write_class_folders

MODULES = (image_folders, nested_folders, arrays, digits)
LOADERS = [loader for module in MODULES for loader in module.autotl_loaders()]
YOLO = "0 0.5 0.5 0.25 0.1\n1 0.1 0.2 0.3 0.4\n"
VOC = '<?xml version="1.0"?>\n<annotation><object/></annotation>\n'


def written(root: Path, *names: str) -> Path:
    """An image for each name of one, else a file of boxes as its ending has it."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".png", ".jpg"):
            path.write_bytes(encoded(pattern(0, number), path.suffix))
        else:
            path.write_text({".txt": YOLO, ".xml": VOC}.get(path.suffix, "{}"))
    return root


def refusal(data: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        load(str(data), LOADERS)
    assert "\n" not in caught.value.message
    return caught.value


def test_a_table_beside_the_images_is_named(tmp_path: Path) -> None:
    written(tmp_path / "my photos", "1.png", "2.png", "labels.csv")
    error = refusal(tmp_path / "my photos")
    assert "2 images directly" in error.message
    assert f"autotl fit '{tmp_path}/my photos/labels.csv'" in error.hint


def test_several_tables_are_listed(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, "1.png", "2.png", "a.tsv", "b.parquet"))
    assert "(a.tsv, b.parquet)" in error.hint


def test_a_table_in_the_train_folder_is_named(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, "train/1.png", "train/2.png", "train/labels.jsonl"))
    assert f"autotl fit {tmp_path}/train/labels.jsonl" in error.hint


@pytest.mark.parametrize(
    ("names", "table"),
    [
        (["train/1.png", "train/2.png", "test/3.png", "train.csv"], "train.csv"),
        (["images/1.png", "images/2.png", "labels.csv"], "labels.csv"),
        (["images/1.png", "images/2.png", "images/meta.tsv"], "images/meta.tsv"),
        (["train/images/1.png", "test/images/2.png", "labels.jsonl"], "labels.jsonl"),
    ],
)
def test_a_table_above_the_images_is_named(tmp_path: Path, names: list[str], table: str) -> None:
    error = refusal(written(tmp_path, *names))
    assert f"autotl fit {tmp_path}/{table}. Expected one folder" in error.hint


def test_several_tables_above_the_images_are_listed(tmp_path: Path) -> None:
    tables = ("sample_submission.csv", "train.csv")
    error = refusal(written(tmp_path, "train_images/1.png", "train_images/2.png", *tables))
    assert "train_images/ hold images directly" in error.message
    assert "(sample_submission.csv, train.csv) names their classes" in error.hint


def test_images_in_one_folder_whose_names_tell_classes(tmp_path: Path) -> None:
    names = [f"images/{name}_{n}.jpg" for name in ("cat", "dog") for n in range(3)]
    error = refusal(written(tmp_path, *names))
    assert "named images/, which is no class" in error.message
    assert "cat (3), dog (3)" in error.hint


def test_one_folder_named_as_a_class_may_be_one(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, "cat/1.png", "cat/2.png", "labels.csv"))
    assert "of one class, 'cat'" in error.message


@pytest.mark.parametrize(
    "pattern_of_names", ["{}_{:02d}.png", "{}.{}.png", "{}{}.png", "{} ({}).png", "{}-{:04d}.png"]
)
def test_names_that_begin_with_classes_are_said(tmp_path: Path, pattern_of_names: str) -> None:
    names = [pattern_of_names.format("cat", n) for n in range(3)]
    names += [pattern_of_names.format("guide dog", n) for n in range(2)]
    error = refusal(written(tmp_path, *names))
    assert "begin with what may be classes: cat (3), guide dog (2). Move the images" in error.hint
    assert "a table with the columns file and label" in error.hint


@pytest.mark.parametrize(
    "names",
    [
        [f"IMG_{n:04d}.png" for n in range(6)],
        [f"{n:04d}.png" for n in range(6)],
        ["anna.png", "berta.png", "clara_1.png", "dora_2.png"],
        ["cat_1.png", "cat_2.png", "dog_1.png"],
    ],
)
def test_names_that_tell_nothing_are_not_said_to(tmp_path: Path, names: list[str]) -> None:
    error = refusal(written(tmp_path, *names))
    assert "may be classes" not in error.hint
    assert "DATA/CLASS/IMAGE" in error.hint


@pytest.mark.parametrize(
    ("names", "form"),
    [
        (["images/1.png", "images/2.png", "labels/1.txt", "labels/2.txt"], "YOLO"),
        (["images/train/1.png", "labels/train/1.txt", "data.yaml"], "YOLO"),
        (["train/images/1.png", "train/labels/1.txt", "valid/images/2.png"], "YOLO"),
        (["train/1.png", "train/1.txt", "train/2.png", "train/2.txt"], "YOLO"),
        (["1.png", "1.txt", "classes.txt"], "YOLO"),
        (["train2017/1.png", "val2017/2.png", "annotations/instances_train2017.json"], "COCO"),
        (["train/1.png", "valid/2.png", "train/_annotations.coco.json"], "COCO"),
        (["JPEGImages/1.jpg", "Annotations/1.xml", "ImageSets/Main/train.txt"], "Pascal VOC"),
        (["train/1.png", "train/1.xml"], "Pascal VOC"),
    ],
)
def test_data_of_boxes_is_refused_as_such(tmp_path: Path, names: list[str], form: str) -> None:
    error = refusal(written(tmp_path, *names))
    assert "looks like data for object detection" in error.message
    assert f"({form})" in error.message
    assert "Cut each box out" in error.hint


@pytest.mark.parametrize(
    "beside",
    [
        ["labels/1.txt"],
        ["annotations/list.txt", "annotations/xmls/1.xml"],
        ["Annotation/n02/1.xml"],
        ["instances.coco.json"],
        ["apple/000.txt"],
    ],
)
def test_class_folders_beside_boxes_go_on_as_ever(tmp_path: Path, beside: list[str]) -> None:
    write_class_folders(tmp_path, per_class=3)
    written(tmp_path, *beside)
    assert load(str(tmp_path), LOADERS).record.classes == ("apple", "birch", "cedar")


def test_boxes_in_xml_of_one_line(tmp_path: Path) -> None:
    written(tmp_path, "1.png")
    (tmp_path / "1.xml").write_text("\ufeff<?xml version='1.0'?><annotation><object/></annotation>")
    assert "beside each image in the folder (Pascal VOC)" in refusal(tmp_path).message


def test_captions_are_no_boxes(tmp_path: Path) -> None:
    written(tmp_path, "1.png", "2.png")
    for name in ("1.txt", "2.txt"):
        (tmp_path / name).write_text("a cat on a mat\n")
    assert "images directly" in refusal(tmp_path).message


def test_without_a_train_folder_what_to_add_is_said(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, "val/a/1.png", "val/b/2.png", "test/a/3.png"))
    assert "Add DATA/train/CLASS/IMAGE, or name one folder alone" in error.hint


def test_one_class_is_told_what_is_wanted(tmp_path: Path) -> None:
    error = refusal(write_class_folders(tmp_path, classes=("cat",), per_class=3))
    assert "of one class, 'cat'; two are needed" in error.message
    assert "'not cat'" in error.hint


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("photos.zip", "unzip {path} -d {folder}"),
        ("photos.tar", "tar -xf {path} -C {folder}"),
        ("photos.tar.gz", "tar -xf {path} -C {folder}"),
        ("photos.TGZ", "tar -xf {path} -C {folder}"),
        ("my photos.rar", "unrar x {path} {folder}/"),
        ("photos.7z", "7z x {path} -o{folder}"),
    ],
)
def test_an_archive_is_to_be_unpacked_first(tmp_path: Path, name: str, command: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK")
    folder = quote(str(tmp_path / name.split(".")[0]))
    told = command.format(path=quote(str(path)), folder=folder)
    for data in (path, tmp_path):  # as the data, and lying alone in the folder
        error = refusal(data)
        assert f"{path.name} is an archive" in error.message
        assert told in error.hint
        assert "autotl fit" in error.hint


@pytest.mark.parametrize(
    ("names", "data"),
    [
        (("photos/cat/1.jpg", "photos/dog/2.jpg", "__MACOSX/._x"), "photos/photos"),
        (("cat/1.jpg", "dog/2.jpg"), "photos"),
        (("cat/1.jpg", "cat/2.jpg"), "photos"),
        (("../cat/1.jpg", "../dog/2.jpg"), "photos"),
    ],
)
def test_the_folder_inside_an_archive_is_named(
    tmp_path: Path, names: tuple[str, ...], data: str
) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    hint = refusal(tmp_path / "photos.zip").hint
    assert hint.endswith(f"autotl fit {quote(str(tmp_path / data))}")


def test_an_archive_is_never_unpacked_into_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos.zip").write_bytes(b"PK")
    there = quote(str(tmp_path / "photos-unpacked"))
    assert f"-d {there}; then: autotl fit {there}" in refusal(tmp_path / "photos.zip").hint


def test_archives_in_several_parts_are_named(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        (tmp_path / name).write_bytes(b"PK")
    assert "a.zip, b.zip" in refusal(tmp_path).message


def test_a_folder_of_arrays_is_told_how_to_give_them(tmp_path: Path) -> None:
    for name in ("x_train.npy", "y_train.npy"):
        (tmp_path / name).write_bytes(b"\x93NUMPY")
    error = refusal(tmp_path)
    assert "holds arrays (2 .npy files)" in error.message
    assert "numpy.savez" in error.hint
    assert "autotl.fit((images, labels))" in error.hint
    assert "numpy.savez" in refusal(tmp_path / "x_train.npy").hint


@pytest.mark.parametrize("suffix", tables.SUFFIXES)
def test_a_table_of_every_kind_beside_the_images_is_named(tmp_path: Path, suffix: str) -> None:
    error = refusal(written(tmp_path, "1.png", "2.png", f"labels{suffix}"))
    assert f"autotl fit {tmp_path}/labels{suffix}" in error.hint
