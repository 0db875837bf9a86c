"""How much do the features of `embedded` tell, against random weights and against a MobileNet?

    python benchmarks/features.py DATA --fashion FOLDER
    python benchmarks/features.py --speed
    python benchmarks/features.py --table

Linear-probe test accuracy with 200 and 1,000 training examples, per stage. The probe is the same
for all: outputs of one stage, averaged over positions, standardised on the training rows, then
logistic regression whose C is chosen by stratified cross-validation on the training rows. DATA
holds the data sets as `NAME/{train,test}/CLASS/*`; FOLDER holds Fashion-MNIST's four IDX files, of
which the first 10,000 training and 2,000 test images are taken. Training rows are drawn by class
from the train folder, all rows of the test folder are tested. A finished source is a line in
`features.jsonl` and is not run again. `--speed` prints images a second, forward, of `embedded` at
64 pixels beside MobileNet 0.25 at 96, in turns in one process, by TensorFlow and by onnxruntime.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from fashion import npz
from kept import keep, read
from machine import statement
from numpy.typing import NDArray

from autotl.records import LocatedBackbone, from_json, to_json

ROWS = Path(__file__).with_suffix(".jsonl")
SETS = (
    "flowers",
    "trashnet",
    "cifar10",
    "sign-digits",
    "neu-steel",
    "brain-mri",
    "fashion-mnist",
)
SOURCES = (
    ("embedded", 64, True),
    ("embedded", 64, False),
    ("embedded", 96, True),
    ("embedded", 96, False),
    ("MobileNet-0.25", 96, True),
)
"""Backbone, input size, whether with its pretrained weights."""
EXAMPLES = (200, 1000)
STRENGTHS = tuple(10.0**power for power in range(-4, 2))
FOLDS = 5
SEED = 20261122


def main() -> None:
    """Run what is missing, then print the tables."""
    chosen = _options()
    print(statement())
    if chosen.speed:
        print(speed())
        return
    if not chosen.table:
        run(chosen.data, chosen.fashion, chosen.sets)
    print(table(read(ROWS)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--fashion", type=Path, help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--table", action="store_true", help="print what is finished")
    parser.add_argument("--speed", action="store_true", help="print images a second, forward")
    options = parser.parse_args()
    printed = options.table or options.speed
    if not printed and (options.data is None or options.fashion is None):
        parser.error("name DATA and --fashion FOLDER, or --table, or --speed")
    return options


# ---- rows ----


def run(data: Path, fashion: Path, sets: list[str]) -> None:
    """Add the missing (set, source) to the rows."""
    from autotl.worker import Worker

    with tempfile.TemporaryDirectory() as name, Worker(recycle_above=3 * 10**9) as worker:
        folder = Path(name)
        for data_set, source in itertools.product(sets, SOURCES):
            located = _located(*source)
            cell = {
                "data": data_set,
                "backbone": source[0],
                "input_size": source[1],
                "weights": located.weights_sha256 or "random",
                "parameters": located.backbone.parameters,
            }
            if any({key: row[key] for key in cell} == cell for row in read(ROWS)):
                continue
            begun = time.monotonic()
            path = npz(fashion, folder) if data_set == "fashion-mnist" else data / data_set
            stages = scored(path, located, worker, folder)
            row = cell | {"machine": statement(), "stages": stages}
            keep(ROWS, row)
            best = {n: round(chosen(stages, n)["test"], 3) for n in EXAMPLES}
            print(f"{data_set} {source} {best} {time.monotonic() - begun:.0f} s", flush=True)


def _located(name: str, size: int, pretrained: bool) -> LocatedBackbone:
    from dataclasses import replace

    from autotl.plugins import discover
    from autotl.plugins.weights import choose_backbone, located

    found = located(choose_backbone(discover(), name, download=False), size)
    return found if pretrained else replace(found, weights=None, weights_sha256=None)


def scored(path: Path, located: LocatedBackbone, worker: Any, folder: Path) -> list[dict[str, Any]]:
    """By number of examples and stage: accuracy cross-validated on train, and on test."""
    from threadpoolctl import threadpool_limits

    from autotl import activations, loading
    from autotl.measure.size import draw
    from autotl.plugins import discover

    loaded = loading.load(str(path), discover().loaders)
    dataset = loaded.dataset
    given = np.array(dataset.splits)
    labels = np.array(dataset.labels)
    train, test = np.flatnonzero(given == "train"), np.flatnonzero(given == "test")
    drawn = {n: train[draw(labels[train], n, seed=SEED)] for n in EXAMPLES}
    rows = [
        int(row) for row in np.concatenate([np.unique(np.concatenate([*drawn.values()])), test])
    ]
    stored = activations.store_rows(dataset, rows, loaded.hashes, located, folder / "cache")
    spec = {"located": to_json(located), "pixels": str(stored.path), "folder": str(folder)}
    outputs = [np.load(p, allow_pickle=False) for p in worker.call("features:pooled", spec)]
    place = {row: position for position, row in enumerate(stored.rows)}
    tested = [place[int(row)] for row in test if int(row) in place]
    truth = labels[list(stored.rows)]
    found = []
    with threadpool_limits(limits=1, user_api="blas"):
        for examples, (stage, features) in itertools.product(
            EXAMPLES, zip(located.backbone.stages, outputs, strict=True)
        ):
            some = [place[int(row)] for row in drawn[examples] if int(row) in place]
            validated, accuracy = probe(features, truth, some, tested)
            found.append(
                {
                    "examples": examples,
                    "stage": stage,
                    "validated": validated,
                    "test": accuracy,
                    "tested": len(tested),
                }
            )
    return found


def pooled(spec: dict[str, Any], progress: Any) -> list[str]:
    """Paths of averaged outputs (images, channels), one a stage; called in the worker."""
    from autotl import model
    from autotl.rows import opened

    located = from_json(LocatedBackbone, spec["located"])
    images = opened(spec["pixels"])
    net = model.build(located, pretrained=located.weights is not None, seed=SEED)
    stages = located.backbone.stages
    averaged = model.outputs(net, stages, tuple((n, True) for n in range(1, len(stages) + 1)))
    parts: list[list[NDArray[np.float32]]] = []
    for start in range(0, len(images), 64):
        batch = model.prepare(np.asarray(images[start : start + 64]), located.preprocessing)
        parts.append([np.asarray(y) for y in averaged.predict_on_batch(batch)])
        progress("features", min(start + 64, len(images)), len(images))
    paths = []
    for n, stage in enumerate(zip(*parts, strict=True)):
        paths.append(str(Path(spec["folder"]) / f"stage-{n}.npy"))
        np.save(paths[-1], np.concatenate(stage), allow_pickle=False)
    return paths


def probe(
    features: NDArray[np.float32], labels: NDArray[np.int64], train: list[int], test: list[int]
) -> tuple[float, float]:
    """Accuracy (cross-validated on `train`, on `test`) of logistic regression."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, tol=1e-3))
    grid = {"logisticregression__C": list(STRENGTHS)}
    search = GridSearchCV(model, grid, cv=folds, n_jobs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(features[train], labels[train])
    return float(search.best_score_), float(search.score(features[test], labels[test]))


# ---- speed ----


def speed() -> str:
    """Markdown: medians of images a second, and of the ratio round by round."""
    from autotl.worker import Worker

    rivals = [
        to_json(_located("embedded", 64, True)),
        to_json(_located("MobileNet-0.25", 96, True)),
    ]
    with Worker() as worker:
        found = worker.call("features:forward", {"rivals": rivals, "batch": 32, "rounds": 40})
    lines = [
        "| forward, batches of 32 | embedded at 64 | MobileNet-0.25 at 96 | ratio |",
        "|---|---:|---:|---:|",
    ]
    for engine, rounds in found.items():
        ours, theirs = ([32 / pair[n] for pair in rounds] for n in (0, 1))
        ratio = statistics.median(b / a for a, b in rounds)
        middle = f"{statistics.median(ours):,.0f}/s | {statistics.median(theirs):,.0f}/s"
        lines.append(f"| {engine} | {middle} | {ratio:.2f} |")
    return "\n".join(lines)


def forward(spec: dict[str, Any], progress: Any) -> dict[str, list[list[float]]]:
    """By engine, seconds of a batch of each rival, in turns; called in the worker."""
    import onnxruntime
    import tensorflow as tf

    from autotl import convert, model

    rng = np.random.default_rng(SEED)
    calls: dict[str, list[Any]] = {"TensorFlow": [], "onnxruntime": []}
    for each in spec["rivals"]:
        located = from_json(LocatedBackbone, each)
        net = model.build(located, pretrained=True, seed=SEED)
        x = rng.normal(size=(spec["batch"], *net.input_shape[1:])).astype(np.float32)
        graph = tf.function(lambda t, net=net: net(t, training=False))
        calls["TensorFlow"].append(lambda graph=graph, x=x: graph(x).numpy())
        content = convert.to_onnx(net).SerializeToString()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: x}
        calls["onnxruntime"].append(lambda session=session, feed=feed: session.run(None, feed))
    return {name: _in_turns(pair, spec["rounds"]) for name, pair in calls.items()}


def _in_turns(calls: list[Any], rounds: int) -> list[list[float]]:
    for call in calls:
        call()
    found = []
    for _ in range(rounds):
        seconds = []
        for call in calls:
            begun = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begun)
        found.append(seconds)
    return found


# ---- table ----


def chosen(stages: list[dict[str, Any]], examples: int) -> dict[str, Any]:
    """The stage that cross-validation on the training rows prefers."""
    return max(
        (one for one in stages if one["examples"] == examples), key=lambda one: one["validated"]
    )


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: for each number of examples, a row a data set and a column a source; then the
    stages one by one.
    """
    return "\n\n".join([*(_compact(rows, n) for n in EXAMPLES), _stages(rows)])


def _compact(rows: list[dict[str, Any]], examples: int) -> str:
    names = list(dict.fromkeys(_name(row) for row in rows))
    scores = {(row["data"], _name(row)): chosen(row["stages"], examples)["test"] for row in rows}
    sets = [name for name in SETS if any((name, source) in scores for source in names)]
    lines = [
        f"| {examples} examples | " + " | ".join(names) + " |",
        "|---|" + "---:|" * len(names),
        *(f"| {x} | " + " | ".join(_shown(scores.get((x, n))) for n in names) + " |" for x in sets),
    ]
    if all((x, n) in scores for x in sets for n in names):
        means = [statistics.mean(scores[x, n] for x in sets) for n in names]
        lines.append("| mean | " + " | ".join(_shown(mean) for mean in means) + " |")
    return "\n".join(lines)


def _stages(rows: list[dict[str, Any]]) -> str:
    lines = ["| set, source | examples | test accuracy by stage |", "|---|---:|---|"]
    for row, examples in itertools.product(rows, EXAMPLES):
        by_stage = [one for one in row["stages"] if one["examples"] == examples]
        told = " ".join(f"{one['stage']} {_shown(one['test'])}" for one in by_stage)
        lines.append(f"| {row['data']}, {_name(row)} | {examples} | {told} |")
    return "\n".join(lines)


def _name(row: dict[str, Any]) -> str:
    kind = ", random" if row["weights"] == "random" else ""
    return f"{row['backbone']} at {row['input_size']}{kind}"


def _shown(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}".removeprefix("0")


if __name__ == "__main__":
    main()
