"""The decision's coefficients from rows of measurements and trainings (pure).

A row is a mapping: `data`, the set's name; `measurements` (JSON of `Measurements`); `strategies`,
what each strategy's training gave (accuracy, test, seconds, epochs, stopped, recipe); `code`, the
trainer's digest; `machine`; `timed`, whether one kind of machine measured and trained.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.decide.coefficients import SCHEMA, Coefficients, Line, Scale, Thresholds
from autotl.decide.features import FEATURES, features, odds, per_class
from autotl.decide.prediction import WIDTH, reference, unit
from autotl.decide.scenario import TABLE
from autotl.records import STRATEGIES, Measurements, Strategy, from_json

BETWEEN, LEAST_BETWEEN, ROUNDS = 1.0, 0.01, 3
"""Variance between data sets, in log odds: where its estimate starts, its floor, its rounds."""
STRENGTHS = tuple(10.0**power for power in np.arange(-1, 3.5, 0.5))

PARTED = 0.6

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Standardised features (rows, 5) with 0 for what was not measured; by strategy (4, rows) the
    log odds gained over the reference probe, nan where not trained, and their weights, of mean 1;
    the data set of each row.
    """

    features: Matrix
    gained: Matrix
    weights: Matrix
    data: NDArray[np.str_]

    def rows(self, chosen: NDArray[np.bool_]) -> Table:
        """Some of the rows."""
        return Table(
            features=self.features[chosen],
            gained=self.gained[:, chosen],
            weights=self.weights[:, chosen],
            data=self.data[chosen],
        )


def fit(found: list[dict[str, Any]]) -> tuple[Coefficients, str]:
    """The coefficients for rows of at least two data sets, and what to say of them.

    Ridge regression for all strategies at once, of the log odds gained over the reference probe,
    each weighted by the inverse of its variance: that of counting right answers (Gart and Zweifel
    1967), large where nearly all are right, and one between data sets.
    More examples never speak for more freezing: the weight of `examples` does not fall from a
    strategy to a freer one. Higher similarity never speaks for scratch: no strategy's weight of
    it is below that of scratch. The strength is the one with the least squared error, for data sets
    left out, of the differences between strategies, by which the choice is made; the errors give
    the intervals, widened by Student's t for so few data sets.
    """
    measured = [from_json(Measurements, row["measurements"]) for row in found]
    names = sorted({row["data"] for row in found})
    if len(names) < 2:
        raise SystemExit("Rows of at least two data sets are needed.")
    scales, table, counting = _table(found, measured)
    between = BETWEEN
    for _ in range(ROUNDS):
        table = replace(table, weights=_weights(counting, between))
        strength = min(STRENGTHS, key=lambda s: _spread(_left_out(table, s), table.weights))
        residuals = _left_out(table, strength)
        excess = np.average(*_known(residuals**2 - counting, table.weights))
        between = max(float(excess), LEAST_BETWEEN)
    weights = _solved(table, strength)
    wider = _wider(len(names))
    lines = {
        strategy: Line(
            intercept=float(weights[i, 0]),
            weights=tuple(float(w) for w in weights[i, 1:]),
            deviation=wider * _root(residuals[i], table.weights[i]),
            **_habits(strategy, found, measured),
        )
        for i, strategy in enumerate(STRATEGIES)
    }
    pairs = {
        " ".join(sorted((STRATEGIES[i], STRATEGIES[j]))): wider
        * _root(residuals[i] - residuals[j], table.weights[i] * table.weights[j])
        for i, j in itertools.combinations(range(len(STRATEGIES)), 2)
    }
    fitted = Coefficients(
        schema=SCHEMA,
        provisional=True,
        code=found[0]["code"],
        backbones={m.backbone: m.weights or "" for m in measured},
        data=tuple(names),
        rows=len(found),
        machine="; ".join(sorted({row["machine"] for row in found})),
        features=scales,
        strategies=lines,
        pairs=pairs,
        thresholds=_thresholds(found, measured),
        generalist=_generalist(table),
    )
    ended = [one["stopped"] == "deadline" for row in found for one in row["strategies"].values()]
    references = np.array([reference(one) for one in measured])
    report = _report(fitted, table, residuals, references, strength)
    return fitted, f"{report}\n{sum(ended)} of {len(ended)} trainings were ended by a cap"


def _table(
    found: list[dict[str, Any]], measured: list[Measurements]
) -> tuple[tuple[Scale, ...], Table, Matrix]:
    """Scales of the features, the table with equal weights, and the variance of its log odds that
    comes from counting (4, rows).
    """
    raw = np.array([[np.nan if v is None else v for v in features(m)] for m in measured])
    scales = tuple(_scale(name, column) for name, column in zip(FEATURES, raw.T, strict=True))
    gained = np.full((len(STRATEGIES), len(found)), np.nan)
    counting = np.full_like(gained, np.nan)
    for i, strategy in enumerate(STRATEGIES):
        for j, (row, one) in enumerate(zip(found, measured, strict=True)):
            if (trained := row["strategies"].get(strategy)) and whole(trained):
                score = odds(trained["accuracy"], trained["test"])
                gained[i, j] = score - reference(one)
                counting[i, j] = _counting(trained["accuracy"], trained["test"])
    standard = np.nan_to_num(
        (raw - [scale.mean for scale in scales]) / [scale.deviation for scale in scales]
    )
    data = np.array([row["data"] for row in found])
    equal = np.where(np.isnan(gained), np.nan, 1.0)
    return scales, Table(features=standard, gained=gained, weights=equal, data=data), counting


def _counting(accuracy: float, examples: int) -> float:
    right = accuracy * examples
    return 1 / (right + 0.5) + 1 / (examples - right + 0.5)


def _weights(counting: Matrix, between: float) -> Matrix:
    found = 1 / (counting + between)
    return np.asarray(found / np.nanmean(found))


def _known(values: Matrix, weights: Matrix) -> tuple[Matrix, None, Matrix]:
    """What is there of `values`, an axis for `numpy.average`, and their weights."""
    there = ~np.isnan(values)
    return values[there], None, weights[there]


def whole(trained: dict[str, Any]) -> bool:
    """Whether a training had at least half of its recipe's epochs."""
    return trained["stopped"] != "deadline" or 2 * _epochs(trained) >= _planned(trained)


def _scale(name: str, column: Matrix) -> Scale:
    there = column[~np.isnan(column)]
    if not len(there):
        return Scale(name=name, mean=0.0, deviation=1.0, low=0.0, high=0.0)
    return Scale(
        name=name,
        mean=float(there.mean()),
        deviation=float(there.std()) or 1.0,
        low=float(there.min()),
        high=float(there.max()),
    )


def _solved(table: Table, strength: float) -> Matrix:
    """Intercept and weights (4, 6), by least squares within the bounds that `_basis` gives."""
    from scipy.optimize import lsq_linear

    basis, signed = _basis()
    design, target = [], []
    width = 1 + len(FEATURES)
    for i in range(len(STRATEGIES)):
        there = ~np.isnan(table.gained[i])
        block = np.zeros((int(there.sum()), len(STRATEGIES) * width))
        block[:, i * width] = 1
        block[:, i * width + 1 : (i + 1) * width] = table.features[there]
        root = np.sqrt(table.weights[i, there])
        design.append(block * root[:, None])
        target.append(table.gained[i, there] * root)
    penalty = np.diag([0.0 if j % width == 0 else math.sqrt(strength) for j in range(len(basis))])
    a = np.concatenate([*design, penalty]) @ basis
    b = np.concatenate([*target, np.zeros(len(basis))])
    low = np.where(signed, 0.0, -np.inf)
    found = lsq_linear(a, b, bounds=(low, np.inf), tol=1e-12).x
    found = np.where(signed, np.maximum(found, 0.0), found)
    return np.asarray((basis @ found).reshape(len(STRATEGIES), width))


def _basis() -> tuple[Matrix, NDArray[np.bool_]]:
    """Columns whose sums are the allowed weights (24, columns), and which must not be negative."""
    width = 1 + len(FEATURES)
    columns, signed = [], []

    def add(cells: list[tuple[int, str | None]], positive: bool) -> None:
        column = np.zeros((len(STRATEGIES), width))
        for i, name in cells:
            column[i, 0 if name is None else 1 + FEATURES.index(name)] = 1
        columns.append(column.ravel())
        signed.append(positive)

    every = range(len(STRATEGIES))
    for i in every:
        for name in (None, "probe", "slope", "gap"):
            add([(i, name)], positive=False)
        add([(j, "examples") for j in every if j >= i], positive=i > 0)
        if STRATEGIES[i] == "scratch":
            add([(j, "similarity") for j in every], positive=False)
        else:
            add([(i, "similarity")], positive=True)
    return np.array(columns).T, np.array(signed)


def _left_out(table: Table, strength: float) -> Matrix:
    """Errors (4, rows) of predictions for each row by a fit without its data set."""
    errors = np.full_like(table.gained, np.nan)
    for name in np.unique(table.data):
        out = table.data == name
        weights = _solved(table.rows(~out), strength)
        expected = weights[:, :1] + weights[:, 1:] @ table.features[out].T
        errors[:, out] = table.gained[:, out] - expected
    return errors


def _spread(errors: Matrix, weights: Matrix) -> float:
    """Mean squared error about each row's mean: what all strategies miss alike is no matter."""
    known = np.where(np.isnan(errors), 0.0, weights)
    filled = np.nan_to_num(errors)
    means = (filled * known).sum(axis=0) / known.sum(axis=0)
    return float(np.average((filled - means) ** 2, weights=known))


def _wider(data_sets: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, data_sets - 1)) / WIDTH


def _root(errors: Matrix, weights: Matrix) -> float:
    """Weighted root mean square; 0 where there is none."""
    values, _, known = _known(errors, weights)
    return float(np.sqrt(np.average(values**2, weights=known))) if len(values) else 0.0


def _habits(
    strategy: Strategy, found: list[dict[str, Any]], measured: list[Measurements]
) -> dict[str, Any]:
    """Passes over the training rows for each epoch of the recipe, and the range of examples.

    A training that a deadline ended counts by the epochs that it had.
    """
    sizes, passes = [], []
    for row, one in zip(found, measured, strict=True):
        trained = row["strategies"].get(strategy)
        if trained is None or not row["timed"]:
            continue
        spent = max(trained["seconds"] - one.speed.fixed, 0.1)
        sizes.append(one.size.train)
        passes.append(math.log(spent / (one.size.train * unit(strategy, one) * _epochs(trained))))
    logs = np.log(sizes)
    slope = 0.0 if np.ptp(logs) < 0.1 else float(np.polyfit(logs, passes, 1)[0])
    return {
        "passes": (float(np.mean(passes)) - slope * float(logs.mean()), slope),
        "examples": (min(sizes), max(sizes)),
    }


def _epochs(trained: dict[str, Any]) -> int:
    """Epochs that the seconds of a training are for; a fitted head counts as 1."""
    if trained["recipe"]["head"]["solver"] == "logistic-regression":
        return 1
    return int(trained["epochs"] if trained["stopped"] == "deadline" else _planned(trained))


def _planned(trained: dict[str, Any]) -> int:
    return int(trained["recipe"]["numbers"]["epochs"])


def _generalist(table: Table) -> Strategy:
    """The strategy of the highest mean gain, each data set counting once."""
    means = [
        np.mean([np.nanmean(gained[table.data == name]) for name in np.unique(table.data)])
        for gained in table.gained
    ]
    return STRATEGIES[int(np.nanargmax(means))]


def _thresholds(found: list[dict[str, Any]], measured: list[Measurements]) -> Thresholds:
    """The lines that best part the rows by the strategy that won in them."""
    winners = [
        max(row["strategies"], key=lambda name, row=row: row["strategies"][name]["accuracy"])
        for row in found
    ]
    free = [winner in {TABLE[True, True], TABLE[True, False]} for winner in winners]
    near = [winner in {TABLE[False, True], TABLE[True, True]} for winner in winners]
    return Thresholds(
        per_class=math.exp(_line([math.log(per_class(m)) for m in measured], free)),
        similarity=_line([features(m)[4] for m in measured], near),
        gap=_line([features(m)[3] for m in measured], near),
    )


def _line(values: list[float | None], above: list[bool]) -> float:
    """The value that best parts rows where `above` holds from the others; their median where it
    parts them less than `PARTED` right, balanced, where chance has a half.
    """
    known = [(v, a) for v, a in zip(values, above, strict=True) if v is not None]
    if not known:
        return 0.0
    spots = sorted({v for v, _ in known})
    middle = float(np.median([v for v, _ in known]))
    cuts = [(a + b) / 2 for a, b in itertools.pairwise(spots)]

    def balanced(cut: float) -> float:
        yes = [v >= cut for v, a in known if a]
        no = [v < cut for v, a in known if not a]
        return (float(np.mean(yes)) + float(np.mean(no))) / 2 if yes and no else 0.5

    best = max(cuts, key=lambda cut: (round(balanced(cut), 9), -abs(cut - middle)), default=middle)
    return best if balanced(best) >= PARTED else middle


def _report(
    fitted: Coefficients, table: Table, residuals: Matrix, references: Matrix, strength: float
) -> str:
    """How well rows of left-out data sets are predicted."""
    expected = table.gained - residuals
    lines = [
        f"{fitted.rows} rows, {len(fitted.data)} data sets, strength {strength:.2g}",
        *(
            f"{name:20} error {_root(residuals[i], table.weights[i]):.2f} log odds, widened "
            f"{fitted.strategies[name].deviation:.2f}, weights "
            + " ".join(f"{w:+.2f}" for w in fitted.strategies[name].weights)
            for i, name in enumerate(STRATEGIES)
        ),
        f"lines: {fitted.thresholds.per_class:.0f} a class, similarity "
        f"{fitted.thresholds.similarity:.2f}, gap {fitted.thresholds.gap:.2f}",
        f"gain explained, data sets left out: {_explained(table.gained, expected):.2f}",
        f"regret, data sets left out: {_regret(table, expected, references):.3f} in the mean",
    ]
    return "\n".join(lines)


def _regret(table: Table, expected: Matrix, references: Matrix) -> float:
    """Accuracy lost by training the strategy with the highest prediction instead of the best."""
    chosen = np.nanargmax(np.where(np.isnan(table.gained), np.nan, expected), axis=0)
    reached = 1 / (1 + np.exp(-(table.gained + references)))
    own = reached[chosen, np.arange(len(references))]
    return float(np.mean(np.nanmax(reached, axis=0) - own))


def _explained(gained: Matrix, expected: Matrix) -> float:
    there = ~np.isnan(gained)
    spread = gained[there] - gained[there].mean()
    return 1 - float(np.sum((gained - expected)[there] ** 2) / np.sum(spread**2))
