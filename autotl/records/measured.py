"""What is measured, and what is decided from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from autotl.records.words import Strategy


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much there is to learn from. `imbalance` is largest class over smallest.

    `duplicates` are exact copies across given splits, which were dropped, `copies` exact ones
    within the training rows. Of `examined` training rows: `near_copies` nearly repeat another one,
    `doubts` have neighbours that all bear one other label (`doubtful`: ids of some, nearest
    first; `borne`: the class that the neighbours of each bear). `near_leaks` are validation rows
    that nearly repeat one of them. `near_pairs` are ids of some near-copies, those of different
    labels first. `effective` is what the training examples are worth (`measure.quality`). None: not
    measured. `validation` is the number of validation rows.
    """

    examples: int
    train: int
    classes: int
    per_class_least: int
    per_class_median: float
    imbalance: float
    duplicates: int
    median_side: int
    validation: int = 0
    copies: int = 0
    examined: int = 0
    near_copies: int | None = None
    near_leaks: int | None = None
    doubts: int | None = None
    doubtful: tuple[str, ...] = ()
    borne: tuple[int, ...] = ()
    near_pairs: tuple[tuple[str, str], ...] = ()
    effective: float | None = None


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Similarity of the target to the source domain, 0 (like noise) to 1, with a 95 % interval.

    All three are None where it cannot be measured; `reason` then says why. They are by batch norm
    where the backbone has it, else by Frechet distance; `stages` is the figure of each stage by
    batch norm (None for one without), `frechet` that by the reference statistics, None where there
    are none of the input size.
    """

    value: float | None
    low: float | None
    high: float | None
    reason: str = ""
    stages: tuple[float | None, ...] = ()
    frechet: float | None = None


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
    `fixed` is seconds to build and compile one training model; `decode` seconds of decoding that
    an image costs in every pass over the pixels (0 where they are stored).
    """

    forward: float
    train: float
    share_above: tuple[float, ...]
    fixed: float
    decode: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """Everything that the decision reads. `tap` is the stage of the best linear probe (1-based),
    `boundary` the proposed k for partial freeze (0 where there is none; `no_partial_freeze` says
    why where the backbone itself rules it out), `weights` the SHA-256 of the pretrained weights.
    `together` is the accuracy of the linear probe of all stages side by side (None: not measured),
    `reads` the stages that a head alone reads (none: the tap). `notes` are sentences on what the
    probes cannot tell.
    """

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
    no_partial_freeze: str = ""
    together: float | None = None
    reads: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One backbone among several: cross-validated accuracy of a linear probe on its last stage
    (None where it was only timed), seconds an image of a forward pass, and seconds to build and
    compile a training model, about, and to decode an image; all None and 0 where it could not be
    run (`failure`).
    """

    name: str
    input_size: int
    parameters: int
    linear: float | None = None
    forward: float | None = None
    fixed: float = 0.0
    decode: float = 0.0
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The backbone chosen by probing several on `examples` training rows, and why."""

    chosen: str
    reason: str
    examples: int
    candidates: tuple[Ranked, ...]
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Seconds of wall-clock and number of trials; None where not limited."""

    seconds: float | None
    trials: int | None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Predicted test accuracy with a 95 % interval, and minutes of one default training."""

    accuracy: float
    low: float
    high: float
    minutes: float


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The choice, the evidence in sentences, and what was predicted for each strategy.

    `frozen` are the stages 1..boundary by name, `tap` the stages whose pooled output the head
    reads. `learning_rate` 0 is the recipe's default. `margin` is predicted accuracy over the
    runner-up's (negative where the best generalist was kept). `race` is the share of the search
    budget that the runner-up gets (0 where it is not raced). `engine` is what the engine would have
    chosen where the user named a strategy (`forced`); `fixed` names what else the user settled:
    "boundary", "taps", "learning_rate". `reads` are the stages that a head alone reads, whatever
    the strategy; `rates` says by how much the learning rate of a strategy's default recipe is
    multiplied, where it is.
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
    fixed: tuple[str, ...] = ()
    reads: tuple[int, ...] = ()
    rates: dict[Strategy, float] = field(default_factory=dict)


CUT = 0.95
"""Share of its length under which a training counts as shortened."""


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """Trainings to come. `role` is "heads" (the probe, and a head on all stages: both are fitted on
    stored outputs), "default" or "runner-up"; `seconds` are of the whole of it, `given` those that
    the budget leaves for it (None: no clock).
    """

    role: Literal["heads", "default", "runner-up"]
    strategy: Strategy
    seconds: float
    given: float | None

    @property
    def span(self) -> float:
        """Seconds that it will take."""
        return self.seconds if self.given is None else min(self.seconds, self.given)

    @property
    def shortened(self) -> bool:
        """Whether the budget holds less than `CUT` of it."""
        return self.span < CUT * self.seconds


@dataclass(frozen=True, kw_only=True)
class RunEstimate:
    """What a run will take from the decision on, in seconds, and which budget would suffice.

    `finishing` is evaluation and export, which no budget cuts, `most` about what the run takes from
    here if the search uses up its time (None: no clock). `budget` is what was asked for. The others
    are budgets of a whole run that hold it unshortened: `suffices` the trainings to come (those of
    the strategy that would be chosen without a clock; None also where the number of trials leaves
    them out), `longer` also one of three times the length, `larger` those at `larger_size` pixels,
    where the budget made the input smaller than the images would bear (else None). `several` says
    that they hold for this backbone, while a larger budget would compare it with others. `warnings`
    say what the budget, or the number of trials, does not hold.
    """

    trainings: tuple[Foreseen, ...]
    finishing: float
    most: float | None
    budget: float | None
    suffices: float | None
    longer: float | None
    larger: float | None = None
    larger_size: int | None = None
    several: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def planned(self) -> float:
        """Seconds of all that is to come, but for what only a rest of the budget is spent on."""
        return sum(one.span for one in self.trainings) + self.finishing
