"""What is drawn: each function takes figures out of `report.json` and gives a data URI, or None
where there is nothing to draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from autotl.records import STRATEGIES
from autotl.report.page.drawing import BLUE, GREEN, GREY, INK, ORANGE, drawn
from autotl.report.trained import untrained

CURVES = 8
"""Trials whose learning curves are told apart; others are grey."""
_LOOKS = (BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), ("#cc79a7", "D")

Report = Mapping[str, Any]


def probes(report: Report) -> str | None:
    """Accuracy of the linear probe by stage, pretrained against random weights."""
    measured = report["measurements"]
    stages = report["backbone"]["stages"]
    if not measured["probes"]:
        return None
    number = {stage: place for place, stage in enumerate(stages, 1)}

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for pretrained, colour, mark in ((True, BLUE, "o"), (False, ORANGE, "s")):
            own = [one for one in measured["probes"] if one["pretrained"] is pretrained]
            if own:
                places = [number[one["stage"]] for one in own]
                name = "pretrained weights" if pretrained else "random weights"
                look = {"color": colour, "marker": mark, "markersize": 5}
                axes.plot(places, [100 * one["linear"] for one in own], label=name, **look)
        axes.axvline(number[measured["tap"]], color=GREY, linestyle=":", label="the tap")
        axes.set_xticks(_ticks(len(stages)))
        axes.set_xlabel("stage")
        axes.set_ylabel("linear probe, accuracy in %")
        axes.legend(loc="best")

    return drawn(draw, 2.9)


def strategies(report: Report, came: Mapping[str, float | None]) -> str | None:
    """Predicted accuracy of the strategies with intervals; the best validation accuracy that
    `came` of each, and the test accuracy of the final model.
    """
    predicted = report["decision"]["predicted"]
    names = [name for name in STRATEGIES if predicted.get(name)]
    best = report["search"]["best"]["recipe"]["strategy"]
    tested = report["evaluation"]["accuracy"]
    if not names:
        return None

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        rows = range(len(names))
        for row, name in enumerate(names):
            one = predicted[name]
            axes.plot(
                [100 * one["low"], 100 * one["high"]], [row, row], color="#c4c9d0", linewidth=6
            )
        middle = [100 * predicted[name]["accuracy"] for name in names]
        axes.plot(middle, rows, "o", color=INK, label="predicted")
        shown = [(100 * value, row) for row, n in enumerate(names) if (value := came.get(n))]
        if shown:
            axes.plot(*zip(*shown, strict=True), "s", color=BLUE, label="best on validation")
        if best in names:
            bar = [[100 * (tested["value"] - tested["low"])], [100 * tested["high"]]]
            bar[1][0] -= 100 * tested["value"]
            place = [names.index(best) + 0.22]
            look = {"fmt": "D", "color": ORANGE, "capsize": 3, "label": "final model on test"}
            axes.errorbar([100 * tested["value"]], place, xerr=bar, **look)
        axes.set_yticks(list(rows), names)
        axes.invert_yaxis()
        axes.set_xlabel("accuracy in %")
        figure.legend(loc="outside lower center", ncols=2)

    return drawn(draw, 1.3 + 0.4 * len(names))


def data_curve(report: Report) -> str | None:
    """The linear probe's accuracy with fewer examples."""
    points = report["measurements"]["curve"]
    if len(points) < 2:
        return None

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        many = [one["examples"] for one in points]
        axes.plot(many, [100 * one["accuracy"] for one in points], "o-", color=BLUE)
        axes.set_xscale("log", base=2)
        axes.minorticks_off()
        axes.set_xticks(many, [f"{one:,}" for one in many])
        axes.set_xlabel("training examples")
        axes.set_ylabel("linear probe, accuracy in %")

    return drawn(draw, 2.5)


def learning_curves(trials: Sequence[Mapping[str, Any]], best: int) -> str | None:
    """Validation accuracy over the epochs of those that were trained; the best one is thick."""
    curves = [(one, _course(one)) for one in trials]
    curves = [(one, course) for one, course in curves if len(course) > 1 and not untrained(one)]
    if not curves:
        return None
    ranked = sorted(curves, key=lambda pair: -max(value for _, value in pair[1]))
    told = {one["number"] for one, _ in ranked[: CURVES - 1]} | {best}

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for one, course in sorted(curves, key=lambda pair: pair[0]["number"] in told):
            epochs, values = zip(*course, strict=True)
            own, look = one["number"] == best, {}
            if one["number"] in told:
                mark = ", the best" if own else ""
                look["label"] = f"{one['number']}: {one['strategy']}{mark}"
            else:
                look["color"] = "#d0d4da"
            axes.plot(epochs, [100 * v for v in values], linewidth=2.4 if own else 1.1, **look)
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation accuracy in %")
        axes.xaxis.get_major_locator().set_params(integer=True)
        figure.legend(loc="outside lower center", ncols=2, title="trial")

    return drawn(draw, 3.2 + 0.1 * min(len(curves), CURVES))


def _course(trial: Mapping[str, Any]) -> list[tuple[float, float]]:
    return [
        (one["epoch"], one["accuracy"])
        for one in trial["history"] or ()
        if "epoch" in one and math.isfinite(one["accuracy"])
    ]


def scores(trials: Sequence[Mapping[str, Any]], best: int) -> str | None:
    """Validation accuracy of every trial that was trained over the seconds that it took."""
    ended = [one for one in trials if one["metrics"] and not untrained(one)]
    if len(ended) < 2:
        return None

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for name, (colour, mark) in zip(STRATEGIES, _LOOKS, strict=True):
            own = [one for one in ended if one["strategy"] == name]
            if own:
                seconds = [max(one["seconds"], 0.01) for one in own]
                values = [100 * one["metrics"]["accuracy"] for one in own]
                axes.plot(seconds, values, mark, color=colour, label=name, alpha=0.85)
        for one in ended:
            if one["number"] == best:
                place = (max(one["seconds"], 0.01), 100 * one["metrics"]["accuracy"])
                ring = {"markersize": 13, "markerfacecolor": "none", "label": "the best"}
                axes.plot(*place, "o", markeredgecolor=INK, **ring)
        axes.set_xscale("log", subs=())
        axes.xaxis.get_major_locator().set_params(subs=(1.0, 2.0, 5.0))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("seconds of training")
        axes.set_ylabel("validation accuracy in %")
        figure.legend(loc="outside lower center", ncols=2)

    return drawn(draw, 3.2)


def reliability(bins: Sequence[Mapping[str, Any]] | None) -> str | None:
    """Accuracy over confidence, with intervals, above how many answers are so confident."""
    filled = [one for one in bins or () if one["examples"]]
    if not filled:
        return None

    def draw(figure: Any) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        above.plot([0, 100], [0, 100], color=GREY, linestyle=":", label="as sure as right")
        where = [100 * one["confidence"] for one in filled]
        right = [one["accuracy"] for one in filled]
        values = [100 * one["value"] for one in right]
        bars = [
            [100 * (one["value"] - one["low"]) for one in right],
            [100 * (one["high"] - one["value"]) for one in right],
        ]
        look = {"fmt": "o", "color": BLUE, "capsize": 3, "label": "test images, 95 % interval"}
        above.errorbar(where, values, yerr=bars, **look)
        above.set_ylabel("right answers in %")
        above.legend(loc="upper left")
        middle = [50 * (one["low"] + one["high"]) for one in filled]
        wide = [96 * (one["high"] - one["low"]) for one in filled]
        below.bar(middle, [one["examples"] for one in filled], width=wide, color=BLUE)
        below.set_ylabel("images")
        below.set_xlabel("confidence in %")
        below.set_xlim(0, 100)

    return drawn(draw, 3.9)


def _ticks(count: int) -> list[int]:
    step = max(1, math.ceil(count / 15))
    return list(range(1, count + 1, step))
