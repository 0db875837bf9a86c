"""What every test shares: a store and a KERAS_HOME of its own; nothing is read from or left to the
user's. Properties are tried on the same examples everywhere, however slow the machine.
"""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

hypothesis.settings.register_profile("autotl", deadline=None, derandomize=True)
hypothesis.settings.load_profile("autotl")

FOREIGN = ("AUTOTL_CACHE_GB", "AUTOTL_DISABLE_PLUGIN_AUTOLOAD", "FORCE_COLOR", "NO_COLOR")


@pytest.fixture(scope="session", autouse=True)
def own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOTL_CACHE", str(tmp_path_factory.mktemp("store")))
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        for name in FOREIGN:
            patch.delenv(name, raising=False)
        yield
