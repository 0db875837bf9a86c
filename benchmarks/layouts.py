"""Are the same photographs the same data, however they are laid out?

    python benchmarks/layouts.py FOLDER; --table prints the rows again

FOLDER holds class folders below `train` and `test`. It is written anew in every layout that autotl
reads, in a folder that goes away, and of each one run is made: the classifier on frozen features,
with the given test images. The pixels are those of the folder's files in all layouts but GIF (256
colours) and `tf.data` (TensorFlow decodes), so the accuracy should be the same; validation images
are drawn anew where rows have another order. A layout that has a row is not made again.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import commit, statement

ROWS = Path(__file__).with_suffix(".jsonl")
Row = tuple[str, str, Path]
"""Split, class and file of an image."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--table", action="store_true", help="only print the rows")
    options = parser.parse_args()
    if not options.table:
        if options.folder is None:
            parser.error("FOLDER is needed")
        _measure(options.folder.resolve())
    print(statement())
    print(table(_rows()))


def _rows() -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()] if ROWS.exists() else []
    )


def _measure(folder: Path) -> None:
    done = {row["layout"] for row in _rows() if row["data"] == folder.name}
    for name, lay_out in LAYOUTS.items():
        if name in done:
            continue
        with tempfile.TemporaryDirectory() as place:
            root = Path(place)
            row = _run(lay_out(_images(folder), root), root / "run")
        row |= {"layout": name, "data": folder.name, "commit": commit()}
        row["machine"] = statement(load=False)
        with ROWS.open("a", encoding="utf-8") as file:
            print(json.dumps(row), file=file)


def _images(folder: Path) -> list[Row]:
    files = sorted(file for file in folder.glob("*/*/*") if file.is_file())
    return [(file.parts[-3], file.parts[-2], file) for file in files]


def _run(data: Any, out: Path) -> dict[str, Any]:
    import autotl

    fitted = autotl.fit(data, out=out, trials=1, backbone="embedded", input_size=64)
    lines = map(json.loads, (out / "journal.jsonl").read_text("utf-8").splitlines())
    loaded = next(one for one in lines if one["kind"] == "step" and one["name"] == "load")
    report = fitted.report
    return {
        "loader": report["data"]["loader"],
        "said": loaded["record"]["reason"],
        "examples": report["data"]["examples"],
        "classes": len(report["data"]["classes"]),
        "test": report["data"]["split"]["test"],
        "accuracy": report["evaluation"]["accuracy"]["value"],
        "set_aside": len(report["data"]["set_aside"]),
    }


def class_folders(images: list[Row], root: Path) -> Any:
    """`train/CLASS/FILE`."""
    for split, name, file in images:
        place = root / "data" / split / name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    return root / "data"


def nested(images: list[Row], root: Path) -> Any:
    """`train/KIND/CLASS/FILE`, two kinds."""
    names = sorted({name for _, name, _ in images})
    for split, name, file in images:
        place = root / "data" / split / ("first" if name in names[::2] else "second") / name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    return root / "data"


def converted(suffix: str, **how: Any) -> Callable[[list[Row], Path], Any]:
    """`train/CLASS/FILE` in another format."""

    def lay_out(images: list[Row], root: Path) -> Any:
        from PIL import Image

        for split, name, file in images:
            place = root / "data" / split / name
            place.mkdir(parents=True, exist_ok=True)
            with Image.open(file) as image:
                image.convert("RGB").save(place / f"{file.stem}.{suffix}", **how)
        return root / "data"

    return lay_out


def delimited(suffix: str, delimiter: str, encoding: str) -> Callable[[list[Row], Path], Any]:
    """A table of the files where they lie, with a column of splits."""

    def lay_out(images: list[Row], root: Path) -> Any:
        path = root / f"data.{suffix}"
        with path.open("w", encoding=encoding, newline="") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(["file", "species", "split"])
            writer.writerows([str(image), name, split] for split, name, image in images)
        return path

    return lay_out


def json_lines(images: list[Row], root: Path) -> Any:
    """An object a line."""
    path = root / "data.jsonl"
    lines = [json.dumps({"image": str(f), "label": c, "split": s}) for s, c, f in images]
    path.write_text("\n".join(lines), "utf-8")
    return path


def parquet(images: list[Row], root: Path) -> Any:
    """The images' bytes within the table, as data sets are published."""
    import pyarrow
    import pyarrow.parquet

    rows = [
        {"image": {"bytes": file.read_bytes(), "path": file.name}, "label": name, "split": split}
        for split, name, file in images
    ]
    path = root / "data.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def frame(images: list[Row], root: Path) -> Any:
    """A pandas data frame of paths."""
    import pandas

    return pandas.DataFrame(
        {
            "file": [str(file) for _, _, file in images],
            "label": [name for _, name, _ in images],
            "split": [split for split, _, _ in images],
        }
    )


def tf_data(images: list[Row], root: Path) -> Any:
    """`tf.data` of decoded pixels, one for each split."""
    import tensorflow

    def decoded(split: str) -> Any:
        rows = [(str(file), name) for s, name, file in images if s == split]
        files, names = zip(*rows, strict=True)
        given = tensorflow.data.Dataset.from_tensor_slices((list(files), list(names)))

        def opened(file: Any, name: Any) -> Any:
            content = tensorflow.io.read_file(file)
            image = tensorflow.io.decode_image(content, channels=3, expand_animations=False)
            return image, name

        return given.map(opened)

    return {"train": decoded("train"), "test": decoded("test")}


LAYOUTS: dict[str, Callable[[list[Row], Path], Any]] = {
    "class folders, as they are": class_folders,
    "folders in folders": nested,
    "PNG": converted("png"),
    "BMP": converted("bmp"),
    "TIFF, LZW": converted("tif", compression="tiff_lzw"),
    "PPM": converted("ppm"),
    "GIF": converted("gif"),
    "CSV": delimited("csv", ",", "utf-8"),
    "CSV, semicolons, UTF-16": delimited("csv", ";", "utf-16"),
    "TSV": delimited("tsv", "\t", "utf-8-sig"),
    "JSON lines": json_lines,
    "Parquet with the images inside": parquet,
    "pandas data frame": frame,
    "tf.data": tf_data,
}


def table(rows: list[dict[str, Any]]) -> str:
    """A row a layout."""
    lines = [
        "| data | layout | loader | examples | test | accuracy on them | what was said |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    for row in rows:
        said = row["said"].replace("|", "\\|")
        lines.append(
            f"| {row['data']} | {row['layout']} | `{row['loader']}` | {row['examples']:,} | "
            f"{row['test']:,} | {row['accuracy']:.3f} | {said} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
