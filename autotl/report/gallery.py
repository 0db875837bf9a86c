"""The step `pictures`: examples of the data that are worth a look, as thumbnails in the run folder.

Only `evaluate` opens a test row; here a copy of one that lies among the training rows stands for
it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from autotl.records import CopyGroup, Dataset, Pictured, Pictures, Size, Split, Suspect
from autotl.thumbnails import thumbnail

GROUPS, NAMED = 12, 6
"""Groups of exact copies that are shown at most, and ids of each that are named."""


def pictured(
    dataset: Dataset, hashes: Sequence[str], split: Split, size: Size, run_folder: Path
) -> Pictures:
    """Pictures of what `size` names among the training rows, and of exact copies.

    An image that cannot be read again has none. Raises what writing a file raises.
    """
    place = {dataset.ids[row]: row for row in split.train}

    def shown(name: str) -> Pictured:
        row = place[name]
        made = thumbnail(dataset, hashes, row, run_folder)
        return Pictured(id=name, label=dataset.labels[row], thumbnail=made)

    near = [(a, b) for a, b in size.near_pairs if hashes[place[a]] != hashes[place[b]]]
    groups = _copies(dataset, hashes)
    closed = set(split.test)
    return Pictures(
        suspects=tuple(
            Suspect(example=shown(name), borne=borne)
            for name, borne in zip(size.doubtful, size.borne, strict=False)
        ),
        doubts=size.doubts,
        near=tuple((shown(a), shown(b)) for a, b in near),
        copies=tuple(_group(dataset, hashes, g, closed, run_folder) for g in groups[:GROUPS]),
        groups=len(groups),
    )


def _copies(dataset: Dataset, hashes: Sequence[str]) -> list[list[int]]:
    """Rows of equal content, by their ids; groups of several labels first, then the largest."""
    alike = defaultdict(list)
    for row in sorted(range(len(hashes)), key=dataset.ids.__getitem__):
        alike[hashes[row]].append(row)
    groups = [rows for rows in alike.values() if len(rows) > 1]
    return sorted(
        groups,
        key=lambda rows: (
            len({dataset.labels[row] for row in rows}) == 1,
            -len(rows),
            dataset.ids[rows[0]],
        ),
    )


def _group(
    dataset: Dataset,
    hashes: Sequence[str],
    rows: Sequence[int],
    closed: set[int],
    run_folder: Path,
) -> CopyGroup:
    """One group; of its several labels at least two are among those named."""
    first = {dataset.labels[row]: row for row in reversed(rows)}
    order = [*sorted(first.values()), *(row for row in rows if row not in first.values())]
    opened = [row for row in rows if row not in closed]
    return CopyGroup(
        examples=len(rows),
        ids=tuple(dataset.ids[row] for row in order[:NAMED]),
        labels=tuple(dataset.labels[row] for row in order[:NAMED]),
        thumbnail=thumbnail(dataset, hashes, opened[0], run_folder) if opened else None,
    )
