"""Copies, leaks and doubtful labels, against known answers and scikit-learn."""

from __future__ import annotations

import dataclasses
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.neighbors import NearestNeighbors

from autotl.measure import probes, quality, size
from tests.test_measure import CLASSES, load_record, made, split_record


def test_nearest_are_those_of_scikit_learn() -> None:
    features, _ = made(120, 10)
    found = quality.nearest(features)
    z = probes.standardise(features)
    other = NearestNeighbors(n_neighbors=6, metric="cosine").fit(z)
    distances, places = other.kneighbors(z)
    assert np.array_equal(found.places, places[:, 1:])
    assert np.allclose(found.distances, distances[:, 1:])


def test_copies_are_counted_once_and_flipped_labels_are_named() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, CLASSES, 300)
    features = rng.normal(size=(300, 20)) + 8 * np.tile(np.eye(5), 4)[labels]
    copied = features[:30] + 1e-4 * rng.normal(size=(30, 20))
    both = np.concatenate([features, copied, copied[:5]])
    theirs = np.concatenate([labels, labels[:30], labels[:5]])
    flipped = np.array([100, 150, 200])
    theirs[flipped] = (theirs[flipped] + 1) % CLASSES
    plain = size.count(load_record(400, (130, 130, 140)), split_record(len(both)), theirs)
    found = quality.judged(plain, both, theirs, copied[:7], str)
    assert found.near_copies == 35
    assert found.near_leaks == 7
    assert (found.doubts, set(found.doubtful)) == (3, {"100", "150", "200"})
    assert [labels[int(name)] for name in found.doubtful] == list(found.borne)
    assert len(found.near_pairs) == quality.PAIRS
    assert all(abs(int(a) - int(b)) in (300, 330, 30) for a, b in found.near_pairs)
    counts = np.bincount(theirs)
    even = np.exp(entropy(counts)) / CLASSES
    assert found.effective == pytest.approx(335 * (300 / 335) * (1 - 3 / 335) * even)


def test_pairs_of_different_labels_come_first_and_equal_ones_last() -> None:
    places = np.array([[1, 2], [0, 2], [3, 0], [2, 0], [5, 0], [4, 0]])
    distances = np.array([[0.01, 9], [0.01, 9], [0.02, 9], [0.02, 9], [0.0, 9], [0.0, 9]])
    found = quality.Neighbours(places=places, distances=distances)
    assert quality.pairs(found, np.array([0, 0, 1, 1, 2, 2]), 0.1) == [(0, 1), (2, 3), (4, 5)]
    assert quality.pairs(found, np.array([0, 0, 1, 2, 2, 2]), 0.1) == [(2, 3), (0, 1), (4, 5)]
    assert quality.pairs(found, np.array([0, 0, 1, 2, 2, 2]), 0.01) == [(0, 1), (4, 5)]


def test_where_neighbours_tell_nothing_no_label_is_doubtful() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(600) < 0.05).astype(int)
    found = quality.nearest(rng.normal(size=(600, 30)))
    alike = (labels[found.places] == 0).all(axis=1) & (labels == 1)
    assert alike.sum() > 10
    assert quality.doubtful(found, labels).size == 0
    chance = quality.by_chance(np.array([0] * 90 + [1] * 10))
    assert chance == pytest.approx([0.1**5, 0.9**5])


def test_nothing_is_doubtful_among_a_few_and_one_row_is_no_error() -> None:
    features, labels = made(5, 3)
    assert quality.doubtful(quality.nearest(features), labels).size == 0
    plain = size.count(load_record(1, (1, 0, 0)), split_record(1), labels[:1])
    assert quality.judged(plain, features[:1], labels[:1], None, str) == plain


@given(st.integers(0, 50))
@settings(deadline=None)
def test_size_does_not_depend_on_the_order_of_rows(seed: int) -> None:
    features, labels = made(80, 4)
    features = np.concatenate([features, features[:9]])
    labels = np.concatenate([labels, labels[:9]])
    order = np.random.default_rng(seed).permutation(len(labels))
    plain = size.count(load_record(89, (30, 30, 29)), split_record(89), labels)
    first = quality.judged(plain, features, labels, None, str)
    other = quality.judged(plain, features[order], labels[order], None, lambda i: str(order[i]))
    nameless: dict[str, Any] = {"doubtful": (), "borne": (), "near_pairs": ()}
    assert dataclasses.replace(first, **nameless) == dataclasses.replace(other, **nameless)
    told, again = (dict(zip(one.doubtful, one.borne, strict=True)) for one in (first, other))
    assert told == again
    assert set(map(frozenset, first.near_pairs)) == set(map(frozenset, other.near_pairs))


def test_leaks_are_counted_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(60, 8)).astype(np.float32)
    others = rng.normal(size=(101, 8)).astype(np.float32)
    others[::7] = features[:15] + 1e-4
    both = quality._unit(probes.standardise(np.concatenate([features, others])))
    nearest = (1 - both[60:] @ both[:60].T).min(axis=1)
    for rows in (1, 10, 101, 5000):
        monkeypatch.setattr(quality, "AT_ONCE", rows)
        for limit in (1e-6, 0.05, 0.3):
            assert quality.leaked(features, others, limit) == (nearest <= limit).sum()
        assert quality.leaked(features, others[:0], 0.3) == 0
    assert quality.leaked(features, others, 1e-6) == 15


def test_leaks_among_many_rows_take_little_memory() -> None:
    features, others = np.ones((2000, 4), np.float32), np.zeros((30_000, 4), np.float32)
    tracemalloc.start()
    try:
        quality.leaked(features, others, 0.1)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100e6, "a matrix of all distances has 480 MB"
