"""`report.json` as a plain mapping, schema `autotl-report/1`.

Keys that other programs read are kept from version to version of one schema; a fact that was not
measured is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autotl.records import (
    STRATEGIES,
    Budget,
    Decision,
    Evaluation,
    Export,
    Interval,
    LoadRecord,
    Measurements,
    RunEstimate,
    RunRecords,
    SearchRecord,
    SplitRecord,
    Trial,
    to_json,
)
from autotl.report.benefits import benefits
from autotl.report.trained import made

SCHEMA = "autotl-report/1"
SLACK_SHARE, SLACK_SECONDS = 0.05, 5.0
"""What a run may take beyond its budget without a word."""


def document(run: RunRecords) -> dict[str, Any]:
    """The report of a run, JSON-ready."""
    return {
        "schema": SCHEMA,
        "run": run.name,
        "data": _data(run.load, run.split, run.evaluation, run.measurements.notes),
        "pictures": to_json(run.pictures),
        "backbone": _backbone(run),
        "measurements": _measurements(run.measurements),
        "decision": decided(run.decision, run.recipe_learning_rate)
        | {"estimate": foretold(run.estimate)},
        "search": _search(run.search, run.trials),
        "evaluation": _evaluation(run.evaluation),
        "export": _export(run.export),
        "seconds": _seconds(run.seconds),
        "budget": to_json(run.budget),
        "overrun": overrun(run.seconds, run.budget),
        "metric": run.metric,
        "versions": dict(run.versions),
        "seed": run.seed,
    }


def overrun(seconds: Mapping[str, float], budget: Budget) -> str | None:
    """What to say of a run that took over 5 % and over 5 s more than its budget; else None.

    `seconds` are of each step.
    """
    total, asked = sum(seconds.values()), budget.seconds
    if asked is None or total - asked <= max(SLACK_SHARE * asked, SLACK_SECONDS):
        return None
    long = sorted(seconds.items(), key=lambda pair: -pair[1])
    steps = ", ".join(
        f"{'pixels and start' if name == 'other' else name} {took:.0f} s"
        for name, took in long
        if took >= 0.05 * total
    )
    return (
        f"The run took {total:.0f} s, {total - asked:.0f} s more than its budget of {asked:.0f} s: "
        f"{steps}. What comes before the trials and after them is not cut short; it depends on the "
        f"number and the size of the images, the backbone, the variants asked for and the machine."
    )


def _data(
    load: LoadRecord, split: SplitRecord, evaluation: Evaluation, notes: Sequence[str]
) -> dict[str, Any]:
    late = [item for item in evaluation.set_aside if item not in load.set_aside]
    return {
        "examples": load.examples,
        "classes": list(load.classes),
        "per_class": list(load.per_class),
        "median_side": load.median_side,
        "loader": load.loader,
        "found": load.reason,
        "fingerprint": load.fingerprint,
        "split": {
            "train": split.train,
            "validation": split.validation,
            "test": split.test,
            "dropped": split.dropped,
            "digest": split.digest,
        },
        "set_aside": to_json([*load.set_aside, *late]),
        "warnings": [*load.warnings, *split.notes, *notes],
    }


def _backbone(run: RunRecords) -> dict[str, Any]:
    backbone, pretrained = run.located.backbone, run.search.best.recipe.pretrained
    return {
        "name": backbone.name,
        "distribution": run.located.distribution,
        "reason": run.located.reason or None,
        "natural_size": run.located.natural_size,
        "size_reason": run.located.size_reason or None,
        "instead": run.located.instead or None,
        "parameters": backbone.parameters,
        "stages": list(backbone.stages),
        "license": backbone.license,
        "weights_license": backbone.weights_license if pretrained else None,
        "weights_sha256": run.located.weights_sha256 if pretrained else None,
        "source_domain": backbone.source_domain if pretrained else None,
        "preprocessing": to_json(run.located.preprocessing),
    }


def _measurements(measured: Measurements) -> dict[str, Any]:
    similarity = measured.similarity
    return {
        "size": to_json(measured.size),
        "similarity": to_json(similarity),
        "probes": to_json(measured.probes),
        "curve": to_json(measured.curve),
        "tap": measured.stages[measured.tap - 1],
        "together": measured.together,
        "reads": [measured.stages[tap - 1] for tap in measured.reads],
        "boundary": measured.boundary,
        "orientation_matters": measured.orientation_matters,
        "speed": to_json(measured.speed),
    }


def decided(decision: Decision, recipe_learning_rate: float | None = None) -> dict[str, Any]:
    """The decision. `learning_rate` is None where none was asked for; `recipe_learning_rate` is
    that of the chosen strategy's default recipe.
    """
    return {
        "backbone": decision.backbone,
        "input_size": decision.input_size,
        "strategy": decision.strategy,
        "engine": decision.engine,
        "forced": decision.forced,
        "scenario": decision.scenario,
        "frozen": list(decision.frozen),
        "tap": list(decision.tap),
        "runner_up": decision.runner_up,
        "margin": decision.margin,
        "race": decision.race,
        "reasons": list(decision.reasons),
        "predicted": _predicted(decision),
        "learning_rate": decision.learning_rate or None,
        "recipe_learning_rate": recipe_learning_rate,
        "rates": decision.rates,
        "fixed": list(decision.fixed),
        "coefficients": decision.coefficients,
        "provisional": decision.provisional,
    }


def foretold(estimate: RunEstimate | None) -> dict[str, Any] | None:
    """What was foreseen of the time, and which budget suffices; None where it was not."""
    if estimate is None:
        return None
    found: dict[str, Any] = to_json(estimate)
    return {**found, "planned": estimate.planned}


def _predicted(decision: Decision) -> dict[str, Any]:
    """What is predicted for each of the four strategies, None for an impossible one."""
    found = decision.predicted
    return {name: to_json(found[name]) if name in found else None for name in STRATEGIES}


def _search(search: SearchRecord, trials: tuple[Trial, ...]) -> dict[str, Any]:
    return {
        "trials": search.trials,
        "failed": search.failed,
        "best": to_json(search.best),
        "selected_among": search.comparable,
        "metric": search.metric,
        "stopped": search.stopped,
        "notes": list(search.notes),
        "transfer": benefits(trials),
        "ledger": [_trial(trial) for trial in trials],
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "origin": trial.origin,
        "strategy": trial.recipe.strategy,
        "recipe": to_json(trial.recipe),
        "hyperparameters": trial.hyperparameters,
        "status": trial.status,
        "failure": trial.failure,
        "seconds": trial.seconds,
        "metrics": dict(trial.result.metrics) if trial.result else None,
        "history": to_json(trial.result.history) if trial.result else [],
        "epochs": made(trial.result.history) if trial.result else None,
        "stopped": trial.result.stopped if trial.result else None,
    }


def _interval(figure: Interval | None) -> dict[str, float] | None:
    if figure is None:
        return None
    return {"value": figure.value, "low": figure.low, "high": figure.high}


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "examples": evaluation.examples,
        "accuracy": _interval(evaluation.accuracy),
        "balanced_accuracy": _interval(evaluation.balanced_accuracy),
        "macro_f1": _interval(evaluation.macro_f1),
        "log_loss": evaluation.log_loss,
        "per_class": to_json(evaluation.per_class),
        "confusion": to_json(evaluation.confusion),
        "majority": _interval(evaluation.majority),
        "linear_probe": _interval(evaluation.linear_probe),
        "calibration_error": evaluation.calibration_error,
        "calibration_error_before": evaluation.calibration_error_before,
        "temperature": evaluation.temperature,
        "abstention": to_json(evaluation.abstention),
        "reliability": to_json(evaluation.reliability),
        "mistakes": to_json(evaluation.mistakes),
    }


def _export(export: Export) -> dict[str, Any]:
    return {
        "model": to_json(export.model),
        "opset": export.opset,
        "parity": to_json(export.parity),
        "checks": list(export.checks),
        "features": export.features,
        "variants": to_json(export.variants),
    }


def _seconds(seconds: dict[str, float]) -> dict[str, float]:
    return {**seconds, "total": sum(seconds.values())}
