"""Similarity to the source domain: closed forms, independent implementations, a real network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.linalg import sqrtm
from sklearn.datasets import load_sample_images

from autotl import model
from autotl.builtin import embedded
from autotl.builtin.embedded_backbone import backbone
from autotl.errors import PluginError
from autotl.measure import domain, similarity
from autotl.records import LocatedBackbone


def moments(
    mean: float, deviation: float, *, images: int = 40, channels: int = 6, seed: int = 0
) -> similarity.Moments:
    """A layer that remembers mean 1 and variance 4, and inputs of another distribution."""
    x = np.random.default_rng(seed).normal(mean, deviation, (images, 400, channels))
    return similarity.Moments(
        mean=x.mean(axis=1),
        square=(x**2).mean(axis=1),
        moving_mean=np.ones(channels),
        moving_variance=np.full(channels, 4.0),
        epsilon=0.0,
    )


@given(st.floats(-3, 3), st.floats(0.2, 5), st.floats(-3, 3), st.floats(0.2, 5))
@settings(deadline=None)
def test_divergence_is_half_the_sum_of_both(m: float, s: float, m2: float, s2: float) -> None:
    def one_way(a: float, b: float, c: float, d: float) -> float:
        return float(np.log(d / b) + (b**2 + (a - c) ** 2) / (2 * d**2) - 0.5)

    expected = (one_way(m, s, m2, s2) + one_way(m2, s2, m, s)) / 2
    found = similarity.divergence(np.array(m), np.array(s**2), np.array(m2), np.array(s2**2))
    assert float(found) == pytest.approx(expected, abs=1e-9)
    assert float(found) >= -1e-12


def test_similarity_is_one_at_the_source_and_zero_at_noise() -> None:
    noise = [moments(8.0, 6.0, seed=s) for s in range(3)]
    source = [moments(1.0, 2.0, seed=s) for s in range(3, 6)]
    at_source = similarity.similarity(source, noise, seed=0)
    assert at_source.value == pytest.approx(1, abs=0.01)
    at_noise = similarity.similarity(noise, noise, seed=0)
    assert at_noise.value == pytest.approx(0, abs=1e-9)
    beyond = similarity.similarity([moments(50.0, 6.0)], noise, seed=0)
    assert beyond.value == 0
    between = similarity.similarity([moments(2.0, 3.0, seed=9)], noise, seed=0)
    assert 0 < between.low <= between.value <= between.high < 1
    assert between == similarity.similarity([moments(2.0, 3.0, seed=9)], noise, seed=0)


def test_similarity_is_a_known_figure() -> None:
    flat = np.full((5, 2), 3.0)
    layer = similarity.Moments(
        mean=flat,
        square=flat**2 + 4,
        moving_mean=np.ones(2),
        moving_variance=np.full(2, 4.0),
        epsilon=0.0,
    )
    far = dataclasses.replace(layer, mean=flat + 2, square=(flat + 2) ** 2 + 4)
    assert similarity.divergences([layer], np.ones((1, 5)))[0] == pytest.approx(0.5)
    assert similarity.divergences([far], np.ones((1, 5)))[0] == pytest.approx(2.0)
    found = similarity.similarity([layer], [far], seed=0)
    assert found.value == pytest.approx(1 - np.log(1.5) / np.log(3))
    assert found.low == pytest.approx(found.high)


def test_similarity_is_null_with_a_reason() -> None:
    found = similarity.similarity([], [], seed=0)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert "batch norm" in found.reason
    flat = np.ones((5, 2))
    same = similarity.Moments(
        mean=flat, square=flat * 5, moving_mean=flat[0], moving_variance=flat[0] * 4, epsilon=0.0
    )
    assert "noise" in similarity.similarity([same], [same], seed=0).reason


def correlated(n: int, channels: int, *, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=(n, channels)) @ rng.normal(size=(channels, channels)) + 3)


@given(st.integers(0, 30))
@settings(deadline=None, max_examples=20)
def test_frechet_distance_is_that_of_the_matrix_square_root(seed: int) -> None:
    source, target = correlated(500, 6, seed=seed), correlated(80, 6, seed=seed + 100)
    reference = similarity.Reference(mean=source.mean(axis=0), covariance=np.cov(source.T))
    rotated = similarity.whitened(target, reference)
    whole = similarity.whitened(source, reference)
    assert np.allclose(np.cov(whole.T), np.eye(6), atol=1e-6)
    covariance = np.cov(rotated.T, bias=True)
    few = (6 + 5) / 4 / 80
    expected = (rotated.mean(axis=0) ** 2).sum() + np.trace(
        covariance + np.eye(6) - 2 * np.real(sqrtm(covariance))
    )
    found = similarity.frechet(rotated, np.ones((1, 80)))[0]
    assert found == pytest.approx(expected / 6 - few, rel=1e-4)


def test_weights_of_frechet_are_repetitions() -> None:
    x = correlated(10, 4, seed=0)
    counts = np.array([2, 0, 1, 1, 3, 0, 1, 1, 1, 0])
    weighted, repeated = (
        similarity.frechet(rows, weights)[0]
        for rows, weights in ((x, counts[None]), (np.repeat(x, counts, axis=0), np.ones((1, 10))))
    )
    taken_off = (4 + 5) / 4 * ((counts / 10) ** 2).sum(), (4 + 5) / 4 / 10
    assert weighted + taken_off[0] == pytest.approx(repeated + taken_off[1])
    few = x[:2]  # fewer images than components
    assert similarity.frechet(few, np.ones((1, 2)))[0] > 0


def test_few_images_of_the_source_are_not_foreign() -> None:
    source, noise = correlated(4000, 40, seed=3), 9 * correlated(64, 40, seed=4)
    reference = similarity.Reference(mean=source.mean(axis=0), covariance=np.cov(source.T))
    about: dict[str, Any] = {"reference": reference, "seed": 0}
    found = [
        similarity.similarity([], [], outputs=(source[:images], noise), **about)
        for images in (40, 128, 256, 2000)
    ]
    for one in found:
        assert one.value is not None
        assert one.value > 0.97
        assert one.low <= one.value <= one.high
    far = [
        similarity.similarity([], [], outputs=(2 * source[:images], noise), **about).value
        for images in (128, 256, 2000)
    ]
    assert max(far) - min(far) < 0.03


def test_without_batch_norm_the_reference_gives_the_figure() -> None:
    source, noise = correlated(400, 5, seed=1), 9 * correlated(64, 5, seed=2)
    reference = similarity.Reference(mean=source.mean(axis=0), covariance=np.cov(source.T))
    about = {"reference": reference, "seed": 0}
    near = similarity.similarity([], [], outputs=(source[:100], noise), **about)
    assert near.value == near.frechet
    assert near.value is not None
    assert near.value > 0.9
    assert similarity.similarity([], [], outputs=(noise, noise), **about).value == 0
    layers = [moments(2.0, 3.0)], [moments(8.0, 6.0)]
    both = similarity.similarity(*layers, stages=[1], outputs=(source[:100], noise), **about)
    assert both.value == similarity.similarity(*layers, seed=0).value
    assert both.frechet == near.value
    assert both.stages == (None, both.value)


def net_at(size: int) -> tuple[Any, LocatedBackbone]:
    own = backbone()
    located = LocatedBackbone(
        backbone=own,
        distribution="autotl",
        input_size=size,
        preprocessing=dataclasses.replace(own.preprocessing, size=size),
        weights=str(embedded.WEIGHTS_FILE),
        weights_sha256=embedded.recorded_checksum(),
    )
    return model.build(located, pretrained=True, seed=0), located


def compared(net: Any, located: LocatedBackbone, images: NDArray[np.uint8], seed: int = 0) -> Any:
    return domain.compare(net, located, images, seed, lambda *_: None)


def smooth(size: int, count: int = 48, *, seed: int = 0) -> NDArray[np.uint8]:
    """Coloured slopes with a few edges: nearer to photographs than noise is."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 4, 4, 3))
    return np.asarray(np.kron(coarse, np.ones((1, size // 4, size // 4, 1))), np.uint8)


def photographed(size: int, count: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """Cut from the two photographs that come with scikit-learn."""
    rng = np.random.default_rng(seed)
    photographs = load_sample_images().images
    found = []
    for place in range(count):
        whole, side = photographs[place % len(photographs)], int(rng.integers(2 * size, 5 * size))
        top, left = (int(rng.integers(0, length - side)) for length in whole.shape[:2])
        cut = Image.fromarray(whole[top : top + side, left : left + side])
        found.append(np.asarray(cut.resize((size, size), Image.Resampling.BILINEAR)))
    return np.stack(found)


def test_noise_is_foreign_to_a_real_network_and_order_does_not_count() -> None:
    net, located = net_at(64)
    noise = np.random.default_rng(9).integers(0, 256, (64, 64, 64, 3)).astype(np.uint8)
    found = compared(net, located, noise)
    assert found.value <= 0.1
    assert found.frechet <= 0.1
    blocks = compared(net, located, smooth(64))
    assert blocks.value > found.value
    assert blocks.frechet > found.frechet
    assert len(blocks.stages) == len(located.backbone.stages)
    turned = compared(net, located, smooth(64)[::-1])
    assert turned.value == pytest.approx(blocks.value, abs=1e-3)
    assert turned.frechet == pytest.approx(blocks.frechet, abs=1e-3)


@pytest.mark.parametrize(("image", "near"), [(photographed, 0.9), (smooth, 0.17)])
def test_half_the_images_other_ones_and_another_seed_say_the_same(image: Any, near: float) -> None:
    net, located = net_at(64)
    images = image(64, 192)
    whole = compared(net, located, images[:96])
    assert whole.value == pytest.approx(near, abs=0.03)
    for some, seed in ((images[:48], 0), (images[48:96], 0), (images[96:], 0), (images[:96], 7)):
        again = compared(net, located, some, seed)
        assert again.value == pytest.approx(whole.value, abs=0.03)
        assert again.frechet == pytest.approx(whole.frechet, abs=0.06)
        assert again.low <= whole.high
        assert whole.low <= again.high


def test_reference_statistics_hold_for_their_size_and_their_checksum(tmp_path: Path) -> None:
    net, located = net_at(32)
    assert compared(net, located, smooth(32, 8)).frechet is None
    own = located.backbone
    assert own.reference_statistics is not None
    other = dataclasses.replace(own.reference_statistics, sha256="0" * 64, size=32)
    damaged = dataclasses.replace(
        located, backbone=dataclasses.replace(own, reference_statistics=other)
    )
    with pytest.raises(PluginError, match="missing or damaged"):
        compared(net, damaged, smooth(32, 8))
