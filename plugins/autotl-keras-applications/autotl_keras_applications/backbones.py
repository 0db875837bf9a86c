"""The networks as the records that autotl reads."""

from __future__ import annotations

from autotl.records import Backbone, InputSizes, Preprocessing, Weights
from autotl_keras_applications.networks import NETWORKS, Mode, Network

LICENSE = "Apache-2.0"
PHOTOGRAPHS = "the photographs have licences of their own"


def _preprocessing(mode: Mode, size: int) -> Preprocessing:
    """What Keras does to 0..255 in that mode, by `preprocess_input` or inside the network."""
    if mode == "tf":  # to -1..1
        return Preprocessing(size=size, scale=1 / 127.5, mean=(1.0, 1.0, 1.0))
    if mode == "torch":
        return Preprocessing(
            size=size, scale=1 / 255, mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225)
        )
    if mode == "halves":
        return Preprocessing(size=size, scale=1 / 128, mean=(1.0, 1.0, 1.0))
    return Preprocessing(size=size, channels="BGR", mean=(103.939, 116.779, 123.68))


def function_of(network: Network) -> str:
    """The name that `build` gives the network's function."""
    return network.name.replace("-", "_").replace(".", "_")


def _backbone(network: Network) -> Backbone:
    sizes = network.sizes
    return Backbone(
        name=network.name,
        build=f"autotl_keras_applications.build:{function_of(network)}",
        stages=network.stages,
        input_sizes=InputSizes(
            least=sizes.least, most=sizes.most, default=sizes.most, multiple_of=sizes.step
        ),
        preprocessing=_preprocessing(network.mode, sizes.most),
        parameters=network.parameters,
        license=LICENSE,
        source_domain=network.source_domain,
        weights=tuple(
            Weights(file=one.name, url=one.url, sha256=one.sha256, trained_at=one.trained_at)
            for one in network.files
        ),
        weights_license=f"{network.license}; {PHOTOGRAPHS}",
        no_partial_freeze=network.no_partial_freeze,
        no_export=network.no_export,
    )


BACKBONES = tuple(_backbone(network) for network in NETWORKS)
