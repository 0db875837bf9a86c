"""The final model in the forms that servers run, each held against the Keras model by the gate.

A format is a function that fills an empty folder and gives what `gate.hold` gives of it; it raises
`ParityError` where what it made is not the model that was trained. `FORMATS` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from autotl.calls import Progress
from autotl.errors import UsageError
from autotl.export.formats import openvino, saved_model, triton
from autotl.export.formats.source import Source
from autotl.export.gate import Checked
from autotl.request import one_of

if TYPE_CHECKING:
    from autotl.worker import Worker

__all__ = ["FORMATS", "Format", "Source", "format_named"]

Maker = Callable[[Source, Path, "Worker", Progress | None], Checked]


@dataclass(frozen=True, kw_only=True)
class Format:
    """What makes a format, and the distribution it cannot do without, which is also the name of
    the module to import; an extra of ours that bears the format's name brings it.
    """

    name: str
    make: Maker
    needs: str = ""

    def versions(self) -> dict[str, str]:
        """The version of that distribution by its name, where it bears it."""
        try:
            return {self.needs: metadata.version(self.needs)} if self.needs else {}
        except metadata.PackageNotFoundError:  # a build of another name
            return {}


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format(name="openvino", make=openvino.make, needs="openvino"),
        Format(name="saved-model", make=saved_model.make),
        Format(name="triton", make=triton.make, needs="tritonclient"),
    )
}


def format_named(name: str) -> Format:
    """The format of that name; raises `UsageError` for an unknown one, or where what it needs is
    not installed.
    """
    found = FORMATS[one_of(name, tuple(FORMATS), "format")]
    if found.needs and find_spec(found.needs) is None:
        raise UsageError(
            f"The format {found.name} needs {found.needs}, which is not installed.",
            hint=f"pip install '.[{found.name}]' in a checkout of autotl",
        )
    return found
