from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotl.builtin import arrays, spool, tf_datasets
from autotl.builtin.spool import Spool
from autotl.builtin.tf_datasets import autotl_loaders, load, matches
from autotl.errors import DataError, DiskError
from autotl.loading import load as loaded
from autotl.pixels import content_hash, decode
from autotl.records import LoadRecord
from autotl.testing import check_loader
from tests.images import arrays as some_arrays
from tests.images import encoded, pattern

IMAGES, LABELS = some_arrays(classes=3, per_class=4, size=(7, 5))
LOADERS = [loader for each in (arrays, tf_datasets) for loader in each.autotl_loaders()]


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


def by_content(images: Any) -> dict[str, int]:
    """The row of each image by its content."""
    return {content_hash(image): row for row, image in enumerate(images)}


def test_one_dataset_becomes_examples_sorted_by_content(tf: Any) -> None:
    found = load(tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)), {})
    row_of = by_content(IMAGES)
    assert len(found.ids) == 12
    assert list(found.ids) == sorted(found.ids)
    assert found.classes == ("0", "1", "2")
    assert found.splits is None
    for row in range(12):
        content = found.read(row)
        assert found.ids[row] == content_hash(content)[:16]
        assert found.labels[row] == LABELS[row_of[content_hash(content)]]


@pytest.mark.parametrize("batch", [None, 1, 5, 12])
@pytest.mark.parametrize("seed", [1, 2])
def test_order_and_batches_change_nothing(tf: Any, batch: int | None, seed: int) -> None:
    plain = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    other = plain.shuffle(12, seed=seed)
    other = other if batch is None else other.batch(batch)
    one, two = (loaded(each, LOADERS).record for each in (plain, other))
    assert one.loader == "tf-data"
    assert one.reason == "it is a tf.data.Dataset"
    assert one.fingerprint == two.fingerprint
    assert one.per_class == (4, 4, 4)


def test_the_same_run_goes_on_with_a_shuffled_dataset(tf: Any) -> None:
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).shuffle(12)  # anew each time
    first = loaded(dataset, LOADERS)
    again = loaded(dataset, LOADERS, known=first.record)
    assert again.hashes == first.hashes
    assert isinstance(again.record, LoadRecord)


def test_floats_are_scaled_by_the_range_of_all(tf: Any) -> None:
    grey = np.arange(0, 250, 25, dtype=np.float32).reshape(10, 1, 1, 1) * np.ones((1, 4, 4, 1))
    targets = [0, 1] * 5
    for scale in (1.0, 1 / 255):
        values = (grey * scale).astype(np.float32)
        found = load(tf.data.Dataset.from_tensor_slices((values, targets)), {})
        assert sorted(int(found.read(row).max()) for row in range(10)) == list(range(0, 250, 25))
        assert bool(found.warnings) == (scale < 1)
    half = tf.data.Dataset.from_tensor_slices((grey.astype(np.float32), targets))
    half = half.map(lambda image, label: (tf.cast(image, tf.bfloat16), label))
    assert load(half, {}).read(0).dtype == np.uint8


@pytest.mark.parametrize("batch", [None, 2, 4])
@pytest.mark.parametrize(
    ("labels", "classes", "places"),
    [
        ([3, 1, 3, 1], ("1", "3"), (1, 0, 1, 0)),
        (["b", "a", "b", "a"], ("a", "b"), (1, 0, 1, 0)),
        (["\u00e9", "a", "\u00e9", "a"], ("a", "\u00e9"), (1, 0, 1, 0)),
        ([[3], [1], [3], [1]], ("1", "3"), (1, 0, 1, 0)),
        ([[0, 0, 1], [0, 1, 0], [0, 0, 1], [0, 1, 0]], ("1", "2"), (1, 0, 1, 0)),
        ([[0, 1.0], [1.0, 0], [0, 1], [1, 0]], ("0", "1"), (1, 0, 1, 0)),
        ([1.0, 0.0, 1.0, 0.0], ("0", "1"), (1, 0, 1, 0)),
        ([True, False, True, False], ("0", "1"), (1, 0, 1, 0)),
    ],
)
@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 6, 3), (4, 4, 4, 4)])
def test_labels_as_they_come(
    tf: Any,
    shape: tuple[int, ...],
    labels: Any,
    classes: tuple[str, ...],
    places: tuple[int, ...],
    batch: int | None,
) -> None:
    images = np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8)
    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    found = load(dataset if batch is None else dataset.batch(batch), {})
    row_of = by_content(images)
    assert found.classes == classes
    assert {row_of[content_hash(found.read(n))]: found.labels[n] for n in range(4)} == dict(
        enumerate(places)
    )


def test_given_splits_by_name_and_by_place(tf: Any) -> None:
    whole = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    parts = [whole.take(6), whole.skip(6).take(3).batch(2), whole.skip(9)]
    named = dict(zip(("test", "train", "Val"), (parts[2], parts[0], parts[1]), strict=True))
    by_name, by_place = load(named, {}), load(tuple(parts), {})
    assert by_name == by_name.__class__(**{**vars(by_place), "read": by_name.read})
    assert by_name.splits == ("train",) * 6 + ("validation",) * 3 + ("test",) * 3
    row_of = by_content(IMAGES)
    rows = [row_of[content_hash(by_name.read(n))] for n in range(12)]
    assert [set(rows[:6]), set(rows[6:9]), set(rows[9:])] == [
        set(range(6)),
        {6, 7, 8},
        {9, 10, 11},
    ]
    assert [by_name.labels[n] for n in range(12)] == [LABELS[row] for row in rows]
    assert by_name.ids[0].startswith("train/")
    assert matches(named, {}) == "it is a mapping of tf.data.Datasets: test, train, Val"
    two = matches(tuple(parts[:2]), {})
    assert two == "it is a sequence of tf.data.Datasets, taken as train, validation"


def test_class_names_of_a_folder_read_by_keras(tf: Any, tmp_path: Path) -> None:
    import keras

    for label, name in enumerate(("oak", "elm", "fir")):
        (tmp_path / name).mkdir()
        for number in range(4):
            content = encoded(pattern(label, number, size=(8, 8)))
            (tmp_path / name / f"{number}.png").write_bytes(content)
    read = keras.utils.image_dataset_from_directory
    found = load(read(str(tmp_path), image_size=(8, 8), batch_size=5, verbose=False), {})
    assert found.classes == ("elm", "fir", "oak")
    assert sorted(found.labels) == [0] * 4 + [1] * 4 + [2] * 4
    pixels = {decode((tmp_path / "fir" / f"{n}.png").read_bytes()).tobytes() for n in range(4)}
    assert {found.read(n).tobytes() for n in range(12) if found.labels[n] == 1} == pixels


def test_encoded_images_stay_as_they_are(tf: Any) -> None:
    files = [encoded(pattern(0, n)) for n in range(4)]
    for batch in (None, 3):
        dataset = tf.data.Dataset.from_tensor_slices((files, list("abab")))
        found = load(dataset if batch is None else dataset.batch(batch), {})
        assert {found.read(row) for row in range(4)} == set(files)


def test_images_of_many_shapes(tf: Any) -> None:
    shapes = [(4, 5, 3), (6, 3, 3), (2, 9, 3), (7, 7, 3)]

    def give() -> Iterator[tuple[Any, int]]:
        for number, shape in enumerate(shapes):
            yield np.full(shape, 50 * number + 60, np.uint8), number % 2

    signature = (tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((), tf.int32))
    found = load(tf.data.Dataset.from_generator(give, output_signature=signature), {})
    assert {found.read(row).shape for row in range(4)} == set(shapes)


def test_copies_have_ids_of_their_own(tf: Any) -> None:
    same = np.repeat(IMAGES[:1], 3, axis=0)
    found = load(tf.data.Dataset.from_tensor_slices((same, [0, 1, 0])), {})
    first = content_hash(IMAGES[0])[:16]
    assert found.ids == (first, f"{first}-2", f"{first}-3")
    assert found.labels == (0, 0, 1)


def test_other_data_is_not_taken(tf: Any) -> None:
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    for data in (dataset, {"train": dataset}, (dataset, dataset)):
        assert [loader.name for loader in LOADERS if loader.matches(data, {})] == ["tf-data"]
    for data in ((IMAGES, LABELS), {"x": IMAGES, "y": LABELS}, "digits", None, [1, 2, 3]):
        assert matches(data, {}) is None
    with pytest.raises(DataError, match=r"no tf\.data\.Dataset"):
        load((IMAGES, LABELS), {})


def test_the_contract_is_kept(tf: Any) -> None:
    (loader,) = autotl_loaders()
    check_loader(loader, tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).shuffle(12))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tf, ds: ds.repeat(), "never ends"),
        (lambda tf, ds: ds.shuffle(3).repeat().batch(2), "never ends"),
        (lambda tf, ds: ds.take(0), "is empty"),
        (lambda tf, ds: ds.filter(lambda image, label: label > 9), "is empty"),
        (lambda tf, ds: ds.map(lambda image, label: image), "images without labels"),
        (lambda tf, ds: ds.map(lambda x, y: (x, y, 1.0)), "triples"),
        (lambda tf, ds: ds.map(lambda x, y: (x, y, y, y)), "tuples of 4"),
        (
            lambda tf, ds: ds.map(lambda x, y: {"image": x, "label": y}),
            "mappings with image, label",
        ),
        (lambda tf, ds: ds.map(lambda x, y: ((x, x), y)), "pairs with a tuple"),
        (lambda tf, ds: ds.map(lambda x, y: (x[..., :2], y)), r"shape \(5, 7, 2\)"),
        (lambda tf, ds: ds.batch(2).map(lambda x, y: (x[..., :2], y)), r"shape \(5, 7, 2\)"),
        (lambda tf, ds: ds.map(lambda x, y: (tf.reshape(x, [-1]), y)), r"shape \(105,\)"),
        (lambda tf, ds: ds.map(lambda x, y: (x, tf.cast(y, tf.float32) + 0.5)), "regression"),
        (lambda tf, ds: ds.batch(4).map(lambda x, y: (x, [[1, 1]] * 4)), "several labels"),
        (lambda tf, ds: ds.batch(4).map(lambda x, y: (x, y[:2])), "4 images with 2 labels"),
        (lambda tf, ds: ds.map(lambda x, y: (tf.cast(x, tf.float32) - 500.0, y)), "negative"),
        (lambda tf, ds: ds.map(lambda x, y: (tf.io.decode_png(b"x"), y)), "fails after 0 elements"),
        (lambda tf, ds: {"train": ds, "more": ds}, "'more' names no split"),
        (lambda tf, ds: {"train": ds, "training": ds}, "Two datasets"),
        (lambda tf, ds: {"train": ds, "test": IMAGES}, "'test' is a ndarray"),
        (lambda tf, ds: {"train": ds, "test": ds.repeat()}, "of the test split never ends"),
    ],
)
def test_what_cannot_be_used_is_said(tf: Any, make: Any, message: str) -> None:
    data = make(tf, tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)))
    with pytest.raises(DataError, match=message) as caught:
        loaded(data, LOADERS)
    assert caught.value.exit_code == 3
    assert "\n" not in caught.value.message


def test_class_names_that_differ_are_refused(tf: Any) -> None:
    parts = [tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)) for _ in range(2)]
    parts[0].class_names, parts[1].class_names = ["a", "b", "c"], ["a", "c", "b"]
    with pytest.raises(DataError, match="different class names"):
        load(tuple(parts), {})


def test_a_full_disk_is_said(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SPARE", 10**18)
    with pytest.raises(DiskError, match=r"is full.*AUTOTL_CACHE|is full") as caught:
        load(tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)), {})
    assert "dataset.take(n)" in caught.value.hint


def test_a_spool_leaves_no_file_and_reads_from_threads(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    kept = Spool(tmp_path / "new")
    rng = np.random.default_rng(5)
    given: list[Any] = [rng.random((n % 7 + 1, 3, 3)).astype(np.float32) for n in range(200)]
    given[7] = b"bytes"
    given[8] = b""
    slots = [kept.add(each) for each in given]
    assert list((tmp_path / "new").iterdir()) == []
    with ThreadPoolExecutor(8) as pool:
        back = list(pool.map(kept.read, slots * 3))
    for one, two in zip(given * 3, back, strict=True):
        assert one == two if isinstance(one, bytes) else np.array_equal(one, two)


def test_a_cache_that_is_no_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="cannot be used"):
        Spool(tmp_path / "file" / "below")


MEASURED = """
import json, sys
import numpy as np
import tensorflow as tf
from autotl.builtin.tf_datasets import load

def give():
    rng = np.random.default_rng(0)
    for number in range(count):
        yield rng.integers(0, 255, (500, 500, 3), np.uint8), number % 2

def peak():  # MB; not ru_maxrss, which counts what the process that started this one held
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024

spec = (tf.TensorSpec((500, 500, 3), tf.uint8), tf.TensorSpec((), tf.int32))
count = 20
load(tf.data.Dataset.from_generator(give, output_signature=spec).batch(4), {})
before = peak()
count = 800
found = load(tf.data.Dataset.from_generator(give, output_signature=spec).batch(4), {})
print(json.dumps({"grown": peak() - before, "read": len(found.ids), "side": found.read(799).shape}))
"""


def test_memory_stays_bounded(tmp_path: Path) -> None:
    """600 MB of images pass through while the process grows by less than a quarter of it."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["read"] == 800
    assert told["grown"] < 150, told
