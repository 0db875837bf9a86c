"""How similar are data sets to a backbone's source domain, and is the figure stable?

    python benchmarks/similarity.py DATA [--fashion FOLDER] [--backbones embedded MobileNetV2]

DATA holds the sets as `NAME/{train,test}/CLASS/*`, `tiny-imagenet` among them, whose test images
are of the source domain of `embedded` and were held out. `half` is the figure from half of the
images, `again` from as many others. Printed, not kept: it takes minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from cells import located_at
from fashion import npz
from machine import statement
from numpy.typing import NDArray
from PIL import Image

SETS = ("flowers", "trashnet", "cifar10", "sign-digits", "neu-steel", "brain-mri", "mnist")
SIZES = {"embedded": 64, "MobileNetV2": 96}
IMAGES = 256
HELD_OUT = "tiny-imagenet"
FORMATS = (".jpg", ".jpeg", ".png", ".bmp")


def main() -> None:
    """Print the tables."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("data", type=Path)
    made.add_argument("--fashion", type=Path, help="folder of Fashion-MNIST's IDX files")
    made.add_argument("--backbones", nargs="+", default=list(SIZES), choices=list(SIZES))
    options = made.parse_args()
    print(statement(), flush=True)
    for name in options.backbones:
        print(f"\n{name} at {SIZES[name]} pixels, {IMAGES} images\n")
        print("| images | similarity (95 %) | by stage | half | again | Frechet |")
        print("|---|---|---|---:|---:|---:|")
        _rows(name, options.data, options.fashion)


def _rows(name: str, data: Path, fashion: Path | None) -> None:
    from autotl import model

    size = SIZES[name]
    located = located_at(name, size)
    net = model.build(located, pretrained=True, seed=0)
    noise = np.random.default_rng(5).integers(0, 256, (2 * IMAGES, size, size, 3), dtype=np.uint8)
    print(_row("uniform noise", noise, net, located), flush=True)
    for one in (HELD_OUT, *SETS):
        split = "test" if one == HELD_OUT else "train"
        files = [p for p in (data / one / split).rglob("*") if p.suffix.lower() in FORMATS]
        images = _drawn(sorted(files), size)
        told = f"{one}, held out" if one == HELD_OUT else one
        print(_row(told, images, net, located), flush=True)
    if fashion is not None:
        print(_row("fashion-mnist", _fashion(fashion, size), net, located), flush=True)


def _row(told: str, images: NDArray[np.uint8], net: Any, located: Any) -> str:
    from autotl.measure.domain import compare

    first, other = images[:IMAGES], images[IMAGES:]
    whole, half, again = (
        compare(net, located, some, seed, lambda *_: None)
        for seed, some in enumerate((first, first[: IMAGES // 2], other))
    )
    stages = " ".join("–" if value is None else f"{value:.2f}" for value in whole.stages)
    apart = "–" if whole.frechet is None else f"{whole.frechet:.2f}"
    return (
        f"| {told} | {whole.value:.3f} ({whole.low:.3f} to {whole.high:.3f}) | {stages} "
        f"| {half.value:.3f} | {again.value:.3f} | {apart} |"
    )


def _drawn(files: list[Path], size: int) -> NDArray[np.uint8]:
    order = np.random.default_rng(0).permutation(len(files))[: 2 * IMAGES]
    return np.stack([_resized(Image.open(files[i]), size) for i in order])


def _fashion(folder: Path, size: int) -> NDArray[np.uint8]:
    with tempfile.TemporaryDirectory() as out, np.load(npz(folder, Path(out))) as arrays:
        some = arrays["x_train"][: 2 * IMAGES]
    return np.stack([_resized(Image.fromarray(one), size) for one in some])


def _resized(image: Image.Image, size: int) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


if __name__ == "__main__":
    main()
