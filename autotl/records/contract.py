"""What plugins give: backbones, loaders and the data sets that loaders read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from autotl.records.words import CONTRACT


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """From upright RGB uint8 pixels to what a backbone takes, as data.

    The image is resized to `size` × `size` (bicubic on uint8; `squash` ignores the aspect ratio,
    `crop` resizes the shorter side and cuts the centre; a run puts its own input size in the place
    of `size`), put in channel order `channels`, then `(pixel * scale - mean) / deviation` per
    channel, in that channel order, float32.
    """

    size: int
    resize: Literal["squash", "crop"] = "squash"
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: Literal["RGB", "BGR"] = "RGB"


@dataclass(frozen=True, kw_only=True)
class InputSizes:
    """Sides in pixels that a backbone takes: `least` to `most`, by steps of `multiple_of`."""

    least: int
    most: int
    default: int
    multiple_of: int = 1


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One file of pretrained weights.

    `file` is looked for beside the package `package` when that is given, else in Keras's own
    cache (`KERAS_HOME`, default `~/.keras`, folder `models`). `url` is where it may be had: naming
    the backbone downloads it to there. `sha256` is checked where it is given; where not, nothing
    is. `trained_at` is the input size it was trained at.
    """

    file: str
    package: str | None = None
    url: str | None = None
    sha256: str | None = None
    trained_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class ReferenceStatistics:
    """What a backbone's stages give for images of its source domain that were held out.

    `file`, beside the package `package` and of the checksum `sha256`, is an `.npz` without pickle.
    For each stage it holds `STAGE/mean` (channels,) and `STAGE/covariance` (channels, channels),
    float32, of its output averaged over positions, over `images` images of `size` pixels a side.
    """

    file: str
    package: str
    sha256: str
    size: int
    images: int


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A pretrained network as data.

    `stages` are layer names, from input to output, after each of which one tensor (batch, height,
    width, channels) carries everything. `build` is "module:function", called in a worker process as
    `build(input_size: int, weights: Path | None) -> keras.Model` with input `(size, size, 3)`
    float32, already preprocessed, and the last stage's feature map as output; None as its
    `weights` leaves random ones, which follow keras's global seed. Layers bear the same names in
    every build, however many went before, and the graphs with and without weights are the same.

    The field `weights` lists the files that serve, best first: the first that is on the machine is
    taken; empty means that none exist (only `scratch` works). `name` is told from others without
    regard to case, and is not "auto". `parameters` is `count_params()` of what `build` returns,
    batch norm statistics included. `license` is the code's and `weights_license` the weights'; both
    go into the model's card. `source_domain` says in words what the weights were trained on, and
    `no_partial_freeze` why it cannot be cut (empty: it can). `no_export` says why it cannot be
    converted to ONNX (empty: it can; `autotl.testing.check_backbone` tries it): such a backbone is
    refused before anything is trained. `reference_statistics` give a second measure of similarity
    at their input size, and the only one without batch norm. `kind` is "image". Leave `contract`
    alone: it rises when these records change incompatibly.
    """

    name: str
    build: str
    stages: tuple[str, ...]
    input_sizes: InputSizes
    preprocessing: Preprocessing
    parameters: int
    license: str
    source_domain: str
    weights: tuple[Weights, ...] = ()
    weights_license: str = ""
    reference_statistics: ReferenceStatistics | None = None
    no_partial_freeze: str = ""
    no_export: str = ""
    kind: str = "image"
    contract: int = CONTRACT


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a loader found. Labels and names are in memory; examples are read when they are wanted.

    `ids` are unique and stable (a relative path, say), `labels` index `classes`, `read(i)` gives
    the encoded bytes of example i or its uint8 pixels (height, width) or (height, width, 1|3|4). It
    is called in any order, from several threads at once and more than once for one example, whose
    content must stay the same (a loader with one open file needs a lock); what it raises sets
    that example aside. `kind` is "image". `splits` names a given split ("train", "validation" or
    "test") for each example, `groups` a group that must stay on one side of every split and, unless
    it is all that a class has, of every fold of cross-validation; an example without a group gets a
    name that no other has (None or "" is refused). `found` says in a few words what
    the loader took for what, where it had to find out: it is shown before anything is trained.
    """

    kind: str
    ids: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    read: Callable[[int], Any]
    groups: tuple[str, ...] | None = None
    splits: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()
    found: str = ""


@dataclass(frozen=True, kw_only=True)
class Loader:
    """A reader of one layout of data.

    `matches(data, options)` says in a sentence why the data is of its layout, or gives None, for
    any object whatever; it may read 64 KiB of one file. `load(data, options)` reads it or raises
    `DataError`. `data` is what the user gave: a path as str, a built-in name, or a Python object;
    `options` holds `loader` where the user named one, and those of `input_column`, `label_column`,
    `group_column` and `split_column` that the user gave. The field `options` lists those of
    the four that the loader heeds: any other is refused, as it would say nothing.
    """

    name: str
    description: str
    matches: Callable[[Any, Mapping[str, Any]], str | None]
    load: Callable[[Any, Mapping[str, Any]], Dataset]
    options: tuple[str, ...] = ()
    kind: str = "image"
    contract: int = CONTRACT
