"""Ids that differ, of examples whose names are written alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence


def unlike(ids: Sequence[str]) -> tuple[str, ...]:
    """The ids, with a number behind one that occurs twice (odd names may be written alike)."""
    seen: defaultdict[str, int] = defaultdict(int)
    told = []
    taken = set(ids)
    for name in ids:
        seen[name] += 1
        other = name
        while seen[name] > 1 and other in taken:
            other = f"{name} ({seen[name]})"
            seen[name] += other in taken
        taken.add(other)
        told.append(other)
    return tuple(told)
