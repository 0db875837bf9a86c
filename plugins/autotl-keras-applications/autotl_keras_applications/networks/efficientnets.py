"""EfficientNet B0 to B7, and V2 B0 to B3, S, M and L."""

from __future__ import annotations

import math

from autotl_keras_applications.networks.row import File, Mode, Network, Sizes, files, spread

OLD_ORIGIN = "https://storage.googleapis.com/keras-applications"
"""Where Keras keeps its files of EfficientNet, but for V2's."""

NORMALISED = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and, for a variance, the deviation. The network that Keras gives with weights="imagenet"
divides by their root once more, after the layer, and so by the deviation
(tensorflow/tensorflow#49930)."""


def _stages(blocks: tuple[int, ...], first: str) -> tuple[str, ...]:
    """Outputs of the blocks of each group (`block3a`, `block3b`, ...), the very first's given."""
    named = [
        f"block{group}{'abcdefghijklmnopqrstuvwxyz'[number - 1]}"
        + ("_add" if number > 1 else "_project_bn")
        for group, count in enumerate(blocks, start=1)
        for number in sorted({1, *spread(count)})
    ]
    return ("stem_activation", first, *named[1:], "top_activation")


def _deeper(blocks: tuple[int, ...], depth: float) -> tuple[int, ...]:
    """Blocks of each group, as Keras multiplies them."""
    return tuple(math.ceil(depth * count) for count in blocks)


# ---- EfficientNet ----

BLOCKS = (1, 2, 2, 3, 3, 4, 1)
SCALES = {
    "B0": (1.0, Sizes(), 4_049_564),
    "B1": (1.1, Sizes(least=48, most=240, step=24), 6_575_232),
    "B2": (1.2, Sizes(least=40, most=260, step=20), 7_768_562),
    "B3": (1.4, Sizes(least=40, most=300, step=20), 10_783_528),
    "B4": (1.8, Sizes(least=40, most=380, step=20), 17_673_816),
    "B5": (2.2, Sizes(least=48, most=456, step=24), 28_513_520),
    "B6": (2.6, Sizes(least=48, most=528, step=24), 40_960_136),
    "B7": (3.1, Sizes(least=48, most=600, step=24), 64_097_680),
}
"""Depth, sizes, parameters. Its convolutions pad whatever the size, so steps are those that hold
the size of its weights."""


def _efficientnet(letter: str, depth: float, sizes: Sizes, parameters: int) -> Network:
    file = f"efficientnet{letter.lower()}_notop.h5"
    return Network(
        name=f"EfficientNet{letter}",
        function=f"EfficientNet{letter}",
        stages=_stages(_deeper(BLOCKS, depth), "block1a_project_bn"),
        mode="torch",
        parameters=parameters,
        files=(File(name=file, url=f"{OLD_ORIGIN}/{file}", trained_at=sizes.most),),
        license="Apache-2.0 (tensorflow/tpu)",
        sizes=sizes,
        normalised=NORMALISED,
    )


# ---- EfficientNetV2 ----

V2_BLOCKS = (1, 2, 2, 3, 5, 8)
V2_SCALES = {
    "B0": (1.0, Sizes(), 5_919_312),
    "B1": (1.1, Sizes(least=48, most=240, step=24), 6_931_124),
    "B2": (1.2, Sizes(least=40, most=260, step=20), 8_769_374),
    "B3": (1.4, Sizes(least=40, most=300, step=20), 12_930_622),
}
V2_LARGER = {
    "S": ((2, 4, 4, 6, 9, 15), Sizes(most=384), 20_331_360),
    "M": ((3, 5, 5, 7, 14, 18, 5), Sizes(most=480), 53_150_388),
    "L": ((4, 7, 7, 10, 19, 25, 7), Sizes(most=480), 117_746_848),
}


def _v2(name: str, stages: tuple[str, ...], mode: Mode, sizes: Sizes, parameters: int) -> Network:
    return Network(
        name=f"EfficientNetV2{name}",
        function=f"EfficientNetV2{name}",
        arguments={"include_preprocessing": False},
        stages=stages,
        mode=mode,
        parameters=parameters,
        files=files("efficientnet_v2", (f"efficientnetv2-{name.lower()}_notop.h5", sizes.most)),
        license="Apache-2.0 (google/automl)",
        sizes=sizes,
    )


def _v2_small(name: str, depth: float, sizes: Sizes, parameters: int) -> Network:
    stages = _stages(_deeper(V2_BLOCKS, depth), "block1a_project_activation")
    return _v2(name, stages, "torch", sizes, parameters)


def _v2_large(name: str, blocks: tuple[int, ...], sizes: Sizes, parameters: int) -> Network:
    return _v2(name, _stages(blocks, "block1a_add"), "halves", sizes, parameters)


EFFICIENTNETS = (
    *(_efficientnet(letter, *facts) for letter, facts in SCALES.items()),
    *(_v2_small(name, *facts) for name, facts in V2_SCALES.items()),
    *(_v2_large(name, *facts) for name, facts in V2_LARGER.items()),
)
