"""What evaluation, export and the report give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autotl.records.data import FileRef, LoadRecord, LocatedBackbone, SetAside, SplitRecord
from autotl.records.measured import Budget, Decision, Measurements, RunEstimate
from autotl.records.trials import SearchRecord, Trial
from autotl.records.words import Metric


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
class Abstention:
    """The confidence under which the model gives no answer, so that its answers are right with the
    share `target_precision`.

    `threshold` was chosen on validation rows, where `bound` is the share's lower bound of 95 %
    confidence; None where no threshold has a bound that reaches the target (`bound` is then the
    best that was met). `coverage` is the share of test rows that are answered, `precision` the
    share of right ones among those (None where none are).
    """

    target_precision: float
    threshold: float | None
    bound: float
    coverage: Interval | None = None
    precision: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A test row of class `label` that the model calls `predicted`, with that `probability`.

    Classes are numbers in the order of the data's. `thumbnail` is a JPEG; None where the image
    could not be read again.
    """

    id: str
    label: int
    predicted: int
    probability: float
    thumbnail: FileRef | None = None


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Test rows whose confidence lies in `low` .. `high`: how many, their mean confidence, and the
    share of right answers; both None where there are none.
    """

    low: float
    high: float
    examples: int
    confidence: float | None = None
    accuracy: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Test figures of the final model, the baselines on the same rows, and calibration.

    `confusion[i][j]` counts test rows of class i predicted as j. `temperature` was fitted on
    validation rows. `predictions` is (test, classes) float32 probabilities, in the order of the
    test rows without those in `set_aside`. `linear_probe` is None where the probe's trial failed,
    `abstention` where no target precision was asked for. `reliability` are bins of equal width of
    confidence, `mistakes` the most confident wrong answers; None where they were not recorded.
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
    abstention: Abstention | None = None
    reliability: tuple[Bin, ...] | None = None
    mistakes: tuple[Mistake, ...] | None = None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far the ONNX file is from the Keras model on the training path, from raw inputs.

    Differences are of probabilities; `tolerance` is scaled to the model's own response to a
    relative input change of 1e-6. `optimised_difference` is between onnxruntime with all its
    optimisations and with none; None for what does not run in it. `embedding_difference` is the
    largest of a feature, in shares of the largest feature; None without an embedding.
    """

    examples: int
    top1_agreement: float
    explained: int
    median_difference: float
    largest_difference: float
    tolerance: float
    optimised_difference: float | None
    embedding_difference: float | None = None


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast a variant runs beside `model.onnx` on this machine, at one batch.

    `seconds` and `seconds_float` are medians for the whole batch, the variant's and the model's.
    `ratio` is the median of the model's seconds by the variant's, taken in turns, with its 95 %
    interval: 2 is twice as fast. The single images are photographs at their own size, those of the
    batches already resized.
    """

    batch: int
    ratio: Interval
    seconds: float
    seconds_float: float


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """A variant of `model.onnx` with fewer bits, kept or not, and the figures of both.

    Accuracies, 0 to 1, are of the same `rows` validation rows from raw images; `difference` is the
    variant's less the model's, with the 95 % interval of a paired difference. None is what was not
    measured. `size` and `size_float` are bytes, what lies beside the files included. `file` is None
    where the variant was not kept; `data` where nothing lies beside it. `parity` and `checks` are
    the gate's, as an export's; a variant that need not equal the model has no `parity`.
    """

    kind: Literal["int8", "float16"]
    kept: bool
    reason: str
    rows: int = 0
    accuracy: float | None = None
    accuracy_float: float | None = None
    difference: Interval | None = None
    paces: tuple[Pace, ...] = ()
    size: int | None = None
    size_float: int | None = None
    parity: Parity | None = None
    checks: tuple[str, ...] = ()
    file: FileRef | None = None
    data: FileRef | None = None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Export:
    """The exported file and its proof. `data` is the file beside it that holds the numbers of a
    model over 2 GB; `features` the length of an embedding, where that is an output.
    """

    model: FileRef
    opset: int
    parity: Parity
    checks: tuple[str, ...]
    data: FileRef | None = None
    features: int | None = None
    variants: tuple[Quantised, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """A finished run's model in another format, and its proof. `folder` is an absolute path, by
    which `files` go; `versions` are those of what made and checked it.
    """

    format: str
    folder: str
    files: tuple[FileRef, ...]
    parity: Parity
    checks: tuple[str, ...]
    versions: dict[str, str]
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Pictured:
    """An example that the report shows: its class by number, and a JPEG (None: not readable)."""

    id: str
    label: int
    thumbnail: FileRef | None = None


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A training example whose nearest neighbours all bear the class `borne`, and not its own."""

    example: Pictured
    borne: int


@dataclass(frozen=True, kw_only=True)
class CopyGroup:
    """Examples of the same content: how many, ids and classes of the first, one picture.

    `thumbnail` is None where all of them are test rows, which nothing but `evaluate` opens.
    """

    examples: int
    ids: tuple[str, ...]
    labels: tuple[int, ...]
    thumbnail: FileRef | None = None


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What of the data is worth a look: labels in doubt, some of `doubts` in all (None: not
    counted), near-copies by pairs, and exact copies, some of `groups` in all.
    """

    suspects: tuple[Suspect, ...] = ()
    doubts: int | None = None
    near: tuple[tuple[Pictured, Pictured], ...] = ()
    copies: tuple[CopyGroup, ...] = ()
    groups: int = 0


@dataclass(frozen=True, kw_only=True)
class RunRecords:
    """Every record of a run, for the report. `seconds` is by step, over all sittings;
    `recipe_learning_rate` that of the chosen strategy's default recipe, None where it has none;
    `estimate` what was foreseen when it was decided; `pictures` is None where none were made.
    """

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
    recipe_learning_rate: float | None = None
    estimate: RunEstimate | None = None
    pictures: Pictures | None = None


@dataclass(frozen=True, kw_only=True)
class ReportRecord:
    """The files that the report step wrote; `page` is None where it wrote none."""

    report: FileRef
    card: FileRef
    page: FileRef | None = None
