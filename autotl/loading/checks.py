"""What a dataset must be before anything is learned from it; errors name what is wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from autotl.errors import DataError, PluginError
from autotl.records import KINDS, SPLITS, Dataset, is_nothing, names


def contract(dataset: Dataset, loader: str) -> None:
    """Raises `DataError` for targets that are no classes, `PluginError` for a broken contract."""
    _targets(dataset.labels)
    count = len(dataset.ids)
    faults = [
        (dataset.kind not in KINDS, f"its kind is '{dataset.kind}', known are {', '.join(KINDS)}"),
        (len(dataset.labels) != count, f"{count} ids but {len(dataset.labels)} labels"),
        (len(set(map(str, dataset.ids))) != count, "an id occurs twice"),
        (len(set(map(str, dataset.classes))) != len(dataset.classes), "a class name occurs twice"),
        (_outside(dataset), f"a label is none of the {len(dataset.classes)} classes"),
        (_wrong_length(dataset.groups, count), f"{count} examples but not as many groups"),
        (_wrong_length(dataset.splits, count), f"{count} examples but not as many splits"),
        *((True, fault) for fault in _without_group(dataset)),
    ]
    if found := [fault for is_so, fault in faults if is_so]:
        raise PluginError(f"The loader '{loader}' broke its contract: {'; '.join(found)}.")
    given = () if dataset.splits is None else map(str, dataset.splits)
    if unknown := sorted(set(given) - set(SPLITS)):
        raise DataError(
            f"There is no split '{unknown[0]}'.", hint=f"Known splits: {', '.join(SPLITS)}."
        )


def learnable(dataset: Dataset) -> None:
    """Raises `DataError` for no example, one class, a class with one example or none to train."""
    if not dataset.ids:
        raise DataError("The data holds no example.")
    sizes = Counter(dataset.labels)
    if len(sizes) < 2:
        only = dataset.classes[dataset.labels[0]]
        raise DataError(
            f"All {len(dataset.ids):,} examples are of one class, '{only}'; two are needed.",
            hint=f"Add images of another class, be it of what is 'not {only}'.",
        )
    single = [dataset.classes[label] for label, size in sorted(sizes.items()) if size == 1]
    if single:
        raise _single(single, len(sizes), len(dataset.ids))
    if dataset.splits is not None:
        _trainable(dataset, dataset.splits)


def conflicts(dataset: Dataset, hashes: Sequence[str]) -> tuple[str, ...]:
    """A warning about exact copies that bear different labels, with examples."""
    rows_of = defaultdict(list)
    for row, digest in enumerate(hashes):
        rows_of[digest].append(row)
    several = [rows for rows in rows_of.values() if len({dataset.labels[r] for r in rows}) > 1]
    if not several:
        return ()
    shown = "; ".join(
        " = ".join(
            f"{dataset.ids[row]} ({dataset.classes[dataset.labels[row]]})" for row in rows[:3]
        )
        for rows in several[:3]
    )
    what = "image occurs" if len(several) == 1 else "images occur"
    return (f"{len(several):,} {what} under different classes: {shown}.",)


def _targets(labels: Sequence[object]) -> None:
    for label in labels:
        if isinstance(label, int | np.integer):
            continue
        if isinstance(label, float | np.floating):
            raise DataError(f"The labels are numbers such as {label:g}, not classes (regression).")
        if isinstance(label, Iterable) and not isinstance(label, str | bytes):
            raise DataError(
                "An example bears several labels (multi-label); "
                "classification needs one class an example."
            )
        raise DataError(f"A label is {label!r}, not the number of a class.")


def _outside(dataset: Dataset) -> bool:
    return any(not 0 <= label < len(dataset.classes) for label in dataset.labels)


def _wrong_length(values: Sequence[str] | None, count: int) -> bool:
    return values is not None and len(values) != count


def _without_group(dataset: Dataset) -> Iterator[str]:
    """What is wrong with the first example whose group is nothing: such would be one group."""
    groups = () if dataset.groups is None else dataset.groups
    for name, group in zip(dataset.ids, groups, strict=False):
        if is_nothing(group):
            yield (
                f"example '{name}' has {group!r} for a group: one without a group gets a name "
                "of its own"
            )
            return


def _single(single: Sequence[str], classes: int, examples: int) -> DataError:
    if len(single) > classes / 2 and classes > 10:
        return DataError(
            f"{len(single):,} of {classes:,} classes have one example, of {examples:,} in all: "
            "are the labels numbers to be predicted (regression), or names of single examples?"
        )
    what = "The class" if len(single) == 1 else "The classes"
    return DataError(
        f"{what} {names(single)} {'has' if len(single) == 1 else 'have'} one example; "
        "two are the least, some ten to learn from.",
        hint="Add examples, or take the class out.",
    )


def _trainable(dataset: Dataset, splits: Sequence[str]) -> None:
    if "train" not in splits:
        raise DataError("The given splits hold no training examples.")
    seen = {label for label, split in zip(dataset.labels, splits, strict=True) if split == "train"}
    if unseen := [dataset.classes[label] for label in sorted(set(dataset.labels) - seen)]:
        raise DataError(
            f"No training example of {names(unseen)}: only other splits hold any.",
            hint="Are the classes spelt alike in every split?",
        )
