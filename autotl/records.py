"""The frozen dataclasses that pass between rooms, to plugins, and into the journal.

All of them but `Dataset` and `Loader` (which hold callables) round-trip through JSON by
`to_json` and `from_json`. Big arrays and weights are files, named by `FileRef`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import msgspec

Strategy = Literal["feature-extraction", "partial-freeze", "full-fine-tune", "scratch"]
STRATEGIES: tuple[Strategy, ...] = (
    "feature-extraction",
    "partial-freeze",
    "full-fine-tune",
    "scratch",
)
Metric = Literal["accuracy", "balanced-accuracy", "macro-f1", "log-loss"]
METRICS: tuple[Metric, ...] = ("accuracy", "balanced-accuracy", "macro-f1", "log-loss")
CONTRACT = 1

R = TypeVar("R")


def to_json(record: Any) -> Any:
    """The record as JSON-ready builtins (tuples become lists)."""
    return msgspec.to_builtins(record)


def from_json(cls: type[R], data: Any) -> R:
    """The record of class `cls` that `to_json` gave; raises `msgspec.ValidationError`."""
    return msgspec.convert(data, cls)


# ---- what plugins give ----


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """From upright RGB uint8 pixels to what a backbone takes, as data.

    The image is resized to `size` × `size` (bicubic on uint8; `squash` ignores the aspect ratio,
    `crop` resizes the shorter side and cuts the centre), put in channel order `channels`, then
    `(pixel * scale - mean) / deviation` per channel, in that channel order, float32.
    """

    size: int
    resize: Literal["squash", "crop"] = "squash"
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: Literal["RGB", "BGR"] = "RGB"


@dataclass(frozen=True, kw_only=True)
class InputSizes:
    """Side lengths in pixels that a backbone takes: `least` to `most`, a multiple of `multiple_of`."""

    least: int
    most: int
    default: int
    multiple_of: int = 1


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One file of pretrained weights.

    `file` is looked for beside the package `package` when that is given, else in Keras's own
    cache (`KERAS_HOME`, default `~/.keras`, folder `models`). `url` is where it may be had;
    `sha256` is checked when given; `trained_at` is the input size it was trained at.
    """

    file: str
    package: str | None = None
    url: str | None = None
    sha256: str | None = None
    trained_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A pretrained network as data (see `autotl/hookspecs.py` for the whole contract).

    `stages` are layer names, from input to output, after each of which one tensor carries
    everything. `build` is "module:function", called in a worker process as
    `build(input_size: int, weights: Path | None) -> keras.Model` with input `(size, size, 3)`
    float32, already preprocessed, and the last stage's feature map as output. `weights` lists
    the files that serve, best first; empty means that none exist (only `scratch` works).
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
    reference_statistics: str | None = None
    no_partial_freeze: str = ""
    kind: str = "image"
    contract: int = CONTRACT


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a loader found. Labels and names are in memory; examples are read one at a time.

    `ids` are unique and stable (a relative path, say), `labels` index `classes`, `read(i)` gives
    the encoded bytes of example i or its uint8 pixels (height, width) or (height, width, 1|3|4),
    `splits` names a given split ("train", "validation" or "test") for each example, `groups`
    a group that must stay on one side of every split.
    """

    kind: str
    ids: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    read: Callable[[int], Any]
    groups: tuple[str, ...] | None = None
    splits: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Loader:
    """A reader of one layout of data (see `autotl/hookspecs.py` for the whole contract).

    `matches(data, options)` says in a sentence why the data is of its layout, or None; it may
    read 64 KiB of one file. `load(data, options)` reads it or raises `DataError`. `data` is what
    the user gave: a path as str, a built-in name, or a Python object; `options` is a mapping.
    """

    name: str
    description: str
    matches: Callable[[Any, Mapping[str, Any]], str | None]
    load: Callable[[Any, Mapping[str, Any]], Dataset]
    kind: str = "image"
    contract: int = CONTRACT


# ---- files and located backbones ----


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
    random weights are to be had.
    """

    backbone: Backbone
    distribution: str
    input_size: int
    preprocessing: Preprocessing
    weights: str | None
    weights_sha256: str | None


# ---- load and split ----


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
    """Counts and digest of a split; the rows themselves are recomputed from the seed."""

    train: int
    validation: int
    test: int
    dropped: int
    digest: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Split:
    """Row numbers of a dataset, sorted, and the record of how they were drawn."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    record: SplitRecord


@dataclass(frozen=True, kw_only=True)
class StoredPixels:
    """Training and validation rows as stored uint8 pixels (`.npy` files, memory-mapped).

    `pixels` is (train + validation, size, size, 3), the training rows first, resized straight
    from the decoded image: what measurement, validation and the exported graph see. `margin` is
    (train, margin_size, margin_size, 3) with margin_size = size * 8 // 7, from which augmented
    views are cut. `labels` is int32 (train + validation,). `key` is a digest of content, rows
    and sizes: equal keys mean equal arrays.
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


# ---- measure ----


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much there is to learn from. `imbalance` is largest class over smallest."""

    examples: int
    train: int
    classes: int
    per_class_least: int
    per_class_median: float
    imbalance: float
    duplicates: int
    median_side: int


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Similarity of the target to the source domain, 0 (like noise) to 1, with a 95 % interval.

    All three are None where it cannot be measured; `reason` then says why.
    """

    value: float | None
    low: float | None
    high: float | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Cross-validated accuracy, 0 to 1, of probes on one stage's average-pooled output."""

    stage: str
    pretrained: bool
    linear: float
    knn: float
    examples: int


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """The probe's learning curve: accuracy of the linear probe at the tap with so many examples."""

    examples: int
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Measured seconds, on this machine, at the chosen input size.

    `forward` is seconds an image of a whole forward pass; `train` is seconds an image of a whole
    training step (k = 0); `share_above[k]` is the share of a training step's time that remains
    with boundary k (k = 0 .. number of stages; share_above[0] = 1, the last is about 0).
    `fixed` is seconds to build and compile one training model.
    """

    forward: float
    train: float
    share_above: tuple[float, ...]
    fixed: float


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """Everything that the decision reads. `tap` is the proposed tap (stage number, 1-based),
    `boundary` the proposed k for partial freeze (0 where there is none), `weights` the SHA-256 of
    the pretrained weights."""

    backbone: str
    input_size: int
    stages: tuple[str, ...]
    pretrained: bool
    size: Size
    similarity: Similarity
    probes: tuple[Probe, ...]
    curve: tuple[CurvePoint, ...]
    tap: int
    boundary: int
    parameters_above: tuple[int, ...]
    orientation_matters: bool
    speed: Speed
    seconds: float
    weights: str | None = None


# ---- decide ----


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Seconds of wall-clock and number of trials; None where not limited."""

    seconds: float | None
    trials: int | None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Predicted test accuracy with a 95 % interval, and minutes of one training by default recipe."""

    accuracy: float
    low: float
    high: float
    minutes: float


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The choice, the evidence in sentences, and what was predicted for each strategy.

    `frozen` are the stages 1..boundary by name, `tap` the stages whose pooled output the head
    reads. `margin` is predicted accuracy over the runner-up's. `race` is the share of the search
    budget that the runner-up gets (0 where the margin is beyond the interval). `engine` is what
    the engine would have chosen where the user named a strategy (`forced`).
    """

    backbone: str
    input_size: int
    strategy: Strategy
    engine: Strategy
    forced: bool
    boundary: int
    frozen: tuple[str, ...]
    taps: tuple[int, ...]
    tap: tuple[str, ...]
    learning_rate: float
    runner_up: Strategy | None
    margin: float
    race: float
    scenario: str
    reasons: tuple[str, ...]
    predicted: dict[str, Prediction]
    coefficients: str
    provisional: bool


# ---- search ----


@dataclass(frozen=True, kw_only=True)
class Head:
    """The classifier on the pooled taps. `hidden` 0 is a linear head; `solver` says how it is fitted."""

    solver: Literal["logistic-regression", "gradient"] = "gradient"
    hidden: int = 0
    dropout: float = 0.0
    l2: float = 1e-4


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The numbers of a gradient training. `backbone_rate` multiplies the learning rate of
    transferred stages; `views` augmented views of strength `augment` are drawn of each example."""

    epochs: int = 10
    batch: int = 32
    learning_rate: float = 1e-3
    backbone_rate: float = 1.0
    weight_decay: float = 1e-4
    warmup: float = 0.1
    label_smoothing: float = 0.0
    augment: Literal["none", "flip", "crop", "flip-crop"] = "none"
    views: int = 1
    patience: int = 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One point of the parameter space that all four strategies share.

    Stages 1..boundary are frozen and stored; boundary+1..last are trained; `taps` are stage
    numbers (1-based) whose pooled outputs the head reads.
    """

    backbone: str
    strategy: Strategy
    input_size: int
    pretrained: bool
    boundary: int
    last: int
    taps: tuple[int, ...]
    head: Head = field(default_factory=Head)
    numbers: Numbers = field(default_factory=Numbers)


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What one training gave, judged on the validation rows.

    `metrics` holds every `Metric` by name; `predictions` is the file of validation logits
    (.npy float32 (validation, classes)); `weights` the trained part's file; `history` one
    mapping an epoch. `stopped` says why it ended: "epochs", "patience", "deadline".
    """

    metrics: dict[str, float]
    epochs: int
    seconds: float
    weights: FileRef
    predictions: FileRef
    stopped: str
    history: tuple[dict[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial in the journal. `origin` is "probe", "default", "runner-up" or "proposal";
    `hyperparameters` is what the oracle proposed (empty for fixed trials); a failed trial has
    `failure` and no `result`. `seed` is the trial's own, from which it drew everything."""

    number: int
    origin: str
    recipe: Recipe
    hyperparameters: dict[str, Any]
    status: Literal["finished", "failed"]
    seconds: float
    result: TrialResult | None = None
    failure: str | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """The trials' outcome: the best one, how many were run and failed, and notes for the report.

    `comparable` is the number of trials among which the best was selected; `probe` is trial 0.
    """

    best: Trial
    probe: Trial
    trials: int
    failed: int
    comparable: int
    metric: Metric
    stopped: str
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


class Ledger(Protocol):
    """What `search` tells of its trials; the pipeline backs it with journal and observer hooks."""

    def started(self, number: int, recipe: Recipe, hyperparameters: Mapping[str, Any]) -> None:
        """Called before a trial is trained; written to the journal at once."""

    def finished(self, trial: Trial) -> None:
        """Called when a trial has ended, finished or failed."""

    def replay(self, number: int) -> Trial | None:
        """The journal's record of a trial that already ended, else None."""

    def starts(self, number: int) -> int:
        """How often a trial without an end was already started (2 means: give it up)."""


# ---- evaluate and export ----


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """Test figures of one class."""

    name: str
    examples: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Test figures of the final model, the baselines on the same rows, and calibration.

    `confusion[i][j]` counts test rows of class i predicted as j. `temperature` was fitted on
    validation rows. `predictions` is (test, classes) float32 probabilities, in the order of the test
    rows without those in `set_aside`. `linear_probe` is None where the probe's trial failed.
    """

    examples: int
    accuracy: Interval
    balanced_accuracy: Interval
    macro_f1: Interval
    log_loss: float
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    majority: Interval
    linear_probe: Interval | None
    calibration_error: float
    calibration_error_before: float
    temperature: float
    model: FileRef
    predictions: FileRef
    set_aside: tuple[SetAside, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far the ONNX file is from the Keras model on the training path, from raw inputs.

    Differences are of probabilities; `tolerance` is scaled to the model's own response to a
    relative input change of 1e-6.
    """

    examples: int
    top1_agreement: float
    explained: int
    median_difference: float
    largest_difference: float
    tolerance: float
    optimised_difference: float


@dataclass(frozen=True, kw_only=True)
class Export:
    """The exported file and its proof."""

    model: FileRef
    opset: int
    parity: Parity
    checks: tuple[str, ...]
    seconds: float = 0.0


# ---- report ----


@dataclass(frozen=True, kw_only=True)
class RunRecords:
    """Every record of a run, for the report. `seconds` is by step, over all sittings."""

    name: str
    load: LoadRecord
    split: SplitRecord
    located: LocatedBackbone
    measurements: Measurements
    decision: Decision
    search: SearchRecord
    evaluation: Evaluation
    export: Export
    trials: tuple[Trial, ...]
    seconds: dict[str, float]
    versions: dict[str, str]
    budget: Budget
    metric: Metric
    seed: int


@dataclass(frozen=True, kw_only=True)
class ReportRecord:
    """The files that the report step wrote."""

    report: FileRef
    card: FileRef
