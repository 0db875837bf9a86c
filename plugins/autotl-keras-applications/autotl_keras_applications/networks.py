"""The networks as data: what Keras is asked for, stages, sizes, preprocessing, files, licences.

One row a network in `NETWORKS`; `backbones.py` makes the records of it that autotl reads, and
`build.py` the networks. Whoever changes a row raises the version of this distribution: what autotl
has stored of a network is known by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ORIGIN = "https://storage.googleapis.com/tensorflow/keras-applications"
OLD_ORIGIN = "https://storage.googleapis.com/keras-applications"
"""Where Keras keeps its files of EfficientNet."""

GOOGLE = "Apache-2.0 (tensorflow/models)"
FACEBOOK = "BSD (facebook/fb.resnet.torch)"

Mode = Literal["tf", "torch", "caffe"]
"""What Keras calls its three preprocessings."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of ImageNet weights without the classifier, the input size that it was trained at in
    pixels, and its checksum where Keras states a SHA-256.
    """

    name: str
    url: str
    trained_at: int
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sides in pixels: `least` to `most`, which is the default, by steps of `step`."""

    least: int = 32
    most: int = 224
    step: int = 32


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network. `family` is its function in `keras.applications`, called with `arguments`.

    `stages` are names of layers, those that Keras numbers counted from the network's own first one
    (`add`, `add_1`, ...). `parameters` are without classifier and preprocessing, with batch norm
    statistics. `normalised` is what a file holds of a Normalization inside the network, (mean,
    variance) of values 0..1, where it must be in keeping with `mode`.
    """

    name: str
    family: str
    stages: tuple[str, ...]
    mode: Mode
    parameters: int
    files: tuple[File, ...]
    license: str
    arguments: Mapping[str, float | bool] = field(default_factory=dict)
    sizes: Sizes = Sizes()
    normalised: tuple[tuple[float, ...], tuple[float, ...]] | None = None


def _files(folder: str, *names: tuple[str, int]) -> tuple[File, ...]:
    return tuple(
        File(name=name, url=f"{ORIGIN}/{folder}/{name}", trained_at=size) for name, size in names
    )


# ---- MobileNet ----

MOBILENET_STAGES = ("conv1_relu", *(f"conv_pw_{block}_relu" for block in range(1, 14)))
MOBILENET_WIDTHS = {"0.25": 218_544, "0.5": 829_536, "0.75": 1_832_976, "1.0": 3_228_864}
MOBILENET_SPELT = {"0.25": "2_5", "0.5": "5_0", "0.75": "7_5", "1.0": "1_0"}


def _suffix(width: str) -> str:
    return "" if width == "1.0" else f"-{width}"


def _mobilenet(width: str, parameters: int) -> Network:
    spelt, sizes = MOBILENET_SPELT[width], (224, 192, 160, 128)
    return Network(
        name=f"MobileNet{_suffix(width)}",
        family="MobileNet",
        arguments={"alpha": float(width)},
        stages=MOBILENET_STAGES,
        mode="tf",
        parameters=parameters,
        files=_files("mobilenet", *((f"mobilenet_{spelt}_{s}_tf_no_top.h5", s) for s in sizes)),
        license=GOOGLE,
    )


# ---- MobileNetV2 ----


def _blocks(shortcuts: set[int], first: int, last: int, add: str, project: str) -> list[str]:
    """Outputs of numbered blocks, of which some end in an addition, the others in a projection."""
    return [(add if n in shortcuts else project).format(n) for n in range(first, last + 1)]


V2_SHORTCUTS = {2, 4, 5, 7, 8, 9, 11, 12, 14, 15}
V2_STAGES = (
    "expanded_conv_project_BN",
    *_blocks(V2_SHORTCUTS, 1, 16, "block_{}_add", "block_{}_project_BN"),
    "out_relu",
)
V2_WIDTHS = {
    "0.35": 410_208,
    "0.5": 706_224,
    "0.75": 1_382_064,
    "1.0": 2_257_984,
    "1.3": 3_766_048,
    "1.4": 4_363_712,
}


def _mobilenet_v2(width: str, parameters: int) -> Network:
    sizes = (224, 192, 160, 128, 96) if float(width) <= 1 else (224,)
    prefix = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}"
    return Network(
        name=f"MobileNetV2{_suffix(width)}",
        family="MobileNetV2",
        arguments={"alpha": float(width)},
        stages=V2_STAGES,
        mode="tf",
        parameters=parameters,
        files=_files("mobilenet_v2", *((f"{prefix}_{s}_no_top.h5", s) for s in sizes)),
        license=GOOGLE,
    )


# ---- MobileNetV3 ----

V3_ADD, V3_PROJECT = "expanded_conv_{}_add", "expanded_conv_{}_project_bn"
V3_SMALL_STAGES = (
    "activation",
    "expanded_conv_project_bn",
    *_blocks({2, 4, 5, 7, 9, 10}, 1, 10, V3_ADD, V3_PROJECT),
    "activation_17",
)
V3_LARGE_STAGES = (
    "activation",
    "expanded_conv_add",
    *_blocks({2, 4, 5, 7, 8, 9, 11, 13, 14}, 1, 14, V3_ADD, V3_PROJECT),
    "activation_19",
)


def _mobilenet_v3(size: str, stages: tuple[str, ...], parameters: int) -> Network:
    file = f"weights_mobilenet_v3_{size.lower()}_224_1.0_float_no_top_v2.h5"
    return Network(
        name=f"MobileNetV3{size}",
        family=f"MobileNetV3{size}",
        arguments={"include_preprocessing": False},
        stages=stages,
        mode="tf",
        parameters=parameters,
        files=_files("mobilenet_v3", (file, 224)),
        license=GOOGLE,
    )


# ---- EfficientNet ----

EFFICIENT_B0_STAGES = (
    "stem_activation",
    "block1a_project_bn",
    *("block2a_project_bn", "block2b_add"),
    *("block3a_project_bn", "block3b_add"),
    *("block4a_project_bn", "block4b_add", "block4c_add"),
    *("block5a_project_bn", "block5b_add", "block5c_add"),
    *("block6a_project_bn", "block6b_add", "block6c_add", "block6d_add"),
    "block7a_project_bn",
    "top_activation",
)
EFFICIENT_V2_B0_STAGES = (
    "stem_activation",
    "block1a_project_activation",
    *("block2a_project_bn", "block2b_add"),
    *("block3a_project_bn", "block3b_add"),
    *("block4a_project_bn", "block4b_add", "block4c_add"),
    *("block5a_project_bn", *(f"block5{letter}_add" for letter in "bcde")),
    *("block6a_project_bn", *(f"block6{letter}_add" for letter in "bcdefgh")),
    "top_activation",
)
NORMALISED = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and, for a variance, the deviation. The network that Keras gives with weights="imagenet"
divides by their root once more, after the layer, and so by the deviation
(tensorflow/tensorflow#49930)."""

EFFICIENT_B0_FILE = "efficientnetb0_notop.h5"

# ---- ResNet and DenseNet ----


def _resnet_blocks(last: int) -> list[str]:
    """Outputs of the residual blocks, those of the last group only up to block `last`."""
    groups = {2: 3, 3: 4, 4: 6, 5: last}
    return [f"conv{g}_block{n}_out" for g, most in groups.items() for n in range(1, most + 1)]


DENSE_121_STAGES = (
    "conv1_relu",
    *("conv2_block3_concat", "pool2_pool"),
    *("conv3_block6_concat", "pool3_pool"),
    *("conv4_block8_concat", "conv4_block16_concat", "pool4_pool"),
    *("conv5_block8_concat", "relu"),
)
"""Every block's concatenation is a cut; these are enough to choose among."""

KERNELS = "weights_tf_dim_ordering_tf_kernels_notop.h5"

# ---- VGG and Xception ----

VGG_16_STAGES = (
    *("block1_conv1", "block1_pool"),
    *("block2_conv1", "block2_pool"),
    *("block3_conv1", "block3_conv2", "block3_pool"),
    *("block4_conv1", "block4_conv2", "block4_pool"),
    *("block5_conv1", "block5_conv2", "block5_pool"),
)
"""One a convolution, and where a pooling follows it, that."""

XCEPTION_STAGES = (
    *("block1_conv1_act", "block1_conv2_act"),
    *("add", *(f"add_{n}" for n in range(1, 12))),
    *("block14_sepconv1_act", "block14_sepconv2_act"),
)
XCEPTION_SIZES = Sizes(least=92, most=299, step=23)
"""Its convolutions without padding leave no size at which nothing is cut off; steps of 23 hold
the 299 pixels of its weights, and Keras takes none below 71."""

# ---- ConvNeXt ----

CONVNEXT_TINY_STAGES = (
    "convnext_tiny_stem",
    *(f"convnext_tiny_downsampling_block_{n}" for n in range(3)),
    "layer_normalization",
)
"""Its blocks end in an addition that is no layer, so there are no other cuts."""

CONVNEXT_TINY_FILE = "convnext_tiny_notop.h5"

NETWORKS = (
    *(_mobilenet(*one) for one in MOBILENET_WIDTHS.items()),
    *(_mobilenet_v2(*one) for one in V2_WIDTHS.items()),
    _mobilenet_v3("Small", V3_SMALL_STAGES, 939_120),
    _mobilenet_v3("Large", V3_LARGE_STAGES, 2_996_352),
    Network(
        name="EfficientNetB0",
        family="EfficientNetB0",
        stages=EFFICIENT_B0_STAGES,
        mode="torch",
        parameters=4_049_564,
        files=(
            File(name=EFFICIENT_B0_FILE, url=f"{OLD_ORIGIN}/{EFFICIENT_B0_FILE}", trained_at=224),
        ),
        license="Apache-2.0 (tensorflow/tpu)",
        normalised=NORMALISED,
    ),
    Network(
        name="EfficientNetV2B0",
        family="EfficientNetV2B0",
        arguments={"include_preprocessing": False},
        stages=EFFICIENT_V2_B0_STAGES,
        mode="torch",
        parameters=5_919_312,
        files=_files("efficientnet_v2", ("efficientnetv2-b0_notop.h5", 224)),
        license="Apache-2.0 (google/automl)",
    ),
    Network(
        name="ResNet50",
        family="ResNet50",
        stages=("conv1_relu", *_resnet_blocks(3)),
        mode="caffe",
        parameters=23_587_712,
        files=_files("resnet", (f"resnet50_{KERNELS}", 224)),
        license="MIT (KaimingHe/deep-residual-networks)",
    ),
    Network(
        name="ResNet50V2",
        family="ResNet50V2",
        stages=("conv1_conv", *_resnet_blocks(2), "post_relu"),
        mode="tf",
        parameters=23_564_800,
        files=_files("resnet", (f"resnet50v2_{KERNELS}", 224)),
        license=FACEBOOK,
    ),
    Network(
        name="DenseNet121",
        family="DenseNet121",
        stages=DENSE_121_STAGES,
        mode="torch",
        parameters=7_037_504,
        files=_files("densenet", (f"densenet121_{KERNELS}", 224)),
        license="BSD-3-Clause (liuzhuang13/DenseNet)",
    ),
    Network(
        name="VGG16",
        family="VGG16",
        stages=VGG_16_STAGES,
        mode="caffe",
        parameters=14_714_688,
        files=_files("vgg16", (f"vgg16_{KERNELS}", 224)),
        license="CC-BY-4.0 (Visual Geometry Group, Oxford)",
    ),
    Network(
        name="Xception",
        family="Xception",
        stages=XCEPTION_STAGES,
        mode="tf",
        parameters=20_861_480,
        files=_files("xception", (f"xception_{KERNELS}", 299)),
        license="MIT (keras-team/keras)",
        sizes=XCEPTION_SIZES,
    ),
    Network(
        name="ConvNeXtTiny",
        family="ConvNeXtTiny",
        arguments={"include_preprocessing": False},
        stages=CONVNEXT_TINY_STAGES,
        mode="torch",
        parameters=27_820_128,
        files=(
            File(
                name=CONVNEXT_TINY_FILE,
                url=f"{ORIGIN}/convnext/{CONVNEXT_TINY_FILE}",
                trained_at=224,
                sha256="d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
            ),
        ),
        license="MIT (facebookresearch/ConvNeXt)",
    ),
)
