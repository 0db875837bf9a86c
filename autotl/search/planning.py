"""Which fixed trials there are, what a trial costs, and what it may take of the budget (pure)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autotl.records import Recipe, Speed, Strategy, Trial

LEAST_SHARE = 0.5
"""A proposal, the runner-up or a longer training is not begun with less than this share of its
estimated seconds; the chosen strategy's own default needs one epoch."""
MINIMUM = 3.0
"""Seconds below which nothing is worth beginning."""
HEAD_SECONDS = 2e-5
"""Seconds a row and epoch of a head's own training, where nothing below it is trained; a floor
until the first trial has corrected the estimate."""
RATIO = (0.2, 5.0)
"""Bounds of the correction that earlier trials make to an estimate."""
LARGEST_RESERVE = 1 / 3
LONGER = 3
"""Times the epochs of a default recipe that its longer training has (`benchmarks/spending.py`)."""
PROVEN = 1000
"""Validation rows on which an exported model is compared with the trained one, at most."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Numbers of rows; `test` may be an estimate. `decode` is the seconds that a row's decoding
    takes, which are paid anew in every pass where the pixels are not `stored`.
    """

    train: int
    validation: int
    test: int
    decode: float = 0.0
    stored: bool = True


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds of one trial: to build, to store what lies below the boundary, of each epoch."""

    fixed: float
    store: float
    epoch: float
    epochs: int

    @property
    def total(self) -> float:
        """All of it."""
        return self.fixed + self.store + self.epoch * self.epochs

    @property
    def least(self) -> float:
        """With a single epoch."""
        return self.fixed + self.store + self.epoch


@dataclass(frozen=True, kw_only=True)
class Step:
    """A trial to come. `share` is its part of what the budget had left after the probe (1: all that
    it has left by then); `parent` the trial that it goes on from, if any.
    """

    number: int
    origin: str
    recipe: Recipe
    share: float = 1.0
    parent: int | None = None


def seed_of(seed: int, *path: int) -> int:
    """A positive seed below 2**31 for one use, spread so that neighbouring seeds share nothing."""
    drawn = int(np.random.SeedSequence([seed, *path]).generate_state(1)[0])
    return 1 + drawn % (2**31 - 2)


def fixed_trials(
    race: float,
    probe: Recipe,
    default: Recipe,
    runner_up: Recipe | None,
    head: Recipe | None = None,
) -> tuple[Step, ...]:
    """Trial 0 the probe, 1 the chosen strategy's default, 2 the runner-up's where there is a race,
    then a head alone on all stages where there is one.

    `race` is the runner-up's share of the budget. What equals another one is not run twice, and
    takes no share.
    """
    if runner_up == probe:
        runner_up = None
    planned = [("default", default, 1.0 - race if runner_up else 1.0)]
    if runner_up:
        planned.append(("runner-up", runner_up, race))
    if head is not None and default.strategy != head.strategy:
        planned.append(("head", head, 1.0))
    kept = [one for one in planned if one[1] != probe]
    return (
        Step(number=0, origin="probe", recipe=probe),
        *(
            Step(number=number, origin=origin, recipe=recipe, share=share)
            for number, (origin, recipe, share) in enumerate(kept, 1)
        ),
    )


def rated(recipe: Recipe, rates: Mapping[Strategy, float]) -> Recipe:
    """The default recipe at the learning rate that was decided: its own times what `rates` has."""
    numbers = recipe.numbers
    rate = numbers.learning_rate * rates.get(recipe.strategy, 1.0)
    return replace(recipe, numbers=replace(numbers, learning_rate=rate))


def longer(recipe: Recipe) -> Recipe:
    """The recipe with `LONGER` times its epochs, each with a view of its own where they had one."""
    numbers = recipe.numbers
    views = numbers.views if numbers.views < numbers.epochs else LONGER * numbers.views
    return replace(recipe, numbers=replace(numbers, epochs=LONGER * numbers.epochs, views=views))


def estimate(recipe: Recipe, speed: Speed, rows: Rows, *, stored: bool = False) -> Estimate:
    """What a trial takes by the measured speed; `stored` says that its activations are there."""
    shares = speed.share_above
    above = shares[min(recipe.boundary, len(shares) - 1)]
    views = recipe.numbers.views if recipe.numbers.augment != "none" else 1
    passes = rows.train * views + rows.validation
    drawn = 0.0 if rows.stored else rows.decode
    below = speed.forward * (1.0 - above) + drawn
    # where the pixels do not fit the store, outputs of a stage hardly do: all is done every epoch
    anew = not rows.stored and recipe.boundary < max(recipe.taps)
    store = 0.0 if stored or anew or not recipe.boundary else passes * below
    trained = 0.0 if recipe.boundary >= max(recipe.taps) else above
    epoch = rows.train * (speed.train * trained + HEAD_SECONDS)
    epoch += rows.validation * speed.forward * trained
    epoch += (rows.train + rows.validation) * below if anew else 0.0
    epochs = 1 if recipe.head.solver == "logistic-regression" else recipe.numbers.epochs
    return Estimate(fixed=speed.fixed, store=store, epoch=epoch, epochs=epochs)


def store_key(recipe: Recipe) -> tuple[object, ...]:
    """Trials with equal keys start from the same stored activations."""
    numbers = recipe.numbers
    views = numbers.views if numbers.augment != "none" else 1
    head_only = recipe.boundary >= max(recipe.taps)
    start = recipe.taps if head_only else (recipe.boundary,)
    return (recipe.pretrained, head_only, start, numbers.augment, views)


def corrected(
    recipe: Recipe, speed: Speed, rows: Rows, finished: Sequence[Trial]
) -> tuple[Estimate, float]:
    """The estimate of a trial and the factor by which earlier trials of its kind took longer
    than theirs, bounded by `RATIO`. Where there is none, other gradient trainings serve; a fitted
    head tells nothing of them.
    """
    stored: set[tuple[object, ...]] = set()
    ratios: list[tuple[tuple[str, str], float]] = []
    for trial in finished:
        key = store_key(trial.recipe)
        if trial.result is not None:
            before = estimate(trial.recipe, speed, rows, stored=key in stored)
            spent = before.fixed + before.store + before.epoch * trial.result.epochs
            ratios.append((_kind(trial.recipe), trial.seconds / max(spent, 1e-6)))
        stored.add(key)
    own = [ratio for kind, ratio in ratios if kind == _kind(recipe)]
    others = [ratio for (strategy, _), ratio in ratios if strategy != "feature-extraction"]
    factor = statistics.median(own or others or [1.0])
    now = estimate(recipe, speed, rows, stored=store_key(recipe) in stored)
    return now, min(max(factor, RATIO[0]), RATIO[1])


def _kind(recipe: Recipe) -> tuple[str, str]:
    return recipe.strategy, recipe.head.solver


def reserve(speed: Speed, rows: Rows, budget: float) -> float:
    """Seconds to keep for evaluation and export: two models are written and predict the test
    rows, one is converted and passes its gate on validation rows, both of which are decoded for
    it. At most a third of `budget`.
    """
    building = max(15.0, 10.0 * speed.fixed)
    proof = min(rows.validation, PROVEN)
    # rows that are not stored are decoded to see that they can be, for the model and for the probe
    decodings = rows.test * (1 if rows.stored else 3) + proof
    passes = speed.forward * (3 * rows.test + 2 * proof) + rows.decode * decodings
    return min(building + passes, budget * LARGEST_RESERVE)


def allowance(
    one: Step, cost: Estimate, factor: float, *, left: float, reserve: float, spent: float = 0.0
) -> float | None:
    """Seconds that a trial may take of `left`, `reserve` kept back; None if it is not worth
    beginning. The probe begins whenever anything is left, and may eat the reserve. The runner-up's
    share counts from before the default, which took `spent`.
    """
    needed = max(cost.total * factor, MINIMUM)
    if one.origin == "probe":
        return max(left - reserve, min(left, 2.0 * needed))
    room = left - reserve
    offered = min(room, (room + spent) * one.share)
    least = max(cost.least * factor, MINIMUM)
    if one.origin != "default":
        least = max(least, LEAST_SHARE * cost.total * factor)
    return offered if offered >= least else None
