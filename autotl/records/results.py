"""What evaluation, export and the report give."""

from __future__ import annotations

from dataclasses import dataclass

from autotl.records.data import FileRef, LoadRecord, LocatedBackbone, SetAside, SplitRecord
from autotl.records.measured import Budget, Decision, Measurements
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
class Evaluation:
    """Test figures of the final model, the baselines on the same rows, and calibration.

    `confusion[i][j]` counts test rows of class i predicted as j. `temperature` was fitted on
    validation rows. `predictions` is (test, classes) float32 probabilities, in the order of the
    test rows without those in `set_aside`. `linear_probe` is None where the probe's trial failed,
    `abstention` where no target precision was asked for.
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
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far the ONNX file is from the Keras model on the training path, from raw inputs.

    Differences are of probabilities; `tolerance` is scaled to the model's own response to a
    relative input change of 1e-6. `optimised_difference` is between onnxruntime with all its
    optimisations and with none; None for what does not run in it.
    """

    examples: int
    top1_agreement: float
    explained: int
    median_difference: float
    largest_difference: float
    tolerance: float
    optimised_difference: float | None


@dataclass(frozen=True, kw_only=True)
class Export:
    """The exported file and its proof. `example` is the script that serves it."""

    model: FileRef
    opset: int
    parity: Parity
    checks: tuple[str, ...]
    example: FileRef | None = None
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
class RunRecords:
    """Every record of a run, for the report. `seconds` is by step, over all sittings;
    `recipe_learning_rate` that of the chosen strategy's default recipe, None where it has none.
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


@dataclass(frozen=True, kw_only=True)
class ReportRecord:
    """The files that the report step wrote."""

    report: FileRef
    card: FileRef
