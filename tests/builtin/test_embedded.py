"""The embedded network: its graph, its cuts, and the weights that ship with it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotl.builtin import embedded
from autotl.builtin.embedded import network, pictures

SIZE = 32


@pytest.fixture(scope="module")
def random_model() -> Any:
    import keras

    keras.utils.set_random_seed(7)
    return network.build(SIZE, None)


@pytest.fixture(scope="module")
def trained_model() -> Any:
    return network.build(SIZE, embedded.WEIGHTS_FILE)


@pytest.fixture(scope="module")
def images() -> pictures.Floats:
    return np.random.default_rng(0).normal(size=(3, SIZE, SIZE, 3)).astype(np.float32)


def names(model: Any) -> list[str]:
    return [layer.name for layer in model.layers]


def test_importing_the_facts_imports_neither_keras_nor_numpy() -> None:
    path = Path(embedded.__file__)
    script = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('facts', {str(path)!r})\n"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        "print({'keras', 'numpy', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_parameters_are_counted(random_model: Any) -> None:
    assert random_model.count_params() == embedded.PARAMETERS <= 3_000_000


@pytest.mark.parametrize("size", [32, 48, 64, 128])
def test_input_sizes(size: int) -> None:
    assert network.build(size, None).output_shape == (None, size // 16, size // 16, 640)


def test_graph_does_not_depend_on_weights_or_on_earlier_builds(
    random_model: Any, trained_model: Any
) -> None:
    assert names(random_model) == names(trained_model) == names(network.build(SIZE, None))
    assert len(set(names(random_model))) == len(names(random_model))
    assert random_model.to_json() == trained_model.to_json()


@pytest.mark.parametrize("stage", embedded.STAGES[:-1])
def test_stage_is_a_cut_through_one_tensor(
    stage: str, trained_model: Any, images: pictures.Floats
) -> None:
    import keras

    tensor = trained_model.get_layer(stage).output
    before = keras.Model(trained_model.input, tensor)
    after = keras.Model(tensor, trained_model.output)
    whole = trained_model.predict_on_batch(images)
    halves = after.predict_on_batch(before.predict_on_batch(images))
    np.testing.assert_allclose(halves, whole, rtol=1e-5, atol=1e-5)


def test_stages_are_in_forward_order_and_end_at_the_output(random_model: Any) -> None:
    places = [names(random_model).index(stage) for stage in embedded.STAGES]
    assert places == sorted(places)
    assert names(random_model)[-1] == embedded.STAGES[-1]


def test_weights_are_finite_small_and_match_their_checksum() -> None:
    embedded.check_weights()
    assert embedded.WEIGHTS_FILE.stat().st_size < 6_000_000
    for name, array in network.read_weights(embedded.WEIGHTS_FILE).items():
        assert np.isfinite(array).all(), name


def test_damaged_or_missing_weights_are_detected(tmp_path: Path) -> None:
    damaged = tmp_path / "weights.npz"
    with pytest.raises(ValueError, match="missing"):
        embedded.check_weights(damaged)
    content = bytearray(embedded.WEIGHTS_FILE.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        embedded.check_weights(damaged)
    damaged.write_bytes(b"not an archive")
    with pytest.raises(ValueError, match="not a weights file"):
        network.build(SIZE, damaged)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem_conv/kernel": None}, "lack stem_conv/kernel"),
        ({"other/kernel": np.zeros(3)}, "unknown to the network: other/kernel"),
        ({"stem_conv/kernel": np.zeros((4, 4, 3, 16))}, "stem_conv/kernel: shape"),
        ({"stem_norm/gamma": np.full(48, np.nan)}, "not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    arrays = network.read_weights(embedded.WEIGHTS_FILE) | change
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(ValueError, match=message):
        network.assign(network.graph(SIZE), arrays)


def test_weights_survive_writing_and_reading(
    tmp_path: Path, trained_model: Any, images: pictures.Floats
) -> None:
    network.write_weights(trained_model, tmp_path / "weights.npz")
    again = network.build(SIZE, tmp_path / "weights.npz")
    np.testing.assert_array_equal(
        again.predict_on_batch(images), trained_model.predict_on_batch(images)
    )


def test_trained_and_random_features_differ(
    random_model: Any, trained_model: Any, images: pictures.Floats
) -> None:
    trained = trained_model.predict_on_batch(images)
    assert np.isfinite(trained).all()
    assert np.abs(trained - random_model.predict_on_batch(images)).mean() > 0.01


def test_random_initialisation_follows_the_global_seed(random_model: Any) -> None:
    import keras

    keras.utils.set_random_seed(7)
    again = network.build(SIZE, None)
    for one, other in zip(random_model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_classes_are_the_200_in_label_order() -> None:
    identifiers = [identifier for identifier, _ in embedded.classes()]
    assert len(set(identifiers)) == 200
    assert identifiers == sorted(identifiers)
    assert all(name for _, name in embedded.classes())


def test_training_record_belongs_to_the_weights() -> None:
    record = json.loads((embedded.FOLDER / "training.json").read_text(encoding="utf-8"))
    assert record["weights_sha256"] == embedded.recorded_checksum()
    assert record["top1_validation"] >= 0.52
    assert record["parts_done"] == record["parts"]
    card = (embedded.FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"**{record['top1_validation']:.4f}**" in card
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"top-1 of {record['top1_validation']:.3f}" in " ".join(readme.split())


def test_an_uncropped_view_at_full_size_is_the_image_or_its_mirror() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (16, 64, 64, 3), dtype=np.uint8)
    whole = pictures.boxes(16, [2], area=(1.0, 1.0), aspect=1.0)
    mirrored = np.arange(16) % 2 == 0
    views = pictures.crop(pixels, whole, 64, mirrored)
    expected = np.where(mirrored[:, None, None, None], pixels[:, :, ::-1], pixels)
    np.testing.assert_allclose(views, expected, atol=1e-2)
    np.testing.assert_array_equal(views, pictures.crop(pixels, whole, 64, mirrored))


def test_a_view_shows_the_same_part_at_every_size() -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    pixels = np.broadcast_to(ramp[:, None, None], (5, 64, 64, 3)).astype(np.uint8)
    where = pictures.boxes(5, [3], area=(0.3, 0.6), aspect=1.3)
    small, large = (pictures.crop(pixels, where, size).mean(axis=(1, 2, 3)) for size in (32, 128))
    centre = (where.top + where.height / 2) / 63 * 255
    np.testing.assert_allclose(small, large, atol=2)
    np.testing.assert_allclose(small, centre, atol=6)
    assert (where.of(np.array([3])).top == where.top[3]).all()


def test_shrunk_views_keep_the_mean_colour() -> None:
    pixels = np.full((4, 64, 64, 3), (10, 120, 240), np.uint8)
    views = pictures.crop(pixels, pictures.boxes(4, [3], area=(0.3, 1.0), aspect=1.3), 32)
    np.testing.assert_allclose(views, pixels[:, :32, :32], atol=1e-2)
