"""What a case of the corpus is, and the data that most of them begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Literal

from tests.images import encoded, pattern

Make = Callable[[Path], Sequence[str]]
Outcome = int | Literal["loads"]

LOADS: Literal["loads"] = "loads"
"""The data is odd but usable: `inspect` gets past the step `load`."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case: `make` writes what it needs into a folder and gives the command line.

    `outcome` is the exit code, or that the data loads; each of `says` is a regular expression
    found in what the command writes to standard error, none of `silent` is. `environment` is set
    for the command. Of what was made, files of the names `changes` may be other ones afterwards.
    A case `alone` runs in a process of its own, an `unprivileged` one there with the permissions of
    anybody.
    """

    name: str
    make: Make
    outcome: Outcome
    says: tuple[str, ...]
    silent: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    alone: bool = False
    unprivileged: bool = False
    slow: bool = False


def on_data(write: Callable[[Path], object], *options: str, command: str = "inspect") -> Make:
    """A command on the folder `photos` that `write` fills; it is made beforehand."""

    def make(folder: Path) -> list[str]:
        data = folder / "photos"
        data.mkdir()
        write(data)
        return [command, str(data), *options]

    return make


def refused(
    name: str, write: Callable[[Path], object], *says: str, outcome: int = 3, **more: object
) -> Case:
    """`fit` on a folder that `write` fills is refused; the message has these words."""
    make = on_data(write, command="fit")
    return Case(name=name, make=make, outcome=outcome, says=says, **more)  # type: ignore[arg-type]


def loads(
    name: str,
    write: Callable[[Path], object],
    *says: str,
    silent: tuple[str, ...] = (),
    **more: object,
) -> Case:
    """A folder that `write` fills loads; what is told of it, with -v, has these words."""
    make = on_data(write, "--verbose")
    return Case(name=name, make=make, outcome=LOADS, says=says, silent=silent, **more)  # type: ignore[arg-type]


@cache
def photo(label: int, number: int) -> bytes:
    """A small PNG of that class; no two are equal."""
    return encoded(pattern(label, number, size=(16, 16)))


def photos(root: Path, *, first: int = 0, **counts: int) -> None:
    """Write `root/CLASS/NN.png`, so many of each class."""
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            (root / name / f"{number:02d}.png").write_bytes(photo(label, number))


def pets(root: Path, count: int = 4) -> Path:
    """Cats and dogs, so many of each; gives the folder of cats."""
    photos(root, cats=count, dogs=count)
    return root / "cats"


def sound(command: str, *options: str) -> Make:
    """A command with these options on data that is sound."""
    return on_data(partial(pets, count=4), *options, command=command)
