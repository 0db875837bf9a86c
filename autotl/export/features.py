"""What a model's head reads, as an output beside its probabilities: the embedding of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autotl.errors import ParityError
from autotl.model import HEAD

if TYPE_CHECKING:
    import keras


def with_features(model: keras.Model) -> keras.Model:
    """The whole model with two outputs: probabilities (batch, classes), and the pooled outputs of
    its taps side by side, float32 (batch, features), which its head reads.

    Raises `ParityError` where it has no such head.
    """
    import keras

    names = [layer.name for layer in model.layers]
    place = names.index(HEAD) if HEAD in names else 0
    before = model.layers[place - 1].output if place else None
    if before is None or tuple(before.shape[1:]) != tuple(model.layers[place].input_shape[1:]):
        raise ParityError(
            "The model has no head whose input could be given as an embedding.",
            hint="Export it without an embedding.",
        )
    return keras.Model(model.input, [model.output, before], name=model.name)
