"""The literature's scores, against the formulas written out."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.covariance import LedoitWolf


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("proxies")


@pytest.mark.parametrize("channels", [4, 60])
def test_logme_is_the_greatest_log_evidence(proxies: ModuleType, channels: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 40)
    features = rng.normal(size=(40, channels))
    features[:, 0] += 2 * labels

    def negative(logs: np.ndarray, y: np.ndarray) -> float:
        covariance = features @ features.T / np.exp(logs[0]) + np.eye(40) / np.exp(logs[1])
        sign, determinant = np.linalg.slogdet(2 * np.pi * covariance)
        assert sign > 0
        return float(0.5 * (determinant + y @ np.linalg.solve(covariance, y))) / 40

    targets = [(labels == c).astype(float) for c in (0, 1)]
    start = [0.0, 0.0]
    best = [-minimize(negative, start, args=(y,), method="Nelder-Mead").fun for y in targets]
    assert proxies.logme(features, labels) == pytest.approx(np.mean(best), abs=2e-3)


def test_h_score_is_the_trace_written_out(proxies: ModuleType) -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 60)
    features = rng.normal(size=(60, 5)) + labels[:, None]
    shrunk = LedoitWolf(assume_centered=True).fit(features - features.mean(axis=0))
    means = np.stack([features[labels == c].mean(axis=0) for c in labels]) - features.mean(axis=0)
    between = np.cov(means.T, bias=True)
    expected = (1 - shrunk.shrinkage_) * np.trace(np.linalg.inv(shrunk.covariance_) @ between)
    assert proxies.h_score(features, labels) == pytest.approx(expected)


def test_scores_rise_with_separation(proxies: ModuleType) -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 90)
    noise = rng.normal(size=(90, 8))
    clear = noise + 3 * np.eye(8)[labels]
    found = proxies.scores([noise, clear], [noise[::2]], np.arange(0, 90, 2), labels)
    assert found["pretrained"]["logme"] > found["random"]["logme"]
    assert found["same rows"]["logme"] == proxies.logme(clear[::2], labels[::2])
    assert found["pretrained"]["h-score"] > found["random"]["h-score"]
