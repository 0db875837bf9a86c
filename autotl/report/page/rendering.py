"""`report.json` and thumbnails into HTML, by templates that escape whatever they are given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotl.records import STRATEGIES
from autotl.report import abstaining
from autotl.report.benefits import sentence
from autotl.report.page import tables, wording
from autotl.report.page.advice import advice
from autotl.report.page.pictures import embedded

if TYPE_CHECKING:
    import jinja2

Report = Mapping[str, Any]

_BLUES = "e3f0f8 cbe3f1 aed4ea 8cc2e1 66add6 479cce 1d79b0 0b6ba3 05568a"
_ORANGES = "fdeadd fbd6bd f7bd95 f1a06b e98346 e2733a c05012 a9430b 873505"
FIGURES = (
    ("Accuracy of the model", "accuracy"),
    ("Balanced accuracy", "balanced_accuracy"),
    ("Macro F1", "macro_f1"),
    ("Baseline: linear probe, accuracy", "linear_probe"),
    ("Baseline: the largest class always, accuracy", "majority"),
)
SHADES = {
    "own": ("", *(f"#{shade}" for shade in _BLUES.split())),
    "other": ("", *(f"#{shade}" for shade in _ORANGES.split())),
}
"""Colours of the cells of a confusion matrix, by `tables.confusion`."""
PAIRS = 12
"""Pairs of near-copies that a run records at most."""
BRIEFLY = 3
"""Pieces of advice in the short form."""


def page(report: Report, folder: Path) -> str:
    """The whole page of a run whose thumbnails lie in `folder`."""
    from autotl.report.page import plots

    trials, best = report["search"]["ledger"], report["search"]["best"]["number"]
    came = tables.came(report)
    drawn = {
        "probes": plots.probes(report),
        "strategies": plots.strategies(report, {k: one["accuracy"] for k, one in came.items()}),
        "data_curve": plots.data_curve(report),
        "learning_curves": plots.learning_curves(trials, best),
        "scores": plots.scores(trials, best),
        "reliability": plots.reliability(report["evaluation"].get("reliability")),
    }
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            plots=drawn,
            figures=FIGURES,
            advice=advice(report),
            strategies=tables.strategies(report, came),
            stages=tables.stages(report),
            measured=tables.measured(report),
            trials=tables.trials(report),
            scores=tables.per_class(report),
            confusion=tables.confusion(report),
            mistakes=report["evaluation"].get("mistakes"),
            pictures=report.get("pictures"),
            image=lambda thumbnail: embedded(thumbnail, folder),
            classes=report["data"]["classes"],
            wrong=tables.wrong(report),
            most_pairs=PAIRS,
            shades=SHADES,
            abstention=_abstention(report),
            transfer=_transfer(report),
        )
    )


def brief(report: Report, where: str) -> str:
    """The short form for a notebook, without plots; `where` is the run's folder."""
    return (
        _environment()
        .get_template("brief.html.j2")
        .render(
            report=report,
            figures=FIGURES,
            advice=advice(report)[:BRIEFLY],
            where=where,
            strategies=tables.strategies(report, tables.came(report)),
        )
    )


def inspected(document: Report) -> str:
    """An inspection (`autotl-inspection/1`) for a notebook."""
    predicted = document["decision"]["predicted"]
    return (
        _environment()
        .get_template("inspection.html.j2")
        .render(
            inspection=document,
            predicted=[(name, predicted[name]) for name in STRATEGIES if predicted.get(name)],
        )
    )


def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("autotl.report.page", "."),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    shown = ("percent", "span", "interval", "points", "number", "count", "seconds", "name")
    environment.filters |= {one: getattr(wording, one) for one in shown}
    return environment


def _abstention(report: Report) -> str | None:
    chosen = report["evaluation"].get("abstention")
    return abstaining.sentence(chosen) if chosen else None


def _transfer(report: Report) -> str | None:
    found = report["search"].get("transfer")
    return sentence(found) if found else None
