"""A backbone's network: built, checked, and cut into parts at its stages."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotl.errors import PluginError
from autotl.records import LocatedBackbone

if TYPE_CHECKING:
    import keras


def build(located: LocatedBackbone, *, pretrained: bool, seed: int) -> keras.Model:
    """The backbone's network: preprocessed float32 (batch, size, size, 3) → last stage's map.

    With `pretrained` the located weights are loaded, else the weights are random, from `seed`
    (which becomes the seed of keras, NumPy and `random` in this process). Raises `PluginError`
    when the plugin cannot build it, the weights do not fit, or a stage is not a single-tensor cut.
    """
    import keras

    backbone = located.backbone
    if pretrained and located.weights is None:
        raise PluginError(f"no pretrained weights of {backbone.name} were found on this machine")
    weights = Path(located.weights) if pretrained and located.weights else None
    keras.utils.set_random_seed(seed)
    try:
        net = _function(backbone.build)(located.input_size, weights)
    except Exception as error:
        if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
            raise  # the worker tells lack of memory by these two
        raise PluginError(
            f"backbone {backbone.name} of {located.distribution} could not be built: {error}",
            details=(f"build={backbone.build}", f"weights={weights}"),
        ) from error
    problem = cut_problem(net, backbone.stages, located.input_size)
    if problem:
        raise PluginError(f"backbone {backbone.name} of {located.distribution}: {problem}")
    return _unwrapped(net)


def _unwrapped(net: keras.Model) -> keras.Model:
    """The network with a tensor, not a list of one, as its input (some applications give that)."""
    import keras

    if net.input is net.inputs[0]:
        return net
    return keras.Model(net.inputs[0], net.outputs[0], name=net.name)


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def cut_problem(net: Any, stages: Sequence[str], input_size: int) -> str:
    """What keeps `stages` from being ordered single-tensor cuts of `net`; empty if nothing does."""
    import keras

    if not isinstance(net, keras.Model):
        return f"`build` returned {type(net).__name__}, not a keras.Model"
    if len(net.inputs) != 1 or len(net.outputs) != 1:
        return "the network must have one input and one output"
    if tuple(net.input_shape[1:]) != (input_size, input_size, 3):
        return f"the input is {net.input_shape[1:]}, not ({input_size}, {input_size}, 3)"
    missing = [name for name in stages if name not in {layer.name for layer in net.layers}]
    if missing or not stages:
        return f"no layer is named {', '.join(missing)}" if missing else "it has no stages"
    if net.get_layer(stages[-1]).output is not net.outputs[0]:
        return f"the output is not that of the last stage, {stages[-1]}"
    return _disorder(net, stages)


def _disorder(net: keras.Model, stages: Sequence[str]) -> str:
    before = net.inputs[0]
    for name in stages:
        after = net.get_layer(name).output
        if isinstance(after, (list, tuple, dict)) or len(after.shape) != 4:
            return f"stage {name} is not one tensor (batch, height, width, channels)"
        if id(net.inputs[0]) in _reached(net, net.outputs[0], after):
            return f"stage {name} is not a cut: a path from input to output goes past it"
        if id(before) not in _reached(net, after, None):
            return f"stage {name} does not come after the stage named before it"
        before = after
    return ""


def _reached(net: keras.Model, start: Any, stop: Any) -> set[int]:
    """Ids of the tensors that lead to `start`, it included, without going past `stop`."""
    import keras

    made_by = {id(t): op for op in net.operations for t in keras.tree.flatten(op.output)}
    seen: set[int] = set()
    open_ = [start]
    while open_:
        tensor = open_.pop()
        if id(tensor) in seen or tensor is stop:
            continue
        seen.add(id(tensor))
        operation = made_by[id(tensor)]
        if not isinstance(operation, keras.layers.InputLayer):
            open_ += keras.tree.flatten(operation.input)
    return seen


def layers_up_to(net: keras.Model, stages: Sequence[str], stage: int) -> set[str]:
    """Names of the layers that stage `stage` (1-based; 0: none) is computed from, it included."""
    import keras

    if stage == 0:
        return set()
    reached = _reached(net, net.get_layer(stages[stage - 1]).output, None)
    return {
        layer.name
        for layer in net.layers
        if any(id(t) in reached for t in keras.tree.flatten(layer.output))
    }


def count_above(net: keras.Model, stages: Sequence[str]) -> tuple[int, ...]:
    """Parameters (batch norm statistics included) above each boundary k = 0 .. len(stages)."""
    sizes = {layer.name: layer.count_params() for layer in net.layers}
    below_k = (layers_up_to(net, stages, k) for k in range(len(stages) + 1))
    return tuple(sum(n for name, n in sizes.items() if name not in names) for names in below_k)


def stage_shapes(net: keras.Model, stages: Sequence[str]) -> tuple[tuple[int, int, int], ...]:
    """(height, width, channels) of each stage's output."""
    return tuple(tuple(net.get_layer(name).output.shape[1:]) for name in stages)


def below(net: keras.Model, stages: Sequence[str], k: int) -> keras.Model:
    """Preprocessed input → output of stage `k` (1-based, k >= 1)."""
    return part(net, stages, 0, (k,), name="below")[0]


def outputs(
    net: keras.Model, stages: Sequence[str], wants: Sequence[tuple[int, bool]]
) -> keras.Model:
    """Preprocessed input → the output of each wanted (stage, pooled).

    A list of tensors, or the tensor itself where one is wanted (Keras unwraps a list of one);
    pooled ones are averaged over height and width: (batch, channels).
    """
    import keras

    tensors = [net.get_layer(stages[stage - 1]).output for stage, _ in wants]
    pool = keras.layers.GlobalAveragePooling2D
    return keras.Model(
        net.input,
        [pool()(t) if pooled else t for t, (_, pooled) in zip(tensors, wants, strict=True)],
        name="outputs",
    )


def part(
    net: keras.Model, stages: Sequence[str], k: int, taps: Sequence[int], *, name: str
) -> tuple[keras.Model, tuple[int, ...]]:
    """Stage k's output (k = 0: the input) → the taps' outputs, and the shape that goes in."""
    import keras

    start = net.get_layer(stages[k - 1]).output if k else net.input
    ends = [net.get_layer(stages[tap - 1]).output for tap in taps]
    model = keras.Model(start, ends[0] if len(ends) == 1 else ends, name=name)
    return model, tuple(start.shape[1:])
