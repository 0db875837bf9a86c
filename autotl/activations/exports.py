"""Whether a backbone can be exported to ONNX: shown before anything is trained, once a machine.

What was shown is an entry of the store, known by the backbone's graph and by the versions of what
converts it; weights and input size change nothing about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl import modelfile
from autotl.activations import store
from autotl.activations.identity import identity
from autotl.calls import Progress
from autotl.errors import ParityError, UsageError
from autotl.records import LocatedBackbone, from_json

if TYPE_CHECKING:
    import keras
    import onnxruntime

SHOW = "autotl.activations.exports:show"

VERSION = 1
SUFFIX = ".txt"
AGREEMENT = 1e-3
"""Largest difference of a faithful graph, as a share of the output's standard deviation, of a
network that responds little; of others, so many times their response to a relative 1e-6."""
TIMES_RESPONSE = 10.0
OPTIMISED, PLAIN = "with its optimisations", "without optimisations"


def shown(located: LocatedBackbone, folder: Path) -> bool:
    """Whether the store knows that the backbone can be exported."""
    return store.find(folder, _key(located), SUFFIX) is not None


def show(spec: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """In a worker: convert the backbone with random weights, have onnxruntime load it, and keep in
    the store that it can be done.

    `spec`: located (JSON of `LocatedBackbone`), folder (the store's). Raises `ParityError` that
    names what cannot be converted or says why it is not loaded.
    """
    from autotl import model

    located, folder = from_json(LocatedBackbone, spec["located"]), Path(spec["folder"])
    progress("converting the backbone", 0, 1)
    net = model.build(located, pretrained=False, seed=1)
    _session(net, _graph(net))
    with store.holding():
        store.make(folder, _key(located), _write, SUFFIX)
    progress("converting the backbone", 1, 1)
    return {"name": located.backbone.name}


def problem(net: keras.Model, prepared: NDArray[np.float32]) -> str:
    """What keeps a network's ONNX graph from being the network on these inputs (n, size, size, 3);
    empty if nothing does.
    """
    import keras

    try:
        graph = _graph(net)
        sessions = {what: _session(net, graph, what) for what in (OPTIMISED, PLAIN)}
    except ParityError as error:
        return error.message
    with keras.device("cpu:0"):
        expected = np.asarray(net(prepared, training=False))
        signs = np.where(np.arange(prepared.size).reshape(prepared.shape) % 2, 1, -1)
        changed = (prepared * (1 + 1e-6 * signs)).astype(np.float32)
        response = float(np.abs(np.asarray(net(changed, training=False)) - expected).max())
    allowed = max(AGREEMENT * float(expected.std()), TIMES_RESPONSE * response)
    for what, session in sessions.items():
        (found,) = session.run(None, {"given": prepared})
        apart = float(np.abs(found - expected).max())
        if not apart <= allowed:
            return f"onnxruntime {what} and Keras differ by {apart:.2g}, allowed: {allowed:.2g}"
    return ""


def _graph(net: keras.Model) -> bytes:
    from autotl import convert

    proto = convert.to_onnx(net, input_names=("given",), output_names=("found",))
    return bytes(proto.SerializeToString())


def _session(
    net: keras.Model, graph: bytes, optimised: str = OPTIMISED
) -> onnxruntime.InferenceSession:
    """The graph in onnxruntime; raises `ParityError` where it is not loaded."""
    try:
        return modelfile.open_session(graph, optimised=optimised != PLAIN)
    except UsageError as error:
        why = " ".join(error.details)
        raise ParityError(f"onnxruntime does not load {net.name}: {why}") from error


def _key(located: LocatedBackbone) -> str:
    at_any_size = replace(located, preprocessing=located.backbone.preprocessing)
    return store.key_of("exports", VERSION, identity(at_any_size, pretrained=False, seed=1))


def _write(path: Path) -> None:
    path.write_text("It can be converted to ONNX, and onnxruntime loads it.\n", encoding="utf-8")
