"""ResNet and ResNetV2, of 50, 101 and 152 layers, and DenseNet of 121, 169 and 201."""

from __future__ import annotations

from autotl_keras_applications.networks.row import KERNELS, Network, files, spread

# ---- ResNet ----

BLOCKS = {"50": (3, 4, 6, 3), "101": (3, 4, 23, 3), "152": (3, 8, 36, 3)}
PARAMETERS = {"50": 23_587_712, "101": 42_658_176, "152": 58_370_944}
V2_PARAMETERS = {"50": 23_564_800, "101": 42_626_560, "152": 58_331_648}


def _blocks(counts: tuple[int, ...]) -> list[str]:
    """Outputs of the residual blocks, `counts` of them in the groups conv2, conv3, ..."""
    groups = enumerate(counts, start=2)
    return [f"conv{group}_block{n}_out" for group, count in groups for n in spread(count)]


def _resnet(layers: str) -> Network:
    return Network(
        name=f"ResNet{layers}",
        function=f"ResNet{layers}",
        stages=("conv1_relu", *_blocks(BLOCKS[layers])),
        mode="caffe",
        parameters=PARAMETERS[layers],
        files=files("resnet", (f"resnet{layers}_{KERNELS}", 224)),
        license="MIT (KaimingHe/deep-residual-networks)",
    )


def _resnet_v2(layers: str) -> Network:
    """The last block's output is followed by a norm and an activation, which are the last stage."""
    blocks = _blocks(BLOCKS[layers])
    return Network(
        name=f"ResNet{layers}V2",
        function=f"ResNet{layers}V2",
        stages=("conv1_conv", *blocks[:-1], "post_relu"),
        mode="tf",
        parameters=V2_PARAMETERS[layers],
        files=files("resnet", (f"resnet{layers}v2_{KERNELS}", 224)),
        license="BSD (facebook/fb.resnet.torch)",
    )


# ---- DenseNet ----

DENSE_BLOCKS = {"121": (6, 12, 24, 16), "169": (6, 12, 32, 32), "201": (6, 12, 48, 32)}
DENSE_PARAMETERS = {"121": 7_037_504, "169": 12_642_880, "201": 18_321_984}
DENSE_STEP = 8


def _dense_stages(counts: tuple[int, ...]) -> tuple[str, ...]:
    """Every concatenation is a cut: of a group the middle one, of a long one every eighth, and the
    pooling after it; at the very end the activation.
    """
    stages = ["conv1_relu"]
    for group, count in enumerate(counts, start=2):
        step = min(DENSE_STEP, count // 2)
        within = range(step, count, step)
        last = group == len(counts) + 1
        stages += [f"conv{group}_block{n}_concat" for n in within]
        stages += [] if last else [f"pool{group}_pool"]
    return (*stages, "relu")


def _densenet(layers: str) -> Network:
    return Network(
        name=f"DenseNet{layers}",
        function=f"DenseNet{layers}",
        stages=_dense_stages(DENSE_BLOCKS[layers]),
        mode="torch",
        parameters=DENSE_PARAMETERS[layers],
        files=files("densenet", (f"densenet{layers}_{KERNELS}", 224)),
        license="BSD-3-Clause (liuzhuang13/DenseNet)",
    )


RESNETS = (*map(_resnet, BLOCKS), *map(_resnet_v2, BLOCKS))
DENSENETS = tuple(map(_densenet, DENSE_BLOCKS))
