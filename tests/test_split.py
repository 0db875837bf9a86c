from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotl.errors import DataError
from autotl.records import Dataset
from autotl.split import bundled, digest, split

SIDES = ("train", "validation", "test")


def dataset(
    labels: list[int],
    *,
    splits: list[str] | None = None,
    groups: list[str] | None = None,
) -> Dataset:
    return Dataset(
        kind="image",
        ids=tuple(f"{row:05d}" for row in range(len(labels))),
        labels=tuple(labels),
        classes=tuple(f"class {label}" for label in range(max(labels) + 1)),
        read=lambda row: b"",
        splits=None if splits is None else tuple(splits),
        groups=None if groups is None else tuple(groups),
    )


def own(labels: list[int]) -> list[str]:
    return [f"hash {row}" for row in range(len(labels))]


def sides(done) -> dict[str, set[int]]:
    return {name: set(getattr(done, name)) for name in SIDES}


BALANCED = [0] * 50 + [1] * 50


def test_shares_and_strata() -> None:
    done = split(dataset(BALANCED), own(BALANCED), seed=0)
    assert (done.record.train, done.record.validation, done.record.test) == (64, 16, 20)
    for name, each in (("train", 32), ("validation", 8), ("test", 10)):
        assert Counter(BALANCED[row] for row in getattr(done, name)) == {0: each, 1: each}
    assert "held out for test" in done.record.notes[0]
    assert done.record.digest == digest(done.train, done.validation, done.test)


def test_seeds_draw_differently_and_each_the_same_twice() -> None:
    data = dataset(BALANCED)
    digests = [split(data, own(BALANCED), seed=seed).record.digest for seed in range(8)]
    assert len(set(digests)) == 8
    assert split(data, own(BALANCED), seed=3).record.digest == digests[3]


def test_the_rows_for_seed_zero_are_known() -> None:
    """Runs are resumed by drawing the split again: other rows would strand every run folder."""
    labels = [0] * 6 + [1] * 6
    done = split(dataset(labels), own(labels), seed=0)
    assert (done.validation, done.test) == ((1, 11), (2, 10))
    assert digest((0,), (1,), (2,)) == (
        "dccaac5187f2c4e0079e413b0e38fdd6c979e2e6434f2a05819b45be8a167bf8"
    )


def test_given_splits_are_kept() -> None:
    labels = [0, 1] * 50
    splits = ["train"] * 60 + ["validation"] * 20 + ["test"] * 20
    done = split(dataset(labels, splits=splits), own(labels), seed=5)
    assert sides(done) == {
        "train": set(range(60)),
        "validation": set(range(60, 80)),
        "test": set(range(80, 100)),
    }
    assert done.record.notes == ("The given splits are kept: train and validation and test.",)


def test_without_a_given_validation_20_percent_of_training_is_held_out() -> None:
    labels = [0, 1] * 50
    splits = ["train"] * 80 + ["test"] * 20
    done = split(dataset(labels, splits=splits), own(labels), seed=0)
    assert set(done.test) == set(range(80, 100))
    assert (done.record.train, done.record.validation) == (64, 16)


def test_valid_without_test_is_validation_and_a_test_is_held_out() -> None:
    labels = [0, 1] * 50
    splits = ["train"] * 80 + ["validation"] * 20
    done = split(dataset(labels, splits=splits), own(labels), seed=0)
    assert set(done.validation) == set(range(80, 100))
    assert (done.record.train, done.record.test) == (64, 16)


def test_copies_across_given_splits_leave_the_lower_one_and_it_is_said() -> None:
    labels = [0, 1] * 6
    splits = ["train"] * 6 + ["validation"] * 2 + ["test"] * 4
    hashes = own(labels)
    hashes[0] = hashes[2] = hashes[8]
    hashes[6] = hashes[10]
    done = split(dataset(labels, splits=splits), hashes, seed=0)
    assert sides(done) == {"train": {1, 3, 4, 5}, "validation": {7}, "test": {8, 9, 10, 11}}
    assert done.record.dropped == 3
    assert done.record.notes[:2] == (
        "2 train examples were dropped: exact copies in another given split.",
        "1 validation example was dropped: exact copies in another given split.",
    )


def test_a_class_whose_training_examples_are_all_copies_of_test_is_refused() -> None:
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    splits = ["train", "train", "validation", "test"] * 2
    hashes = ["a", "b", "c", "d", "e", "e", "f", "e"]
    with pytest.raises(DataError, match="'class 1'"):
        split(dataset(labels, splits=splits), hashes, seed=0)


def test_small_classes_stay_in_training_and_three_examples_go_everywhere() -> None:
    labels = [0] * 40 + [1] * 3 + [2] * 2
    done = split(dataset(labels), own(labels), seed=1)
    for name, present in (("train", {0, 1, 2}), ("validation", {0, 1}), ("test", {0, 1})):
        assert {labels[row] for row in getattr(done, name)} == present
    assert any("'class 2'" in note and "training" in note for note in done.record.notes)


def test_too_few_examples_to_hold_any_out() -> None:
    with pytest.raises(DataError, match="No test examples"):
        split(dataset([0, 0, 1, 1]), own([0] * 4), seed=0)


def test_one_group_cannot_be_parted() -> None:
    with pytest.raises(DataError, match="can be held out"):
        split(dataset(BALANCED, groups=["g"] * 100), own(BALANCED), seed=0)


def test_groups_of_equal_size_are_shared_out_by_20_percent() -> None:
    labels = [0, 1] * 100
    groups = [f"patient {row // 8}" for row in range(200)]
    done = split(dataset(labels, groups=groups), own(labels), seed=0)
    assert done.record.test == 40
    assert done.record.validation == 32
    assert any("25 groups" in note for note in done.record.notes)


def test_large_groups_still_leave_something_on_every_side() -> None:
    labels = [0, 1] * 30
    groups = [f"group {row // 20}" for row in range(60)]
    done = split(dataset(labels, groups=groups), own(labels), seed=0)
    assert [done.record.train, done.record.validation, done.record.test] == [20, 20, 20]


def test_groups_torn_by_given_splits_are_said() -> None:
    splits = ["train"] * 60 + ["validation"] * 20 + ["test"] * 20
    groups = ["a"] * 70 + ["b"] * 30
    done = split(dataset(BALANCED, splits=splits, groups=groups), own(BALANCED), seed=0)
    assert any("2 groups occur in several" in note for note in done.record.notes)


def test_only_groups_that_were_not_torn_are_called_kept_on_one_side() -> None:
    splits = (["train"] * 8 + ["test"] * 2) * 10
    torn = [f"group {row // 10}" for row in range(100)]
    notes = split(dataset(BALANCED, splits=splits, groups=torn), own(BALANCED), seed=0).record.notes
    assert "10 groups occur in several of the given splits, which are kept." in notes
    assert not any("on one side" in note for note in notes)
    some = [f"own {row}" if row < 3 else group for row, group in enumerate(torn)]
    notes = split(dataset(BALANCED, splits=splits, groups=some), own(BALANCED), seed=0).record.notes
    assert "3 other groups, each kept on one side." in notes


def test_the_shares_that_were_drawn_are_said_where_they_are_not_those_meant() -> None:
    labels = [0, 1] * 30
    thirds = [f"group {row // 20}" for row in range(60)]
    assert split(dataset(labels, groups=thirds), own(labels), seed=0).record.notes[0] == (
        "Held out, class by class as far as groups, copies and small classes allow: for test 20 of "
        "60 examples (33 %, not 20 %), for validation 20 of the other 40 (50 %, not 20 %); seed 0."
    )
    splits = ["train"] * 40 + ["test"] * 20
    halves = split(dataset(labels, splits=splits, groups=thirds), own(labels), seed=0).record
    assert (
        "Held out, class by class as far as groups, copies and small classes allow: for validation "
        "20 of 40 training examples (50 %, not 20 %); seed 0." in halves.notes
    )
    few = split(dataset([0] * 6 + [1] * 6), own([0] * 12), seed=0).record
    assert few.notes[0].startswith("20 % of the examples"), "to the nearest example"


def test_names_that_are_left_out_are_counted() -> None:
    labels = [0] * 40 + [label for label in range(1, 16) for _ in range(2)]
    notes = split(dataset(labels), own(labels), seed=0).record.notes
    assert any(note.endswith("'class 10' and 5 more.") for note in notes)
    lost = [label for label in range(12) for _ in range(3)]
    data = dataset(lost, splits=["train", "validation", "test"] * 12)
    with pytest.raises(DataError, match="'class 9' and 2 more is left"):
        split(data, [f"{label} {row % 3 == 1}" for row, label in enumerate(lost)], seed=0)


def test_copies_and_groups_are_in_one_bundle() -> None:
    data = dataset([0, 0, 0, 1, 1, 1], groups=list("abbcad"))
    hashes = ["x", "y", "z", "y", "w", "v"]
    done = split(dataset(BALANCED), own(BALANCED), seed=0)
    done = replace(done, train=(0, 1, 2, 3), validation=(4, 5))
    numbers = bundled(data, hashes, done)
    assert numbers is not None
    assert numbers[1] == numbers[2] == numbers[3], "of one group, and copies"
    assert numbers[0] == numbers[4], "of one group"
    assert len(set(numbers)) == 3
    some = bundled(data, hashes, replace(done, train=(2, 1)))
    assert some is not None
    assert (len(some), len(set(some))) == (4, 3), "by place, of these rows alone"
    assert some[0] == some[1]
    assert bundled(data, hashes, replace(done, train=(2, 3))) is None
    plain = dataset([0, 0, 0, 1, 1, 1])
    assert bundled(plain, own([0] * 6), done) is None, "no two rows are of one"
    assert bundled(plain, hashes, done) is not None
    apart = dataset([0, 0, 0, 1, 1, 1], groups=list("abcdef"))
    assert bundled(apart, own([0] * 6), done) is None, "no group has two"


def test_what_probes_cannot_judge_is_said() -> None:
    labels = [row // 100 for row in range(200)]
    groups = [f"video {max(row, 60) // 2}" for row in range(200)]
    notes = " ".join(split(dataset(labels, groups=groups), own(labels), seed=0).record.notes)
    assert "of one group or copies" not in notes
    splits = ["test"] * 10 + ["validation"] * 10 + ["train"] * 180
    mixed = [row % 2 for row in range(200)]
    most = ["unknown" if row % 100 < 70 else f"video {row}" for row in range(200)]
    done = split(dataset(mixed, groups=most, splits=splits), own(mixed), seed=0)
    assert any("120 of the 180 training examples are" in note for note in done.record.notes)
    splits = ["train"] * 90 + ["test"] * 10 + ["train"] * 80 + ["validation"] * 20
    alone = ["one video" if row < 90 else f"video {row}" for row in range(200)]
    done = split(dataset(labels, groups=alone, splits=splits), own(labels), seed=0)
    assert any("copies of one image in: 'class 0'." in note for note in done.record.notes)


def test_order_of_rows_does_not_matter() -> None:
    labels = [0] * 30 + [1] * 20
    data, hashes = dataset(labels), own(labels)
    back = list(reversed(range(50)))
    turned = replace(
        data, ids=tuple(data.ids[r] for r in back), labels=tuple(labels[r] for r in back)
    )
    first = split(data, hashes, seed=4)
    second = split(turned, [hashes[r] for r in back], seed=4)
    for name in SIDES:
        ids = {data.ids[row] for row in getattr(first, name)}
        assert ids == {turned.ids[row] for row in getattr(second, name)}


@st.composite
def datasets(draw):
    classes = draw(st.integers(2, 4))
    labels = [label for label in range(classes) for _ in range(draw(st.integers(4, 14)))]
    count = len(labels)
    hashes = [f"{draw(st.integers(0, 2 * count))}" for _ in range(count)]
    groups = draw(
        st.none() | st.lists(st.sampled_from("abcdefghijklmnop"), min_size=count, max_size=count)
    )
    splits = draw(
        st.none()
        | st.lists(st.sampled_from(("train", "train", *SIDES)), min_size=count, max_size=count)
    )
    return dataset(labels, splits=splits, groups=groups), hashes


@settings(deadline=None, max_examples=60)
@given(datasets(), st.integers(0, 2**32 - 1))
def test_sides_are_disjoint_cover_all_but_the_dropped_and_share_no_content(case, seed) -> None:
    data, hashes = case
    try:
        done = split(data, hashes, seed=seed)
    except DataError:
        return
    drawn = sides(done)
    assert sum(map(len, drawn.values())) == len(set().union(*drawn.values()))
    assert sum(map(len, drawn.values())) + done.record.dropped == len(data.ids)
    contents = {name: {hashes[row] for row in rows} for name, rows in drawn.items()}
    assert not contents["train"] & contents["validation"]
    assert not contents["train"] & contents["test"]
    assert not contents["validation"] & contents["test"]
    assert {data.labels[row] for row in done.train} == set(data.labels)
    assert all(tuple(sorted(getattr(done, name))) == getattr(done, name) for name in SIDES)
    assert split(data, hashes, seed=seed) == done
    if data.splits is None:
        assert done.record.dropped == 0
    else:
        assert all(
            data.splits[row] == name or data.splits[row] == "train"
            for name, rows in drawn.items()
            for row in rows
        )


@settings(deadline=None, max_examples=60)
@given(datasets(), st.integers(0, 99))
def test_groups_stay_on_one_side_where_nothing_is_given(case, seed) -> None:
    data, hashes = replace(case[0], splits=None), case[1]
    if data.groups is None:
        return
    try:
        drawn = sides(split(data, hashes, seed=seed))
    except DataError:
        return
    names = [{data.groups[row] for row in rows} for rows in drawn.values()]
    assert sum(map(len, names)) == len(set().union(*names))
