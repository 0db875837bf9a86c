"""How the gate asks a model in some runtime: which images, in which batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotl.errors import ParityError
from autotl.export import asking, gate
from autotl.pixels import resize
from autotl.records import Dataset, Preprocessing
from tests.images import encoded, pattern

SIZE = 8
CLASSES = ("dark", "light")
SHAPES = [(20, 12)] * 5 + [(12, 20)] * 3 + [(9, 9)] * 80
"""Widths and heights."""

DATASET = Dataset(
    kind="image",
    ids=tuple(f"{number}.png" for number in range(len(SHAPES))),
    labels=tuple(number % 2 for number in range(len(SHAPES))),
    classes=CLASSES,
    read=lambda row: encoded(pattern(row % 3, row, size=SHAPES[row])),
)


def brightness(pixels: Any) -> Any:
    """Probabilities of the two classes by the mean of resized pixels (n, size, size, 3)."""
    light = np.asarray(pixels, np.float32).mean(axis=(1, 2, 3)) / 255
    return np.stack([1 - light, light], axis=1).astype(np.float32)


def resized(images: Any) -> Any:
    return np.stack([resize(image, SIZE) for image in images]).astype(np.float32)


def labels(probabilities: Any) -> list[str]:
    return [CLASSES[place] for place in probabilities.argmax(axis=1)]


class Keras:
    """The worker that runs the model the candidate was made from."""

    def call(self, function: str, spec: dict[str, Any], **rest: Any) -> Any:
        np.save(spec["out"], brightness(np.load(spec["pixels"], allow_pickle=False)))
        self.sample = spec["sample"]
        few = [0.0] * len(spec["sample"])
        return {"tiny": few, "level": few}


class Calls:
    """A faithful candidate, and the shapes of what each way was asked."""

    def __init__(self) -> None:
        self.shapes: dict[str, list[tuple[int, ...]]] = {"answer": [], "resized": [], "plain": []}

    def way(self, name: str) -> Any:
        def answer(images: Any) -> Any:
            self.shapes[name].append(images.shape)
            pixels = resized(images)
            if name == "resized":
                return pixels
            probabilities = brightness(pixels)
            return probabilities, labels(probabilities)

        return answer

    def candidate(self, **changed: Any) -> asking.Candidate:
        given = {name: self.way(name) for name in self.shapes} | changed
        return asking.Candidate(**given)


def subject(folder: Path) -> asking.Subject:
    return asking.Subject(
        keras_model=folder / "model.keras",
        dataset=DATASET,
        rows=range(len(SHAPES)),
        preprocessing=Preprocessing(size=SIZE),
        folder=folder,
    )


def hold(folder: Path, **changed: Any) -> Any:
    return gate.hold(Calls().candidate(**changed), subject(folder), Keras())  # type: ignore[arg-type]


def test_neighbours_of_one_shape_are_asked_together_and_resized_ones_by_thirty_two(
    tmp_path: Path,
) -> None:
    calls = Calls()
    asking.ask(subject(tmp_path), calls.candidate(), Keras())  # type: ignore[arg-type]
    raw = calls.shapes["answer"]
    own = (1, SIZE, SIZE, 3)
    through = [shape for shape in raw if shape == own]
    assert len(through) == asking.FEW + 6
    raw = [shape for shape in raw if shape != own]
    assert raw[:3] == [(5, 12, 20, 3), (3, 20, 12, 3), (8, 9, 9, 3)]
    made_up = [(1, *shape, 3) for shape in asking.SHAPES] + [(2, SIZE, SIZE, 3)]
    total = len(SHAPES) + 6
    resized_ones = [(32, 8, 8, 3), (32, 8, 8, 3), (total - 64, 8, 8, 3)]
    assert raw[-8:] == [*made_up, *resized_ones]
    assert sum(shape[0] for shape in raw) == 2 * total


def test_the_second_way_is_asked_one_by_one_of_raw_images_spread_over_all(tmp_path: Path) -> None:
    calls, keras = Calls(), Keras()
    asking.ask(subject(tmp_path), calls.candidate(), keras)  # type: ignore[arg-type]
    plain = calls.shapes["plain"]
    assert len(plain) == asking.FEW + 6
    assert {shape[0] for shape in plain} == {1}
    assert plain[0] == (1, 12, 20, 3)
    assert plain[-6:-2] == [(1, *shape, 3) for shape in asking.SHAPES]
    assert calls.shapes["resized"] == plain
    assert keras.sample[: asking.FEW] == list(asking.spread(range(len(SHAPES)), asking.FEW))


def test_a_runtime_without_a_second_way_is_held_too(tmp_path: Path) -> None:
    parity, said = hold(tmp_path, plain=None)
    assert parity.optimised_difference is None
    assert parity.top1_agreement == 1.0
    assert not any("optimisations" in line for line in said)
    parity, said = hold(tmp_path)
    assert parity.optimised_difference == 0.0
    assert any(
        "optimisations change nothing (64 raw images and 6 made up)" in line for line in said
    )


def batch_of_one(images: Any) -> Any:
    """Answers the first image of a batch for all, as a graph of a fixed batch does."""
    probabilities = np.repeat(brightness(resized(images[:1])), len(images), axis=0)
    return probabilities, labels(probabilities)


def other_pixels(images: Any) -> Any:
    """Answers wide images, of which the data has none, by their first row."""
    wide = images.shape[2] > 100
    probabilities = brightness(resized(images[:, :1] if wide else images))
    return probabilities, labels(probabilities)


def wrong_when_alone(images: Any) -> Any:
    probabilities = brightness(resized(images)) * np.float32(0.99) + np.float32(0.005)
    return probabilities, labels(probabilities)


def wrong_label(images: Any) -> Any:
    probabilities = brightness(resized(images))
    return probabilities, labels(probabilities)[::-1] if len(images) > 1 else ["light"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"answer": batch_of_one}, "On resized pixels"),
        ({"plain": wrong_when_alone}, "Without onnxruntime's optimisations"),
        ({"answer": wrong_label}, "labels are not those"),
        ({"answer": other_pixels, "plain": other_pixels}, "On what its own resize makes"),
        ({"resized": lambda images: resized(images) + 0.25}, "no whole levels"),
        ({"resized": lambda images: resized(images) * np.nan}, "no whole levels"),
        ({"resized": lambda images: resized(images)[:, ::-1]}, "resizes images otherwise"),
    ],
)
def test_what_only_one_way_of_asking_shows_is_refused(
    tmp_path: Path, changed: Any, said: str
) -> None:
    with pytest.raises(ParityError, match=said):
        hold(tmp_path, **changed)
