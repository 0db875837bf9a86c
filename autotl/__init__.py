"""autotl: transfer learning that measures first.

The public list, imported on first use: `fit`, `inspect`, `load`, `predict`, `progress`, `resume`,
`verify`, `deliver`, `hookimpl` and the modules `records` and `errors`. Importing `autotl` itself
imports nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autotl import errors, records
    from autotl.cli.console import progress
    from autotl.delivery import deliver, verify
    from autotl.fitted import load
    from autotl.hookspecs import hookimpl
    from autotl.pipeline import fit, inspect, resume
    from autotl.prediction import predict

__version__ = "0.1.0"
__all__ = [
    "deliver",
    "errors",
    "fit",
    "hookimpl",
    "inspect",
    "load",
    "predict",
    "progress",
    "records",
    "resume",
    "verify",
]

_HOMES = {
    "deliver": "autotl.delivery",
    "fit": "autotl.pipeline",
    "inspect": "autotl.pipeline",
    "load": "autotl.fitted",
    "resume": "autotl.pipeline",
    "predict": "autotl.prediction",
    "progress": "autotl.cli.console",
    "verify": "autotl.delivery",
    "hookimpl": "autotl.hookspecs",
}


def __getattr__(name: str) -> Any:
    if name in ("errors", "records"):
        return import_module(f"autotl.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'autotl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
