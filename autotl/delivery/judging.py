"""Predictions held against classes that are known."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.errors import DataError
from autotl.pixels import printable
from autotl.prediction import Model, Predicted, items
from autotl.records import AbstentionScore, ClassScore, Scores, names

_SEED = 0


def known(model: Model, inputs: Any) -> tuple[tuple[Path, ...], tuple[int, ...]]:
    """The image files that `inputs` (paths of files and folders) stand for, and the class of each:
    its place in `model.classes`, by the name of the folder that the file lies in, or by its path
    (class animals/cat), or else by a folder above it, up to the folder that was given.

    Raises `DataError` for a file in a folder that is no class of the model, and for inputs that
    are no paths.
    """
    places = {_plain(name): place for place, name in enumerate(model.classes)}
    depth = max(name.count("/") + 1 for name in model.classes)
    if isinstance(inputs, Iterable) and not isinstance(inputs, str | bytes | np.ndarray):
        inputs = list(inputs)
    given = _folders(inputs)
    paths, labels = [], []
    for name, path in items(inputs)[0]:
        if not isinstance(path, Path):
            raise DataError(f"Input {name} is no file, so no folder tells its class.")
        folder = path.absolute().parent
        known = (places[each] for each in _may_be(folder, given, depth) if each in places)
        label = next(known, None)
        if label is None:
            raise DataError(
                f"{name} lies in the folder '{printable(folder.name)}', which is no class of the "
                "model.",
                details=(f"classes: {names(model.classes)}",),
                hint="Put each image into a folder that is named as its class, or leave "
                "--evaluate out.",
            )
        paths.append(path)
        labels.append(label)
    return tuple(paths), tuple(labels)


def _folders(inputs: Any) -> tuple[Path, ...]:
    """The folders among the inputs."""
    every = inputs if isinstance(inputs, list) else [inputs]
    paths = [Path(os.fsdecode(each)) for each in every if isinstance(each, str | os.PathLike)]
    return tuple(path.absolute() for path in paths if path.is_dir())


def _may_be(folder: Path, given: Sequence[Path], depth: int) -> Iterator[str]:
    """The classes that an image in the folder may be of, nearest folder and longest path first."""
    top = next((each for each in given if folder.is_relative_to(each)), folder)
    for place in (folder, *folder.parents):
        parts = [_plain(part) for part in place.parts[1:]]
        yield from ("/".join(parts[-count:]) for count in range(min(depth, len(parts)), 0, -1))
        if place == top:
            return


def _plain(name: str) -> str:
    """A folder's name as loaders make a class of it."""
    return unicodedata.normalize("NFC", printable(name))


class Tally:
    """Counts predictions by true and predicted class as they go by."""

    def __init__(self, model: Model) -> None:
        self.classes = model.classes
        self.threshold = model.threshold
        self.places = {name: place for place, name in enumerate(model.classes)}
        self.confusion = np.zeros((len(model.classes), len(model.classes)), np.int64)
        self.answered = [0, 0]
        self.unreadable = 0

    def watching(
        self, predicted: Iterable[Predicted], labels: Iterable[int]
    ) -> Iterator[Predicted]:
        """The same predictions, each counted against its class; `labels` are in their order."""
        for each, label in zip(predicted, labels, strict=True):
            self.add(each, label)
            yield each

    def add(self, predicted: Predicted, label: int) -> None:
        """Count one."""
        if predicted.label is None:
            self.unreadable += 1
            return
        told = self.places[predicted.top[0][0]]
        self.confusion[label, told] += 1
        if not predicted.abstained:
            self.answered[int(told == label)] += 1

    def scores(self) -> Scores:
        """The figures; raises `DataError` where nothing could be read."""
        from autotl.evaluate.figures import bootstrap, wilson

        total = int(self.confusion.sum())
        if not total:
            raise DataError("None of the images could be read, so there is nothing to evaluate.")
        balanced, macro = bootstrap(self.confusion, seed=_SEED)
        right = int(np.trace(self.confusion))
        return Scores(
            examples=total,
            unreadable=self.unreadable,
            accuracy=wilson(np.arange(total) < right),
            balanced_accuracy=balanced,
            macro_f1=macro,
            per_class=per_class(self.confusion, self.classes),
            confusion=tuple(tuple(int(n) for n in row) for row in self.confusion),
            abstention=self._abstention(total),
        )

    def _abstention(self, total: int) -> AbstentionScore | None:
        from autotl.evaluate.figures import wilson

        if self.threshold is None:
            return None
        wrong, right = self.answered
        answered = wrong + right
        return AbstentionScore(
            threshold=self.threshold,
            answered=answered,
            coverage=answered / total,
            precision=wilson(np.arange(answered) < right) if answered else None,
        )


def per_class(confusion: NDArray[np.int64], classes: Sequence[str]) -> tuple[ClassScore, ...]:
    """Precision, recall and F1 of every class from counts (true, predicted); 0 where undefined."""
    right = np.diag(confusion)
    true, told = confusion.sum(axis=1), confusion.sum(axis=0)
    return tuple(
        ClassScore(
            name=name,
            examples=int(true[n]),
            precision=_share(right[n], told[n]),
            recall=_share(right[n], true[n]),
            f1=_share(2 * right[n], true[n] + told[n]),
        )
        for n, name in enumerate(classes)
    )


def _share(part: np.int64, whole: np.int64) -> float:
    return float(part / whole) if whole else 0.0
