"""`.npz` files whose arrays do not fit each other, or are no images and classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.bad.case import LOADS, Case
from tests.images import arrays

IMAGES, LABELS = arrays(2, 8, size=(8, 8))
ODD = [None] * 16
NAMES = [f"{place}.png" for place in range(16)]
SOFT = np.linspace(0.2, 0.8, 32).reshape(16, 2)
SEVERAL = np.ones((16, 2), int)
BROKEN_ROW = np.where(np.arange(16)[:, None, None, None] == 3, np.nan, IMAGES / 255.0)


def _archive(folder: Path, arrays_of: Callable[[], dict[str, Any]], command: str) -> Sequence[str]:
    path = folder / "data.npz"
    np.savez(path, **arrays_of())
    return [command, str(path), *(["--verbose"] if command == "inspect" else [])]


def _case(name: str, says: Sequence[str], *, loads: bool = False, **given: Any) -> Case:
    """The archive with sound images and labels, but for what is given; None leaves a name out."""
    found = {"images": IMAGES, "labels": LABELS} | given
    kept = {key: value for key, value in found.items() if value is not None}
    command = "inspect" if loads else "fit"
    return Case(
        name=f"arrays-{name}",
        make=partial(_archive, arrays_of=lambda: kept, command=command),
        outcome=LOADS if loads else 3,
        says=tuple(says),
    )


CASES: tuple[Case, ...] = (
    _case(
        "without-labels", ["do not say", r"images: uint8 \(16, 8, 8, 3\)", "x_train"], labels=None
    ),
    _case("without-images", ["do not say", "Expected"], images=None),
    _case(
        "of-other-names", ["do not say", "foo"], images=None, labels=None, foo=IMAGES, bar=LABELS
    ),
    _case("two-for-the-images", ["Two arrays give the images"], x=IMAGES),
    _case("fewer-labels", ["16 images but 15 labels"], labels=LABELS[:15]),
    _case("no-image", ["no example"], images=IMAGES[:0], labels=LABELS[:0]),
    _case("one-class", ["one class, '0'"], labels=np.zeros(16, int)),
    _case("flat", [r"\(16, 192\)", "height, width"], images=IMAGES.reshape(16, -1)),
    _case("channels-first", [r"\(16, 3, 8, 8\)"], images=IMAGES.transpose(0, 3, 1, 2)),
    _case("two-channels", [r"\(16, 8, 8, 2\)"], images=IMAGES[..., :2]),
    _case("of-no-height", [r"\(16, 0, 8, 3\)|empty"], images=IMAGES[:, :0]),
    _case("scalar", ["shape"], images=np.array(3), labels=np.array(1)),
    _case("of-text", ["<U1"], images=np.full((16, 4, 4), "x")),
    _case("complex", ["complex"], images=IMAGES.astype(complex)),
    _case("of-dates", ["datetime"], labels=LABELS.astype("datetime64[s]")),
    _case("with-nan", ["not finite"], images=BROKEN_ROW),
    _case("infinite", ["not finite"], images=np.where(IMAGES > 200, np.inf, IMAGES)),
    _case("negative", ["negative ones are no pixels", "Undo"], images=IMAGES / 127.5 - 1),
    _case("beyond-16-bits", ["neither 0 to 1 nor 0 to 255"], images=IMAGES * 1e9),
    _case("labels-with-fractions", ["regression", "whole numbers"], labels=LABELS + 0.5),
    _case("labels-nan", ["nan", "classes"], labels=np.where(LABELS > 0, np.nan, 0.0)),
    _case("labels-soft", ["soft targets"], labels=SOFT),
    _case("labels-several", ["multi-label"], labels=SEVERAL),
    _case("labels-of-three-sides", [r"\(16, 2, 2\)"], labels=np.zeros((16, 2, 2), int)),
    _case("labels-all-different", ["16 of 16 classes have one", "regression"], labels=range(16)),
    _case("class-name-twice", ["class name occurs twice"], classes=["cat", "cat"]),
    _case("too-few-class-names", ["from 0 to 1", "1 class names"], classes=["cat"]),
    _case(
        "label-that-is-no-class",
        ["'owl' is none of the 2"],
        labels=["cat", "owl"] * 8,
        classes=["cat", "dog"],
    ),
    _case("fewer-groups", ["16 images but 3 groups"], groups=["a"] * 3),
    _case("unknown-split", ["no split 'practice'", "train"], splits=["practice"] * 16),
    _case("no-training-split", ["no training examples"], splits=["test"] * 16),
    _case("fewer-splits", ["16 images but 3 splits"], splits=["train"] * 3),
    _case("objects", ["data.npz cannot be read", "pickle", "plain arrays"], images=np.array(ODD)),
    _case("files-by-name", ["<U6"], images=NAMES),
    _case("labels-of-text", ["2 classes"], loads=True, labels=["cat", "Cat "] * 8),
    _case("labels-of-bytes", ["2 classes"], loads=True, labels=np.array([b"caf\xe9", b"dog"] * 8)),
    _case("labels-one-hot", ["2 classes"], loads=True, labels=np.eye(2)[LABELS]),
    _case("labels-in-a-column", ["2 classes"], loads=True, labels=LABELS[:, None]),
    _case("nearly-in-range", ["little outside 0 to 1"], loads=True, images=IMAGES / 250),
    _case("of-16-bits", ["16 bits were made 8"], loads=True, images=IMAGES.astype(np.uint16) * 257),
    _case("with-an-array-more", ["extra"], loads=True, extra=np.zeros(3)),
)
