"""The built-in data `digits`: 1,797 handwritten digits of 8 × 8 pixels, packed in scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autotl.hookspecs import hookimpl
from autotl.records import Dataset, Loader

NAME = "digits"
LARGEST = 16
"""The largest grey value in the file; 0 to 16 is spread over 0 to 255."""


def matches(data: Any, options: Mapping[str, Any]) -> str | None:
    """Why `data` means the built-in digits; a file or folder of that name wins over them."""
    if not isinstance(data, str) or data.casefold() != NAME or Path(data).exists():
        return None
    return f"'{NAME}' is the name of data that comes with scikit-learn"


def load(data: Any, options: Mapping[str, Any]) -> Dataset:
    """The digits as grey uint8 pixels (8, 8), in the order of scikit-learn's file."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / LARGEST)).astype(np.uint8)
    return Dataset(
        kind="image",
        ids=tuple(f"{NAME}/{row:04d}" for row in range(len(pixels))),
        labels=tuple(int(label) for label in bunch.target),
        classes=tuple(str(name) for name in bunch.target_names),
        read=lambda row: pixels[row],
    )


@hookimpl
def autotl_loaders() -> list[Loader]:
    """The loader `digits`."""
    return [
        Loader(
            name=NAME,
            description="the word 'digits': 1,797 small handwritten digits, for a first try",
            matches=matches,
            load=load,
        )
    ]
