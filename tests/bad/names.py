"""Names of files, classes and data that a person would not type: they load, and print as text."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

from tests.bad.case import LOADS, Case, loads, pets, photo, photos, refused

ESCAPE = "\x1b[31mred\x1b[0m"
RIGHT_TO_LEFT = "cat\u202egnp.exe"


def _file(name: bytes | str, content: bytes = b"") -> Callable[[Path], None]:
    """Pets, and one more cat of that name; by default a broken one, so that it is told of."""

    def write(root: Path) -> None:
        pets(root, 30)
        place = os.path.join(os.fsencode(root), b"cats", os.fsencode(name))  # noqa: PTH118
        with open(place, "wb") as stream:  # noqa: PTH123
            stream.write(content)

    return write


def _classes(*names: bytes | str) -> Callable[[Path], None]:
    """A folder of four different images for each name."""

    def write(root: Path) -> None:
        for label, name in enumerate(names):
            folder = root / os.fsdecode(name)
            folder.mkdir()
            for number in range(4):
                (folder / f"{number}.png").write_bytes(photo(label, number))

    return write


def _composed(root: Path) -> None:
    for number, form in enumerate(("NFC", "NFD")):
        photos(root, first=10 * number, **{unicodedata.normalize(form, "café"): 4, "thé": 4})


def _case_clash(root: Path) -> None:
    pets(root)
    for number, name in enumerate(("A.png", "a.png", "A.PNG", "a.Png")):
        (root / "cats" / name).write_bytes(photo(0, 50 + number))


def _data_named(given: bytes | str, **more: object) -> Case:
    """Sound data below a folder of that name, named by its whole path."""
    text = os.fsdecode(given)

    def make(folder: Path) -> list[str]:
        pets(folder / text)
        return ["inspect", str(folder / text), "--verbose"]

    return Case(make=make, **more)  # type: ignore[arg-type]


NAMED = (
    ("line-break", "a\nb.png", r"cats/a\\nb\.png"),
    ("tabulator", "a\tb.png", r"cats/a\\tb\.png"),
    ("escape-sequence", f"{ESCAPE}.png", r"\\x1b\[31mred"),
    ("right-to-left", f"{RIGHT_TO_LEFT}.png", r"\\u202egnp"),
    ("hebrew", "חתול.png", "חתול.png"),
    ("not-utf-8", b"caf\xe9.png", r"caf\\xe9\.png"),
    ("emoji", "🐈‍⬛.png", "🐈"),
    ("255-bytes", "x" * 251 + ".png", "x" * 251),
    ("only-the-ending", " .png", r"cats/ \.png"),
    ("markup", "[bold]x[red].png", r"cats/\[bold\]x\[red\]"),
    ("percent", "%s%n{0}.png", r"%s%n\{0\}"),
    ("leading-dash", "-rf.png", "cats/-rf.png"),
    ("quotes", "a'\"b.png", "a'\"b.png"),
    ("backslash", "a\\..\\x.png", r"a\\+\.\."),
)

CASES: tuple[Case, ...] = (
    *(
        loads(f"file-{name}", _file(file), f"set aside: .*{told}.*: .*0 bytes")
        for name, file, told in NAMED
    ),
    loads("files-of-one-name-but-for-case", _case_clash, "12 examples"),
    loads("classes-that-differ-by-case", _classes("Cat", "cat", "dog"), "'Cat', 'cat'", "by case"),
    loads("classes-that-differ-by-blanks", _classes("cat", "cat ", "dog"), "'cat', 'cat '"),
    loads(
        "classes-that-differ-by-an-invisible-letter",
        _classes("cat", "cat\u200b", "dog"),
        r"'cat', 'cat\\u200b'",
    ),
    loads("class-composed-and-decomposed", _composed, "16 examples", "2 classes"),
    loads("class-not-utf-8", _classes(b"caf\xe9", "dog"), "2 classes"),
    loads("class-with-line-break", _classes("a\nb", "A \nB", "dog"), r"'A \\nB', 'a\\nb'"),
    loads("class-with-escape", _classes(ESCAPE, ESCAPE.upper(), "dog"), r"\\x1b\[31"),
    loads("classes-of-255-bytes", _classes("x" * 255, "y" * 255), "2 classes"),
    loads("classes-named-as-options", _classes("--help", "-q", "--"), "3 classes"),
    loads("classes-named-as-numbers", _classes("1", "01", "1.0"), "3 classes"),
    loads("class-named-test", _classes("test", "cats", "dogs"), "3 classes"),
    _data_named("a\nb", name="data-with-line-break", outcome=LOADS, says=("8 examples",)),
    _data_named("תמונות", name="data-in-hebrew", outcome=LOADS, says=("8 examples",)),
    _data_named(" ", name="data-named-blank", outcome=LOADS, says=("8 examples",)),
    _data_named(
        b"caf\xe9",
        name="data-not-utf-8",
        outcome=2,
        says=(r"caf\\+(xe9|udce9)", "UTF-8", "Rename"),
    ),
    refused(
        "class-of-one-with-escape",
        lambda root: (pets(root), photos(root, **{ESCAPE: 1})),
        r"'\\x1b\[31mred\\x1b\[0m' has one example",
        silent=("\x1b",),
    ),
)
