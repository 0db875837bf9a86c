"""MobileNet, V2 and V3: the number after a name is the width, Keras's alpha."""

from __future__ import annotations

from autotl_keras_applications.networks.row import GOOGLE, Network, files, outputs


def _suffix(width: str) -> str:
    return "" if width == "1.0" else f"-{width}"


# ---- MobileNet ----

STAGES = ("conv1_relu", *(f"conv_pw_{block}_relu" for block in range(1, 14)))
WIDTHS = {"0.25": 218_544, "0.5": 829_536, "0.75": 1_832_976, "1.0": 3_228_864}
SPELT = {"0.25": "2_5", "0.5": "5_0", "0.75": "7_5", "1.0": "1_0"}


def _mobilenet(width: str, parameters: int) -> Network:
    spelt, sizes = SPELT[width], (224, 192, 160, 128)
    return Network(
        name=f"MobileNet{_suffix(width)}",
        function="MobileNet",
        arguments={"alpha": float(width)},
        stages=STAGES,
        mode="tf",
        parameters=parameters,
        files=files("mobilenet", *((f"mobilenet_{spelt}_{s}_tf_no_top.h5", s) for s in sizes)),
        license=GOOGLE,
    )


# ---- MobileNetV2 ----

V2_SHORTCUTS = {2, 4, 5, 7, 8, 9, 11, 12, 14, 15}
V2_STAGES = (
    "expanded_conv_project_BN",
    *outputs(V2_SHORTCUTS, range(1, 17), "block_{}_add", "block_{}_project_BN"),
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
        function="MobileNetV2",
        arguments={"alpha": float(width)},
        stages=V2_STAGES,
        mode="tf",
        parameters=parameters,
        files=files("mobilenet_v2", *((f"{prefix}_{s}_no_top.h5", s) for s in sizes)),
        license=GOOGLE,
    )


# ---- MobileNetV3 ----

V3_ADD, V3_PROJECT = "expanded_conv_{}_add", "expanded_conv_{}_project_bn"
V3_SMALL_STAGES = (
    "activation",
    "expanded_conv_project_bn",
    *outputs({2, 4, 5, 7, 9, 10}, range(1, 11), V3_ADD, V3_PROJECT),
    "activation_17",
)
V3_LARGE_STAGES = (
    "activation",
    "expanded_conv_add",
    *outputs({2, 4, 5, 7, 8, 9, 11, 13, 14}, range(1, 15), V3_ADD, V3_PROJECT),
    "activation_19",
)


def _mobilenet_v3(size: str, stages: tuple[str, ...], parameters: int) -> Network:
    file = f"weights_mobilenet_v3_{size.lower()}_224_1.0_float_no_top_v2.h5"
    return Network(
        name=f"MobileNetV3{size}",
        function=f"MobileNetV3{size}",
        arguments={"include_preprocessing": False},
        stages=stages,
        mode="tf",
        parameters=parameters,
        files=files("mobilenet_v3", (file, 224)),
        license=GOOGLE,
    )


MOBILENETS = (
    *(_mobilenet(*one) for one in WIDTHS.items()),
    *(_mobilenet_v2(*one) for one in V2_WIDTHS.items()),
    _mobilenet_v3("Small", V3_SMALL_STAGES, 939_120),
    _mobilenet_v3("Large", V3_LARGE_STAGES, 2_996_352),
)
