"""Names that look alike: most likely one thing, written in two ways."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

_MOST = 5


def look_alikes(names: Iterable[str], what: str) -> list[str]:
    """Remarks on names, of `what` in the plural, that differ only by case or blanks, letters of no
    width among them; in the order given, on five sets of names at most.
    """
    alike = defaultdict(list)
    for name in names:
        alike["".join(filter(_is_seen, name)).casefold()].append(name)
    found = [some for some in alike.values() if len(some) > 1]
    remarks = [
        f"These {what} differ only by case or blanks: {', '.join(map(_quoted, some))}."
        for some in found[:_MOST]
    ]
    if len(found) > _MOST:
        remarks.append(f"So do {len(found) - _MOST:,} more sets of {what}.")
    return remarks


def _is_seen(letter: str) -> bool:
    """Neither a blank nor a letter that is not shown, such as a joiner of width zero."""
    return not letter.isspace() and unicodedata.category(letter) != "Cf"


def _quoted(name: str) -> str:
    """The name in quotes, letters that are not shown written by their numbers."""
    return f"'{''.join(c if c.isprintable() else ascii(c)[1:-1] for c in name)}'"
