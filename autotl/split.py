"""The step `split`: rows for training, validation and test, drawn from the seed.

Given splits are kept; what is missing is held out class by class. Copies of one image, and rows
of one group, are a bundle that stays on one side.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from autotl.errors import DataError
from autotl.records import Dataset, Split, SplitRecord, names

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.2
"""Of what is left without the test rows."""
LEAST = 3
"""From so many examples on, a class has one in each of training, validation and test."""
_RANK = {"train": 0, "validation": 1, "test": 2}
_DRAWN = {
    ("test", "validation"): "20 % of the examples are held out for test and 20 % of the rest "
    "for validation",
    ("test",): "20 % of the training examples are held out for test",
    ("validation",): "20 % of the training examples are held out for validation",
}


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Rows that stay together, and how many of them each class has."""

    rows: tuple[int, ...]
    counts: Mapping[int, int]


def split(dataset: Dataset, hashes: Sequence[str], *, seed: int) -> Split:
    """Row numbers of the three splits; which rows go where depends on ids, not on their order.

    Without a given test split 20 % is held out, without validation 20 % of the rest, stratified
    by class. A copy in a lower one of the given splits train, validation, test is dropped.
    A class with fewer than three examples is kept for training. Raises `DataError` where a side
    would be empty.
    """
    given, dropped, notes = _given(dataset, hashes)
    bundles = _bundles(dataset, hashes, given["train"])
    sides = {name: list(rows) for name, rows in given.items()}
    drawn = [name for name in ("test", "validation") if not given[name]]
    small = _small(dataset, given["train"]) if drawn else []
    for name in drawn:
        after = int(name == "test" and "validation" in drawn)
        share = TEST_SHARE if name == "test" else VALIDATION_SHARE
        held = _held_out(bundles, share, spare=1 + after, small=small, seed=(seed, _RANK[name]))
        sides[name] = [row for place in held for row in bundles[place].rows]
        bundles = [bundle for place, bundle in enumerate(bundles) if place not in held]
    sides["train"] = [row for bundle in bundles for row in bundle.rows]
    _check(dataset, sides)
    notes += _notes(dataset, hashes, sides, drawn, small, seed)
    notes += _together(dataset, bundles)
    copies = len(sides["train"]) - len({hashes[row] for row in sides["train"]})
    return _recorded(sides, dropped, copies, notes)


def bundled(dataset: Dataset, hashes: Sequence[str], done: Split) -> tuple[int, ...] | None:
    """For each training row of a split, then each validation row, the number of its bundle: copies
    of one image and rows of one group have the same one. None where no two rows are of one.
    """
    rows = (*done.train, *done.validation)
    if dataset.groups is None and len({hashes[row] for row in rows}) == len(rows):
        return None
    bundles = _bundles(dataset, hashes, rows)
    if len(bundles) == len(rows):
        return None
    number = {row: i for i, bundle in enumerate(bundles) for row in bundle.rows}
    return tuple(number[row] for row in rows)


def digest(train: Sequence[int], validation: Sequence[int], test: Sequence[int]) -> str:
    """SHA-256 in hex of the row numbers, side by side."""
    total = hashlib.sha256()
    for rows in (train, validation, test):
        total.update(np.array([len(rows), *rows], dtype="<i8").tobytes())
    return total.hexdigest()


def _recorded(
    sides: Mapping[str, Sequence[int]], dropped: int, copies: int, notes: Sequence[str]
) -> Split:
    train, validation, test = (
        tuple(sorted(sides[name])) for name in ("train", "validation", "test")
    )
    record = SplitRecord(
        train=len(train),
        validation=len(validation),
        test=len(test),
        dropped=dropped,
        copies=copies,
        digest=digest(train, validation, test),
        notes=tuple(notes),
    )
    return Split(train=train, validation=validation, test=test, record=record)


def _given(dataset: Dataset, hashes: Sequence[str]) -> tuple[dict[str, list[int]], int, list[str]]:
    """Rows by given split (all of them train where none is given) without copies across splits."""
    splits = dataset.splits or ("train",) * len(dataset.ids)
    highest: dict[str, str] = {}
    for name, content in zip(splits, hashes, strict=True):
        highest[content] = max(highest.get(content, name), name, key=_RANK.__getitem__)
    rows: dict[str, list[int]] = {name: [] for name in _RANK}
    dropped: Counter[str] = Counter()
    for row, (name, content) in enumerate(zip(splits, hashes, strict=True)):
        if highest[content] == name:
            rows[name].append(row)
        else:
            dropped[name] += 1
    notes = [
        f"{count:,} {name} {_examples(count)} dropped: exact copies in another given split."
        for name, count in dropped.items()
    ]
    return rows, dropped.total(), [*notes, *_crossing(dataset)]


def _torn(dataset: Dataset) -> set[str]:
    """Groups of which several of the given splits have rows."""
    if dataset.splits is None or dataset.groups is None:
        return set()
    sides = defaultdict(set)
    for group, name in zip(dataset.groups, dataset.splits, strict=True):
        sides[group].add(name)
    return {group for group, found in sides.items() if len(found) > 1}


def _crossing(dataset: Dataset) -> list[str]:
    """A note on groups that the given splits tear apart."""
    torn = len(_torn(dataset))
    if not torn:
        return []
    what = "group occurs" if torn == 1 else "groups occur"
    return [f"{torn:,} {what} in several of the given splits, which are kept."]


def _bundles(dataset: Dataset, hashes: Sequence[str], rows: Sequence[int]) -> list[Bundle]:
    """Rows joined by equal content or group, sorted by their least id."""
    first: dict[tuple[str, str], int] = {}
    parent = {row: row for row in rows}

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for row in rows:
        keys = [("content", hashes[row])]
        if dataset.groups is not None:
            keys.append(("group", dataset.groups[row]))
        for key in keys:
            parent[root(row)] = root(first.setdefault(key, row))
    members = defaultdict(list)
    for row in sorted(rows, key=dataset.ids.__getitem__):
        members[root(row)].append(row)
    return [
        Bundle(rows=tuple(some), counts=Counter(dataset.labels[row] for row in some))
        for some in members.values()
    ]


def _small(dataset: Dataset, rows: Sequence[int]) -> list[int]:
    sizes = Counter(dataset.labels[row] for row in rows)
    return sorted(label for label, size in sizes.items() if size < LEAST)


def _held_out(
    bundles: Sequence[Bundle],
    share: float,
    *,
    spare: int,
    small: Sequence[int],
    seed: tuple[int, int],
) -> set[int]:
    """Places of the bundles to hold out: about `share` of each class, at least one example of
    each but the small ones, always leaving `spare` examples of every class.
    """
    sizes: Counter[int] = Counter()
    for bundle in bundles:
        sizes.update(bundle.counts)
    wanted = _quotas(sizes, share, spare, small)
    left = Counter(sizes)
    held: Counter[int] = Counter()
    taken: set[int] = set()
    order = np.random.default_rng(np.random.SeedSequence(seed)).permutation(len(bundles))

    def take(place: int) -> None:
        taken.add(place)
        held.update(bundles[place].counts)
        left.subtract(bundles[place].counts)

    for place in order.tolist():
        counts = bundles[place].counts
        if _gain(counts, held, wanted) > 0 and _spares(counts, left, spare, small):
            take(place)
    for label in sorted(wanted):
        if wanted[label] and not held[label]:
            able = [
                place
                for place in order.tolist()
                if place not in taken
                and label in bundles[place].counts
                and _spares(bundles[place].counts, left, 1, small)
            ]
            if able:
                take(max(able, key=lambda place: _gain(bundles[place].counts, held, wanted)))
    return taken


def _quotas(
    sizes: Mapping[int, int], share: float, spare: int, small: Sequence[int]
) -> dict[int, int]:
    """How many examples of each class to hold out: `share` of each, the sum as near as can be."""
    exact = {label: share * size for label, size in sizes.items()}
    quota = {label: int(amount) for label, amount in exact.items()}
    short = round(sum(exact.values())) - sum(quota.values())
    by_rest = sorted(exact, key=lambda label: (quota[label] - exact[label], label))
    for label in by_rest[:short]:
        quota[label] += 1
    return {
        label: 0 if label in small else max(min(max(amount, 1), sizes[label] - spare), 0)
        for label, amount in quota.items()
    }


def _gain(counts: Mapping[int, int], held: Mapping[int, int], wanted: Mapping[int, int]) -> float:
    """By how much holding these out as well brings the classes nearer to their quotas."""
    gain = 0.0
    for label, count in counts.items():
        short = wanted[label] - held.get(label, 0)
        gain += (short**2 - (short - count) ** 2) / max(wanted[label], 1)
    return gain


def _spares(
    counts: Mapping[int, int], left: Mapping[int, int], spare: int, small: Sequence[int]
) -> bool:
    return all(
        left[label] - count >= (1 if label in small else spare) for label, count in counts.items()
    )


def _check(dataset: Dataset, sides: Mapping[str, Sequence[int]]) -> None:
    """Raises `DataError` for an empty side, or a class without a training example."""
    for name in ("test", "validation"):
        if not sides[name]:
            groups = len(set(dataset.groups or ()))
            held = f" in {groups:,} group{'s' * (groups > 1)}" if groups else ""
            raise DataError(
                f"No {name} examples can be held out of {len(dataset.ids):,} examples{held}.",
                hint="Three examples a class are the least, and of groups, each of which stays on "
                "one side, three as well: add some, or take other groups or none.",
            )
    trained = {dataset.labels[row] for row in sides["train"]}
    lost = sorted(set(dataset.labels) - trained)
    if lost:
        raise DataError(
            f"No training example of {_named(dataset, lost)} is left once copies of validation and "
            "test examples are dropped."
        )


def _notes(
    dataset: Dataset,
    hashes: Sequence[str],
    sides: Mapping[str, Sequence[int]],
    drawn: Sequence[str],
    small: Sequence[int],
    seed: int,
) -> list[str]:
    """What was drawn and what had to be done for it, in sentences."""
    notes = []
    if dataset.splits is not None:
        kept = " and ".join(name for name in _RANK if name in dataset.splits)
        notes.append(f"The given splits are kept: {kept}.")
    if drawn:
        notes.append(_drawn(sides, drawn, seed))
    used = [hashes[row] for rows in sides.values() for row in rows]
    if copies := len(used) - len(set(used)):
        what = "exact copy" if copies == 1 else "exact copies"
        notes.append(f"{copies:,} {what}: copies of one image stay on one side.")
    if dataset.groups is not None and drawn:
        notes += _whole(dataset.groups, _torn(dataset))
    if small:
        notes.append(
            f"Fewer than {LEAST} examples, all kept for training: {_named(dataset, small)}."
        )
    return [*notes, *_absent(dataset, sides, small)]


def _drawn(sides: Mapping[str, Sequence[int]], drawn: Sequence[str], seed: int) -> str:
    """What was held out: the shares that were meant, or the counts where these came out else."""
    total = len(sides["train"]) + sum(len(sides[name]) for name in drawn)
    rows = f"{total:,} {'examples' if len(drawn) > 1 else 'training examples'}"
    words, as_meant = [], True
    for name in drawn:
        count, share = len(sides[name]), TEST_SHARE if name == "test" else VALIDATION_SHARE
        real, wanted = f"{100 * count / total:.0f} %", f"{100 * share:.0f} %"
        meant = real == wanted or abs(count - share * total) < 1
        words.append(
            f"for {name} {count:,} of {rows} ({real if meant else f'{real}, not {wanted}'})"
        )
        as_meant, total = as_meant and meant, total - count
        rows = f"the other {total:,}"
    if as_meant:
        return f"{_DRAWN[tuple(drawn)]}, class by class (seed {seed})."
    allowed = "as far as groups, copies and small classes allow"
    return f"Held out, class by class {allowed}: {', '.join(words)}; seed {seed}."


def _whole(groups: Sequence[str], torn: Set[str]) -> list[str]:
    """A note on the groups that no given split tears apart."""
    count, other = len(set(groups) - torn), " other" if torn else ""
    if not count:
        return []
    what = "group, kept" if count == 1 else "groups, each kept"
    return [f"{count:,}{other} {what} on one side."]


def _together(dataset: Dataset, bundles: Sequence[Bundle]) -> list[str]:
    """Notes on bundles of training rows by which probes cannot be judged well."""
    notes = []
    total = sum(len(bundle.rows) for bundle in bundles)
    most = max(len(bundle.rows) for bundle in bundles)
    if total / 2 < most < total:
        notes.append(
            f"{most:,} of the {total:,} training examples are of one group or copies of one image: "
            "probes, which are judged on groups that they did not see, tell little here."
        )
    sizes: Counter[int] = Counter()
    places: Counter[int] = Counter()
    for bundle in bundles:
        sizes.update(bundle.counts)
        places.update(bundle.counts.keys())
    alone = sorted(label for label in sizes if places[label] == 1 < sizes[label])
    if alone:
        notes.append(
            f"All training examples are of one group or copies of one image in: "
            f"{_named(dataset, alone)}. Probes of such a class are judged by what they saw."
        )
    return notes


def _absent(
    dataset: Dataset, sides: Mapping[str, Sequence[int]], small: Sequence[int]
) -> list[str]:
    """Notes on classes of which a side holds nothing."""
    notes = []
    for name in ("validation", "test"):
        present = {dataset.labels[row] for row in sides[name]}
        absent = sorted(set(dataset.labels) - present - set(small))
        if absent:
            notes.append(f"No {name} example of {_named(dataset, absent)}.")
    return notes


def _named(dataset: Dataset, labels: Sequence[int]) -> str:
    return names([dataset.classes[label] for label in labels])


def _examples(count: int) -> str:
    return "example was" if count == 1 else "examples were"
