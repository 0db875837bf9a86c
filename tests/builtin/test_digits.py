from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from autotl.builtin.digits import autotl_loaders, load, matches


def test_the_digits_are_grey_and_use_the_whole_range() -> None:
    found = load("digits", {})
    assert len(found.ids) == 1797
    assert found.classes == tuple("0123456789")
    assert Counter(found.labels)[3] == 183
    assert found.read(0).dtype == np.uint8
    assert found.read(0).shape == (8, 8)
    assert found.read(0)[0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
    assert max(found.read(row).max() for row in range(100)) == 255


def test_only_the_name_matches_and_a_path_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert matches("digits", {})
    assert matches("Digits", {})
    for data in ("digit", str(tmp_path), ([], []), None):
        assert matches(data, {}) is None
    (tmp_path / "digits").mkdir()
    assert matches("digits", {}) is None


def test_the_hook_offers_the_loader() -> None:
    (loader,) = autotl_loaders()
    assert loader.name == "digits"
