"""OpenVINO's import: by itself it would send usage figures over the network and write to the home.

`openvino_telemetry` does so where it can be imported; OpenVINO does without it where it cannot.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def imported() -> Any:
    """The module `openvino`; where it is imported for the first time, without its telemetry."""
    if "openvino" not in sys.modules:
        # None is what makes Python say that there is no such module
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return import_module("openvino")
