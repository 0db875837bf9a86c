"""The lines that serve an exported file, put beside it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from autotl.files import write_atomically

NAME = "serve_example.py"


def write_example(folder: Path) -> Path:
    """Write `serve_example.py`, which stands beside this module, into the folder as it is."""
    text = resources.files("autotl.export").joinpath(NAME).read_bytes()

    def write(path: Path) -> None:
        path.write_bytes(text)

    return write_atomically(folder / NAME, write)
