"""MobileNet and MobileNetV2 as data: stages, sizes, preprocessing, licences, weights files."""

from __future__ import annotations

from autotl.records import Backbone, InputSizes, Preprocessing, Weights

ORIGIN = "https://storage.googleapis.com/tensorflow/keras-applications"
SOURCE_DOMAIN = "ImageNet-1k (ILSVRC 2012): 1.28 million photographs of 1,000 classes"
LICENSE = "Apache-2.0"
WEIGHTS_LICENSE = "Apache-2.0 (tensorflow/models); the photographs have licences of their own"

SIZES = InputSizes(least=32, most=224, default=224, multiple_of=32)
"""Both shrink the image 32-fold, so multiples of 32 leave no padding at any stage."""

PREPROCESSING = Preprocessing(
    size=SIZES.default,
    resize="squash",
    scale=1 / 127.5,
    mean=(1.0, 1.0, 1.0),
    deviation=(1.0, 1.0, 1.0),
    channels="RGB",
)
"""0..255 to -1..1, as `preprocess_input` of both in Keras."""

MOBILENET_STAGES = ("conv1_relu", *(f"conv_pw_{block}_relu" for block in range(1, 14)))

MOBILENET_V2_SHORTCUTS = frozenset({2, 4, 5, 7, 8, 9, 11, 12, 14, 15})
"""Inverted residual blocks that end in an addition; the others end in a projection."""

MOBILENET_V2_STAGES = (
    "expanded_conv_project_BN",
    *(
        f"block_{block}_add" if block in MOBILENET_V2_SHORTCUTS else f"block_{block}_project_BN"
        for block in range(1, 17)
    ),
    "out_relu",
)

MOBILENET_PARAMETERS = {"0.25": 218_544, "0.5": 829_536, "0.75": 1_832_976, "1.0": 3_228_864}
"""By width; batch norm statistics included, without the classifier."""

MOBILENET_V2_PARAMETERS = {
    "0.35": 410_208,
    "0.5": 706_224,
    "0.75": 1_382_064,
    "1.0": 2_257_984,
    "1.3": 3_766_048,
    "1.4": 4_363_712,
}
"""By width; batch norm statistics included, without the classifier."""

MOBILENET_FILE_WIDTHS = {"0.25": "2_5", "0.5": "5_0", "0.75": "7_5", "1.0": "1_0"}
MOBILENET_TRAINED_AT = (224, 192, 160, 128)
MOBILENET_V2_TRAINED_AT = (224, 192, 160, 128, 96)
MOBILENET_V2_WIDE_TRAINED_AT = (224,)
"""Input sizes for which Keras has weights, best first; widths above 1 have one only."""


def _weights(folder: str, files: dict[int, str]) -> tuple[Weights, ...]:
    return tuple(
        Weights(file=file, url=f"{ORIGIN}/{folder}/{file}", trained_at=size)
        for size, file in files.items()
    )


def _mobilenet_weights(width: str) -> tuple[Weights, ...]:
    spelt = MOBILENET_FILE_WIDTHS[width]
    sizes = MOBILENET_TRAINED_AT
    return _weights("mobilenet", {s: f"mobilenet_{spelt}_{s}_tf_no_top.h5" for s in sizes})


def _mobilenet_v2_weights(width: str) -> tuple[Weights, ...]:
    prefix = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}"
    sizes = MOBILENET_V2_TRAINED_AT if float(width) <= 1 else MOBILENET_V2_WIDE_TRAINED_AT
    return _weights("mobilenet_v2", {s: f"{prefix}_{s}_no_top.h5" for s in sizes})


def _suffix(width: str) -> str:
    return "" if width == "1.0" else f"-{width}"


def _mobilenet(width: str) -> Backbone:
    return Backbone(
        name=f"MobileNet{_suffix(width)}",
        build=f"autotl_keras_applications.build:mobilenet_{width.replace('.', '_')}",
        stages=MOBILENET_STAGES,
        input_sizes=SIZES,
        preprocessing=PREPROCESSING,
        parameters=MOBILENET_PARAMETERS[width],
        license=LICENSE,
        source_domain=SOURCE_DOMAIN,
        weights=_mobilenet_weights(width),
        weights_license=WEIGHTS_LICENSE,
    )


def _mobilenet_v2(width: str) -> Backbone:
    return Backbone(
        name=f"MobileNetV2{_suffix(width)}",
        build=f"autotl_keras_applications.build:mobilenet_v2_{width.replace('.', '_')}",
        stages=MOBILENET_V2_STAGES,
        input_sizes=SIZES,
        preprocessing=PREPROCESSING,
        parameters=MOBILENET_V2_PARAMETERS[width],
        license=LICENSE,
        source_domain=SOURCE_DOMAIN,
        weights=_mobilenet_v2_weights(width),
        weights_license=WEIGHTS_LICENSE,
    )


BACKBONES = (
    *(_mobilenet(width) for width in MOBILENET_PARAMETERS),
    *(_mobilenet_v2(width) for width in MOBILENET_V2_PARAMETERS),
)
