"""ConvNeXt Tiny to XLarge."""

from __future__ import annotations

from autotl_keras_applications.networks.row import IMAGENET, ORIGIN, File, Network

IMAGENET_21K = f"ImageNet-21k, then {IMAGENET}"

SCALES = {
    "Tiny": (27_820_128, "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"),
    "Small": (49_454_688, "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab"),
    "Base": (87_566_464, "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45"),
    "Large": (196_230_336, "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd"),
    "XLarge": (348_147_968, "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05"),
}
"""Parameters, and the SHA-256 that Keras states of the file."""


def _convnext(size: str, parameters: int, sha256: str) -> Network:
    """Its blocks end in an addition that is no layer, so there are no cuts but these."""
    name = f"convnext_{size.lower()}"
    file = f"{name}_notop.h5"
    return Network(
        name=f"ConvNeXt{size}",
        function=f"ConvNeXt{size}",
        arguments={"include_preprocessing": False},
        stages=(
            f"{name}_stem",
            *(f"{name}_downsampling_block_{n}" for n in range(3)),
            "layer_normalization",
        ),
        mode="torch",
        parameters=parameters,
        files=(File(name=file, url=f"{ORIGIN}/convnext/{file}", trained_at=224, sha256=sha256),),
        license="MIT (facebookresearch/ConvNeXt)",
        source_domain=IMAGENET if size in ("Tiny", "Small") else IMAGENET_21K,
    )


CONVNEXTS = tuple(_convnext(size, *facts) for size, facts in SCALES.items())
