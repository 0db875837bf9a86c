"""`-` among the inputs of `autotl predict`: an image or a list of files, piped into a process."""

from __future__ import annotations

import io
import json
import os
import pty
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from autotl.cli.program import run
from autotl.errors import UsageError
from autotl.pixels import FORMATS
from autotl.prediction import with_standard_input
from autotl.prediction.standard_input import is_image
from tests.models import write_model

ROOT = Path(__file__).parent.parent
RED, GREEN = (230, 20, 30), (10, 220, 40)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (12, 9), RED).save(folder / "a.png")
    Image.new("RGB", (12, 9), GREEN).save(folder / "b.png")
    return folder


def asked(model: Path, piped: bytes, *inputs: str, folder: Path = ROOT) -> Any:
    """The finished process: return code, and its answers as (input, label, error)."""
    command = [sys.executable, "-m", "autotl", "predict", str(model), *inputs, "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, input=piped, capture_output=True, cwd=folder, env=environment, check=False
    )
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    answers = [(line["input"], line.get("label"), line.get("error")) for line in lines]
    return done.returncode, answers, done.stderr.decode()


def encoded(form: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (23, 17), RED).save(
        stream, form, **({} if form != "WEBP" else {"quality": 95})
    )
    return stream.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_is_known_by_its_first_bytes(form: str) -> None:
    content = encoded(form)
    for head in (content, content[:64]):
        assert is_image(head)
    ((name, found),) = with_standard_input(["-"], io.BytesIO(content))
    assert (name, found) == ("-", content)


@pytest.mark.parametrize(
    "content", [b"P2\n# by hand\n2 1 255\n3 4\n", b"P4 8 1\n\xaa", b"P6 1 1 9 abc"]
)
def test_plain_forms_of_pnm_are_images(content: bytes) -> None:
    assert is_image(content)


@pytest.mark.parametrize(
    "name",
    ["BMW/1.jpg", "P5/1.jpg", "P6 photo.jpg", "GIF.gif", "RIFF.webp", "Py.png", "MM.tif", "P5"],
)
def test_names_that_begin_as_images_do_are_names(name: str) -> None:
    content = f"{name}\n{name}\n".encode()
    assert not is_image(content)
    assert [each for each, _ in with_standard_input(["-"], io.BytesIO(content))] == [name] * 2


@pytest.mark.parametrize(
    "name",
    [
        *("GIF89a.png", "GIF87a", "P1 1 photo.png", "P6\t3 4 255 photo.png", "<html>.png"),
        *("GIF89a/" + "deep/" * 30 + "\u00e9.png", "P2 1\n2 9 photo.png"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 65_536])
def test_a_file_whose_name_begins_as_an_image_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int
) -> None:
    class Piecemeal(io.BytesIO):
        def read1(self, _: int | None = -1) -> bytes:
            return self.read(size)

    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(encoded("PNG"))
    monkeypatch.chdir(tmp_path)
    for text in (f"{name}\0none.png\0", f"{name}\nnone.png\n", f"{name}\r\nnone.png", name):
        if "\n" in name and "\0" not in text:
            continue
        found = list(with_standard_input(["-"], Piecemeal(text.encode())))
        assert found[0] == (name, Path(name))
        assert [each for each, _ in found[1:]] == ["none.png"][: len(found) - 1]
        assert (len(found) == 2) == ("none" in text)


@pytest.mark.parametrize("form", FORMATS)
def test_an_image_stays_one_though_a_file_is_called_as_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    content = b"P2\n2 1\n9\n3 4\n" if form == "PPM" else encoded(form)
    monkeypatch.chdir(tmp_path)
    for length in range(1, 12):
        if not {0, 47} & set(content[:length]):
            (tmp_path / os.fsdecode(content[:length])).touch()
    assert list(with_standard_input(["-"], io.BytesIO(content))) == [("-", content)]


def test_an_image_is_piped_in(model: Path) -> None:
    assert asked(model, encoded("JPEG"), "-")[:2] == (0, [("-", "rouge", None)])


def test_a_list_is_piped_in_with_a_line_a_name(model: Path, photos: Path) -> None:
    text = "\ufeffb.png\r\n\n./a.png\nnone.png\nb.png"
    code, answers, _ = asked(model, text.encode(), "-", folder=photos)
    assert code == 0
    assert answers == [
        ("b.png", "grün", None),
        ("./a.png", "rouge", None),
        ("none.png", None, "There is no file or folder of this name."),
        ("b.png", "grün", None),
    ]


def test_names_that_end_with_null_survive_new_lines(model: Path, photos: Path) -> None:
    (photos / "a.png").rename(photos / "two\nlines, \u202e and\t\u00e9.png")
    found = subprocess.run(
        ["find", ".", "-name", "*.png", "-print0"], cwd=photos, capture_output=True
    )
    code, answers, _ = asked(model, found.stdout, "-", folder=photos)
    assert code == 0
    assert sorted(label for _, label, _ in answers) == ["grün", "rouge"]
    assert "./two\nlines, \u202e and\t\u00e9.png" in [name for name, *_ in answers]


def test_folders_in_a_list_are_searched(model: Path, photos: Path) -> None:
    (photos / "empty").mkdir()
    _, answers, _ = asked(model, f"{photos}\n{photos}/empty\n".encode(), "-")
    assert [label for _, label, _ in answers] == ["rouge", "grün", None]
    assert answers[2][2] == f"There are no images in {photos}/empty."


def test_other_inputs_may_stand_around_it(model: Path, photos: Path) -> None:
    inputs = (str(photos), "-", str(photos / "b.png"))
    _, answers, _ = asked(model, encoded("PNG"), *inputs)
    names = [f"{photos}/a.png", f"{photos}/b.png", "-", f"{photos}/b.png"]
    assert [name for name, *_ in answers] == names
    assert [label for _, label, _ in answers] == ["rouge", "grün", "rouge", "grün"]


def test_a_file_of_that_name_is_named_by_its_path(model: Path, photos: Path) -> None:
    (photos / "b.png").rename(photos / "-")
    assert asked(model, b"", "./-", folder=photos)[1] == [("./-", "grün", None)]
    assert asked(model, b"-\n", "-", folder=photos)[1] == [("-", "grün", None)]


@pytest.mark.parametrize(
    ("piped", "message"),
    [
        (b"", "is empty (0 bytes)"),
        (b"\x1f\x8b\x08\x00" + bytes(range(256)), "neither an image"),
        (b"PK\x03\x04\x14\x00\x00\x00", "neither an image"),
        (b"\0a.png\0", "neither an image"),
        (b"\n", "The list names no file: it has only empty lines."),
        (b"\r\n" * 1_000, "The list names no file"),
        (b"\xef\xbb\xbf", "The list names no file"),
        (b"caf\xe9.png\n", "neither an image"),
        (b"\n <!DOCTYPE html><html><body>404</body></html>\n", "web page"),
        (b"\x89PNG\r\n\x1a\n", "The content is no image"),
        (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "neither an image"),
    ],
)
def test_what_is_neither_is_one_unreadable_input(model: Path, piped: bytes, message: str) -> None:
    code, ((name, label, error),), told = asked(model, piped, "-")
    assert (code, name, label) == (3, "-", None)
    assert message in error
    assert "1 of 1 inputs could not be read" in told


def test_an_image_with_other_inputs_stays_readable(model: Path, photos: Path) -> None:
    code, answers, _ = asked(model, b"", "-", str(photos / "a.png"))
    assert code == 0
    assert [label for _, label, _ in answers] == [None, "rouge"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["-", "-"], "among the inputs twice"),
        (["-", "--evaluate"], "needs the folders"),
        (["-", "nowhere.png"], "no file or folder"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(model: Path, inputs: list[str], message: str) -> None:
    code, answers, told = asked(model, encoded("PNG"), *inputs)
    assert (code, answers) == (2, [])
    assert message in told


def test_a_terminal_is_wrong_usage(model: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "autotl", "predict", str(model), "-"]
    done = subprocess.run(
        command, stdin=theirs, capture_output=True, timeout=60, env=os.environ, check=False
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2
    assert b"which is a terminal" in done.stderr
    assert b"find photos" in done.stderr


def test_a_closed_input_is_wrong_usage(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert run(["predict", str(model), "-"]) == 2
    assert "which is closed" in capsys.readouterr().err


def test_help_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "An INPUT of - is the standard input" in told
    assert "./-" in told


def test_answers_come_before_a_long_list_ends(model: Path, photos: Path) -> None:
    """A writer that keeps the pipe open reads the first answers meanwhile."""
    command = [sys.executable, "-m", "autotl", "predict", str(model), "-", "--json"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{photos}/a.png\n".encode() * 200)
        process.stdin.flush()
        first = json.loads(process.stdout.readline())
        assert first["label"] == "rouge"
        process.stdin.close()
        assert len(process.stdout.readlines()) == 199
    assert process.returncode == 0


class Endless(io.RawIOBase):
    """A stream of names without an end."""

    def __init__(self) -> None:
        self.given = 0

    def read1(self, size: int) -> bytes:
        self.given += size
        return (b"some/long/name.png\n" * (size // 19 + 1))[: size // 19 * 19]


def test_a_list_is_taken_no_further_than_it_is_wanted() -> None:
    stream: Any = Endless()
    found: Iterator[Any] = iter(with_standard_input(["-"], stream))
    assert [next(found)[0] for _ in range(5)] == ["some/long/name.png"] * 5
    assert stream.given <= 2 * 65_536
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(100_000):
        next(found)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


def test_a_line_without_an_end_is_one_bad_name() -> None:
    text = b"x" * 5_000_000 + b"\nb.png\n"
    found = list(with_standard_input(["-"], io.BytesIO(text)))
    assert [name for name, _ in found] == ["x" * 256, "b.png"]


@given(
    names=some.lists(
        some.text(some.characters(exclude_characters="\0", codec="utf-8"), min_size=1)
    ),
    size=some.integers(1, 9),
)
def test_any_names_come_back_however_the_pipe_parts_them(names: list[str], size: int) -> None:
    content = "".join(f"nowhere/{name}\0" for name in names).encode()

    class Piecemeal(io.BytesIO):
        def read1(self, _: int | None = -1) -> bytes:
            return self.read(size)

    found = [name for name, _ in with_standard_input(["-"], Piecemeal(content))]
    assert found == ([f"nowhere/{name}"[:256] for name in names] or ["-"])


def test_twice_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match="twice"):
        with_standard_input(["-", "-"], io.BytesIO(b""))
