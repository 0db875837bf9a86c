"""Folders laid out wrongly, links that go nowhere or round, things that are no files."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from tests.bad.case import Case, loads, pets, photo, photos, refused


def _texts(root: Path) -> None:
    for name in ("cats", "dogs"):
        (root / name).mkdir()
        (root / name / "notes.txt").write_text("no image")


def _hidden(root: Path) -> None:
    (root / ".DS_Store").write_bytes(b"\0")
    (root / ".git").mkdir()
    (root / ".git" / "cat.png").write_bytes(photo(0, 0))


def _only_split_words(root: Path) -> None:
    for name in ("train", "test"):
        (root / name).mkdir()
        for number in range(4):
            (root / name / f"{number}.png").write_bytes(photo(number % 2, number))


def _splits(*names: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for place, name in enumerate(names):
            photos(root / name, first=10 * place, cats=4, dogs=4)

    return write


def _class_of_test_only(root: Path) -> None:
    photos(root / "train", cats=4, dogs=4)
    photos(root / "test", first=10, cats=4, dogs=4, birds=4)


def _circle(root: Path) -> None:
    pets(root)
    (root / "again").symlink_to(root)
    (root / "cats" / "up").symlink_to("..")


def _only_circles(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "b").symlink_to(root)
    (root / "c").symlink_to(root / "a")


def _itself(root: Path) -> None:
    (pets(root, 30) / "self.png").symlink_to("self.png")


def _each_other(root: Path) -> None:
    (root / "cats").symlink_to("dogs")
    (root / "dogs").symlink_to("cats")


def _broken_link(root: Path) -> None:
    (pets(root, 30) / "gone.png").symlink_to("/nowhere/at/all.png")


def _twice_by_link(root: Path) -> None:
    pets(root)
    (root / "kittens").symlink_to("cats")


def _pipe(root: Path) -> None:
    os.mkfifo(pets(root) / "pipe.png")


def _socket(root: Path) -> None:
    # bound by a relative name: the address of a socket holds 108 bytes
    before = os.open(".", os.O_RDONLY)
    os.chdir(pets(root))
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("socket.png")
    finally:
        os.fchdir(before)
        os.close(before)


def _link_to(target: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        (pets(root, 30) / "odd.png").symlink_to(target)

    return write


def _link_to_pipe(root: Path) -> None:
    os.mkfifo(root.parent / "pipe")
    (pets(root, 30) / "odd.png").symlink_to(root.parent / "pipe")


def _huge(root: Path) -> None:
    (pets(root, 30) / "odd.png").write_bytes(photo(0, 0))
    os.truncate(root / "cats" / "odd.png", 2**40)  # sparse: it takes no disk


def _folder_named_as_image(root: Path) -> None:
    (pets(root) / "cat.jpg").mkdir()


def _closed(*parts: str, mode: int = 0, count: int = 30) -> Callable[[Path], None]:
    """Pets, and one place among them that may not be read."""

    def write(root: Path) -> None:
        pets(root, count)
        root.joinpath(*parts).chmod(mode)

    return write


def _many(count: int) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for name in ("cats", "dogs"):
            (root / name).mkdir()
            folder = os.open(root / name, os.O_RDONLY)
            for number in range(count // 2):
                os.close(os.open(f"{number}.png", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
            os.close(folder)

    return write


def _many_others(root: Path) -> None:
    pets(root)
    for number in range(3_000):
        (root / "cats" / f"{number}.txt").touch()


def _many_classes(root: Path) -> None:
    for number in range(600):
        (root / f"id{number}").mkdir()
        (root / f"id{number}" / "one.png").write_bytes(photo(number % 5, number))


NOT_REGULAR = "set aside: cats/odd.png: .*not a regular file"

CASES: tuple[Case, ...] = (
    refused("empty", lambda root: None, "photos is empty", "one folder a class"),
    refused("hidden-only", _hidden, "photos", r"\.git|hidden|empty", "one folder a class"),
    refused("no-images", _texts, "photos holds nothing", "cats/", "one folder a class"),
    refused(
        "images-directly",
        lambda root: (root / "cat.png").write_bytes(photo(0, 0)),
        "photos holds 1 image directly",
        "DATA/CLASS/IMAGE",
    ),
    refused("one-class", lambda root: photos(root, cats=4), "one class, 'cats'", "two are needed"),
    refused(
        "one-image-a-class",
        lambda root: photos(root, cats=1, dogs=1),
        "'cats'.*'dogs'",
        "one example",
        "Add examples",
    ),
    refused("one-lone-image", lambda root: photos(root, cats=9, dogs=1), "'dogs' has one example"),
    refused("every-image-a-class", _many_classes, "600 of 600 classes have one example"),
    refused("split-without-classes", _only_split_words, "test/.*train/.*directly", "DATA/train/"),
    refused("test-only", _splits("test"), "test/ but no train folder", "Found:"),
    refused("valid-and-test-only", _splits("test", "val"), "but no train folder"),
    refused("two-folders-for-train", _splits("train", "Training"), "all name the train split"),
    refused("class-of-test-only", _class_of_test_only, "No training example of 'birds'", "spelt"),
    refused("two-links-to-each-other", _each_other, "photos", "one folder a class"),
    refused("circles-only", _only_circles, "photos", "one folder a class"),
    refused("many-empty-files", _many(3_000), "3,000 of 3,000", "cats/0.png: .*0 bytes"),
    refused(
        "a-hundred-thousand-empty-files",
        _many(100_000),
        "100,000 of 100,000",
        "cats/0.png: .*0 bytes",
        alone=True,
        slow=True,
    ),
    refused(
        "a-million-empty-files",
        _many(1_000_000),
        "1,000,000 of 1,000,000",
        "cats/0.png: .*0 bytes",
        alone=True,
        slow=True,
    ),
    loads("circle", _circle, "8 examples", "not followed: again/ and cats/up/"),
    loads("link-to-itself", _itself, "set aside: cats/self.png: .*symbolic links"),
    loads("broken-link", _broken_link, "set aside: cats/gone.png: .*No such file"),
    loads("class-twice-by-link", _twice_by_link, "4 images occur under different classes", "kitt"),
    loads("pipe", _pipe, "passed over: 1 .png"),
    loads("socket", _socket, "passed over: 1 .png"),
    loads("link-to-a-pipe", _link_to_pipe, NOT_REGULAR),
    loads("link-to-zeros-without-end", _link_to("/dev/zero"), NOT_REGULAR),
    loads("link-to-nothing", _link_to("/dev/null"), NOT_REGULAR),
    loads("file-of-a-terabyte", _huge, "set aside: cats/odd.png: .*bytes"),
    loads("folder-named-as-an-image", _folder_named_as_image, "8 examples"),
    loads("other-files-beside", _many_others, "passed over: 3000 .txt|passed over: 3,000 .txt"),
    refused(
        "data-may-not-be-listed",
        _closed(),
        "photos cannot be listed: Permission denied",
        "permission",
        unprivileged=True,
    ),
    refused(
        "data-may-not-be-searched",
        _closed(mode=0o644),
        "photos.*Permission denied",
        unprivileged=True,
        outcome=3,
    ),
    refused(
        "class-may-not-be-listed",
        _closed("cats"),
        "photos/cats cannot be listed: Permission denied",
        unprivileged=True,
    ),
    refused(
        "images-may-not-be-read",
        _closed("cats", "00.png", count=8),
        "1 of 16 examples cannot be read",
        "cats/00.png: .*Permission denied",
        unprivileged=True,
    ),
)
