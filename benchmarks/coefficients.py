"""From what do the decision's coefficients come?

    python benchmarks/coefficients.py DATA
    python benchmarks/coefficients.py --fit

DATA is a folder that holds the data sets as `NAME/{train,test}/CLASS/*`. The first command
measures each cell (data set, training size, backbone) and trains all four strategies by their
default recipes; a finished cell is a line in `coefficients.jsonl` beside this script and is not
run again. With `--most`, a training longer than so many seconds is annealed to end there, and its
row says so: its accuracy and its seconds are both what that time gave. The second command fits
`autotl/decide/coefficients.json` to the rows of the sets that are named here.

cifar10 and Fashion-MNIST are left out on purpose: `scenarios.py` checks the order on them.
brain-mri is left out because its test folder is of another distribution than its train folder:
accuracy there, against a probe cross-validated on train, is 1.6 to 1.9 log odds too low whatever
the strategy, and tells of that shift rather than of strategies. `--fit` passes over its rows.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.decide.coefficients import (
    FILE,
    SCHEMA,
    Coefficients,
    Line,
    Scale,
    Thresholds,
    trainer_digest,
)
from autotl.decide.deciding import cut
from autotl.decide.features import FEATURES, features, odds, per_class
from autotl.decide.prediction import WIDTH, possible, reference, unit
from autotl.decide.scenario import TABLE
from autotl.records import (
    STRATEGIES,
    LocatedBackbone,
    Measurements,
    Recipe,
    Strategy,
    TrialResult,
    from_json,
    to_json,
)

ROWS = Path(__file__).with_suffix(".jsonl")
OUT = Path(__file__).parent.parent / "autotl" / "decide" / FILE
SETS = ("flowers", "trashnet", "sign-digits", "neu-steel", "mnist")
CELLS = (
    ("embedded", 64, 1000),
    ("MobileNetV2", 96, 1000),
    ("embedded", 64, 200),
    ("MobileNetV2", 96, 200),
)
"""Backbone, input size, training examples at most; all data sets of one before the next."""
SEED = 20261122
TEST = 500
STRENGTHS = tuple(10.0**power for power in np.arange(-1, 3.5, 0.5))
BATCH = 64

Matrix = NDArray[np.float64]


def main() -> None:
    """Run what is missing, or fit."""
    chosen = parser().parse_args()
    if chosen.data is None and not chosen.fit:
        parser().error("name the folder of data sets, or --fit")
    if chosen.data is not None:
        run(chosen.data, chosen.sets, CELLS[: chosen.cells], chosen.most)
    if chosen.fit:
        fitted, report = fit(usable(rows()))
        OUT.write_text(json.dumps(to_json(fitted), indent=1) + "\n", encoding="utf-8")
        print(report)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=_Plain)
    made.add_argument("data", type=Path, nargs="?")
    made.add_argument("--fit", action="store_true", help="write the coefficients")
    made.add_argument("--most", type=float, help="seconds a training (default: no cap)")
    made.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    made.add_argument("--cells", type=int, default=len(CELLS), help="how many of the kinds")
    return made


class _Plain(argparse.RawDescriptionHelpFormatter):
    pass


def rows() -> list[dict[str, Any]]:
    """The finished cells."""
    if not ROWS.is_file():
        return []
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]


def done(cell: dict[str, Any], found: list[dict[str, Any]]) -> bool:
    """Whether a row of this cell is there: of the same trainer, and with the same cap."""
    return any({key: row.get(key) for key in cell} == cell for row in found)


def usable(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that are fitted: those of `SETS`. Ends the script where they are of several
    trainers.
    """
    kept = [row for row in found if row["data"] in SETS]
    if len({row["code"] for row in kept}) > 1:
        raise SystemExit(f"{ROWS.name} holds rows of several trainers: take the older ones out.")
    return kept


# ---- rows ----


def run(data: Path, sets: list[str], cells: Any, most: float | None) -> None:
    """Add the missing cells to the rows."""
    from machine import statement

    from autotl.worker import Worker

    print(statement(), flush=True)
    with tempfile.TemporaryDirectory() as folder, Worker(recycle_above=3 * 10**9) as worker:
        for (backbone, size, examples), name in itertools.product(cells, sets):
            cell = {"data": name, "backbone": backbone, "input_size": size, "limit": examples}
            cell |= {"code": trainer_digest(), "most": most}
            if done(cell, rows()):
                continue
            begun = time.monotonic()
            row = cell | {"machine": statement()}
            row |= trained_cell(data / name, cell, worker, Path(folder), most)
            with ROWS.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            scores = {k: round(v["accuracy"], 3) for k, v in row["strategies"].items()}
            print(f"{cell} {scores} {time.monotonic() - begun:.0f} s", flush=True)


@functools.cache
def _loaded(path: Path) -> Any:
    from autotl import loading, split
    from autotl.plugins import discover

    loaded = loading.load(str(path), discover().loaders)
    return loaded, split.split(loaded.dataset, loaded.hashes, seed=SEED)


def _located(name: str, size: int) -> LocatedBackbone:
    from autotl.plugins import discover
    from autotl.plugins.weights import choose_backbone, located

    return located(choose_backbone(discover(), name, download=False), size)


def trained_cell(
    path: Path,
    cell: dict[str, Any],
    worker: Any,
    folder: Path,
    most: float | None,
    test_rows: int = TEST,
) -> dict[str, Any]:
    """Measurements of a cell, and what each strategy's default recipe gives on its test rows."""
    from autotl import activations
    from autotl.measure import measure

    loaded, split = _loaded(path)
    located = _located(cell["backbone"], cell["input_size"])
    train = _some(loaded, split.train, cell["limit"])
    validation = _some(
        loaded, split.validation, max(len(train) // 4, 2 * len(loaded.dataset.classes))
    )
    cache = folder / "cache"
    pixels = activations.store_pixels(
        loaded.dataset, loaded.hashes, (train, validation), located, folder=cache
    )
    test = activations.store_rows(
        loaded.dataset, _some(loaded, split.test, test_rows), loaded.hashes, located, cache
    )
    measured = measure(
        pixels, located, loaded.record, split.record, worker, folder=cache, seed=SEED
    )
    asked = {
        "located": to_json(located),
        "pixels": to_json(pixels),
        "metric": "accuracy",
        "seed": SEED,
        "folder": str(cache),
        "out": str(folder / "trial"),
        "run_folder": str(folder),
        "probe": None,
        "deadline": most,
        "test": str(test.path),
    }
    truth = np.array([loaded.dataset.labels[row] for row in test.rows])
    trained = {
        strategy: _trained(
            asked | {"recipe": to_json(recipe_of(strategy, measured))}, truth, worker
        )
        for strategy in possible(measured)
    }
    return {"measurements": to_json(measured), "strategies": trained}


def _trained(spec: dict[str, Any], truth: NDArray[np.int64], worker: Any) -> dict[str, Any]:
    """Train one recipe, and judge it on the test rows."""
    result = from_json(TrialResult, worker.call("autotl.train.trial:run", spec))
    weights = str(Path(spec["run_folder"]) / result.weights.path)
    predicted = worker.call("coefficients:predict", spec | {"weights": weights})
    return {
        "accuracy": float(np.mean(np.array(predicted) == truth)),
        "test": len(truth),
        "right": np.packbits(np.array(predicted) == truth).tobytes().hex(),
        "seconds": result.seconds,
        "epochs": result.epochs,
        "stopped": result.stopped,
        "recipe": spec["recipe"],
    }


def _some(loaded: Any, part: tuple[int, ...], most: int) -> list[int]:
    from autotl.measure.size import draw

    labels = np.array([loaded.dataset.labels[row] for row in part])
    return [part[i] for i in draw(labels, most, seed=SEED)]


def recipe_of(strategy: Strategy, measured: Measurements) -> Recipe:
    """The default recipe, cut where the decision would cut."""
    from autotl.train import default

    boundary, taps = cut(strategy, measured)
    inside = boundary if strategy == "partial-freeze" else None
    return default(strategy, measured, boundary=inside, taps=taps)


def predict(spec: dict[str, Any], progress: Any) -> list[int]:
    """Labels that a trial's model gives for the test pixels; called in the worker."""
    from autotl import model
    from autotl.records import StoredPixels

    located, recipe = from_json(LocatedBackbone, spec["located"]), from_json(Recipe, spec["recipe"])
    classes = from_json(StoredPixels, spec["pixels"]).classes
    weights, stages = Path(spec["weights"]), located.backbone.stages
    net = model.build(located, pretrained=recipe.pretrained, seed=spec["seed"])
    standard = model.read_standard(weights)
    trained = model.trainable(net, stages, recipe, classes, standard=standard, seed=spec["seed"])
    model.load_trained(trained, weights)
    whole = model.full(net, stages, recipe, trained, located.preprocessing)
    pixels = np.load(spec["test"], mmap_mode="r", allow_pickle=False)
    found: list[int] = []
    for start in range(0, len(pixels), BATCH):
        batch = np.asarray(pixels[start : start + BATCH], np.float32)
        found += np.asarray(whole.predict_on_batch(batch)).argmax(axis=1).tolist()
    return found


# ---- fit ----


@dataclass(frozen=True, kw_only=True)
class Table:
    """Standardised features (rows, 5) with 0 for what was not measured; by strategy (4, rows) the
    log odds gained over the reference probe, nan where not trained; the data set of each row.
    """

    features: Matrix
    gained: Matrix
    data: NDArray[np.str_]


def fit(found: list[dict[str, Any]]) -> tuple[Coefficients, str]:
    """The coefficients for rows of at least two data sets, and what to say of them.

    Ridge regression for all strategies at once, of the log odds gained over the reference probe.
    More examples never speak for more freezing: the weight of `examples` does not fall from a
    strategy to a freer one. Higher similarity never speaks for scratch: its weight is 0 there and
    not negative elsewhere. The strength is the one with the least squared error for data sets
    left out, and those errors give the intervals, widened by Student's t for so few data sets.
    """
    measured = [from_json(Measurements, row["measurements"]) for row in found]
    names = sorted({row["data"] for row in found})
    if len(names) < 2:
        raise SystemExit("Rows of at least two data sets are needed.")
    scales, table = _table(found, measured)
    strength = min(STRENGTHS, key=lambda s: float(np.nanmean(_left_out(table, s) ** 2)))
    weights, residuals = _solved(table, strength), _left_out(table, strength)
    wider = _wider(len(names))
    lines = {
        strategy: Line(
            intercept=float(weights[i, 0]),
            weights=tuple(float(w) for w in weights[i, 1:]),
            deviation=wider * _root(residuals[i]),
            **_habits(strategy, found, measured),
        )
        for i, strategy in enumerate(STRATEGIES)
    }
    pairs = {
        " ".join(sorted((a, b))): wider
        * _root(residuals[STRATEGIES.index(a)] - residuals[STRATEGIES.index(b)])
        for a, b in itertools.combinations(STRATEGIES, 2)
    }
    fitted = Coefficients(
        schema=SCHEMA,
        provisional=True,
        code=found[0]["code"],
        backbones={m.backbone: m.weights or "" for m in measured},
        data=tuple(names),
        rows=len(found),
        machine=found[-1]["machine"],
        features=scales,
        strategies=lines,
        pairs=pairs,
        thresholds=_thresholds(found, measured),
    )
    ended = [one["stopped"] == "deadline" for row in found for one in row["strategies"].values()]
    report = _report(fitted, table, residuals, strength)
    return fitted, f"{report}\n{sum(ended)} of {len(ended)} trainings were ended by --most"


def _table(
    found: list[dict[str, Any]], measured: list[Measurements]
) -> tuple[tuple[Scale, ...], Table]:
    raw = np.array([[np.nan if v is None else v for v in features(m)] for m in measured])
    scales = tuple(_scale(name, column) for name, column in zip(FEATURES, raw.T, strict=True))
    gained = np.full((len(STRATEGIES), len(found)), np.nan)
    for i, strategy in enumerate(STRATEGIES):
        for j, (row, one) in enumerate(zip(found, measured, strict=True)):
            if trained := row["strategies"].get(strategy):
                score = odds(trained["accuracy"], trained["test"])
                gained[i, j] = score - reference(strategy, one)
    standard = np.nan_to_num(
        (raw - [scale.mean for scale in scales]) / [scale.deviation for scale in scales]
    )
    data = np.array([row["data"] for row in found])
    return scales, Table(features=standard, gained=gained, data=data)


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
        design.append(block)
        target.append(table.gained[i, there])
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
        if STRATEGIES[i] != "scratch":
            add([(i, "similarity")], positive=True)
    return np.array(columns).T, np.array(signed)


def _left_out(table: Table, strength: float) -> Matrix:
    """Errors (4, rows) of predictions for each row by a fit without its data set."""
    errors = np.full_like(table.gained, np.nan)
    for name in np.unique(table.data):
        out = table.data == name
        rest = Table(
            features=table.features[~out], gained=table.gained[:, ~out], data=table.data[~out]
        )
        weights = _solved(rest, strength)
        expected = weights[:, :1] + weights[:, 1:] @ table.features[out].T
        errors[:, out] = table.gained[:, out] - expected
    return errors


def _wider(data_sets: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, data_sets - 1)) / WIDTH


def _root(errors: Matrix) -> float:
    """Root mean square; that of a lone figure where nothing else is known is 0."""
    kept = errors[~np.isnan(errors)]
    return float(np.sqrt(np.mean(kept**2))) if len(kept) else 0.0


def _habits(
    strategy: Strategy, found: list[dict[str, Any]], measured: list[Measurements]
) -> dict[str, Any]:
    """Passes over the training rows for each epoch of the recipe, and the range of examples.

    A training that a deadline ended counts by the epochs that it had.
    """
    sizes, passes = [], []
    for row, one in zip(found, measured, strict=True):
        trained = row["strategies"].get(strategy)
        if trained is None:
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
    recipe = trained["recipe"]
    if recipe["head"]["solver"] == "logistic-regression":
        return 1
    return int(
        trained["epochs"] if trained["stopped"] == "deadline" else recipe["numbers"]["epochs"]
    )


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
    """The value that best parts rows where `above` holds from the others (their median where
    it does not part them better than by chance).
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
    return best if balanced(best) > 0.5 else middle


def _report(fitted: Coefficients, table: Table, residuals: Matrix, strength: float) -> str:
    """How well rows of left-out data sets are predicted."""
    expected = table.gained - residuals
    lines = [
        f"{fitted.rows} rows, {len(fitted.data)} data sets, strength {strength:.2g}",
        *(
            f"{name:20} error {_root(residuals[i]):.2f} log odds, widened "
            f"{fitted.strategies[name].deviation:.2f}, weights "
            + " ".join(f"{w:+.2f}" for w in fitted.strategies[name].weights)
            for i, name in enumerate(STRATEGIES)
        ),
        f"lines: {fitted.thresholds.per_class:.0f} a class, similarity "
        f"{fitted.thresholds.similarity:.2f}, gap {fitted.thresholds.gap:.2f}",
        f"gain explained, data sets left out: {_explained(table.gained, expected):.2f}",
    ]
    return "\n".join(lines)


def _explained(gained: Matrix, expected: Matrix) -> float:
    there = ~np.isnan(gained)
    spread = gained[there] - gained[there].mean()
    return 1 - float(np.sum((gained - expected)[there] ** 2) / np.sum(spread**2))


if __name__ == "__main__":
    main()
