"""Xception, InceptionV3 and InceptionResNetV2."""

from __future__ import annotations

from autotl_keras_applications.networks.row import (
    GOOGLE,
    KERNELS,
    Network,
    Sizes,
    files,
    spread,
)

VALID_SIZES = Sizes(least=92, most=299, step=23)
"""Convolutions without padding leave no size at which nothing is cut off; steps of 23 hold the 299
pixels of the weights, and Keras takes none below 71 (Xception) or 75 (Inception)."""

XCEPTION_STAGES = (
    *("block1_conv1_act", "block1_conv2_act"),
    *("add", *(f"add_{n}" for n in range(1, 12))),
    *("block14_sepconv1_act", "block14_sepconv2_act"),
)
STEM = ("activation", "activation_1", "max_pooling2d", "activation_3", "max_pooling2d_1")
"""Both Inceptions begin alike."""

INCEPTION_STAGES = (*STEM, *(f"mixed{n}" for n in range(11)))
INCEPTION_RESNET_STAGES = (
    *STEM,
    *("mixed_5b", *(f"block35_{n}_ac" for n in spread(10))),
    *("mixed_6a", *(f"block17_{n}_ac" for n in spread(20))),
    *("mixed_7a", *(f"block8_{n}_ac" for n in spread(9))),
    "conv_7b_ac",
)
"""The tenth block8 ends without an activation."""

INCEPTIONS = (
    Network(
        name="Xception",
        function="Xception",
        stages=XCEPTION_STAGES,
        mode="tf",
        parameters=20_861_480,
        files=files("xception", (f"xception_{KERNELS}", 299)),
        license="MIT (keras-team/keras)",
        sizes=VALID_SIZES,
    ),
    Network(
        name="InceptionV3",
        function="InceptionV3",
        stages=INCEPTION_STAGES,
        mode="tf",
        parameters=21_802_784,
        files=files("inception_v3", (f"inception_v3_{KERNELS}", 299)),
        license=GOOGLE,
        sizes=VALID_SIZES,
    ),
    Network(
        name="InceptionResNetV2",
        function="InceptionResNetV2",
        stages=INCEPTION_RESNET_STAGES,
        mode="tf",
        parameters=54_336_736,
        files=files("inception_resnet_v2", (f"inception_resnet_v2_{KERNELS}", 299)),
        license=GOOGLE,
        sizes=VALID_SIZES,
    ),
)
