"""What is stated of a network: the form of a row, and what rows of several families share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

ORIGIN = "https://storage.googleapis.com/tensorflow/keras-applications"
KERNELS = "weights_tf_dim_ordering_tf_kernels_notop.h5"
"""How the names of many of Keras's files end."""

IMAGENET = "ImageNet-1k (ILSVRC 2012): 1.28 million photographs of 1,000 classes"
GOOGLE = "Apache-2.0 (tensorflow/models)"

Mode = Literal["tf", "torch", "caffe", "halves"]
"""What Keras calls its three preprocessings; "halves" is its Rescaling by 1/128, less 1."""


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
    """One network. `function` is its name in `keras.applications`, called with `arguments`.

    `stages` are names of layers, those that Keras numbers counted from the network's own first one
    (`add`, `add_1`, ...). `parameters` are without classifier and preprocessing, with batch norm
    statistics. `normalised` is what a file holds of a Normalization inside the network, (mean,
    variance) of values 0..1, where it must be in keeping with `mode`. `no_partial_freeze` and
    `no_export` say why not, and are empty where it can be done.
    """

    name: str
    function: str
    stages: tuple[str, ...]
    mode: Mode
    parameters: int
    files: tuple[File, ...]
    license: str
    source_domain: str = IMAGENET
    arguments: Mapping[str, float | bool] = field(default_factory=dict)
    sizes: Sizes = Sizes()
    normalised: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    no_partial_freeze: str = ""
    no_export: str = ""


def files(folder: str, *named: tuple[str, int]) -> tuple[File, ...]:
    """Files of one folder at Keras's address: (name, size trained at)."""
    return tuple(
        File(name=name, url=f"{ORIGIN}/{folder}/{name}", trained_at=size) for name, size in named
    )


def spread(count: int, most: int = 8) -> tuple[int, ...]:
    """Numbers 1 .. `count`, or `most` of them, evenly apart, the last one among them.

    Every block of a long group is a cut; these are enough to choose among.
    """
    if count <= most:
        return tuple(range(1, count + 1))
    return tuple(round(count * number / most) for number in range(1, most + 1))


def outputs(shortcuts: set[int], numbers: Iterable[int], add: str, project: str) -> tuple[str, ...]:
    """Outputs of numbered blocks, of which some end in an addition, the others in a projection."""
    return tuple((add if n in shortcuts else project).format(n) for n in numbers)
