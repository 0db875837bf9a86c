"""Whole models as `fit` saves them, of weights that were not trained: called in a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SEED = 5


def save(spec: dict[str, Any], progress: Any) -> dict[str, Any]:
    """Write a recipe's model to `out` by way of a trial's weights, as the engine does.

    `spec`: located, recipe, classes, pixels (`.npy` of uint8 (n, size, size, 3), of which the
    head's standardisation is taken), weights (a path that is written), temperature, out.
    """
    from autotl import model
    from autotl.records import LocatedBackbone, Recipe, from_json

    located = from_json(LocatedBackbone, spec["located"])
    recipe = from_json(Recipe, spec["recipe"])
    stages = located.backbone.stages
    net = model.build(located, pretrained=recipe.pretrained, seed=SEED)
    prepared = model.prepare(np.load(spec["pixels"]), located.preprocessing)
    if not recipe.pretrained:
        shake(net, prepared)
    outputs = model.outputs(net, stages, [(tap, True) for tap in recipe.taps])
    pooled = outputs(prepared, training=False)
    features = np.concatenate([np.asarray(one) for one in _listed(pooled)], axis=1)
    standard = features.mean(axis=0), features.std(axis=0)
    trained = model.trainable(net, stages, recipe, spec["classes"], standard=standard, seed=SEED)
    model.save_trained(trained, Path(spec["weights"]), standard)
    return model.save_final({**spec, "seed": SEED}, progress)


def _listed(pooled: Any) -> list[Any]:
    return pooled if isinstance(pooled, list) else [pooled]


def shake(net: Any, prepared: Any) -> None:
    """Weights as those of a trained network: factors of every normalisation apart from each other,
    statistics of batch norm close to those of `prepared`, so that images stay apart up to the end.
    """
    import keras

    draw = np.random.default_rng(SEED)
    norms = [one for one in net.layers if isinstance(one, keras.layers.BatchNormalization)]
    for name, low, high in (("gamma", 0.5, 1.5), ("beta", -0.2, 0.2)):
        _assign(net, name, lambda shape, low=low, high=high: draw.uniform(low, high, shape))
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    net(prepared, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
        variance = np.asarray(layer.moving_variance)
        layer.moving_variance.assign(variance * draw.uniform(0.8, 1.25, variance.shape))


def _assign(net: Any, name: str, values: Any) -> None:
    for variable in net.weights:
        if variable.name == name:
            variable.assign(values(variable.shape).astype("float32"))
