"""The step `load`: the one loader that matches the data, every example looked at once."""

from __future__ import annotations

from autotl.loading.loaded import UNREADABLE_SHARE, Loaded, load

__all__ = ["UNREADABLE_SHARE", "Loaded", "load"]
