"""Files, located backbones, and what loading, splitting and storing give."""

from __future__ import annotations

from dataclasses import dataclass

from autotl.records.contract import Backbone, Preprocessing


@dataclass(frozen=True, kw_only=True)
class FileRef:
    """A file in the run folder: relative path, SHA-256 in hex, size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class LocatedBackbone:
    """A backbone, the weights file found for it on this machine, and the chosen input size.

    `preprocessing.size` equals `input_size`. `weights` is an absolute path, or None where only
    random weights are to be had. `reason` says why it was taken, where several were compared;
    `natural_size` is the input size that the images would bear, where the user named one, and
    `size_reason` why it took less than the images would bear; `instead` is what the engine would
    have done where the backbone was named.
    """

    backbone: Backbone
    distribution: str
    input_size: int
    preprocessing: Preprocessing
    weights: str | None
    weights_sha256: str | None
    reason: str = ""
    natural_size: int | None = None
    size_reason: str = ""
    instead: str = ""


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """An example that could not be read, and why."""

    id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class LoadRecord:
    """What was loaded: the journal's record, compared at every later start."""

    fingerprint: str
    loader: str
    reason: str
    kind: str
    examples: int
    classes: tuple[str, ...]
    per_class: tuple[int, ...]
    median_side: int
    set_aside: tuple[SetAside, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SplitRecord:
    """Counts and digest of a split; the rows themselves are recomputed from the seed.

    `dropped` are exact copies across given splits, `copies` those that stayed in train.
    """

    train: int
    validation: int
    test: int
    dropped: int
    digest: str
    notes: tuple[str, ...] = ()
    copies: int = 0


@dataclass(frozen=True, kw_only=True)
class Split:
    """Row numbers of a dataset, sorted, and the record of how they were drawn."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    record: SplitRecord


@dataclass(frozen=True, kw_only=True)
class StoredPixels:
    """Training and validation rows as uint8 pixels, which `autotl.rows.opened` opens.

    `pixels` is (train + validation, size, size, 3), the training rows first, resized straight from
    the decoded image: what measurement, validation and the exported graph see. `margin` is (train,
    margin_size, margin_size, 3) with margin_size = size * 8 // 7, from which augmented views are
    cut; "" where none is wanted yet. `labels` is int32 (train + validation,). `key` is a digest of
    content, rows and sizes: equal keys mean equal arrays.
    """

    pixels: str
    margin: str
    labels: str
    train: int
    validation: int
    size: int
    margin_size: int
    classes: int
    key: str
    stored: bool = True
    decode: float = 0.0
