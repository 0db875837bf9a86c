"""Backbone, head and preprocessing put together as Keras models, and cut at a boundary.

Runs in a worker; keras is imported inside the functions. Every model made from one `net` (a
backbone's own graph) shares its layers, and so its weights and its `trainable` flags: `trainable`
sets the flags of `net` anew, so a net serves one training at a time.

Batch norm: layers of pretrained stages get `trainable = False`, which in Keras means inference
mode (moving statistics are used and kept) and fixed gamma and beta, whatever `training` the model
is called with, also after saving and loading. Passing `training=False` to a nested model does not
do this: Keras lets the outer call's `training` override it. In a recipe with random weights,
batch norm trains as usual. So `model(x, training=True)` is always the right call in training.
"""

from __future__ import annotations

from autotl.model.assembly import (
    BACKBONE,
    HEAD,
    HIDDEN,
    LOGITS,
    STANDARDISE,
    after_pooling,
    check,
    full,
    head_alone,
    head_only,
    prepare,
    set_flags,
    trainable,
)
from autotl.model.cuts import (
    below,
    build,
    count_above,
    cut_problem,
    layers_up_to,
    outputs,
    stage_shapes,
)
from autotl.model.weights import (
    load_trained,
    predict_pixels,
    read_standard,
    save_final,
    save_trained,
    write_probabilities,
)

__all__ = [
    "BACKBONE",
    "HEAD",
    "HIDDEN",
    "LOGITS",
    "STANDARDISE",
    "after_pooling",
    "below",
    "build",
    "check",
    "count_above",
    "cut_problem",
    "full",
    "head_alone",
    "head_only",
    "layers_up_to",
    "load_trained",
    "outputs",
    "predict_pixels",
    "prepare",
    "read_standard",
    "save_final",
    "save_trained",
    "set_flags",
    "stage_shapes",
    "trainable",
    "write_probabilities",
]
