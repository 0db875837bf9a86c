"""Models and inputs that `predict`, `verify` and `export` cannot use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.bad.case import Case, pets, photo, photos
from tests.crafted import MODELS as HARMFUL
from tests.models import write_foreign, write_model

Write = Callable[[Path], Path]


def _asked(command: str, write: Write) -> Callable[[Path], list[str]]:
    """A command on the model that `write` gives; `predict` also gets images that are sound."""

    def make(folder: Path) -> list[str]:
        model = str(write(folder))
        return [command, model] if command == "verify" else [command, model, str(_photos(folder))]

    return make


def _photos(folder: Path) -> Path:
    pets(folder / "photos")
    return folder / "photos"


def _of_bytes(content: bytes) -> Write:
    def write(folder: Path) -> Path:
        (folder / "model.onnx").write_bytes(content)
        return folder / "model.onnx"

    return write


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "model.onnx")
    return folder / "model.onnx"


def _shut(folder: Path) -> Path:
    path = write_model(folder / "model.onnx")
    path.chmod(0)
    return path


REFUSED: dict[str, tuple[Write, tuple[str, ...]]] = {
    "missing": (lambda folder: folder / "model.onnx", ("There is no model at", "model.onnx")),
    "an-empty-folder": (lambda folder: folder, ("There is no model at", "run folder")),
    "of-no-bytes": (_of_bytes(b""), ("model.onnx", "cannot be opened|no model|card|empty")),
    "text": (_of_bytes(b"this is no model\n" * 9), ("model.onnx cannot be opened|is refused",)),
    "keras": (_of_bytes(b"PK\3\4" + bytes(99)), ("model.onnx cannot be opened|is refused",)),
    "a-pipe": (_pipe, ("model.onnx", "regular file")),
    "foreign": (lambda folder: write_foreign(folder / "model.onnx"), ("no autotl card", "import")),
    "of-a-later-card": (
        lambda folder: write_model(folder / "model.onnx", {"schema": "autotl-card/9"}),
        ("'autotl-card/9'", "Use the version"),
    ),
    **{
        name.replace(" ", "-"): (HARMFUL[name][0], (HARMFUL[name][1], "model.onnx"))
        for name in ("truncated", "nested", "upward", "huge input", "foreign operator", "two cards")
    },
}


def _inputs(name: str, outcome: int, write: Callable[[Path], object], *says: str, **more: object):
    """`predict` with a sound model, on what `write` puts into `new`."""

    def make(folder: Path) -> list[str]:
        model = write_model(folder / "model.onnx")
        write(folder)
        return ["predict", str(model), str(folder / "new"), "--format", "csv"]

    return Case(name=f"predict-{name}", make=make, outcome=outcome, says=says, **more)  # type: ignore[arg-type]


def _broken(whole: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        photos(folder / "new", cats=whole)
        (folder / "new" / "cats").mkdir(exist_ok=True, parents=True)
        for number in range(3):
            (folder / "new" / "cats" / f"bad\x1b{number}.jpg").write_bytes(b"no image")

    return write


def _circles(folder: Path) -> None:
    photos(folder / "new", cats=2)
    (folder / "new" / "cats" / "up").symlink_to("..")
    (folder / "new" / "cats" / "self.png").symlink_to("self.png")


def _pipes(folder: Path) -> None:
    photos(folder / "new", cats=2)
    os.mkfifo(folder / "new" / "pipe.png")
    (folder / "new" / "link.png").symlink_to("/dev/zero")


def _shut_photos(folder: Path) -> None:
    photos(folder / "new", cats=2)
    (folder / "new" / "cats" / "00.png").chmod(0)


def _shut_folder(folder: Path) -> None:
    photos(folder / "new", cats=2)
    (folder / "new").chmod(0)


INPUTS = (
    _inputs("of-nothing", 2, lambda folder: None, "no file or folder", "new"),
    _inputs(
        "of-an-empty-folder", 3, lambda folder: (folder / "new").mkdir(), "no images in", "png"
    ),
    _inputs("of-broken-images", 3, _broken(0), r"bad\\x1b0.jpg: ", "3 of 3 inputs"),
    _inputs("of-some-broken-images", 0, _broken(2), r"bad\\x1b0.jpg: ", "3 of 5 inputs"),
    _inputs("in-circles", 0, _circles),
    _inputs("of-pipes", 0, _pipes),
    _inputs("may-not-be-read", 0, _shut_photos, "Permission denied", unprivileged=True),
    _inputs("folder-may-not-be-listed", 3, _shut_folder, "new", "ermission", unprivileged=True),
)


def _evaluated(folder: Path) -> list[str]:
    return ["predict", str(write_model(folder / "model.onnx")), str(_photos(folder)), "--evaluate"]


def _verified(write: Callable[[Path], Path]) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        return ["verify", str(write_model(folder / "model.onnx")), str(write(folder))]

    return make


def _one_photo(folder: Path) -> Path:
    (folder / "cat.png").write_bytes(photo(0, 0))
    return folder / "cat.png"


CASES: tuple[Case, ...] = (
    *(
        Case(name=f"predict-with-model-{name}", make=_asked("predict", write), outcome=2, says=says)
        for name, (write, says) in REFUSED.items()
    ),
    *(
        Case(
            name=f"verify-model-{name}",
            make=_asked("verify", REFUSED[name][0]),
            outcome=2,
            says=REFUSED[name][1],
        )
        for name in ("missing", "text", "foreign", "truncated")
    ),
    Case(
        name="predict-with-model-that-may-not-be-read",
        make=_asked("predict", _shut),
        outcome=2,
        says=("model.onnx cannot be read: Permission denied",),
        unprivileged=True,
    ),
    *INPUTS,
    Case(
        name="predict-evaluates-other-classes",
        make=_evaluated,
        outcome=3,
        says=("'cats', which is no class", "rouge"),
    ),
    Case(
        name="verify-on-other-classes",
        make=_verified(_photos),
        outcome=3,
        says=("'cats'", "rouge|classes"),
    ),
    Case(
        name="verify-on-nothing",
        make=_verified(lambda folder: folder / "nothing"),
        outcome=3,
        says=("no file or folder", "nothing"),
    ),
    Case(
        name="verify-on-a-photo",
        make=_verified(_one_photo),
        outcome=3,
        says=("no loader reads", "one folder a class"),
    ),
)
