"""The step `load`: the one loader that matches the data, every example looked at once.

Examples that cannot be read are set aside; where they are more than 5 % of all
(`UNREADABLE_SHARE`), or a whole class, the data is refused.
"""

from __future__ import annotations

from autotl.loading.loaded import UNREADABLE_SHARE, Loaded, load, median_side

__all__ = ["UNREADABLE_SHARE", "Loaded", "load", "median_side"]
