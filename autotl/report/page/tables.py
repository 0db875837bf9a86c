"""Rows of the page's tables, from `report.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autotl.records import STRATEGIES
from autotl.report.page.wording import UNKNOWN, count, number, percent, share
from autotl.report.trained import NOTHING, shortened, untrained

Report = Mapping[str, Any]
Row = dict[str, Any]

_UNTRIED: Row = {
    "trials": 0,
    "failed": 0,
    "untrained": 0,
    "accuracy": None,
    "cut": "",
    "seconds": None,
    "first_cut": "",
}

MATRIX = 25
"""Classes up to which the confusion matrix is shown whole."""
SHORT = 3
"""Letters of the longest name up to which names head the matrix's columns, else numbers do."""
PAIRS = 30
"""Confused pairs that are listed where there are more."""


def came(report: Report) -> dict[str, Row]:
    """Of each strategy that was tried: its trials by how they ended, the best validation accuracy
    among those that were trained and the seconds of the first of them (None: none was), and what
    of either training was cut short, in words.
    """
    found: dict[str, Row] = {}
    for trial in report["search"]["ledger"]:
        own = found.setdefault(trial["strategy"], dict(_UNTRIED))
        if not trial["metrics"]:
            own["failed"] += 1
            continue
        own["trials"] += 1
        if untrained(trial):
            own["untrained"] += 1
            continue
        accuracy = trial["metrics"]["accuracy"]
        if own["seconds"] is None:
            own |= {"seconds": trial["seconds"], "first_cut": shortened(trial)}
        if own["accuracy"] is None or accuracy > own["accuracy"]:
            own |= {"accuracy": accuracy, "cut": shortened(trial)}
    return found


def strategies(report: Report, found: Mapping[str, Row]) -> list[Row]:
    """The four strategies: predicted, and what came."""
    decision = report["decision"]
    final = report["search"]["best"]["recipe"]["strategy"]
    marks = {
        decision["strategy"]: "chosen",
        decision["runner_up"]: "runner-up",
    }
    return [
        {
            "name": name,
            "mark": ", ".join(
                filter(None, (marks.get(name), "final model" if name == final else None))
            ),
            "predicted": decision["predicted"].get(name),
            "tested": report["evaluation"]["accuracy"] if name == final else None,
            **(row := found.get(name, _UNTRIED)),
            "outcome": _outcome(row),
        }
        for name in STRATEGIES
    ]


def _outcome(row: Row) -> str:
    """The accuracy that came, or why there is none."""
    if row["accuracy"] is not None:
        return percent(row["accuracy"])
    return NOTHING if row["untrained"] else "failed" if row["failed"] else "not tried"


def stages(report: Report) -> list[Row]:
    """The stages by number: linear and k-NN probes with pretrained and with random weights."""
    measured = report["measurements"]
    probes = {(one["stage"], one["pretrained"]): one for one in measured["probes"]}
    near = dict(zip(report["backbone"]["stages"], measured["similarity"]["stages"], strict=False))
    rows = []
    for place, stage in enumerate(report["backbone"]["stages"], 1):
        own, other = probes.get((stage, True)), probes.get((stage, False))
        rows.append(
            {
                "number": place,
                "stage": stage,
                "tap": stage == measured["tap"],
                "linear": percent(own["linear"] if own else None),
                "knn": percent(own["knn"] if own else None),
                "random": percent(other["linear"] if other else None),
                "random_knn": percent(other["knn"] if other else None),
                "near": UNKNOWN if near.get(stage) is None else f"{near[stage]:.2f}",
            }
        )
    return rows


def measured(report: Report) -> list[tuple[str, str]]:
    """What was measured of the data, in words."""
    found = report["measurements"]
    size, similarity = found["size"], found["similarity"]
    near = UNKNOWN
    if similarity["value"] is not None:
        low, high = similarity["low"], similarity["high"]
        near = f"{similarity['value']:.2f} ({low:.2f} to {high:.2f}), from 0 to 1"
    elif similarity.get("reason"):
        near = f"{UNKNOWN}: {similarity['reason']}"
    smallest, median = size["per_class_least"], size["per_class_median"]
    return [
        ("Similarity to what the backbone was pretrained on", near),
        ("Training examples of a class", f"{smallest:,} at least, {median:,.6g} in the median"),
        ("Largest class over smallest", f"{size['imbalance']:.1f}"),
        ("Shorter side of the images, median", f"{size['median_side']:,} pixels"),
        ("Worth of the training examples", _effective(size)),
        ("All stages together, linear probe", percent(found.get("together"))),
        (
            "Mirrored images",
            "are told apart: training does not mirror"
            if found["orientation_matters"]
            else "mean the same: training may mirror",
        ),
    ]


def _effective(size: Mapping[str, Any]) -> str:
    worth = size.get("effective")
    return UNKNOWN if worth is None else f"that of {worth:,.0f} different, evenly spread ones"


def trials(report: Report) -> list[Row]:
    """Every trial, best validation score first, failed ones last."""
    metric, best = report["search"]["metric"], report["search"]["best"]["number"]
    rising = metric != "log-loss"
    rows = []
    for one in report["search"]["ledger"]:
        figures = one["metrics"] or {}
        score = figures.get(metric)
        rows.append(
            {
                "number": one["number"],
                "strategy": one["strategy"],
                "origin": one["origin"],
                "best": one["number"] == best,
                "accuracy": percent(figures.get("accuracy")) if figures else "failed",
                "loss": number(figures["log-loss"]) if figures else "",
                "score": None if score is None else number(score),
                "seconds": one["seconds"],
                "numbers": _numbers(one),
                "failure": one["failure"],
                "order": (score is None, (-score if rising else score) if score is not None else 0),
            }
        )
    return sorted(rows, key=lambda row: (not row["best"], row["order"], row["number"]))


def _numbers(trial: Mapping[str, Any]) -> str:
    """The recipe in short, after what of it was not trained."""
    recipe = trial["recipe"]
    head, numbers = recipe["head"], recipe["numbers"]
    reads = f"head on {count(len(recipe['taps']), 'stage')}"
    if head["solver"] != "gradient":
        return f"fitted {reads}"
    frozen = f"{count(recipe['boundary'], 'stage')} frozen, " if recipe["boundary"] else ""
    cut, epochs = shortened(trial), count(numbers["epochs"], "epoch")
    return (
        f"{cut}{': ' if cut else ''}{frozen}{reads}, {epochs}, batch {numbers['batch']}, "
        f"rate {numbers['learning_rate']:.2g}, augment {numbers['augment']}"
    )


def per_class(report: Report) -> list[Row]:
    """The classes, lowest recall first; those without test rows last."""
    found = report["evaluation"]
    whole = report["data"].get("per_class") or []
    rows = [
        {
            **one,
            "right": found["confusion"][place][place],
            "whole": whole[place] if place < len(whole) else None,
            "interval": share(found["confusion"][place][place], one["examples"]),
        }
        for place, one in enumerate(found["per_class"])
    ]
    return sorted(rows, key=lambda row: (row["examples"] == 0, row["recall"]))


def confusion(report: Report) -> Row:
    """The matrix with a shade for each cell, or the most confused pairs of many classes."""
    matrix, classes = report["evaluation"]["confusion"], report["data"]["classes"]
    if len(classes) <= MATRIX:
        rows = [
            [{"count": n, "shade": _shade(n, sum(row)), "own": i == j} for j, n in enumerate(row)]
            for i, row in enumerate(matrix)
        ]
        short = max(map(len, classes)) <= SHORT
        return {"rows": rows, "pairs": None, "more": 0, "short": short}
    pairs = [
        {"label": i, "predicted": j, "count": n, "of": sum(row)}
        for i, row in enumerate(matrix)
        for j, n in enumerate(row)
        if n and i != j
    ]
    pairs.sort(key=lambda pair: (-pair["count"], pair["of"], pair["label"], pair["predicted"]))
    return {"rows": None, "pairs": pairs[:PAIRS], "more": max(0, len(pairs) - PAIRS)}


def wrong(report: Report) -> int:
    """Test rows that were given another class than theirs."""
    matrix: list[list[int]] = report["evaluation"]["confusion"]
    return sum(map(sum, matrix)) - sum(row[place] for place, row in enumerate(matrix))


def _shade(part: int, whole: int) -> int:
    """0 for none, else 1 to 9 by the share of the row."""
    return 0 if not part else 1 + min(8, int(9 * part / whole))
