"""Recipes, trials, and the ledger that the search keeps them in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from autotl.records.data import FileRef
from autotl.records.words import Metric, Strategy


@dataclass(frozen=True, kw_only=True)
class Head:
    """The classifier on the pooled taps; `hidden` 0 is a linear head, `solver` how it is fitted."""

    solver: Literal["logistic-regression", "gradient"] = "gradient"
    hidden: int = 0
    dropout: float = 0.0
    l2: float = 1e-4


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The numbers of a gradient training. `backbone_rate` multiplies the learning rate of
    transferred stages, and `layer_decay` that of each stage once more for every stage above it;
    for the share `unfreeze` of the schedule only the head is trained. `views` augmented views of
    strength `augment` are drawn of each example. `mixup` is alpha of the Beta distribution that
    examples are mixed by (0: not), `class_weights` the power of a class's rarity that its
    examples are weighted by (0: all alike, 1: all classes alike), `average` the decay of the
    moving average of the weights that is judged and kept (0: the weights themselves).
    """

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
    layer_decay: float = 1.0
    unfreeze: float = 0.0
    mixup: float = 0.0
    class_weights: float = 0.0
    average: float = 0.0


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
    mapping an epoch. `stopped` says why it ended: "epochs", "patience", "deadline". `batch` is
    the examples of a step where memory would not do for the recipe's, else None. `crossed` is
    the file of out-of-fold logits (.npy float32 (train + validation, classes)), None where stages
    are trained, validation rows are not few, or the rows or the time would not do for folds.
    """

    metrics: dict[str, float]
    epochs: int
    seconds: float
    weights: FileRef
    predictions: FileRef
    stopped: str
    history: tuple[dict[str, float], ...] = ()
    crossed: FileRef | None = None
    batch: int | None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial in the journal. `origin` is "probe", "default", "runner-up", "head", "longer" or
    "proposal"; `hyperparameters` is what the oracle proposed (empty for other trials); a failed
    trial has `failure` and no `result`. `seed` is the trial's own, from which it drew everything;
    `parent` the trial whose weights it went on from, whose epochs are not in its recipe.
    """

    number: int
    origin: str
    recipe: Recipe
    hyperparameters: dict[str, Any]
    status: Literal["finished", "failed"]
    seconds: float
    result: TrialResult | None = None
    failure: str | None = None
    seed: int = 0
    parent: int | None = None


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

    def started(
        self, number: int, recipe: Recipe, hyperparameters: Mapping[str, Any], epoch: int
    ) -> None:
        """Called before a trial is trained, from the end of `epoch` on (0: from its beginning);
        written to the journal at once.
        """

    def finished(self, trial: Trial) -> None:
        """Called when a trial has ended, finished or failed."""

    def replay(self, number: int) -> Trial | None:
        """The journal's record of a trial that already ended, else None."""

    def starts(self, number: int, epoch: int | None = None) -> int:
        """How often a trial without an end was already started, from the end of `epoch` where
        that is named (2: give it up).
        """
