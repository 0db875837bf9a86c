"""Which file a row of a table gets: beside the table, in folders below it, through links."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotl.builtin.tables import autotl_loaders, load
from autotl.errors import DataError
from autotl.loading import load as load_data
from tests.builtin.table_data import images, species, write_csv, write_lines
from tests.images import encoded, pattern

(LOADER,) = autotl_loaders()


def table(folder: Path, names: list[str], name: str = "t.csv") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    return write_csv(folder / name, {"file": names, "label": species(len(names))})


def test_an_image_missing_beside_the_table_is_not_taken_from_a_folder_below(
    tmp_path: Path,
) -> None:
    names = images(tmp_path, 40)
    images(tmp_path / "masks", 40)
    (tmp_path / "007.png").unlink()
    done = load_data(table(tmp_path, names), [LOADER])
    assert [(one.id, one.reason) for one in done.record.set_aside] == [
        ("007.png", "It cannot be read: No such file or directory.")
    ]
    assert done.record.warnings == ()


def test_most_images_missing_beside_the_table_is_an_error_though_a_folder_holds_them(
    tmp_path: Path,
) -> None:
    names = images(tmp_path, 1) + images(tmp_path / "other", 40)[1:]
    with pytest.raises(DataError, match="39 of 40 examples cannot be read"):
        load_data(table(tmp_path, names), [LOADER])


def test_how_many_images_a_folder_below_holds_is_said(tmp_path: Path) -> None:
    names = images(tmp_path / "images", 40)
    paths = [f"images/{name}" for name in names[:10]]
    found = load(table(tmp_path, [*paths, *names[10:]]), {})
    assert found.warnings == ("30 of 40 images were found in images/.",)
    (tmp_path / "images" / "003.png").unlink()
    found = load(table(tmp_path, names), {})
    assert found.warnings == ("39 of 40 images were found in images/.",)
    found = load(table(tmp_path, [name[:3] for name in names]), {})
    words = "39 of 40 images were found in images/ by their names without ending."
    assert found.warnings == (words,)


def test_a_folder_must_hold_nearly_all_or_more_than_any_other(tmp_path: Path) -> None:
    names = images(tmp_path / "one", 40)
    images(tmp_path / "two", 40)
    for name in names[:3]:  # 37 of 40 are not nearly all
        (tmp_path / "two" / name).unlink()
    assert load(table(tmp_path, names), {}).ids[5] == "one/005.png"
    for name in names[3:6]:  # of which no folder holds nearly all, and both hold as many
        (tmp_path / "one" / name).unlink()
    with pytest.raises(DataError, match="None of the 40 images"):
        load(table(tmp_path, names), {})


def test_names_without_ending_want_nearly_all_images_there(tmp_path: Path) -> None:
    names = images(tmp_path / "images", 40)
    columns = {"code": [name[:3] for name in names], "label": species(40)}
    for name in names[:3]:
        (tmp_path / "images" / name).unlink()
    with pytest.raises(DataError, match=r"No column of t\.csv names images"):
        load(write_csv(tmp_path / "t.csv", columns), {})
    (tmp_path / "images" / "000.png").write_bytes(encoded(pattern(0, 0)))
    assert len(load(str(tmp_path / "t.csv"), {}).ids) == 40


def test_the_folder_above_a_link_is_not_the_folder_that_holds_the_link(tmp_path: Path) -> None:
    names = images(tmp_path / "data", 12)
    images(tmp_path / "other" / "inner", 1)
    (tmp_path / "other" / "000.png").write_bytes(encoded(pattern(0, 99)))
    (tmp_path / "data" / "link").symlink_to(tmp_path / "other" / "inner")
    odd = ["link/../000.png", ".//001.png", "../data/002.png"]
    found = load(table(tmp_path / "data", [*names, *odd]), {})
    assert len(found.ids) == 13
    assert found.ids[12] == "link/../000.png"
    assert found.read(12) == encoded(pattern(0, 99))
    assert "2 rows name an image that an earlier row names alike" in found.warnings[0]


@pytest.mark.parametrize("write", [write_csv, write_lines])
@pytest.mark.parametrize("beside", ["link", "target"])
def test_images_are_sought_beside_a_link_and_then_beside_what_it_leads_to(
    tmp_path: Path, write: object, beside: str
) -> None:
    assert callable(write)
    names = images(tmp_path / beside, 12)
    (tmp_path / "link").mkdir(exist_ok=True)
    (tmp_path / "target").mkdir(exist_ok=True)
    write(tmp_path / "target" / "ab12", {"file": names, "label": species()})
    link = tmp_path / "link" / ("t.csv" if write is write_csv else "t.jsonl")
    link.symlink_to(tmp_path / "target" / "ab12")
    found = load(str(link), {})
    assert found.ids[1] == "001.png"
    assert found.read(1) == (tmp_path / beside / "001.png").read_bytes()
    (tmp_path / beside / "001.png").rename(tmp_path / "gone.png")
    for name in names:
        (tmp_path / beside / name).unlink(missing_ok=True)
    with pytest.raises(DataError, match="None of the 12 images") as caught:
        load(str(link), {})
    words = f"relative to {tmp_path / 'link'}, or to {tmp_path / 'target'}, to which"
    assert words in (caught.value.hint or "")


def test_a_link_to_parquet_is_sought_beside_itself_too(tmp_path: Path) -> None:
    from tests.builtin.table_data import write_parquet

    names = [f"{number:03d}" for number in range(12)]
    images(tmp_path / "data" / "images", 12)
    (tmp_path / "cache").mkdir()
    write_parquet(tmp_path / "cache" / "ab12", {"id": names, "label": species()})
    (tmp_path / "data" / "t.parquet").symlink_to(Path("..") / "cache" / "ab12")
    assert load(str(tmp_path / "data" / "t.parquet"), {}).ids[2] == "images/002.png"
