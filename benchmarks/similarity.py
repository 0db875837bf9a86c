"""How similar are data sets to a backbone's source domain, and is the figure stable?

    python benchmarks/similarity.py DATA [--fashion FOLDER] [--backbones embedded MobileNetV2]
    python benchmarks/similarity.py --table

DATA holds the sets as `NAME/{train,test}/CLASS/*`, `tiny-imagenet` among them, whose test images
are of the source domain of `embedded` and were held out. Each set is compared by 256 images, by
half of them, and by as many others with another seed; a set and backbone is a line in
`similarity.jsonl`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cells import located_at
from fashion import npz
from kept import keep, read
from machine import statement
from numpy.typing import NDArray
from PIL import Image

from autotl.records import to_json

ROWS = Path(__file__).with_suffix(".jsonl")
SETS = ("flowers", "trashnet", "cifar10", "sign-digits", "neu-steel", "brain-mri", "mnist")
SIZES = {"embedded": 64, "MobileNetV2": 96}
IMAGES = 256
HELD_OUT = "tiny-imagenet"
FORMATS = (".jpg", ".jpeg", ".png", ".bmp")
Draw = Callable[[int], NDArray[np.uint8]]


def main() -> None:
    """Compare what is missing, and print the table."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("data", type=Path, nargs="?")
    made.add_argument("--fashion", type=Path, help="folder of Fashion-MNIST's IDX files")
    made.add_argument("--backbones", nargs="+", default=list(SIZES), choices=list(SIZES))
    made.add_argument("--table", action="store_true", help="print what is finished")
    options = made.parse_args()
    if options.data is None and not options.table:
        made.error("name DATA, or --table")
    print(statement(), flush=True)
    if not options.table:
        for name in options.backbones:
            _run(name, dict(_draws(options.data, options.fashion)))
    print(table(read(ROWS)))


def _run(name: str, draws: dict[str, Draw]) -> None:
    from autotl import model

    size = SIZES[name]
    located = located_at(name, size)
    about = {"backbone": name, "input_size": size, "weights": located.weights_sha256}
    net = model.build(located, pretrained=True, seed=0)
    for told, draw in draws.items():
        cell = about | {"images": IMAGES, "set": told}
        if not any({key: row[key] for key in cell} == cell for row in read(ROWS)):
            keep(ROWS, cell | {"machine": statement()} | _compared(net, located, draw(size)))
            print(f"{name}, {told}", flush=True)


def _compared(net: Any, located: Any, images: NDArray[np.uint8]) -> dict[str, Any]:
    from autotl.measure.domain import compare

    first, other = images[:IMAGES], images[IMAGES:]
    parts = {"whole": first, "half": first[: IMAGES // 2], "again": other}
    return {
        part: to_json(compare(net, located, some, seed, lambda *_: None))
        for seed, (part, some) in enumerate(parts.items())
    }


def _draws(data: Path, fashion: Path | None) -> Iterator[tuple[str, Draw]]:
    """What draws twice `IMAGES` images of a size, by the name of the set."""
    yield "uniform noise", _noise
    for one in (HELD_OUT, *SETS):
        split = "test" if one == HELD_OUT else "train"
        files = [p for p in (data / one / split).rglob("*") if p.suffix.lower() in FORMATS]
        if files:
            yield f"{one}, held out" if one == HELD_OUT else one, partial(_drawn, sorted(files))
    if fashion is not None:
        yield "fashion-mnist", partial(_fashion, fashion)


def _noise(size: int) -> NDArray[np.uint8]:
    draw = np.random.default_rng(5)
    return draw.integers(0, 256, (2 * IMAGES, size, size, 3), dtype=np.uint8)


def _drawn(files: Sequence[Path], size: int) -> NDArray[np.uint8]:
    order = np.random.default_rng(0).permutation(len(files))[: 2 * IMAGES]
    return np.stack([_resized(Image.open(files[i]), size) for i in order])


def _fashion(folder: Path, size: int) -> NDArray[np.uint8]:
    with (
        tempfile.TemporaryDirectory() as out,
        np.load(npz(folder, Path(out)), allow_pickle=False) as arrays,
    ):
        some = arrays["x_train"][: 2 * IMAGES]
    return np.stack([_resized(Image.fromarray(one), size) for one in some])


def _resized(image: Image.Image, size: int) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row a set, with columns for each backbone."""
    found = {(row["set"], row["backbone"]): row for row in rows}
    names = list(dict.fromkeys(row["backbone"] for row in rows))
    heads = [f"{name}, {SIZES[name]} pixels (95 %) | half, again | Fréchet" for name in names]
    lines = [
        f"| {IMAGES} images of | {' | '.join(heads)} |",
        "|---|" + "---|---|---:|" * len(names),
    ]
    for told in dict.fromkeys(row["set"] for row in rows):
        cells = [_told(found.get((told, name))) for name in names]
        lines.append(f"| {told} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _told(row: dict[str, Any] | None) -> str:
    if row is None:
        return " | | "
    whole, half, again = (row[part] for part in ("whole", "half", "again"))
    other = "–" if whole["frechet"] is None else f"{whole['frechet']:.2f}"
    own = f"{whole['value']:.3f} ({whole['low']:.3f} to {whole['high']:.3f})"
    return f"{own} | {half['value']:.3f}, {again['value']:.3f} | {other}"


if __name__ == "__main__":
    main()
