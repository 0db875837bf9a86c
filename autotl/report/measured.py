"""What was measured, in words: "none" is a finding, and "not measured" is none."""

from __future__ import annotations

from collections.abc import Sequence

from autotl.records import CurvePoint, Measurements, Similarity, Size, Speed

UNKNOWN = "not measured"


def figures(measured: Measurements) -> tuple[tuple[str, str], ...]:
    """What it is and what was found, but for the probes by stage."""
    size = measured.size
    turned = "matters: views are not mirrored" if measured.orientation_matters else ""
    return (
        ("examples", _size(size)),
        ("images", _images(size, measured.input_size)),
        ("effective size", f"{_effective(size)}; doubtful labels {_count(size.doubts)}"),
        ("exact copies", f"{_count(size.copies)} in training, {_dropped(size)}"),
        ("near-copies", _near_copies(size)),
        ("similarity", _similarity(measured.similarity)),
        ("learning curve", _curve(measured.curve)),
        ("orientation", turned or "does not matter: views may be mirrored"),
        ("partial freeze", _cut(measured)),
        ("speed", _speed(measured.speed, size.train)),
        *(("note", note) for note in measured.notes),
    )


def share(value: float) -> str:
    """A share in per cent: "98.5"."""
    return f"{100 * value:.1f}"


def _size(size: Size) -> str:
    counts = f"{size.train:,} training, {size.validation:,} validation"
    least, median = f"{size.per_class_least:,}", f"{size.per_class_median:,.6g}"
    sizes = f"the smallest of {least}, the median of {median}"
    return f"{counts}; {size.classes:,} classes, {sizes}"


def _images(size: Size, input_size: int) -> str:
    side = f"shorter side {size.median_side:,} pixels in the median, input {input_size:,}"
    return f"{side}; largest class {size.imbalance:,.1f} times the smallest"


def _cut(measured: Measurements) -> str:
    cut, stages = measured.boundary, measured.stages
    if not cut:
        return measured.no_partial_freeze or "no cut is proposed"
    return f"would keep {cut} of {len(stages)} stages, up to {stages[cut - 1]}"


def _effective(size: Size) -> str:
    return UNKNOWN if size.effective is None else f"{size.effective:,.0f} training examples"


def _count(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}" if count else "none"


def _dropped(size: Size) -> str:
    return f"{_count(size.duplicates)} dropped across given splits"


def _near_copies(size: Size) -> str:
    sides = (("in training", size.near_copies), ("in validation", size.near_leaks))
    looked = f" (of the {size.examined:,} looked at)" if size.examined else ""
    found = (
        f"{where} {UNKNOWN}" if count is None else f"{_count(count)} {where}"
        for where, count in sides
    )
    return ", ".join(found) + looked


def _similarity(found: Similarity) -> str:
    near = UNKNOWN
    if found.value is not None:
        near = f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
    other = UNKNOWN if found.frechet is None else f"{found.frechet:.2f}"
    return f"{near}, by Frechet distance {other}"


def _curve(points: Sequence[CurvePoint]) -> str:
    if not points:
        return UNKNOWN
    first, *others = points
    words = [f"{share(first.accuracy)} % with {first.examples:,} examples"]
    words += [f"{share(one.accuracy)} % with {one.examples:,}" for one in others]
    return ", ".join(words)


def _speed(speed: Speed, train: int) -> str:
    whole = f"{speed.forward * train:.1f} s for all of training"
    return (
        f"a pass {1000 * speed.forward:.1f} ms an image, {whole}; a training step "
        f"{1000 * speed.train:.1f} ms"
    )
