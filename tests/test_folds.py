from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autotl.folds import FOLDS, fold_numbers


@given(st.lists(st.integers(0, 3), min_size=5, max_size=100), st.integers(0, 5))
@settings(deadline=None)
def test_folds_part_each_class_evenly(drawn: list[int], seed: int) -> None:
    labels = np.array(drawn)
    fold = fold_numbers(labels, seed=seed)
    counts = np.array([[np.sum((fold == f) & (labels == c)) for f in range(5)] for c in range(4)])
    assert np.ptp(counts, axis=1).max() <= 1
    assert np.ptp(counts.sum(axis=0)) <= 1


rows_with_bundles = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=2)


@given(rows_with_bundles, st.integers(0, 5))
@settings(deadline=None)
def test_bundles_stay_in_one_fold(drawn: list[tuple[int, int]], seed: int) -> None:
    labels, bundles = (np.array(side) for side in zip(*drawn, strict=True))
    fold = fold_numbers(labels, seed=seed, bundles=bundles.tolist())
    assert ((fold >= 0) & (fold < FOLDS)).all()
    parted = [label for label in range(4) if is_parted(labels, bundles, label)]
    for number in set(bundles) if len(set(bundles)) > 1 else ():
        assert len(set(fold[(bundles == number) & ~np.isin(labels, parted)])) <= 1
    assert len(set(fold)) > 1, "a fold is judged by the others"
    assert (fold == fold_numbers(labels, seed=seed, bundles=bundles.tolist())).all()


def is_parted(labels: NDArray[Any], bundles: NDArray[Any], label: int) -> bool:
    return (labels == label).sum() > 1 and len(set(bundles[labels == label])) == 1


@given(st.integers(0, 10**6), st.integers(2, 4))
@settings(deadline=None)
def test_a_rare_class_of_several_bundles_is_in_several_folds(seed: int, rare: int) -> None:
    draw = np.random.default_rng(seed)
    bundles = np.repeat(np.arange(8), draw.integers(1, 50, 8))
    labels = np.zeros(len(bundles), int)
    for bundle in draw.choice(8, rare, replace=False):
        labels[draw.choice(np.flatnonzero(bundles == bundle))] = 1
    fold = fold_numbers(labels, seed=seed, bundles=bundles.tolist())
    assert len(set(fold[labels == 1])) > 1
    assert len(set(fold[labels == 0])) > 1 or not (labels == 0).any()


def test_bundles_of_one_row_leave_the_folds_as_they_are() -> None:
    labels = np.arange(40) % 3
    plain = fold_numbers(labels, seed=2)
    assert (fold_numbers(labels, seed=2, bundles=range(40)) == plain).all()


def test_bundled_folds_are_stratified() -> None:
    labels = np.repeat(np.arange(3), 60)
    fold = fold_numbers(labels, seed=0, bundles=(np.arange(180) // 4).tolist())
    counts = np.array([[np.sum((fold == f) & (labels == c)) for f in range(5)] for c in range(3)])
    assert (counts == 12).all()


def test_one_copy_among_small_classes_leaves_five_even_folds() -> None:
    labels = np.arange(300) % 100
    fold = fold_numbers(labels, seed=0, bundles=[0, *range(100), *range(100, 299)])
    assert len(set(fold)) == 5
    assert np.ptp(np.bincount(fold)) <= 2


def test_large_bundles_and_single_rows_make_even_folds() -> None:
    labels = np.arange(1000) % 4
    bundles = [row // 200 if row < 600 else row for row in range(1000)]
    fold = fold_numbers(labels, seed=0, bundles=bundles)
    assert np.bincount(fold).tolist() == [200] * 5


def test_rows_of_a_class_that_is_one_bundle_are_parted_and_others_are_not() -> None:
    labels = np.repeat([0, 1], 20)
    bundles = np.array([7] * 20 + [7] * 5 + [8] * 15)
    fold = fold_numbers(labels, seed=0, bundles=bundles.tolist())
    assert np.bincount(fold[:20], minlength=5).max() < 20
    assert len(set(fold[20:25])) == len(set(fold[25:])) == 1


def test_a_class_of_one_row_leaves_its_group_whole() -> None:
    labels = np.array([0] * 30 + [1] * 30 + [2])
    bundles = np.append(np.arange(60) // 3, 4)
    for seed in range(10):
        fold = fold_numbers(labels, seed=seed, bundles=bundles.tolist())
        assert len(set(fold[bundles == 4])) == 1
