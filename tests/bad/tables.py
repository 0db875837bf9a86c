"""Tables of images and labels: torn, in odd encodings, without what they need, or ambiguous."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

from tests.bad.case import LOADS, Case, pets

FILES = [f"{name}/{number:02d}.png" for name in ("cats", "dogs") for number in range(8)]
LABELS = ["cat"] * 8 + ["dog"] * 8
Rows = Sequence[Sequence[str]]


def _csv(header: str, rows: Rows, mark: str = ",") -> str:
    return "\n".join([header, *(mark.join(row) for row in rows)]) + "\n"


def _rows(labels: Sequence[str] = LABELS, files: Sequence[str] = FILES) -> list[list[str]]:
    return [list(row) for row in zip(files, labels, strict=True)]


SOUND = _csv("file,label", _rows())


def _case(
    name: str,
    content: str | bytes | Callable[[], bytes],
    *says: str,
    outcome: int | str = 3,
    file: str = "table.csv",
    options: tuple[str, ...] = (),
    **more: object,
) -> Case:
    """A table of that content beside sound images."""

    def make(folder: Path) -> list[str]:
        pets(folder, 8)
        made = content() if callable(content) else content
        (folder / file).write_bytes(made.encode() if isinstance(made, str) else made)
        command = "inspect" if outcome == LOADS else "fit"
        shown = ["--verbose"] if outcome == LOADS else []
        return [command, str(folder / file), *options, *shown]

    return Case(name=f"table-{name}", make=make, outcome=outcome, says=says, **more)  # type: ignore[arg-type]


def _lines(rows: Sequence[object]) -> str:
    return "\n".join(json.dumps(row) for row in rows) + "\n"


OBJECTS = [{"file": file, "label": label} for file, label in _rows()]


def _parquet(columns: dict[str, list[object]] | None = None) -> bytes:
    import pyarrow
    from pyarrow import parquet

    stream = BytesIO()
    parquet.write_table(pyarrow.table(columns or {"file": FILES, "label": LABELS}), stream)
    return stream.getvalue()


def _half_parquet() -> bytes:
    return _parquet()[:-100]


def _no_table(folder: Path) -> list[str]:
    return ["fit", str(folder / "table.csv")]


def _long(count: int) -> Callable[[], bytes]:
    return lambda: _csv("file,label", [(f"{n}.png", "cat") for n in range(count)]).encode()


LATIN = SOUND.replace("cat\n", "Käfer\n")

TORN = (
    _case("of-no-bytes", "", "table.csv", "empty|no row|header"),
    _case("header-only", "file,label\n", "table.csv", "no row|empty|no example"),
    _case("blank-lines-only", "\n\n\n", "table.csv is empty", "a line of names, then rows"),
    _case(
        "without-header",
        _csv(",".join(_rows()[0]), _rows()[1:]),
        "first line of table.csv looks like a row",
        "Put a line of names above it",
    ),
    _case("ragged", SOUND + "cats/00.png,cat,more\n", "table.csv", "line 18|row 1[78]"),
    _case("short-row", SOUND + "cats/00.png\n", "table.csv", "line 18|row 1[78]"),
    _case(
        "columns-twice",
        _csv("file,label,label", [[*r, r[1]] for r in _rows()]),
        "'label'",
        "2 columns named",
    ),
    _case("quote-not-closed", SOUND + '"cats/00.png,cat\n', "line 18: a quote is not closed"),
    _case("null-bytes", SOUND.replace("cat\n", "c\0at\n"), "null character in line 2: no text"),
    _case("binary", bytes(range(256)) * 40, "not UTF-8: byte 0x80 in line 2"),
    _case(
        "mixed-encodings",
        SOUND.encode() + b"cats/00.png,\xe4\n" + "cats/01.png,ж\n".encode(),
        "not UTF-8: byte 0xe4 in line 18",
        "Save it as UTF-8",
    ),
    _case("photo-named-csv", b"\x89PNG\r\n\x1a\n" + bytes(300), "no text table but an image"),
    _case(
        "huge-field",
        SOUND + f"{'x' * 300_000},cat\n",
        "line 18: field larger than field limit",
    ),
    _case(
        "json-array",
        json.dumps(OBJECTS),
        "line 1 is JSON, but no object",
        "one object a line",
        file="table.jsonl",
    ),
    _case("json-broken-line", _lines(OBJECTS) + '{"file": \n', "line 17", file="table.jsonl"),
    _case("json-of-lists", _lines(_rows()), "line 1", file="table.jsonl"),
    _case("json-key-twice", '{"file": "a", "file": "b"}\n', "'file'", file="table.jsonl"),
    _case("json-deep", "[" * 100_000, "line 1: nested too deeply", file="table.jsonl"),
    _case(
        "parquet-cut-short",
        _half_parquet,
        "cannot be read as Parquet",
        "corrupted",
        file="table.parquet",
    ),
    _case(
        "parquet-of-text",
        SOUND,
        "cannot be read as Parquet",
        "not a parquet file",
        file="table.parquet",
    ),
    _case("parquet-of-no-bytes", b"", "cannot be read as Parquet: .*0 bytes", file="table.parquet"),
    Case(name="table-missing", make=_no_table, outcome=3, says=("no file or folder", "table.csv")),
)

MEANING = (
    _case(
        "no-image-there", _csv("file,label", _rows(files=[f"gone/{f}" for f in FILES])), "gone/cats"
    ),
    _case("some-images-missing", _csv("file,label", _rows(files=["no.png", *FILES[1:]])), "no.png"),
    _case(
        "absolute-paths",
        _csv("file,label", _rows(files=[f"/nowhere/{f}" for f in FILES])),
        "/nowhere/",
    ),
    _case(
        "addresses",
        _csv("file,label", _rows(files=[f"https://x.org/{f}" for f in FILES])),
        "https://x.org",
        "[Dd]ownload",
    ),
    _case(
        "numbers-for-files",
        _csv("file,label", _rows(files=[str(n) for n in range(16)])),
        "No column of table.csv names images that are there",
        "file: '0', '1', '2'",
        "--input-column",
    ),
    _case("one-class", _csv("file,label", _rows(["cat"] * 16)), "one class"),
    _case(
        "label-an-id",
        _csv("file,label", _rows([f"id{n}" for n in range(16)])),
        "16 of 16 classes have one example",
        "names of single examples",
    ),
    _case(
        "label-a-measure",
        _csv("file,label", _rows([f"{n / 7:.3f}" for n in range(16)])),
        "label",
        "regression|numbers|measure",
    ),
    _case(
        "labels-empty",
        _csv("file,label", _rows([""] * 16)),
        "16 of 16 rows .*no label in column 'label'",
    ),
    _case("no-image-column", _csv("name,label", _rows(files=["tom"] * 16)), "--input-column"),
    _case(
        "no-label-column",
        _csv("file", [[file] for file in FILES]),
        "no column that could hold labels",
    ),
    _case(
        "two-image-columns",
        _csv("file,path,label", [[f, f, x] for f, x in _rows()]),
        "Several columns of table.csv could name the images",
        "--input-column NAME",
    ),
    _case(
        "two-label-columns",
        _csv("file,label,class", [[f, x, "ab"[n % 2]] for n, (f, x) in enumerate(_rows())]),
        "--label-column",
    ),
    _case(
        "one-column-a-class",
        _csv("file,cat,dog", [[f, str(+(x == "cat")), str(+(x == "dog"))] for f, x in _rows()]),
        "No column of table.csv is clearly the one of the labels",
        "0 and 1, one a class, want to be one column",
    ),
    _case(
        "column-that-is-none",
        SOUND,
        "no column 'lable'",
        "Did you mean 'label'",
        options=("--label-column", "lable"),
        outcome=2,
    ),
    _case(
        "one-column-for-both",
        SOUND,
        "--input-column and --label-column",
        options=("--label-column", "file", "--input-column", "file"),
        outcome=2,
    ),
    _case(
        "column-of-no-name",
        SOUND,
        "label_column|--label-column",
        "empty",
        options=("--label-column", ""),
        outcome=2,
    ),
    _case(
        "column-for-a-folder",
        SOUND,
        "--label-column",
        options=("--label-column", "x", "--loader", "image-folders"),
        outcome=2,
    ),
    _case("file-of-two-labels", SOUND + "cats/00.png,dog\n", "cats/00.png", outcome=3),
    _case(
        "upwards",
        _csv("file,label", _rows(files=[f"../../../../../../nowhere/{f}" for f in FILES])),
        "nowhere",
    ),
    _case(
        "steering-the-terminal",
        _csv("file,\x1b[31mlabel", _rows()),
        r"no column 'lab\\x1bel'",
        r"Did you mean '\\x1b\[31mlabel'",
        options=("--label-column", "lab\x1bel"),
        outcome=2,
    ),
)

ODD = (
    _case("latin-1", LATIN.encode("latin-1"), "not UTF-8: byte 0xe4 in line 2", "Save it as UTF-8"),
    _case("utf-16", SOUND.encode("utf-16"), "16 examples in 2 classes", outcome=LOADS),
    _case("with-byte-order-mark", SOUND.encode("utf-8-sig"), "16 examples", outcome=LOADS),
    _case("line-ends-of-windows", SOUND.replace("\n", "\r\n"), "16 examples", outcome=LOADS),
    _case("semicolons", _csv("file;label", _rows(), ";"), "16 examples", outcome=LOADS),
    _case("tabs-named-csv", _csv("file\tlabel", _rows(), "\t"), "16 examples", outcome=LOADS),
    _case("parquet-named-csv", _parquet, "Parquet", "ending .parquet"),
    _case(
        "paths-of-windows",
        _csv("file,label", _rows(files=[f.replace("/", "\\") for f in FILES])),
        "16 examples",
        outcome=LOADS,
    ),
    _case("rows-twice", SOUND + SOUND.split("\n", 1)[1], "16 examples", outcome=LOADS),
    _case(
        "labels-that-differ-by-case",
        _csv("file,label", _rows(["Cat", "cat"] * 4 + LABELS[8:])),
        "'Cat', 'cat'",
        outcome=LOADS,
    ),
    _case(
        "labels-that-differ-by-blanks",
        _csv("file,label", _rows([" cat", "cat "] * 4 + LABELS[8:])),
        "2 classes",
        "Blanks around 8 labels",
        outcome=LOADS,
    ),
    _case(
        "label-with-a-comma",
        _csv("file,label", _rows(['"a, b"'] * 8 + LABELS[8:])),
        "2 classes",
        outcome=LOADS,
    ),
    _case(
        "label-with-escape",
        _csv("file,label", _rows(["\x1b[31m", "\x1b[31M"] * 4 + LABELS[8:])),
        r"\\x1b",
        outcome=LOADS,
    ),
    _case(
        "a-label-missing",
        _csv("file,label", _rows(["", *LABELS[1:]])),
        "1 of 16 rows",
        "up to 5%",
    ),
)

CASES: tuple[Case, ...] = (
    *TORN,
    *MEANING,
    *ODD,
    _case("a-million-rows", _long(1_000_000), "0.png", alone=True, slow=True),
)
