"""The loader of `tf.data.Dataset`s of (image, label), given through the Python API.

    dataset                                               one
    {"train": ..., "validation": ..., "test": ...}        given splits
    (train, validation) or (train, validation, test)      the same

Batched or not; images as `arrays` takes them, or encoded; labels whole numbers, strings or one-hot
rows; class names from `dataset.class_names`, where `image_dataset_from_directory` left them. A
dataset is read once, in its order, into a file (`Spool`); examples are named by their content and
sorted by it, so that a dataset which shuffles is the same data every time. TensorFlow is not
imported here: whoever gives a dataset has done so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autotl.builtin.array_values import Scaling, classes_and_labels, column, scaling, to_pixels
from autotl.builtin.split_names import split_of
from autotl.builtin.spool import Slot, Spool
from autotl.errors import AutotlError, DataError
from autotl.files import cache_home
from autotl.hookspecs import hookimpl
from autotl.pixels import content_hash
from autotl.records import SPLITS, Dataset, Loader

NAME = "tf-data"
EXPECTED = (
    "Expected a tf.data.Dataset of (image, label), or several by split: "
    '{"train": dataset, "validation": dataset, "test": dataset}.'
)
_CHANNELS = (1, 3, 4)
_INFINITE = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One example as it was read: its split, hash in hex, label, and where its image lies."""

    split: str | None
    digest: str
    label: int | str
    slot: Slot


def among(data: Any) -> bool:
    """Whether `data` is a `tf.data.Dataset`, or a mapping, a tuple or a list that holds one."""
    if isinstance(data, Mapping):
        return any(map(_is_dataset, data.values()))
    if isinstance(data, tuple | list) and len(data) <= len(SPLITS):
        return any(map(_is_dataset, data))
    return _is_dataset(data)


def matches(data: Any, options: Mapping[str, Any]) -> str | None:
    """Why `data` is read here: it is or holds a `tf.data.Dataset`."""
    if not among(data):
        return None
    if isinstance(data, Mapping):
        return f"it is a mapping of tf.data.Datasets: {', '.join(map(str, data))}"
    if isinstance(data, tuple | list):
        return f"it is a sequence of tf.data.Datasets, taken as {', '.join(SPLITS[: len(data)])}"
    return "it is a tf.data.Dataset"


def load(data: Any, options: Mapping[str, Any]) -> Dataset:
    """The examples, sorted by split and content; ids are the split and the content's hash.

    Raises `DataError` for a dataset that never ends, is empty or holds no pairs of images and
    labels, and `DiskError` where the disk does not hold it.
    """
    datasets = _by_split(data)
    for split, dataset in datasets.items():
        _check(dataset, split)
    names = _class_names(datasets)
    spool = Spool(cache_home())
    rows: list[Row] = []
    how = scaling(_spooled(datasets, spool, rows))
    rows.sort(key=lambda row: (_place(row.split), row.digest, str(row.label)))
    targets = [np.array([row.label for row in rows if row.split == split]) for split in datasets]
    classes, labels = classes_and_labels(targets, names)
    slots = tuple(row.slot for row in rows)
    return Dataset(
        kind="image",
        ids=tuple(_ids(rows)),
        labels=labels,
        classes=classes,
        read=lambda row: _pixels(spool.read(slots[row]), how),
        splits=None if None in datasets else tuple(str(row.split) for row in rows),
        warnings=how.remarks,
    )


def _is_dataset(data: Any) -> bool:
    return any(
        each.__name__ == "DatasetV2" and each.__module__.startswith("tensorflow.")
        for each in type(data).__mro__
    )


def _by_split(data: Any) -> dict[str | None, Any]:
    if not among(data):
        raise DataError(f"A {type(data).__name__} is no tf.data.Dataset.", hint=EXPECTED)
    if isinstance(data, tuple | list):
        data = dict(zip(SPLITS, data, strict=False))
    if not isinstance(data, Mapping):
        return {None: data}
    found: dict[str | None, Any] = {}
    for name, dataset in data.items():
        split = split_of(str(name))
        if split is None:
            raise DataError(f"'{name}' names no split of the data.", hint=EXPECTED)
        if split in found:
            raise DataError(f"Two datasets are named as the {split} split.", hint=EXPECTED)
        if not _is_dataset(dataset):
            raise DataError(
                f"'{name}' is a {type(dataset).__name__}, no tf.data.Dataset.", hint=EXPECTED
            )
        found[split] = dataset
    return dict(sorted(found.items(), key=lambda each: _place(each[0])))


def _place(split: str | None) -> int:
    return -1 if split is None else SPLITS.index(split)


def _check(dataset: Any, split: str | None) -> None:
    """Raise `DataError` for what can be told before an element is read."""
    if int(dataset.cardinality()) == _INFINITE:
        raise DataError(
            f"The dataset{_of(split)} never ends.",
            hint="Leave .repeat() out, or give a part of it: dataset.take(n).",
        )
    spec = dataset.element_spec
    if isinstance(spec, Mapping):
        raise DataError(
            f"The dataset{_of(split)} gives mappings with {', '.join(map(str, spec))}, not pairs.",
            hint='Make pairs of them: dataset.map(lambda each: (each["image"], each["label"])).',
        )
    if not isinstance(spec, tuple):
        raise DataError(f"The dataset{_of(split)} gives images without labels.", hint=EXPECTED)
    if len(spec) == 3:
        raise DataError(
            f"The dataset{_of(split)} gives triples, of which the third (weights, as Keras has "
            "them) is not used here.",
            hint="Leave it out: dataset.map(lambda image, label, weight: (image, label)).",
        )
    if len(spec) != 2:
        raise DataError(
            f"The dataset{_of(split)} gives tuples of {len(spec)}, not pairs.", hint=EXPECTED
        )
    if odd := [part for part in spec if not hasattr(part, "dtype") or not hasattr(part, "shape")]:
        raise DataError(
            f"The dataset{_of(split)} gives pairs with a {type(odd[0]).__name__} in them, not of "
            "an image and its label.",
            hint=EXPECTED,
        )


def _class_names(datasets: Mapping[str | None, Any]) -> Sequence[str] | None:
    """The class names that the datasets bear; raises `DataError` where they bear other ones."""
    given = [names for each in datasets.values() if (names := getattr(each, "class_names", None))]
    if any(list(names) != list(given[0]) for names in given):
        raise DataError(
            "The datasets bear different class names.",
            details=tuple(", ".join(map(str, names[:12])) for names in given),
        )
    return list(map(str, given[0])) if given else None


def _spooled(
    datasets: Mapping[str | None, Any], spool: Spool, rows: list[Row]
) -> Iterator[NDArray[Any]]:
    """Every image that is no encoded one, once it is in the file and among the rows."""
    for split, dataset in datasets.items():
        before = len(rows)
        for images, labels in _batches(dataset, split):
            if len(images) != len(labels):
                raise DataError(
                    f"The dataset{_of(split)} gives {len(images)} images with {len(labels)} labels."
                )
            for given, label in zip(images, labels.tolist(), strict=True):
                image = given if isinstance(given, bytes) else _image(given, split)
                digest = content_hash(image)
                rows.append(Row(split=split, digest=digest, label=label, slot=spool.add(image)))
                if not isinstance(image, bytes):
                    yield image
        if len(rows) == before:
            raise DataError(f"The dataset{_of(split)} is empty.")


def _batches(dataset: Any, split: str | None) -> Iterator[tuple[Any, NDArray[Any]]]:
    """(images, labels) of each element; an element of one example has one of each."""
    elements = iter(dataset.as_numpy_iterator())
    count = 0
    while True:
        try:
            image, label = next(elements)
        except StopIteration:
            return
        except (MemoryError, AutotlError):
            raise
        except Exception as error:  # what the functions in the dataset raise, and TensorFlow's own
            raise DataError(
                f"The dataset{_of(split)} fails after {count:,} elements.",
                details=tuple(str(error).splitlines()[:3]),
            ) from error
        count += 1
        yield _as_batch(image, label)


def _as_batch(image: Any, label: Any) -> tuple[Any, NDArray[Any]]:
    target = _target(label)
    if isinstance(image, bytes):
        return [image], column(target[None])
    pixels = np.asarray(image)
    if pixels.dtype == object and pixels.ndim == 1:
        return pixels.tolist(), column(target)
    single = pixels.ndim < 3 or target.ndim == 0
    if single or (pixels.ndim == 3 and pixels.shape[2] in _CHANNELS):
        return [pixels], column(target[None])
    return pixels, column(target)


def _target(label: Any) -> NDArray[Any]:
    """Labels as an array, strings as such."""
    target = np.asarray(label)
    if target.dtype.kind not in "SO":
        return target
    words = [
        word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)
        for word in target.ravel().tolist()
    ]
    return np.array(words, dtype=np.str_).reshape(target.shape)


def _image(given: Any, split: str | None) -> NDArray[Any]:
    image = np.asarray(given)
    if image.dtype.name == "bfloat16":
        image = image.astype(np.float32)
    good = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in _CHANNELS)
    if good and image.dtype.kind in "buif":
        return image
    first = image.ndim == 3 and image.shape[0] in _CHANNELS
    raise DataError(
        f"The dataset{_of(split)} gives images of {image.dtype} and shape {image.shape}, not "
        "numbers of shape (height, width) or (height, width, 1|3|4).",
        hint="The channels seem to come first: tf.transpose(image, (1, 2, 0)) moves them."
        if first
        else "",
    )


def _ids(rows: Sequence[Row]) -> Iterator[str]:
    """SPLIT/HASH, and HASH-2 and so on for further copies."""
    seen: Counter[str] = Counter()
    for row in rows:
        name = f"{row.split}/{row.digest[:16]}" if row.split else row.digest[:16]
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}-{seen[name]}"


def _pixels(image: bytes | NDArray[Any], how: Scaling) -> Any:
    return image if isinstance(image, bytes) else to_pixels(image, how)


def _of(split: str | None) -> str:
    return f" of the {split} split" if split else ""


@hookimpl
def autotl_loaders() -> list[Loader]:
    """The loader `tf-data`."""
    return [
        Loader(
            name=NAME,
            description="a tf.data.Dataset of (image, label), or one a split, through the "
            "Python API",
            matches=matches,
            load=load,
        )
    ]
