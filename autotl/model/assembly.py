"""Backbone, head and preprocessing put together: what a trial trains, and the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autotl.model.cuts import layers_up_to, part
from autotl.records import Preprocessing, Recipe

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    Standard = tuple[NDArray[np.float32], NDArray[np.float32]]

BACKBONE = "backbone"
HEAD = "head"
LOGITS = "logits"
STANDARDISE = "standardise"
HIDDEN = "hidden"


def head_only(recipe: Recipe) -> bool:
    """Whether the recipe trains nothing but the head (all taps lie at or below the boundary)."""
    return recipe.boundary >= max(recipe.taps)


def check(recipe: Recipe, stages: Sequence[str]) -> None:
    """Raise ValueError unless boundary, last trained stage and taps fit each other."""
    n, k, taps = len(stages), recipe.boundary, recipe.taps
    if not taps or not all(1 <= tap <= n for tap in taps) or list(taps) != sorted(set(taps)):
        raise ValueError(f"taps {taps} are not rising stage numbers within 1..{n}")
    if head_only(recipe):
        return
    if not 0 <= k < min(taps):
        raise ValueError(f"taps {taps} must lie above boundary {k}")
    if not k < recipe.last <= max(taps):
        raise ValueError(f"last trained stage {recipe.last} must lie within {k + 1}..{max(taps)}")


def trainable(
    net: keras.Model,
    stages: Sequence[str],
    recipe: Recipe,
    classes: int,
    *,
    standard: Standard | None = None,
    seed: int,
) -> keras.Model:
    """The model that a trial trains, to float32 logits (batch, classes).

    Input: the stored float output of stage `recipe.boundary`; for boundary 0 the preprocessed
    float32 image; where only the head is trained, the taps' averaged outputs side by side
    (batch, features). `standard` is (mean, deviation), each (features,), taken off and divided
    by before the head (a deviation of 0 counts as 1). Layers "backbone" (absent where only the
    head is trained) and "head" are models; `trainable` flags of `net` are set as the recipe says.
    Raises ValueError as `check`.
    """
    import keras

    check(recipe, stages)
    set_flags(net, stages, recipe)
    features = sum(net.get_layer(stages[tap - 1]).output.shape[-1] for tap in recipe.taps)
    if head_only(recipe):
        return head_alone(recipe, features, classes, standard=standard, seed=seed)
    head = _head(recipe, features, classes, standard=standard, seed=seed)
    body, shape = part(net, stages, recipe.boundary, recipe.taps, name=BACKBONE)
    inputs = keras.Input(shape, name="stored", dtype="float32")
    return keras.Model(inputs, head(_pooled(body(inputs))), name="trainable")


def head_alone(
    recipe: Recipe, features: int, classes: int, *, standard: Standard | None = None, seed: int
) -> keras.Model:
    """What `trainable` gives where only the head is trained; no network is needed for it."""
    import keras

    head = _head(recipe, features, classes, standard=standard, seed=seed)
    inputs = keras.Input((features,), name="features", dtype="float32")
    return keras.Model(inputs, head(inputs), name="trainable")


def set_flags(net: keras.Model, stages: Sequence[str], recipe: Recipe) -> None:
    """Set `trainable` of each layer: stages boundary+1..last, without pretrained batch norm."""
    import keras

    above = set() if head_only(recipe) else layers_up_to(net, stages, recipe.last)
    trained = above - layers_up_to(net, stages, recipe.boundary)
    for layer in net.layers:
        fixed = recipe.pretrained and isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = layer.name in trained and not fixed


def _pooled(maps: Any) -> Any:
    import keras

    pooled = [keras.layers.GlobalAveragePooling2D()(x) for x in keras.tree.flatten(maps)]
    return pooled[0] if len(pooled) == 1 else keras.layers.Concatenate()(pooled)


def _head(
    recipe: Recipe, features: int, classes: int, *, standard: Standard | None, seed: int
) -> keras.Model:
    import keras

    layers = keras.layers
    mean, deviation = standard or (np.zeros(features, "f4"), np.ones(features, "f4"))
    safe = np.where(deviation > 0, deviation, np.float32(1))
    inputs = keras.Input((features,), name="pooled", dtype="float32")
    x = layers.Normalization(
        mean=mean,
        variance=np.square(safe),
        name=STANDARDISE,
    )(inputs)
    if recipe.head.hidden:
        start = keras.initializers.HeNormal(seed=seed)
        x = layers.Dense(
            recipe.head.hidden, activation="relu", kernel_initializer=start, name=HIDDEN
        )(x)
    if recipe.head.dropout:
        x = layers.Dropout(recipe.head.dropout, seed=seed + 1, name="dropout")(x)
    start = keras.initializers.GlorotUniform(seed=seed + 2)
    x = layers.Dense(classes, kernel_initializer=start, name=LOGITS)(x)
    return keras.Model(inputs, x, name=HEAD)


def full(
    net: keras.Model,
    stages: Sequence[str],
    recipe: Recipe,
    trained: keras.Model,
    preprocessing: Preprocessing,
    temperature: float = 1.0,
) -> keras.Model:
    """Pixels (batch, size, size, 3), float32 with values 0..255 → float32 probabilities.

    Built from the model that `trainable` gave for the same `net` and recipe, sharing its layers;
    preprocessing, and division of the logits by `temperature`, are layers inside.
    """
    import keras

    size = preprocessing.size
    pixels = keras.Input((size, size, 3), name="pixels", dtype="float32")
    body, _ = part(net, stages, 0, recipe.taps, name=BACKBONE)
    logits = trained.get_layer(HEAD)(_pooled(body(_preprocessed(pixels, preprocessing))))
    logits = keras.layers.Rescaling(1.0 / temperature, name="temperature")(logits)
    probabilities = keras.layers.Softmax(name="probabilities")(logits)
    return keras.Model(pixels, probabilities, name="autotl")


def after_pooling(whole: keras.Model) -> keras.Model:
    """The upper part of what `full` gave: the taps' averaged outputs side by side, float32 (batch,
    features) → probabilities.
    """
    import keras

    head = whole.get_layer(HEAD)
    features = keras.Input(head.input_shape[1:], name="features", dtype="float32")
    logits = whole.get_layer("temperature")(head(features))
    return keras.Model(features, whole.get_layer("probabilities")(logits), name="after_pooling")


def _factors(preprocessing: Preprocessing) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(a, b) of pixel * a + b, each (3,), in the backbone's channel order."""
    deviation = np.asarray(preprocessing.deviation, np.float64)
    mean = np.asarray(preprocessing.mean, np.float64)
    scale, offset = preprocessing.scale / deviation, -mean / deviation
    return scale.astype(np.float32), offset.astype(np.float32)


def _preprocessed(pixels: Any, preprocessing: Preprocessing) -> Any:
    import keras

    if preprocessing.channels == "BGR":
        pixels = keras.ops.take(pixels, [2, 1, 0], axis=-1)
    scale, offset = (factor.tolist() for factor in _factors(preprocessing))
    return keras.layers.Rescaling(scale, offset, name="preprocess")(pixels)


def prepare(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Resized RGB pixels (n, size, size, 3) uint8 → what the backbone takes, float32."""
    if preprocessing.channels == "BGR":
        pixels = pixels[..., ::-1]
    scale, offset = _factors(preprocessing)
    prepared = pixels.astype(np.float32)
    # one number for all channels is several times faster than three
    alike = len(set(scale)) == len(set(offset)) == 1
    prepared *= scale[0] if alike else scale
    prepared += offset[0] if alike else offset
    return prepared
