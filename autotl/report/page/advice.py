"""What to do next for a better model: nothing is advised without the figures that speak for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autotl.records import names
from autotl.report.page.wording import (
    NORMAL,
    count,
    interval,
    name,
    percent,
    points,
    seconds,
    share,
    span,
)
from autotl.report.trained import made, untrained

Report = Mapping[str, Any]

RISING = 0.01
"""Accuracy that the last doubling of the examples gained, from which on more are advised."""
ALIKE = 0.01
"""Share of near-copies from which on groups are advised."""
UNEVEN = 3.0
"""Largest class over smallest from which on balanced accuracy is advised, as `inspect` does."""
WEAKEST, LOOKED_AT = 5, 5
"""Classes, and doubtful examples, that are named."""
FEW = 3
"""Wrong answers on a class from which on it can be called weak."""
WIDE = 0.1
"""Width of the test accuracy's interval from which on a larger test split is advised."""
SURE = 0.9
"""Confidence at which answers are parted to show what abstaining would bring."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What to do, and the evidence for it."""

    do: str
    because: str


def advice(report: Report) -> list[Advice]:
    """All that the report's figures speak for, what costs least first."""
    return [one for ask in _ASKED for one in ask(report)]


def _doubts(report: Report) -> Iterator[Advice]:
    size = report["measurements"]["size"]
    if not size.get("doubts"):
        return
    some = names([name(one) for one in size["doubtful"][:LOOKED_AT]])
    yield Advice(
        do=f"Look at the labels in doubt first, and mend those that are wrong: {some}.",
        because=(
            f"Of {count(size['examined'], 'training example')} looked at, {size['doubts']:,} have "
            "five nearest neighbours that all bear one other label."
        ),
    )


def _set_aside(report: Report) -> Iterator[Advice]:
    aside = report["data"]["set_aside"]
    if aside:
        yield Advice(
            do="Mend or remove the files that cannot be read.",
            because=f"{count(len(aside), 'example was', 'examples were')} set aside, such as "
            f"{name(aside[0]['id'])}: {name(aside[0]['reason'])}",
        )


def _near_copies(report: Report) -> Iterator[Advice]:
    size, split = report["measurements"]["size"], report["data"]["split"]
    leaks, examined = size.get("near_leaks"), size.get("examined") or 0
    copies = max(0, (size.get("near_copies") or 0) - size["copies"])
    many = bool(copies and copies >= ALIKE * examined)
    leaked = bool(leaks and leaks >= ALIKE * split["validation"])
    if not many and not leaked:
        return
    told = []
    if copies:
        aside = ", exact copies aside" if size["copies"] else ""
        told.append(
            f"{copies:,} of {examined:,} training examples nearly repeat another one{aside}"
        )
    if leaks:
        told.append(
            f"{leaks:,} of {split['validation']:,} validation images nearly repeat a training one"
        )
    yield Advice(
        do="Where images belong together (one object, one burst, one video), keep each group on "
        "one side: name the groups in the data. Figures may flatter until then.",
        because=f"{'; '.join(told)}.",
    )


def _uneven(report: Report) -> Iterator[Advice]:
    imbalance, found = report["measurements"]["size"]["imbalance"], report["evaluation"]
    if imbalance <= UNEVEN or report.get("metric") != "accuracy":
        return
    yield Advice(
        do="If the rare classes matter as much as the common ones, select by "
        "--metric balanced-accuracy.",
        because=(
            f"The largest class has {imbalance:.1f} times the examples of the smallest; accuracy "
            f"on test is {interval(found['accuracy'])}, balanced accuracy "
            f"{interval(found['balanced_accuracy'])}."
        ),
    )


def _more_examples(report: Report) -> Iterator[Advice]:
    points_, probed = report["measurements"]["curve"], report["measurements"]["probes"]
    if len(points_) < 2 or not probed:
        return
    before, last = points_[-2:]
    gained = last["accuracy"] - before["accuracy"]
    rows = max(one["examples"] for one in probed)
    error = math.sqrt(max(last["accuracy"] * (1 - last["accuracy"]), 0.0) / rows)
    doublings = math.log2(last["examples"] / before["examples"])
    if gained < max(RISING, NORMAL * error) * doublings:
        return
    yield Advice(
        do="Collect more examples: the curve over the examples still rises.",
        because=(
            f"From {before['examples']:,} to {last['examples']:,} training examples the linear "
            f"probe rose by {points(gained)}, from {percent(before['accuracy'])} to "
            f"{percent(last['accuracy'])}."
        ),
    )


def _weak_classes(report: Report) -> Iterator[Advice]:
    found, data = report["evaluation"], report["data"]
    weak = []
    for place, one in enumerate(found["per_class"]):
        right, tested = found["confusion"][place][place], one["examples"]
        if (
            tested - right >= FEW
            and (figure := share(right, tested))
            and figure["high"] < found["accuracy"]["value"]
        ):
            weak.append((figure["high"], place, right, tested, span(figure)))
    if not weak:
        return
    told = []
    for _, place, right, tested, range_ in sorted(weak)[:WEAKEST]:
        others = [0 if j == place else n for j, n in enumerate(found["confusion"][place])]
        called = name(data["classes"][others.index(max(others))])
        whole = data.get("per_class") or []
        many = f", {whole[place]:,} examples in all" if place < len(whole) else ""
        told.append(
            f"'{name(data['classes'][place])}': {right} of {tested} right "
            f"({range_}{many}), most often called '{called}'"
        )
    yield Advice(
        do="Collect more examples of the weakest classes, or see whether their labels are clear.",
        because=f"Of {count(len(weak), 'class', 'classes')} the recall's 95 % interval lies below "
        f"{percent(found['accuracy']['value'])}, the accuracy over all: {'; '.join(told)}.",
    )


def _input_size(report: Report) -> Iterator[Advice]:
    why = report["backbone"].get("size_reason")
    if why:
        yield Advice(
            do="Give a longer --budget, or name a larger --input-size: the images would bear it.",
            because=why,
        )


def _backbone(report: Report) -> Iterator[Advice]:
    backbone, probes = report["backbone"], report["measurements"]["probes"]
    if backbone["name"] != "embedded" or backbone.get("reason") or backbone.get("instead"):
        return  # others are installed, and the page says why this one was taken
    own = {
        kind: max((p["linear"] for p in probes if p["pretrained"] is kind), default=None)
        for kind in (True, False)
    }
    if own[True] is None:
        return
    against = "" if own[False] is None else f", {percent(own[False])} with random weights"
    yield Advice(
        do="Try a larger pretrained backbone: pip install ./plugins/autotl-keras-applications in a "
        "checkout, and name one, such as --backbone MobileNetV2 (its weights are downloaded).",
        because=(
            f"This run had the small one that ships with autotl ({backbone['parameters']:,} "
            f"parameters), whose best linear probe is {percent(own[True])}{against}. What another "
            "would give was not measured."
        ),
    )


def _longer(report: Report) -> Iterator[Advice]:
    search, chosen = report["search"], report["decision"]["strategy"]
    result = search["best"]["result"]
    if result["metrics"]["accuracy"] >= 1:
        return
    own = [one for one in search["ledger"] if one["strategy"] == chosen]
    if not any(one["metrics"] and not untrained(one) for one in own):
        yield from _never_trained(report, own)
    best = next(one for one in search["ledger"] if one["number"] == search["best"]["number"])
    why, course = result["stopped"], [one["accuracy"] for one in best["history"] if "epoch" in one]
    if why != "deadline" or untrained(best) or len(course) < 2:
        return
    rows, last = report["data"]["split"]["validation"], course[-3:]
    error = math.sqrt(last[0] * (1 - last[0]) / max(rows, 1))
    rising = last[-1] > last[-2] and last[-1] - last[0] > error
    told = "What the rest would have gained was not measured."
    if rising:
        told = f"It still rose: the last gave {', '.join(map(percent, last))} on validation."
    yield Advice(
        do="Give a longer --budget.",
        because=f"The best training was cut by the budget after {made(best['history'])} of "
        f"{best['recipe']['numbers']['epochs']} epochs. {told}",
    )


def _never_trained(report: Report, own: list[Mapping[str, Any]]) -> Iterator[Advice]:
    """Advice where no trial of the chosen strategy, `own` of the ledger, was trained."""
    failed = next((one for one in own if one["failure"]), None)
    if failed is None and report["decision"]["predicted"].get(report["decision"]["strategy"]):
        why = "the time was up before its first step" if own else "no trial of it was begun"
        yield _more(report, why)
    if failed is None:
        return
    yield Advice(
        do=f"See why {report['decision']['strategy']} failed, which was chosen.",
        because=f"Trial {failed['number']}: {name(failed['failure'])}",
    )


def _more(report: Report, instead: str) -> Advice:
    """That what was left out for the limits of the run wants wider ones."""
    decision, budget = report["decision"], report["budget"]
    predicted = decision["predicted"][decision["strategy"]]
    few = budget["trials"] is not None and len(report["search"]["ledger"]) >= budget["trials"]
    wider = "Give more --trials" if few or budget["seconds"] is None else "Give a longer --budget"
    return Advice(
        do=f"{wider}, so that the strategy that was chosen is trained.",
        because=f"{decision['strategy']} is predicted to reach {interval_of(predicted)} in "
        f"{seconds(60 * predicted['minutes'])} of training, and {instead}.",
    )


def interval_of(predicted: Mapping[str, float]) -> str:
    """A predicted accuracy with its 95 % interval."""
    return interval({**predicted, "value": predicted["accuracy"]})


def _abstain(report: Report) -> Iterator[Advice]:
    found = report["evaluation"]
    bins = found.get("reliability")
    if found.get("abstention") or not bins:
        return
    sides = ([b for b in bins if b["low"] >= SURE], [b for b in bins if b["low"] < SURE])
    (sure, right), (rest, others) = map(_right, sides)
    ours, theirs = share(right, sure), share(others, rest)
    if not ours or not theirs or ours["low"] <= theirs["high"]:
        return
    yield Advice(
        do="Where a wrong answer costs more than none, let the model abstain: --target-precision.",
        because=(
            f"Of the {sure:,} test images answered with a confidence of at least "
            f"{100 * SURE:.0f} %, right are {interval(ours)}; of the other {rest:,}, "
            f"{interval(theirs)}."
        ),
    )


def _right(bins: list[Mapping[str, Any]]) -> tuple[int, int]:
    """Examples in these bins, and how many of them are answered right."""
    some = [one for one in bins if one["examples"]]
    right = sum(round(one["accuracy"]["value"] * one["examples"]) for one in some)
    return sum(one["examples"] for one in some), right


def _wide(report: Report) -> Iterator[Advice]:
    found = report["evaluation"]
    accuracy = found["accuracy"]
    if accuracy["high"] - accuracy["low"] > WIDE:
        yield Advice(
            do="Give more test images before models are compared by these figures.",
            because=f"With {count(found['examples'], 'test image')} the accuracy is only known to "
            f"lie within {100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f} %.",
        )


_ASKED: tuple[Callable[[Report], Iterator[Advice]], ...] = (
    _doubts,
    _set_aside,
    _near_copies,
    _uneven,
    _more_examples,
    _weak_classes,
    _input_size,
    _backbone,
    _longer,
    _abstain,
    _wide,
)
