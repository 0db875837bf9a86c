"""From what the user named to a dataset that can be used, and the record of it."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autotl.calls import Progress
from autotl.errors import AutotlError, DataError, PluginError, RunFolderError
from autotl.loading import checks
from autotl.loading.choice import Chosen, choose
from autotl.loading.depth import nearly_black
from autotl.loading.reading import Reading, read_all
from autotl.records import Dataset, Loader, LoadRecord, SetAside, names

UNREADABLE_SHARE = 0.05
"""The largest share of examples that may be set aside as unreadable."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The dataset without the set-aside rows, the record, and of each row SHA-256 in hex of its
    content and its shorter side in pixels.
    """

    dataset: Dataset
    hashes: tuple[str, ...]
    sides: tuple[int, ...]
    record: LoadRecord


def load(
    data: Any,
    loaders: Sequence[Loader],
    *,
    options: Mapping[str, Any] | None = None,
    known: LoadRecord | None = None,
    progress: Progress | None = None,
    to_learn: bool = True,
) -> Loaded:
    """Read the data with the one loader that matches, and look at every example.

    Examples that cannot be decoded are set aside. With `known`, the record of an earlier start,
    nothing is decoded: content is hashed and compared with it. Unless it is `to_learn` from, one
    class will do, and one example of a class.

    Raises `DataError` where the data cannot be used or more than `UNREADABLE_SHARE` of it is
    unreadable, `PluginError` where a plugin's loader fails, and `RunFolderError` where the data
    is no longer what `known` says.
    """
    began = time.perf_counter()
    chosen = choose(data, loaders, options or {})
    dataset = _dataset(data, chosen.loader, options or {})
    checks.contract(dataset, chosen.loader.name)
    dataset = _plain(dataset)
    if known is not None:
        return _again(dataset, known, progress)
    rows = range(len(dataset.ids))
    readings = read_all(dataset, rows, decoding=True, progress=progress)
    set_aside = _set_aside(dataset, readings)
    kept = [row for row in rows if readings[row].fault is None]
    usable, remarks = _used_classes(_subset(dataset, kept))
    if to_learn or not usable.ids:
        checks.learnable(usable)
    hashes = tuple(readings[row].hash for row in kept)
    sides = tuple(readings[row].side for row in kept)
    sizes = Counter(usable.labels)
    record = LoadRecord(
        fingerprint=fingerprint(usable, hashes),
        loader=chosen.loader.name,
        reason=usable.found or chosen.reason,
        kind=usable.kind,
        examples=len(usable.ids),
        classes=usable.classes,
        per_class=tuple(sizes[label] for label in range(len(usable.classes))),
        median_side=_median_side(usable, sides),
        set_aside=set_aside,
        warnings=_warnings(dataset, chosen, remarks, _remarks_on(usable, hashes)),
        seconds=time.perf_counter() - began,
    )
    return Loaded(dataset=usable, hashes=hashes, sides=sides, record=record)


def median_side(loaded: Loaded, rows: Sequence[int]) -> int:
    """The median shorter side in pixels of these rows, the same at every start."""
    return int(np.median([loaded.sides[row] for row in rows]))


def fingerprint(dataset: Dataset, hashes: Sequence[str]) -> str:
    """SHA-256 in hex over kind, classes, ids, labels, content hashes, splits and groups."""
    parts = (
        *(dataset.kind, dataset.classes, dataset.ids, dataset.labels),
        *(tuple(hashes), dataset.splits, dataset.groups),
    )
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(json.dumps(part).encode()).digest())
    return digest.hexdigest()


def _dataset(data: Any, loader: Loader, options: Mapping[str, Any]) -> Dataset:
    try:
        dataset = loader.load(data, options)
    except AutotlError:
        raise
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise PluginError(f"The loader '{loader.name}' failed: {error!r}.") from error
    if not isinstance(dataset, Dataset):
        raise PluginError(f"The loader '{loader.name}' gave a {type(dataset).__name__}.")
    return dataset


def _plain(dataset: Dataset) -> Dataset:
    """The dataset with tuples of int and str for what a plugin gave, NumPy's own types say."""
    return replace(
        dataset,
        ids=tuple(map(str, dataset.ids)),
        labels=tuple(map(int, dataset.labels)),
        classes=tuple(map(str, dataset.classes)),
        groups=None if dataset.groups is None else tuple(map(str, dataset.groups)),
        splits=None if dataset.splits is None else tuple(map(str, dataset.splits)),
        found=str(dataset.found),
    )


def _median_side(dataset: Dataset, sides: Sequence[int]) -> int:
    """The median shorter side of the rows, without those of a given test split."""
    splits = dataset.splits or ("",) * len(sides)
    seen = [side for side, split in zip(sides, splits, strict=True) if split != "test"]
    return int(np.median(seen))


def _set_aside(dataset: Dataset, readings: Sequence[Reading]) -> tuple[SetAside, ...]:
    """The unreadable examples; raises `DataError` where they are too many or a whole class."""
    bad = tuple(
        SetAside(id=dataset.ids[row], reason=reading.fault)
        for row, reading in enumerate(readings)
        if reading.fault is not None
    )
    lines = tuple(f"{one.id}: {one.reason}" for one in bad[:10])
    if len(bad) > UNREADABLE_SHARE * len(readings):
        raise DataError(
            f"{len(bad):,} of {len(readings):,} examples cannot be read, "
            f"more than {UNREADABLE_SHARE:.0%}.",
            details=lines,
            hint=f"Mend or remove them: up to {UNREADABLE_SHARE:.0%} may be unreadable.",
        )
    readable = {
        label
        for label, reading in zip(dataset.labels, readings, strict=True)
        if reading.fault is None
    }
    if lost := [dataset.classes[label] for label in sorted(set(dataset.labels) - readable)]:
        raise DataError(f"No example of {names(lost)} can be read.", details=lines)
    return bad


def _subset(dataset: Dataset, kept: Sequence[int]) -> Dataset:
    """The dataset with these rows only."""
    if len(kept) == len(dataset.ids):
        return dataset
    rows = tuple(kept)
    return replace(
        dataset,
        ids=tuple(dataset.ids[row] for row in rows),
        labels=tuple(dataset.labels[row] for row in rows),
        groups=None if dataset.groups is None else tuple(dataset.groups[row] for row in rows),
        splits=None if dataset.splits is None else tuple(dataset.splits[row] for row in rows),
        read=lambda row: dataset.read(rows[row]),
    )


def _used_classes(dataset: Dataset) -> tuple[Dataset, tuple[str, ...]]:
    """The dataset without the classes that no example bears, and a remark that names them."""
    used = sorted(set(dataset.labels))
    if len(used) == len(dataset.classes):
        return dataset, ()
    place = {label: number for number, label in enumerate(used)}
    unused = [name for label, name in enumerate(dataset.classes) if label not in place]
    narrowed = replace(
        dataset,
        classes=tuple(dataset.classes[label] for label in used),
        labels=tuple(place[label] for label in dataset.labels),
    )
    return narrowed, (f"No example is of {names(unused)}: left out.",)


def _warnings(
    dataset: Dataset, chosen: Chosen, remarks: Sequence[str], more: Sequence[str]
) -> tuple[str, ...]:
    return (*chosen.warnings, *dataset.warnings, *remarks, *more)


def _remarks_on(usable: Dataset, hashes: Sequence[str]) -> tuple[str, ...]:
    """Remarks on the content of what can be used."""
    return (*checks.conflicts(usable, hashes), *nearly_black(usable))


def _again(dataset: Dataset, known: LoadRecord, progress: Progress | None) -> Loaded:
    """The dataset as `known` describes it, hashed and not decoded; raises `RunFolderError`."""
    aside = {one.id for one in known.set_aside}
    kept = [row for row, name in enumerate(dataset.ids) if name not in aside]
    usable, _ = _used_classes(_subset(dataset, kept))
    readings = read_all(usable, range(len(usable.ids)), decoding=False, progress=progress)
    hashes = tuple(reading.hash for reading in readings)
    if fingerprint(usable, hashes) != known.fingerprint:
        raise RunFolderError(
            "The data is no longer what this run was begun with.",
            details=tuple(_changes(usable, known, readings)),
            hint="Bring the data back as it was, or begin a new run.",
        )
    sides = tuple(reading.side for reading in readings)
    return Loaded(dataset=usable, hashes=hashes, sides=sides, record=known)


def _changes(dataset: Dataset, known: LoadRecord, readings: Sequence[Reading]) -> list[str]:
    """What differs, as far as the record tells; at least one line."""
    lines = [
        f"{dataset.ids[row]}: {reading.fault}"
        for row, reading in enumerate(readings)
        if reading.fault
    ][:10]
    before = dict(zip(known.classes, known.per_class, strict=True))
    sizes = Counter(dataset.labels)
    now = {name: sizes[label] for label, name in enumerate(dataset.classes)}
    if len(dataset.ids) != known.examples:
        lines.append(f"{known.examples:,} examples then, {len(dataset.ids):,} now")
    lines += [f"class '{name}': new" for name in now if name not in before][:10]
    lines += [f"class '{name}': gone" for name in before if name not in now][:10]
    lines += [
        f"class '{name}': {before[name]:,} examples then, {count:,} now"
        for name, count in now.items()
        if before.get(name, count) != count
    ][:10]
    return lines or ["as many examples of each class, but other names, contents or splits"]
