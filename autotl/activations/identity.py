"""What decides the numbers that a backbone's stages give, as JSON values for keys of the store."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from importlib import metadata
from pathlib import Path
from typing import Any

from autotl.records import LocatedBackbone, to_json

_ENGINES = ("keras", "tensorflow", "tf2onnx", "onnxruntime")


def identity(located: LocatedBackbone, pretrained: bool, seed: int) -> list[Any]:
    """The weights, the graph, and what computes it.

    The graph is known by the name and the source of the module that builds it, and by the
    versions of its distribution and of the libraries that compute: a mended `build` with the same
    weights gives other outputs. The module is found and read, not imported.
    """
    return [
        located.weights_sha256 if pretrained else ["random", seed],
        located.backbone.build,
        list(located.backbone.stages),
        to_json(located.preprocessing),
        _source(located.backbone.build),
        [_version(name) for name in (located.distribution, *_ENGINES)],
    ]


def _source(build: str) -> str | None:
    """SHA-256 of the file of the module in "module:function"; None where it cannot be read."""
    try:
        spec = importlib.util.find_spec(build.partition(":")[0])
        origin = Path(spec.origin).read_bytes() if spec and spec.origin else None
    except Exception:  # finding a module runs its package; building it will say what is wrong
        return None
    return None if origin is None else hashlib.sha256(origin).hexdigest()


@functools.cache
def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
