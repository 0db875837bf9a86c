"""An exported file in onnxruntime, as the gate asks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autotl import modelfile
from autotl.errors import ParityError, UsageError
from autotl.export import structure
from autotl.export.asking import Answer, Candidate, Pixels
from autotl.export.graph import EMBEDDING, IMAGE, LABEL, PIXELS, PROBABILITIES

if TYPE_CHECKING:
    import onnxruntime


def candidate(path: Path, classes: Sequence[str], features: int | None = None) -> Candidate:
    """The file with onnxruntime's default optimisations, and without any as the second way.

    `features` is the length of the embedding that it gives, or None. Raises `ParityError` where it
    does not load or has another signature than the declared one.
    """
    session = open_session(path)
    _check_signature(session, len(classes), features)
    front = open_session(front_of(path))
    return Candidate(
        answer=answerer(session),
        resized=lambda images: _first(front.run([PIXELS], {IMAGE: images})),
        plain=answerer(open_session(path, optimised=False)),
        embedding=None
        if features is None
        else lambda images: _first(session.run([EMBEDDING], {IMAGE: images})),
    )


def version() -> str:
    """The version of onnxruntime that runs here."""
    import onnxruntime

    return str(onnxruntime.__version__)


def open_session(model: Path | bytes, *, optimised: bool = True) -> onnxruntime.InferenceSession:
    """An onnxruntime session on the processor; raises `ParityError` where it does not load."""
    try:
        return modelfile.open_session(model, optimised=optimised)
    except UsageError as error:
        raise ParityError(
            "onnxruntime does not load the exported model.", details=error.details
        ) from error


def answerer(session: onnxruntime.InferenceSession) -> Callable[[Pixels], Answer]:
    """What asks a session; the callable raises `ParityError` where the model fails."""

    def answer(images: Pixels) -> Answer:
        try:
            probabilities, labels = session.run([PROBABILITIES, LABEL], {IMAGE: images})
        except Exception as error:  # onnxruntime's own exceptions have no common base
            raise ParityError(
                f"The exported model fails on images of shape {images.shape}.",
                details=tuple(str(error).splitlines()[:5]),
            ) from error
        return probabilities, labels

    return answer


def front_of(path: Path) -> bytes:
    """The part of the file from the image to the resized pixels, as a model of its own."""
    import onnx
    from onnx.utils import Extractor

    try:
        model = onnx.load_model(path, load_external_data=False)
        part = Extractor(model).extract_model([IMAGE], [PIXELS])
    except (KeyError, ValueError) as error:
        raise ParityError("The exported model has no resize of its own.") from error
    content: bytes = part.SerializeToString()
    return content


def _first(outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return outputs[0]


def _check_signature(
    session: onnxruntime.InferenceSession, classes: int, features: int | None
) -> None:
    found = tuple(
        tuple((value.name, value.type, tuple(value.shape)) for value in values)
        for values in (session.get_inputs(), session.get_outputs())
    )
    if found != structure.declared(classes, features):
        raise ParityError(
            "onnxruntime sees other inputs or outputs than the declared ones.",
            details=(f"found: {found}",),
        )
