"""An onnxruntime session as we open it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autotl.errors import UsageError

if TYPE_CHECKING:
    import onnxruntime

LOAD_FORMAT = "session.load_model_format"
SPINNING = "session.intra_op.allow_spinning"


def open_session(
    model: Path | bytes, *, optimised: bool = True, spinning: bool = True
) -> onnxruntime.InferenceSession:
    """A session of a file, or of a graph's bytes, on the processor: with all of onnxruntime's
    optimisations, or with none.

    Threads that wait keep the processor busy (`spinning`), as is onnxruntime's way: that makes a
    run of a millisecond up to a fifth faster, and takes the processor from whoever else could use
    it, such as threads that decode. Raises `UsageError` where onnxruntime does not load it. Look
    at a file of unknown origin with `examined` first.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is an error is raised, and not told of twice
    # told by its content a file could be of onnxruntime's own format, which nobody looked at
    options.add_session_config_entry(LOAD_FORMAT, "ONNX")
    options.add_session_config_entry(SPINNING, "1" if spinning else "0")
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # to the same provider, with a remark on standard output
            read_config_from_model=0,
        )
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise UsageError(
            f"onnxruntime cannot load {'the graph' if isinstance(model, bytes) else model}.",
            details=tuple(str(error).splitlines()[:1]),
            hint="Name the model.onnx that `autotl fit` wrote, or its run folder.",
        ) from error
