"""What do autotl, AutoGluon, AutoKeras, fastai and Ludwig ask of a user for a folder of images?

    python benchmarks/asked.py --table

For each: the least that its own documentation asks for to get from `photos/CLASS/*.jpg` to a
trained classifier, its accuracy on images held out, and a file to take away. The lines are counted
(blank ones apart); nothing is run. Read on 27 November 2026; `pages` names what was read.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Way:
    """One tool: commands to install it, lines of code or configuration, and what comes out."""

    name: str
    install: str
    lines: str
    chosen: str
    held_out: str
    comes_out: str
    pages: str


WAYS = (
    Way(
        name="autotl",
        install="""
            git clone ADDRESS
            pip install ./autotl
        """,
        lines="""
            autotl fit photos
        """,
        chosen="nothing",
        held_out="test images, by default, with an interval",
        comes_out="`model.onnx` from raw pixels to labels, held against the trained model before "
        "it is written; report, card, lines that serve it",
        pages="README.md",
    ),
    Way(
        name="AutoGluon 1.x",
        install="""
            pip install -U pip
            pip install -U setuptools wheel
            pip install autogluon --extra-index-url CPU-INDEX
        """,
        lines="""
            from pathlib import Path
            import pandas as pd
            from autogluon.multimodal import MultiModalPredictor
            files = sorted(Path("photos").glob("*/*.jpg"))
            rows = {"image": [str(f) for f in files], "label": [f.parent.name for f in files]}
            table = pd.DataFrame(rows)
            test = table.sample(frac=0.2, random_state=0)
            predictor = MultiModalPredictor(label="label")
            predictor.fit(train_data=table.drop(test.index), time_limit=600)
            print(predictor.evaluate(test, metrics=["accuracy"]))
            predictor.export_onnx(test.head(1), path="exported")
        """,
        chosen="the test images",
        held_out="what the user splits off; a figure without interval",
        comes_out="a folder that `MultiModalPredictor.load` reads, by pickle, as its page warns; "
        "by `export_onnx` the network, traced with rows that the user gives",
        pages="auto.gluon.ai: AutoMM for Image Classification – Quick Start; install; "
        "MultiModalPredictor.export_onnx",
    ),
    Way(
        name="AutoKeras 3",
        install="""
            pip install torch
            pip install git+https://github.com/keras-team/keras-tuner.git
            pip install autokeras
        """,
        lines="""
            from pathlib import Path
            import autokeras as ak
            import numpy as np
            from PIL import Image
            files = np.random.default_rng(0).permutation(sorted(Path("photos").glob("*/*.jpg")))
            x = np.stack([Image.open(f).convert("RGB").resize((160, 160)) for f in files])
            y = np.array([f.parent.name for f in files])
            held = len(files) // 5
            clf = ak.ImageClassifier(max_trials=3)
            clf.fit(x[held:], y[held:])
            print(clf.evaluate(x[:held], y[:held]))
            clf.export_model().save("model.keras")
        """,
        chosen="the test images, the size, how often is searched (trials, not time)",
        held_out="what the user splits off; a figure without interval",
        comes_out="`model.keras`, which needs Keras and AutoKeras's own layers to load; the resize "
        "is left outside",
        pages="autokeras.com: Installation; Image Classification; Export Model; all images in "
        "memory",
    ),
    Way(
        name="fastai 2",
        install="pip install fastai",
        lines="""
            from fastai.vision.all import *
            size = Resize(224)
            dls = ImageDataLoaders.from_folder("photos", valid_pct=0.2, seed=42, item_tfms=size)
            learn = vision_learner(dls, resnet34, metrics=error_rate)
            learn.fine_tune(1)
            learn.export()
        """,
        chosen="the network, the size, the epochs",
        held_out="validation images, printed after each epoch; a figure without interval",
        comes_out="`export.pkl`, a pickle with the preprocessing, which fastai reads",
        pages="docs.fast.ai: Quick start; Vision data (ImageDataLoaders.from_folder); Learner "
        "(export, load_learner)",
    ),
    Way(
        name="Ludwig",
        install="pip install ludwig",
        lines="""
            from pathlib import Path
            import pandas as pd
            files = sorted(Path("photos").glob("*/*.jpg"))
            rows = {"image_path": [str(f) for f in files], "label": [f.parent.name for f in files]}
            pd.DataFrame(rows).to_csv("photos.csv", index=False)
            input_features:
            - name: image_path
              type: image
              encoder: {type: resnet, use_pretrained: true}
            output_features:
            - name: label
              type: category
            ludwig experiment --dataset photos.csv --config config.yaml
            ludwig export_model -m results/experiment_run/model -o exported/ -f onnx
        """,
        chosen="the network",
        held_out="test images, by default; a figure without interval",
        comes_out="a folder that `LudwigModel.load` reads; by `export_model` the network as ONNX, "
        "traced with a made-up batch",
        pages="ludwig.ai: Installation; MNIST example; Image features; Exporting Ludwig Models",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--table", action="store_true", help="prints the table; so does nothing")
    parser.parse_args()
    print(table())


def table() -> str:
    """One row a tool."""
    heads = (
        *("tool", "commands to install", "lines", "what the user chooses", "accuracy of"),
        *("what comes out", "documentation read"),
    )
    rows = [f"| {' | '.join(heads)} |", "|---|---:|---:|---|---|---|---|"]
    for way in WAYS:
        counts = (str(count(way.install)), str(count(way.lines)))
        cells = (way.name, *counts, way.chosen, way.held_out, way.comes_out, way.pages)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def count(text: str) -> int:
    """Lines that are not blank."""
    return sum(bool(line.strip()) for line in text.splitlines())


if __name__ == "__main__":
    main()
