"""VGG16 and VGG19."""

from __future__ import annotations

from autotl_keras_applications.networks.row import KERNELS, Network, files

CONVOLUTIONS = {"16": (2, 2, 3, 3, 3), "19": (2, 2, 4, 4, 4)}
PARAMETERS = {"16": 14_714_688, "19": 20_024_384}


def _stages(counts: tuple[int, ...]) -> tuple[str, ...]:
    """One a convolution, and where a pooling follows it, that."""
    named = []
    for block, count in enumerate(counts, start=1):
        named += [f"block{block}_conv{n}" for n in range(1, count)]
        named.append(f"block{block}_pool")
    return tuple(named)


def _vgg(layers: str) -> Network:
    return Network(
        name=f"VGG{layers}",
        function=f"VGG{layers}",
        stages=_stages(CONVOLUTIONS[layers]),
        mode="caffe",
        parameters=PARAMETERS[layers],
        files=files(f"vgg{layers}", (f"vgg{layers}_{KERNELS}", 224)),
        license="CC-BY-4.0 (Visual Geometry Group, Oxford)",
    )


VGGS = tuple(map(_vgg, CONVOLUTIONS))
